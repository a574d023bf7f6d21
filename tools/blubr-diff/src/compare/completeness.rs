//! How complete the records are, what they don't explain, and the answers to their checks.

use std::collections::BTreeMap;

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{self, Outcome, Recording, Unexplained, What};

use crate::cli::Subject::Completeness;
use crate::compare::{Difference, Found, counted, shown};
use crate::severity::Severity::{Info, Warning};

fn word(recording: Recording) -> &'static str {
    match recording {
        Recording::Complete => "complete",
        Recording::Lossy => "lossy",
        Recording::Cut => "cut",
    }
}

/// The worse the larger.
fn rank(recording: Recording) -> u8 {
    match recording {
        Recording::Complete => 0,
        Recording::Lossy => 1,
        Recording::Cut => 2,
    }
}

/// How many of the lost events may have been anybody's.
fn not_outside(of: &build::Completeness) -> u64 {
    of.lost.saturating_sub(of.lost_outside)
}

fn lost(of: &build::Completeness) -> String {
    match of.lost_outside {
        0 => of.lost.to_string(),
        outside => format!("{} ({outside} of tasks outside)", of.lost),
    }
}

/// Says what neither comparing of steps, programs nor hosts can know: what a recording lost or didn't reach.
pub fn not_recorded(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    for (which, build) in [("older", old), ("newer", new)] {
        let complete = &build.completeness;
        match complete.recording {
            Recording::Complete => {}
            Recording::Lossy => found
                .not_compared
                .push(format!("what the {which} recording lost: {} events", complete.lost)),
            Recording::Cut if complete.late => {
                found.not_compared.push(format!("what was done before the {which} recording began"));
            }
            Recording::Cut => {
                found.not_compared.push(format!("what came after the {which} recording was cut off"));
            }
        }
    }
}

/// Compares them.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let (a, b) = (&old.completeness, &new.completeness);
    let grade = |worse: bool| if worse { Warning } else { Info };
    if a.recording != b.recording {
        let difference =
            Difference::new(Completeness, grade(rank(b.recording) > rank(a.recording)), "the recording");
        found.add(difference.values(word(a.recording).to_owned(), word(b.recording).to_owned()));
    }
    if (a.lost, a.lost_outside) != (b.lost, b.lost_outside) {
        let worse = b.lost > a.lost || not_outside(b) > not_outside(a);
        let difference = Difference::new(Completeness, grade(worse), "events lost");
        found.add(difference.values(lost(a), lost(b)));
    }
    let lines: Vec<String> = a
        .hooks_missing
        .iter()
        .filter(|h| !b.hooks_missing.contains(h))
        .map(|h| format!("- {h}"))
        .collect();
    let new_ones: Vec<String> = b
        .hooks_missing
        .iter()
        .filter(|h| !a.hooks_missing.contains(h))
        .map(|h| format!("+ {h}"))
        .collect();
    if !lines.is_empty() || !new_ones.is_empty() {
        let worse = !new_ones.is_empty();
        let detail = lines.into_iter().chain(new_ones).collect();
        found.add(
            Difference::new(Completeness, grade(worse), "what the kernel did not let the recorder see")
                .detail(detail),
        );
    }
    let counts = |build: &BlubrBuild| {
        let s = &build.completeness.steps;
        format!(
            "{} observed, {} cached, {} daemon, {} not observed, {} candidates",
            s.observed, s.cached, s.daemon, s.not_observed, s.candidates
        )
    };
    if a.steps != b.steps {
        let worse =
            b.steps.not_observed + b.steps.candidates > a.steps.not_observed + a.steps.candidates;
        found.add(
            Difference::new(Completeness, grade(worse), "steps by status")
                .values(counts(old), counts(new)),
        );
    }
    unexplained(old, new, found);
    checks(old, new, found);
}

fn unexplained(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let text = |list: Option<&Vec<Unexplained>>| {
        list.map_or_else(|| "not checked".to_owned(), |list| list.len().to_string())
    };
    let (a, b) = (old.unexplained.as_ref(), new.unexplained.as_ref());
    // The layer's digest differs with every run, the entry doesn't.
    let key = |u: &Unexplained| (u.path.clone(), u.path_b64.clone(), u.what);
    let keys = |list: Option<&Vec<Unexplained>>| counted(list.into_iter().flatten().map(key));
    let (mine, theirs) = (keys(a), keys(b));
    if a.is_some() == b.is_some() && mine == theirs {
        return;
    }
    let beyond = |list: &BTreeMap<_, u64>, other: &BTreeMap<_, u64>, sign: char| {
        let more = |(key, count): (&(Option<String>, Option<String>, What), &u64)| {
            let name = key.0.clone().or(key.1.clone()).unwrap_or_default();
            (*count > other.get(key).copied().unwrap_or(0)).then(|| format!("{sign} {name}"))
        };
        list.iter().filter_map(more).collect::<Vec<_>>()
    };
    let new_ones = beyond(&theirs, &mine, '+');
    let worse = b.is_none() || !new_ones.is_empty();
    let mut detail = if a.is_some() && b.is_some() { beyond(&mine, &theirs, '-') } else { Vec::new() };
    detail.extend(new_ones);
    let difference = Difference::new(
        Completeness,
        if worse { Warning } else { Info },
        "what the record doesn't explain",
    );
    found.add(difference.values(text(a), text(b)).detail(shown(detail)));
}

fn checks(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let word = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Pass) => "pass",
        Some(Outcome::Fail) => "fail",
        Some(Outcome::Unknown) => "unknown",
        None => "not asked",
    };
    let map = |build: &BlubrBuild| -> BTreeMap<(String, String), Outcome> {
        build.checks.iter().map(|c| ((c.id.clone(), c.scope.clone()), c.result)).collect()
    };
    let (a, b) = (map(old), map(new));
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let (x, y) = (a.get(key).copied(), b.get(key).copied());
        if x != y {
            let severity = if y == Some(Outcome::Pass) { Info } else { Warning };
            let difference =
                Difference::new(Completeness, severity, format!("check {} of {}", key.0, key.1));
            found.add(difference.values(word(x).to_owned(), word(y).to_owned()));
        }
    }
}
