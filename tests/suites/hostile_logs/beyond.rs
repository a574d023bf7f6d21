//! What steps change otherwise than by names of their own trees: what they were handed of another step's, and what begins where no
//! name tells.

use blubr_tests::program::jq;
use blubr_tests::supervise::process_folder;

use super::log::{Log, STEP, Who};
use super::untrue::{OTHER, make, unexplained_in};

/// What is unexplained of a layer of `RUN make`, and what the checks say of the image and of strangers.
fn judged(step: impl Fn(&mut Log), layer: &[&str]) -> (Vec<String>, String) {
    let folder = tempfile::Builder::new().prefix("beyond.").tempdir_in(process_folder()).unwrap();
    let begin = |log: &mut Log| log.begin_mounting(&["/proc"]);
    let unexplained = unexplained_in(folder.path(), begin, step, layer);
    let checks = r#"[.predicate.blubr_build.checks[] | select(.id == "image-explained" or .id == "no-foreign-access" or .id == "attributes-explained") | .result] | join(" ")"#;
    (unexplained, jq(checks, &folder.path().join("out.json")))
}

/// Another step begins beside the first.
fn beside(log: &mut Log) {
    log.step_with("other", 42, Who(420, 10, 0, 1, 1), OTHER, &[40]);
    log.add(OTHER, "file.open", r#""path":"/own","mode":"r","dev":"0:46","ino":3,"size":0,"ret":3"#);
}

#[test]
fn what_a_step_writes_into_another_s_tree_by_what_it_was_handed_is_a_stranger_s() {
    let handed = |mode: &'static str, dev: &'static str| {
        move |log: &mut Log| {
            make(log, "/w");
            beside(log);
            let own = format!(
                r#""path":"/w","mode":"{mode}","dev":"{dev}","ino":7,"size":3,"path_from":"outside","ret":5"#
            );
            log.add(OTHER, "file.open", &own);
            log.step_ends(42, OTHER);
        }
    };
    let (unexplained, checks) = judged(handed("w", "0:45"), &["w"]);
    assert_eq!(unexplained, ["foreign-write /w"]);
    assert!(checks.starts_with("fail fail "), "{checks}");
    // Who only reads, or writes into its own, leaves the other's as it is.
    for (mode, dev) in [("r", "0:45"), ("w", "0:46")] {
        let (unexplained, checks) = judged(handed(mode, dev), &["w"]);
        assert!(unexplained.is_empty() && !checks.contains("fail"), "{mode} {dev}: {checks}");
    }
}

#[test]
fn what_begins_where_no_name_tells_is_neither_explained_nor_unexplained() {
    let outside = r#""path_from":"outside","ret":0"#;
    let user = r#""path_from":"user","ret":0"#;
    for (prefix, from) in [("", outside), ("/proc/self/fd/3", user), ("/proc/7/cwd", user)] {
        let step = |log: &mut Log| {
            make(log, "/w");
            log.add(STEP, "file.mkdir", &format!(r#""path":"{prefix}/d","mode":"0755",{from}"#));
            log.add(STEP, "file.chmod", &format!(r#""path":"{prefix}/w","mode":"0600",{from}"#));
        };
        // Where a descriptor or a link of proc leads is not told: to the root, or to any directory.
        for made in ["d/", "opt/d/"] {
            let (unexplained, checks) = judged(step, &[made, "w"]);
            assert!(unexplained.is_empty(), "{from}: {made}: {unexplained:?}");
            assert!(checks.contains("unknown") && !checks.contains("fail"), "{from}: {made}: {checks}");
        }
        let (unexplained, _) = judged(step, &["dd/", "w"]);
        assert_eq!(unexplained, ["entry-without-event /dd"], "{from}");
        // What was made may have been moved so.
        let moved = |log: &mut Log| {
            make(log, "/a");
            let own = format!(r#""path":"{prefix}/a","to":"{prefix}/b",{from}"#);
            log.add(STEP, "file.rename", &own);
        };
        let (unexplained, checks) = judged(moved, &["b"]);
        assert!(unexplained.is_empty() && !checks.contains("fail"), "{from}: {unexplained:?} {checks}");
    }
    // A directory that is only called so.
    let step = |log: &mut Log| {
        make(log, "/w");
        log.add(STEP, "file.mkdir", &format!(r#""path":"/c/self/fd/3/d","mode":"0755",{user}"#));
    };
    let (unexplained, _) = judged(step, &["d/", "w"]);
    assert!(unexplained.contains(&"entry-without-event /d".to_owned()), "{unexplained:?}");
}

#[test]
fn what_got_a_name_from_elsewhere_is_not_held_against_what_its_name_held() {
    let known = |log: &mut Log| make(log, "/w");
    // No hard link was made.
    let layer = ["w => nowhere"];
    let (unexplained, _) = judged(known, &layer);
    assert_eq!(unexplained, ["attribute-without-event /w"]);
    let step = |log: &mut Log| {
        known(log);
        let own = r#""path":"/other","to":"/w","path_from":"outside","ret":0"#;
        log.add(STEP, "file.rename", own);
    };
    let (unexplained, _) = judged(step, &layer);
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// What is unexplained, and the checks, of `RUN make` with proc and a cache mounted.
fn with_mounts(step: impl Fn(&mut Log), layer: &[&str]) -> (Vec<String>, String) {
    let folder = tempfile::Builder::new().prefix("beyond.").tempdir_in(process_folder()).unwrap();
    let begin = |log: &mut Log| log.begin_mounting(&["/proc", "/dev", "/c"]);
    let unexplained = unexplained_in(folder.path(), begin, step, layer);
    let checks = r#"[.predicate.blubr_build.checks[] | select(.id == "image-explained" or .id == "attributes-explained") | .result] | join(" ")"#;
    (unexplained, jq(checks, &folder.path().join("out.json")))
}

fn mkdir(log: &mut Log, path: &str, more: &str) {
    let own = format!(r#""path":"{path}","mode":"0755","path_from":"user"{more},"ret":0"#);
    log.add(STEP, "file.mkdir", &own);
}

#[test]
fn a_symlink_of_what_is_mounted_may_lead_back_into_the_step_s_tree() {
    let by_cache = |path: &'static str| {
        move |log: &mut Log| {
            make(log, "/w");
            mkdir(log, path, "");
        }
    };
    for made in ["d/", "opt/d/"] {
        let (unexplained, checks) = with_mounts(by_cache("/c/l/d"), &[made, "w"]);
        assert_eq!((unexplained, checks.as_str()), (vec![], "unknown pass"), "{made}");
    }
    // Nothing else is open for it.
    let (unexplained, checks) = with_mounts(by_cache("/c/own/deep/d"), &["dd/", "w"]);
    let dd = "entry-without-event /dd".to_owned();
    assert_eq!((unexplained, checks.as_str()), (vec![dd], "fail pass"));
    // What the kernel came through is a directory, unless another had its name in that step.
    let through = |log: &mut Log| {
        make(log, "/w");
        mkdir(log, "/c/l/d", "");
        make(log, "/c/l/below/f");
    };
    let (unexplained, checks) = with_mounts(through, &["d/", "w"]);
    let d = "entry-without-event /d".to_owned();
    assert_eq!((unexplained, checks.as_str()), (vec![d], "fail pass"));
    let replaced = |log: &mut Log| {
        through(log);
        log.add(STEP, "file.unlink", r#""path":"/c/l","path_from":"user","ret":0"#);
    };
    assert_eq!(with_mounts(replaced, &["d/", "w"]), (vec![], "unknown pass".to_owned()));
    // What got a name so is not held against what that held.
    let renamed = |log: &mut Log| {
        make(log, "/w");
        let own = r#""path":"/c/l/o","to":"/c/l/w","path_from":"user","ret":0"#;
        log.add(STEP, "file.rename", own);
    };
    let other = ["w => nowhere"];
    assert_eq!(with_mounts(renamed, &other), (vec![], "pass unknown".to_owned()));
    let (unexplained, _) = with_mounts(|log: &mut Log| make(log, "/w"), &other);
    assert_eq!(unexplained, ["attribute-without-event /w"]);
    let quiet = |log: &mut Log| {
        make(log, "/w");
        mkdir(log, "/c/own", "");
        mkdir(log, "/c/own/opt", "");
    };
    assert_eq!(with_mounts(quiet, &["w"]), (vec![], "pass pass".to_owned()));
    // Right in what is mounted no symlink stands before a name.
    let (unexplained, _) = with_mounts(quiet, &["own/", "w"]);
    assert_eq!(unexplained, ["entry-without-event /own"]);
    // What was made by its name may have been taken away through it.
    let gone = |log: &mut Log| {
        make(log, "/w");
        make(log, "/v");
        log.add(STEP, "file.unlink", r#""path":"/c/l/v","path_from":"user","ret":0"#);
    };
    assert_eq!(with_mounts(gone, &["w"]), (vec![], "unknown pass".to_owned()));
}

#[test]
fn where_a_descriptor_leads_is_taken_for_a_name_only_where_proc_is_what_it_was() {
    let leads = r#","fd_path":"/opt""#;
    let by = |path: &'static str, before: &'static str| {
        move |log: &mut Log| {
            make(log, "/w");
            if let Some((kind, own)) = before.split_once(' ') {
                log.add(STEP, kind, own);
            }
            mkdir(log, path, leads);
        }
    };
    let link = "/proc/self/fd/3/d";
    let (unexplained, checks) = with_mounts(by(link, ""), &["opt/d/", "w"]);
    assert_eq!((unexplained, checks.as_str()), (vec![], "pass pass"));
    let (unexplained, _) = with_mounts(by(link, ""), &["d/", "w"]);
    assert!(unexplained.contains(&"entry-without-event /d".to_owned()), "{unexplained:?}");
    // Something else may be there: it is neither said that this was made, nor that anything is missing.
    for (path, before) in [
        (link, r#"mount.umount "target":"/proc","flags":[],"ret":0"#),
        (link, r#"mount.mount "source":"/x","target":"/proc/7/fd","flags":["bind"],"ret":0"#),
        (link, r#"mount.mount "source":"/x","target":"/proc/self/fd/5","flags":["bind"],"ret":0"#),
        ("/dev/fd/3/d", ""),
    ] {
        for layer in [&["d/", "w"][..], &["w"]] {
            let (unexplained, _) = with_mounts(by(path, before), layer);
            assert!(unexplained.is_empty(), "{path}: {before}: {layer:?}: {unexplained:?}");
        }
    }
}
