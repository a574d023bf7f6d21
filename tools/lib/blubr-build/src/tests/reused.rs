//! Layers of buildah that are taken again for an equal step.

use crate::tests::{Log, Who};
use crate::{Dockerfile, Tied, tie};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);
/// Two stages that begin with the same.
const FILE: &str = "FROM base\nCOPY a /a\nRUN one\nFROM base\nCOPY a /a\nRUN two\n";

fn begun() -> Log {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "--layers", "--no-cache", "--jobs", "2", "."]);
    log
}

fn mount(log: &mut Log, n: u32, lowers: &[u32]) {
    let lowers: Vec<String> = lowers.iter().map(|n| format!(r#""/s/overlay/{n}/diff""#)).collect();
    let own = format!(
        r#""source":"overlay","target":"/s/overlay/{n}/merged","fstype":"overlay","flags":[],"lower":[{}],"upper":"/s/overlay/{n}/diff","work":"/s/overlay/{n}/work","ret":0"#,
        lowers.join(",")
    );
    log.add(BUILDAH, "mount.mount", &own);
}

/// A helper that writes a file of this size below a directory.
fn fill(log: &mut Log, pid: u32, name: &str, dir: &str, size: u32) {
    let helper = Who(pid, 20, 0, 1, 1);
    log.fork(BUILDAH, helper);
    log.exec(helper, &[name]);
    log.add(helper, "fs.chroot", &format!(r#""path":"{dir}","ret":0"#));
    log.add(helper, "file.open", r#""path":"/a","mode":"w","create":true,"ret":3"#);
    log.add(helper, "file.close", &format!(r#""path":"/a","size":{size}"#));
    log.end(helper);
}

/// A COPY into a tree upon the base.
fn copy(log: &mut Log, n: u32, size: u32) {
    mount(log, n, &[1]);
    fill(log, n * 100, "buildah-copier", &format!("/s/overlay/{n}/merged"), size);
    log.add(
        BUILDAH,
        "mount.umount",
        &format!(r#""target":"/s/overlay/{n}/merged","flags":["detach"],"ret":0"#),
    );
}

fn export(log: &mut Log, n: u32, size: u32) {
    log.add(BUILDAH, "file.open", &format!(r#""path":"/s/overlay/{n}/diff","mode":"r","ret":7"#));
    let own = format!(r#""path":"/s/overlay/{n}/diff/a","mode":"r","size":{size},"ret":8"#);
    log.add(BUILDAH, "file.open", &own);
}

fn register(log: &mut Log, layer: u32, size: u32) {
    log.add(
        BUILDAH,
        "file.symlink",
        &format!(r#""path":"/s/overlay/l/S{layer}","target":"../{layer}/diff","ret":0"#),
    );
    fill(log, layer * 100, "storage-untar", &format!("/s/overlay/{layer}/diff"), size);
}

fn run(log: &mut Log, n: u32, lowers: &[u32], command: &str) {
    mount(log, n, lowers);
    let runtime = Who(n * 100, 20, 0, 1, n);
    log.fork(BUILDAH, runtime);
    let pivot = format!(r#""path":"/s/overlay/{n}/merged","put_old":".","ret":0"#);
    log.add(runtime, "mount.pivot_root", &pivot);
    log.exec(runtime, &["/bin/sh", "-c", command]);
    log.end(runtime);
}

/// By each step's upper directory what it stands on, and what it is tied to.
fn told(log: &mut Log) -> Vec<(u32, Vec<u32>, Tied)> {
    log.end(BUILDAH);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let number = |dir: &[u8]| String::from_utf8_lossy(dir).split('/').nth(3).unwrap().parse().unwrap();
    let of = |id: &u32| number(&build.runs.iter().find(|run| run.id == *id).unwrap().upper);
    let ties = tie(build, &Dockerfile::parse(FILE.as_bytes()).unwrap());
    let told = |(run, tie): (&crate::StepRun, crate::Tie)| {
        (number(&run.upper), run.below.iter().map(of).collect(), tie.instruction)
    };
    build.runs.iter().zip(ties).map(told).collect()
}

#[test]
fn who_stands_on_a_layer_that_was_taken_again_stands_on_either() {
    let mut log = begun();
    copy(&mut log, 2, 7);
    export(&mut log, 2, 7);
    copy(&mut log, 3, 7);
    register(&mut log, 6, 7);
    export(&mut log, 3, 7);
    run(&mut log, 4, &[6, 1], "two");
    run(&mut log, 5, &[6, 1], "one");
    let either = || Tied::Candidates(vec![1, 4]);
    assert_eq!(
        told(&mut log),
        [
            (2, vec![], either()),
            (3, vec![], either()),
            (4, vec![], Tied::One(5)),
            (5, vec![], Tied::One(2)),
        ]
    );
}

#[test]
fn who_began_before_the_other_was_read_stands_on_the_one() {
    let mut log = begun();
    copy(&mut log, 2, 7);
    export(&mut log, 2, 7);
    register(&mut log, 6, 7);
    copy(&mut log, 3, 7);
    run(&mut log, 4, &[6, 1], "two");
    export(&mut log, 3, 7);
    run(&mut log, 5, &[6, 1], "one");
    let told = told(&mut log);
    let of = |n: u32| told.iter().find(|(upper, ..)| *upper == n).unwrap();
    assert_eq!(of(4), &(4, vec![2], Tied::One(5)), "{told:?}");
    assert_eq!(of(2).2, Tied::One(4), "{told:?}");
    assert!(of(5).1.is_empty(), "{told:?}");
}

#[test]
fn a_layer_of_other_files_is_the_one_steps() {
    let mut log = begun();
    copy(&mut log, 2, 7);
    export(&mut log, 2, 7);
    register(&mut log, 6, 7);
    copy(&mut log, 3, 8);
    export(&mut log, 3, 8);
    run(&mut log, 4, &[6, 1], "two");
    assert_eq!(told(&mut log).last().unwrap().1, [2]);
}

#[test]
fn a_step_with_a_layer_of_its_own_left_no_other() {
    let mut log = begun();
    copy(&mut log, 2, 7);
    export(&mut log, 2, 7);
    register(&mut log, 6, 7);
    copy(&mut log, 3, 7);
    export(&mut log, 3, 7);
    register(&mut log, 7, 7);
    run(&mut log, 4, &[6, 1], "two");
    run(&mut log, 5, &[7, 1], "one");
    let told = told(&mut log);
    let below = |n: u32| &told.iter().find(|(upper, ..)| *upper == n).unwrap().1;
    assert_eq!((below(4), below(5)), (&vec![2], &vec![3]), "{told:?}");
}
