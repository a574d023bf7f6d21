//! The instructions that make the image of each stage.

use blubr_dockerfile::chain;

use super::{History, Recorded};

/// The instructions of the stages, without FROM.
pub struct Chains<'a> {
    of_stage: Vec<Vec<&'a Recorded>>,
    bases: Vec<Option<usize>>,
    /// How many instructions make the image of each stage, ONBUILDs left out.
    lengths: Vec<usize>,
}

impl<'a> Chains<'a> {
    pub fn new(history: &'a History) -> Self {
        let bases = history.file.bases();
        let mut of_stage = vec![Vec::new(); bases.len()];
        for recorded in history.recorded.iter().filter(|r| r.instruction.keyword != "from") {
            if let Some(own) = recorded.instruction.stage.and_then(|stage| of_stage.get_mut(stage)) {
                own.push(recorded);
            }
        }
        let mut lengths: Vec<usize> = Vec::new();
        for (own, base) in of_stage.iter().zip(&bases) {
            let own = own.iter().filter(|r| r.instruction.keyword != "onbuild").count();
            lengths.push(own + base.and_then(|base| lengths.get(base).copied()).unwrap_or(0));
        }
        Self { of_stage, bases, lengths }
    }

    pub fn count(&self) -> usize {
        self.of_stage.len()
    }

    pub fn is_empty(&self) -> bool {
        self.of_stage.is_empty()
    }

    pub fn len(&self, stage: usize) -> usize {
        self.lengths.get(stage).copied().unwrap_or(0)
    }

    /// The instructions that make the image of one stage: those of the stages that it begins from, then its own.
    pub fn all(&self, stage: usize) -> impl Iterator<Item = &'a Recorded> {
        let own = |stage: usize| self.of_stage.get(stage).into_iter().flatten().copied();
        chain(&self.bases, stage).into_iter().flat_map(own)
    }

    /// The same without ONBUILDs.
    pub fn of(&self, stage: usize) -> Vec<&'a Recorded> {
        self.all(stage).filter(|r| r.instruction.keyword != "onbuild").collect()
    }
}
