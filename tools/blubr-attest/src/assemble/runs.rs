//! The runs of a build by their number and by their tree: asked for at every event, of which there may be many times many.

use std::collections::HashMap;

use blubr_build::{Build, StepRun};

/// Runs, and which of them change the same upper directory.
pub struct Runs<'a> {
    /// Each run, and which of the trees is its.
    by_id: HashMap<u32, (&'a StepRun, usize)>,
    /// The runs of each tree, in the order in which they began.
    trees: Vec<Vec<&'a StepRun>>,
}

impl<'a> Runs<'a> {
    /// Of a build.
    pub fn new(build: &'a Build) -> Self {
        let mut trees: Vec<Vec<&StepRun>> = Vec::new();
        let (mut by_upper, mut by_id) = (HashMap::new(), HashMap::new());
        for run in &build.runs {
            let tree = *by_upper.entry(run.upper.as_slice()).or_insert_with(|| {
                trees.push(Vec::new());
                trees.len() - 1
            });
            if let Some(tree) = trees.get_mut(tree) {
                tree.push(run);
            }
            by_id.entry(run.id).or_insert((run, tree));
        }
        trees.iter_mut().for_each(|tree| tree.sort_by_key(|run| run.first_seq));
        Self { by_id, trees }
    }

    /// The run of this number.
    pub fn get(&self, id: u32) -> Option<&'a StepRun> {
        self.by_id.get(&id).map(|(run, _)| *run)
    }

    /// Of the runs that share a tree with this one (buildah without --layers) the one that an event of that time is of.
    pub fn settle(&self, id: u32, seq: u64) -> Option<&'a StepRun> {
        let (_, tree) = self.by_id.get(&id)?;
        let sharing = self.trees.get(*tree)?;
        let begun = sharing.partition_point(|one| one.first_seq <= seq);
        sharing.get(begun.saturating_sub(1)).copied()
    }

    /// Whether two runs change the same upper directory.
    pub fn same_tree(&self, one: Option<u32>, other: u32) -> bool {
        let tree = |id: u32| self.by_id.get(&id).map(|(_, tree)| *tree);
        one.is_some_and(|one| one == other || tree(one) == tree(other))
    }
}
