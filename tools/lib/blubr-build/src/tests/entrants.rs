//! Who enters a step's tree of the classic builder, whose runtime need not descend from the engine: synthetic events of one
//! that containerd starts, and of strangers that come before it.

use std::collections::HashSet;

use blubr_dockerfile::Dockerfile;

use crate::tests::{DAEMON, Log, Who};
use crate::{Membership, Place, RunKind, Tied, tie};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);
const CONTAINERD: Who = Who(11, 1, 0, 2, 1);
/// What containerd starts, the container's first process, and who is no part of it.
const SHIM: Who = Who(410, 11, 0, 2, 1);
const INIT: Who = Who(411, 410, 0, 41, 41);
const VISITOR: Who = Who(30, 5, 0, 1, 77);
const TREE: &str = "/s/overlay2/41/merged";
const MAKE: &[&str] = &["/bin/sh", "-c", "make"];

/// Whose the writes of the visitor and of the container are, and the step's first process.
#[derive(Debug, PartialEq)]
struct Seen {
    visitors: Vec<Place>,
    own: Vec<Place>,
    init: Option<u32>,
    tied: Tied,
}

struct Visit {
    log: Log,
}

impl Visit {
    /// A step's tree is mounted; nobody is in it yet.
    fn begun() -> Self {
        Self::begun_with(None)
    }

