//! The chains of an engine's steps: each step that no other is built upon, with all that it is built upon.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::askers::Asker;
use crate::build::Engine;
use crate::steps::Work;

/// The ends of the chains, each with all steps below it.
pub(crate) struct Chains {
    /// By the step at the end (an index into the pieces): the steps, that one too.
    pub(crate) of: BTreeMap<usize, Vec<usize>>,
    /// In how many chains each step is.
    count: HashMap<usize, usize>,
}

impl Chains {
    pub(crate) fn new(mine: &[usize], work: &Work) -> Self {
        let used: HashSet<usize> = mine.iter().flat_map(|at| below(*at, work)).collect();
        let ends = mine.iter().filter(|at| !used.contains(*at));
        let of: BTreeMap<usize, Vec<usize>> = ends.map(|at| (*at, closure(*at, work))).collect();
        let mut count: HashMap<usize, usize> = HashMap::new();
        for step in of.values().flatten() {
            *count.entry(*step).or_default() += 1;
        }
        Chains { of, count }
    }

    /// The steps that are in this chain and in no other.
    fn own(&self, end: usize) -> impl Iterator<Item = usize> {
        self.of[&end].iter().copied().filter(|step| self.count[step] == 1)
    }

    /// For each chain the clients whose contexts were copied in it, and in no other chain.
    pub(crate) fn certain(&self, askers: &[Asker<'_>], work: &Work) -> BTreeMap<usize, BTreeSet<usize>> {
        let of_chain = |end: usize| {
            let contexts: HashSet<usize> = self
                .own(end)
                .flat_map(|step| work.pieces[step].copied.iter().map(|(context, _)| *context))
                .collect();
            let sent = |asker: &usize| askers[*asker].contexts.iter().any(|at| contexts.contains(at));
            (0..askers.len()).filter(sent).collect::<BTreeSet<usize>>()
        };
        let all = self.of.keys().map(|end| (*end, of_chain(*end)));
        all.filter(|(_, sure)| !sure.is_empty()).collect()
    }

    /// Whose mechanics a chain shows.
    pub(crate) fn shape(&self, end: usize, work: &Work) -> Option<Engine> {
        self.of[&end].iter().find_map(|step| work.pieces[*step].shape)
    }

    /// Whether steps of the one that are not in the other were carried out at the same time as such of the other.
    /// A step is over when it is registered, or where the builder clears up after each (`cleared`) when that is done;
    /// one that was not seen to end goes on.
    pub(crate) fn overlap(&self, one: usize, other: usize, cleared: bool, work: &Work) -> bool {
        let times = |of: usize, without: usize| {
            let without: HashSet<usize> = self.of[&without].iter().copied().collect();
            let steps = self.of[&of].iter().filter(move |step| !without.contains(*step));
            let time = |step: &usize| {
                let piece = &work.pieces[*step];
                let began = piece.run.began.seq;
                let done = piece.done.map(|done| done.seq).or(piece.cleared).unwrap_or(u64::MAX);
                (began, done.max(piece.cleared.filter(|_| cleared).unwrap_or(done)))
            };
            steps.map(time).collect::<Vec<_>>()
        };
        let others = times(other, one);
        times(one, other).into_iter().any(|(began, done)| {
            others.iter().any(|(other_began, other_done)| began < *other_done && *other_began < done)
        })
    }
}

/// What a step is built upon, where that is known.
fn below(at: usize, work: &Work) -> impl Iterator<Item = usize> {
    let piece = &work.pieces[at];
    let known = piece.run.below.iter().chain(&piece.run.reads_runs).map(|id| *id as usize);
    known.chain(piece.mounts_runs.iter().copied())
}

/// A step with all that it is built upon.
pub(crate) fn closure(at: usize, work: &Work) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let mut open = vec![at];
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(below(next, work));
        }
    }
    seen.into_iter().collect()
}
