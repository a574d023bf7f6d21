//! What holds between the stages of a file, for all of them at once: a file may have tens of thousands.

use std::collections::HashMap;

use crate::parser::Dockerfile;

/// The stages of a file by their names.
pub struct StageNames<'d>(HashMap<&'d str, Vec<usize>>);

impl<'d> StageNames<'d> {
    /// Of a file.
    #[must_use]
    pub fn new(file: &'d Dockerfile) -> Self {
        let mut all: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, stage) in file.stages.iter().enumerate() {
            if let Some(name) = &stage.name {
                all.entry(name).or_default().push(at);
            }
        }
        Self(all)
    }

    /// As [`Dockerfile::stage_named`].
    #[must_use]
    pub fn find(&self, name: &str, below: usize) -> Option<usize> {
        let all = self.0.get(name.to_lowercase().as_str())?;
        all.get(all.partition_point(|at| *at < below).checked_sub(1)?).copied()
    }

    /// The stage among those before `below` from which files are taken: by its name, or by its number.
    #[must_use]
    pub fn source(&self, name: &str, below: usize) -> Option<usize> {
        self.find(name, below).or_else(|| name.parse().ok().filter(|stage| *stage < below))
    }
}

impl Dockerfile {
    /// For each stage the earlier one that it begins from.
    #[must_use]
    pub fn bases(&self) -> Vec<Option<usize>> {
        let names = StageNames::new(self);
        self.stages.iter().enumerate().map(|(at, stage)| names.find(&stage.base, at)).collect()
    }

    /// The SHELL in force at each instruction, as [`Dockerfile::shell_at`] has it.
    #[must_use]
    pub fn shells(&self) -> Vec<Option<&[String]>> {
        let mut all = vec![None; self.instructions.len()];
        let mut last: Vec<Option<&[String]>> = Vec::with_capacity(self.stages.len());
        for (stage, base) in self.stages.iter().zip(self.bases()) {
            let mut shell = base.and_then(|base| last.get(base).copied().flatten());
            let (first, count) = stage.instructions;
            for at in first..first.saturating_add(count) {
                let (Some(here), Some(instruction)) = (all.get_mut(at), self.instructions.get(at))
                else {
                    break;
                };
                *here = shell;
                if instruction.keyword == "shell" {
                    shell = Some(&instruction.args);
                }
            }
            last.push(shell);
        }
        all
    }
}

/// A stage and those that it begins from, the lowest first. `bases`: [`Dockerfile::bases`].
#[must_use]
pub fn chain(bases: &[Option<usize>], stage: usize) -> Vec<usize> {
    let base = |at: &usize| bases.get(*at).copied().flatten().filter(|base| base < at);
    let mut chain: Vec<usize> = std::iter::successors(Some(stage), base).collect();
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_taken_from_stages_by_name_and_by_number() {
        let file = Dockerfile::parse(
            b"FROM scratch AS One\nFROM a\nCOPY --from=ONE /x /\nCOPY --from=0 /x /\nCOPY --from=1 /x /\nCOPY x /\n\
              RUN --mount=type=bind,From=one,target=/a --mount=from=0,target=/b --mount=type=cache,target=/c x\n",
        )
        .unwrap();
        let names = StageNames::new(&file);
        let stages: Vec<Vec<Option<usize>>> = file.instructions[2..]
            .iter()
            .map(|one| one.sources().iter().map(|name| names.source(name, 1)).collect())
            .collect();
        let zero = Some(0);
        assert_eq!(stages, [vec![zero], vec![zero], vec![None], vec![], vec![zero, zero]]);
    }

    #[test]
    fn shells_and_bases_of_all_are_those_of_each() {
        let file = Dockerfile::parse(
            b"ARG A\nFROM base AS one\nRUN a\nSHELL [\"/bin/bash\", \"-c\"]\nRUN b\nFROM One AS two\nRUN c\n\
              SHELL [\"/bin/zsh\"]\nFROM two\nRUN d\nFROM three AS one\nRUN e\nFROM one\nRUN f\n",
        )
        .unwrap();
        let each: Vec<_> = (0..file.instructions.len()).map(|at| file.shell_at(at)).collect();
        assert!(each.iter().flatten().count() > 3);
        assert_eq!(file.shells(), each);
        let named = |(at, stage): (usize, &crate::Stage)| file.stage_named(&stage.base, at);
        let each: Vec<_> = file.stages.iter().enumerate().map(named).collect();
        let bases = file.bases();
        assert_eq!(bases, each);
        assert_eq!([chain(&bases, 2), chain(&bases, 4)], [vec![0, 1, 2], vec![3, 4]]);
    }
}
