//! Trees that several instructions share, as those of buildah without layers.

use crate::tests::{Log, Who};
use crate::{Build, Dockerfile, Engine, Place, RunKind, Tied, tie};

const BUILDAH: Who = Who(20, 5, 0, 1, 1);

fn mount(log: &mut Log, n: u32, lower: &str) {
    let dir = format!("/s/overlay/{n}");
    let mount = format!(
        r#""source":"overlay","target":"{dir}/merged","fstype":"overlay","flags":[],"lower":["{lower}"],"upper":"{dir}/diff","work":"{dir}/work","ret":0"#
    );
    log.add(BUILDAH, "mount.mount", &mount);
}

/// buildah, with a tree.
fn begun() -> Log {
    let mut log = Log::new();
    log.exec(BUILDAH, &["buildah", "build", "."]);
    mount(&mut log, 1, "/s/overlay/0/diff");
    log
}

/// What is done in a tree, one process each: `/dir/` is made, `=/dir` has its times set, `-/dir` is taken away, `/file` is written, `<` looks into the
/// context, `$ command` is a container, and `!/file` is written by buildah itself.
fn does(log: &mut Log, n: u32, all: &[&str]) {
    let tree = format!("/s/overlay/{n}/merged");
    for (pid, what) in (n * 1000..).zip(all) {
        let helper = Who(pid, 20, 0, 1, pid);
        if let Some(file) = what.strip_prefix('!') {
            let file = format!(r#""path":"{tree}{file}","mode":"w","create":true,"ret":3"#);
            log.add(BUILDAH, "file.open", &file);
            continue;
        }
        log.fork(BUILDAH, helper);
        if let Some(command) = what.strip_prefix("$ ") {
            log.add(helper, "mount.pivot_root", &format!(r#""path":"{tree}","put_old":".","ret":0"#));
            log.exec(helper, &["/bin/sh", "-c", command]);
            log.end(helper);
            continue;
        }
        log.exec(helper, &["buildah-copier"]);
        let root = if *what == "<" { "/context" } else { tree.as_str() };
        log.add(helper, "fs.chroot", &format!(r#""path":"{root}","ret":0"#));
        if let Some(gone) = what.strip_prefix('-') {
            let gone = format!(r#""path":"{gone}","directory":true,"path_from":"user","ret":0"#);
            log.add(helper, "file.unlink", &gone);
            log.add(helper, "file.utimes", r#""path":"/","path_from":"user","ret":0"#);
        } else if let Some(dated) = what.strip_prefix('=') {
            log.add(helper, "file.utimes", &format!(r#""path":"{dated}","path_from":"user","ret":0"#));
        } else if let Some(made) = what.strip_suffix('/') {
            let made = format!(r#""path":"{made}","mode":"0755","path_from":"user","ret":0"#);
            log.add(helper, "file.mkdir", &made);
        } else if *what != "<" {
            let file = format!(r#""path":"{what}","mode":"w","create":true,"ret":3"#);
            log.add(helper, "file.open", &file);
        }
        log.end(helper);
    }
}

fn told(log: &mut Log, file: &Dockerfile) -> Build {
    log.end(BUILDAH);
    let mut builds = log.builds();
    assert_eq!(builds.builds[0].engine, Engine::Buildah);
    builds.tell_apart(1, file).unwrap().clone()
}

/// What the runs are tied to.
fn tied(all: &[&str], text: &str) -> Vec<Tied> {
    let mut log = begun();
    does(&mut log, 1, all);
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    let build = told(&mut log, &file);
    tie(&build, &file).into_iter().map(|tie| tie.instruction).collect()
}

fn one(all: &[usize]) -> Vec<Tied> {
    all.iter().copied().map(Tied::One).collect()
}

#[test]
fn a_workdir_beside_a_copy_made_its_own_directory() {
    assert_eq!(
        tied(&["$ a", "/w/", "<", "/w/m"], "FROM base\nRUN a\nWORKDIR /w\nCOPY m m\n"),
        one(&[1, 2, 3])
    );
    assert_eq!(
        tied(
            &["$ a", "<", "/m", "/w/", "/w/v/", "<", "/w/v/m", "$ b"],
            "FROM base\nRUN a\nCOPY m /\nWORKDIR /w\nWORKDIR v\nCOPY m m\nRUN b\n"
        ),
        one(&[1, 2, 3, 4, 5, 6])
    );
}

#[test]
fn without_a_container_it_is_so_too() {
    assert_eq!(tied(&["/w/", "<", "/w/m"], "FROM base\nWORKDIR /w\nCOPY m m\n"), one(&[1, 2]));
    assert_eq!(tied(&["<", "/m", "/w/"], "FROM base\nCOPY m /\nWORKDIR /w\n"), one(&[1, 2]));
    assert_eq!(tied(&["<", "/m", "<", "/n"], "FROM scratch\nCOPY m /\nCOPY n /\n"), {
        // Nothing shows that the tree is not of a build that had the first in its cache.
        vec![Tied::Candidates(vec![1, 2]), Tied::One(2)]
    });
}

#[test]
fn a_workdir_behind_the_last_run_is_not_the_runs() {
    assert_eq!(tied(&["$ a", "$ b", "/w/"], "FROM base\nRUN a\nRUN b\nWORKDIR /w\n"), one(&[1, 2, 3]));
}

#[test]
fn the_directory_that_a_copy_makes_for_its_files_is_the_copys() {
    assert_eq!(
        tied(&["$ a", "<", "/d/", "<", "/d/m", "$ b"], "FROM base\nRUN a\nCOPY m /d/\nRUN b\n"),
        vec![Tied::One(1), Tied::One(2), Tied::One(2), Tied::One(3)]
    );
    // The WORKDIR finds it there.
    let all = ["$ a", "<", "/d/", "<", "/d/m", "<", "/d/n", "$ b"];
    let tied = tied(&all, "FROM base\nRUN a\nCOPY m /d/\nWORKDIR /d\nCOPY n n\nRUN b\n");
    assert_eq!(tied, one(&[1, 2, 2, 4, 5]));
}

#[test]
fn of_a_copy_of_nothing_the_directory_is_all_there_is() {
    let all = ["$ a", "<", "/d/", "<", "$ b"];
    assert_eq!(tied(&all, "FROM base\nRUN a\nCOPY empty /d/\nRUN b\n"), one(&[1, 2, 3]));
    // The next one's directory is its own, and so is what is copied there.
    let all = ["$ a", "<", "/d/", "<", "<", "/e/", "<", "/e/m", "$ b"];
    let file = "FROM base\nRUN a\nCOPY empty /d/\nADD m /e/\nRUN b\n";
    assert_eq!(tied(&all, file), one(&[1, 2, 3, 3, 4]));
    let file = "FROM base\nRUN a\nCOPY empty m /d/\nCOPY n /d/\nRUN b\n";
    let all = ["$ a", "<", "/d/", "<", "<", "/d/m", "<", "/d/n", "$ b"];
    assert_eq!(tied(&all, file)[1], Tied::One(2));
}

#[test]
fn a_directory_that_either_may_have_made_is_neithers() {
    // Something was looked at before: the copy's sources, or what else.
    let all = ["$ a", "<", "/d/", "<", "/d/m", "$ b"];
    let tied_ = tied(&all, "FROM base\nRUN a\nWORKDIR /d\nCOPY m m\nRUN b\n");
    assert_eq!(tied_[1], Tied::Candidates(vec![2, 3]));
    assert_eq!(tied_[2], Tied::One(3));
    // An ADD that fetches looks at nothing.
    let all = ["$ a", "/d/", "/d/m", "$ b"];
    let tied_ = tied(&all, "FROM base\nRUN a\nWORKDIR /d\nADD http://host/m /d/\nRUN b\n");
    assert_eq!(tied_[1], Tied::Candidates(vec![2, 3]));
}

#[test]
fn a_directory_that_nothing_names_may_be_of_the_bases_configuration() {
    // (Both may be of triggers of the base.)
    let all = ["/base/", "/w/", "$ a", "$ b"];
    assert_eq!(
        tied(&all, "FROM base\nENV a=b\nWORKDIR /w\nRUN a\nRUN b\n"),
        vec![Tied::None, Tied::None, Tied::One(3), Tied::One(4)]
    );
    let tied =
        tied(&["<", "/m", "/base/", "$ a", "$ b"], "FROM base\nCOPY m /\nWORKDIR /w\nRUN a\nRUN b\n");
    assert_eq!(tied[1], Tied::Candidates(vec![2]));
}

#[test]
fn each_copy_is_told_from_the_next_as_far_as_their_sources_tell() {
    let text = "FROM base\nRUN a\nCOPY m /m\nCOPY n /n\nRUN b\n";
    assert_eq!(tied(&["$ a", "<", "/m", "<", "/n", "$ b"], text), one(&[1, 2, 3, 4]));
    // One of them has two sources.
    let tied = tied(&["$ a", "<", "/m", "<", "/n", "<", "/o", "$ b"], text);
    assert_eq!(tied[1..4], [Tied::One(2), Tied::Candidates(vec![2, 3]), Tied::One(3)]);
}

#[test]
fn what_buildah_itself_writes_may_be_of_several() {
    let text = "FROM base\nRUN a\nCOPY m /m\nCOPY n /n\nRUN b\n";
    let tied = tied(&["$ a", "!/m", "!/n", "$ b"], text);
    assert_eq!(tied, vec![Tied::One(1), Tied::Candidates(vec![2, 3]), Tied::One(4)]);
}

#[test]
fn an_empty_directory_is_copied_where_its_times_are_set() {
    let text = "FROM base\nRUN a\nCOPY empty /\nCOPY m /m\nRUN b\n";
    assert_eq!(tied(&["$ a", "<", "=/", "<", "/m", "$ b"], text), one(&[1, 2, 3, 4]));
}

#[test]
fn what_is_cleared_up_behind_a_container_is_no_copy() {
    let text = "FROM base\nRUN a\nCOPY m /m\nRUN b\n";
    assert_eq!(tied(&["$ a", "-/proc", "<", "/m", "$ b", "-/proc"], text), one(&[1, 2, 3]));
}

#[test]
fn each_directory_of_a_volume_has_a_helper() {
    let text = "FROM base\nRUN a\nVOLUME [\"/v\", \"/w\"]\nCOPY m /\nRUN b\n";
    assert_eq!(tied(&["$ a", "/v/", "/w/", "<", "/m", "$ b"], text), one(&[1, 2, 2, 3, 4]));
}

#[test]
fn a_directory_made_anew_is_of_any_that_names_it() {
    // Between them the RUN has removed it: whatever comes next makes it anew.
    let text = "FROM base\nWORKDIR /w\nRUN a\nCOPY m /\nWORKDIR /w\nRUN b\n";
    let tied_ = tied(&["/w/", "$ a", "<", "/m", "/w/", "$ b"], text);
    assert_eq!(tied_[0], Tied::One(1));
    assert_eq!(tied_[3], Tied::Candidates(vec![1, 4]));
    let text = "FROM base\nWORKDIR /w\nRUN a\nENV a=b\nRUN b\n";
    assert_eq!(tied(&["/w/", "$ a", "/w/", "$ b"], text), one(&[1, 2, 1, 4]));
}

#[test]
fn events_are_of_the_run_that_had_begun() {
    let mut log = begun();
    does(&mut log, 1, &["$ a", "/w/", "<", "/w/m", "$ b"]);
    let file = Dockerfile::parse(b"FROM base\nRUN a\nWORKDIR /w\nCOPY m m\nRUN b\n").unwrap();
    log.end(BUILDAH);
    let mut builds = log.builds();
    let build = builds.tell_apart(1, &file).unwrap().clone();
    let ties = tie(&build, &file);
    let mut membership = crate::Membership::new(&builds, 1).unwrap();
    let mut found = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        let is_change =
            matches!(event.body, blubr_log::Body::FileMkdir(_) | blubr_log::Body::FileOpen(_));
        if let (true, Place::Engine { run }) = (is_change, place) {
            found.push(ties.iter().find(|tie| Some(tie.run) == run).unwrap().instruction.clone());
        }
    });
    assert_eq!(found, one(&[2, 3]));
}

#[test]
fn trees_of_layers_stay_as_they_are() {
    let mut log = begun();
    does(&mut log, 1, &["<", "/d/", "<", "/d/m"]);
    mount(&mut log, 2, "/s/overlay/1/diff");
    does(&mut log, 2, &["/w/"]);
    let file = Dockerfile::parse(b"FROM base\nCOPY m /d/\nWORKDIR /w\n").unwrap();
    let build = told(&mut log, &file);
    assert!(build.runs.iter().all(|run| run.kind == RunKind::Daemon) && build.runs.len() == 2);
    let ties = tie(&build, &file);
    assert_eq!(ties.iter().map(|tie| tie.instruction.clone()).collect::<Vec<_>>(), one(&[1, 2]));
}

#[test]
fn who_stands_upon_a_tree_stands_upon_all_that_was_done_there() {
    let mut log = begun();
    does(&mut log, 1, &["$ a", "/w/", "<", "/w/m", "$ b"]);
    mount(&mut log, 2, "/s/overlay/1/diff");
    does(&mut log, 2, &["$ c", "$ d"]);
    let file =
        Dockerfile::parse(b"FROM base AS x\nRUN a\nWORKDIR /w\nCOPY m m\nRUN b\nFROM x\nRUN c\nRUN d\n")
            .unwrap();
    let build = told(&mut log, &file);
    let last = build.runs.last().unwrap();
    let below: Vec<usize> =
        last.below.iter().map(|id| build.runs.iter().position(|run| run.id == *id).unwrap()).collect();
    assert_eq!(below, [4, 3, 2, 1, 0]);
}
