//! What is mounted into a tree: upon what is written from then on, and not without end.

use blubr_log::{Body, Reader};

use crate::tests::{CLIENT, DAEMON, Log, Who};
use crate::{Finder, Membership};

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
fn what_is_mounted_beneath_hides_nothing() {
    let runs = |flags: &str| {
        let mut log = one_tree();
        let own = format!(
            r#""source":"tmpfs","target":"/x/41/rootfs/data","fstype":"tmpfs","flags":[{flags}],"ret":0"#
        );
        log.add(RUNTIME, "mount.mount", &own);
        container(&mut log, 0, |_, _| {});
        log.end(CLIENT);
        log.builds().builds[0].runs[0].mounts.len()
    };
    assert_eq!((runs(""), runs(r#""beneath""#)), (1, 0));
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
