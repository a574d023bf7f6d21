//! Whose step is it: gives the steps of each engine to the clients that can have asked for them.
//!
//! A client can have asked for a step only while it was connected, after what it sent had arrived, of an engine of
//! its kind; and only for a chain of steps that copies nothing but what its own context holds. A chain that one
//! client alone can have asked for is that client's; what still fits two is in both, and marked `shared`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::build::{
    Build, Builds, Context, Engine, Evidence, Layer, Moment, ProcessKey, RunKind, StepRun,
};
use crate::context::{Client, says_build};
use crate::finder::{Dir, Finder, Overlay, Source, Span, Store, is_init_layer};

/// Steps that may be the one that left a layer.
const MAYBE_MAX: usize = 8;

/// A step that may be several clients'.
struct Piece {
    run: StepRun,
    maker: ProcessKey,
    shape: Option<Engine>,
    /// A container whose changes the engine read after it had ended, or none at all.
    committed: bool,
    /// Sizes of the files that were copied from contexts, with the context's index.
    copied: Vec<(usize, u64)>,
    sources: BTreeSet<Source>,
    /// Steps of which one or the other is below it.
    maybe_below: Vec<usize>,
    exported: Option<u64>,
    /// When what it did was done.
    done: Option<Moment>,
}

/// Everything of one log, ready to be given out.
struct Work {
    pieces: Vec<Piece>,
    /// Which piece's result a directory holds.
    result: HashMap<Vec<u8>, usize>,
    layers: Vec<(ProcessKey, Layer, Option<usize>)>,
    contexts: Vec<usize>,
    /// Helpers by the directory they worked in.
    helpers: HashMap<Vec<u8>, Vec<ProcessKey>>,
    former: HashMap<Vec<u8>, Vec<u8>>,
    /// Steps of which one or the other has left a layer.
    maybe: HashMap<Vec<u8>, Vec<usize>>,
}

pub(crate) fn assign(finder: Finder) -> Builds {
    let mut work = pieces(&finder);
    link(&finder, &mut work);
    work.helpers = helpers(&finder);
    work.former = former_names(&finder);
    let of_command = finder.command;
    let Finder { dirs, makers, clients, shared, .. } = finder;
    let clients = clients.into_sorted();
    let mut builds = Vec::new();
    let mut orphans = 0;
    let mut made: Vec<_> = makers.iter().collect();
    made.sort_by_key(|(key, maker)| (maker.began, **key));
    for (&key, maker) in made {
        if maker.provisional {
            continue;
        }
        if maker.store == Store::Containers {
            builds.extend(own_build(key, maker, &work, &dirs));
            continue;
        }
        let found = of_daemon(key, maker, &work, &dirs, &clients);
        orphans += found.1;
        builds.extend(found.0);
    }
    builds.sort_by_key(|(build, _)| (build.began, build.client));
    let by_command: Vec<u32> = (1..)
        .zip(&builds)
        .filter(|(_, (_, of_command))| *of_command)
        .map(|(number, _)| number)
        .collect();
    let of_one =
        (by_command.len() == 1 && of_command.is_some()).then(|| by_command.first().copied()).flatten();
    let builds = (1..)
        .zip(builds)
        .map(|(number, (mut build, _))| {
            build.number = number;
            for run in build.runs.iter_mut().filter(|run| shared.contains(&run.first_seq)) {
                run.shared = true;
                run.evidence.retain(|evidence| *evidence != Evidence::OnlyClient);
                run.evidence.push(Evidence::Several);
                run.evidence.dedup();
            }
            build
        })
        .collect();
    Builds { builds, orphans, of_command: of_one }
}

// ---- steps

