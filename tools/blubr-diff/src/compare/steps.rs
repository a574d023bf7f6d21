//! The steps: which are the same, which were seen, and the commands that they ran.

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Status, Step};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::cli::Subject::Steps;
use crate::compare::processes::{argv_lines, unknown_parts};
use crate::compare::unseen::{self, Unseen, is_seen};
use crate::compare::{Difference, Found, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Change, Info, Warning};

/// How a step of one record stands to the other record.
#[derive(Debug, Clone, Copy)]
pub enum Pairing<'a> {
    /// The same instruction in both, word for word.
    Same(&'a Step, &'a Step),
    /// The same kind of instruction in the same place, with another text.
    Changed(&'a Step, &'a Step),
    /// In the older record only.
    Gone(&'a Step),
    /// In the newer record only.
    Added(&'a Step),
}

/// Every step of both records once, in order.
pub fn pairing<'a>(old: &'a BlubrBuild, new: &'a BlubrBuild) -> Vec<Pairing<'a>> {
    let key = |s: &'a Step| (s.stage, s.platform.as_deref(), s.instruction.as_str(), s.text.as_str());
    let (a, b): (Vec<_>, Vec<_>) =
        (old.steps.iter().map(key).collect(), new.steps.iter().map(key).collect());
    let mut pairs = Vec::with_capacity(a.len().max(b.len()));
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        let (from, to) = (op.old_range(), op.new_range());
        let mut left: Vec<&Step> = old.steps.iter().skip(from.start).take(from.len()).collect();
        let there = new.steps.iter().skip(to.start).take(to.len());
        if matches!(op, DiffOp::Equal { .. }) {
            pairs.extend(left.into_iter().zip(there).map(|(a, b)| Pairing::Same(a, b)));
            continue;
        }
        for b in there {
            let of_kind = |a: &&Step| a.stage == b.stage && a.instruction == b.instruction;
            pairs.push(match left.iter().position(of_kind) {
                Some(at) => Pairing::Changed(left.remove(at), b),
                None => Pairing::Added(b),
            });
        }
        pairs.extend(left.into_iter().map(Pairing::Gone));
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

/// Compares the steps. A step that one record lacks, or has with another text, is a difference; what a step ran is compared
/// where both records saw it, and said to be not compared where one didn't, or where its lists are `elsewhere`.
pub fn compare(
    old: &BlubrBuild,
    new: &BlubrBuild,
    rules: &mut Rules,
    elsewhere: Option<&str>,
    found: &mut Found,
) {
    if old.build.engine != new.build.engine {
        let difference = Difference::new(Steps, Change, "the engine");
        found.add(difference.values(old.build.engine.clone(), new.build.engine.clone()));
    }
    let without = match (old.steps.is_empty(), new.steps.is_empty()) {
        (true, true) => Some("neither record has"),
        (true, false) => Some("the older record doesn't have"),
        (false, true) => Some("the newer record doesn't have"),
        (false, false) => None,
    };
    if let Some(which) = without {
        return found.not_compared.push(format!("the steps: {which} any, as it has no Dockerfile"));
    }
    if let Some(place) = elsewhere {
        found.not_compared.push(format!("the commands: {place}"));
    }
    let mut commands = |a: &Step, b: &Step, found: &mut Found| match elsewhere {
        Some(_) => Vec::new(),
        None => commands(a, b, rules, found),
    };
    for pair in pairing(old, new) {
        match pair {
            Pairing::Same(a, b) => {
                status(a, b, found);
                let detail = commands(a, b, found);
                if !detail.is_empty() {
                    let what = format!("{}: the same instruction ran other commands", name(b));
                    found.add(place(Difference::new(Steps, Warning, what).detail(shown(detail)), b));
                }
            }
            Pairing::Changed(a, b) => {
                status(a, b, found);
                let what = format!("{}: the instruction was changed", name(b));
                let detail = shown(commands(a, b, found));
                let difference = Difference::new(Steps, Change, what).detail(detail);
                found.add(place(difference.values(a.text.clone(), b.text.clone()), b));
            }
            Pairing::Gone(a) => {
                let difference = Difference::new(Steps, Change, format!("{}: is gone", name(a)));
                // Its id and its lines are the older record's, so they stand in no field of their own.
                found.add(difference.values(a.text.clone(), None));
            }
            Pairing::Added(b) => {
                let difference = Difference::new(Steps, Change, format!("{}: is new", name(b)));
                found.add(place(difference.values(None, b.text.clone()), b));
            }
        }
    }
    Unseen::of(old, new, unseen::RUNNING).say("the commands", found);
}

fn name(step: &Step) -> String {
    format!("{} {}", step.id, step.instruction)
}

fn place(mut difference: Difference, step: &Step) -> Difference {
    difference.step = Some(step.id.clone());
    difference.lines = step.lines;
    difference
}

fn status(a: &Step, b: &Step, found: &mut Found) {
    if a.status == b.status {
        return;
    }
    let severity =
        if matches!(b.status, Status::NotObserved | Status::Candidates) { Warning } else { Info };
    let difference = Difference::new(Steps, severity, format!("{}: its status", name(b)));
    found.add(place(difference.values(word(a.status).to_owned(), word(b.status).to_owned()), b));
}

/// The commands that one side ran and the other didn't; and, as not compared, what of them the records don't hold.
fn commands(a: &Step, b: &Step, rules: &mut Rules, found: &mut Found) -> Vec<String> {
    // What a step that wasn't seen ran is not known: nothing to compare.
    if !is_seen(a.status) || !is_seen(b.status) {
        return Vec::new();
    }
    if a.counts.left_out > 0 || b.counts.left_out > 0 {
        let what = format!("what {} did beyond the record's lists, which were cut", name(b));
        found.not_compared.push(what);
    }
    unknown_parts(&name(b), &a.processes, &b.processes, found);
    argv_lines(&a.processes, &b.processes, rules)
}
