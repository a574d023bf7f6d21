//! The Dockerfile's text, as a unified diff of its instructions.

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Origin, Taken};
use similar::TextDiff;

use crate::cli::Subject::Dockerfile;
use crate::compare::{Difference, Found, REDACTED};
use crate::severity::Severity::{Alert, Change, Info, Warning};

/// Lines of context around a change.
const CONTEXT_LINES: usize = 2;
/// Lines of a diff that are shown.
const DIFF_LINES_MAX: usize = 400;

/// The instructions that stand in the Dockerfile, in its order, each with a newline.
pub fn text(build: &BlubrBuild) -> String {
    let mut steps: Vec<_> = build.steps.iter().filter(|s| s.origin == Origin::Dockerfile).collect();
    steps.sort_by_key(|s| s.lines);
    steps.iter().map(|s| format!("{}\n", s.text)).collect()
}

/// Compares them.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let (a, b) = (&old.dockerfile, &new.dockerfile);
    let (old_text, new_text) = (text(old), text(new));
    match (a, b) {
        (None, None) if old_text.is_empty() && new_text.is_empty() => {
            found.not_compared.push("the Dockerfile: neither record has one".to_owned());
            return;
        }
        (None, None) => {
            let what = "the Dockerfile's bytes: neither record was made with the file";
            found.not_compared.push(what.to_owned());
        }
        (Some(_), None) | (None, Some(_)) => {
            let which = if a.is_none() { "older" } else { "newer" };
            found.add(Difference::new(
                Dockerfile,
                Warning,
                format!("the {which} record was made without the Dockerfile"),
            ));
        }
        (Some(_), Some(_)) => {}
    }
    let sums = (a.as_ref().map(|d| d.sha256.clone()), b.as_ref().map(|d| d.sha256.clone()));
    let same_sum = a.is_some() && sums.0 == sums.1;
    if old_text != new_text {
        let severity = if same_sum { Alert } else { Change };
        let diff = TextDiff::from_lines(&old_text, &new_text);
        let unified = diff.unified_diff().context_radius(CONTEXT_LINES).header("old", "new").to_string();
        let mut lines: Vec<String> = unified.lines().map(str::to_owned).collect();
        if lines.len() > DIFF_LINES_MAX {
            lines.truncate(DIFF_LINES_MAX);
            lines.push("... cut here".to_owned());
        }
        let what = if same_sum {
            "the same Dockerfile, and other instructions in the record"
        } else {
            "the instructions differ"
        };
        found.add(Difference::new(Dockerfile, severity, what).values(sums.0, sums.1).detail(lines));
    } else if a.is_some() && b.is_some() && !same_sum {
        let redacted = old_text.contains(REDACTED);
        let what = match (old_text.is_empty(), redacted) {
            (true, _) => "the file differs",
            (false, true) => {
                "the file differs: in what was taken out of the record as secrets, or in comments, empty lines or a directive"
            }
            (false, false) => {
                "the file differs, its instructions don't: comments, empty lines or a directive"
            }
        };
        let severity = if redacted { Change } else { Info };
        found.add(Difference::new(Dockerfile, severity, what).values(sums.0, sums.1));
    }
    if let (Some(a), Some(b)) = (a, b)
        && a.taken != b.taken
    {
        let severity = if b.taken == Taken::Changed { Alert } else { Info };
        let word = |taken: Taken| match taken {
            Taken::UnchangedSinceOpen => "unchanged-since-open",
            Taken::Changed => "changed",
            Taken::NotSeen => "not-seen",
        };
        let what = "whether this file is the one that the build read";
        found.add(
            Difference::new(Dockerfile, severity, what)
                .values(word(a.taken).to_owned(), word(b.taken).to_owned()),
        );
    }
}
