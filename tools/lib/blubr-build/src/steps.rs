//! The steps of a log, whoever asked for them: made of overlays, layers, containers and copies, and linked to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::build::{Engine, Layer, Made, Moment, MountPoint, OtherName, ProcessKey, RunKind, StepRun};
use crate::finder::Finder;
use crate::traces::{Container, Dir, Overlay, Source, Span, Store, Whole, is_init_layer, is_whole};

/// Steps that may be the one that left a layer.
const MAYBE_MAX: usize = 8;

/// A step that may be several clients'.
pub(crate) struct Piece {
    pub(crate) run: StepRun,
    pub(crate) maker: ProcessKey,
    pub(crate) shape: Option<Engine>,
    /// A container whose changes the engine read after it had ended, or none at all.
    pub(crate) committed: bool,
    /// When the engine had its tree mounted again, after its container had ended, to register what it changed.
    pub(crate) registering: Option<(u64, Option<u64>)>,
    /// Sizes of the files that were copied from contexts, with the context's index.
    pub(crate) copied: Vec<(usize, u64)>,
    pub(crate) sources: BTreeSet<Source>,
    /// Steps that may have left one of its lowers.
    pub(crate) maybe_below: Vec<usize>,
    /// When the engine removed what it ran in.
    pub(crate) cleared: Option<u64>,
    pub(crate) exported: Option<u64>,
    /// When the engine first read in its result, after it was done.
    pub(crate) read_back: Option<u64>,
    /// When its result was registered as a layer of an image (by BuildKit).
    pub(crate) registered: Option<u64>,
    /// What was mounted into its container.
    pub(crate) mounted: BTreeSet<Source>,
    /// Steps whose results were mounted into its container.
    pub(crate) mounts_runs: Vec<usize>,
    /// When what it did was done, and registered where the engine registers it.
    pub(crate) done: Option<Moment>,
}

impl Piece {
    /// Its container ended by itself, and said that it had failed.
    pub(crate) fn failed(&self) -> bool {
        self.run.kind == RunKind::Run
            && self.run.exit.is_some_and(|exit| exit.code.is_some_and(|code| code != 0))
    }

    /// Its container failed or was killed, as the engine does when the client goes away: a build that succeeded has
    /// no such step.
    pub(crate) fn came_to_nothing(&self) -> bool {
        self.failed()
            || self.run.kind == RunKind::Run && self.run.exit.is_some_and(|exit| exit.signal.is_some())
    }
}

/// Everything of one log, ready to be given out.
pub(crate) struct Work {
    pub(crate) pieces: Vec<Piece>,
    /// Which piece's result a directory holds.
    pub(crate) result: HashMap<Vec<u8>, usize>,
    pub(crate) layers: Vec<(ProcessKey, Layer, Option<usize>)>,
    pub(crate) contexts: Vec<usize>,
    /// Helpers by the directory they worked in.
    pub(crate) helpers: HashMap<Vec<u8>, Vec<ProcessKey>>,
    /// Processes that serve a step's tree, by its upper directory.
    pub(crate) servers: HashMap<Vec<u8>, Vec<ProcessKey>>,
    /// What else engines called layers.
    pub(crate) renamed: HashMap<Vec<u8>, Vec<OtherName>>,
    /// Steps of which one or the other has left a layer.
    pub(crate) maybe: HashMap<Vec<u8>, Vec<usize>>,
    /// Trees of steps whose result was found to be registered.
    taken: HashSet<Vec<u8>>,
}

/// The steps that left traces, whoever asked for them.
pub(crate) fn pieces(finder: &Finder) -> Work {
    let mut work = Work {
        pieces: Vec::new(),
        result: HashMap::new(),
        layers: Vec::new(),
        contexts: Vec::new(),
        helpers: HashMap::new(),
        servers: HashMap::new(),
        renamed: HashMap::new(),
        maybe: HashMap::new(),
        taken: HashSet::new(),
    };
    let lowers: HashSet<&[u8]> =
        finder.overlays.iter().flat_map(|overlay| overlay.lowers.iter().map(Vec::as_slice)).collect();
    let mut order: Vec<(u64, Source)> = Vec::new();
    order.extend(
        finder.overlays.iter().enumerate().map(|(at, overlay)| (overlay.began.seq, Source::Overlay(at))),
    );
    order.extend(finder.dirs.iter().enumerate().map(|(at, dir)| (dir.began.seq, Source::Dir(at))));
    order.sort_unstable();
    for (_, source) in order {
        match source {
            Source::Overlay(at) => overlay_pieces(finder, at, &lowers, &mut work),
            Source::Dir(at) => dir_piece(finder, at, &lowers, &mut work),
        }
    }
    work.pieces.sort_by_key(|piece| piece.run.began);
    work.result.clear();
    for (at, piece) in work.pieces.iter_mut().enumerate() {
        piece.run.id = u32::try_from(at).unwrap_or(u32::MAX);
        // Of several runs in one upper directory the last leaves the result.
        work.result.insert(piece.run.upper.clone(), at);
    }
    work
}

