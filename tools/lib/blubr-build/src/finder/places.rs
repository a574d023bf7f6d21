//! The directories that buildah's helpers made in a tree: buildah makes a WORKDIR's or a VOLUME's, and does nothing else for it.

use std::collections::HashMap;

use blubr_log::Name;

use crate::build::{Made, Moment, ProcessKey};
use crate::traces::Source;

use super::Finder;

/// Directories in one tree, and helpers of one engine, that are remembered.
const MADE_MAX: usize = 64;
const ENTRIES_MAX: usize = 1 << 16;

/// What was made in trees, and where helpers put their root.
#[derive(Default)]
pub(crate) struct Places {
    /// By overlay.
    made: HashMap<usize, InTree>,
    /// By engine: when one of its helpers put its root into which overlay, or elsewhere.
    entries: HashMap<ProcessKey, Vec<(u64, Option<usize>)>>,
}

#[derive(Default)]
struct InTree {
    /// The directories as the tree names them, in the order in which they were made.
    paths: Vec<Vec<u8>>,
    first: u64,
    /// Something else was done than to make directories, or more were made.
    more: bool,
}

impl Finder {
    /// The engine, or a helper of it, made a directory or something else at a place.
    pub(super) fn note_made(&mut self, now: Moment, place: Source, name: &[u8], content: bool) {
        let Source::Overlay(overlay) = place else { return };
        let tree = self.places.made.entry(overlay).or_default();
        tree.more |= content || tree.paths.len() >= MADE_MAX;
        if tree.more {
            tree.paths = Vec::new();
            return;
        }
        if tree.paths.is_empty() {
            tree.first = now.seq;
        }
        if !tree.paths.iter().any(|known| known == name) && self.keep(name.len()) {
            self.places.made.entry(overlay).or_default().paths.push(name.to_vec());
        }
    }

    /// The times of what was made are set: who copies does so.
    pub(super) fn note_times(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        if !self.helpers.contains_key(&key) {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        if let Some((place, _)) = self.place(&path) {
            self.note_made(now, place, b"", true);
            if let Some(entered) = self.entered.get_mut(&key)
                && place == Source::Overlay(entered.overlay)
            {
                entered.dated = Some(now);
            }
        }
    }

    /// What a helper made for its own use it has taken away.
    pub(super) fn note_removed(&mut self, place: Source, name: &[u8]) {
        if let Source::Overlay(overlay) = place
            && let Some(tree) = self.places.made.get_mut(&overlay)
        {
            tree.paths.retain(|known| known != name);
        }
    }

    /// A helper put its root into a tree, or elsewhere: who copies does so too.
    pub(super) fn note_entry(&mut self, key: ProcessKey, now: Moment) {
        let Some(maker) = self.helpers.get(&key) else { return };
        let into = self.entered.get(&key).map(|entered| entered.overlay);
        let entries = self.places.entries.entry(*maker).or_default();
        if entries.len() < ENTRIES_MAX {
            entries.push((now.seq, into));
        }
    }

    /// What the engine made in a tree in which no container ran.
    pub(crate) fn made_in(&self, overlay: usize) -> Made {
        let Some(tree) = self.places.made.get(&overlay) else { return Made::Unknown };
        if tree.more {
            return Made::More;
        }
        let began = self.overlays[overlay].began.seq;
        if tree.paths.is_empty() || self.looked_elsewhere(overlay, began, tree.first) {
            return Made::Unknown;
        }
        Made::Directories(tree.paths.clone())
    }

    /// Whether a helper of the tree's engine may have put its root elsewhere between two events.
    pub(super) fn looked_elsewhere(&self, overlay: usize, from: u64, until: u64) -> bool {
        let maker = self.overlays[overlay].maker;
        let entries = self.places.entries.get(&maker).map(Vec::as_slice).unwrap_or_default();
        let first = entries.partition_point(|(seq, _)| *seq < from);
        let mut between = entries[first..].iter().take_while(|(seq, _)| *seq < until);
        entries.len() >= ENTRIES_MAX || between.any(|(_, into)| *into != Some(overlay))
    }
}
