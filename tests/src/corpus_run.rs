//! Runs builds of the corpus with one engine, and keeps the report's lines.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::attribution::{Attested, Row, attest, differs, filter, judge, overstated, state};
use crate::builders::{Named, Ready, Way};
use crate::corpus::Case;
use crate::require::debian_base;

/// How often a build is recorded whose record lost events: a busy host's loss says nothing about ties.
const TRIES: usize = 3;

/// Runs some builds; all must hold.
///
/// # Panics
/// When one does not, after all have run.
pub fn hold(way: Way, names: &[&str]) {
    let cases: Vec<Case> = names.iter().map(|name| Case::read(name)).collect();
    hold_cases(way, &cases);
}

/// Runs all builds that this engine knows how to do; all must hold.
///
/// # Panics
/// When one does not, after all have run.
pub fn hold_all(way: Way) {
    let only = std::env::var("BLUBR_CORPUS").unwrap_or_default();
    let only: BTreeSet<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    let mut features = way.features();
    match debian_base() {
        Some(_) => drop(features.insert("debian")),
        None => eprintln!("SKIPPED: builds upon a Debian: none beside $BLUBR_TOOLS: make test-all"),
    }
    let can = |case: &Case| case.words("needs").iter().all(|need| features.contains(need.as_str()));
    let asked = |case: &Case| only.is_empty() || only.contains(case.name.as_str());
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| can(case) && asked(case)).collect();
    assert!(!only.is_empty() || cases.len() >= 25, "a corpus of {} builds", cases.len());
    hold_cases(way, &cases);
}

fn hold_cases(way: Way, cases: &[Case]) {
    if let Some(kept) = std::env::var_os("BLUBR_REPLAY") {
        let kept = PathBuf::from(kept);
        let folder = |case: &Case| kept.join(format!("{}-{}", way.name(), case.name));
        let cases: Vec<&Case> = cases.iter().filter(|case| folder(case).is_dir()).collect();
        return judge_all(way, &cases, &|case| again(case, way, &folder(case)));
    }
    let ready = Ready::start(way);
    judge_all(way, &cases.iter().collect::<Vec<_>>(), &|case| once(case, &ready));
}

fn judge_all(way: Way, cases: &[&Case], row_of: &dyn Fn(&Case) -> Row) {
    let mut faults = Vec::new();
    for case in cases {
        let run = std::panic::AssertUnwindSafe(|| row_of(case));
        let row = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Row { faults: vec![said.unwrap_or_default()], ..Row::default() }
        });
        report(&row.line(way, &case.name));
        if !row.holds() {
            let lossy = if row.lossy { "the recording lost events; " } else { "" };
            faults.push(format!("{}: {}: {lossy}{}", way.name(), case.name, row.faults.join("\n    ")));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

/// One build, recorded again where events were lost.
fn once(case: &Case, ready: &Ready) -> Row {
    let mut row = Row::default();
    for _ in 0..TRIES {
        let (folder, gone) = folder(ready.way, case);
        let attested = attest(case, ready, &folder);
        if gone.is_none() {
            keep(ready, &attested, &folder);
        }
        let parent = ready.cgroup_parent.as_deref();
        row = judge(case, ready.way, parent, &attested.log, &attested.statement);
        row.faults.extend(attested.differs);
        row.faults.extend(attested.overstated);
        ready.remove(&attested.tag);
        if !row.lossy {
            break;
        }
    }
    row
}

/// Where a build's log and statement go: a folder that is gone with the second value, or stays in `$BLUBR_KEEP`.
fn folder(way: Way, case: &Case) -> (PathBuf, Option<TempDir>) {
    let Some(kept) = std::env::var_os("BLUBR_KEEP") else {
        let folder =
            tempfile::Builder::new().prefix("blubr-corpus.").tempdir_in("/var/tmp").expect("a folder");
        return (folder.path().to_owned(), Some(folder));
    };
    let folder = PathBuf::from(kept).join(format!("{}-{}", way.name(), case.name));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("the folder to keep in is writable");
    (folder, None)
}

/// Puts beside the log what else blubr-attest needs to be run on it again.
fn keep(ready: &Ready, attested: &Attested, folder: &Path) {
    let dockerfile = attested.context.file("Dockerfile");
    std::fs::copy(dockerfile, folder.join("Dockerfile")).expect("it can be kept");
    std::fs::write(folder.join("cgroup-parent"), ready.cgroup_parent.as_deref().unwrap_or_default())
        .expect("it can be kept");
    // buildah's image lies in the folder as it is.
    if ready.docker().is_some() {
        ready.save(&attested.tag, &folder.join("image.tar"));
    }
}

/// One build that was kept, filtered and attested anew beside what is kept.
fn again(case: &Case, way: Way, kept: &Path) -> Row {
    let folder = tempfile::Builder::new().prefix("blubr-corpus.").tempdir().expect("a folder");
    let (filtered, statement) =
        (folder.path().join("filtered.ndjson"), folder.path().join("statement.json"));
    let log = kept.join("build.ndjson");
    filter(&log, &filtered);
    let archive = kept.join("image.tar");
    let reference = match archive.is_file() {
        true => format!("archive:{}", archive.display()),
        false => format!("oci:{}:image", kept.join("layout").display()),
    };
    let image = Named { reference, host: None };
    state(&filtered, &kept.join("Dockerfile"), &image, &statement);
    let differs = differs(&statement, &image);
    let name = format!("{}-{}", way.name(), case.name);
    let overstated = overstated(&log, &kept.join("Dockerfile"), &image, &name);
    std::fs::copy(&statement, kept.join("statement-again.json")).expect("it can be kept");
    let parent = std::fs::read_to_string(kept.join("cgroup-parent")).expect("it was kept");
    let parent = Some(parent.as_str()).filter(|parent| !parent.is_empty());
    let mut row = judge(case, way, parent, &log, &statement);
    row.faults.extend(differs);
    row.faults.extend(overstated);
    row
}

/// Puts a line into `$BLUBR_REPORT`, where that is set.
fn report(line: &str) {
    let Some(file) = std::env::var_os("BLUBR_REPORT") else { return };
    let mut file =
        OpenOptions::new().create(true).append(true).open(file).expect("the report is writable");
    writeln!(file, "{line}").expect("the report is writable");
}
