//! The classic builder where overlay's upper directories are not taken for layers: it compares trees, and mounts each layer to fill
//! it. Synthetic events of COPYs and RUNs done so.

use crate::tests::{DAEMON, Log, Who, unpack};
use crate::{Area, Build, Dockerfile, Membership, Place, Tied, tie};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);

fn tree(n: u32) -> String {
    format!("/s/overlay2/{n}/merged")
}

/// A directory of the store, mounted upon others.
fn mount(log: &mut Log, n: u32, lowers: &[u32]) {
    let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
    log.add(DAEMON, "file.symlink", &link);
    log.overlay(DAEMON, n, lowers);
}

fn unmount(log: &mut Log, n: u32) {
    let own = format!(r#""target":"{}","flags":["detach"],"ret":0"#, tree(n));
    log.add(DAEMON, "mount.umount", &own);
}

/// A helper writes a file into a tree; gives the event.
fn fill(log: &mut Log, n: u32, file: &str) -> u64 {
    let helper = Who(n * 10, DAEMON.0, 0, 1, 1);
    log.fork(DAEMON, helper);
    log.exec(helper, &["helper"]);
    log.add(helper, "fs.chroot", &format!(r#""path":"{}","path_from":"user","ret":0"#, tree(n)));
    let seq =
        log.add(helper, "file.open", &format!(r#""path":"{file}","mode":"w","create":true,"ret":3"#));
    log.add(helper, "file.close", &format!(r#""path":"{file}","size":7"#));
    log.end(helper);
    seq
}

/// The tree is listed, and what was found is read.
fn compare(log: &mut Log, n: u32, file: &str) {
    for (path, size) in [(tree(n), 4096), (format!("{}{file}", tree(n)), 7)] {
        let own = format!(r#""path":"{path}","mode":"r","size":{size},"ret":7"#);
        log.add(DAEMON, "file.open", &own);
    }
}

/// The engine makes a layer of what it has found.
fn register(log: &mut Log, n: u32, lowers: &[u32], file: &str) -> u64 {
    mount(log, n, lowers);
    let seq = fill(log, n, file);
    unmount(log, n);
    seq
}

/// The step's own tree is done with.
fn remove(log: &mut Log, n: u32) {
    unmount(log, n);
    let own = format!(r#""path":"/s/overlay2/{n}/diff","directory":true,"ret":0"#);
    log.add(DAEMON, "file.unlink", &own);
}

/// A COPY, and the layer that becomes of it.
fn copy(log: &mut Log, n: u32, layer: u32, lowers: &[u32], file: &str) -> u64 {
    mount(log, n, lowers);
    fill(log, n, file);
    compare(log, n, file);
    let registered = register(log, layer, lowers, file);
    remove(log, n);
    registered
}

fn build(log: &mut Log) -> Build {
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    build.clone()
}

/// The trees of a build's steps, and the layers with the tree that each is of.
fn shape(build: &Build) -> (Vec<&str>, Vec<(&str, &str)>) {
    let number = |dir: &'_ [u8]| dir.split(|byte| *byte == b'/').nth(3).map(<[u8]>::to_vec);
    let text = |dir: &[u8]| -> &'static str { String::from_utf8(number(dir).unwrap()).unwrap().leak() };
    let upper = |id: u32| build.runs.iter().find(|run| run.id == id).map(|run| text(&run.upper));
    let steps = build.runs.iter().map(|run| text(&run.upper)).collect();
    let of = |layer: &crate::Layer| Some((text(&layer.dir), upper(layer.of?)?));
    (steps, build.layers.iter().filter_map(of).collect())
}

fn tied(build: &Build, text: &str) -> Vec<Tied> {
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    tie(build, &file).into_iter().map(|tie| tie.instruction).collect()
}

#[test]
fn what_is_registered_through_a_mount_is_the_result_of_the_copy() {
    let mut log = Log::begun();
    let registered = copy(&mut log, 41, 42, &[40], "/a");
    copy(&mut log, 43, 44, &[42, 40], "/b");
    log.end(CLIENT);
    let builds = log.builds();
    let build = &builds.builds[0];
    assert_eq!(shape(build), (vec!["41", "43"], vec![("42", "41"), ("44", "43")]));
    assert_eq!(build.runs[1].below, [build.runs[0].id]);
    assert!(build.runs.iter().all(|run| run.compared));
    assert_eq!(tied(build, "FROM base\nCOPY a /a\nCOPY b /b\n"), [Tied::One(1), Tied::One(2)]);
    // What the helper wrote is the engine's work for the step, in its layer.
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.seq == registered {
            let run = Some(build.runs[0].id);
            assert_eq!(place, Place::Engine { run });
            let spot = membership.spot(event, b"/a").unwrap();
            assert_eq!((spot.run, spot.area, spot.path.as_slice()), (run, Area::Layer, &b"/a"[..]));
        }
    });
}

#[test]
fn threads_of_the_engine_copy_and_register_as_helpers_do() {
    let mut log = Log::begun();
    for (n, layer, lowers, file) in [(41, 42, &[40][..], "/a"), (43, 44, &[42, 40], "/a")] {
        mount(&mut log, n, lowers);
        unpack(&mut log, n, &tree(n), &[file]);
        compare(&mut log, n, file);
        mount(&mut log, layer, lowers);
        unpack(&mut log, layer, &tree(layer), &[file]);
        unmount(&mut log, layer);
        remove(&mut log, n);
    }
    let build = build(&mut log);
    assert_eq!(shape(&build), (vec!["41", "43"], vec![("42", "41"), ("44", "43")]));
    assert_eq!(tied(&build, "FROM base\nCOPY a /a\nCOPY a /a\n"), [Tied::One(1), Tied::One(2)]);
}

#[test]
fn a_copy_of_the_same_again_is_no_layer_of_the_first() {
    let mut log = Log::begun();
    copy(&mut log, 41, 42, &[40], "/a");
    copy(&mut log, 43, 44, &[42, 40], "/a");
    let build = build(&mut log);
    assert_eq!(shape(&build), (vec!["41", "43"], vec![("42", "41"), ("44", "43")]));
    assert_eq!(tied(&build, "FROM base\nCOPY a /a\nCOPY a /a\n"), [Tied::One(1), Tied::One(2)]);
}

#[test]
fn a_copy_beside_that_is_still_to_be_read_is_no_layer() {
    // Another stage's, upon the same layers and of the same file, while the first's tree is there.
    let mut log = Log::begun();
    mount(&mut log, 41, &[40]);
    fill(&mut log, 41, "/a");
    compare(&mut log, 41, "/a");
    mount(&mut log, 51, &[40]);
    fill(&mut log, 51, "/a");
    compare(&mut log, 51, "/a");
    register(&mut log, 42, &[40], "/a");
    register(&mut log, 52, &[40], "/a");
    remove(&mut log, 41);
    remove(&mut log, 51);
    let build = build(&mut log);
    assert_eq!(shape(&build), (vec!["41", "51"], vec![]), "either layer may be of either");
}

#[test]
fn the_layer_of_a_run_is_found_when_its_tree_is_mounted_again() {
    let mut log = Log::begun();
    copy(&mut log, 41, 42, &[40], "/a");
    log.run(DAEMON, 43, &[143, 42, 40], &["/bin/sh", "-c", "make"]);
    log.overlay(DAEMON, 43, &[143, 42, 40]);
    compare(&mut log, 43, "/m");
    register(&mut log, 44, &[42, 40], "/m");
    remove(&mut log, 43);
    copy(&mut log, 45, 46, &[44, 42, 40], "/b");
    log.rename("/s/overlay2/143/diff", "/s/overlay2/43-init/diff");
    let build = build(&mut log);
    let layers = vec![("42", "41"), ("44", "43"), ("46", "45")];
    assert_eq!(shape(&build), (vec!["41", "43", "45"], layers));
    let text = "FROM base\nCOPY a /a\nRUN make\nCOPY b /b\n";
    assert_eq!(tied(&build, text), [1, 2, 3].map(Tied::One));
}

/// A COPY, and something of the same name and size in another tree upon the same layers.
fn beside(does: impl Fn(&mut Log)) -> Build {
    let mut log = Log::begun();
    mount(&mut log, 41, &[40]);
    does(&mut log);
    build(&mut log)
}

#[test]
fn a_tree_that_is_not_filled_with_what_was_read_is_a_step() {
    let steps = |does: &dyn Fn(&mut Log)| {
        let build = beside(does);
        shape(&build).0.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>()
    };
    let finished = |log: &mut Log| {
        fill(log, 41, "/a");
        compare(log, 41, "/a");
    };
    let layer = |log: &mut Log| {
        register(log, 42, &[40], "/a");
        remove(log, 41);
    };
    assert_eq!(steps(&|log| [finished, layer].iter().for_each(|does| does(log))), ["41"]);
    let alone: [&dyn Fn(&mut Log); 6] = [
        // Nothing was read.
        &|log| {
            fill(log, 41, "/a");
            layer(log);
        },
        // It was read before the last of it was done.
        &|log| {
            finished(log);
            fill(log, 41, "/b");
            layer(log);
        },
        // Something else was read.
        &|log| {
            fill(log, 41, "/b");
            compare(log, 41, "/b");
            layer(log);
        },
        // Its mount had been undone by then.
        &|log| {
            finished(log);
            remove(log, 41);
            register(log, 42, &[40], "/a");
        },
        // It stands upon other layers.
        &|log| {
            finished(log);
            register(log, 42, &[39], "/a");
            remove(log, 41);
        },
        // It is itself read later.
        &|log| {
            finished(log);
            register(log, 42, &[40], "/a");
            remove(log, 41);
            let own = r#""path":"/s/overlay2/42/diff/a","mode":"r","size":7,"ret":7"#;
            log.add(DAEMON, "file.open", own);
        },
    ];
    for (nth, does) in alone.iter().enumerate() {
        assert_eq!(steps(does), ["41", "42"], "{nth}");
    }
}

#[test]
fn of_a_tree_that_stays_nothing_is_known_to_be_the_layer() {
    let build = beside(|log| {
        fill(log, 41, "/a");
        compare(log, 41, "/a");
        register(log, 42, &[40], "/a");
        mount(log, 43, &[42, 40]);
        fill(log, 43, "/b");
    });
    assert_eq!(shape(&build), (vec!["41", "43"], vec![]));
    assert!(build.runs.iter().all(|run| run.below.is_empty()));
}

#[test]
fn what_an_engine_itself_writes_is_no_layer() {
    let build = beside(|log| {
        fill(log, 41, "/a");
        compare(log, 41, "/a");
        mount(log, 42, &[40]);
        let own = format!(r#""path":"{}/a","mode":"w","create":true,"ret":3"#, tree(42));
        log.add(DAEMON, "file.open", &own);
        log.add(DAEMON, "file.close", &format!(r#""path":"{}/a","size":7"#, tree(42)));
        unmount(log, 42);
        remove(log, 41);
    });
    assert_eq!(shape(&build), (vec!["41", "42"], vec![]));
}

/// A helper writes into a layer without a mount what the engine has read there.
fn copy_on_nothing(log: &mut Log, from: &str) {
    let link = r#""path":"/s/overlay2/l/L41","target":"../41/diff","ret":0"#;
    log.add(DAEMON, "file.symlink", link);
    let own = format!(r#""path":"{from}","mode":"r","size":7,"ret":7"#);
    log.add(DAEMON, "file.open", &own);
    let helper = Who(901, DAEMON.0, 0, 1, 1);
    log.fork(DAEMON, helper);
    log.exec(helper, &["helper"]);
    log.add(helper, "fs.chroot", r#""path":"/s/overlay2/41/diff","path_from":"user","ret":0"#);
    log.add(helper, "file.open", r#""path":"/a","mode":"w","create":true,"ret":3"#);
    log.add(helper, "file.close", r#""path":"/a","size":7"#);
    log.end(helper);
}

#[test]
fn what_is_copied_on_nothing_is_no_base_where_the_other_stages_begin_from_it() {
    let first = |text: &str| {
        let mut log = Log::begun();
        copy_on_nothing(&mut log, "/elsewhere/a");
        copy(&mut log, 42, 43, &[41], "/b");
        tied(&build(&mut log), text)[0].clone()
    };
    assert_eq!(first("FROM scratch AS One\nCOPY a /a\nFROM one\nCOPY b /b\n"), Tied::One(1));
    assert_eq!(first("FROM base\nCOPY b /b\n"), Tied::One(0));
}

#[test]
fn a_context_that_is_unpacked_by_chroot_before_anything_else_is_one() {
    let mut log = Log::new();
    log.add(DAEMON, "process.exists", r#""exe":"/bin/x","argv":["anything"],"cwd":"/""#);
    log.client();
    let own = r#""path":"/home/Dockerfile","mode":"r","size":20,"ret":3"#;
    log.add(CLIENT, "file.open", own);
    log.add(CLIENT, "file.open", r#""path":"/home/a","mode":"r","size":7,"ret":3"#);
    let helper = Who(900, DAEMON.0, 0, 1, 1);
    log.fork(DAEMON, helper);
    log.exec(helper, &["helper"]);
    log.add(helper, "fs.chroot", r#""path":"/tmp/context","path_from":"user","ret":0"#);
    for (file, size) in [("/Dockerfile", 20), ("/a", 7)] {
        let own = format!(r#""path":"{file}","mode":"w","create":true,"ret":3"#);
        log.add(helper, "file.open", &own);
        log.add(helper, "file.close", &format!(r#""path":"{file}","size":{size}"#));
    }
    log.end(helper);
    let own = r#""path":"/tmp/context/Dockerfile","mode":"r","size":20,"ret":7"#;
    log.add(DAEMON, "file.open", own);
    copy_on_nothing(&mut log, "/tmp/context/a");
    copy(&mut log, 42, 43, &[41], "/b");
    let build = build(&mut log);
    assert_eq!(build.contexts.len(), 1);
    assert_eq!(build.runs[0].reads_context, [b"/tmp/context".to_vec()]);
    let text = "FROM scratch\nCOPY a /a\nCOPY --from=other /b /b\n";
    assert_eq!(tied(&build, text), [Tied::One(1), Tied::One(2)]);
}
