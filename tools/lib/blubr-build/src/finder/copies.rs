//! Stores without mounts (`vfs`): each layer is a directory with the whole tree in it, copied from the layer below.
//!
//! The drivers of Docker and of containers/storage do the same: they make `vfs/dir/<id>`, list the layer below, give the new
//! directory that one's owner or mode, copy entry by entry, and set the new directory's times last. What is written until
//! then is the store's work and no step's. A layer that began empty is told from a context only by what is done with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use blubr_log::Name;

use crate::build::{Moment, ProcessKey};
use crate::traces::{Overlay, Span, Store, Whole, is_whole, notes_of_whole, store_of};

use super::{Finder, NAME_BYTES};

/// Directories that one process made and has not yet written to, and copies of its that go on; an engine has some at once.
const OPEN_MAX: usize = 1 << 10;
/// Layers that were listed since such a directory was made.
const LISTED_MAX: usize = 16;

/// What is going on in stores of whole trees.
#[derive(Default)]
pub(super) struct Copies {
    /// By who makes them: what one makes takes no room from another's.
    of: HashMap<ProcessKey, Open>,
    /// Folders that containers/storage has a store in.
    stores: HashSet<Vec<u8>>,
}

#[derive(Default)]
struct Open {
    fresh: Vec<Fresh>,
    going: Vec<Copy>,
}

/// A directory in which nothing has been made yet.
struct Fresh {
    dir: usize,
    /// Layers that its maker listed since, and the threads that did.
    listed: Vec<(u32, Arc<[u8]>)>,
}

/// A copy that goes on.
struct Copy {
    overlay: usize,
    /// The layer that is copied; none where two were listed at once and either may be meant.
    from: Option<Arc<[u8]>>,
}

impl Finder {
    /// Whose store a layer lies in. Docker and containers/storage lay a vfs store out alike, but for the notes beside it.
    pub(super) fn store_of(&self, layer: &[u8]) -> Option<Store> {
        if !is_whole(layer) {
            return store_of(layer);
        }
        let store = layer.rsplitn(4, |byte| *byte == b'/').nth(3)?;
        let containers = self.copies.stores.contains(store);
        Some(if containers { Store::Containers } else { Store::Daemon })
    }

    /// containers/storage opens its notes on layers before it makes any.
    pub(super) fn noted(&mut self, key: ProcessKey, path: &[u8]) {
        if let Some(store) = notes_of_whole(path) {
            let store = self.tree.host_path(key, store);
            if !self.copies.stores.contains(&store) && self.keep(store.len()) {
                self.copies.stores.insert(store);
            }
        }
    }

    /// `vfs/dir/<id>`.
    pub(super) fn whole_made(&mut self, key: ProcessKey, now: Moment, path: &[u8]) {
        if !is_whole(path) {
            return;
        }
        let path = self.tree.host_path(key, path);
        if self.by_dir.get(&path).is_some() || !self.room_for(key) || !self.keep(2 * path.len()) {
            return;
        }
        // Anyone may make such a directory: an engine is what then mounts it, or puts a root into it.
        if !self.makers.contains_key(&key)
            && let Some(store) = self.store_of(&path)
        {
            self.make(key, now, store);
            if let Some(maker) = self.makers.get_mut(&key) {
                maker.provisional = true;
            }
        }
        let fresh = &mut self.copies.of.entry(key).or_default().fresh;
        if fresh.len() >= OPEN_MAX {
            fresh.remove(0);
        }
        fresh.push(Fresh { dir: self.dirs.len(), listed: Vec::new() });
        self.add_dir(key, path, now, true);
    }

    /// What made the directory is an engine.
    pub(super) fn confirm(&mut self, path: &[u8], now: Moment) {
        if is_whole(path)
            && let Some(&dir) = self.by_dir.get(path)
            && let Some(store) = self.store_of(path)
        {
            self.make(self.dirs[dir].maker, now, store);
        }
    }

