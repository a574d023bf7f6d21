//! Who is of a step and who is not, made of synthetic events: processes that move or stay behind, and those that come in.

use crate::tests::{DAEMON, Log, Who};
use crate::{Area, Membership, NoBuild, Place, Spot};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);
const STRANGER: Who = Who(30, 5, 0, 1, 1);
/// What started the step's container, and its first process.
const RUNTIME: Who = Who(410, 10, 0, 1, 1);
const INIT: Who = Who(411, 410, 0, 41, 41);
const TREE: &str = "/s/overlay2/41/merged";

/// A build whose step is at work.
fn at_work() -> Log {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    open(&mut log, INIT, "/own", ",\"dev\":\"0:39\"");
    log
}

fn open(log: &mut Log, who: Who, path: &str, more: &str) -> u64 {
    let own = format!(r#""path":"{path}","mode":"w","create":true{more},"ret":3"#);
    log.add(who, "file.open", &own)
}

fn ended(mut log: Log) -> Log {
    log.end(INIT);
    log.add(DAEMON, "mount.umount", &format!(r#""target":"{TREE}","flags":[],"ret":0"#));
    log.end(CLIENT);
    log
}

/// A step that another engine's process runs a program of the same arguments in, before its container or beside it.
fn visited(first: bool) -> (Log, u64) {
    let mut log = Log::begun();
    let engine = Who(30, 5, 0, 1, 1);
    let own = r#""source":"/tmp/q/diff","target":"/tmp/m","flags":["bind"],"ret":0"#;
    log.add(engine, "mount.mount", own);
    if first {
        log.overlay(DAEMON, 41, &[40]);
    } else {
        log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    }
    let visitor = Who(31, 30, 0, 1, 30);
    log.fork(engine, visitor);
    log.add(visitor, "fs.chroot", &format!(r#""path":"{TREE}","ret":0"#));
    log.exec(visitor, &["/bin/sh", "-c", "make"]);
    let wrote = open(&mut log, visitor, "/evil", "");
    log.end(visitor);
    if first {
        log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    }
    (ended(log), wrote)
}

#[test]
fn who_mounts_as_engines_do_has_no_containers_in_another_s_trees() {
    for first in [false, true] {
        let (log, wrote) = visited(first);
        assert_eq!(places(&log, &[wrote]), [(FOREIGN, in_tree("/evil"))], "first: {first}");
    }
}

/// Where each of these events belongs, and where in the step's tree its path lies.
fn places(log: &Log, seqs: &[u64]) -> Vec<(Place, Option<Spot>)> {
    let builds = log.builds();
    assert_eq!(builds.builds[0].runs.len(), 1, "{:?}", builds.builds[0].runs);
    assert_eq!(builds.builds[0].runs[0].id, 0);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut found = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        if seqs.contains(&event.head.seq) {
            let path = match &event.body {
                blubr_log::Body::FileOpen(open) => open.path.get(),
                blubr_log::Body::FileMkdir(mkdir) => mkdir.path.get(),
                _ => None,
            };
            let spot = path.and_then(|path| membership.spot(event, path.bytes()));
            found.push((place, spot));
        }
    });
    assert_eq!(found.len(), seqs.len());
    found
}

fn place(log: &Log, seq: u64) -> Place {
    places(log, &[seq])[0].0
}

fn in_tree(path: &str) -> Option<Spot> {
    Some(Spot { run: Some(0), area: Area::Tree, path: path.as_bytes().to_vec(), mounted: None })
}

const OWN: Place = Place::Container { run: 0 };
const FOREIGN: Place = Place::Foreign { run: Some(0) };

#[test]
fn what_happens_before_a_container_has_a_control_group_is_the_engines_work_for_it() {
    let log = ended(at_work());
    let mut before = Vec::new();
    log.each(|event| {
        if event.head.pid == RUNTIME.0 {
            before.push(event.head.seq);
        }
    });
    assert!(!before.is_empty());
    for (place, _) in places(&log, &before) {
        assert_eq!(place, Place::Engine { run: Some(0) });
    }
}

#[test]
fn a_process_of_a_container_is_the_steps_wherever_it_goes() {
    let mut log = at_work();
    // Its own child, in another control group, and in another namespace, where it is the first.
    let moved = Who(412, 411, 0, 7, 41);
    log.fork(INIT, moved);
    let elsewhere = open(&mut log, moved, "/moved", "");
    let alone = Who(413, 412, 0, 7, 99);
    log.fork(moved, alone);
    let unshared = open(&mut log, alone, "/unshared", "");
    let mut log = ended(log);
    // Left behind by the shell, and of another parent now.
    let behind = open(&mut log, Who(412, 1, 0, 7, 41), "/late", "");
    for (place, spot) in places(&log, &[elsewhere, unshared, behind]) {
        assert_eq!(place, OWN);
        assert_eq!(spot.unwrap().area, Area::Tree);
    }
}

#[test]
fn what_is_put_into_a_container_is_foreign_and_stays_so() {
    let mut log = at_work();
    let entering = Who(420, 410, 0, 1, 1);
    log.fork(RUNTIME, entering);
    let outside = log.exec(entering, &["runc", "exec"]);
    let inside = Who(421, 420, 0, 41, 41);
    log.fork(entering, inside);
    let ran = log.exec(inside, &["sh"]);
    // As root it moves to another control group, and begets others there.
    let moved = open(&mut log, Who(421, 420, 0, 7, 41), "/evil", "");
    log.fork(Who(421, 420, 0, 7, 41), Who(422, 421, 0, 7, 41));
    let child = open(&mut log, Who(422, 421, 0, 7, 41), "/evil2", "");
    let log = ended(log);
    assert_eq!(place(&log, outside), Place::Engine { run: Some(0) });
    for (place, _) in places(&log, &[ran, moved, child]) {
        assert_eq!(place, FOREIGN);
    }
}

#[test]
fn what_is_put_into_a_container_is_known_by_its_namespace_where_control_groups_say_nothing() {
    let mut log = at_work();
    let inside = Who(421, 410, 0, 1, 41);
    log.fork(RUNTIME, Who(421, 410, 0, 1, 1));
    let entered = open(&mut log, inside, "/evil", "");
    let mut log = ended(log);
    // When the container is gone its namespace's number is another's.
    log.fork(RUNTIME, Who(423, 410, 0, 1, 1));
    let later = open(&mut log, Who(423, 410, 0, 1, 41), "/x", "");
    assert_eq!(place(&log, entered), FOREIGN);
    assert_eq!(place(&log, later), Place::Engine { run: Some(0) });
}

#[test]
fn who_reaches_into_a_tree_from_outside_is_foreign() {
    let mut log = at_work();
    let by_number = open(&mut log, STRANGER, "/planted", r#","dev":"0:39","path_from":"outside""#);
    // Where the container's namespace begins at the host's root, the name is the host's.
    let by_mount = format!("{TREE}/planted");
    let by_mount = open(&mut log, STRANGER, &by_mount, r#","dev":"0:39","path_from":"outside""#);
    let elsewhere = open(&mut log, STRANGER, "/else", r#","dev":"0:40","path_from":"outside""#);
    let other = open(&mut log, STRANGER, "/etc/x", r#","dev":"254:0""#);
    let by_name = log.add(
        STRANGER,
        "file.mkdir",
        r#""path":"/proc/411/root/made","mode":"0755","path_from":"user","ret":0"#,
    );
    // The number there may be another process's.
    let other_host = log.add(
        Who(31, 5, 0, 1, 8),
        "file.mkdir",
        r#""path":"/proc/411/root/made","mode":"0755","path_from":"user","ret":0"#,
    );
    let changed_root = Who(32, 5, 0, 1, 1);
    log.add(changed_root, "fs.chroot", r#""path":"/proc/411/root","path_from":"user","ret":0"#);
    log.exec(changed_root, &["sh"]);
    let below = open(&mut log, changed_root, "/below", "");
    let lost_root = Who(33, 5, 0, 1, 1);
    log.add(lost_root, "fs.chroot", r#""path":"/","path_from":"outside","ret":0"#);
    let nowhere = open(&mut log, lost_root, "/x", r#","dev":"0:39""#);
    let log = {
        let mut log = ended(log);
        // The number is free when the tree is gone.
        open(&mut log, STRANGER, "/planted", r#","dev":"0:39","path_from":"outside""#);
        log
    };
    let found = places(&log, &[by_number, by_mount, by_name, below]);
    for (found, path) in found.into_iter().zip(["/planted", "/planted", "/made", "/below"]) {
        assert_eq!(found, (FOREIGN, in_tree(path)));
    }
    assert_eq!(places(&log, &[nowhere]), [(FOREIGN, None)], "in the tree, and it is not known where");
    for (place, _) in places(&log, &[elsewhere, other, other_host]) {
        assert_eq!(place, Place::Outside);
    }
    let mut last = 0;
    log.each(|event| last = event.head.seq);
    assert_eq!(place(&log, last), Place::Outside);
}

#[test]
fn who_puts_its_root_into_a_step_s_tree_is_no_container_of_it() {
    let mut log = at_work();
    let visitor = Who(30, 5, 0, 1, 1);
    log.add(visitor, "fs.chroot", &format!(r#""path":"{TREE}","path_from":"user","ret":0"#));
    log.exec(visitor, &["/bin/sh", "-c", "make"]);
    let wrote = open(&mut log, visitor, "/evil", "");
    let log = ended(log);
    assert_eq!(places(&log, &[wrote]), [(FOREIGN, in_tree("/evil"))]);
}

#[test]
fn who_comes_before_the_runtime_in_a_namespace_of_its_own_is_no_container() {
    for is_classic in [false, true] {
        let mut log = Log::begun();
        log.overlay(DAEMON, 41, &[40]);
        let visitor = Who(30, 5, 0, 1, 77);
        log.add(visitor, "fs.chroot", &format!(r#""path":"{TREE}","path_from":"user","ret":0"#));
        let ran = log.exec(visitor, &["/bin/sh", "-c", "make"]);
        let wrote = open(&mut log, visitor, "/planted", "");
        let child = Who(31, 30, 0, 1, 77);
        log.fork(visitor, child);
        let inherited = open(&mut log, child, "/planted", "");
        log.end(visitor);
        log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
        let own = open(&mut log, INIT, "/own", "");
        let mut log = ended(log);
        if is_classic {
            log.rename("overlay2/40/diff", "overlay2/40-init/diff");
        }
        for (place, spot) in places(&log, &[wrote, inherited]) {
            assert_eq!((place, spot), (FOREIGN, in_tree("/planted")), "{is_classic}");
        }
        assert_eq!(place(&log, ran), FOREIGN);
        assert_eq!(places(&log, &[own]), [(OWN, in_tree("/own"))]);
        let builds = log.builds();
        assert_eq!(builds.builds[0].runs[0].init.map(|init| init.pid), Some(INIT.0));
    }
}

#[test]
fn who_enters_what_the_engine_copies_into_makes_no_container_of_it() {
    let mut log = Log::begun();
    log.overlay(DAEMON, 41, &[40]);
    open(&mut log, DAEMON, &format!("{TREE}/copied"), "");
    let visitor = Who(30, 5, 0, 1, 77);
    log.add(visitor, "fs.chroot", &format!(r#""path":"{TREE}","path_from":"user","ret":0"#));
    log.exec(visitor, &["/bin/sh", "-c", "make"]);
    let wrote = open(&mut log, visitor, "/planted", "");
    log.add(DAEMON, "mount.umount", &format!(r#""target":"{TREE}","flags":[],"ret":0"#));
    log.end(CLIENT);
    assert_eq!(log.builds().builds[0].runs[0].kind, crate::RunKind::Daemon);
    assert_eq!(places(&log, &[wrote]), [(FOREIGN, in_tree("/planted"))]);
}

#[test]
fn who_leaves_a_chroot_by_one_outside_is_where_its_namespace_begins() {
    const OUT: &str = r#""path":"/","path_from":"outside","ret":0"#;
    let leaves = |unshares: bool, out: &str| {
        let mut log = at_work();
        log.add(INIT, "fs.chroot", r#""path":"/sub","path_from":"user","ret":0"#);
        let child = Who(412, 411, 0, 41, if unshares { 77 } else { 41 });
        log.fork(INIT, Who(412, 411, 0, 41, 41));
        let inside = open(&mut log, child, "/x", "");
        log.add(child, "fs.chroot", out);
        let outside = open(&mut log, child, "/x", "");
        log.add(child, "fs.chroot", r#""path":"/sub","path_from":"user","ret":0"#);
        let again = open(&mut log, child, "/x", "");
        (ended(log), [inside, outside, again])
    };
    // As rpm --root and dnf --installroot do.
    for unshares in [false, true] {
        let (log, seqs) = leaves(unshares, OUT);
        let found = places(&log, &seqs);
        assert_eq!(found, ["/sub/x", "/x", "/sub/x"].map(|path| (OWN, in_tree(path))), "{unshares}");
    }
    // Below the top it may as well be of a mount that is in no namespace.
    let (log, seqs) = leaves(false, r#""path":"/a","path_from":"outside","ret":0"#);
    let found = places(&log, &seqs);
    assert_eq!(found[1..], [(OWN, None), (OWN, None)]);
    let builds = log.builds();
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        membership.classify(event);
    });
    assert!(membership.lost_roots());
}

#[test]
fn whose_root_a_chroot_of_some_threads_changes_is_not_known() {
    for (apart, by_step) in [(true, true), (false, true), (true, false)] {
        let mut log = at_work();
        let own = if apart { r#""path":"/sub","apart":true"# } else { r#""path":"/sub""# };
        let own = format!(r#"{own},"path_from":"user","ret":0"#);
        // The engine's threads do so all the time.
        log.add(if by_step { INIT } else { RUNTIME }, "fs.chroot", &own);
        let log = ended(log);
        let builds = log.builds();
        let mut membership = Membership::new(&builds, 1).unwrap();
        log.each(|event| {
            membership.classify(event);
        });
        assert_eq!(membership.lost_roots(), apart && by_step, "{apart} {by_step}");
    }
}

#[test]
fn what_the_engine_changes_in_a_tree_while_its_container_runs_is_somebody_elses() {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let changed = open(&mut log, DAEMON, &format!("{TREE}/copied"), "");
    let read =
        log.add(DAEMON, "file.open", &format!(r#""path":"{TREE}/etc/passwd","mode":"r","ret":3"#));
    log.end(INIT);
    let after = open(&mut log, DAEMON, &format!("{TREE}/tidied"), "");
    log.end(CLIENT);
    assert_eq!(places(&log, &[changed]), [(FOREIGN, in_tree("/copied"))]);
    for (place, _) in places(&log, &[read, after]) {
        assert_eq!(place, Place::Engine { run: Some(0) });
    }
}

/// Somebody has the engine write a file into a container's tree: by a helper with its root there, as Docker does it, or since
/// its version 24 by a thread.
fn copy_in(log: &mut Log, helper: u32, name: &str) -> u64 {
    let pivot = format!(r#""path":"{TREE}","put_old":".","ret":0"#);
    let own = format!(r#""path":"{name}","mode":"w","create":true,"ret":3"#);
    if helper == DAEMON.0 {
        let thread = Who(DAEMON.0, DAEMON.1, DAEMON.2, DAEMON.3, 78);
        log.add_by(thread, 19, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
        log.add_by(thread, 19, "mount.pivot_root", &pivot);
        return log.add_by(thread, 19, "file.open", &own);
    }
    let untar = Who(helper, DAEMON.0, 0, 1, 78);
    log.fork(DAEMON, untar);
    log.exec(untar, &["docker-untar", "/", TREE]);
    log.add(untar, "mount.pivot_root", &pivot);
    let wrote = open(log, untar, name, "");
    log.end(untar);
    wrote
}

#[test]
fn what_the_engine_is_asked_to_put_into_a_runs_tree_before_or_after_it_is_somebody_elses() {
    for [first, second] in [[50, 51], [DAEMON.0, DAEMON.0]] {
        let mut log = Log::begun();
        log.overlay(DAEMON, 41, &[40]);
        // It makes the directory that a RUN begins in by itself.
        let own = format!(r#""path":"{TREE}/work","mode":"0755","ret":0"#);
        let made = log.add(DAEMON, "file.mkdir", &own);
        let before = copy_in(&mut log, first, "/before");
        log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
        log.end(INIT);
        let after = copy_in(&mut log, second, "/after");
        log.end(CLIENT);
        log.rename("overlay2/40/diff", "overlay2/40-init/diff");
        let found = places(&log, &[made, before, after]);
        let by_engine = (Place::Engine { run: Some(0) }, in_tree("/work"));
        let all = [by_engine, (FOREIGN, in_tree("/before")), (FOREIGN, in_tree("/after"))];
        assert_eq!(found, all, "{first}");
    }
}

#[test]
fn what_the_engine_puts_into_the_tree_of_a_copy_is_the_engines() {
    for helper in [50, DAEMON.0] {
        let mut log = Log::begun();
        log.overlay(DAEMON, 41, &[40]);
        let copied = copy_in(&mut log, helper, "/copied");
        log.add(DAEMON, "mount.umount", &format!(r#""target":"{TREE}","flags":[],"ret":0"#));
        log.end(CLIENT);
        log.rename("overlay2/40/diff", "overlay2/40-init/diff");
        assert_eq!(place(&log, copied), Place::Engine { run: Some(0) }, "{helper}");
    }
}

#[test]
fn what_a_steps_program_does_as_an_engine_would_stays_the_steps() {
    let mut log = at_work();
    // A layer of its own makes an engine of it, and its child, with its root elsewhere in the tree, a helper of that.
    log.add(INIT, "file.mkdir", r#""path":"/vfs/dir/x","mode":"0755","ret":0"#);
    let helper = Who(412, 411, 0, 41, 41);
    log.fork(INIT, helper);
    log.add(helper, "fs.chroot", r#""path":"/srv","ret":0"#);
    let helped = open(&mut log, helper, "/evil", "");
    let child = Who(413, 412, 0, 41, 41);
    log.fork(helper, child);
    let below = open(&mut log, child, "/evil2", "");
    // It fills a layer as if it copied another.
    log.add(INIT, "file.open", r#""path":"/vfs/dir/y","mode":"r","size":4096,"ret":3"#);
    log.add(INIT, "file.chmod", r#""path":"/vfs/dir/x","mode":"0755","ret":0"#);
    let copied = open(&mut log, INIT, "/vfs/dir/x/evil", "");
    let log = ended(log);
    let found = places(&log, &[helped, below, copied]);
    assert_eq!(found, ["/srv/evil", "/srv/evil2", "/vfs/dir/x/evil"].map(|path| (OWN, in_tree(path))));
}

/// What mounts a tree that it serves, with the layers among its arguments, and what it does then.
fn serve(log: &mut Log, who: Who, at: &str, lower: &str) -> u64 {
    let layers = format!("lowerdir={lower},upperdir={at}/diff");
    log.exec(who, &["serve", "-o", &layers, &format!("{at}/merged")]);
    let mount =
        format!(r#""source":"x","target":"{at}/merged","fstype":"fuse.x","flags":[],"cwd":"/","ret":0"#);
    log.add(who, "mount.mount", &mount);
    open(log, who, "/evil", "")
}

#[test]
fn who_says_to_serve_a_steps_tree_is_no_server_for_that() {
    // A program of the step; the second makes the first's a layer.
    let mut log = at_work();
    let mut inside = Vec::new();
    for (pid, at, lower) in [(412, "/a", "/l"), (413, "/b", "/a/diff")] {
        let who = Who(pid, 411, 0, 41, 41);
        log.fork(INIT, who);
        inside.push(serve(&mut log, who, at, lower));
    }
    let log = ended(log);
    for (place, spot) in places(&log, &inside) {
        assert_eq!((place, spot), (OWN, in_tree("/evil")));
    }
    // One from elsewhere, that made an engine of its parent, in a namespace where names are what it likes.
    let mut log = at_work();
    log.add(STRANGER, "file.mkdir", r#""path":"/home/vfs/dir/x","mode":"0755","ret":0"#);
    let who = Who(31, 30, 0, 1, 99);
    log.fork(STRANGER, who);
    serve(&mut log, who, "/s/overlay2/41", "/l");
    let evil = open(&mut log, who, "/s/overlay2/41/diff/evil", "");
    assert_eq!(place(&ended(log), evil), FOREIGN);
}

#[test]
fn a_users_engine_builds_for_that_user_and_nobody_else() {
    let engine = Who(50, 5, 1000, 1, 1);
    let build_of = |client: Who| {
        let mut log = Log::new();
        log.exec(client, &["docker", "build", "."]);
        log.add(client, "unix.connect", r#""path":"/run/user/1000/docker.sock","ret":0"#);
        log.run(engine, 41, &[40], &["/bin/sh", "-c", "make"]);
        log.end(client);
        log.builds()
    };
    let builds = build_of(Who(60, 5, 1000, 1, 1));
    let build = builds.pick(None).unwrap();
    assert_eq!((build.runs.len(), build.uid, build.runs[0].shared), (1, 1000, false));
    for other in [0, 1001] {
        assert_eq!(build_of(Who(60, 5, other, 1, 1)).pick(None).err(), Some(NoBuild::NoClient(1)));
    }
}
