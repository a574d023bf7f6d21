//! Which step's result a registered layer holds.

use std::collections::{HashMap, HashSet};

use super::Work;
use super::link::results;
use super::unregistered::Unregistered;
use crate::build::{Engine, Layer, ProcessKey};
use crate::finder::Finder;
use crate::traces::{Dir, is_init_layer};

/// Steps that may be the one that left a layer.
pub(super) const MAYBE_MAX: usize = 8;

/// Which step's result each registered layer holds: the engine read the step's changes before it wrote the layer.
/// BuildKit's layers are its steps' own directories: what is written anew beside them is another's (`docker commit`).
pub(super) fn register(finder: &Finder, work: &mut Work) {
    let mut maybe: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let above = by_topmost(finder);
    let mut layers = std::mem::take(&mut work.layers);
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut left = Unregistered::new(finder, &work.pieces);
    for (nth, (maker, _, dir)) in layers.iter().enumerate() {
        let Some(dir) = dir.map(|at| &finder.dirs[at]) else { continue };
        let lowers = lowers_above(finder, &dir.path, &above);
        let fits = left.fitting(*maker, dir, lowers, finder.registers(&dir.path));
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
            left.take(at);
            found.push((nth, at));
        }
    }
    let taken = left.taken();
    layers.iter_mut().for_each(|(_, layer, _)| layer.of = None);
    for (nth, at) in found {
        let Some((_, layer, Some(dir))) = layers.get_mut(nth) else { continue };
        let (dir, piece) = (&finder.dirs[*dir], &mut work.pieces[at]);
        piece.committed = true;
        piece.done = piece.done.max(Some(dir.last_write.unwrap_or(dir.began)));
        layer.of = Some(piece.run.id);
        piece.run.compared |= layer.tree.is_some();
        work.result.insert(dir.path.clone(), at);
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
    let mut equal: HashMap<_, Equal<'_>> = HashMap::new();
    for (maker, layer, dir) in layers {
        let (Some(dir), Some(of)) = (*dir, known(layer)) else { continue };
        let base: Vec<&[u8]> = base_of(without_init(&work.pieces[of].run.lowers)).collect();
        let same = equal.entry((*maker, contents(dir), base)).or_default();
        match finder.dirs[dir].removed {
            None => same.kept.push((layer, of)),
            Some(_) => same.thrown_away.push(of),
        }
    }
    for Equal { kept, mut thrown_away } in equal.into_values().filter(|same| !same.kept.is_empty()) {
        if thrown_away.len() > MAYBE_MAX {
            // Of more than two it is never told which. Those that were read first are the ones that any later step may stand upon.
            thrown_away.sort_by_key(|of| work.pieces[*of].exported);
            thrown_away.truncate(MAYBE_MAX);
        }
        for (layer, of) in kept.iter().filter(|_| !thrown_away.is_empty()) {
            let either = maybe.entry(layer.dir.clone()).or_default();
            for at in std::iter::once(of).chain(&thrown_away) {
                if !either.contains(at) {
                    either.push(*at);
                }
            }
        }
    }
}

/// Layers with the same in them, made upon the same by the same engine.
#[derive(Default)]
struct Equal<'l> {
    /// Those that are there, each with the step whose result it is.
    kept: Vec<(&'l Layer, usize)>,
    /// The steps whose results were not kept.
    thrown_away: Vec<usize>,
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

pub(super) fn base_of(lowers: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
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