fn overlay_pieces(finder: &Finder, at: usize, lowers: &HashSet<&[u8]>, work: &mut Work) {
    let overlay = &finder.overlays[at];
    if overlay.unpacked || is_init_layer(&overlay.upper) {
        work.layers.push((overlay.maker, Layer { dir: overlay.upper.clone(), of: None }, None));
        return;
    }
    let buildah =
        finder.makers.get(&overlay.maker).is_some_and(|maker| maker.store == Store::Containers);
    let shape = if buildah {
        Some(Engine::Buildah)
    } else if overlay.lowers.first().is_some_and(|lower| is_init_layer(lower)) {
        Some(Engine::Classic)
    } else if overlay.containers.iter().any(|container| finder.containers[*container].by_maker) {
        Some(Engine::BuildKit)
    } else {
        None
    };
    if overlay.containers.is_empty() {
        if let Some(whole) = &overlay.whole
            && is_registered(
                finder,
                overlay,
                whole,
                buildah && lowers.contains(overlay.upper.as_slice()),
                work,
            )
        {
            let layer = Layer { dir: overlay.upper.clone(), of: None };
            work.layers.push((overlay.maker, layer, Some(whole.dir)));
            return;
        }
        if overlay.writes.is_empty() && !lowers.contains(overlay.upper.as_slice()) {
            return;
        }
        let mut piece = daemon_piece(finder, overlay, shape, None);
        if buildah {
            piece.run.made = finder.made_in(at);
        }
        work.pieces.push(piece);
        return;
    }
    for (nth, container) in overlay.containers.iter().enumerate() {
        // Only containers/storage lets several steps share one overlay, and the client writes between them.
        if buildah {
            for span in overlay.writes.iter().filter(|span| span.after == nth && span.content) {
                work.pieces.push(daemon_piece(finder, overlay, shape, Some(*span)));
            }
        }
        work.pieces.push(run_piece(finder, overlay, *container, nth, shape));
    }
    if buildah {
        for span in
            overlay.writes.iter().filter(|span| span.after == overlay.containers.len() && span.content)
        {
            work.pieces.push(daemon_piece(finder, overlay, shape, Some(*span)));
        }
    }
}

/// Whether a whole tree in which nothing ran is a layer that the engine registered, and no step: a helper filled it, with
/// what the engine had read in a step's tree upon the same layers before. (Of a store that lets steps share a tree, `built_upon`
/// says that it is below another: such trees are layers too, also those that were there before the build.)
fn is_registered(
    finder: &Finder,
    overlay: &Overlay,
    whole: &Whole,
    built_upon: bool,
    work: &mut Work,
) -> bool {
    if !whole.entered || overlay.binds.iter().any(|bind| *bind != overlay.target) {
        return false;
    }
    let dir = &finder.dirs[whole.dir];
    let of = work.pieces.iter().rposition(|piece| {
        piece.maker == overlay.maker
            && piece.exported.is_some_and(|seq| dir.last_write.is_none_or(|last| seq < last.seq))
            && piece.done.is_some_and(|done| done.seq < overlay.began.seq)
            && !work.taken.contains(&piece.run.upper)
            && same_base(&piece.run.lowers, &overlay.lowers)
            && holds(finder, &piece.run.upper, dir)
    });
    if let Some(of) = of {
        let upper = work.pieces[of].run.upper.clone();
        work.taken.insert(upper);
    }
    of.is_some() || built_upon
}

fn empty_run(overlay: &Overlay) -> StepRun {
    let mut roots = vec![overlay.target.clone()];
    roots.extend(overlay.binds.iter().cloned());
    StepRun {
        id: 0,
        kind: RunKind::Daemon,
        target: Some(overlay.target.clone()),
        roots,
        upper: overlay.upper.clone(),
        work: overlay.work.clone(),
        lowers: overlay.lowers.clone(),
        below: Vec::new(),
        cgroup: None,
        cgroup_id: None,
        mntns: None,
        init: None,
        first_exec: None,
        mounts: Vec::new(),
        exit: None,
        began: overlay.began,
        ended: Some(overlay.last),
        first_seq: overlay.began.seq,
        last_seq: overlay.last.seq,
        shared: false,
        made: Made::Unknown,
        reads_context: Vec::new(),
        reads_runs: Vec::new(),
        evidence: Vec::new(),
        whole: overlay.whole.is_some(),
        compared: overlay.whole.is_some() || !overlay.servers.is_empty(),
        copied_until: overlay.whole.as_ref().and_then(|whole| whole.copied_until),
        setup: Vec::new(),
        setup_began: None,
        part: None,
    }
}

