//! Which step's result a registered layer holds.

use std::collections::{HashMap, HashSet};

use super::Work;
use super::link::results;
use crate::build::{Engine, Layer, ProcessKey};
use crate::finder::Finder;
use crate::traces::{Dir, is_init_layer};

/// Steps that may be the one that left a layer.
const MAYBE_MAX: usize = 8;

/// Which step's result each registered layer holds: the engine read the step's changes before it wrote the layer.
/// BuildKit's layers are its steps' own directories: what is written anew beside them is another's (`docker commit`).
pub(super) fn register(finder: &Finder, work: &mut Work) {
    let mut taken = HashSet::new();
    let mut maybe: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let above = by_topmost(finder);
    let mut layers = std::mem::take(&mut work.layers);
    for (maker, layer, dir) in &mut layers {
        layer.of = None;
        let Some(dir) = dir.map(|at| &finder.dirs[at]) else { continue };
        let written = dir.last_write.unwrap_or(dir.began).seq;
        let lowers = lowers_above(finder, &dir.path, &above);
        let uppers = finder.registers(&dir.path);
        let fits: Vec<usize> = (0..work.pieces.len())
            .filter(|&at| {
                let piece = &work.pieces[at];
                piece.maker == *maker
                    && piece.shape != Some(Engine::BuildKit)
                    && piece.exported.is_some_and(|seq| seq < written)
                    && piece.done.is_some_and(|done| done.seq < dir.began.seq)
                    && piece.registering.is_none_or(|(from, to)| {
                        from < dir.began.seq && to.is_none_or(|to| to > written)
                    })
                    && !taken.contains(&piece.run.upper)
                    && uppers.as_ref().is_none_or(|uppers| uppers.contains(&piece.run.upper.as_slice()))
                    && lowers.is_none_or(|lowers| same_base(&piece.run.lowers, lowers))
            })
            .collect();
        let fits = same_files(finder, work, dir, fits);
        // The last run in an upper directory has made it what it is.
        let uppers: HashSet<&[u8]> =
            fits.iter().map(|&at| work.pieces[at].run.upper.as_slice()).collect();
        if uppers.len() != 1 {
            // Equal layers of two builds are one to Docker: it is the result of one of these steps.
            if uppers.len() <= MAYBE_MAX {
                maybe.insert(dir.path.clone(), fits);
            }
            continue;
        }
        if let Some(&at) = fits.last() {
            taken.insert(work.pieces[at].run.upper.clone());
            work.pieces[at].committed = true;
            let registered = dir.last_write.unwrap_or(dir.began);
            work.pieces[at].done = work.pieces[at].done.max(Some(registered));
            layer.of = Some(work.pieces[at].run.id);
            work.pieces[at].run.compared |= layer.tree.is_some();
            work.result.insert(dir.path.clone(), at);
        }
    }
    twins(finder, work, &layers, &mut maybe);
    reused(finder, work, &layers, &taken, &mut maybe);
    // Whose what was put together is, and a container's own -init layer.
    for (_, layer, dir) in &mut layers {
        if finder.dir_of(&layer.dir).is_some_and(|dir| !dir.merged.is_empty()) {
            let topmost = results(finder, work, &layer.dir).first().copied();
            layer.of = topmost.map(|at| work.pieces[at].run.id);
        } else if dir.is_none() {
            let of = work.pieces.iter().find(|piece| piece.run.lowers.first() == Some(&layer.dir));
            layer.of = of.map(|piece| piece.run.id);
        }
    }
    (work.layers, work.maybe) = (layers, maybe);
}

/// Docker keeps equal layers once: what a step registered anew is thrown away where the same is there, and who builds
/// upon it builds upon the other's. Such a layer is the result of either step.
fn twins(
    finder: &Finder,
    work: &Work,
    layers: &[(ProcessKey, Layer, Option<usize>)],
    maybe: &mut HashMap<Vec<u8>, Vec<usize>>,
) {
    let known = |layer: &Layer| layer.of.map(|of| of as usize);
    let contents = |dir: usize| {
        let mut written: Vec<_> = finder.dirs[dir].written.iter().collect();
        written.sort_unstable();
        written
    };
    let mut kept: HashMap<_, Vec<(&Layer, usize)>> = HashMap::new();
    for (maker, layer, dir) in layers {
        if let (Some(dir), Some(of)) = (*dir, known(layer))
            && finder.dirs[dir].removed.is_none()
        {
            kept.entry((*maker, contents(dir))).or_default().push((layer, of));
        }
    }
    for (maker, layer, dir) in layers {
        let (Some(dir), Some(of)) = (*dir, known(layer)) else { continue };
        if finder.dirs[dir].removed.is_none() {
            continue;
        }
        for (other, other_of) in kept.get(&(*maker, contents(dir))).into_iter().flatten() {
            let bases = [of, *other_of].map(|at| &work.pieces[at].run.lowers);
            if same_base(bases[0], without_init(bases[1])) {
                let either = maybe.entry(other.dir.clone()).or_default();
                for at in [*other_of, of] {
                    if !either.contains(&at) {
                        either.push(at);
                    }
                }
            }
        }
    }
}

