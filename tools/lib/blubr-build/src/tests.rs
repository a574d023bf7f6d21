//! Builds made of synthetic events: the traces that BuildKit leaves of two identical RUN lines, and who else was there.

mod aside;
mod beside;
mod concurrent;
mod copies;
mod entrants;
mod heredocs;
mod late;
mod losses;
mod masters;
mod nested;
mod parts;
mod places;
mod prepared;
mod put_old;
mod registered;
mod reused;
mod strangers;
mod told;

use blubr_dockerfile::Dockerfile;
use blubr_log::{Body, LineKind, Reader};

use crate::{Area, Builds, Engine, Finder, Membership, NoBuild, Place, RunKind, Tied, tie};

const HEADER: &str = r#"{"type":"header","schema":"blubr.log/1","tool":{"name":"t","version":"0"},"started":"2026-11-24T12:00:00.000000000Z","host":{"kernel":"6","arch":"x86_64","boot_id":"b","machine_id_hash":null,"cgroup":"v2","resolvers":[]},"backend":"t","hooks":[],"not_covered":[],"scope":"host"}"#;

/// A log that grows by an event a line.
pub(crate) struct Log {
    text: String,
    seq: u64,
}

/// Who an event is of: pid, parent, user id, control group, mount namespace.
#[derive(Clone, Copy)]
pub(crate) struct Who(pub(crate) u32, pub(crate) u32, pub(crate) u32, pub(crate) u64, pub(crate) u32);

pub(crate) const DAEMON: Who = Who(10, 1, 0, 1, 1);
pub(crate) const CLIENT: Who = Who(20, 5, 1000, 1, 1);
pub(crate) const STRANGER: Who = Who(30, 5, 1000, 1, 1);

