//! What newer buildah makes in a tree for the container that is to begin in it, and the layers that it unpacks aside.

use crate::tests::{Log, Who};
use crate::{Dockerfile, RunKind, Tied, tie};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);
const TREE: &str = "/s/overlay/1/merged";

/// buildah with one tree for all.
fn begun() -> Log {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "--layers=false", "."]);
    log.add(BUILDAH, "mount.mount", &overlay(1, "/s/overlay/0/diff", TREE));
    log
}

/// The mount of a tree upon a layer.
fn overlay(n: u32, lower: &str, target: &str) -> String {
    format!(
        r#""source":"overlay","target":"{target}","fstype":"overlay","flags":[],"lower":["{lower}"],"upper":"/s/overlay/{n}/diff","work":"/s/overlay/{n}/work","ret":0"#
    )
}

/// A helper in the tree: it makes directories (`/dir/`) and files, those with `*` not empty.
fn helper(log: &mut Log, pid: u32, makes: &[&str]) {
    let helper = Who(pid, 20, 0, 1, 1);
    log.fork(BUILDAH, helper);
    log.exec(helper, &["buildah-copier"]);
    log.add(helper, "fs.chroot", &format!(r#""path":"{TREE}","ret":0"#));
    for what in makes {
        if let Some(made) = what.strip_suffix('/') {
            let made = format!(r#""path":"{made}","mode":"0755","path_from":"user","ret":0"#);
            log.add(helper, "file.mkdir", &made);
            continue;
        }
        let (path, size) = what.strip_suffix('*').map_or((*what, 0), |path| (path, 9));
        log.add(helper, "file.open", &format!(r#""path":"{path}","mode":"rw","create":true,"ret":3"#));
        log.add(helper, "file.close", &format!(r#""path":"{path}","size":{size}"#));
    }
    log.end(helper);
}

/// A container in the tree, with mounts at these places.
fn container(log: &mut Log, pid: u32, mounts: &[&str], command: &str) {
    let runtime = Who(pid, 20, 0, 1, 7);
    log.fork(BUILDAH, runtime);
    for at in mounts {
        let mount =
            format!(r#""source":"proc","target":"{TREE}{at}","fstype":"proc","flags":[],"ret":0"#);
        log.add(runtime, "mount.mount", &mount);
    }
    let pivot = format!(r#""path":"{TREE}","put_old":".","ret":0"#);
    log.add(runtime, "mount.pivot_root", &pivot);
    log.exec(runtime, &["/bin/sh", "-c", command]);
    log.end(runtime);
}

/// What the runs are, and what they are tied to.
fn tied(log: &mut Log, text: &str) -> Vec<(RunKind, Tied)> {
    log.end(BUILDAH);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let ties = tie(build, &Dockerfile::parse(text.as_bytes()).unwrap());
    build.runs.iter().map(|run| run.kind).zip(ties.into_iter().map(|tie| tie.instruction)).collect()
}

#[test]
fn places_to_mount_upon_are_made_for_the_container() {
    let mut log = begun();
    helper(&mut log, 30, &["/proc/", "/etc/", "/etc/hosts"]);
    container(&mut log, 31, &["/proc", "/etc/hosts"], "one");
    helper(&mut log, 32, &["/proc/"]);
    container(&mut log, 33, &["/proc"], "two");
    assert_eq!(
        tied(&mut log, "FROM base\nRUN one\nCOPY a /a\nRUN two\n"),
        [(RunKind::Run, Tied::One(1)), (RunKind::Run, Tied::One(3))]
    );
}

#[test]
fn a_mount_that_another_process_made_lies_where_it_was_moved() {
    let mut log = begun();
    helper(&mut log, 30, &["/etc/", "/etc/hosts"]);
    let runtime = Who(31, 20, 0, 1, 7);
    log.fork(BUILDAH, runtime);
    let moved = format!(r#""source":null,"target":"{TREE}/etc/hosts","flags":[],"ret":0"#);
    log.add(runtime, "mount.mount", &moved);
    log.add(runtime, "mount.pivot_root", &format!(r#""path":"{TREE}","put_old":".","ret":0"#));
    log.exec(runtime, &["/bin/sh", "-c", "one"]);
    log.end(runtime);
    assert_eq!(tied(&mut log, "FROM base\nCOPY a /\nRUN one\n"), [(RunKind::Run, Tied::One(2))]);
}

#[test]
fn the_helper_is_at_work_for_the_container() {
    let mut log = begun();
    helper(&mut log, 30, &["/proc/"]);
    container(&mut log, 31, &["/proc"], "one");
    log.end(BUILDAH);
    let builds = log.builds();
    assert!(builds.builds[0].runs[0].setup.iter().any(|process| process.pid == 30));
}

#[test]
fn what_is_no_place_to_mount_upon_is_a_copys() {
    for makes in
        [&["/etc/", "/etc/hosts*"][..], &["/proc/", "/file"], &["/pro"], &["/proc/", "/processes/"]]
    {
        let mut log = begun();
        helper(&mut log, 30, makes);
        container(&mut log, 31, &["/proc", "/etc/hosts"], "one");
        let tied = tied(&mut log, "FROM base\nCOPY a /\nRUN one\n");
        let content = makes.iter().any(|what| !what.ends_with('/'));
        let copy = content.then_some((RunKind::Daemon, Tied::One(1)));
        let wanted: Vec<_> = copy.into_iter().chain([(RunKind::Run, Tied::One(2))]).collect();
        assert_eq!(tied, wanted, "{makes:?}");
    }
}

#[test]
fn a_copy_before_the_preparation_is_a_copy() {
    let mut log = begun();
    helper(&mut log, 30, &["/etc/hosts"]);
    helper(&mut log, 31, &["/proc/"]);
    container(&mut log, 32, &["/proc", "/etc/hosts"], "one");
    assert_eq!(
        tied(&mut log, "FROM base\nCOPY hosts /etc/\nRUN one\n"),
        [(RunKind::Daemon, Tied::One(1)), (RunKind::Run, Tied::One(2))]
    );
}

#[test]
fn what_was_mounted_for_another_container_says_nothing() {
    let mut log = begun();
    container(&mut log, 30, &["/data"], "one");
    helper(&mut log, 31, &["/data"]);
    // In a mount namespace of its own.
    let runtime = Who(32, 20, 0, 1, 8);
    log.fork(BUILDAH, runtime);
    log.add(runtime, "mount.pivot_root", &format!(r#""path":"{TREE}","put_old":".","ret":0"#));
    log.exec(runtime, &["/bin/sh", "-c", "two"]);
    log.end(runtime);
    assert_eq!(
        tied(&mut log, "FROM base\nRUN one\nCOPY a /data\nRUN two\n"),
        [(RunKind::Run, Tied::One(1)), (RunKind::Daemon, Tied::One(2)), (RunKind::Run, Tied::One(3))]
    );
}

#[test]
fn what_an_engine_has_itself_begun_again_mount_is_its_own() {
    let mut log = begun();
    container(&mut log, 30, &[], "one");
    let again = Who(31, 20, 0, 1, 1);
    log.fork(BUILDAH, again);
    log.exec(again, &["storage-mountfrom"]);
    log.add(again, "mount.mount", &overlay(2, "/s/overlay/1/diff", "/s/overlay/2/merged"));
    log.end(again);
    let init = Who(32, 20, 0, 1, 8);
    log.fork(BUILDAH, init);
    log.add(init, "mount.pivot_root", r#""path":"/s/overlay/2/merged","put_old":".","ret":0"#);
    log.exec(init, &["/bin/sh", "-c", "two"]);
    log.end(init);
    assert_eq!(
        tied(&mut log, "FROM base\nRUN one\nRUN two\n"),
        [(RunKind::Run, Tied::One(1)), (RunKind::Run, Tied::One(2))]
    );
}

#[test]
fn a_layer_that_is_unpacked_aside_is_the_one_that_it_becomes() {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "."]);
    let store = "/s/overlay";
    let aside = format!("{store}/tempdirs/temp-dir-1/0-addition");
    let unpacks = Who(30, 20, 0, 1, 1);
    let link = r#""path":"/s/overlay/l/SHORT","target":"../2/diff","path_from":"user","ret":0"#;
    log.add(BUILDAH, "mount.mount", &overlay(1, "/s/overlay/0/diff", TREE));
    let copied = format!(r#""path":"{TREE}/m","mode":"w","create":true,"ret":3"#);
    log.add(BUILDAH, "file.open", &copied);
    log.fork(BUILDAH, unpacks);
    log.add(unpacks, "fs.chroot", &format!(r#""path":"{aside}","ret":0"#));
    log.add(unpacks, "file.open", r#""path":"/m","mode":"w","create":true,"ret":3"#);
    log.end(unpacks);
    log.add(BUILDAH, "file.symlink", link);
    let empty = format!(r#""path":"{store}/2/diff","directory":true,"path_from":"user","ret":0"#);
    log.add(BUILDAH, "file.unlink", &empty);
    let moved = format!(r#""path":"{aside}","to":"{store}/2/diff","path_from":"user","ret":0"#);
    log.add(BUILDAH, "file.rename", &moved);
    log.add(BUILDAH, "mount.mount", &overlay(3, "/s/overlay/2/diff", "/s/overlay/3/merged"));
    log.end(BUILDAH);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert!(build.layers.iter().any(|layer| layer.dir == b"/s/overlay/2/diff"), "{:?}", build.layers);
    assert!(build.contexts.is_empty(), "{:?}", build.contexts);
}
