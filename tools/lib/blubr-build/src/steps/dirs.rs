//! The steps that are a directory without an overlay of its own.

use std::collections::{BTreeSet, HashSet};

use super::copied::{Copy, copied};
use super::{Piece, Work};
use crate::build::{Engine, Layer, Made, RunKind, StepRun};
use crate::finder::Finder;
use crate::traces::{Dir, Store, is_init_layer, is_whole};

/// A directory without an overlay of its own: a context, the first layer of an image without a base, or a layer
/// that the engine registers.
pub(super) fn dir_piece(finder: &Finder, at: usize, lowers: &HashSet<&[u8]>, work: &mut Work) {
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
        work.layers.push((dir.maker, Layer { dir: dir.path.clone(), of: None, tree: None }, None));
        return;
    }
    let is_lower = lowers.contains(dir.path.as_slice());
    let containers = finder.makers.get(&dir.maker).is_some_and(|maker| maker.store == Store::Containers);
    if dir.by_helper {
        if containers {
            work.layers.push((
                dir.maker,
                Layer { dir: dir.path.clone(), of: None, tree: None },
                Some(at),
            ));
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
                && !work.has_layer.contains(&piece.run.upper)
        });
        if let Some(of) = of {
            let upper = work.pieces[of].run.upper.clone();
            work.has_layer.insert(upper);
            let of = u32::try_from(of).ok();
            work.layers.push((dir.maker, Layer { dir: dir.path.clone(), of, tree: None }, Some(at)));
            return;
        }
    } else if !is_lower && is_context(dir) {
        work.contexts.push(at);
        return;
    }
    if dir.first_write.is_none() && !is_lower {
        return;
    }
    let piece = layer_piece(finder, dir, work);
    work.pieces.push(piece);
}

/// Whether a directory that no step stands on holds what a client sent: one read it at that time (whose events a filtered
/// log may lack), it was filled as such are, or it was mounted to be copied from and its files came from nowhere else (as
/// those of a COPY --link do).
fn is_context(dir: &Dir) -> bool {
    let from_nowhere = dir.sources.is_empty() && dir.of_older.is_empty();
    !dir.votes.is_empty() || dir.received || !dir.binds.is_empty() && from_nowhere
}

fn layer_piece(finder: &Finder, dir: &Dir, work: &Work) -> Piece {
    let copy = Copy {
        contexts: work.contexts_of(dir.maker),
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
        copied_older: dir.of_older.clone(),
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
        cleared: None,
        exported: dir.exported.first().copied(),
        read_back: dir.read_back,
        registered: None,
        mounted: BTreeSet::new(),
        mounts_runs: Vec::new(),
    }
}