/// The steps that left traces, whoever asked for them.
fn pieces(finder: &Finder) -> Work {
    let mut work = Work {
        pieces: Vec::new(),
        result: HashMap::new(),
        layers: Vec::new(),
        contexts: Vec::new(),
        helpers: HashMap::new(),
        former: HashMap::new(),
        maybe: HashMap::new(),
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
    if is_init_layer(&overlay.upper) {
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
        if overlay.writes.is_empty() && !lowers.contains(overlay.upper.as_slice()) {
            return;
        }
        work.pieces.push(daemon_piece(finder, overlay, shape, None));
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
        reads_context: Vec::new(),
        reads_runs: Vec::new(),
        evidence: Vec::new(),
        setup: Vec::new(),
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
        copied: copied(finder, &copy),
        sources: overlay.sources.iter().copied().collect(),
        maybe_below: Vec::new(),
        exported: overlay.exported.first().copied(),
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
    run.init = Some(container.init);
    run.mntns = Some(container.mntns).filter(|mntns| *mntns != 0);
    if let Some((id, path)) = &container.cgroup {
        run.cgroup_id = Some(*id);
        run.cgroup = Some(path.clone());
    }
    run.first_exec.clone_from(&container.first_exec);
    run.exit = container.ended.map(|(_, ended)| ended);
    run.mounts = overlay
        .mounts
        .iter()
        .filter(|(mntns, _)| *mntns == container.mntns)
        .map(|(_, point)| point.clone())
        .collect();
    run.setup.clone_from(&container.setup);
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
    Piece {
        done: run.ended,
        run,
        maker: overlay.maker,
        shape,
        committed,
        copied: Vec::new(),
        sources: BTreeSet::new(),
        maybe_below: Vec::new(),
        exported: overlay.exported.first().copied(),
    }
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
    } else if !is_lower && (!dir.votes.is_empty() || !dir.binds.is_empty()) {
        work.contexts.push(at);
        return;
    }
    if dir.first_write.is_none() && !is_lower {
        return;
    }
    work.pieces.push(layer_piece(finder, dir));
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
        reads_context: Vec::new(),
        reads_runs: Vec::new(),
        evidence: Vec::new(),
        setup: Vec::new(),
    };
    Piece {
        done: dir.last_write.or(Some(dir.began)),
        run,
        maker: dir.maker,
        shape: None,
        committed: true,
        copied: copied(finder, &copy),
        sources: dir.sources.iter().copied().collect(),
        maybe_below: Vec::new(),
        exported: dir.exported.first().copied(),
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
                    copy.written.iter().any(|(wrote, bytes)| wrote == name && bytes == size)
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
fn link(finder: &Finder, work: &mut Work) {
    // Sorting has renumbered the pieces: what `layers` said of them is found again by their order of export.
    register(finder, work);
    for at in 0..work.pieces.len() {
        let mut below = Vec::new();
        for lower in &work.pieces[at].run.lowers {
            if let Some(&under) = work.result.get(lower)
                && under != at
                && !below.contains(&work.pieces[under].run.id)
            {
                below.push(work.pieces[under].run.id);
            }
        }
        // Earlier runs in the same upper directory.
        for earlier in (0..at).rev() {
            if work.pieces[earlier].run.upper == work.pieces[at].run.upper {
                below.insert(0, work.pieces[earlier].run.id);
            }
        }
        let mut contexts = Vec::new();
        let mut runs = Vec::new();
        for source in &work.pieces[at].sources {
            let dir = match source {
                Source::Dir(dir) => &finder.dirs[*dir].path,
                Source::Overlay(overlay) => &finder.overlays[*overlay].upper,
            };
            if let Source::Dir(index) = source
                && work.contexts.contains(index)
            {
                contexts.push(dir.clone());
            } else if let Some(&from) = work.result.get(dir)
                && from != at
                && !runs.contains(&work.pieces[from].run.id)
            {
                runs.push(work.pieces[from].run.id);
            }
        }
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

/// Which step's result each registered layer holds: the engine read the step's changes before it wrote the layer.
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
                    && piece.exported.is_some_and(|seq| seq < written)
                    && piece.done.is_some_and(|done| done.seq < dir.began.seq)
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
            layer.of = Some(work.pieces[at].run.id);
            work.result.insert(dir.path.clone(), at);
        }
    }
    // What a container's own -init layer belongs to.
    for (_, layer, dir) in &mut layers {
        if dir.is_none() {
            let of = work.pieces.iter().find(|piece| piece.run.lowers.first() == Some(&layer.dir));
            layer.of = of.map(|piece| piece.run.id);
        }
    }
    (work.layers, work.maybe) = (layers, maybe);
}

/// Of several steps those from which the engine read all that it then wrote into the layer, by name and size.
fn same_files(finder: &Finder, work: &Work, dir: &Dir, fits: Vec<usize>) -> Vec<usize> {
    if fits.len() < 2 || dir.written.is_empty() {
        return fits;
    }
    let read = |at: &usize| {
        let upper = &work.pieces[*at].run.upper;
        let overlay = finder.overlay_of(upper).map(|overlay| &finder.overlays[overlay].export_names);
        let reads = finder.dirs.iter().find(|other| other.path == *upper).map(|other| &other.reads);
        dir.written.iter().all(|(name, size)| {
            overlay
                .is_some_and(|names| names.iter().any(|(known, bytes)| known == name && bytes == size))
                || reads.is_some_and(|reads| {
                    reads
                        .iter()
                        .any(|(_, known, bytes)| crate::path::base(known) == name && bytes == size)
                })
        })
    };
    let same: Vec<usize> = fits.iter().copied().filter(read).collect();
    let same = if same.is_empty() { fits } else { same };
    // One whose tree was mounted again when it had ended, which is done to read it, before one whose was not.
    let sure: Vec<usize> = same.iter().copied().filter(|at| work.pieces[*at].committed).collect();
    if sure.is_empty() { same } else { sure }
}

/// The lowers that a later overlay has below this layer.
fn lowers_above(finder: &Finder, layer: &[u8]) -> Option<Vec<Vec<u8>>> {
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

fn helpers(finder: &Finder) -> HashMap<Vec<u8>, Vec<ProcessKey>> {
    let overlays = finder.overlays.iter().map(|overlay| (&overlay.upper, &overlay.helpers));
    let dirs = finder.dirs.iter().map(|dir| (&dir.path, &dir.helpers));
    let mut helpers: HashMap<Vec<u8>, Vec<ProcessKey>> = HashMap::new();
    for (path, of) in overlays.chain(dirs).filter(|(_, of)| !of.is_empty()) {
        helpers.entry(path.clone()).or_default().extend(of);
    }
    helpers
}

fn former_names(finder: &Finder) -> HashMap<Vec<u8>, Vec<u8>> {
    finder.dirs.iter().filter_map(|dir| Some((dir.path.clone(), dir.former.clone()?))).collect()
}

/// What else a build's membership is known by: the helpers that worked in its directories, and former names.
fn complete(build: &mut Build, work: &Work) {
    let runs = build.runs.iter().map(|run| (&run.upper, Some(run.id)));
    let layers = build.layers.iter().map(|layer| (&layer.dir, layer.of));
    let contexts = build.contexts.iter().map(|context| (&context.dir, None));
    let (mut helpers, mut former) = (Vec::new(), Vec::new());
    for (dir, run) in runs.chain(layers).chain(contexts) {
        helpers.extend(work.helpers.get(dir).into_iter().flatten().map(|helper| (*helper, run)));
        former.extend(work.former.get(dir).map(|name| (name.clone(), run)));
    }
    (build.helpers, build.former_names) = (helpers, former);
}

// ---- buildah and podman

/// The build of a client that makes its own mounts.
fn own_build(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    work: &Work,
    dirs: &[Dir],
) -> Option<(Build, bool)> {
    let runs: Vec<StepRun> = work
        .pieces
        .iter()
        .filter(|piece| piece.maker == key)
        .map(|piece| {
            let mut run = piece.run.clone();
            run.evidence = vec![Evidence::Itself];
            run
        })
        .collect();
    let layers: Vec<Layer> =
        work.layers.iter().filter(|(of, ..)| *of == key).map(|(_, layer, _)| layer.clone()).collect();
    // `podman run` mounts and starts a container too; a build says so, or registers what it made.
    if runs.is_empty() || !(says_build(&maker.argv) || layers.iter().any(|layer| layer.of.is_some())) {
        return None;
    }
    let (client, began) = maker.outer.last().copied().unwrap_or((key, maker.began));
    let mut engine_pids = vec![key];
    engine_pids.extend(maker.outer.iter().map(|(outer, _)| *outer));
    let build = Build {
        number: 0,
        engine: Engine::Buildah,
        engine_process: key,
        client,
        argv: maker.argv.clone(),
        cwd: maker.cwd.clone(),
        uid: maker.uid,
        began,
        ended: maker.ended.map(|(at, _)| at),
        exit: maker.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(work.contexts.iter().filter(|at| dirs[**at].maker == key), dirs, None),
        layers,
        engine_pids,
        helpers: Vec::new(),
        former_names: Vec::new(),
    };
    let mut build = build;
    complete(&mut build, work);
    Some((build, maker.of_command))
}

fn contexts<'a>(
    of: impl Iterator<Item = &'a usize>,
    dirs: &[Dir],
    client: Option<ProcessKey>,
) -> Vec<Context> {
    of.map(|&at| {
        let dir = &dirs[at];
        Context {
            dir: dir.path.clone(),
            binds: dir.binds.clone(),
            files: dir.file_count,
            matched: client.and_then(|client| dir.votes.get(&client)).copied().unwrap_or(0),
            first_seq: dir.began.seq,
            last_seq: dir.last_write.unwrap_or(dir.began).seq,
        }
    })
    .collect()
}

// ---- daemons

/// A client that asked this engine for a build.
struct Asker<'c> {
    client: &'c Client,
    /// Contexts that are its, and no one else's.
    contexts: Vec<usize>,
    kind: Option<Engine>,
    /// When the first of what it sent had arrived.
    ready: u64,
}

