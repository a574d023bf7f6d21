//! What a step copied from a context.

use std::collections::BTreeMap;

use crate::build::ProcessKey;
use crate::finder::Finder;

/// What is known of a step that copies.
pub(super) struct Copy<'f> {
    pub(super) maker: ProcessKey,
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
        for (at, dir) in
            finder.dirs.iter().enumerate().filter(|(_, dir)| dir.maker == copy.maker && !dir.in_store)
        {
            let in_time = dir.reads.iter().filter(|(seq, ..)| *seq > copy.began && *seq < copy.done);
            let same = in_time
                .filter(|(_, name, size)| {
                    let name = crate::path::base(name);
                    copy.written
                        .iter()
                        .any(|(wrote, bytes)| crate::path::base(wrote) == name && bytes == size)
                })
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
