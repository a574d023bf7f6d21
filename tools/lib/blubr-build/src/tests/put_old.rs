//! Directories in an overlay's tree that pivot_root(2) puts the old root at: no step's content where the engine made them for that.

use crate::tests::{CLIENT, DAEMON, Log, STRANGER, Who};

const OLD: &str = "/s/overlay2/41/merged/old";

fn mkdir(log: &mut Log, who: Who, path: &str) {
    log.add(who, "file.mkdir", &format!(r#""path":"{path}","mode":"0700","path_from":"user","ret":0"#));
}

fn pivot(log: &mut Log, who: Who, root: &str, put_old: &str) {
    let own = format!(r#""path":"{root}","put_old":"{put_old}","path_from":"user","ret":0"#);
    log.add(who, "mount.pivot_root", &own);
}

/// How many steps there are beside a RUN, with something done in a tree that nothing runs in and nothing is built upon.
fn steps(in_tree: impl Fn(&mut Log)) -> usize {
    let mut log = Log::begun();
    log.overlay(DAEMON, 41, &[1]);
    in_tree(&mut log);
    log.add(DAEMON, "mount.umount", r#""target":"/s/overlay2/41/merged","flags":[],"ret":0"#);
    log.run(DAEMON, 42, &[1], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    build.runs.len() - 1
}

#[test]
fn what_the_engine_made_to_put_the_old_root_at_is_no_step() {
    let tree = "/s/overlay2/41/merged";
    assert_eq!(steps(|log| mkdir(log, DAEMON, OLD)), 1, "as a WORKDIR does");
    let aside = |who| {
        move |log: &mut Log| {
            mkdir(log, DAEMON, OLD);
            pivot(log, who, tree, OLD);
        }
    };
    assert_eq!(steps(aside(DAEMON)), 0);
    // Nobody else says so of what the engine made.
    assert_eq!(steps(aside(STRANGER)), 1);
    let after_another = |log: &mut Log| {
        mkdir(log, DAEMON, "/s/overlay2/41/merged/work");
        mkdir(log, DAEMON, OLD);
        pivot(log, DAEMON, tree, OLD);
    };
    assert_eq!(steps(after_another), 1);
}

#[test]
fn what_a_helper_makes_to_put_the_old_root_at_hides_nothing_else() {
    let helper = Who(4100, DAEMON.0, 0, 1, 1);
    let again = |log: &mut Log| {
        mkdir(log, DAEMON, "/s/overlay2/41/merged/work");
        log.fork(DAEMON, helper);
        log.exec(helper, &["helper"]);
        log.add(helper, "fs.chroot", r#""path":"/s/overlay2/41/merged","path_from":"user","ret":0"#);
        mkdir(log, helper, "/old");
        pivot(log, helper, "/", "/old");
        log.end(helper);
    };
    assert_eq!(steps(again), 1);
}
