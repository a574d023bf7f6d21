//! Lays the runs of a chain along the instructions of a stage, in order, and says which instructions each run has in some layout.

use std::collections::BTreeSet;

use crate::build::StepRun;
use crate::tie::Table;

/// Steps of one chain times instructions of one stage that are laid out; more are left without a tie.
const LAYOUT_MAX: usize = 1 << 22;

/// An instruction in the line of those that make steps.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: usize,
    pub(crate) optional: bool,
}

/// What a layout must keep to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rule {
    /// The first run is the stage's first step.
    pub(crate) from_start: bool,
    /// Instructions may be left out between two runs.
    pub(crate) gaps: bool,
    /// The last run is the stage's last step.
    pub(crate) to_end: bool,
    /// The directory to copy to may be all that was made: that which was copied had nothing in it.
    pub(crate) empty: bool,
}

impl Table<'_> {
    /// For each run the instructions that it has in some layout; `None` if there is no layout.
    pub(crate) fn layouts(
        &self,
        runs: &[&StepRun],
        line: &[Step],
        rule: Rule,
    ) -> Option<Vec<BTreeSet<usize>>> {
        if runs.is_empty() || runs.len().saturating_mul(line.len()) > LAYOUT_MAX {
            return None;
        }
        let from_start = rule.from_start || self.flat || self.stands_on_nothing(runs[0]);
        // What may stand between two runs, or behind the last.
        let skips =
            |between: &[Step]| between.iter().all(|step| step.optional || self.spans_over(step.at));
        let skipped_before = line.iter().take_while(|step| skips(&[**step])).count();
        // What is copied upon nothing ends a chain of its own.
        let ends =
            |step: &&Step| skips(&[**step]) || self.is_linked(&self.dockerfile.instructions[step.at]);
        let skipped_behind = line.iter().rev().take_while(ends).count();
        let can = |run: usize, at: usize| self.fits[&runs[run].id].contains_key(&line[at].at);
        let keyword = |at: usize| self.dockerfile.instructions[line[at].at].keyword.as_str();
        // Of one run and the next, whether both may be of the instruction, and whether they need not be.
        let stays = |run: usize, at: usize| runs[run].goes_on(runs[run + 1], keyword(at));
        let leaves = |run: usize, at: usize| rule.empty || !runs[run].must_go_on(keyword(at));
        let mut forward = vec![vec![false; line.len()]; runs.len()];
        let begins = |at: usize| !from_start || at <= skipped_before;
        forward[0] = (0..line.len()).map(|at| can(0, at) && begins(at)).collect();
        for run in 1..runs.len() {
            let mut reach = false;
            for at in 0..line.len() {
                if at > 0 {
                    let keeps = rule.gaps || skips(&line[at - 1..at]);
                    reach = (reach && keeps) || (forward[run - 1][at - 1] && leaves(run - 1, at - 1));
                }
                let stayed = forward[run - 1][at] && stays(run - 1, at);
                forward[run][at] = (reach || stayed) && can(run, at);
            }
        }
        let mut layout = vec![BTreeSet::new(); runs.len()];
        // From the end back: where the run above can stand.
        let mut above: Vec<bool> = Vec::new();
        for run in (0..runs.len()).rev() {
            let mut here = vec![false; line.len()];
            let mut reach = false;
            for at in (0..line.len()).rev() {
                let mut stayed = false;
                if run + 1 == runs.len() {
                    reach = !rule.to_end || line.len() - at - 1 <= skipped_behind;
                } else {
                    stayed = above[at] && stays(run, at);
                    if at + 1 < line.len() {
                        let keeps = rule.gaps || skips(&line[at + 1..at + 2]);
                        reach = (reach && keeps) || above[at + 1];
                    }
                }
                here[at] = ((reach && leaves(run, at)) || stayed) && forward[run][at];
                if here[at] {
                    layout[run].insert(line[at].at);
                }
            }
            above = here;
        }
        layout.iter().all(|here| !here.is_empty()).then_some(layout)
    }
}
