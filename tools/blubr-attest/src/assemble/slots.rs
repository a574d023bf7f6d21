//! Where what a run did is put: into a step, among candidates, or with what belongs to none.

use std::collections::{BTreeMap, BTreeSet};

use blubr_build::{Build, Engine, RunKind, StepRun, Tie, Tied, tie};
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
    /// The places of each slot's runs among the build's.
    by_slot: BTreeMap<Slot, Vec<usize>>,
    /// The ties, in the order of the build's runs.
    pub ties: Vec<Tie>,
    /// For each candidate the instructions that it may be.
    pub candidates: Vec<Vec<usize>>,
}

impl Slots {
    /// Ties the runs of the build to the Dockerfile's instructions, where there is one. What is tied to an instruction that
    /// the image's history contradicts (`contradicted`) may be any of those, or none.
    pub fn new(
        build: &Build,
        dockerfile: Option<&Dockerfile>,
        contradicted: &BTreeMap<usize, String>,
    ) -> Self {
        let ties = dockerfile.map(|file| tie(build, file)).unwrap_or_default();
        let (mut of_run, mut candidates) = (BTreeMap::new(), Vec::new());
        for run in build.runs.iter().filter(|run| run.shared) {
            of_run.insert(run.id, Slot::Shared);
        }
        let either = either(build, &ties);
        for tie in &ties {
            let slot = match &tie.instruction {
                Tied::One(at) if either.contains(&tie.run) => {
                    candidates.push(vec![*at]);
                    Slot::Candidate(candidates.len() - 1)
                }
                Tied::One(at) if contradicted.contains_key(at) => {
                    candidates.push(contradicted.keys().copied().collect());
                    Slot::Candidate(candidates.len() - 1)
                }
                Tied::One(at) => Slot::Step(*at),
                Tied::Candidates(several) => {
                    candidates.push(several.clone());
                    Slot::Candidate(candidates.len() - 1)
                }
                Tied::None => continue,
            };
            of_run.insert(tie.run, slot);
        }
        let mut by_slot: BTreeMap<Slot, Vec<usize>> = BTreeMap::new();
        for (at, tie) in ties.iter().enumerate() {
            let slot = of_run.get(&tie.run).copied().unwrap_or(Slot::None);
            by_slot.entry(slot).or_default().push(at);
        }
        Self { of_run, by_slot, ties, candidates }
    }

    /// Where a run goes.
    pub fn of(&self, run: u32) -> Slot {
        self.of_run.get(&run).copied().unwrap_or(Slot::None)
    }

    /// Containers of this build alone that are of no instruction.
    pub fn untied<'a>(&'a self, build: &'a Build) -> impl Iterator<Item = &'a StepRun> {
        let none = self.runs(build, Slot::None).map(|(run, _)| run);
        none.filter(|run| run.kind == RunKind::Run && !run.shared)
    }

    /// The runs of one slot, with their ties.
    pub fn runs<'a>(
        &'a self,
        build: &'a Build,
        slot: Slot,
    ) -> impl Iterator<Item = (&'a StepRun, &'a Tie)> {
        // The ties are in the order of the build's runs.
        let all = self.by_slot.get(&slot).into_iter().flatten();
        all.filter_map(|at| Some((build.runs.get(*at)?, self.ties.get(*at)?)))
    }
}

/// Runs that are this build's or another's, and not both's. The classic builder carries each step out for one build alone, and
/// of several that are tied to one instruction at most one is this build's.
fn either(build: &Build, ties: &[Tie]) -> BTreeSet<u32> {
    let shared: BTreeSet<u32> = build.runs.iter().filter(|run| run.shared).map(|run| run.id).collect();
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for tie in ties {
        if let Tied::One(at) = tie.instruction {
            *runs.entry(at).or_default() += 1;
        }
    }
    let several = |tie: &Tie| matches!(tie.instruction, Tied::One(at) if runs.get(&at) > Some(&1));
    let is_either = |tie: &&Tie| build.engine == Engine::Classic || several(tie);
    ties.iter().filter(|tie| shared.contains(&tie.run)).filter(is_either).map(|tie| tie.run).collect()
}
