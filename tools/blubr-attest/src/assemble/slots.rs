//! Where what a run did is put: into a step, among candidates, or with what belongs to none.

use std::collections::BTreeMap;

use blubr_build::{Build, StepRun, Tie, Tied, tie};
use blubr_dockerfile::Dockerfile;

/// A place in the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The step of this instruction (its index in the Dockerfile).
    Step(usize),
    /// One of [`Slots::candidates`].
    Candidate(usize),
    /// No step that is known.
    None,
    /// No step that is known, and another build of the same time has it too, or may have it.
    Shared,
}

/// Which run goes where.
pub struct Slots {
    of_run: BTreeMap<u32, Slot>,
    /// The ties, in the order of the build's runs.
    pub ties: Vec<Tie>,
    /// For each candidate the instructions that it may be.
    pub candidates: Vec<Vec<usize>>,
}

impl Slots {
    /// Ties the runs of the build to the Dockerfile's instructions, where there is one.
    pub fn new(build: &Build, dockerfile: Option<&Dockerfile>) -> Self {
        let ties = dockerfile.map(|file| tie(build, file)).unwrap_or_default();
        let (mut of_run, mut candidates) = (BTreeMap::new(), Vec::new());
        for run in build.runs.iter().filter(|run| run.shared) {
            of_run.insert(run.id, Slot::Shared);
        }
        for tie in &ties {
            let slot = match &tie.instruction {
                Tied::One(at) => Slot::Step(*at),
                Tied::Candidates(several) => {
                    candidates.push(several.clone());
                    Slot::Candidate(candidates.len() - 1)
                }
                Tied::None => continue,
            };
            of_run.insert(tie.run, slot);
        }
        Self { of_run, ties, candidates }
    }

    /// Where a run goes.
    pub fn of(&self, run: u32) -> Slot {
        self.of_run.get(&run).copied().unwrap_or(Slot::None)
    }

    /// The runs of one slot, with their ties.
    pub fn runs<'a>(
        &'a self,
        build: &'a Build,
        slot: Slot,
    ) -> impl Iterator<Item = (&'a StepRun, &'a Tie)> {
        let ties = self.ties.iter().filter(move |tie| self.of(tie.run) == slot);
        ties.filter_map(|tie| build.runs.iter().find(|run| run.id == tie.run).map(|run| (run, tie)))
    }
}
