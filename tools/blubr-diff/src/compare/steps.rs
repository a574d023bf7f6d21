//! The steps: which were seen, and the commands that they ran.

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Status, Step};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::cli::Subject::Steps;
use crate::compare::processes::argv_lines;
use crate::compare::{Difference, Found, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Change, Info, Warning};

/// Pairs of steps that are the same instruction in both records, in order.
pub fn pairs<'a>(old: &'a BlubrBuild, new: &'a BlubrBuild) -> Vec<(&'a Step, &'a Step)> {
    let key = |s: &Step| (s.stage, s.instruction.clone(), s.text.clone());
    let (a, b): (Vec<_>, Vec<_>) =
        (old.steps.iter().map(key).collect(), new.steps.iter().map(key).collect());
    let mut pairs = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            let old = old.steps.iter().skip(old_index).take(len);
            pairs.extend(old.zip(new.steps.iter().skip(new_index)));
        }
    }
    pairs
}

/// The word that the statement has for a status.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Observed => "observed",
        Status::Cached => "cached",
        Status::Daemon => "daemon",
        Status::NotObserved => "not-observed",
        Status::Candidates => "candidates",
    }
}

/// Compares steps of the same instruction; added and removed ones are the Dockerfile's affair.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, rules: &mut Rules, found: &mut Found) {
    if old.build.engine != new.build.engine {
        let difference = Difference::new(Steps, Change, "the engine");
        found.add(difference.values(old.build.engine.clone(), new.build.engine.clone()));
    }
    for (a, b) in pairs(old, new) {
        let place = |mut difference: Difference| {
            difference.step = Some(b.id.clone());
            difference.lines = b.lines;
            difference
        };
        let name = format!("{} {}", b.id, b.instruction);
        if a.status != b.status {
            let unseen = matches!(b.status, Status::NotObserved | Status::Candidates);
            let difference = Difference::new(
                Steps,
                if unseen { Warning } else { Info },
                format!("{name}: its status"),
            );
            found.add(place(difference.values(word(a.status).to_owned(), word(b.status).to_owned())));
        }
        // What a step that wasn't seen ran is not known: nothing to compare.
        if a.status != Status::Observed || b.status != Status::Observed {
            continue;
        }
        let detail = argv_lines(&a.processes, &b.processes, rules);
        if !detail.is_empty() {
            let what = format!("{name}: the same instruction ran other commands");
            found.add(place(Difference::new(Steps, Warning, what).detail(shown(detail))));
        }
        if a.counts.left_out != b.counts.left_out {
            found
                .not_compared
                .push(format!("what {name} did beyond the record's lists, which were cut"));
        }
    }
    let seen = |b: &BlubrBuild| b.steps.iter().filter(|s| s.status == Status::Observed).count();
    if seen(old) == 0 && seen(new) == 0 {
        found.not_compared.push("the steps' commands: no step was observed in either record".to_owned());
    }
}
