//! Images that hold more or less than the record of their build explains: each is told from the one that the build made.

use std::path::Path;

use blubr_tests::bins;
use blubr_tests::program::{ends, jq};
use blubr_tests::supervise::process_folder;

use crate::image;
use crate::log::{DAEMON, Log, STEP, STRANGER, Who};

/// What lies below the step's layer.
const BASE: [&str; 6] = ["bin/", "bin/sh", "etc/", "etc/shadow", "opt/", "opt/k"];

fn entries<'n>(names: &'n [&str]) -> impl Iterator<Item = (String, &'static [u8])> + use<'n> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), if image::is_file(name) { &b"abc"[..] } else { &b""[..] }))
}

/// What is unexplained, as `WHAT PATH`, of a layer with these entries, made by a step that did something.
fn unexplained(step: impl Fn(&mut Log), layer: &[&str]) -> Vec<String> {
    unexplained_of(Log::begin, step, layer)
}

fn unexplained_of(begin: impl Fn(&mut Log), step: impl Fn(&mut Log), layer: &[&str]) -> Vec<String> {
    let folder = tempfile::Builder::new().prefix("untrue.").tempdir_in(process_folder()).unwrap();
    unexplained_in(folder.path(), begin, step, layer)
}

/// The same, with the statement as `out.json` in a folder.
pub fn unexplained_in(
    folder: &Path,
    begin: impl Fn(&mut Log),
    step: impl Fn(&mut Log),
    layer: &[&str],
) -> Vec<String> {
    let file = |name: &str| folder.join(name);
    let mut log = Log::new(&file("log"));
    begin(&mut log);
    step(&mut log);
    log.end();
    image::write_upon(entries(&BASE), entries(layer), &file("image.tar"));
    attest(folder)
}

fn attest(folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name);
    std::fs::write(file("Dockerfile"), "FROM base\nRUN make\n").unwrap();
    let image = format!("archive:{}", file("image.tar").display());
    let mut attest = bins::command("blubr-attest");
    attest.args(["--build=1", "--image", &image, "--dockerfile"]).arg(file("Dockerfile"));
    attest.arg("-o").arg(file("out.json")).arg(file("log"));
    drop(ends(0, &mut attest));
    let unexplained = ".predicate.blubr_build.unexplained | if . == null then error else .[] end";
    let found = jq(&format!("{unexplained} | \"\\(.what) \\(.path)\""), &file("out.json"));
    found.lines().map(str::to_owned).collect()
}

