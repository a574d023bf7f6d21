//! Mounts that the recorder was too late to look at: what their directories are stands in their options.

use crate::tests::{Log, Who};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);

/// buildah runs a step in a tree that a helper mounts by the descriptors it opened; what its mount says of the layers is given.
fn run(opened: &[(i64, &str)], mount: &str) -> Vec<(String, Vec<String>)> {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "."]);
    // What it mounts first makes it an engine.
    let first = r#""source":"overlay","target":"/s/overlay/1/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/0/diff"],"upper":"/s/overlay/1/diff","work":"/s/overlay/1/work","ret":0"#;
    log.add(BUILDAH, "mount.mount", first);
    let helper = Who(21, 20, 0, 1, 1);
    log.fork(BUILDAH, helper);
    log.exec(helper, &["storage-mountfrom", "/s/overlay"]);
    for (fd, dir) in opened {
        log.add(helper, "file.open", &format!(r#""path":"{dir}","mode":"r","ret":{fd}"#));
    }
    let of = r#""source":"overlay","target":"/s/overlay/9/merged","fstype":"overlay","flags":[]"#;
    log.add(
        helper,
        "mount.mount",
        &format!(r#"{of},"cwd":"/proc/21/fd",{mount},"path_from":"user","ret":0"#),
    );
    log.end(helper);
    let step = Who(22, 20, 0, 1, 22);
    log.fork(BUILDAH, step);
    log.add(step, "mount.pivot_root", r#""path":"/s/overlay/9/merged","put_old":".","ret":0"#);
    log.exec(step, &["/bin/sh", "-c", "make"]);
    log.end(step);
    log.end(BUILDAH);
    let text = |dir: &Vec<u8>| String::from_utf8_lossy(dir).into_owned();
    let builds = log.builds();
    let runs = builds.builds.iter().flat_map(|build| &build.runs).filter(|run| run.first_exec.is_some());
    runs.map(|run| (text(&run.upper), run.lowers.iter().map(text).collect())).collect()
}

const OPTIONS: &str =
    r#""options":"upperdir=/s/overlay/9/diff,workdir=/s/overlay/9/work,lowerdir=3:6,userxattr""#;

#[test]
fn the_helpers_own_opens_say_what_its_descriptors_are() {
    let opened = [(3, "/s/overlay/2/diff"), (6, "/s/overlay/7/diff"), (6, "/s/overlay/1/diff")];
    let dirs = vec!["/s/overlay/2/diff".to_owned(), "/s/overlay/1/diff".to_owned()];
    assert_eq!(run(&opened, OPTIONS), [("/s/overlay/9/diff".to_owned(), dirs)]);
}

#[test]
fn what_the_recorder_resolved_counts() {
    let resolved =
        r#""lower":["/s/overlay/3/diff"],"upper":"/s/overlay/8/diff","work":"/s/overlay/8/work""#;
    let runs = run(&[(3, "/s/overlay/2/diff")], &format!("{OPTIONS},{resolved}"));
    assert_eq!(runs, [("/s/overlay/8/diff".to_owned(), vec!["/s/overlay/3/diff".to_owned()])]);
}

#[test]
fn a_descriptor_that_nobody_saw_opened_leaves_the_tree_unknown() {
    assert_eq!(run(&[(3, "/s/overlay/2/diff")], OPTIONS), []);
}
