//! The trees of steps: when containers ran in them, and which device number each has.

use std::collections::HashMap;

use blubr_log::event::Dev;

use crate::build::Build;

/// A container, from its first program on until its first process ended: what the engine and its runtime do in the tree they
/// do before and after.
struct Ran {
    run: u32,
    from: u64,
    until: u64,
}

/// The trees of a build's steps.
pub(crate) struct Trees {
    /// Which of them is each run's: with buildah several runs may share one.
    of: HashMap<u32, usize>,
    /// What the host calls each.
    roots: Vec<Option<Vec<u8>>>,
    /// Of each the containers that ran in it, in that order.
    ran: Vec<Vec<Ran>>,
    /// Of each all runs, by when they began (`seq`).
    runs: Vec<Vec<(u64, u32)>>,
    /// Whose tree has a device number. The kernel gives the number to another file system (get_anon_bdev, fs/super.c) once
    /// the tree is gone, which it is not while its container is there.
    by_device: HashMap<Dev, usize>,
    /// It is known, or says nothing: a whole tree in a store has its file system's.
    has_device: Vec<bool>,
}

impl Trees {
    pub(crate) fn new(build: &Build) -> Self {
        let mut by_upper: HashMap<&[u8], usize> = HashMap::new();
        let mut of = HashMap::new();
        let (mut ran, mut roots, mut has_device) = (Vec::<Vec<Ran>>::new(), Vec::new(), Vec::new());
        let mut runs: Vec<Vec<(u64, u32)>> = Vec::new();
        for run in &build.runs {
            let tree = *by_upper.entry(&run.upper).or_insert_with(|| {
                ran.push(Vec::new());
                runs.push(Vec::new());
                roots.push(run.roots.first().cloned());
                has_device.push(run.whole);
                ran.len() - 1
            });
            of.insert(run.id, tree);
            if let Some(here) = runs.get_mut(tree) {
                here.push((run.first_seq, run.id));
            }
            if let (Some(first), Some(here)) = (&run.first_exec, ran.get_mut(tree)) {
                let until = run.ended.map_or(u64::MAX, |ended| ended.seq);
                here.push(Ran { run: run.id, from: first.seq, until });
            }
        }
        ran.iter_mut().for_each(|here| here.sort_by_key(|one| one.from));
        runs.iter_mut().for_each(|here| here.sort_unstable());
        Trees { of, roots, has_device, ran, runs, by_device: HashMap::new() }
    }

    /// What the host calls a run's tree.
    pub(crate) fn root(&self, run: u32) -> Option<&[u8]> {
        self.roots.get(*self.of.get(&run)?)?.as_deref()
    }

    /// Of the runs that share a tree with this one the one that an event of that time is of.
    pub(crate) fn settle(&self, run: u32, seq: u64) -> u32 {
        let sharing = self.of.get(&run).and_then(|tree| self.runs.get(*tree));
        let sharing = sharing.map(Vec::as_slice).unwrap_or_default();
        let begun = sharing.partition_point(|(first, _)| *first <= seq);
        sharing.get(begun.saturating_sub(1)).map_or(run, |(_, run)| *run)
    }

    /// Whether two runs share a tree.
    pub(crate) fn is_same(&self, one: u32, other: u32) -> bool {
        self.of.get(&one).is_some_and(|tree| self.of.get(&other) == Some(tree))
    }

    /// The run whose container is at work at that time in the tree of this run.
    pub(crate) fn at_work(&self, run: u32, seq: u64) -> Option<u32> {
        self.at_work_in(*self.of.get(&run)?, seq)
    }

    fn at_work_in(&self, tree: usize, seq: u64) -> Option<u32> {
        let here = self.ran.get(tree)?;
        let begun = here.partition_point(|one| one.from < seq);
        here.get(begun.checked_sub(1)?).filter(|one| seq <= one.until).map(|one| one.run)
    }

    /// Whether the device number of a run's tree is wanted.
    pub(crate) fn wants_device(&self, run: u32) -> bool {
        self.of.get(&run).and_then(|tree| self.has_device.get(*tree)).is_some_and(|has| !has)
    }

    /// Takes note of the device number of a run's tree.
    pub(crate) fn is_device(&mut self, run: u32, dev: Dev) {
        if let Some(tree) = self.of.get(&run)
            && let Some(has) = self.has_device.get_mut(*tree)
        {
            *has = true;
            self.by_device.insert(dev, *tree);
        }
    }

    /// The run that is at work at that time in the tree with this device number.
    pub(crate) fn with_device(&self, dev: Dev, seq: u64) -> Option<u32> {
        self.at_work_in(*self.by_device.get(&dev)?, seq)
    }
}