impl Asker<'_> {
    fn there(&self, seq: u64) -> bool {
        self.client.connected.seq < seq && self.client.ended.is_none_or(|(ended, _)| seq < ended.seq)
    }

    fn succeeded(&self) -> bool {
        self.client.ended.is_some_and(|(_, ended)| ended.code == Some(0))
    }
}

fn of_daemon(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    work: &Work,
    dirs: &[Dir],
    clients: &[Client],
) -> (Vec<(Build, bool)>, u32) {
    let mine: Vec<usize> = (0..work.pieces.len()).filter(|at| work.pieces[*at].maker == key).collect();
    let my_contexts: Vec<usize> =
        work.contexts.iter().copied().filter(|at| dirs[*at].maker == key).collect();
    let allowed: Vec<&Client> =
        clients.iter().filter(|client| maker.uid == 0 || maker.uid == client.uid).collect();
    let askers = askers(key, maker, &mine, &my_contexts, work, dirs, &allowed);
    let leaves = Leaves::of(&mine, work);
    let mut fits: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &at in &mine {
        let can = (0..askers.len())
            .filter(|asker| can_ask(&askers[*asker], at, work, dirs, &askers))
            .collect();
        fits.insert(at, can);
    }
    for &at in &mine {
        if foreign_container(at, work, &askers, &fits, &allowed) {
            fits.insert(at, Vec::new());
        }
    }
    let eliminated = eliminate(&leaves, &mut fits, &askers, work);
    let eliminated: HashSet<usize> =
        eliminated.iter().flat_map(|leaf| &leaves.chains[leaf]).copied().collect();
    let mut owners: BTreeMap<usize, BTreeSet<usize>> =
        mine.iter().map(|at| (*at, BTreeSet::new())).collect();
    for (&leaf, chain) in &leaves.chains {
        for &asker in &fits[&leaf] {
            for &at in chain {
                // What was there before the client is in its cache, not in its build.
                if askers[asker].there(work.pieces[at].run.began.seq) && can_be(&fits, at, asker) {
                    owners.entry(at).or_default().insert(asker);
                }
            }
        }
    }
    let orphans = mine
        .iter()
        .filter(|at| work.pieces[**at].run.kind == RunKind::Run && owners[*at].is_empty())
        .count();
    let builds = (0..askers.len())
        .filter_map(|asker| daemon_build(key, asker, &askers, &owners, &eliminated, work, dirs))
        .collect();
    (builds, u32::try_from(orphans).unwrap_or(u32::MAX))
}

