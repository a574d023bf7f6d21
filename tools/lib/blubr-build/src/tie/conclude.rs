//! What the layouts leave of a step's instructions, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{Fit, Table, is_copy};
use super::{Tie, TieEvidence, Tied};
use crate::build::{Build, Engine, RunKind, StepRun};

impl Table<'_> {
    pub(super) fn conclude(&self, run: &StepRun, instructions: BTreeSet<usize>) -> Tie {
        let mut evidence = Vec::new();
        if instructions.is_empty() && self.is_base(run) {
            let froms = self.dockerfile.instructions.iter().enumerate();
            let froms: Vec<usize> =
                froms.filter(|(_, from)| from.keyword == "from").map(|(at, _)| at).collect();
            let instruction = match froms.as_slice() {
                [only] => Tied::One(*only),
                _ => Tied::Candidates(froms),
            };
            return Tie { run: run.id, instruction, evidence: vec![TieEvidence::Base] };
        }
        let fits = &self.fits[&run.id];
        for at in &instructions {
            match (run.kind, fits.get(at)) {
                (RunKind::Run, Some(Fit::Yes)) if run.first_exec.is_some() => {
                    evidence.push(TieEvidence::Text)
                }
                (RunKind::Run, Some(Fit::OtherShell)) => evidence.push(TieEvidence::TextOfOtherShell),
                (RunKind::Daemon, Some(Fit::Path)) => evidence.push(TieEvidence::Path),
                (RunKind::Daemon, Some(_)) => evidence.push(TieEvidence::Kind),
                _ => {}
            }
        }
        if !run.reads_context.is_empty() && !instructions.is_empty() {
            evidence.push(TieEvidence::Context);
        }
        if self.aside.reads_step(run) && !instructions.is_empty() {
            evidence.push(TieEvidence::CopyFrom);
        }
        // Text alone would have left more.
        if !instructions.is_empty() && fits.len() > instructions.len() {
            evidence.push(TieEvidence::Order);
        }
        evidence.sort_unstable();
        evidence.dedup();
        let mut list: Vec<usize> = instructions.into_iter().collect();
        let instruction = match list.len() {
            0 => Tied::None,
            1 if self.is_only_left(run, list[0]) => Tied::Candidates(list),
            1 => Tied::One(list.remove(0)),
            _ => Tied::Candidates(list),
        };
        Tie { run: run.id, instruction, evidence }
    }

    /// A daemon runs an instruction once upon one base (for each platform there is another): where two containers are said
    /// to be of one, either is of any whose text it has.
    pub(super) fn tell_twins_apart(&self, build: &Build, ties: &mut [Tie]) {
        if self.engine == Engine::Buildah {
            return;
        }
        let mut of_one: BTreeMap<(usize, Option<&[u8]>), Vec<usize>> = BTreeMap::new();
        for (at, (run, tie)) in build.runs.iter().zip(&*ties).enumerate() {
            if let (RunKind::Run, Tied::One(instruction)) = (run.kind, &tie.instruction) {
                let base = run.lowers.last().map(Vec::as_slice);
                of_one.entry((*instruction, base)).or_default().push(at);
            }
        }
        for at in of_one.into_values().filter(|several| several.len() > 1).flatten() {
            let fits = &self.fits[&build.runs[at].id];
            if fits.len() > 1 {
                ties[at].instruction = Tied::Candidates(fits.keys().copied().collect());
                ties[at].evidence.retain(|evidence| *evidence != TieEvidence::Order);
            }
        }
    }

    /// Whether an instruction is no more than what the order leaves of a part that made directories which nothing in the file
    /// names: it may have been made because the base's configuration does.
    fn is_only_left(&self, run: &StepRun, at: usize) -> bool {
        run.made_directories()
            && self.fits[&run.id].get(&at) == Some(&Fit::Yes)
            && !is_copy(&self.dockerfile.instructions[at])
    }
}
