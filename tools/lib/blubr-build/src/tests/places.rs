//! WORKDIR, and VOLUME of buildah: each makes its directory in a tree of its own.

use crate::tests::{DAEMON, Log, Who, unpack};
use crate::{Dockerfile, Made, Tied, tie};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);

/// A tree upon another, and what helpers of buildah do in it: `/dir/` is made, `=/dir` has its times set, `<` looks into the
/// context, and anything else is a file.
fn tree(log: &mut Log, n: u32, lower: u32, does: &[&str]) {
    let dir = |n: u32| format!("/s/overlay/{n}/diff");
    let (lower, upper) = (dir(lower), dir(n));
    let mount = format!(
        r#""source":"overlay","target":"/s/overlay/{n}/merged","fstype":"overlay","flags":[],"lower":["{lower}"],"upper":"{upper}","work":"/s/overlay/{n}/work","ret":0"#
    );
    log.add(BUILDAH, "mount.mount", &mount);
    for (nth, what) in (0..).zip(does) {
        let helper = Who(n * 100 + nth, 20, 0, 1, 1);
        log.fork(BUILDAH, helper);
        log.exec(helper, &["buildah-copier"]);
        if *what == "<" {
            log.add(helper, "fs.chroot", r#""path":"/context","ret":0"#);
            log.end(helper);
            continue;
        }
        log.add(helper, "fs.chroot", &format!(r#""path":"/s/overlay/{n}/merged","ret":0"#));
        if let Some(dated) = what.strip_prefix('=') {
            log.add(helper, "file.utimes", &format!(r#""path":"{dated}","path_from":"user","ret":0"#));
        } else if let Some(made) = what.strip_suffix('/') {
            let made = format!(r#""path":"{made}","mode":"0755","path_from":"user","ret":0"#);
            log.add(helper, "file.mkdir", &made);
        } else {
            let file = format!(r#""path":"{what}","mode":"w","create":true,"ret":3"#);
            log.add(helper, "file.open", &file);
        }
        log.end(helper);
    }
}

fn tied(log: &mut Log, text: &str) -> Vec<Tied> {
    log.end(BUILDAH);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    tie(build, &file).into_iter().map(|tie| tie.instruction).collect()
}

fn begun() -> Log {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "bud", "--layers", "."]);
    log
}

#[test]
fn what_volume_makes_is_no_copy() {
    let mut log = begun();
    tree(&mut log, 2, 1, &["<", "/copied"]);
    tree(&mut log, 3, 2, &["/kept/"]);
    assert_eq!(
        tied(&mut log, "FROM base\nCOPY a /copied\nVOLUME /kept\n"),
        [Tied::One(1), Tied::One(2)]
    );
}

#[test]
fn each_workdir_made_the_directory_that_it_names() {
    let mut log = begun();
    tree(&mut log, 2, 1, &["/a/"]);
    tree(&mut log, 3, 1, &["/a/", "/a/b/"]);
    tree(&mut log, 4, 1, &["/c/"]);
    tree(&mut log, 5, 1, &["/d/"]);
    let text = "FROM base\nWORKDIR /a\nENV C=/c\nWORKDIR b\nWORKDIR $C\nWORKDIR ../d/.\nRUN make\n";
    assert_eq!(tied(&mut log, text), [1, 3, 4, 5].map(Tied::One));
}

#[test]
fn a_directory_that_was_copied_is_no_workdirs() {
    for does in [&["<", "/a/"][..], &["/a/", "=/a"], &["/a/", "/a/file"]] {
        let mut log = begun();
        tree(&mut log, 2, 1, does);
        let [one] = tied(&mut log, "FROM base\nCOPY a /a/\nWORKDIR /a\nRUN make\n").try_into().unwrap();
        assert!(one == Tied::One(1) || one == Tied::Candidates(vec![1, 2]), "{does:?}: {one:?}");
    }
}

#[test]
fn what_two_may_have_made_stays_open_until_another_stands_between() {
    let mut log = begun();
    tree(&mut log, 2, 1, &["/a/"]);
    assert_eq!(
        tied(&mut log, "FROM base\nWORKDIR /a\nWORKDIR /b\nWORKDIR /a\nRUN make\n"),
        [Tied::Candidates(vec![1, 3])]
    );
    let mut log = begun();
    tree(&mut log, 2, 1, &["/a/"]);
    tree(&mut log, 3, 1, &["/b/"]);
    assert_eq!(
        tied(&mut log, "FROM base\nWORKDIR /a\nWORKDIR /b\nWORKDIR /a\nRUN make\n"),
        [1, 2].map(Tied::One)
    );
}

#[test]
fn where_the_file_does_not_say_the_path_nothing_is_ruled_out() {
    for text in
        ["FROM base\nARG A=/a\nWORKDIR $A\nRUN make\n", "FROM base\nENV X=1\nWORKDIR a\nRUN make\n"]
    {
        let mut log = begun();
        tree(&mut log, 2, 1, &["/somewhere/", "/somewhere/a/"]);
        assert_eq!(tied(&mut log, text), [Tied::One(2)], "{text}");
    }
}

#[test]
fn volumes_of_before_may_be_made_anew() {
    let mut log = begun();
    tree(&mut log, 2, 1, &["/v/"]);
    tree(&mut log, 3, 1, &["/v/", "/w/"]);
    assert_eq!(tied(&mut log, "FROM base\nVOLUME /v\nWORKDIR /w\nRUN make\n"), [1, 2].map(Tied::One));
}

#[test]
fn what_was_made_is_known_by_its_name_in_the_tree() {
    let mut log = begun();
    tree(&mut log, 2, 1, &["/a/"]);
    log.end(BUILDAH);
    let builds = log.builds();
    assert_eq!(builds.builds[0].runs[0].made, Made::Directories(vec![b"/a".to_vec()]));
}

#[test]
fn what_is_made_anew_for_another_instruction_is_still_the_workdirs() {
    let mut log = begun();
    for (n, dir) in [(2, "/a/"), (3, "/a/"), (4, "/b/"), (5, "/a/")] {
        tree(&mut log, n, 1, &[dir]);
    }
    let text = "FROM base\nWORKDIR /a\nENV x=y\nWORKDIR /b\nWORKDIR /a\nRUN make\n";
    assert_eq!(tied(&mut log, text), [1, 1, 3, 4].map(Tied::One));
}

#[test]
fn the_classic_builder_has_no_container_made_for_a_copy() {
    let mut log = Log::begun();
    unpack(&mut log, 101, "/s/tmp/docker-builder1", &["/Dockerfile", "/note"]);
    // A WORKDIR, two COPYs and a RUN, each upon the layer that was registered of the one before.
    for (n, lowers, makes) in [
        (41, &[141, 40][..], "/made"),
        (42, &[61, 40], "/made/m"),
        (43, &[62, 61, 40], "/made/n"),
        (44, &[144, 63, 62, 61, 40], ""),
    ] {
        let made = format!("/s/overlay2/{n}/merged{makes}");
        if makes.is_empty() {
            log.run(DAEMON, n, lowers, &["/bin/sh", "-c", "make"]);
            continue;
        }
        log.overlay(DAEMON, n, lowers);
        if makes == "/made" {
            log.add(DAEMON, "file.mkdir", &format!(r#""path":"{made}","mode":"0755","ret":0"#));
        } else {
            let file = format!(r#""path":"{made}","mode":"w","create":true,"ret":3"#);
            log.add(DAEMON, "file.open", &file);
        }
        // What it reads there it registers.
        let result = format!("/s/overlay2/{n}/diff{makes}");
        log.add(DAEMON, "file.open", &format!(r#""path":"{result}","mode":"r","size":7,"ret":3"#));
        let registered = n + 20;
        let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{registered}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &link);
        unpack(&mut log, 100 + n, &format!("/s/overlay2/{registered}/diff"), &[makes]);
    }
    log.end(Who(20, 5, 1000, 1, 1));
    for n in [41, 44] {
        log.rename(&format!("/s/overlay2/1{n}/diff"), &format!("/s/overlay2/{n}-init/diff"));
    }
    let builds = log.builds();
    let text = "FROM base\nWORKDIR /made\nCOPY note m\nWORKDIR /made\nCOPY note n\nRUN make\n";
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [1, 2, 4, 5].map(Tied::One), "{:?}", build.runs);
}