fn can_be(fits: &BTreeMap<usize, Vec<usize>>, at: usize, asker: usize) -> bool {
    fits.get(&at).is_some_and(|can| can.contains(&asker))
}

/// Who asked this engine for builds.
fn askers<'c>(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    mine: &[usize],
    contexts: &[usize],
    work: &Work,
    dirs: &[Dir],
    clients: &[&'c Client],
) -> Vec<Asker<'c>> {
    // Whose context it is: of those that read its files when the engine wrote them, who read the most of them.
    let mut sent: HashMap<ProcessKey, Vec<usize>> = HashMap::new();
    let mut voted: HashSet<ProcessKey> = HashSet::new();
    for &at in contexts {
        let most = dirs[at].votes.values().copied().max().unwrap_or(0);
        let best: Vec<ProcessKey> = dirs[at]
            .votes
            .iter()
            .filter(|(_, votes)| **votes == most)
            .map(|(client, _)| *client)
            .collect();
        voted.extend(&best);
        if let [only] = best.as_slice() {
            sent.entry(*only).or_default().push(at);
        }
    }
    let elsewhere: HashSet<ProcessKey> = dirs
        .iter()
        .filter(|dir| dir.maker != key)
        .flat_map(|dir| dir.votes.keys().copied())
        .filter(|client| !voted.contains(client))
        .collect();
    // Sockets at which clients are known to have reached this engine.
    let sockets: HashSet<&[u8]> = clients
        .iter()
        .filter(|client| voted.contains(&client.key))
        .flat_map(|client| client.sockets.iter().map(Vec::as_slice))
        .collect();
    let listens = |socket: &[u8]| {
        maker.argv.iter().any(|word| {
            let word = word.strip_prefix(b"--host=").unwrap_or(word);
            word.strip_prefix(b"unix://") == Some(socket)
        })
    };
    let says_where = maker
        .argv
        .iter()
        .any(|word| word.starts_with(b"unix://") || word.starts_with(b"--host=unix://"));
    let reached = |client: &Client| {
        client.is_ghost()
            || client.sockets.iter().any(|socket| {
                sockets.contains(socket.as_slice()) || if says_where { listens(socket) } else { true }
            })
    };
    let mut activity: Vec<u64> = mine.iter().map(|at| work.pieces[*at].run.began.seq).collect();
    activity.extend(dirs.iter().filter(|dir| dir.maker == key).map(|dir| dir.began.seq));
    activity.extend(&maker.seen);
    activity.sort_unstable();
    let mut found: Vec<Asker<'c>> = Vec::new();
    for client in clients {
        let has_sent = voted.contains(&client.key);
        let asks = client.asks_for_build() && !elsewhere.contains(&client.key) && reached(client);
        let from = activity.partition_point(|seq| *seq <= client.connected.seq);
        let during =
            activity.get(from).is_some_and(|seq| client.ended.is_none_or(|(ended, _)| *seq < ended.seq));
        if !(has_sent || asks) || !during {
            continue;
        }
        let contexts = sent.remove(&client.key).unwrap_or_default();
        let kind = contexts
            .first()
            .map(|at| if dirs[*at].in_store { Engine::BuildKit } else { Engine::Classic });
        let ready = contexts
            .iter()
            .map(|at| dirs[*at].last_write.unwrap_or(dirs[*at].began).seq)
            .min()
            .unwrap_or(client.connected.seq);
        found.push(Asker { client, contexts, kind, ready });
    }
    merge_plugins(found)
}