/// buildah looks for a layer like the one it has read from a step before it registers that, and takes it if there is one
/// (`TryReusingBlob` in containers/image's storage): who builds upon such a layer builds upon what either step left.
fn reused(
    finder: &Finder,
    work: &Work,
    layers: &[(ProcessKey, Layer, Option<usize>)],
    taken: &HashSet<Vec<u8>>,
    maybe: &mut HashMap<Vec<u8>, Vec<usize>>,
) {
    // A step without a layer of its own, by those that it could have one like: made upon the same, by the same process.
    let mut without: HashMap<(ProcessKey, Vec<&[u8]>), Vec<usize>> = HashMap::new();
    for (at, piece) in work.pieces.iter().enumerate() {
        let read = piece.shape == Some(Engine::Buildah) && piece.exported.is_some();
        if read && !taken.contains(&piece.run.upper) {
            without.entry((piece.maker, base_of(&piece.run.lowers).collect())).or_default().push(at);
        }
    }
    if without.is_empty() {
        return;
    }
    for (maker, layer, dir) in layers {
        let (Some(dir), Some(of)) = (*dir, layer.of) else { continue };
        let dir = &finder.dirs[dir];
        let base = base_of(&work.pieces[of as usize].run.lowers).collect();
        let others = without.get(&(*maker, base)).into_iter().flatten().copied();
        // What was read before the layer was there, and fits it, was weighed against its step already.
        let later = others.filter(|at| work.pieces[*at].exported > Some(dir.began.seq));
        let like: Vec<usize> =
            later.filter(|at| holds(finder, &work.pieces[*at].run.upper, dir)).take(MAYBE_MAX).collect();
        if !like.is_empty() {
            maybe.insert(dir.path.clone(), [of as usize].into_iter().chain(like).collect());
        }
    }
}

/// Of several steps those from which the engine read all that it then wrote into the layer, by name and size.
fn same_files(finder: &Finder, work: &Work, dir: &Dir, fits: Vec<usize>) -> Vec<usize> {
    if fits.len() < 2 || dir.written.is_empty() {
        return fits;
    }
    let read = |at: &usize| holds(finder, &work.pieces[*at].run.upper, dir);
    let same: Vec<usize> = fits.iter().copied().filter(read).collect();
    let same = if same.is_empty() { fits } else { same };
    // One whose tree was mounted again when it had ended, which is done to read it, before one whose was not.
    let sure: Vec<usize> = same.iter().copied().filter(|at| work.pieces[*at].committed).collect();
    if sure.is_empty() { same } else { sure }
}

/// Whether the engine read all that it wrote into a layer, by name and size, in a step's tree.
pub(super) fn holds(finder: &Finder, upper: &[u8], layer: &Dir) -> bool {
    let overlay = finder.overlay_of(upper).map(|overlay| &finder.overlays[overlay].exports);
    let reads = finder.dir_of(upper).map(|other| &other.reads);
    // Of an empty file nothing need be read.
    layer.written.iter().filter(|(_, size)| *size > 0).all(|(name, size)| {
        overlay.is_some_and(|exports| exports.contains(&finder.read_as.number(name, *size)))
            || reads.is_some_and(|reads| {
                reads.iter().any(|(_, known, bytes)| known == name && bytes == size)
            })
    })
}

/// The lowers that a layer was made upon, or that a later overlay has below it.
fn lowers_above<'f>(
    finder: &'f Finder,
    layer: &[u8],
    above: &HashMap<&[u8], &'f [Vec<u8>]>,
) -> Option<&'f [Vec<u8>]> {
    let own = finder.overlay_of(layer).map(|overlay| &finder.overlays[overlay]);
    if let Some(own) = own.filter(|overlay| overlay.whole.is_some() || !overlay.registers.is_empty()) {
        return Some(&own.lowers);
    }
    above.get(layer).copied()
}

/// By the topmost lower of overlays what lies below that: of several overlays upon one layer the first's.
fn by_topmost(finder: &Finder) -> HashMap<&[u8], &[Vec<u8>]> {
    let mut all = HashMap::new();
    for overlay in &finder.overlays {
        if let Some((topmost, rest)) = without_init(&overlay.lowers).split_first() {
            all.entry(topmost.as_slice()).or_insert(rest);
        }
    }
    all
}

pub(crate) fn without_init(lowers: &[Vec<u8>]) -> &[Vec<u8>] {
    match lowers.split_first() {
        Some((first, rest)) if is_init_layer(first) => rest,
        _ => lowers,
    }
}

/// Whether a step stood on these layers. buildah puts an empty directory below a step without a base.
pub(crate) fn same_base(of_step: &[Vec<u8>], lowers: &[Vec<u8>]) -> bool {
    base_of(without_init(of_step)).eq(base_of(lowers))
}

fn base_of(lowers: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    lowers.iter().map(Vec::as_slice).filter(|lower| crate::path::base(lower) != b"empty")
}

/// The steps, of those that may have left a layer, whose result the engine had read when this one began to stand upon it.
pub(crate) fn may_have_left<'w>(
    work: &'w Work,
    either: &'w [usize],
    began: u64,
) -> impl Iterator<Item = usize> + 'w {
    let read = move |at: &usize| work.pieces[*at].exported.is_none_or(|read| read < began);
    either.iter().copied().filter(read)
}
