//! Builds in stores without overlay mounts: each layer a whole tree, copied from the one below by the engine; or trees that a
//! process serves.

use blubr_dockerfile::Dockerfile;

use crate::tests::{DAEMON, Log, STRANGER, Who, unpack};
use crate::{Area, Build, Builds, Engine, Membership, Place, RunKind, Tied, tie};

fn dir(n: &str) -> String {
    format!("/s/vfs/dir/{n}")
}

fn write(log: &mut Log, tid: u32, path: &str) -> u64 {
    let open = format!(r#""path":"{path}","mode":"w","create":true,"size":0,"ret":3"#);
    let seq = log.add_by(DAEMON, tid, "file.open", &open);
    log.add_by(DAEMON, tid, "file.close", &format!(r#""path":"{path}","size":7"#));
    seq
}

fn list(log: &mut Log, tid: u32, path: &str) {
    log.add_by(DAEMON, tid, "file.open", &format!(r#""path":"{path}","mode":"r","size":4096,"ret":3"#));
}

fn read(log: &mut Log, tid: u32, path: &str) {
    log.add_by(DAEMON, tid, "file.open", &format!(r#""path":"{path}","mode":"r","size":7,"ret":3"#));
}

/// A directory of the store, empty.
fn make(log: &mut Log, n: &str) {
    log.add(DAEMON, "file.mkdir", &format!(r#""path":"{}","mode":"0755","ret":0"#, dir(n)));
}

/// One that is copied from another; gives the events of the copying.
fn copy(log: &mut Log, n: &str, from: &str, files: &[&str]) -> Vec<u64> {
    make(log, n);
    list(log, DAEMON.0, &dir(from));
    let (from, to) = (dir(from), dir(n));
    log.add(DAEMON, "file.chown", &format!(r#""path":"{to}","owner":0,"group":0,"ret":0"#));
    let mut seqs = Vec::new();
    for file in files {
        read(log, DAEMON.0, &format!("{from}{file}"));
        seqs.push(write(log, DAEMON.0, &format!("{to}{file}")));
        let mode = format!(r#""path":"{to}{file}","mode":"0644","ret":0"#);
        seqs.push(log.add(DAEMON, "file.chmod", &mode));
    }
    seqs.push(log.add(DAEMON, "file.utimes", &format!(r#""path":"{to}","ret":0"#)));
    seqs
}

/// A container in a tree, which writes `/m`; by a runtime that binds the tree elsewhere, or upon itself.
fn run(log: &mut Log, n: &str, pid: u32, bound: bool, argv: &[&str]) -> u64 {
    let wrote = run_going_on(log, n, pid, bound, argv);
    log.add(Who(pid + 1, pid, 0, u64::from(pid), pid), "process.exit", r#""code":0"#);
    wrote
}

fn run_going_on(log: &mut Log, n: &str, pid: u32, bound: bool, argv: &[&str]) -> u64 {
    let root = if bound { format!("/x/{n}/rootfs") } else { dir(n) };
    let runtime = Who(pid, DAEMON.0, 0, 1, 1);
    let init = Who(pid + 1, pid, 0, u64::from(pid), pid);
    if bound {
        let bind = format!(r#""source":"{}","target":"{root}","flags":["bind"],"ret":0"#, dir(n));
        log.add(DAEMON, "mount.mount", &bind);
    }
    log.fork(DAEMON, runtime);
    log.exec(runtime, &["runc", "run"]);
    log.fork(runtime, init);
    let itself =
        format!(r#""source":"{root}","target":"{root}","fstype":"bind","flags":["bind"],"ret":0"#);
    log.add(init, "mount.mount", &itself);
    let proc = format!(r#""source":"proc","target":"{root}/proc","fstype":"proc","flags":[],"ret":0"#);
    log.add(init, "mount.mount", &proc);
    log.add(init, "mount.pivot_root", &format!(r#""path":"{root}","put_old":".","ret":0"#));
    log.exec(init, argv);
    log.add(init, "file.open", r#""path":"/m","mode":"w","create":true,"ret":3"#)
}

fn only(builds: &Builds) -> &Build {
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    build
}

fn tied(build: &Build, text: &str) -> Vec<Tied> {
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    tie(build, &file).into_iter().map(|tie| tie.instruction).collect()
}

#[test]
fn a_tree_that_is_copied_from_another_stands_upon_it_and_the_copying_is_no_step() {
    let mut log = Log::begun();
    // The client's context, as BuildKit takes it in, and a COPY of it.
    make(&mut log, "context");
    let note = format!("{}/note", dir("context"));
    log.add(
        DAEMON,
        "file.open",
        &format!(r#""path":"{note}","mode":"w","create":true,"size":0,"ret":3"#),
    );
    log.add(DAEMON, "file.close", &format!(r#""path":"{note}","size":0"#));
    log.add(DAEMON, "file.open", &format!(r#""path":"{note}","mode":"w","size":0,"ret":3"#));
    log.add(DAEMON, "file.close", &format!(r#""path":"{note}","size":7"#));
    make(&mut log, "a");
    let bind = format!(r#""source":"{}","target":"/x/c","flags":["ro","bind"],"ret":0"#, dir("context"));
    log.add(DAEMON, "mount.mount", &bind);
    read(&mut log, DAEMON.0, "/x/c/note");
    write(&mut log, DAEMON.0, &format!("{}/note", dir("a")));
    let mut copying = copy(&mut log, "b", "a", &["/note"]);
    let first = run(&mut log, "b", 500, true, &["/bin/sh", "-c", "make"]);
    copying.extend(copy(&mut log, "c", "b", &["/note", "/m"]));
    let second = run(&mut log, "c", 600, true, &["/bin/sh", "-c", "make"]);
    let foreign = format!(r#""path":"{}/evil","mode":"w","create":true,"ret":3"#, dir("c"));
    let foreign = log.add(STRANGER, "file.open", &foreign);
    log.end(Who(20, 5, 1000, 1, 1));

    let builds = log.builds();
    let build = only(&builds);
    assert_eq!(build.engine, Engine::BuildKit);
    assert_eq!(build.contexts.len(), 1, "{:?}", build.contexts);
    let [copied, one, two] = build.runs.as_slice() else { panic!("{:?}", build.runs) };
    assert!(copied.kind == RunKind::Daemon && copied.reads_context == [dir("context").into_bytes()]);
    assert!([one, two].iter().all(|run| run.whole && run.compared && run.kind == RunKind::Run));
    assert_eq!(two.lowers, [dir("b").into_bytes(), dir("a").into_bytes()]);
    assert_eq!(two.below, [one.id, copied.id]);
    let file = "FROM scratch\nCOPY note /\nRUN make\nRUN make\n";
    assert_eq!(tied(build, file), [1, 2, 3].map(Tied::One));

    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        let seq = event.head.seq;
        if copying.contains(&seq) {
            assert_eq!(place, Place::Engine { run: None }, "event {seq}");
        }
        for (wrote, run) in [(first, one), (second, two)] {
            if seq == wrote {
                assert_eq!(place, Place::Container { run: run.id });
                let spot = membership.spot(event, b"/m").unwrap();
                assert_eq!((spot.run, spot.area, spot.mounted), (Some(run.id), Area::Tree, None));
                let spot = membership.spot(event, b"/proc/1").unwrap();
                assert!(spot.mounted.is_some(), "what is mounted there hides the layer");
            }
        }
        if seq == foreign {
            assert_eq!(place, Place::Foreign { run: Some(two.id) });
            let spot = membership.spot(event, format!("{}/evil", dir("c")).as_bytes()).unwrap();
            assert_eq!((spot.area, spot.path.as_slice()), (Area::Upper, &b"/evil"[..]));
        }
    });
}

#[test]
fn who_looks_into_a_tree_through_a_process_of_it_sees_what_is_mounted_there() {
    let mut log = Log::begun();
    make(&mut log, "a");
    write(&mut log, DAEMON.0, &format!("{}/note", dir("a")));
    // As long as the name by which it is reached.
    copy(&mut log, "bcd", "a", &["/note"]);
    run_going_on(&mut log, "bcd", 500, false, &["/bin/sh", "-c", "make"]);
    let path = "/proc/501/root/proc/x";
    let reached = log.add(STRANGER, "file.open", &format!(r#""path":"{path}","mode":"w","ret":3"#));
    log.end(Who(501, 500, 0, 500, 500));
    log.end(Who(20, 5, 1000, 1, 1));
    let builds = log.builds();
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        membership.classify(event);
        if event.head.seq == reached {
            let spot = membership.spot(event, path.as_bytes()).unwrap();
            assert_eq!((spot.area, spot.path.as_slice()), (Area::Tree, &b"/proc/x"[..]));
            assert!(spot.mounted.is_some());
        }
    });
}

/// A layer that the engine registers: copied from those below the step, and what it read in the step's tree put upon it.
fn register(log: &mut Log, n: &str, from: Option<&str>, step: &str, tid: u32, files: &[&str]) {
    list(log, DAEMON.0, &dir(step));
    match from {
        Some(from) => drop(copy(log, n, from, &[])),
        None => make(log, n),
    }
    for file in files {
        read(log, DAEMON.0, &format!("{}{file}", dir(step)));
    }
    unpack(log, tid, &dir(n), files);
}

#[test]
fn what_is_registered_of_a_tree_is_no_step_of_its_own() {
    let mut log = Log::begun();
    unpack(&mut log, 101, "/s/tmp/docker-builder1", &["/Dockerfile", "/note"]);
    make(&mut log, "a");
    read(&mut log, DAEMON.0, "/s/tmp/docker-builder1/note");
    unpack(&mut log, 102, &dir("a"), &["/note"]);
    register(&mut log, "layer-a", None, "a", 103, &["/note"]);
    copy(&mut log, "b-init", "layer-a", &["/note"]);
    write(&mut log, DAEMON.0, &format!("{}/.dockerenv", dir("b-init")));
    copy(&mut log, "b", "b-init", &["/note", "/.dockerenv"]);
    run(&mut log, "b", 500, false, &["/bin/sh", "-c", "make"]);
    register(&mut log, "layer-b", Some("layer-a"), "b", 104, &["/m"]);
    // Clearing up lists it once more.
    list(&mut log, DAEMON.0, &dir("b"));
    // ENV makes a tree and changes nothing in it; what is registered of it is thrown away.
    copy(&mut log, "e-init", "layer-b", &["/note", "/m"]);
    copy(&mut log, "e", "e-init", &["/note", "/m"]);
    list(&mut log, DAEMON.0, &dir("e"));
    copy(&mut log, "layer-e", "layer-b", &["/note", "/m"]);
    let (empty, old) = (dir("layer-e"), format!("{}/.pivot_root1", dir("layer-e")));
    let thread = Who(DAEMON.0, DAEMON.1, DAEMON.2, DAEMON.3, 77);
    log.add_by(thread, 107, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
    log.add_by(thread, 107, "file.mkdir", &format!(r#""path":"{old}","mode":"0700","ret":0"#));
    let pivot = format!(r#""path":"{empty}","put_old":"{old}","ret":0"#);
    log.add_by(thread, 107, "mount.pivot_root", &pivot);
    list(&mut log, DAEMON.0, &dir("layer-e"));
    // A COPY whose helper has its root at the very top, as the registering one has.
    copy(&mut log, "c", "layer-b", &["/note", "/m"]);
    read(&mut log, DAEMON.0, "/s/tmp/docker-builder1/note");
    unpack(&mut log, 105, &dir("c"), &["/note"]);
    register(&mut log, "layer-c", Some("layer-b"), "c", 106, &["/note"]);
    log.end(Who(20, 5, 1000, 1, 1));

    let builds = log.builds();
    let build = only(&builds);
    assert_eq!(build.engine, Engine::Classic);
    let uppers: Vec<&[u8]> = build.runs.iter().map(|run| run.upper.as_slice()).collect();
    assert_eq!(uppers, ["a", "b", "c"].map(dir).each_ref().map(String::as_bytes));
    let of = |layer: &str| {
        let layer = build.layers.iter().find(|of| of.dir == dir(layer).as_bytes())?;
        build.runs.iter().position(|run| Some(run.id) == layer.of)
    };
    assert_eq!(["layer-a", "layer-b", "layer-c"].map(of), [Some(0), Some(1), Some(2)]);
    let ids: Vec<u32> = build.runs.iter().map(|run| run.id).collect();
    assert_eq!(build.runs[2].below, [ids[1], ids[0]]);
    let file = "FROM scratch\nCOPY note /note\nRUN make\nCOPY note /note\n";
    assert_eq!(tied(build, file), [1, 2, 3].map(Tied::One));
}

#[test]
fn of_two_copies_at_once_each_thread_says_which_it_makes() {
    let below = |tids: [u32; 2]| {
        let mut log = Log::begun();
        for n in ["p", "q"] {
            make(&mut log, n);
            write(&mut log, DAEMON.0, &format!("{}/f", dir(n)));
        }
        make(&mut log, "b");
        make(&mut log, "c");
        list(&mut log, tids[0], &dir("p"));
        list(&mut log, tids[1], &dir("q"));
        for (n, tid) in [("b", 71), ("c", 72)] {
            let own = format!(r#""path":"{}","owner":0,"group":0,"ret":0"#, dir(n));
            log.add_by(DAEMON, tid, "file.chown", &own);
            let own = format!(r#""path":"{}","ret":0"#, dir(n));
            log.add_by(DAEMON, tid, "file.utimes", &own);
        }
        run(&mut log, "b", 500, true, &["/bin/sh", "-c", "one"]);
        run(&mut log, "c", 600, true, &["/bin/sh", "-c", "two"]);
        log.end(Who(20, 5, 1000, 1, 1));
        let builds = log.builds();
        let runs = only(&builds).runs.iter().filter(|run| run.kind == RunKind::Run);
        runs.map(|run| run.lowers.clone()).collect::<Vec<_>>()
    };
    assert_eq!(below([71, 72]), ["p", "q"].map(|n| vec![dir(n).into_bytes()]));
    assert_eq!(below([72, 71]), ["q", "p"].map(|n| vec![dir(n).into_bytes()]));
    assert_eq!(below([73, 74]), [vec![], Vec::<Vec<u8>>::new()], "either may be meant: neither is said");
}

#[test]
fn a_directory_that_only_looks_like_a_layer_is_no_build() {
    let mut log = Log::begun();
    let mkdir = r#""path":"/home/x/vfs/dir/y","mode":"0755","ret":0"#;
    log.add(STRANGER, "file.mkdir", mkdir);
    let open = r#""path":"/home/x/vfs/dir/y/f","mode":"w","create":true,"size":0,"ret":3"#;
    log.add(STRANGER, "file.open", open);
    log.end(Who(20, 5, 1000, 1, 1));
    assert!(log.builds().builds.is_empty());
}

#[test]
fn what_others_make_or_open_by_such_names_takes_no_room_from_an_engines() {
    let mut log = Log::begun();
    make(&mut log, "p");
    write(&mut log, DAEMON.0, &format!("{}/f", dir("p")));
    make(&mut log, "b");
    for n in 0..3000 {
        let own = format!("/home/vfs/dir/{n}");
        log.add(STRANGER, "file.mkdir", &format!(r#""path":"{own}","mode":"0755","ret":0"#));
    }
    list(&mut log, DAEMON.0, &dir("p"));
    log.add(DAEMON, "file.chown", &format!(r#""path":"{}","owner":0,"group":0,"ret":0"#, dir("b")));
    for n in 0..3000 {
        let own = format!("/home/vfs/dir/{n}");
        log.add(STRANGER, "file.open", r#""path":"/home/vfs/dir","mode":"r","size":9,"ret":3"#);
        log.add(STRANGER, "file.open", r#""path":"/home/vfs/dir/x","mode":"r","size":9,"ret":3"#);
        log.add(STRANGER, "file.chmod", &format!(r#""path":"{own}","mode":"0755","ret":0"#));
    }
    let copying = write(&mut log, DAEMON.0, &format!("{}/f", dir("b")));
    log.add(DAEMON, "file.utimes", &format!(r#""path":"{}","ret":0"#, dir("b")));
    run(&mut log, "b", 500, true, &["/bin/sh", "-c", "make"]);
    log.end(Who(20, 5, 1000, 1, 1));
    let builds = log.builds();
    let build = only(&builds);
    let run = build.runs.iter().find(|run| run.kind == RunKind::Run).unwrap();
    assert_eq!(run.lowers, [dir("p").into_bytes()]);
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.seq == copying {
            assert_eq!(place, Place::Engine { run: None });
        }
    });
}

#[test]
fn whose_store_it_is_stays_known_whatever_others_open() {
    let mut log = Log::begun();
    for n in 0..3000 {
        let own = format!(r#""path":"/home/{n}/vfs-layers/x","mode":"r","size":2,"ret":3"#);
        log.add(STRANGER, "file.open", &own);
    }
    let buildah = Who(40, 5, 0, 1, 1);
    log.exec(buildah, &["buildah", "bud", "."]);
    log.add(buildah, "file.open", r#""path":"/s/vfs-layers/layers.json","mode":"r","size":2,"ret":3"#);
    log.add(buildah, "file.mkdir", &format!(r#""path":"{}","mode":"0755","ret":0"#, dir("b")));
    let (runtime, init) = (Who(500, 40, 0, 1, 1), Who(501, 500, 0, 500, 500));
    log.fork(buildah, runtime);
    log.fork(runtime, init);
    log.add(init, "mount.pivot_root", &format!(r#""path":"{}","put_old":".","ret":0"#, dir("b")));
    log.exec(init, &["/bin/sh", "-c", "make"]);
    log.end(init);
    log.end(buildah);
    assert_eq!(only(&log.builds()).engine, Engine::Buildah);
}

#[test]
fn a_tree_that_a_process_serves_is_made_of_the_layers_among_its_arguments() {
    let served = |upper: &str| {
        let mut log = Log::begun();
        let link = r#""path":"/s/fuse-overlayfs/l/LOW","target":"../low/diff","ret":0"#;
        log.add(DAEMON, "file.symlink", link);
        let server = Who(70, DAEMON.0, 0, 1, 1);
        log.fork(DAEMON, server);
        let layers = format!("lowerdir=l/LOW,upperdir={upper},workdir=/s/fuse-overlayfs/b/work");
        log.exec(server, &["serve", "-o", &layers, "/s/fuse-overlayfs/b/merged"]);
        let mount = r#""source":"x","target":"/s/fuse-overlayfs/b/merged","fstype":"fuse.x","flags":[],"cwd":"/s/fuse-overlayfs","ret":0"#;
        log.add(server, "mount.mount", mount);
        log.fork(server, Who(71, 70, 0, 1, 1));
        let bind =
            r#""source":"/s/fuse-overlayfs/b/merged","target":"/x/b/rootfs","flags":["bind"],"ret":0"#;
        log.add(DAEMON, "mount.mount", bind);
        let (runtime, init) = (Who(500, DAEMON.0, 0, 1, 1), Who(501, 500, 0, 500, 500));
        log.fork(DAEMON, runtime);
        log.exec(runtime, &["runc", "run"]);
        log.fork(runtime, init);
        log.add(init, "mount.pivot_root", r#""path":"/x/b/rootfs","put_old":".","ret":0"#);
        log.exec(init, &["/bin/sh", "-c", "make"]);
        log.add(init, "file.open", r#""path":"/m","mode":"w","create":true,"ret":3"#);
        // The server carries it out.
        let upper = r#""path":"/s/fuse-overlayfs/b/diff/m","mode":"w","create":true,"ret":3"#;
        log.add(Who(71, 1, 0, 1, 1), "file.open", upper);
        log.add(init, "process.exit", r#""code":0"#);
        log.end(Who(20, 5, 1000, 1, 1));
        log
    };
    let log = served("/s/fuse-overlayfs/b/diff");
    let builds = log.builds();
    let mut runs = only(&builds).runs.iter().filter(|run| run.kind == RunKind::Run);
    let run = runs.next().unwrap();
    assert_eq!(run.lowers, [b"/s/fuse-overlayfs/low/diff".to_vec()]);
    assert!(run.compared && run.upper == b"/s/fuse-overlayfs/b/diff");
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| match (event.head.pid, membership.classify(event)) {
        (71, place) => assert_eq!(place, Place::Engine { run: None }),
        (501, place) => assert_eq!(place, Place::Container { run: run.id }),
        _ => {}
    });
    // A mount that does not lie beside what it says to be its upper directory is not believed.
    let elsewhere = served("/s/fuse-overlayfs/c/diff").builds();
    let runs = elsewhere.builds.iter().flat_map(|build| &build.runs);
    assert!(runs.clone().all(|run| run.kind == RunKind::Daemon), "{elsewhere:?}");
}