/// `docker build` may start `docker buildx`, and both connect: the outer one is the client.
fn merge_plugins(mut found: Vec<Asker<'_>>) -> Vec<Asker<'_>> {
    let mut at = 0;
    while at < found.len() {
        let parent = found[at].client.parent;
        let outer = found.iter().position(|other| {
            Some(other.client.key) == parent
                && other.client.asks_for_build()
                && other.client.uid == found[at].client.uid
                && other.client.connected < found[at].client.connected
        });
        match outer {
            Some(outer) => {
                let inner = found.remove(at);
                let outer = if outer > at { outer - 1 } else { outer };
                let into = &mut found[outer];
                into.ready =
                    if into.contexts.is_empty() { inner.ready } else { into.ready.min(inner.ready) };
                into.contexts.extend(inner.contexts);
                into.kind = into.kind.or(inner.kind);
            }
            None => at += 1,
        }
    }
    found
}

/// Whether this client can have asked for this step.
fn can_ask(asker: &Asker<'_>, at: usize, work: &Work, dirs: &[Dir], askers: &[Asker<'_>]) -> bool {
    let piece = &work.pieces[at];
    if !asker.there(piece.run.began.seq) || piece.run.began.seq < asker.ready {
        return false;
    }
    if let (Some(kind), Some(shape)) = (asker.kind, piece.shape)
        && kind != shape
    {
        return false;
    }
    // A client that succeeded has seen its steps through.
    if asker.succeeded()
        && let (Some((ended, _)), Some(done)) = (asker.client.ended, piece.done)
        && done.seq > ended.seq
    {
        return false;
    }
    if asker.contexts.is_empty() {
        return true;
    }
    // What the chain copied from another's context this one must have sent as well, and before.
    let chain = std::iter::once(at).chain(piece.run.below.iter().map(|id| *id as usize));
    for step in chain {
        for &(context, size) in &work.pieces[step].copied {
            if asker.contexts.contains(&context) {
                continue;
            }
            let of_other = askers.iter().any(|other| other.contexts.contains(&context));
            if !of_other {
                continue;
            }
            let too = asker.contexts.iter().any(|own| {
                let dir = &dirs[*own];
                let arrived = dir.last_write.is_some_and(|last| last.seq < piece.run.began.seq);
                (arrived || step == at) && dir.files.values().any(|file| file.size == size)
            });
            if !too {
                return false;
            }
        }
    }
    true
}

