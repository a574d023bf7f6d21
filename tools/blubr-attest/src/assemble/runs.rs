//! The runs of a build by their number and by their tree: asked for at every event, of which there may be many times many.

use std::collections::HashMap;

use blubr_build::{Build, StepRun};

/// Runs, and which of them change the same upper directory.
pub struct Runs<'a> {
    /// Each run, and which of the trees is its.
    by_id: HashMap<u32, (&'a StepRun, usize)>,
}

impl<'a> Runs<'a> {
    /// Of a build.
    pub fn new(build: &'a Build) -> Self {
        let (mut by_upper, mut by_id) = (HashMap::new(), HashMap::new());
        for run in &build.runs {
            let next = by_upper.len();
            let tree = *by_upper.entry(run.upper.as_slice()).or_insert(next);
            by_id.entry(run.id).or_insert((run, tree));
        }
        Self { by_id }
    }

    /// The run of this number.
    pub fn get(&self, id: u32) -> Option<&'a StepRun> {
        self.by_id.get(&id).map(|(run, _)| *run)
    }

    /// Whether two runs change the same upper directory.
    pub fn same_tree(&self, one: Option<u32>, other: u32) -> bool {
        let tree = |id: u32| self.by_id.get(&id).map(|(_, tree)| *tree);
        one.is_some_and(|one| one == other || tree(one) == tree(other))
    }
}
