//! What a step copied from a context.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::build::ProcessKey;
use crate::finder::Finder;

/// What is known of a step that copies.
pub(super) struct Copy<'f> {
    /// The directories that its engine has beside its store: contexts, it may be.
    pub(super) contexts: &'f [usize],
    pub(super) direct: &'f [(usize, Vec<u8>)],
    pub(super) written: &'f [(Vec<u8>, u64)],
    pub(super) began: u64,
    pub(super) done: u64,
}

/// Sizes of the context files that were copied, with the context. BuildKit's thread reads a file and then writes
/// it; the classic builder reads, and a helper of it writes what has the same name and size.
pub(super) fn copied(finder: &Finder, copy: &Copy<'_>) -> Vec<(usize, u64)> {
    let size = |dir: usize, name: &[u8]| finder.dirs[dir].files.get(name).map(|file| (dir, file.size));
    let mut sizes: Vec<(usize, u64)> =
        copy.direct.iter().filter_map(|(dir, name)| size(*dir, name)).collect();
    if sizes.is_empty() && !copy.written.is_empty() {
        let mut by_context: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        let written: HashSet<(&[u8], u64)> =
            copy.written.iter().map(|(name, size)| (crate::path::base(name), *size)).collect();
        for &at in copy.contexts {
            let reads = &finder.dirs[at].reads;
            let from = reads.partition_point(|(seq, ..)| *seq <= copy.began);
            let in_time = reads.iter().skip(from).take_while(|(seq, ..)| *seq < copy.done);
            let same = in_time
                .filter(|(_, name, size)| written.contains(&(crate::path::base(name), *size)))
                .map(|(_, _, size)| (at, *size));
            let same: Vec<_> = same.collect();
            if !same.is_empty() {
                by_context.insert(at, same);
            }
        }
        // Two contexts that both fit say nothing.
        if by_context.len() == 1 {
            sizes.extend(by_context.into_values().flatten());
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// By engine the directories that it has beside its store.
pub(super) fn contexts(finder: &Finder) -> HashMap<ProcessKey, Vec<usize>> {
    let mut contexts: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, dir) in finder.dirs.iter().enumerate().filter(|(_, dir)| !dir.in_store) {
        contexts.entry(dir.maker).or_default().push(at);
    }
    contexts
}
