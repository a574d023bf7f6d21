//! Each step tied to those below it, and to what it copied from.

use std::collections::{HashMap, HashSet};

use super::Work;
use super::register::{may_have_left, register};
use crate::finder::Finder;
use crate::traces::Source;

/// Ties each step to those below it, those it copied from, and the layers that were registered from it.
pub(crate) fn link(finder: &Finder, work: &mut Work) {
    // Sorting has renumbered the pieces: what `layers` said of them is found again by their order of export.
    register(finder, work);
    let mut by_upper: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    for at in 0..work.pieces.len() {
        let here = by_upper.entry(work.pieces[at].run.upper.clone()).or_default();
        // Earlier runs in the same upper directory first, then what is below that; the nearest ends up first.
        let mut all: Vec<usize> = here.iter().rev().copied().collect();
        here.push(at);
        for lower in &work.pieces[at].run.lowers {
            for under in sure_results(finder, work, lower, at) {
                all.push(under);
                let beside = by_upper.get(&work.pieces[under].run.upper);
                all.extend(beside.into_iter().flatten().rev().filter(|other| **other < under));
            }
        }
        let mut seen = HashSet::new();
        all.retain(|below| seen.insert(*below));
        let below: Vec<u32> = all.into_iter().map(|below| work.pieces[below].run.id).collect();
        let mut contexts = Vec::new();
        let mut runs = Vec::new();
        for source in &work.pieces[at].sources {
            let dir = directory_of(finder, *source);
            if let Source::Dir(index) = source
                && work.contexts.contains(index)
            {
                contexts.push(dir.clone());
            } else {
                for from in sure_results(finder, work, dir, at) {
                    if !runs.contains(&work.pieces[from].run.id) {
                        runs.push(work.pieces[from].run.id);
                    }
                }
            }
        }
        let mounts_runs: Vec<usize> = work.pieces[at]
            .mounted
            .iter()
            .flat_map(|source| sure_results(finder, work, directory_of(finder, *source), at))
            .filter(|from| *from < at)
            .collect();
        work.pieces[at].mounts_runs = mounts_runs;
        for (context, _) in &work.pieces[at].copied {
            let dir = &finder.dirs[*context].path;
            if work.contexts.contains(context) && !contexts.contains(dir) {
                contexts.push(dir.clone());
            }
        }
        let run = &mut work.pieces[at].run;
        (run.below, run.reads_context, run.reads_runs) = (below, contexts, runs);
    }
}

/// The steps whose results a directory held when a step began, itself left out; none where it may have been either of two.
fn sure_results(finder: &Finder, work: &Work, dir: &[u8], at: usize) -> Vec<usize> {
    let mut all = match work.maybe.get(dir) {
        None => results(finder, work, dir),
        Some(either) => {
            let left: Vec<usize> = may_have_left(work, either, work.pieces[at].run.began.seq).collect();
            if left.len() == 1 { left } else { Vec::new() }
        }
    };
    all.retain(|of| *of != at);
    all
}

/// The steps whose results a directory holds, the topmost first: one, but where the engine has put several together.
pub(super) fn results(finder: &Finder, work: &Work, dir: &[u8]) -> Vec<usize> {
    let merged = finder.dir_of(dir).map(|dir| dir.merged.as_slice()).unwrap_or_default();
    if merged.is_empty() {
        return work.result.get(dir).copied().into_iter().collect();
    }
    let of = |source: &Source| work.result.get(directory_of(finder, *source)).copied();
    merged.iter().rev().filter_map(of).collect()
}

fn directory_of(finder: &Finder, source: Source) -> &Vec<u8> {
    match source {
        Source::Dir(dir) => &finder.dirs[dir].path,
        Source::Overlay(overlay) => &finder.overlays[overlay].upper,
    }
}
