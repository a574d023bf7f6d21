//! Steps that do something and that one record or both did not see: what they did can't be compared.

use std::collections::{BTreeMap, BTreeSet};

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Status, Step};

use crate::compare::steps::{Pairing, pairing, word};
use crate::compare::{Found, SHOWN_MAX};

/// Instructions that run programs.
pub const RUNNING: &[&str] = &["RUN"];
/// Instructions that reach hosts.
pub const REACHING: &[&str] = &["RUN", "ADD"];
/// Instructions that write files.
pub const WRITING: &[&str] = &["RUN", "COPY", "ADD", "WORKDIR"];

/// The steps whose doings can't be compared, by the reason.
#[derive(Debug, Default)]
pub struct Unseen {
    /// Ids of the older record's steps.
    pub old: BTreeSet<String>,
    /// Ids of the newer record's steps.
    pub new: BTreeSet<String>,
    why: BTreeMap<String, Vec<String>>,
}

/// Whether the record holds what the step did.
pub fn is_seen(status: Status) -> bool {
    matches!(status, Status::Observed | Status::Daemon)
}

impl Unseen {
    /// The steps of these instructions.
    pub fn of(old: &BlubrBuild, new: &BlubrBuild, instructions: &[&str]) -> Self {
        let mut unseen = Self::default();
        let does = |step: &Step| instructions.iter().any(|i| i.eq_ignore_ascii_case(&step.instruction));
        for pair in pairing(old, new) {
            match pair {
                Pairing::Same(a, b) | Pairing::Changed(a, b) if does(a) || does(b) => {
                    let reason = match (is_seen(a.status), is_seen(b.status)) {
                        (true, true) => continue,
                        (false, false) if a.status == b.status => {
                            format!("{} in both records", word(a.status))
                        }
                        (false, false) => format!(
                            "{} in the older record, {} in the newer one",
                            word(a.status),
                            word(b.status)
                        ),
                        (false, true) => format!("{} in the older record", word(a.status)),
                        (true, false) => format!("{} in the newer record", word(b.status)),
                    };
                    unseen.old.insert(a.id.clone());
                    unseen.new.insert(b.id.clone());
                    unseen.note(reason, b);
                }
                Pairing::Gone(a) if does(a) && !is_seen(a.status) => {
                    unseen.old.insert(a.id.clone());
                    unseen.note(format!("{} in the older record", word(a.status)), a);
                }
                Pairing::Added(b) if does(b) && !is_seen(b.status) => {
                    unseen.new.insert(b.id.clone());
                    unseen.note(format!("{} in the newer record", word(b.status)), b);
                }
                _ => {}
            }
        }
        unseen
    }

    fn note(&mut self, reason: String, step: &Step) {
        self.why.entry(reason).or_default().push(format!("{} {}", step.id, step.instruction));
    }

    /// Says which steps' `what` is not compared, and why.
    pub fn say(&self, what: &str, found: &mut Found) {
        for (reason, steps) in &self.why {
            let mut names = steps.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
            if let Some(more) = steps.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
                names.push_str(&format!(" and {more} more"));
            }
            found.not_compared.push(format!("{what} of {names}: {reason}"));
        }
    }
}
