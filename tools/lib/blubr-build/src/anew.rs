//! Directories of WORKDIRs that buildah makes once more, after a RUN that may have removed them.

use std::collections::{BTreeSet, HashMap};

use crate::build::{Build, RunKind};
use crate::tie::{Fit, Table, Tie, Tied};

impl Table<'_> {
    /// After a RUN, which may have removed it, buildah makes the directory anew of the WORKDIR that is in force, whatever the next
    /// instruction is: then it may be that one's as well as one's that names it again.
    pub(crate) fn made_anew(&self, build: &Build, ties: &mut [Tie]) {
        let in_force = self.workdirs();
        let mut last_run: HashMap<&[u8], &Tied> = HashMap::new();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (nth, (run, tie)) in build.runs.iter().zip(&*ties).enumerate() {
            if run.kind == RunKind::Run {
                last_run.insert(&run.upper, &tie.instruction);
            } else if let (true, Some(Tied::One(ran))) =
                (run.made_directories(), last_run.get(run.upper.as_slice()))
            {
                let of_then = in_force.get(*ran).copied().flatten();
                let of_then = of_then.filter(|at| self.fits[&run.id].get(at) == Some(&Fit::Path));
                found.extend(of_then.map(|at| (nth, at)));
            }
        }
        for (nth, at) in found {
            let mut all: BTreeSet<usize> = match &ties[nth].instruction {
                Tied::One(one) => BTreeSet::from([*one]),
                Tied::Candidates(several) => several.iter().copied().collect(),
                Tied::None => BTreeSet::new(),
            };
            all.insert(at);
            let all: Vec<usize> = all.into_iter().collect();
            ties[nth].instruction = match all.as_slice() {
                [one] => Tied::One(*one),
                _ => Tied::Candidates(all),
            };
        }
    }

    /// The WORKDIR that is in force at each instruction, where the file has it.
    fn workdirs(&self) -> Vec<Option<usize>> {
        let mut all = vec![None; self.dockerfile.instructions.len()];
        let mut ends: Vec<Option<usize>> = Vec::new();
        for (stage, base) in self.dockerfile.stages.iter().zip(&self.bases) {
            let mut here = base.and_then(|base| ends.get(base).copied().flatten());
            let (first, count) = stage.instructions;
            for (at, of) in self.dockerfile.instructions.iter().enumerate().skip(first).take(count) {
                all[at] = here;
                if of.keyword == "workdir" {
                    here = Some(at);
                }
            }
            ends.push(here);
        }
        all
    }
}