/// When the engine read what a step left. Helpers look into a tree for other ends; to compare it with the one below the engine
/// itself lists it.
fn exported(overlay: &Overlay) -> Option<u64> {
    match overlay.whole {
        Some(_) => overlay.mounted_again,
        None => overlay.exported.first().copied(),
    }
}

fn daemon_piece(finder: &Finder, overlay: &Overlay, shape: Option<Engine>, span: Option<Span>) -> Piece {
    let mut run = empty_run(overlay);
    let copy = Copy {
        maker: overlay.maker,
        direct: &overlay.copied,
        written: &overlay.written,
        began: overlay.began.seq,
        done: overlay.writes.last().map_or(overlay.last.seq, |span| span.last.seq),
    };
    if let Some(span) = overlay.writes.last() {
        run.ended = Some(span.last);
    }
    if let Some(span) = span {
        (run.began, run.ended) = (span.first, Some(span.last));
        (run.first_seq, run.last_seq) = (span.first.seq, span.last.seq);
    }
    Piece {
        done: overlay.writes.last().map(|span| span.last).or(Some(overlay.began)),
        run,
        maker: overlay.maker,
        shape,
        committed: true,
        registering: None,
        copied: copied(finder, &copy),
        sources: overlay.sources.iter().copied().collect(),
        maybe_below: Vec::new(),
        cleared: overlay.removed,
        exported: exported(overlay),
        read_back: overlay.read_back,
        registered: overlay.registered,
        mounted: overlay.mounted.iter().copied().collect(),
        mounts_runs: Vec::new(),
    }
}

fn run_piece(
    finder: &Finder,
    overlay: &Overlay,
    container: usize,
    nth: usize,
    shape: Option<Engine>,
) -> Piece {
    let container = &finder.containers[container];
    let mut run = empty_run(overlay);
    run.kind = RunKind::Run;
    if !run.roots.contains(&container.root) {
        run.roots.push(container.root.clone());
    }
    // Of two that may be it, neither's program, processes and end are told as the step's.
    if !overlay.disputed {
        name_container(&mut run, overlay, container);
    }
    run.setup_began = Some(container.setup_began);
    if shape == Some(Engine::Buildah) {
        // Directories that are made just before belong to it; a copy does not.
        let before = overlay.writes.iter().find(|span| span.after == nth);
        let shared = nth > 0 || before.is_some_and(|span| span.content);
        if shared {
            run.began = container.setup_began;
            run.first_seq = container.setup_began.seq;
        }
    }
    run.ended = container.ended.map(|(at, _)| at);
    run.last_seq = if nth + 1 == overlay.containers.len() && shape != Some(Engine::Buildah) {
        overlay.last.seq
    } else {
        run.ended.map_or(overlay.last.seq, |ended| ended.seq)
    };
    let committed = match (overlay.mounted_again, container.ended) {
        _ if shape != Some(Engine::Classic) => true,
        (Some(again), Some((ended, _))) => again > ended.seq,
        _ => false,
    };
    let registering = match (overlay.mounted_again, container.ended) {
        (Some(again), Some((ended, _))) if shape == Some(Engine::Classic) && again > ended.seq => {
            Some((again, overlay.unmounted))
        }
        _ => None,
    };
    Piece {
        done: run.ended,
        run,
        maker: overlay.maker,
        shape,
        committed,
        registering,
        copied: Vec::new(),
        sources: BTreeSet::new(),
        maybe_below: Vec::new(),
        cleared: overlay.removed,
        exported: exported(overlay),
        read_back: overlay.read_back,
        registered: overlay.registered,
        mounted: overlay.mounted.iter().copied().collect(),
        mounts_runs: Vec::new(),
    }
}

