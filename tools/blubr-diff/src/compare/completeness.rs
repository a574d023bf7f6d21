//! How complete the records are, what they don't explain, and the answers to their checks.

use std::collections::BTreeMap;

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Outcome, Recording};

use crate::cli::Subject::Completeness;
use crate::compare::{Difference, Found, shown};
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

/// Compares them.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let (a, b) = (&old.completeness, &new.completeness);
    let grade = |worse: bool| if worse { Warning } else { Info };
    if a.recording != b.recording {
        let difference =
            Difference::new(Completeness, grade(rank(b.recording) > rank(a.recording)), "the recording");
        found.add(difference.values(word(a.recording).to_owned(), word(b.recording).to_owned()));
    }
    if a.lost != b.lost {
        let difference = Difference::new(Completeness, grade(b.lost > a.lost), "events lost");
        found.add(difference.values(a.lost.to_string(), b.lost.to_string()));
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
    let count = |build: &BlubrBuild| build.unexplained.as_ref().map(Vec::len);
    let (a, b) = (count(old), count(new));
    if a != b {
        let text =
            |count: Option<usize>| count.map_or_else(|| "not checked".to_owned(), |n| n.to_string());
        let worse = b.is_none() || b > a;
        let difference = Difference::new(
            Completeness,
            if worse { Warning } else { Info },
            "what the record doesn't explain",
        );
        let list = new
            .unexplained
            .iter()
            .flatten()
            .filter(|u| !old.unexplained.iter().flatten().any(|o| o.path == u.path));
        let detail = shown(
            list.map(|u| format!("+ {}", u.path.clone().or(u.path_b64.clone()).unwrap_or_default()))
                .collect(),
        );
        found.add(difference.values(text(a), text(b)).detail(detail));
    }
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
