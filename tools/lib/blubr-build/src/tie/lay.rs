//! A chain of steps laid along the instructions of each stage that they can belong to.

use std::collections::BTreeSet;

use blubr_dockerfile::Origin;

use super::table::{Fit, Table};
use crate::build::{Build, RunKind, StepRun};
use crate::layout::Rule;

impl Table<'_> {
    /// What each run of a chain can be, by the layouts of the chain.
    pub(super) fn lay(&self, chain: &[usize], build: &Build) -> Vec<(u32, BTreeSet<usize>)> {
        let runs: Vec<&StepRun> = chain.iter().map(|at| &build.runs[*at]).collect();
        // A base that was unpacked comes before all steps.
        let base = runs.iter().take_while(|run| self.is_base(run)).count();
        let steps = &runs[base..];
        // A directory that was removed may be made anew, for another instruction than the one that names it.
        let sure: Vec<&StepRun> = steps.iter().copied().filter(|run| !run.made_directories()).collect();
        let to_end = Rule { to_end: self.succeeded && !self.may_be_linked(steps), ..Rule::default() };
        let gaps = Rule { gaps: true, ..Rule::default() };
        let mut ways = vec![(steps, to_end), (steps, Rule::default()), (steps, gaps)];
        if sure.len() < steps.len() {
            let empty = |rule| (steps, Rule { empty: true, ..rule });
            let rest = [empty(to_end), empty(Rule::default())];
            let sure = [(sure.as_slice(), to_end), (sure.as_slice(), Rule::default())];
            ways.splice(2..2, sure.into_iter().chain(rest));
        }
        for (these, rule) in ways {
            if let Some(all) = self.lay_by(these, rule) {
                let left_out =
                    steps.iter().filter(|run| these.len() < steps.len() && run.made_directories());
                let named = left_out.map(|run| (run.id, self.named(run)));
                return these.iter().map(|run| run.id).zip(all).chain(named).collect();
            }
        }
        // No layout: the record has a gap that the rules do not allow for. Each run by its own text only.
        let alone = |run: &&StepRun| (run.id, self.fits[&run.id].keys().copied().collect());
        steps
            .iter()
            .filter(|run| run.kind == RunKind::Run && run.first_exec.is_some())
            .map(alone)
            .collect()
    }

    /// The instructions that name what a run made.
    fn named(&self, run: &StepRun) -> BTreeSet<usize> {
        self.fits[&run.id].iter().filter(|(_, fit)| **fit == Fit::Path).map(|(at, _)| *at).collect()
    }

    /// What each run can be by the layouts along all stages that keep to the rule; nothing of a run that may be none of the
    /// file's. `None` if there is no layout.
    fn lay_by(&self, runs: &[&StepRun], rule: Rule) -> Option<Vec<BTreeSet<usize>>> {
        let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); runs.len()];
        let mut outside = 0;
        let mut any = false;
        let can_end = self.stages_of(runs);
        for stage in (0..self.dockerfile.stages.len()).filter(|stage| can_end[*stage]) {
            let line = self.steps_of(stage);
            let own = self.layouts(runs, &line, rule);
            let ours = own.is_some();
            for (all, here) in all.iter_mut().zip(own.into_iter().flatten()) {
                all.extend(here);
            }
            any |= ours;
            // A build that failed may have ended among the triggers of its base.
            if (ours && self.succeeded) || rule.gaps || !self.may_have_triggers(stage) {
                continue;
            }
            let behind = Rule { from_start: true, ..rule };
            for triggers in 1..runs.len() {
                let Some(layout) = self.layouts(&runs[triggers..], &line, behind) else { continue };
                for (all, here) in all[triggers..].iter_mut().zip(layout) {
                    all.extend(here);
                }
                outside = outside.max(triggers);
                any = true;
            }
        }
        all[..outside].iter_mut().for_each(BTreeSet::clear);
        any.then_some(all)
    }

    /// Which stages, those below them included, have an instruction that the last run can be: no other has a layout.
    fn stages_of(&self, runs: &[&StepRun]) -> Vec<bool> {
        let mut all = vec![false; self.dockerfile.stages.len()];
        let fits = runs.last().into_iter().flat_map(|last| self.fits[&last.id].keys());
        for stage in fits.filter_map(|at| self.dockerfile.instructions.get(*at)?.stage) {
            if let Some(here) = all.get_mut(stage) {
                *here = true;
            }
        }
        // A stage begins from an earlier one.
        for stage in 0..all.len() {
            all[stage] |= self.bases[stage].is_some_and(|base| all[base]);
        }
        all
    }

    /// Whether a stage begins from an image of whose ONBUILD triggers nothing is known. An engine runs them before the
    /// stage's own instructions, and where one of them was not in its cache, none of those was.
    fn may_have_triggers(&self, stage: usize) -> bool {
        let order = self.bases_of(stage);
        let Some(lowest) = order.last() else { return false };
        let known =
            |at: usize| self.dockerfile.instructions.get(at).is_some_and(|of| of.origin == Origin::Base);
        let (first, count) = self.dockerfile.stages[*lowest].instructions;
        self.dockerfile.stages[*lowest].base != "scratch" && !(first..first + count).any(known)
    }

    /// Whether these may be of a COPY --link, which BuildKit makes upon nothing: then others come behind it in other chains.
    fn may_be_linked(&self, runs: &[&StepRun]) -> bool {
        runs.first().is_some_and(|run| run.kind == RunKind::Daemon && run.lowers.is_empty())
            && self.dockerfile.instructions.iter().any(|of| self.is_linked(of))
    }
}