/// A container that some other client ran at the same engine (`docker run`): the classic builder's look the same,
/// but the builder reads what a container changed once it has ended.
fn foreign_container(
    at: usize,
    work: &Work,
    askers: &[Asker<'_>],
    fits: &BTreeMap<usize, Vec<usize>>,
    clients: &[&Client],
) -> bool {
    let piece = &work.pieces[at];
    if piece.run.kind != RunKind::Run || piece.shape != Some(Engine::Classic) || piece.committed {
        return false;
    }
    let seq = piece.run.began.seq;
    let sockets: HashSet<&Vec<u8>> = askers.iter().flat_map(|asker| &asker.client.sockets).collect();
    let others = clients.iter().any(|client| {
        client.connected.seq < seq
            && client.sockets.iter().any(|socket| sockets.contains(socket))
            && client.ended.is_none_or(|(ended, _)| seq < ended.seq)
            && !client.asks_for_build()
            && !askers.iter().any(|asker| asker.client.key == client.key)
    });
    // The last step of a build that failed is not read either.
    let may_have_failed = fits[&at].iter().any(|asker| !askers[*asker].succeeded());
    others && !may_have_failed
}

/// The ends of the chains, each with all steps below it.
struct Leaves {
    chains: BTreeMap<usize, Vec<usize>>,
}

impl Leaves {
    fn of(mine: &[usize], work: &Work) -> Self {
        let below = |at: usize| {
            let run = &work.pieces[at].run;
            let known = run.below.iter().chain(&run.reads_runs).map(|id| *id as usize);
            known.chain(work.pieces[at].maybe_below.iter().copied())
        };
        let used: HashSet<usize> = mine.iter().flat_map(|at| below(*at)).collect();
        let mut chains = BTreeMap::new();
        for &at in mine {
            if used.contains(&at) {
                continue;
            }
            let mut seen = BTreeSet::new();
            let mut open = vec![at];
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(below(next));
                }
            }
            chains.insert(at, seen.into_iter().collect());
        }
        Leaves { chains }
    }

    /// For each chain the clients whose contexts were copied in it, and in no other chain.
    fn certain(&self, askers: &[Asker<'_>], work: &Work) -> BTreeMap<usize, HashSet<usize>> {
        let mut count: HashMap<usize, usize> = HashMap::new();
        for step in self.chains.values().flatten() {
            *count.entry(*step).or_default() += 1;
        }
        let of_chain = |chain: &[usize]| {
            let own = chain.iter().filter(|step| count[*step] == 1);
            let contexts: HashSet<usize> = own
                .flat_map(|step| work.pieces[*step].copied.iter().map(|(context, _)| *context))
                .collect();
            let sent = |asker: &usize| askers[*asker].contexts.iter().any(|at| contexts.contains(at));
            (0..askers.len()).filter(sent).collect::<HashSet<usize>>()
        };
        let all = self.chains.iter().map(|(leaf, chain)| (*leaf, of_chain(chain)));
        all.filter(|(_, sure)| !sure.is_empty()).collect()
    }
}

