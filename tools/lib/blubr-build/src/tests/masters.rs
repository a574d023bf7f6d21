//! Which engine a snapshotter's directories are, made of synthetic events: who mounts a layer of an engine's takes nothing from it.

use crate::Builds;
use crate::tests::{DAEMON, Log, Who};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);
const STRANGER: Who = Who(30, 5, 0, 1, 1);
const SNAPSHOTTER: Who = Who(12, 1, 0, 1, 1);
const MAKE: &[&str] = &["/bin/sh", "-c", "make"];

fn begun(snapshots: bool) -> Log {
    let mut log = Log::new();
    for who in [DAEMON, SNAPSHOTTER] {
        log.add(who, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    }
    log.client();
    for n in [41, 42] {
        made(&mut log, n, snapshots);
    }
    log
}

/// A layer's directory is made: by the engine, or by the snapshotter.
fn made(log: &mut Log, n: u32, snapshot: bool) {
    if snapshot {
        let own = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(SNAPSHOTTER, "file.mkdir", &own);
        let own = format!(r#""path":"/s/snapshots/new-{n}","to":"/s/snapshots/{n}","ret":0"#);
        log.add(SNAPSHOTTER, "file.rename", &own);
    } else {
        let own = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &own);
    }
}

fn bound(log: &mut Log, n: u32) {
    let own =
        format!(r#""source":"/s/overlay2/{n}/diff","target":"/tmp/m{n}","flags":["bind"],"ret":0"#);
    log.add(STRANGER, "mount.mount", &own);
}

fn builds(mut log: Log, snapshots: bool) -> Builds {
    log.end(CLIENT);
    if snapshots {
        for n in [40, 41, 42] {
            log.rename(&format!("/s/overlay2/{n}/diff"), &format!("/s/snapshots/{n}/fs"));
        }
    }
    log.builds()
}

/// The two steps are the engine's, and nobody else has a build.
fn assert_engines(builds: &Builds, what: &str) {
    let [build] = builds.builds.as_slice() else { panic!("{what}: {builds:?}") };
    assert_eq!((build.engine_process.pid, build.client.pid), (DAEMON.0, CLIENT.0), "{what}");
    let [first, second] = build.runs.as_slice() else { panic!("{what}: {:?}", build.runs) };
    assert_eq!(second.below, [first.id], "{what}");
    let inits = [first, second].map(|run| run.init.map(|init| init.pid));
    assert_eq!(inits, [Some(411), Some(421)], "{what}");
}

#[test]
fn who_binds_a_layer_takes_nothing_from_its_engine() {
    for snapshots in [false, true] {
        for early in [false, true] {
            let mut log = begun(snapshots);
            if early {
                bound(&mut log, 41);
            }
            log.run(DAEMON, 41, &[40], MAKE);
            log.run(DAEMON, 42, &[41, 40], MAKE);
            bound(&mut log, 42);
            assert_engines(&builds(log, snapshots), &format!("{snapshots} {early}"));
        }
    }
}

#[test]
fn who_mounts_an_engine_s_layer_before_it_does_is_not_its_maker() {
    let mut log = begun(false);
    let own = r#""source":"overlay","target":"/tmp/m","fstype":"overlay","flags":[],"lower":["/etc"],"upper":"/s/overlay2/42/diff","work":"/tmp/w","ret":0"#;
    log.add(STRANGER, "mount.mount", own);
    log.run(DAEMON, 41, &[40], MAKE);
    log.run(DAEMON, 42, &[41, 40], MAKE);
    assert_engines(&builds(log, false), "mounted before");
}
