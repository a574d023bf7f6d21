//! The steps of an overlay: what ran in its tree, and what the engine did there itself.

use std::collections::{BTreeSet, HashSet};

use super::copied::{Copy, copied};
use super::register::{holds, same_base};
use super::{Piece, Work};
use crate::build::{Engine, Layer, Made, MountPoint, RunKind, StepRun};
use crate::finder::Finder;
use crate::traces::{Container, Overlay, Span, Store, Whole, is_init_layer};

pub(super) fn overlay_pieces(finder: &Finder, at: usize, lowers: &HashSet<&[u8]>, work: &mut Work) {
    let overlay = &finder.overlays[at];
    if overlay.unpacked || is_init_layer(&overlay.upper) {
        work.layers.push((
            overlay.maker,
            Layer { dir: overlay.upper.clone(), of: None, tree: None },
            None,
        ));
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
        if let Some(dir) = finder.registered_in(overlay) {
            let tree = Some(overlay.target.clone());
            let layer = Layer { dir: overlay.upper.clone(), of: None, tree };
            work.layers.push((overlay.maker, layer, Some(dir)));
            return;
        }
        if let Some(whole) = &overlay.whole
            && is_registered(
                finder,
                overlay,
                whole,
                buildah && lowers.contains(overlay.upper.as_slice()),
                work,
            )
        {
            let layer = Layer { dir: overlay.upper.clone(), of: None, tree: None };
            work.layers.push((overlay.maker, layer, Some(whole.dir)));
            return;
        }
        if overlay.writes.is_empty() && !lowers.contains(overlay.upper.as_slice()) {
            return;
        }
        let mut piece = daemon_piece(finder, overlay, shape, None, work);
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
                let piece = daemon_piece(finder, overlay, shape, Some(*span), work);
                work.pieces.push(piece);
            }
        }
        work.pieces.push(run_piece(finder, overlay, *container, nth, shape));
    }
    if buildah {
        for span in
            overlay.writes.iter().filter(|span| span.after == overlay.containers.len() && span.content)
        {
            let piece = daemon_piece(finder, overlay, shape, Some(*span), work);
            work.pieces.push(piece);
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
        copied_older: Vec::new(),
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

fn daemon_piece(
    finder: &Finder,
    overlay: &Overlay,
    shape: Option<Engine>,
    span: Option<Span>,
    work: &Work,
) -> Piece {
    let mut run = empty_run(overlay);
    let copy = Copy {
        contexts: work.contexts_of(overlay.maker),
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
