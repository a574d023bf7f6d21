//! The page's verdict: whether the recording is whole, what it did not cover, and what each check found.

use blubr_attestation::build::{Outcome, Recording};

use super::page::Page;
use crate::assemble::of_outside;

impl Page<'_> {
    pub(super) fn verdict(&mut self) {
        self.title("Verdict");
        let completeness = &self.build.completeness;
        let recording = match completeness.recording {
            Recording::Complete => "complete: nothing was lost while the build ran".to_owned(),
            Recording::Lossy => {
                let outside = of_outside(completeness);
                format!("LOSSY: {} events were lost while the build ran{outside}", completeness.lost)
            }
            Recording::Cut if completeness.late => "CUT: the log begins after the build did".to_owned(),
            Recording::Cut => "CUT: the log ends before the build does, or was cut off".to_owned(),
        };
        self.row("recording", recording);
        // Each is `what: why`; the page has room for the what.
        let missing: Vec<&str> =
            completeness.hooks_missing.iter().map(|one| one.split(':').next().unwrap_or(one)).collect();
        self.row(
            "not covered",
            if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") },
        );
        let steps = &completeness.steps;
        self.row(
            "steps",
            format!(
                "{} observed, {} by the engine, {} cached, {} one of several, {} not seen",
                steps.observed, steps.daemon, steps.cached, steps.candidates, steps.not_observed
            ),
        );
        for check in &self.build.checks {
            let result = match check.result {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::Unknown => "unknown",
            };
            let why = check.evidence.first().map_or("", String::as_str);
            self.line(format!("  {result:<11} {} ({}): {why}", check.id, check.scope));
        }
    }
}