/// A file is made, with three bytes.
pub fn make(log: &mut Log, path: &str) {
    let own = format!(
        r#""path":"{path}","mode":"w","create":true,"truncate":true,"dev":"0:45","ino":7,"size":0,"perm":"0644","ret":3"#
    );
    log.add(STEP, "file.open", &own);
    log.add(STEP, "file.close", &format!(r#""path":"{path}","dev":"0:45","ino":7,"size":3,"ret":0"#));
}

fn chmod(log: &mut Log, path: &str, mode: &str) {
    let own = format!(r#""path":"{path}","mode":"{mode}","ret":0,"path_from":"user""#);
    log.add(STEP, "file.chmod", &own);
}

fn mkdir(log: &mut Log, path: &str) {
    let own = format!(r#""path":"{path}","mode":"0755","ret":0,"path_from":"user""#);
    log.add(STEP, "file.mkdir", &own);
}

fn rename(log: &mut Log, from: &str, to: &str) {
    let own = format!(r#""path":"{from}","to":"{to}","ret":0,"path_from":"user""#);
    log.add(STEP, "file.rename", &own);
}

fn symlink(log: &mut Log, path: &str, target: &str) {
    let own = format!(r#""path":"{path}","target":"{target}","ret":0,"path_from":"user""#);
    log.add(STEP, "file.symlink", &own);
}

fn remove(log: &mut Log, path: &str) {
    let own = format!(r#""path":"{path}","directory":false,"ret":0,"path_from":"user""#);
    log.add(STEP, "file.unlink", &own);
}

#[test]
fn what_was_only_changed_is_not_taken_away() {
    let step = |log: &mut Log| {
        chmod(log, "/etc/shadow", "0644");
        chmod(log, "/opt", "0755");
    };
    assert!(unexplained(step, &["etc/", "etc/shadow", "opt/"]).is_empty());
    assert_eq!(
        unexplained(step, &["etc/", "etc/.wh.shadow", "opt/", "opt/.wh..wh..opq"]),
        ["entry-without-event /etc/shadow", "entry-without-event /opt"]
    );
}

#[test]
fn what_was_taken_away_is_not_there() {
    let step = |log: &mut Log| remove(log, "/etc/shadow");
    assert!(unexplained(step, &["etc/", "etc/.wh.shadow"]).is_empty());
    assert_eq!(unexplained(step, &[".wh.etc"]), ["entry-without-event /etc"]);
    assert_eq!(unexplained(step, &["etc/"]), ["write-not-in-image /etc/shadow"]);
    // What comes and goes within the step leaves nothing.
    let step = |log: &mut Log| {
        make(log, "/t");
        remove(log, "/t");
        remove(log, "/etc/shadow");
        make(log, "/etc/shadow");
    };
    assert!(unexplained(step, &["etc/", "etc/shadow"]).is_empty());
    assert_eq!(unexplained(step, &["etc/", "etc/shadow", "t"]), ["entry-without-event /t"]);
}

#[test]
fn what_is_done_by_descriptor_after_the_name_is_gone_brings_it_not_back() {
    // As localedef(1) does: the name goes, and the file is still worked on by its descriptor.
    let step = |log: &mut Log| {
        make(log, "/t");
        log.add(STEP, "file.link", r#""path":"/t","to":"/a","ret":0,"path_from":"user""#);
        remove(log, "/t");
        log.add(STEP, "file.chmod", r#""path":"/t","mode":"0644","ret":0"#);
        log.add(STEP, "file.mkdir", r#""path":"/d","mode":"0755","ret":0,"path_from":"user""#);
        remove(log, "/d");
        log.add(STEP, "file.chmod", r#""path":"/d","mode":"0711","ret":0"#);
        log.add(STEP, "file.truncate", r#""path":"/t","size":3,"ret":0"#);
        remove(log, "/etc/shadow");
        log.add(STEP, "file.chown", r#""path":"/etc/shadow","owner":0,"group":0,"ret":0"#);
    };
    assert!(unexplained(step, &["a", "etc/", "etc/.wh.shadow"]).is_empty());
}

#[test]
fn what_was_made_and_removed_again_is_not_put_back() {
    let step = |log: &mut Log| {
        for dir in ["/t", "/t/a"] {
            mkdir(log, dir);
        }
        make(log, "/t/a/x");
        for path in ["/t/a/x", "/t/a", "/t"] {
            remove(log, path);
        }
        make(log, "/w");
    };
    assert!(unexplained(step, &["w"]).is_empty());
    assert_eq!(
        unexplained(step, &["t/", "t/a/", "t/a/x", "w"]),
        ["entry-without-event /t", "entry-without-event /t/a", "entry-without-event /t/a/x"]
    );
    // Nor in a directory that was there before, or took what is gone along.
    let step = |log: &mut Log| {
        mkdir(log, "/d");
        make(log, "/d/x");
        remove(log, "/d/x");
    };
    assert!(unexplained(step, &["d/"]).is_empty());
    assert_eq!(unexplained(step, &["d/", "d/x"]), ["entry-without-event /d/x"]);
    let moved = |log: &mut Log| {
        step(log);
        rename(log, "/d", "/e");
    };
    assert!(unexplained(moved, &["e/"]).is_empty());
    assert_eq!(unexplained(moved, &["e/", "e/x"]), ["entry-without-event /e/x"]);
}

#[test]
fn a_removal_is_not_undone_by_a_bare_directory() {
    let step = |log: &mut Log| {
        remove(log, "/opt/k");
        remove(log, "/opt");
        make(log, "/w");
    };
    assert!(unexplained(step, &[".wh.opt", "w"]).is_empty());
    assert_eq!(
        unexplained(step, &["opt/", "w"]),
        ["entry-without-event /opt", "write-not-in-image /opt/k"]
    );
    assert_eq!(unexplained(step, &["w"]), ["write-not-in-image /opt"]);
    let anew = |log: &mut Log| {
        step(log);
        mkdir(log, "/opt");
        make(log, "/opt/new");
    };
    for hidden in ["opt/.wh..wh..opq", "opt/.wh.k"] {
        assert!(unexplained(anew, &["opt/", hidden, "opt/new", "w"]).is_empty(), "{hidden}");
    }
    assert_eq!(unexplained(anew, &["opt/", "opt/new", "w"]), ["write-not-in-image /opt/k"]);
    // Something else in its place leaves nothing of it.
    let file = |log: &mut Log| {
        step(log);
        make(log, "/opt");
    };
    assert!(unexplained(file, &["opt", "w"]).is_empty());
    let dir = |log: &mut Log| {
        remove(log, "/opt/k");
        mkdir(log, "/opt/k");
    };
    assert!(unexplained(dir, &["opt/", "opt/k/"]).is_empty());
}

#[test]
fn what_a_directory_brings_takes_the_place_of_what_was_removed() {
    // One that the step made, and one of the lower layer's.
    let step = |log: &mut Log| {
        mkdir(log, "/n");
        make(log, "/n/k");
        remove(log, "/opt/k");
        remove(log, "/opt");
        rename(log, "/n", "/opt");
    };
    assert!(unexplained(step, &["opt/", "opt/.wh..wh..opq", "opt/k"]).is_empty());
    let step = |log: &mut Log| {
        mkdir(log, "/n");
        make(log, "/n/k");
        remove(log, "/n/k");
        remove(log, "/n");
        rename(log, "/opt", "/n");
    };
    assert!(unexplained(step, &[".wh.opt", "n/", "n/k"]).is_empty());
    // What it brings may be as it was: who compares the trees finds nothing in it that is new.
    let step = |log: &mut Log| {
        remove(log, "/opt/k");
        rename(log, "/opt", "/n");
        rename(log, "/n", "/opt");
    };
    assert_eq!(unexplained(step, &["opt/"]), ["write-not-in-image /opt/k"]);
    let step = |log: &mut Log| {
        rename(log, "/opt", "/n");
        mkdir(log, "/opt");
        make(log, "/opt/k");
        remove(log, "/opt/k");
        remove(log, "/opt");
        rename(log, "/n", "/opt");
    };
    assert!(unexplained(step, &["opt/"]).is_empty());
}

#[test]
fn what_a_name_meant_does_not_change_with_a_later_symlink() {
    let begin = |log: &mut Log| {
        mkdir(log, "/a");
        make(log, "/a/shadow");
    };
    let moved = |log: &mut Log| {
        begin(log);
        rename(log, "/a", "/x");
        symlink(log, "/a", "/etc");
    };
    assert!(unexplained(moved, &["a -> /etc", "x/", "x/shadow"]).is_empty());
    assert_eq!(
        unexplained(moved, &["a -> /etc", "x/", "x/shadow", "etc/", "etc/shadow"]),
        ["entry-without-event /etc", "entry-without-event /etc/shadow"]
    );
    let removed = |log: &mut Log| {
        begin(log);
        remove(log, "/a/shadow");
        remove(log, "/a");
        symlink(log, "/a", "/etc");
    };
    assert!(unexplained(removed, &["a -> /etc"]).is_empty());
    assert_eq!(
        unexplained(removed, &["a -> /etc", "etc/", "etc/.wh.shadow"]),
        ["entry-without-event /etc", "entry-without-event /etc/shadow"]
    );
    // From then on it means what the symlink says.
    let through = |log: &mut Log| {
        removed(log);
        remove(log, "/a/shadow");
    };
    let found = unexplained(through, &["a -> /etc", "etc/", "etc/.wh.shadow"]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_hard_link_is_of_a_file_that_the_step_linked() {
    let step = |log: &mut Log| {
        symlink(log, "/a", "/etc");
        make(log, "/w");
        let own = r#""path":"/w","to":"/v","ret":0,"path_from":"user""#;
        log.add(STEP, "file.link", own);
    };
    assert!(unexplained(step, &["a -> /etc", "v", "w => v"]).is_empty());
    for target in ["etc/shadow", "a/shadow", "nowhere", "a/nowhere"] {
        let link = format!("w => {target}");
        let found = unexplained(step, &["a -> /etc", "v", &link]);
        assert_eq!(found, ["attribute-without-event /w"], "{target}");
    }
}

#[test]
fn a_name_that_is_too_long_for_the_log_is_not_said_to_be_unexplained() {
    let step = |log: &mut Log| {
        make(log, "/w");
        let own = r#""path":"/end/of/it","mode":"w","create":true,"dev":"0:45","ino":8,"size":0,"perm":"0644","truncated":["path"],"ret":3"#;
        log.add(STEP, "file.open", own);
    };
    let deep = ["deep/", "deep/end/", "deep/end/of/", "deep/end/of/it", "w"];
    assert!(unexplained(step, &deep).is_empty());
    assert_eq!(unexplained(step, &["deep/end/of/else", "w"]), ["entry-without-event /deep/end/of/else"]);
    // It is another's name, and explains nothing that has it; nor is that gone when the other is.
    assert_eq!(unexplained(step, &["end/of/it", "w"]), ["entry-without-event /end/of/it"]);
    let gone = |log: &mut Log| {
        make(log, "/w");
        let own =
            r#""path":"/etc/shadow","directory":false,"truncated":["path"],"ret":0,"path_from":"user""#;
        log.add(STEP, "file.unlink", own);
    };
    assert!(unexplained(gone, &["w"]).is_empty());
    assert_eq!(unexplained(gone, &["etc/", "etc/.wh.shadow", "w"]).len(), 2);
}

#[test]
fn a_file_with_two_names_is_not_two_files() {
    let step = |log: &mut Log| {
        make(log, "/w");
        log.add(STEP, "file.link", r#""path":"/w","to":"/v","ret":0,"path_from":"user""#);
    };
    for honest in [["v", "w => v"], ["w", "v => w"]] {
        assert!(unexplained(step, &honest).is_empty(), "{honest:?}");
    }
    assert_eq!(unexplained(step, &["v", "w"]), ["attribute-without-event /v"]);
    // When the layer is made the engine clears up.
    let cleared = |log: &mut Log| {
        step(log);
        log.exit(STEP);
        for name in ["v", "w"] {
            let own = format!(
                r#""path":"/s/overlay2/41/diff/{name}","directory":false,"ret":0,"path_from":"user""#
            );
            log.add(DAEMON, "file.unlink", &own);
        }
    };
    assert_eq!(unexplained(cleared, &["v", "w"]), ["attribute-without-event /v"]);
    let parted = |log: &mut Log| {
        step(log);
        remove(log, "/w");
        make(log, "/w");
    };
    assert!(unexplained(parted, &["v", "w"]).is_empty());
}

#[test]
fn what_a_lower_directory_held_does_not_stay_when_another_gets_its_name() {
    let step = |log: &mut Log| {
        rename(log, "/opt", "/moved");
        mkdir(log, "/opt");
    };
    let found = unexplained(step, &["moved/", "moved/k", "opt/"]);
    assert_eq!(found, ["write-not-in-image /opt/k"]);
    for hidden in ["opt/.wh..wh..opq", "opt/.wh.k"] {
        assert!(unexplained(step, &["moved/", "moved/k", "opt/", hidden]).is_empty(), "{hidden}");
    }
    // What is made or brought there under that name is there.
    let again = |log: &mut Log| {
        step(log);
        make(log, "/opt/k");
    };
    assert!(unexplained(again, &["moved/", "moved/k", "opt/", "opt/k"]).is_empty());
    let back = |log: &mut Log| {
        rename(log, "/opt", "/moved");
        rename(log, "/moved", "/opt");
    };
    assert!(unexplained(back, &["opt/"]).is_empty());
}

#[test]
fn what_a_lower_directory_held_comes_along_with_it() {
    // Though another gets its old name, and though it moves on with the directory that it was moved to.
    let step = |log: &mut Log| {
        rename(log, "/opt", "/moved");
        mkdir(log, "/opt");
    };
    let found = unexplained(step, &["moved/", "moved/k", "opt/", "opt/.wh..wh..opq"]);
    assert!(found.is_empty(), "{found:?}");
    let step = |log: &mut Log| {
        mkdir(log, "/n");
        rename(log, "/opt", "/n/o");
        rename(log, "/n", "/m");
    };
    assert!(unexplained(step, &[".wh.opt", "m/", "m/o/", "m/o/k"]).is_empty());
    assert_eq!(
        unexplained(step, &[".wh.opt", "m/", "m/o/", "m/o/evil", "m/o/k"]),
        ["entry-without-event /m/o/evil"]
    );
}

#[test]
fn what_a_step_made_is_missed_whatever_time_it_bears() {
    let step = |log: &mut Log| {
        make(log, "/w");
        let own = r#""path":"/v","mode":"w","create":true,"truncate":true,"dev":"0:45","ino":8,"size":0,"perm":"0644","ret":3"#;
        log.add(STEP, "file.open", own);
        let own = r#""path":"/v","dev":"0:45","ino":8,"size":3,"mtime":"2020-01-01T00:00:00.000000000Z","ret":0"#;
        log.add(STEP, "file.close", own);
    };
    assert!(unexplained(step, &["v", "w"]).is_empty());
    assert_eq!(unexplained(step, &["w"]), ["write-not-in-image /v"]);
}

#[test]
fn what_is_done_by_a_descriptor_does_not_bring_a_removed_name_back() {
    let step = |log: &mut Log| {
        let own = r#""path":"/t","mode":"rw","create":true,"dev":"0:45","ino":8,"size":0,"perm":"0600","ret":3"#;
        log.add(STEP, "file.open", own);
        log.add(STEP, "file.link", r#""path":"/t","to":"/w","path_from":"user","ret":0"#);
        remove(log, "/t");
        log.add(STEP, "file.chmod", r#""path":"/t","mode":"0644","ret":0"#);
        let own =
            r#""path":"/t","dev":"0:45","ino":8,"size":3,"mtime":"2026-11-24T12:00:01.000000000Z""#;
        log.add(STEP, "file.close", own);
    };
    assert!(unexplained(step, &["w"]).is_empty());
    assert_eq!(unexplained(step, &["t", "w"]), ["entry-without-event /t"]);
}

#[test]
fn what_was_written_upon_a_mount_explains_no_entry() {
    let begin = |log: &mut Log| log.begin_mounting(&["/cache"]);
    let step = |log: &mut Log| {
        make(log, "/cache/x");
        make(log, "/y");
    };
    assert!(unexplained_of(begin, step, &["cache/", "y"]).is_empty());
    assert_eq!(
        unexplained_of(begin, step, &["cache/", "cache/x", "y"]),
        ["entry-without-event /cache/x"]
    );
    // A step that may do that may have written below.
    let step = |log: &mut Log| {
        make(log, "/cache/x");
        log.add(STEP, "mount.umount", r#""target":"/cache","flags":[],"ret":0"#);
        make(log, "/cache/y");
    };
    assert!(unexplained_of(begin, step, &["cache/", "cache/y"]).is_empty());
    // What the step mounts itself may be a name for what is in its layer.
    let step = |log: &mut Log| {
        log.add(STEP, "mount.mount", r#""source":"/opt","target":"/opt","flags":["bind"],"ret":0"#);
        make(log, "/opt/x");
    };
    assert!(unexplained_of(begin, step, &["opt/", "opt/x"]).is_empty());
}

#[test]
fn what_a_process_writes_upon_a_mount_of_its_own_is_in_no_layer() {
    // unshare -m: another mount namespace, with a file system that nobody else sees.
    let own = Who(411, 410, 0, 41, 49);
    let open = |log: &mut Log, who: Who, path: &str, dev: &str| {
        let own = format!(
            r#""path":"{path}","mode":"w","create":true,"truncate":true,"dev":"{dev}","ino":7,"size":0,"perm":"0644","ret":3"#
        );
        log.add(who, "file.open", &own);
        let own = format!(r#""path":"{path}","dev":"{dev}","ino":7,"size":3,"ret":0"#);
        log.add(who, "file.close", &own);
    };
    let step = |log: &mut Log| {
        make(log, "/w");
        log.add(own, "ns.unshare", r#""namespaces":["mnt"],"ret":0"#);
        log.add(own, "mount.mount", r#""source":"none","target":"/","flags":["rec","private"],"ret":0"#);
        let mount = r#""source":"none","target":"/opt","fstype":"tmpfs","flags":[],"ret":0"#;
        log.add(own, "mount.mount", mount);
        open(log, own, "/opt/x", "0:99");
        open(log, own, "/opt/k", "0:99");
        log.add(own, "file.unlink", r#""path":"/opt/k","directory":false,"ret":0,"path_from":"user""#);
        open(log, own, "/v", "0:45");
    };
    assert!(unexplained(step, &["v", "w"]).is_empty());
    assert_eq!(unexplained(step, &["opt/", "opt/x", "v", "w"]), ["entry-without-event /opt/x"],);
    // Others write what is there for them.
    let both = |log: &mut Log| {
        step(log);
        make(log, "/opt/y");
    };
    assert!(unexplained(both, &["opt/", "opt/y", "v", "w"]).is_empty());
    assert_eq!(unexplained(both, &["v", "w"]), ["write-not-in-image /opt/y"]);
}

#[test]
fn what_was_made_and_moved_holds_what_was_made_in_it() {
    let step = |log: &mut Log| {
        for dir in ["/a", "/a/b"] {
            let own = format!(r#""path":"{dir}","mode":"0755","ret":0,"path_from":"user""#);
            log.add(STEP, "file.mkdir", &own);
        }
        make(log, "/a/b/x");
        for (from, to) in [("/a", "/c"), ("/c/b", "/d")] {
            let own = format!(r#""path":"{from}","to":"{to}","ret":0,"path_from":"user""#);
            log.add(STEP, "file.rename", &own);
        }
    };
    assert!(unexplained(step, &["c/", "d/", "d/x"]).is_empty());
    assert_eq!(unexplained(step, &["c/", "d/", "d/x", "d/evil"]), ["entry-without-event /d/evil"]);
    // A lower layer's directory brings what it held, and no more.
    let step = |log: &mut Log| {
        let own = r#""path":"/opt","to":"/moved","ret":0,"path_from":"user""#;
        log.add(STEP, "file.rename", own);
    };
    assert!(unexplained(step, &[".wh.opt", "moved/", "moved/k"]).is_empty());
    assert_eq!(
        unexplained(step, &[".wh.opt", "moved/", "moved/k", "moved/evil"]),
        ["entry-without-event /moved/evil"]
    );
}

#[test]
fn what_a_stranger_wrote_is_his_though_a_step_touches_it_later() {
    let with = |made_anew: bool| {
        move |log: &mut Log| {
            make(log, "/w");
            let own = r#""path":"/s/overlay2/41/diff/w","mode":"w","create":false,"truncate":true,"dev":"8:1","ino":9,"size":0,"ret":3"#;
            log.add(STRANGER, "file.open", own);
            if made_anew {
                make(log, "/w");
            }
            chmod(log, "/w", "0644");
        }
    };
    assert!(unexplained(with(true), &["w"]).is_empty());
    assert_eq!(unexplained(with(false), &["w"]), ["foreign-write /w"]);
}

#[test]
fn a_run_that_fits_no_instruction_explains_no_other_steps_layer() {
    let step = |log: &mut Log| {
        make(log, "/w");
        log.step_with("other", 42, Who(420, 10, 0, 1, 1), OTHER, &[40]);
        let own = r#""path":"/bad","mode":"w","create":true,"truncate":true,"dev":"0:46","ino":8,"size":0,"perm":"0644","ret":3"#;
        log.add(OTHER, "file.open", own);
        log.step_ends(42, OTHER);
    };
    assert!(unexplained(step, &["w"]).is_empty());
    assert_eq!(unexplained(step, &["w", "bad"]), ["entry-without-event /bad"]);
}

/// The first process of another step.
pub const OTHER: Who = Who(421, 420, 0, 42, 42);
