//! Programs of a step that do what engines, runtimes and clients do, made of synthetic events: the step's they stay.

use crate::build::Evidence;
use crate::tests::{DAEMON, Log, Who};
use crate::{Membership, Place, RunKind};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);
/// A step's first process.
const INIT: Who = Who(411, 410, 0, 41, 41);
const OWN: Place = Place::Container { run: 0 };

/// A build whose step is at work.
fn at_work() -> Log {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log
}

fn open(log: &mut Log, who: Who, path: &str) -> u64 {
    let own = format!(r#""path":"{path}","mode":"w","create":true,"ret":3"#);
    log.add(who, "file.open", &own)
}

/// The step ends.
fn done(log: &mut Log) {
    log.end(INIT);
    log.add(DAEMON, "mount.umount", r#""target":"/s/overlay2/41/merged","flags":[],"ret":0"#);
}

fn ended(mut log: Log) -> Log {
    done(&mut log);
    log.end(CLIENT);
    log
}

fn place(log: &Log, seq: u64) -> Place {
    let mut membership = Membership::new(&log.builds(), 1).unwrap();
    let mut place = None;
    log.each(|event| {
        let at = membership.classify(event);
        place = place.or((event.head.seq == seq).then_some(at));
    });
    place.unwrap()
}

/// A program of a step makes a layer, and its child enters the step's own tree anew, as a runtime would.
fn forged(make: &str, own: &str) -> (Log, u64) {
    let mut log = at_work();
    log.add(INIT, make, own);
    let child = Who(412, 411, 0, 41, 41);
    log.fork(INIT, child);
    log.add(child, "fs.chroot", r#""path":"/","ret":0"#);
    log.exec(child, &["/bin/sh", "-c", "another line"]);
    let wrote = open(&mut log, child, "/evil");
    (ended(log), wrote)
}

#[test]
fn what_a_step_runs_in_its_own_tree_as_an_engine_would_is_no_step() {
    let ways = [
        ("file.symlink", r#""path":"/l/x","target":"../x/diff","ret":0"#),
        ("file.mkdir", r#""path":"/vfs/dir/x","mode":"0755","ret":0"#),
        ("mount.mount", r#""source":"/x/diff","target":"/m","flags":["bind"],"ret":0"#),
    ];
    for (make, own) in ways {
        // BuildKit, the classic builder, buildah.
        for store in ["overlay2/40/diff", "overlay2/40-init/diff", "overlay/40/diff"] {
            let (mut log, wrote) = forged(make, own);
            log.rename("overlay2/40/diff", store);
            if store.starts_with("overlay/") {
                log.rename("overlay2/", "overlay/");
                log.rename(r#"["anything"]"#, r#"["buildah","build","."]"#);
            }
            let builds = log.builds();
            let runs = builds.builds.iter().flat_map(|build| &build.runs);
            let inits: Vec<_> = runs.map(|run| (run.kind, run.init.map(|init| init.pid))).collect();
            assert_eq!(inits, [(RunKind::Run, Some(411))], "{make} {store}");
            assert_eq!(place(&log, wrote), OWN, "{make} {store}");
        }
    }
}

#[test]
fn what_a_step_builds_as_an_engine_would_is_no_build_of_the_steps_client() {
    let mut log = at_work();
    let own = r#""source":"overlay","target":"/z/overlay2/9/merged","fstype":"overlay","flags":[],"lower":["/z/overlay2/8/diff"],"upper":"/z/overlay2/9/diff","work":"/z/overlay2/9/work","ret":0"#;
    log.add(INIT, "mount.mount", own);
    let child = Who(412, 411, 0, 41, 41);
    log.fork(INIT, child);
    log.add(child, "mount.pivot_root", r#""path":"/z/overlay2/9/merged","put_old":".","ret":0"#);
    log.exec(child, &["/bin/sh", "-c", "another line"]);
    let wrote = open(&mut log, child, "/evil");
    log.end(child);
    let log = ended(log);
    let builds = log.builds();
    let engines: Vec<u32> = builds.builds.iter().map(|build| build.engine_process.pid).collect();
    assert_eq!(engines, [DAEMON.0]);
    assert_eq!(place(&log, wrote), OWN);
}

#[test]
fn a_step_that_connects_as_a_client_would_asks_for_no_step() {
    let mut log = at_work();
    let child = Who(412, 411, 0, 41, 41);
    log.fork(INIT, child);
    log.exec(child, &["docker", "build", "."]);
    log.add(child, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    done(&mut log);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{} builds", builds.builds.len()) };
    assert_eq!((build.client.pid, build.runs.len()), (CLIENT.0, 2));
    for run in &build.runs {
        assert!(run.evidence.contains(&Evidence::OnlyClient) && !run.shared, "{run:?}");
    }
}
