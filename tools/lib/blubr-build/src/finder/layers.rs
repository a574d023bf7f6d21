//! Directories that engines make for layers and contexts.

use std::collections::{BTreeSet, HashMap, HashSet};

use blubr_log::Name;

use crate::build::{Moment, OtherName, ProcessKey};
use crate::path::{base, parent};
use crate::traces::{Dir, Source, link_names};

use super::{Finder, TRACES_MAX};

/// Further names of one layer.
const NAMES_MAX: usize = 8;

impl Finder {
    /// `<store>/l/<short name>` -> `../<id>/diff`: how Docker's overlay2 and containers/storage begin a layer.
    pub(super) fn layer_link(&mut self, key: ProcessKey, now: Moment, path: &[u8], target: &[u8]) {
        if let Some(layer) = link_names(path, target) {
            let layer = self.tree.host_path(key, &layer);
            let name = self.tree.host_path(key, path);
            let is_made = self.layer_made(key, now, layer.clone());
            if is_made && self.short_names.len() < TRACES_MAX && self.keep(path.len() + layer.len()) {
                self.short_names.insert(name, layer);
            }
        }
    }

    /// `<root>/snapshots/new-<random>/fs`: how containerd's overlay snapshotter begins a layer.
    pub(super) fn snapshot_made(&mut self, key: ProcessKey, now: Moment, path: &[u8]) {
        let store = parent(path).and_then(parent);
        if base(path) == b"fs" && store.is_some_and(|store| base(store) == b"snapshots") {
            self.layer_made(key, now, self.tree.host_path(key, path));
        }
    }

    /// `<root>/snapshots/new-<random>` becomes `<root>/snapshots/<n>`.
    pub(super) fn snapshot_renamed(&mut self, key: ProcessKey, from: &[u8], to: &[u8]) {
        if !base(from).starts_with(b"new-") {
            return;
        }
        let before = [&self.tree.host_path(key, from)[..], b"/fs"].concat();
        if let Some(dir) = self.by_dir.remove(&before) {
            let path = [&self.tree.host_path(key, to)[..], b"/fs"].concat();
            self.dirs[dir].path.clone_from(&path);
            if let (Some(from), Some(to)) = (parent(&before), parent(&path)) {
                self.also_named(&path, OtherName { other: from.to_vec(), own: to.to_vec() });
            }
            self.by_dir.insert(path, dir);
        }
    }

    /// containers/storage puts a layer in place, or out of the way.
    pub(super) fn layer_renamed(&mut self, key: ProcessKey, from: &[u8], to: &[u8]) {
        if !self.makers.contains_key(&key) {
            return;
        }
        let (from, to) = (self.tree.host_path(key, from), self.tree.host_path(key, to));
        self.layer_moved(key, from.clone(), to.clone());
        self.layer_thrown_away(key, from, to);
    }

    /// `overlay/tempdirs/<name>/<n>-addition` becomes `overlay/<id>/diff`: newer containers/storage unpacks a layer aside, and puts
    /// it in place of the empty directory that it has made and removed again.
    fn layer_moved(&mut self, key: ProcessKey, from: Vec<u8>, to: Vec<u8>) {
        let (Some(&aside), Some(&empty)) = (self.by_dir.get(&from), self.by_dir.get(&to)) else {
            return;
        };
        let is_own = |dir: &Dir| dir.maker == key;
        let (filled, made) = (&self.dirs[aside], &self.dirs[empty]);
        let is_empty = made.removed.is_some() && made.first_write.is_none();
        if !is_own(filled) || !is_own(made) || filled.in_store || !made.in_store || !is_empty {
            return;
        }
        self.by_dir.remove(&from);
        self.by_dir.insert(to.clone(), aside);
        self.also_named(&to, OtherName { other: from.clone(), own: to.clone() });
        self.dirs[empty].path = from;
        (self.dirs[aside].path, self.dirs[aside].in_store) = (to, true);
    }

    /// `overlay/<id>` becomes `overlay/tempdirs/<name>/<n>-<id>`: there newer containers/storage takes it away.
    fn layer_thrown_away(&mut self, key: ProcessKey, from: Vec<u8>, to: Vec<u8>) {
        let layer = [&from[..], b"/diff"].concat();
        let overlay = self.by_upper.get(&layer).map(|&at| self.overlays[at].maker);
        let maker = overlay.or_else(|| self.by_dir.get(&layer).map(|&at| self.dirs[at].maker));
        if maker == Some(key) {
            let there = [&to[..], b"/diff"].concat();
            self.also_named(&layer, OtherName { other: there, own: layer.clone() });
            self.also_named(&layer, OtherName { other: to, own: from });
        }
    }

    /// Keeps a further name of a layer, or of the directory that it lies in.
    fn also_named(&mut self, layer: &[u8], name: OtherName) {
        if !self.keep(layer.len() + name.other.len() + name.own.len()) {
            return;
        }
        let names = self.renamed.entry(layer.to_vec()).or_default();
        if names.len() < NAMES_MAX {
            names.push(name);
        }
    }

    /// `false` where it is none, or there is no room for it.
    fn layer_made(&mut self, key: ProcessKey, now: Moment, path: Vec<u8>) -> bool {
        let Some(store) = self.store_of(&path) else { return false };
        if self.by_dir.get(&path).is_some() {
            return true;
        }
        let has_room = self.room_for(key);
        if has_room {
            self.make(key, now, store);
            self.add_dir(key, path, now, true);
        }
        has_room
    }

    pub(super) fn add_dir(&mut self, maker: ProcessKey, path: Vec<u8>, now: Moment, in_store: bool) {
        self.clients.engine_active(now);
        self.by_dir.insert(path.clone(), self.dirs.len());
        self.dirs.push(Dir {
            maker,
            path,
            in_store,
            began: now,
            first_write: None,
            last_write: None,
            by_helper: !in_store,
            files: HashMap::new(),
            reads: Vec::new(),
            copied: Vec::new(),
            written: Vec::new(),
            file_count: 0,
            received: false,
            binds: Vec::new(),
            sources: HashSet::new(),
            of_older: Vec::new(),
            exported: Vec::new(),
            read_back: None,
            removed: None,
            votes: HashMap::new(),
            helpers: Vec::new(),
            mounters: BTreeSet::new(),
            unpacked: false,
            merged: Vec::new(),
        });
    }

    /// The classic builder removes each step's container before it begins the next one, and the context after the
    /// last, before it names the image.
    pub(super) fn removed(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        self.heredoc_removed(&path);
        if let Some(layer) = self.makers.get_mut(&key).and_then(|maker| maker.export.removed(&path))
            && let Some(&overlay) = self.by_upper.get([&layer[..], b"/diff"].concat().as_slice())
        {
            self.overlays[overlay].registered.get_or_insert(now.seq);
        }
        if let Some(&dir) = self.by_dir.get(&path) {
            self.dirs[dir].removed = Some(now.seq);
        }
        let overlay = self.by_upper.get(&path).or_else(|| self.by_group.get(base(&path))).copied();
        if let Some(overlay) = overlay.filter(|at| self.may_work_in(key, Source::Overlay(*at))) {
            self.overlays[overlay].removed = Some(now.seq);
        }
    }

    pub(super) fn dir_above(&self, path: &[u8]) -> Option<usize> {
        self.by_dir.nearest(path, |dir| Some(*dir)).map(|(_, dir)| dir)
    }
}