fn name_container(run: &mut StepRun, overlay: &Overlay, container: &Container) {
    run.init = Some(container.init);
    run.mntns = Some(container.mntns).filter(|mntns| *mntns != 0);
    if let Some((id, path)) = &container.cgroup {
        run.cgroup_id = Some(*id);
        run.cgroup = Some(path.clone());
    }
    run.first_exec.clone_from(&container.first_exec);
    run.exit = container.ended.map(|(_, ended)| ended);
    // One that comes later in the same tree may have a namespace of the same number. What is mounted before it begins may
    // be its runtime's work.
    let until = container.ended.map_or(u64::MAX, |(at, _)| at.seq);
    let of_it = |point: &&MountPoint| container.namespaces.contains(&point.mntns) && point.seq < until;
    run.mounts = overlay.mounts.iter().filter(of_it).cloned().collect();
    run.setup.clone_from(&container.setup);
}

/// A directory without an overlay of its own: a context, the first layer of an image without a base, or a layer
/// that the engine registers.
fn dir_piece(finder: &Finder, at: usize, lowers: &HashSet<&[u8]>, work: &mut Work) {
    let dir = &finder.dirs[at];
    if finder.overlay_of(&dir.path).is_some() {
        return;
    }
    if !dir.in_store {
        work.contexts.push(at);
        return;
    }
    // Of a container that was made and never run only its -init layer is seen.
    if dir.unpacked || is_init_layer(&dir.path) || !dir.merged.is_empty() {
        work.layers.push((dir.maker, Layer { dir: dir.path.clone(), of: None }, None));
        return;
    }
    let is_lower = lowers.contains(dir.path.as_slice());
    let containers = finder.makers.get(&dir.maker).is_some_and(|maker| maker.store == Store::Containers);
    if dir.by_helper {
        if containers {
            work.layers.push((dir.maker, Layer { dir: dir.path.clone(), of: None }, Some(at)));
            return;
        }
        // The classic builder writes COPY on nothing straight into a layer, reads it, and registers what it read:
        // the one that has been read before the next was begun is the step.
        let of = work.pieces.iter().rposition(|piece| {
            piece.maker == dir.maker
                // BuildKit unpacks an ADD on nothing into a directory that it has mounted, and registers none anew.
                && (piece.shape != Some(Engine::BuildKit) || dir.binds.is_empty())
                && piece.exported.is_some_and(|seq| dir.last_write.is_some_and(|last| seq < last.seq))
                && piece.done.is_some_and(|done| done.seq < dir.began.seq)
                && !work.layers.iter().any(|(_, layer, _)| {
                    layer.of.is_some_and(|of| work.pieces[of as usize].run.upper == piece.run.upper)
                })
        });
        if let Some(of) = of {
            let of = u32::try_from(of).ok();
            work.layers.push((dir.maker, Layer { dir: dir.path.clone(), of }, Some(at)));
            return;
        }
    } else if !is_lower && is_context(dir) {
        work.contexts.push(at);
        return;
    }
    if dir.first_write.is_none() && !is_lower {
        return;
    }
    work.pieces.push(layer_piece(finder, dir));
}

/// Whether a directory that no step stands on holds what a client sent: one read it at that time (whose events a filtered
/// log may lack), it was filled as such are, or it was mounted to be copied from and its files came from nowhere else (as
/// those of a COPY --link do).
fn is_context(dir: &Dir) -> bool {
    !dir.votes.is_empty() || dir.received || !dir.binds.is_empty() && dir.sources.is_empty()
}

fn layer_piece(finder: &Finder, dir: &Dir) -> Piece {
    let copy = Copy {
        maker: dir.maker,
        direct: &dir.copied,
        written: &dir.written,
        began: dir.began.seq,
        done: dir.last_write.unwrap_or(dir.began).seq,
    };
    let run = StepRun {
        id: 0,
        kind: RunKind::Daemon,
        target: None,
        roots: dir.binds.clone(),
        upper: dir.path.clone(),
        work: None,
        lowers: Vec::new(),
        below: Vec::new(),
        cgroup: None,
        cgroup_id: None,
        mntns: None,
        init: None,
        first_exec: None,
        mounts: Vec::new(),
        exit: None,
        began: dir.began,
        ended: dir.last_write,
        first_seq: dir.began.seq,
        last_seq: dir.last_write.unwrap_or(dir.began).seq,
        shared: false,
        made: Made::Unknown,
        reads_context: Vec::new(),
        reads_runs: Vec::new(),
        evidence: Vec::new(),
        whole: is_whole(&dir.path),
        compared: is_whole(&dir.path),
        copied_until: None,
        setup: Vec::new(),
        setup_began: None,
        part: None,
    };
    Piece {
        done: dir.last_write.or(Some(dir.began)),
        run,
        maker: dir.maker,
        shape: None,
        committed: true,
        registering: None,
        copied: copied(finder, &copy),
        sources: dir.sources.iter().copied().collect(),
        maybe_below: Vec::new(),
        cleared: None,
        exported: dir.exported.first().copied(),
        read_back: dir.read_back,
        registered: None,
        mounted: BTreeSet::new(),
        mounts_runs: Vec::new(),
    }
}