/// Where several clients fit a chain, leaves it to those that have no other.
///
/// A client whose context was copied within a chain (and in no other chain) has that chain. An engine makes one chain
/// for a client, with all that it needs below its end; so a chain that fits clients of which all but some have a chain
/// already is of those. Returns the ends of chains that were decided so.
fn eliminate(
    leaves: &Leaves,
    fits: &mut BTreeMap<usize, Vec<usize>>,
    askers: &[Asker<'_>],
    work: &Work,
) -> HashSet<usize> {
    let certain = leaves.certain(askers, work);
    let mut decided = HashSet::new();
    loop {
        // A copy alone may be the beginning of a chain of which the rest could not be linked to it.
        let ran = |leaf: &&usize| {
            leaves.chains[*leaf].iter().any(|step| work.pieces[*step].run.kind == RunKind::Run)
        };
        let settled: HashSet<usize> = leaves
            .chains
            .keys()
            .filter(ran)
            .flat_map(|leaf| match (fits[leaf].as_slice(), certain.get(leaf)) {
                ([only], _) => vec![*only],
                (_, Some(sure)) => sure.iter().copied().collect(),
                _ => Vec::new(),
            })
            .collect();
        let mut changed = None;
        for leaf in leaves.chains.keys() {
            let can = &fits[leaf];
            if can.len() < 2 {
                continue;
            }
            let sure = certain.get(leaf);
            let keep = |asker: &usize| {
                sure.is_some_and(|sure| sure.contains(asker))
                    || (!settled.contains(asker)
                        && (sure.is_none() || !askers[*asker].client.is_ghost()))
            };
            let kept: Vec<usize> = can.iter().copied().filter(keep).collect();
            if !kept.is_empty() && kept.len() < can.len() {
                changed = Some((*leaf, kept));
                break;
            }
        }
        let Some((leaf, kept)) = changed else { return decided };
        fits.insert(leaf, kept);
        decided.insert(leaf);
    }
}

fn daemon_build(
    key: ProcessKey,
    asker: usize,
    askers: &[Asker<'_>],
    owners: &BTreeMap<usize, BTreeSet<usize>>,
    eliminated: &HashSet<usize>,
    work: &Work,
    dirs: &[Dir],
) -> Option<(Build, bool)> {
    let Asker { client, contexts: own_contexts, kind, .. } = &askers[asker];
    if client.is_ghost() && own_contexts.is_empty() {
        return None;
    }
    let mut runs = Vec::new();
    let mut shapes = Vec::new();
    for (at, owned) in owners.iter().filter(|(_, owned)| owned.contains(&asker)) {
        let piece = &work.pieces[*at];
        let mut run = piece.run.clone();
        run.shared = owned.len() > 1;
        run.evidence = evidence(*at, piece, asker, askers, owned, eliminated);
        shapes.extend(piece.shape);
        runs.push(run);
    }
    let ids: HashSet<u32> = runs.iter().map(|run| run.id).collect();
    let layers = work
        .layers
        .iter()
        .filter(|(of, layer, _)| *of == key && layer.of.is_some_and(|of| ids.contains(&of)))
        .map(|(_, layer, _)| layer.clone())
        .collect();
    let engine = kind.or_else(|| shapes.first().copied()).unwrap_or(Engine::BuildKit);
    // A shared copy may have read another's context.
    let read: HashSet<&Vec<u8>> = runs.iter().flat_map(|run| &run.reads_context).collect();
    let all_contexts: BTreeSet<usize> = own_contexts
        .iter()
        .copied()
        .chain(work.contexts.iter().copied().filter(|at| read.contains(&dirs[*at].path)))
        .collect();
    let build = Build {
        number: 0,
        engine,
        engine_process: key,
        client: client.key,
        argv: client.argv.clone(),
        cwd: client.cwd.clone(),
        uid: client.uid,
        began: client.began,
        ended: client.ended.map(|(at, _)| at),
        exit: client.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(all_contexts.iter(), dirs, Some(client.key)),
        layers,
        engine_pids: vec![key],
        helpers: Vec::new(),
        former_names: Vec::new(),
    };
    let mut build = build;
    complete(&mut build, work);
    Some((build, client.of_command))
}

fn evidence(
    at: usize,
    piece: &Piece,
    asker: usize,
    askers: &[Asker<'_>],
    owned: &BTreeSet<usize>,
    eliminated: &HashSet<usize>,
) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    if piece.copied.iter().any(|(context, _)| askers[asker].contexts.contains(context)) {
        evidence.push(Evidence::Context);
    }
    let seq = piece.run.began.seq;
    if owned.len() > 1 {
        evidence.push(Evidence::Several);
    } else if askers.iter().filter(|other| other.there(seq)).count() == 1 {
        evidence.push(Evidence::OnlyClient);
    } else if eliminated.contains(&at) {
        evidence.push(Evidence::Elimination);
    }
    if !piece.run.below.is_empty() {
        evidence.push(Evidence::Chain);
    }
    evidence
}
