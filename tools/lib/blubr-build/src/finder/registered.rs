//! Layers that an engine registers through a mount of their own.
//!
//! Where overlay may keep in an upper directory what is no layer by itself (in a user namespace, or with `redirect_dir` or
//! `metacopy`), Docker's overlay2 does not take that directory for what a step changed: it mounts the step's tree and the one
//! below, compares them, and has a helper (since Docker 24 a thread) write what differs into a new tree upon the same layers,
//! which it mounts for that and for nothing else (`doesSupportNativeDiff` in graphdriver/overlay2, `NaiveDiffDriver` in
//! graphdriver/fsdiff.go). All the while the step's own tree stays mounted: what is written is being read there. A COPY is
//! carried out by a helper in a tree too, but that tree is read when it is done.

use std::collections::{BTreeSet, HashMap};

use crate::steps::{same_base, without_init};
use crate::traces::{Overlay, is_init_layer};

use super::Finder;

/// Trees that are mounted upon the same layers and looked at: those that were mounted last.
const LOOKED_AT_MAX: usize = 1 << 8;
/// Of those, such as the layer may be of.
const OF_MAX: usize = 8;

/// Trees that are mounted, by the topmost layer below (Docker's `-init` left out).
#[derive(Default)]
pub(super) struct Held(HashMap<Vec<u8>, BTreeSet<usize>>);

impl Finder {
    /// A tree was mounted.
    pub(super) fn hold(&mut self, at: usize) {
        let Some(base) = without_init(&self.overlays[at].lowers).first().cloned() else { return };
        // Mounted again it takes no more room.
        let known = self.overlays[at].mounted_again.is_some();
        if known || self.keep(base.len()) {
            self.held.0.entry(base).or_default().insert(at);
        }
    }

    /// Its mount was undone. If it was made to register a layer, the engine still holds the tree of which.
    pub(super) fn let_go(&mut self, at: usize) {
        let Some(base) = without_init(&self.overlays[at].lowers).first() else { return };
        let Some(held) = self.held.0.get_mut(base) else { return };
        held.remove(&at);
        if held.is_empty() {
            self.held.0.remove(base);
            return;
        }
        let Some(&dir) = self.by_dir.get(&self.overlays[at].upper) else { return };
        let layer = &self.overlays[at];
        if !was_only_filled(layer) || self.dirs[dir].maker != layer.maker {
            return;
        }
        let latest = self.held.0.get(base).into_iter().flatten().rev().take(LOOKED_AT_MAX);
        let registers: Vec<usize> =
            latest.copied().filter(|of| self.may_register(layer, *of)).take(OF_MAX).collect();
        if registers.is_empty() {
            return;
        }
        // As a directory it has what it would have, had it been filled without a mount.
        let (layer, dir) = (&mut self.overlays[at], &mut self.dirs[dir]);
        dir.first_write = layer.writes.first().map(|span| span.first);
        dir.last_write = layer.writes.last().map(|span| span.last);
        dir.written.clone_from(&layer.written);
        layer.registers = registers;
    }

    /// Whether the engine had read in a step's tree all that it then wrote, since that was done and when it was mounted.
    fn may_register(&self, layer: &Overlay, of: usize) -> bool {
        let step = &self.overlays[of];
        let mounted = step.mounted_again.unwrap_or(step.began.seq);
        let until = layer.writes.last().map_or(layer.last, |span| span.last);
        let done = self.done(step).filter(|done| *done < layer.began.seq);
        let read = |done: u64| step.looked_into.is_some_and(|read| read > done.max(mounted));
        step.maker == layer.maker
            && mounted < layer.began.seq
            && done.is_some_and(read)
            && same_base(&step.lowers, &layer.lowers)
            && (self.read_all(step, layer) || self.gaps.within(step.began.time, until.time))
    }

    /// The directory that a tree is as a layer, where it was mounted to register that: nothing was read in it since.
    pub(crate) fn registered_in(&self, tree: &Overlay) -> Option<usize> {
        let is_layer = !tree.registers.is_empty() && was_only_filled(tree);
        self.by_dir.get(&tree.upper).copied().filter(|_| is_layer)
    }

    /// The upper directories of the steps that a layer may be of, if it was registered through a mount. Each step's tree the
    /// engine removes when it has its layer: one that stays is none such, and of whose layer this is is not known.
    pub(crate) fn registers(&self, layer: &[u8]) -> Option<Vec<&[u8]>> {
        let tree = &self.overlays[self.overlay_of(layer)?];
        self.registered_in(tree)?;
        let steps = tree.registers.iter().map(|at| &self.overlays[*at]);
        let removed = steps.filter(|step| step.removed.is_some());
        Some(removed.map(|step| step.upper.as_slice()).collect())
    }

    /// When the last of it was done, so far; none where nothing was, or something runs in it. (Each container has a tree of its
    /// own here.)
    fn done(&self, step: &Overlay) -> Option<u64> {
        let wrote = step.writes.last().map(|span| span.last.seq);
        match step.containers.as_slice() {
            [] => wrote,
            [only] => self.containers[*only].ended.map(|(at, _)| at.seq).max(wrote),
            _ => None,
        }
    }

    fn read_all(&self, step: &Overlay, layer: &Overlay) -> bool {
        let read =
            |(name, size): &(Vec<u8>, u64)| step.exports.contains(&self.read_as.number(name, *size));
        // Of an empty file nothing need be read.
        layer.written.iter().filter(|(_, size)| *size > 0).all(read)
    }
}

/// Whether nothing was done in a tree but that the engine's helpers or threads, with their root there, wrote into it while it was
/// mounted once.
fn was_only_filled(tree: &Overlay) -> bool {
    tree.whole.is_none()
        && !is_init_layer(&tree.upper)
        && tree.containers.is_empty()
        && tree.servers.is_empty()
        && tree.mounted_again.is_none()
        && tree.looked_into.is_none()
        && tree.binds.iter().all(|bind| *bind == tree.target)
        && tree.entered
        && !tree.writes.is_empty()
}