/// Sizes of the context files that were copied, with the context. BuildKit's thread reads a file and then writes
/// it; the classic builder reads, and a helper of it writes what has the same name and size.
fn copied(finder: &Finder, copy: &Copy<'_>) -> Vec<(usize, u64)> {
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

/// What is known of a step that copies.
struct Copy<'f> {
    maker: ProcessKey,
    direct: &'f [(usize, Vec<u8>)],
    written: &'f [(Vec<u8>, u64)],
    began: u64,
    done: u64,
}

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
        for lower in work.pieces[at].run.lowers.iter().filter(|lower| !work.maybe.contains_key(*lower)) {
            for under in results(finder, work, lower).into_iter().filter(|under| *under != at) {
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
                for from in results(finder, work, dir).into_iter().filter(|from| *from != at) {
                    if !runs.contains(&work.pieces[from].run.id) {
                        runs.push(work.pieces[from].run.id);
                    }
                }
            }
        }
        let mounts_runs: Vec<usize> = work.pieces[at]
            .mounted
            .iter()
            .filter_map(|source| work.result.get(directory_of(finder, *source)).copied())
            .filter(|from| *from < at)
            .collect();
        work.pieces[at].mounts_runs = mounts_runs;
        for (context, _) in &work.pieces[at].copied {
            let dir = &finder.dirs[*context].path;
            if work.contexts.contains(context) && !contexts.contains(dir) {
                contexts.push(dir.clone());
            }
        }
        let lowers = &work.pieces[at].run.lowers;
        let maybe: Vec<usize> = lowers
            .iter()
            .filter_map(|lower| work.maybe.get(lower))
            .flatten()
            .copied()
            .filter(|other| *other < at)
            .collect();
        work.pieces[at].maybe_below = maybe;
        let run = &mut work.pieces[at].run;
        (run.below, run.reads_context, run.reads_runs) = (below, contexts, runs);
    }
}

/// The steps whose results a directory holds, the topmost first: one, but where the engine has put several together.
fn results(finder: &Finder, work: &Work, dir: &[u8]) -> Vec<usize> {
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

/// Which step's result each registered layer holds: the engine read the step's changes before it wrote the layer.
/// BuildKit's layers are its steps' own directories: what is written anew beside them is another's (`docker commit`).
fn register(finder: &Finder, work: &mut Work) {
    let mut taken = HashSet::new();
    let mut maybe: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let mut layers = std::mem::take(&mut work.layers);
    for (maker, layer, dir) in &mut layers {
        layer.of = None;
        let Some(dir) = dir.map(|at| &finder.dirs[at]) else { continue };
        let written = dir.last_write.unwrap_or(dir.began).seq;
        let lowers = lowers_above(finder, &dir.path);
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
                    && lowers.as_ref().is_none_or(|lowers| same_base(&piece.run.lowers, lowers))
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
            work.result.insert(dir.path.clone(), at);
        }
    }
    twins(finder, work, &layers, &mut maybe);
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
fn holds(finder: &Finder, upper: &[u8], layer: &Dir) -> bool {
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
fn lowers_above(finder: &Finder, layer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let own = finder.overlay_of(layer).map(|overlay| &finder.overlays[overlay]);
    if let Some(own) = own.filter(|overlay| overlay.whole.is_some()) {
        return Some(own.lowers.clone());
    }
    finder.overlays.iter().find_map(|overlay| {
        let lowers = without_init(&overlay.lowers);
        (lowers.first().map(Vec::as_slice) == Some(layer)).then(|| lowers[1..].to_vec())
    })
}

fn without_init(lowers: &[Vec<u8>]) -> &[Vec<u8>] {
    match lowers.split_first() {
        Some((first, rest)) if is_init_layer(first) => rest,
        _ => lowers,
    }
}

/// Whether a step stood on these layers. buildah puts an empty directory below a step without a base.
fn same_base(of_step: &[Vec<u8>], lowers: &[Vec<u8>]) -> bool {
    let of_step = without_init(of_step);
    let real = |lower: &&Vec<u8>| crate::path::base(lower) != b"empty";
    of_step.iter().filter(real).eq(lowers.iter().filter(real))
}