    /// Takes note that the engine listed a layer, to copy it or to compare it with the one below; says whether it may be the
    /// former.
    pub(super) fn listed(&mut self, maker: ProcessKey, now: Moment, tid: u32, path: &[u8]) -> bool {
        if !is_whole(path) {
            return false;
        }
        let mut shared: Option<Arc<[u8]>> = None;
        for fresh in self.copies.of.get_mut(&maker).into_iter().flat_map(|open| &mut open.fresh) {
            if self.dirs[fresh.dir].path != path && fresh.listed.len() < LISTED_MAX {
                let layer = shared.get_or_insert_with(|| Arc::from(path));
                fresh.listed.push((tid, Arc::clone(layer)));
            }
        }
        let may_copy = shared.is_some();
        if may_copy {
            self.keep(path.len());
        }
        if !self.is_copied_from(maker, path)
            && let Some(&overlay) = self.by_upper.get(path)
            && self.overlays[overlay].whole.is_some()
        {
            // Clearing up lists it too, but later.
            self.overlays[overlay].mounted_again.get_or_insert(now.seq);
        }
        may_copy
    }

    /// The owner or the mode of a directory was set: a copy into it begins, if nothing else was made in it before.
    pub(super) fn copy_begins(
        &mut self,
        key: ProcessKey,
        now: Moment,
        tid: u32,
        path: Option<&Name<'_>>,
    ) {
        if self.copies.of.get(&key).is_none_or(|open| open.fresh.is_empty()) {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        let Some(open) = self.copies.of.get_mut(&key) else { return };
        let of = |fresh: &Fresh| self.dirs[fresh.dir].path == path;
        let Some(at) = open.fresh.iter().position(of) else { return };
        let fresh = open.fresh.swap_remove(at);
        let by_thread = fresh.listed.iter().rev().find(|(of, _)| *of == tid).map(|(_, from)| from);
        let only = fresh.listed.first().map(|(_, from)| from);
        let only = only.filter(|only| fresh.listed.iter().all(|(_, other)| other == *only));
        let from = by_thread.or(only).cloned();
        if fresh.listed.is_empty() {
            return;
        }
        let lowers = from.as_ref().map(|from| {
            let below = self.by_upper.get(from).map(|at| self.overlays[*at].lowers.as_slice());
            std::iter::once(from.to_vec()).chain(below.unwrap_or_default().iter().cloned()).collect()
        });
        let Some(overlay) = self.whole(fresh.dir, lowers.unwrap_or_default()) else { return };
        if let Some(whole) = &mut self.overlays[overlay].whole {
            whole.copied_until = Some(now.seq);
        }
        if from.is_none() {
            self.gaps.unclear(now.time);
        }
        let going = &mut self.copies.of.entry(key).or_default().going;
        if going.len() >= OPEN_MAX {
            going.remove(0);
        }
        going.push(Copy { overlay, from });
    }

    /// The times of a copied directory are set when all is in it.
    pub(super) fn copy_ends(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        if self.going(key).is_empty() {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        if let Some(&overlay) = self.by_upper.get(&path)
            && self.copied(key, now, overlay)
        {
            self.copy_done(key, overlay);
        }
    }

    fn going(&self, maker: ProcessKey) -> &[Copy] {
        self.copies.of.get(&maker).map(|open| open.going.as_slice()).unwrap_or_default()
    }

    fn copy_done(&mut self, maker: ProcessKey, overlay: usize) {
        if let Some(open) = self.copies.of.get_mut(&maker) {
            open.going.retain(|copy| copy.overlay != overlay);
        }
    }

    /// Whether what the process does in a tree is still the copying; then that goes on to now.
    pub(super) fn copied(&mut self, key: ProcessKey, now: Moment, overlay: usize) -> bool {
        let going = self.going(key).iter().any(|copy| copy.overlay == overlay);
        if let Some(whole) = &mut self.overlays[overlay].whole
            && going
        {
            whole.copied_until = Some(now.seq);
        }
        going
    }

    /// Whether the engine copies what lies there.
    pub(super) fn is_copied_from(&self, maker: ProcessKey, path: &[u8]) -> bool {
        self.going(maker).iter().any(|copy| {
            let rest = copy.from.as_ref().and_then(|from| path.strip_prefix(&**from));
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        })
    }

    /// A process put its root into a tree, or it was mounted to be written to: it is one, and no copy goes on in it.
    pub(super) fn used_as_tree(&mut self, now: Moment, path: &[u8]) -> Option<usize> {
        let real = self.mounts.unbound(path);
        let path = real.as_deref().unwrap_or(path);
        self.confirm(path, now);
        if !is_whole(path) {
            return None;
        }
        let overlay = match self.by_upper.get(path) {
            Some(&overlay) => overlay,
            None => self.whole(*self.by_dir.get(path)?, Vec::new())?,
        };
        self.copy_done(self.overlays[overlay].maker, overlay);
        Some(overlay)
    }

    /// A file was made in a directory that was empty until then.
    pub(super) fn not_fresh(&mut self, dir: usize) {
        if let Some(open) = self.copies.of.get_mut(&self.dirs[dir].maker) {
            open.fresh.retain(|fresh| fresh.dir != dir);
        }
    }

    /// From now on the directory is the tree of a step, or a layer.
    fn whole(&mut self, at: usize, lowers: Vec<Vec<u8>>) -> Option<usize> {
        let path = self.dirs[at].path.clone();
        let names = lowers.iter().chain([&path, &path]).map(|name| 2 * (name.len() + NAME_BYTES));
        if !self.room() || !self.keep(names.sum()) {
            return None;
        }
        self.not_fresh(at);
        let index = self.overlays.len();
        // No namespace: nobody undoes what is no mount.
        self.mounts.overlay(path.clone(), index, 0);
        self.by_upper.insert(path.clone(), index);
        let dir = &mut self.dirs[at];
        let wrote = dir.first_write.zip(dir.last_write);
        let written = wrote.map(|(first, last)| Span { first, last, after: 0, content: true });
        self.overlays.push(Overlay {
            maker: dir.maker,
            mounters: Vec::new(),
            work: None,
            upper: path.clone(),
            lowers,
            target: path,
            binds: dir.binds.clone(),
            began: dir.began,
            last: dir.last_write.unwrap_or(dir.began),
            mounted_again: None,
            unmounted: None,
            removed: dir.removed,
            writes: written.into_iter().collect(),
            only_made: None,
            parts: Vec::new(),
            prepared: None,
            containers: Vec::new(),
            disputed: false,
            mounts: Vec::new(),
            sources: dir.sources.clone(),
            exported: dir.exported.clone(),
            read_back: dir.read_back,
            registered: None,
            mounted: HashSet::new(),
            exports: dir.reads.iter().map(|(_, name, size)| self.read_as.number(name, *size)).collect(),
            copied: dir.copied.clone(),
            written: dir.written.clone(),
            helpers: dir.helpers.clone(),
            servers: Vec::new(),
            unpacked: false,
            whole: Some(Whole { dir: at, copied_until: None, entered: false }),
            looked_into: None,
            entered: false,
            registers: Vec::new(),
        });
        // What it was as a directory is not asked for any more.
        dir.files = HashMap::new();
        dir.votes = HashMap::new();
        Some(index)
    }

    /// A whole tree's trace as a directory tells when what is registered in it was written.
    pub(super) fn wrote_whole(&mut self, overlay: usize, now: Moment) {
        if let Some(whole) = &self.overlays[overlay].whole {
            let dir = &mut self.dirs[whole.dir];
            dir.first_write.get_or_insert(now);
            dir.last_write = Some(now);
        }
    }
}