/// How a RUN goes.
#[derive(Default)]
struct Run {
    code: u32,
    killed: bool,
    /// It does not end.
    goes_on: bool,
    mounted: Option<u32>,
    unshares: bool,
    /// Its mount namespace, where that is not `n`.
    mntns: Option<u32>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Log { text: format!("{HEADER}\n"), seq: 0 }
    }

    /// A log in which an engine is there, and a client has asked it for a build.
    pub(crate) fn begun() -> Self {
        Log::begun_by(CLIENT)
    }

    pub(crate) fn begun_by(client: Who) -> Self {
        let mut log = Log::new();
        log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
        log.asks(client);
        log
    }

    pub(crate) fn add(&mut self, who: Who, kind: &str, own: &str) -> u64 {
        self.add_by(who, who.0, kind, own)
    }

    /// An event of one thread of a process.
    pub(crate) fn add_by(&mut self, who: Who, tid: u32, kind: &str, own: &str) -> u64 {
        let Who(pid, ppid, uid, cgroup, mntns) = who;
        self.seq += 1;
        let comma = if own.is_empty() { "" } else { "," };
        self.text.push_str(&format!(
            r#"{{"seq":{},"time":"2026-11-24T12:00:00.{:09}Z","type":"{kind}","pid":{pid},"tid":{tid},"start":{pid}0,"ppid":{ppid},"comm":"x","uid":{uid},"cgroup":"/g{cgroup}","cgroup_id":{cgroup},"mntns":{mntns}{comma}{own}}}"#,
            self.seq, self.seq
        ));
        self.text.push('\n');
        self.seq
    }

    pub(crate) fn exec(&mut self, who: Who, argv: &[&str]) -> u64 {
        let argv: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
        self.add(
            who,
            "process.exec",
            &format!(r#""exe":"/bin/x","argv":[{}],"cwd":"/","gid":0"#, argv.join(",")),
        )
    }

    pub(crate) fn fork(&mut self, who: Who, child: Who) {
        self.add(who, "process.fork", &format!(r#""child_pid":{},"child_start":{}0"#, child.0, child.0));
    }

    /// One RUN as BuildKit does it, in a container with control group and namespace `n`.
    /// One in a namespace of any number.
    fn run_in(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], mntns: u32) {
        self.run_as(daemon, n, lowers, argv, &Run { mntns: Some(mntns), ..Run::default() });
    }

    pub(crate) fn run(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run::default());
    }

    /// One that fails.
    pub(crate) fn run_ending(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], code: u32) {
        self.run_as(daemon, n, lowers, argv, &Run { code, ..Run::default() });
    }

    /// One that is killed.
    pub(crate) fn run_killed(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { killed: true, ..Run::default() });
    }

    /// One that is not seen to end.
    pub(crate) fn run_going_on(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { goes_on: true, ..Run::default() });
    }

    /// What a filter keeps of the log for its first build.
    fn kept(&self) -> Log {
        let mut membership = Membership::new(&self.builds(), 1).unwrap();
        let mut kept = std::collections::HashSet::new();
        self.each(|event| {
            if membership.classify(event) != Place::Outside {
                kept.insert(event.head.seq);
            }
        });
        self.only(&kept)
    }

    /// The log with only these events.
    pub(crate) fn only(&self, seqs: &std::collections::HashSet<u64>) -> Log {
        let mut kept = Log::new();
        let header = self.text.lines().next().unwrap();
        let filters = r#","filters":[{"tool":"t","args":["--build"]}]}"#;
        kept.text = format!("{}{filters}\n", header.strip_suffix('}').unwrap());
        let mut lines = self.text.lines().skip(1);
        self.each(|event| {
            let line = lines.next().unwrap();
            if seqs.contains(&event.head.seq) {
                kept.text.push_str(&format!("{line}\n"));
            }
        });
        kept
    }

    /// Gives a directory of the log another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        self.text = self.text.replace(from, to);
    }

    /// One with what another step left mounted into it.
    pub(crate) fn run_with(
        &mut self,
        daemon: Who,
        n: u32,
        lowers: &[u32],
        argv: &[&str],
        mounted: Option<u32>,
    ) {
        self.run_as(daemon, n, lowers, argv, &Run { mounted, ..Run::default() });
    }

    /// One whose runtime makes the mount namespace before it enters the tree.
    pub(crate) fn run_unsharing(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str]) {
        self.run_as(daemon, n, lowers, argv, &Run { unshares: true, ..Run::default() });
    }

    pub(crate) fn overlay(&mut self, daemon: Who, n: u32, lowers: &[u32]) {
        let dir = |n: u32| format!("/s/overlay2/{n}/diff");
        let lowers: Vec<String> = lowers.iter().map(|n| format!("\"{}\"", dir(*n))).collect();
        self.add(
            daemon,
            "mount.mount",
            &format!(
                r#""source":"overlay","target":"/s/overlay2/{n}/merged","fstype":"overlay","flags":[],"lower":[{}],"upper":"{}","work":"/s/overlay2/{n}/work","ret":0"#,
                lowers.join(","),
                dir(n)
            ),
        );
    }

    fn run_as(&mut self, daemon: Who, n: u32, lowers: &[u32], argv: &[&str], how: &Run) {
        self.overlay(daemon, n, lowers);
        self.add(
            daemon,
            "mount.mount",
            &format!(
                r#""source":"/s/overlay2/{n}/merged","target":"/x/{n}/rootfs","flags":["bind"],"ret":0"#
            ),
        );
        let runtime = Who(n * 10, daemon.0, daemon.2, daemon.3, daemon.4);
        let init = Who(n * 10 + 1, n * 10, daemon.2, u64::from(n), how.mntns.unwrap_or(n));
        self.fork(daemon, runtime);
        self.exec(runtime, &["runc", "run"]);
        self.fork(runtime, init);
        if how.unshares {
            self.add(init, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
        }
        let place = format!(r#""path":"/x/{n}/rootfs/dev","mode":"path","ret":6"#);
        self.add(init, "file.open", &place);
        let mount = r#""source":"tmpfs","target":"/proc/self/fd/6","fstype":"tmpfs","flags":[],"path_from":"user","ret":0"#;
        self.add(init, "mount.mount", mount);
        if let Some(other) = how.mounted {
            self.overlay(daemon, other, &[40]);
            let own = format!(
                r#""source":"/s/overlay2/{other}/merged","target":"/proc/self/fd/6","cwd":"/x/{n}/rootfs","flags":["bind"],"ret":0"#
            );
            self.add(init, "mount.mount", &own);
        }
        self.add(init, "mount.pivot_root", &format!(r#""path":"/x/{n}/rootfs","put_old":".","ret":0"#));
        self.exec(init, argv);
        self.add(init, "file.open", r#""path":"/m","mode":"w","create":true,"ret":3"#);
        if how.goes_on {
            return;
        }
        let end =
            if how.killed { r#""signal":9"#.to_owned() } else { format!(r#""code":{}"#, how.code) };
        self.add(init, "process.exit", &end);
        self.add(
            daemon,
            "mount.umount",
            &format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#),
        );
    }

    pub(crate) fn client(&mut self) {
        self.asks(CLIENT);
    }

    fn asks(&mut self, client: Who) {
        self.exec(client, &["docker", "build", "."]);
        self.add(client, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    }

    pub(crate) fn end(&mut self, who: Who) {
        self.add(who, "process.exit", r#""code":0"#);
    }

    pub(crate) fn each(&self, mut each: impl FnMut(&blubr_log::Event<'_>)) {
        let mut reader = Reader::new(self.text.as_bytes()).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            if let LineKind::Event(event) = &line.kind {
                each(event);
            }
        }
    }

    pub(crate) fn builds(&self) -> Builds {
        self.builds_with(&[])
    }

    pub(crate) fn builds_told(&self, client: crate::ProcessKey, dockerfile: Dockerfile) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        finder.told(client, dockerfile);
        self.each(|event| finder.observe(event));
        finder.finish().unwrap()
    }

    pub(crate) fn builds_with(&self, lost: &[blubr_log::Lost]) -> Builds {
        let mut finder = Finder::new(Reader::new(self.text.as_bytes()).unwrap().header());
        self.each(|event| finder.observe(event));
        lost.iter().for_each(|lost| finder.lost(lost));
        finder.finish().unwrap()
    }
}

fn two_runs() -> Log {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    log
}

#[test]
fn identical_lines_are_told_apart_by_their_chain() {
    let builds = two_runs().builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!((build.engine, build.client.pid, build.engine_process.pid), (Engine::BuildKit, 20, 10));
    assert_eq!(build.runs.len(), 2);
    assert!(build.runs.iter().all(|run| run.kind == RunKind::Run && !run.shared));
    assert_eq!(build.runs[1].below, [build.runs[0].id]);
    let file = Dockerfile::parse(b"FROM base\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::One(1), Tied::One(2)]);
    // One of three such lines was cached, and it was the first.
    let file = Dockerfile::parse(b"FROM base\nRUN make\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::One(2), Tied::One(3)]);
    // Two stages that fit alike.
    let file =
        Dockerfile::parse(b"FROM base\nRUN make\nRUN make\nFROM base\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::Candidates(vec![1, 4]), Tied::Candidates(vec![2, 5])]);
    let file = Dockerfile::parse(b"FROM base\nRUN other\n").unwrap();
    assert!(tie(build, &file).iter().all(|tie| tie.instruction == Tied::None));
}

#[test]
fn triggers_of_a_base_are_none_of_the_file() {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "trigger"]);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 43, &[42, 41, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let tied = |text: &str| -> Vec<Tied> {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        tie(&builds.builds[0], &file).into_iter().map(|tie| tie.instruction).collect()
    };
    assert_eq!(tied("FROM base\nRUN make\nRUN make\n"), [Tied::None, Tied::One(1), Tied::One(2)]);
    // A trigger may say the same as the first line does.
    assert_eq!(tied("FROM base\nRUN trigger\nRUN make\nRUN make\n"), [1, 2, 3].map(Tied::One));
    // From nothing there are none, and where they ran, no line was in the cache.
    for text in ["FROM scratch\nRUN make\nRUN make\n", "FROM base\nRUN other\nRUN make\nRUN make\n"] {
        assert_eq!(tied(text)[0], Tied::None, "{text}");
    }
}

#[test]
fn every_event_has_its_place() {
    let mut log = two_runs();
    let end = log.text.clone();
    // Someone who writes into a step's upper directory while the build goes on, and does other things.
    log = Log { text: format!("{HEADER}\n"), seq: 0 };
    log.add(DAEMON, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    log.client();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let foreign = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/evil","mode":"w","create":true,"ret":3"#,
    );
    let outside = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/410/diff/x","mode":"w","create":true,"ret":3"#,
    );
    let entered =
        log.add(Who(31, 5, 0, 41, 1), "file.open", r#""path":"/etc/passwd","mode":"r","ret":3"#);
    log.end(CLIENT);
    let later = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/later","mode":"w","create":true,"ret":3"#,
    );
    assert!(end.len() > log.text.len());
    let builds = log.builds();
    let run = builds.builds[0].runs[0].id;
    let mut membership = Membership::new(&builds, 1).unwrap();
    assert!(Membership::new(&builds, 2).is_none());
    let mut places = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        let writes = matches!(&event.body, Body::FileOpen(open) if open.mode.writes());
        if event.head.pid == 411 && writes {
            let spot = membership.spot(event, b"/m").unwrap();
            assert_eq!(
                (spot.run, spot.area, spot.path.as_slice(), spot.mounted),
                (Some(run), Area::Tree, &b"/m"[..], None)
            );
        }
        if event.head.seq == foreign {
            let inside = membership.container_path(event, b"/s/overlay2/41/diff/evil", run);
            assert_eq!(inside.as_deref(), Some(&b"/evil"[..]));
        }
        places.push((event.head.seq, event.head.pid, place));
    });
    let of = |seq: u64| places.iter().find(|(known, ..)| *known == seq).unwrap().2;
    assert_eq!(of(foreign), Place::Foreign { run: Some(run) });
    assert_eq!(
        of(entered),
        Place::Foreign { run: Some(run) },
        "in the container's group without descending from it"
    );
    assert_eq!((of(outside), of(later)), (Place::Outside, Place::Outside));
    for (seq, pid, place) in places.iter().copied() {
        match pid {
            20 => assert_eq!(place, Place::Client),
            411 => assert_eq!(place, Place::Container { run }, "event {seq}"),
            410 => assert_eq!(place, Place::Engine { run: Some(run) }, "event {seq}"),
            10 => assert!(matches!(place, Place::Engine { .. }), "event {seq}"),
            _ => {}
        }
    }
}

#[test]
fn what_comes_of_a_process_after_its_end_is_still_its_own() {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    // The kernel says that a process ends before it closes its sockets.
    let close = r#""proto":"tcp","family":"inet","saddr":"127.0.0.1","sport":1,"daddr":"127.0.0.1","dport":9,"bytes_sent":0,"bytes_received":0,"duration_ns":1"#;
    let late = log.add(Who(411, 410, 0, 41, 41), "net.close", close);
    // The number of its namespace is given to the next container's, whose root is another.
    log.run_in(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"], 41);
    log.end(CLIENT);
    let builds = log.builds();
    let runs = &builds.builds[0].runs;
    assert_eq!(runs.iter().filter(|run| run.first_exec.is_some()).count(), 2);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut place = None;
    log.each(|event| {
        let found = membership.classify(event);
        place = if event.head.seq == late { Some(found) } else { place };
    });
    assert_eq!(place, Some(Place::Container { run: runs[0].id }));
}

#[test]
fn steps_that_share_a_tree_keep_their_order() {
    let mut log = Log::new();
    let buildah = Who(20, 5, 0, 1, 1);
    log.exec(buildah, &["buildah", "bud", "--layers=false", "."]);
    let mount = r#""source":"overlay","target":"/s/overlay/1/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/0/diff"],"upper":"/s/overlay/1/diff","work":"/s/overlay/1/work","ret":0"#;
    log.add(buildah, "mount.mount", mount);
    let copy = |log: &mut Log| {
        let write = r#""path":"/s/overlay/1/merged/copied","mode":"w","create":true,"ret":3"#;
        log.add(buildah, "file.open", write);
    };
    copy(&mut log);
    for n in 41..45 {
        let init = Who(n * 10, 20, 0, u64::from(n), n);
        log.fork(buildah, init);
        log.add(init, "mount.pivot_root", r#""path":"/s/overlay/1/merged","put_old":".","ret":0"#);
        log.exec(init, &["/bin/sh", "-c", "make"]);
        log.end(init);
        if n == 42 {
            copy(&mut log);
        }
    }
    log.end(buildah);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let last = build.runs.last().unwrap();
    assert_eq!(last.below, (0..last.id).rev().collect::<Vec<u32>>(), "the nearest first");
    let text = b"FROM base\nCOPY a /\nRUN make\nRUN make\nCOPY b /\nRUN make\nRUN make\n";
    let file = Dockerfile::parse(text).unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, (1..7).map(Tied::One).collect::<Vec<_>>());
}

#[test]
fn a_child_of_what_entered_by_chroot_is_a_container_where_it_runs_a_program() {
    let mut log = Log::new();
    let buildah = Who(20, 5, 0, 1, 1);
    log.exec(buildah, &["buildah", "bud", "--isolation", "chroot", "."]);
    for (n, lower) in [(1, "empty"), (2, "../1/diff")] {
        let dir = format!("/s/overlay/{n}");
        let mount = format!(
            r#""source":"overlay","target":"{dir}/merged","fstype":"overlay","flags":[],"lower":["{dir}/{lower}"],"upper":"{dir}/diff","work":"{dir}/work","ret":0"#
        );
        log.add(buildah, "mount.mount", &mount.replace("/s/overlay/2/../1", "/s/overlay/1"));
        // What only looks enters too.
        let looks = Who(n * 100, 20, 0, 1, 1);
        log.fork(buildah, looks);
        log.add(looks, "fs.chroot", &format!(r#""path":"{dir}/merged","ret":0"#));
        log.end(looks);
        // In one namespace the mounts, in a further one the chroot; its child is the step.
        let outer = Who(n * 100 + 1, 20, 0, 1, n * 10 + 1);
        log.fork(buildah, outer);
        log.exec(outer, &["buildah-chroot-runtime"]);
        let bind =
            format!(r#""source":"{dir}/merged","target":"/t/{n}/rootfs","flags":["bind"],"ret":0"#);
        log.add(outer, "mount.mount", &bind);
        let proc = format!(
            r#""source":"/proc","target":"/t/{n}/rootfs/proc","fstype":"bind","flags":["bind"],"ret":0"#
        );
        log.add(outer, "mount.mount", &proc);
        let inner = Who(n * 100 + 2, n * 100 + 1, 0, 1, n * 10 + 2);
        log.fork(outer, inner);
        log.exec(inner, &["buildah-chroot-exec"]);
        log.add(inner, "fs.chroot", &format!(r#""path":"/t/{n}/rootfs","ret":0"#));
        let step = Who(n * 100 + 3, n * 100 + 2, 0, 1, n * 10 + 2);
        log.fork(inner, step);
        log.exec(step, &["/bin/sh", "-c", "make"]);
        log.end(step);
        log.end(inner);
        log.end(outer);
    }
    let stranger = log.add(STRANGER, "file.open", r#""path":"/etc/hosts","mode":"r","ret":3"#);
    log.end(buildah);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let [one, two] = build.runs.as_slice() else { panic!("{:?}", build.runs) };
    assert_eq!((one.kind, two.kind), (RunKind::Run, RunKind::Run));
    assert_eq!((one.init.unwrap().pid, two.init.unwrap().pid), (103, 203));
    assert_eq!(two.mounts.iter().map(|mount| mount.path.as_slice()).collect::<Vec<_>>(), [b"/proc"]);
    assert_eq!((one.cgroup_id, two.cgroup_id), (None, None), "that of buildah is none of theirs");
    // Nothing lies below the first: it is the first line.
    let file = Dockerfile::parse(b"FROM scratch\nRUN make\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied[0], Tied::One(1));
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.seq == stranger {
            assert_eq!(place, Place::Outside);
        }
    });
}

#[test]
fn short_names_that_were_gone_are_taken_from_the_log() {
    let mut log = Log::begun();
    for n in [40, 41] {
        let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &link);
    }
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let given = r#""lower":["/s/overlay2/41/diff","/s/overlay2/40/diff"],"#;
    let short = r#""cwd":"/s/overlay2","fstype":"overlay","flags":[],"options":"index=off,lowerdir=/s/overlay2/l/L41:l/L40,upperdir=x","#;
    assert!(log.text.contains(given));
    log.text = log.text.replace(&format!(r#""fstype":"overlay","flags":[],{given}"#), short);
    assert!(log.text.contains(short));
    let builds = log.builds();
    let runs: Vec<_> = builds.builds[0].runs.iter().filter(|run| run.first_exec.is_some()).collect();
    assert_eq!(runs[1].lowers, [b"/s/overlay2/41/diff".to_vec(), b"/s/overlay2/40/diff".to_vec()]);
    assert_eq!(runs[1].below.first(), Some(&runs[0].id));
}

#[test]
fn a_snapshotter_belongs_to_the_engine_that_mounts_what_it_makes() {
    let snapshotter = Who(12, 1, 0, 1, 1);
    let mut log = Log::new();
    for who in [DAEMON, snapshotter] {
        log.add(who, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    }
    log.client();
    let snapshot = |log: &mut Log, n: u32| {
        let made = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(snapshotter, "file.mkdir", &made);
        let named = format!(r#""path":"/s/snapshots/new-{n}","to":"/s/snapshots/{n}","ret":0"#);
        log.add(snapshotter, "file.rename", &named);
    };
    snapshot(&mut log, 41);
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    snapshot(&mut log, 42);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    // What it unpacks is no step.
    snapshot(&mut log, 50);
    let write = r#""path":"/s/snapshots/50/fs/m","mode":"w","create":true,"ret":3"#;
    log.add(snapshotter, "file.open", write);
    log.end(CLIENT);
    for n in [40, 41, 42] {
        log.rename(&format!("/s/overlay2/{n}/diff"), &format!("/s/snapshots/{n}/fs"));
    }
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!((build.engine_process.pid, build.runs.len()), (10, 2));
    let file = Dockerfile::parse(b"FROM base\nRUN make\nRUN make\n").unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [Tied::One(1), Tied::One(2)]);
}

#[test]
fn what_a_runtime_mounts_upon_a_descriptor_is_where_that_was_opened() {
    let builds = two_runs().builds();
    for run in &builds.builds[0].runs {
        let mounts: Vec<&[u8]> = run.mounts.iter().map(|mount| mount.path.as_slice()).collect();
        assert_eq!(mounts, [b"/dev"]);
    }
}

/// A thread of the engine unpacks something in a directory that it makes its own root, as Docker 24 and later does.
pub(crate) fn unpack(log: &mut Log, tid: u32, dir: &str, files: &[&str]) -> Vec<u64> {
    let thread = Who(DAEMON.0, DAEMON.1, DAEMON.2, DAEMON.3, 77);
    log.add_by(thread, tid, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    let pivot = format!(r#""path":"{dir}","put_old":".","ret":0"#);
    log.add_by(thread, tid, "mount.pivot_root", &pivot);
    // It lists its root as it goes.
    log.add_by(thread, tid, "file.open", r#""path":"/","mode":"r","size":4096,"ret":3"#);
    let write = |name: &&str| {
        let open = format!(r#""path":"{name}","mode":"w","create":true,"size":0,"ret":3"#);
        let opened = log.add_by(thread, tid, "file.open", &open);
        log.add_by(thread, tid, "file.close", &format!(r#""path":"{name}","size":7"#));
        opened
    };
    files.iter().map(write).collect()
}

#[test]
fn a_thread_that_unpacks_a_layer_leaves_the_engine_where_it_is() {
    let mut log = Log::begun();
    // The context comes before anything else shows that it is an engine.
    unpack(&mut log, 101, "/s/tmp/docker-builder1", &["/Dockerfile", "/note"]);
    let layer = |log: &mut Log, n: u32| {
        let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &link);
    };
    let read = |log: &mut Log, path: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"r","size":7,"ret":3"#));
    };
    layer(&mut log, 50);
    read(&mut log, "/s/tmp/docker-builder1/note");
    let copied = unpack(&mut log, 102, "/s/overlay2/50/diff", &["/note"]);
    read(&mut log, "/s/overlay2/50/diff/note");
    // What it read it registers, and the next step stands on that.
    layer(&mut log, 51);
    unpack(&mut log, 103, "/s/overlay2/51/diff", &["/note"]);
    log.run(DAEMON, 42, &[51], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let [copy, run] = build.runs.as_slice() else { panic!("{:?}", build.runs) };
    assert_eq!(
        (copy.upper.as_slice(), run.below.as_slice()),
        (&b"/s/overlay2/50/diff"[..], &[copy.id][..])
    );
    assert_eq!(build.contexts.len(), 1);
    assert_eq!(copy.reads_context, [b"/s/tmp/docker-builder1".to_vec()]);
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.seq == copied[0] {
            assert_eq!(place, Place::Engine { run: Some(copy.id) });
            let spot = membership.spot(event, b"/note").unwrap();
            assert_eq!((spot.run, spot.path.as_slice()), (Some(copy.id), &b"/note"[..]));
        }
        if matches!(event.body, Body::NsUnshare(_)) {
            assert_ne!(place, Place::Outside, "a filtered log needs it to tell the threads apart");
        }
    });
}

#[test]
fn what_an_engine_puts_together_by_links_is_the_result_of_what_it_linked() {
    assert_eq!(linked(false), 1);
    // The context is one that the engine has kept from before the log: what was copied of it is none.
    assert_eq!(linked(true), 0);
}

/// Two copies that link from a context, and a RUN upon both; gives the number of contexts that are known.
fn linked(kept: bool) -> usize {
    let snapshotter = Who(12, 1, 0, 1, 1);
    let mut log = Log::new();
    for who in [DAEMON, snapshotter] {
        log.add(who, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    }
    log.client();
    let snapshot = |log: &mut Log, n: u32| {
        let made = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(snapshotter, "file.mkdir", &made);
        let named = format!(r#""path":"/s/snapshots/new-{n}","to":"/s/snapshots/{n}","ret":0"#);
        log.add(snapshotter, "file.rename", &named);
    };
    let bind = |log: &mut Log, n: u32, at: &str| {
        let own = format!(r#""source":"/s/snapshots/{n}/fs","target":"{at}","flags":["bind"],"ret":0"#);
        log.add(DAEMON, "mount.mount", &own);
    };
    let write = |log: &mut Log, path: &str| {
        let open = format!(r#""path":"{path}","mode":"w","create":true,"size":0,"ret":3"#);
        log.add(DAEMON, "file.open", &open);
        log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":7"#));
    };
    let read = |log: &mut Log, path: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"r","size":7,"ret":3"#));
    };
    if !kept {
        snapshot(&mut log, 30);
    }
    bind(&mut log, 30, "/t/context");
    write(&mut log, "/s/snapshots/30/fs/note");
    // Two copies, each into a layer of its own that lies on nothing.
    for n in [41, 42] {
        snapshot(&mut log, n);
        read(&mut log, "/t/context/note");
        write(&mut log, &format!("/s/snapshots/{n}/fs/note{n}"));
    }
    // And both in one.
    snapshot(&mut log, 43);
    for n in [41, 42] {
        bind(&mut log, n, &format!("/t/{n}"));
        read(&mut log, &format!("/t/{n}/note{n}"));
        let link =
            format!(r#""path":"/s/snapshots/{n}/fs/note{n}","to":"/s/snapshots/43/fs/note{n}","ret":0"#);
        log.add(DAEMON, "file.link", &link);
    }
    snapshot(&mut log, 44);
    log.run(DAEMON, 44, &[43, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    for n in [40, 43, 44] {
        log.rename(&format!("/s/overlay2/{n}/diff"), &format!("/s/snapshots/{n}/fs"));
    }
    let builds = log.kept().builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let text = b"FROM base\nCOPY --link note /note41\nCOPY --link note /note42\nRUN make\n";
    let file = Dockerfile::parse(text).unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [1, 2, 3].map(Tied::One));
    build.contexts.len()
}

#[test]
fn what_a_client_sent_is_no_step_where_its_events_were_left_out() {
    let mut log = Log::begun();
    let layer = |log: &mut Log, n: u32| {
        let made = format!(r#""path":"/s/overlay2/l/S{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &made);
    };
    let open = |log: &mut Log, path: &str, own: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}",{own},"ret":3"#));
    };
    let close = |log: &mut Log, path: &str, size: u32| {
        log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":{size}"#));
    };
    layer(&mut log, 30);
    layer(&mut log, 31);
    for n in [30, 31] {
        let bind =
            format!(r#""source":"/s/overlay2/{n}/diff","target":"/t/{n}","flags":["bind"],"ret":0"#);
        log.add(DAEMON, "mount.mount", &bind);
        // The thread happens to have read the other context's file last.
        let file = format!("/s/overlay2/{n}/diff/note");
        open(&mut log, &file, r#""mode":"w","create":true,"size":0"#);
        close(&mut log, &file, 0);
        open(&mut log, &file, r#""mode":"w","size":0"#);
        close(&mut log, &file, 7);
        open(&mut log, &format!("/t/{n}/note"), r#""mode":"r","size":7"#);
    }
    log.run(DAEMON, 44, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!(build.runs.len(), 1, "{:?}", build.runs);
}

#[test]
fn a_container_that_was_made_and_never_ran_is_no_step() {
    let mut log = Log::begun();
    let link = r#""path":"/s/overlay2/l/L40","target":"../40-init/diff","ret":0"#;
    log.add(DAEMON, "file.symlink", link);
    log.add(DAEMON, "file.mkdir", r#""path":"/s/overlay2/40-init/diff/dev","mode":"0755","ret":0"#);
    log.run(DAEMON, 42, &[], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    assert_eq!(log.builds().builds[0].runs.len(), 1);
}

#[test]
fn what_calls_itself_an_engine_is_none() {
    let mut log = Log::new();
    let fake = Who(50, 5, 65534, 1, 1);
    log.exec(fake, &["dockerd", "-H", "unix:///run/docker.sock"]);
    log.client();
    log.fork(fake, Who(51, 50, 65534, 1, 1));
    log.exec(Who(51, 50, 65534, 1, 1), &["runc", "run"]);
    log.end(CLIENT);
    let builds = log.builds();
    assert!(builds.builds.is_empty() && builds.orphans == 0);
    assert_eq!(builds.pick(None).err(), Some(NoBuild::None));
    // In a user namespace of its own it can mount; it is still no engine of another user's client.
    let mut log = Log::new();
    log.client();
    log.run(fake, 43, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    assert!(builds.builds.is_empty());
    assert_eq!(builds.pick(None).err(), Some(NoBuild::NoClient(1)));
}

#[test]
fn what_fits_two_is_in_both() {
    let other = Who(21, 5, 1000, 1, 1);
    let mut log = Log::new();
    log.client();
    log.exec(other, &["docker", "build", "elsewhere"]);
    log.add(other, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    log.end(other);
    let builds = log.builds();
    assert_eq!(builds.builds.len(), 2);
    assert!(builds.builds.iter().all(|build| build.runs.len() == 1 && build.runs[0].shared));
    assert_eq!(builds.pick(None).err(), Some(NoBuild::Several(2)));
    assert_eq!(builds.pick(Some(3)).err(), Some(NoBuild::NoSuch(3, 2)));
}

#[test]
fn a_root_that_is_put_deeper_and_deeper_is_not_known_any_more() {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let step = Who(411, 410, 0, 41, 41);
    let deeper = format!(r#""path":"/{}","ret":0"#, "d".repeat(1_000));
    for _ in 0..7 {
        log.add(step, "fs.chroot", &deeper);
    }
    let known = log.add(step, "file.open", r#""path":"/x","mode":"w","create":true,"ret":3"#);
    log.add(step, "fs.chroot", &deeper);
    log.add(step, "fs.chroot", &deeper);
    let lost = log.add(step, "file.open", r#""path":"/x","mode":"w","create":true,"ret":3"#);
    log.end(step);
    log.end(CLIENT);
    let builds = log.builds();
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut spots = Vec::new();
    log.each(|event| {
        membership.classify(event);
        if [known, lost].contains(&event.head.seq) {
            spots.push((membership.spot(event, b"/x").is_some(), membership.lost_roots()));
        }
    });
    assert_eq!(spots, [(true, false), (false, true)]);
}

#[test]
fn copies_that_link_stand_upon_nothing_and_may_each_be_any() {
    let mut log = Log::begun();
    for n in [41, 42] {
        log.overlay(DAEMON, n, &[]);
        let own = format!(r#""path":"/s/overlay2/{n}/merged/{n}","mode":"w","create":true,"ret":3"#);
        log.add(DAEMON, "file.open", &own);
        log.add(
            DAEMON,
            "mount.umount",
            &format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#),
        );
    }
    // It is this that shows the engine to be BuildKit.
    log.run(DAEMON, 43, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let tied = |text: &str| -> Vec<Tied> {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        tie(&builds.builds[0], &file).into_iter().map(|tie| tie.instruction).collect()
    };
    let either = Tied::Candidates(vec![4, 5]);
    let two = "FROM base AS one\nRUN make\nFROM base\nLABEL a=b\n";
    let linked = format!("{two}COPY --link a /a\nCOPY --link b /b\n");
    assert_eq!(tied(&linked), [either.clone(), either, Tied::One(1)]);
    // Without --link what is upon nothing is of a stage from scratch, and the last is the last.
    let unlinked = format!("{two}COPY --link=false a /a\nCOPY b /b\n");
    assert_eq!(tied(&unlinked), [Tied::One(5), Tied::One(5), Tied::One(1)]);
}

/// Two containers of equal arguments upon one base, and a copy upon nothing of what the first made.
#[test]
fn equal_runs_of_two_stages_are_not_both_of_one_where_a_linked_copy_ends_the_second() {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let tied = |last: &str| -> Vec<Tied> {
        let text = format!(
            "FROM base AS one\nRUN --mount=type=cache,target=/c make\nFROM base\nRUN make\n{last}"
        );
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        tie(&builds.builds[0], &file).into_iter().map(|tie| tie.instruction).collect()
    };
    let either = Tied::Candidates(vec![1, 3]);
    for last in ["", "COPY --link --from=one /v /v\n", "COPY --from=one /v /v\n"] {
        assert_eq!(tied(last), [either.clone(), either.clone()], "{last}");
    }
}

/// Why a log's builds can't be found.
fn refused(log: &Log) -> String {
    let mut finder = Finder::new(Reader::new(log.text.as_bytes()).unwrap().header());
    log.each(|event| finder.observe(event));
    finder.finish().map(drop).unwrap_err().to_string()
}

/// The runtime of a tree's containers, which are in its namespace.
const RUNTIME: Who = Who(410, 10, 0, 1, 41);

/// A log with one tree and the runtime for it.
fn one_tree() -> Log {
    let mut log = Log::begun();
    log.overlay(DAEMON, 41, &[40]);
    let own = r#""source":"/s/overlay2/41/merged","target":"/x/41/rootfs","flags":["bind"],"ret":0"#;
    log.add(DAEMON, "mount.mount", own);
    log.fork(DAEMON, RUNTIME);
    log
}

/// The runtime mounts something into the tree.
fn mount_into(log: &mut Log, name: &str) {
    let own = format!(
        r#""source":"tmpfs","target":"/x/41/rootfs/{name}","fstype":"tmpfs","flags":[],"ret":0"#
    );
    log.add(RUNTIME, "mount.mount", &own);
}

/// A container of the tree that does this; its number among them.
fn container(log: &mut Log, n: u32, work: impl FnOnce(&mut Log, Who)) {
    let one = Who(1_000 + n, 410, 0, 41, 41);
    log.fork(RUNTIME, one);
    log.add(one, "fs.chroot", r#""path":"/x/41/rootfs","ret":0"#);
    log.exec(one, &["x"]);
    work(log, one);
    log.end(one);
}

/// A log with one tree, into which its runtime has mounted so much, and so many containers in it.
fn crowded(mounts: u32, containers: u32) -> Log {
    let mut log = one_tree();
    (0..mounts).for_each(|n| mount_into(&mut log, &n.to_string()));
    (0..containers).for_each(|n| container(&mut log, n, |_, _| {}));
    log.end(CLIENT);
    log
}

#[test]
fn what_is_mounted_later_is_not_upon_what_was_written_before() {
    const WRITES: &str = r#""path":"/data/x","mode":"w","ret":3"#;
    let mut log = one_tree();
    let mut written = Vec::new();
    container(&mut log, 0, |log, who| written.push(log.add(who, "file.open", WRITES)));
    // A volume of the next container, whose namespace has the number of the one before.
    mount_into(&mut log, "data");
    container(&mut log, 1, |log, who| {
        written.push(log.add(who, "file.open", WRITES));
        let own = r#""source":"tmpfs","target":"/own","fstype":"tmpfs","flags":[],"ret":0"#;
        let path = r#""path":"/own/x","mode":"w","ret":3"#;
        written.push(log.add(who, "file.open", path));
        log.add(who, "mount.mount", own);
        written.push(log.add(who, "file.open", path));
    });
    log.end(CLIENT);
    let builds = log.builds();
    let counts: Vec<_> = builds.builds[0].runs.iter().map(|run| run.mounts.len()).collect();
    assert_eq!(counts, [0, 2]);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut mounted = Vec::new();
    log.each(|event| {
        membership.classify(event);
        if let Body::FileOpen(open) = &event.body
            && written.contains(&event.head.seq)
        {
            let spot = membership.spot(event, open.path.get().unwrap().bytes()).unwrap();
            mounted.push(spot.mounted.is_some());
        }
    });
    assert_eq!(mounted, [false, true, false, true]);
}

#[test]
fn mounts_and_containers_without_end_are_refused() {
    let builds = crowded(100, 20).builds();
    assert!(builds.builds[0].runs.iter().all(|run| run.mounts.len() == 100));
    assert!(refused(&crowded(4_097, 1)).contains("mounts"));
    assert!(refused(&crowded(1_000, 300)).contains("mounts"), "each container has all of them");
    assert!(refused(&crowded(0, 2_100)).contains("upon one another"));
}
