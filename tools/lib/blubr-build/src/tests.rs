//! Builds made of synthetic events: the traces that BuildKit leaves of two identical RUN lines, and who else was there.

mod aside;
mod beside;
mod classified;
mod concurrent;
mod copies;
mod entrants;
mod heredocs;
mod late;
mod linked;
mod log;
mod losses;
mod masters;
mod mounts;
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

use crate::{Engine, Membership, NoBuild, Place, RunKind, Tied, tie};
use log::{CLIENT, DAEMON, Log, STRANGER, Who, unpack};

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
