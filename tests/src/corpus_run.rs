//! Runs builds of the corpus with one engine, and keeps the report's lines.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;

use crate::attribution::{Row, attest, judge};
use crate::builders::{Ready, Way};
use crate::corpus::Case;

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
    let features = way.features();
    let can = |case: &Case| case.words("needs").iter().all(|need| features.contains(need.as_str()));
    let asked = |case: &Case| only.is_empty() || only.contains(case.name.as_str());
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| can(case) && asked(case)).collect();
    assert!(!only.is_empty() || cases.len() >= 25, "a corpus of {} builds", cases.len());
    hold_cases(way, &cases);
}

fn hold_cases(way: Way, cases: &[Case]) {
    let ready = Ready::start(way);
    let mut faults = Vec::new();
    for case in cases {
        let row = std::panic::catch_unwind(|| once(case, &ready)).unwrap_or_else(|panic| {
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
        let folder =
            tempfile::Builder::new().prefix("blubr-corpus.").tempdir_in("/var/tmp").expect("a folder");
        let attested = attest(case, ready, folder.path());
        row = judge(case, ready, &attested);
        ready.remove(&attested.tag);
        if !row.holds()
            && let Some(kept) = std::env::var_os("BLUBR_KEEP")
        {
            let kept =
                std::path::PathBuf::from(kept).join(format!("{}-{}", ready.way.name(), case.name));
            drop(std::fs::remove_dir_all(&kept));
            std::fs::create_dir_all(&kept).expect("the folder to keep in is writable");
            for file in ["build.ndjson", "filtered.ndjson", "statement.json"] {
                std::fs::copy(folder.path().join(file), kept.join(file)).expect("it can be kept");
            }
        }
        if !row.lossy {
            break;
        }
    }
    row
}

/// Puts a line into `$BLUBR_REPORT`, where that is set.
fn report(line: &str) {
    let Some(file) = std::env::var_os("BLUBR_REPORT") else { return };
    let mut file =
        OpenOptions::new().create(true).append(true).open(file).expect("the report is writable");
    writeln!(file, "{line}").expect("the report is writable");
}