    /// Somebody is there before.
    fn begun_with(before: Option<Who>) -> Self {
        let mut log = Log::new();
        if let Some(who) = before {
            log.add(who, "process.exists", r#""exe":"/bin/sh","argv":["sh"],"cwd":"/""#);
        }
        log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
        log.add(CONTAINERD, "process.exists", r#""exe":"/usr/bin/other","argv":["other"],"cwd":"/""#);
        log.client();
        log.overlay(DAEMON, 41, &[40]);
        Visit { log }
    }

    fn stranger(&mut self, who: Who) {
        let log = &mut self.log;
        log.fork(Who(5, 1, 0, 1, 1), who);
        self.enter(who);
    }

    fn enter(&mut self, who: Who) {
        let log = &mut self.log;
        log.add(who, "fs.chroot", &format!(r#""path":"{TREE}","path_from":"user","ret":0"#));
        log.exec(who, MAKE);
        log.add(who, "file.open", r#""path":"/planted","mode":"w","create":true,"ret":3"#);
    }

    fn runtime(&mut self) {
        let log = &mut self.log;
        log.fork(CONTAINERD, SHIM);
        log.exec(SHIM, &["shim"]);
        log.fork(SHIM, INIT);
        log.add(INIT, "mount.pivot_root", &format!(r#""path":"{TREE}","put_old":".","ret":0"#));
        log.exec(INIT, MAKE);
        log.add(INIT, "file.open", r#""path":"/own","mode":"w","create":true,"ret":3"#);
        log.end(INIT);
    }

    /// The engine reads what the step left, and the client ends. Each group number in `named` is a container's.
    fn seen(mut self, named: &[u32], v2: bool) -> Seen {
        let log = &mut self.log;
        log.add(DAEMON, "mount.umount", &format!(r#""target":"{TREE}","flags":[],"ret":0"#));
        log.overlay(DAEMON, 41, &[40]);
        let read = format!(r#""path":"{TREE}/own","mode":"r","size":1,"ret":7"#);
        log.add(DAEMON, "file.open", &read);
        log.end(CLIENT);
        log.rename("overlay2/40/diff", "overlay2/40-init/diff");
        for group in named {
            log.rename(&format!("\"/g{group}\""), &format!("\"/docker/{group:064x}\""));
        }
        if !v2 {
            log.rename(r#""cgroup":"v2""#, r#""cgroup":"hybrid""#);
        }
        let (seen, kept) = look(log);
        // A log of that build alone says the same.
        assert_eq!(look(&log.only(&kept)).0, seen);
        // So does one of a host whose systemd makes the groups, with runc and with crun.
        let forms =
            ["/docker/ID", "/system.slice/docker-ID.scope", "/system.slice/docker-ID.scope/container"];
        for (before, after) in forms.iter().zip(&forms[1..]) {
            for group in named {
                let put = |form: &str| form.replace("ID", &format!("{group:064x}"));
                log.rename(&format!("\"{}\"", put(before)), &format!("\"{}\"", put(after)));
            }
            assert_eq!(look(log).0, seen, "{after}");
        }
        seen
    }
}

/// What a log says, and which events are the build's.
fn look(log: &Log) -> (Seen, HashSet<u64>) {
    let builds = log.builds();
    let [run] = builds.builds[0].runs.as_slice() else { panic!("{builds:?}") };
    assert_eq!(run.kind, RunKind::Run);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let (mut visitors, mut own, mut kept) = (Vec::new(), Vec::new(), HashSet::new());
    log.each(|event| {
        let place = membership.classify(event);
        if place != Place::Outside {
            kept.insert(event.head.seq);
        }
        if let blubr_log::Body::FileOpen(open) = &event.body {
            match open.path.get().map(|path| path.bytes()) {
                Some(b"/planted") => visitors.push(place),
                Some(b"/own") => own.push(place),
                _ => {}
            }
        }
    });
    let file = Dockerfile::parse(b"FROM base\nRUN make\n").unwrap();
    let tied = tie(&builds.builds[0], &file).remove(0).instruction;
    (Seen { visitors, own, init: run.init.map(|init| init.pid), tied }, kept)
}

const OWN: Place = Place::Container { run: 0 };
const FOREIGN: Place = Place::Foreign { run: Some(0) };

#[test]
fn the_runtime_s_own_control_group_tells_it_from_who_came_before() {
    for v2 in [false, true] {
        let mut visit = Visit::begun();
        visit.stranger(VISITOR);
        visit.runtime();
        let seen = visit.seen(&[41], v2);
        assert_eq!((seen.visitors, seen.own), (vec![FOREIGN], vec![OWN]), "{v2}");
        assert_eq!((seen.init, seen.tied), (Some(INIT.0), Tied::One(1)));
    }
}

#[test]
fn who_comes_while_the_runtime_s_container_is_there_takes_nothing_from_it() {
    let mut visit = Visit::begun();
    visit.runtime();
    visit.stranger(VISITOR);
    let seen = visit.seen(&[41], false);
    assert_eq!((seen.visitors, seen.own), (vec![FOREIGN], vec![OWN]));
    assert_eq!((seen.init, seen.tied), (Some(INIT.0), Tied::One(1)));
}

#[test]
fn a_group_that_was_there_before_the_step_is_another_container_s() {
    // As root in a container of its own, it comes into the step's tree.
    let mut visit = Visit::begun_with(Some(Who(30, 5, 0, 77, 77)));
    visit.enter(Who(30, 5, 0, 77, 77));
    visit.runtime();
    let seen = visit.seen(&[41, 77], false);
    assert_eq!((seen.visitors, seen.own), (vec![FOREIGN], vec![OWN]));
    assert_eq!((seen.init, seen.tied), (Some(INIT.0), Tied::One(1)));
}

#[test]
fn where_either_may_be_the_runtime_s_neither_is_told_as_the_step() {
    // Both have such a group, or the host has none to tell by.
    for (groups, who) in [(&[41, 78][..], Who(30, 5, 0, 78, 77)), (&[], VISITOR)] {
        for (first, v2) in [(false, false), (true, false), (false, true), (true, true)] {
            if v2 && groups.is_empty() {
                continue;
            }
            let mut visit = Visit::begun();
            if first {
                visit.stranger(who);
            }
            visit.runtime();
            if !first {
                visit.stranger(who);
            }
            let seen = visit.seen(groups, v2);
            assert_eq!((seen.visitors, seen.own), (vec![FOREIGN], vec![FOREIGN]), "{first}");
            assert_eq!(seen.init, None);
            // It is a RUN; what it ran is not known.
            assert_eq!(seen.tied, Tied::One(1));
        }
    }
}

#[test]
fn where_each_container_has_such_a_group_who_has_none_is_no_container() {
    let mut visit = Visit::begun();
    visit.stranger(VISITOR);
    visit.log.add(
        DAEMON,
        "file.open",
        &format!(r#""path":"{TREE}/copied","mode":"w","create":true,"ret":3"#),
    );
    visit.log.end(CLIENT);
    visit.log.rename("overlay2/40/diff", "overlay2/40-init/diff");
    let builds = visit.log.builds();
    assert_eq!(builds.builds[0].runs[0].kind, RunKind::Daemon, "a COPY, with a visitor in its tree");
}

#[test]
fn who_does_not_descend_from_buildah_is_no_container_of_its() {
    let mut log = Log::new();
    let buildah = Who(20, 5, 0, 1, 1);
    log.exec(buildah, &["buildah", "bud", "."]);
    let mount = r#""source":"overlay","target":"/s/overlay/1/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/0/diff"],"upper":"/s/overlay/1/diff","work":"/s/overlay/1/work","ret":0"#;
    log.add(buildah, "mount.mount", mount);
    for (who, name) in [(VISITOR, "planted"), (Who(411, 20, 0, 41, 41), "own")] {
        if name == "own" {
            log.fork(buildah, who);
        }
        log.add(who, "mount.pivot_root", r#""path":"/s/overlay/1/merged","put_old":".","ret":0"#);
        log.exec(who, MAKE);
        let write = format!(r#""path":"/{name}","mode":"w","create":true,"ret":3"#);
        log.add(who, "file.open", &write);
        log.end(who);
    }
    log.end(buildah);
    let builds = log.builds();
    let inits: Vec<_> = builds.builds[0].runs.iter().map(|run| run.init.unwrap().pid).collect();
    assert_eq!(inits, [411]);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut writes = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        if matches!(event.body, blubr_log::Body::FileOpen(_)) {
            writes.push(place);
        }
    });
    assert_eq!(writes, [FOREIGN, OWN]);
}

#[test]
fn what_a_step_makes_like_layers_without_end_prevents_nothing() {
    let makers: [fn(&mut Log, usize); 2] = [
        |log, n| {
            let own = format!(r#""path":"/vfs/dir/{n}","mode":"0755","ret":0"#);
            log.add(INIT, "file.mkdir", &own);
        },
        |log, n| {
            let own = format!(r#""path":"/l/{n}","target":"../{n}/diff","ret":0"#);
            log.add(INIT, "file.symlink", &own);
        },
    ];
    for make in makers {
        let mut log = Log::begun();
        log.run_going_on(DAEMON, 41, &[40], MAKE);
        (0..=crate::finder::TRACES_MAX).for_each(|n| make(&mut log, n));
        log.end(INIT);
        log.run(DAEMON, 42, &[41, 40], MAKE);
        log.end(CLIENT);
        let builds = log.builds();
        let [build] = builds.builds.as_slice() else { panic!("{} builds", builds.builds.len()) };
        assert_eq!((build.engine_process.pid, build.runs.len()), (DAEMON.0, 2));
    }
}
