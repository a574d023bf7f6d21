//! Engines in two processes: a snapshotter, as containerd is, makes directories for an engine that mounts them.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::ProcessKey;

use super::Finder;

/// Processes that mount one directory.
const MOUNTERS_MAX: usize = 16;

impl Finder {
    /// Takes note that an engine mounts a directory, which another process may have made for it.
    pub(super) fn serves(&mut self, dir: usize, engine: ProcessKey) {
        if self.helpers.contains_key(&engine) || !self.makers.contains_key(&engine) {
            return;
        }
        let made_by = self.dirs[dir].maker;
        let mounters = &mut self.dirs[dir].mounters;
        if mounters.contains(&engine) {
            return;
        }
        if mounters.len() < MOUNTERS_MAX {
            mounters.insert(engine);
        }
        if made_by != engine {
            let is_above =
                |above, below| self.tree.lineage(below).any(|(ancestor, _)| ancestor == above);
            let is_related = is_above(engine, made_by) || is_above(made_by, engine);
            *self.masters.entry(made_by).or_default().entry(engine).or_default() |= is_related;
        }
    }

    /// What a snapshotter made for one engine alone is that engine's. Where it serves two, whose a directory is that
    /// nobody mounted is not known, and it stays the snapshotter's.
    pub(super) fn adopt(&mut self) {
        for (servant, engine) in self.servants() {
            // What it fills itself is a finished layer that it unpacks: the engine's steps are written by the engine.
            for dir in self.dirs.iter_mut().filter(|dir| dir.maker == servant) {
                (dir.maker, dir.unpacked) = (engine, !dir.mounters.contains(&engine));
            }
            for overlay in self.overlays.iter_mut().filter(|overlay| overlay.maker == servant) {
                (overlay.maker, overlay.unpacked) = (engine, true);
            }
            self.makers.remove(&servant);
            if let Some(maker) = self.makers.get_mut(&engine) {
                maker.servants.push(servant);
            }
        }
    }

    /// Snapshotters with the engine that each serves. Anyone may mount a directory of an engine's: it is a snapshotter only
    /// of whom no container ran in a tree that it mounted itself. Its engine is, before others, one that began it, or that it
    /// began; then one whose containers ran in what it made; and of the rest one that had directories of it for itself, if no
    /// helper of its own ever filled one.
    fn servants(&self) -> Vec<(ProcessKey, ProcessKey)> {
        let mut ran: BTreeMap<ProcessKey, BTreeSet<ProcessKey>> = BTreeMap::new();
        for overlay in self.overlays.iter().filter(|overlay| !overlay.containers.is_empty()) {
            let here = ran.entry(overlay.maker).or_default();
            here.extend(self.dir_of(&overlay.upper).map(|dir| dir.maker));
        }
        let mut alone: BTreeSet<(ProcessKey, ProcessKey)> = BTreeSet::new();
        let mut unpacks: BTreeSet<ProcessKey> = BTreeSet::new();
        for dir in &self.dirs {
            if !dir.mounters.contains(&dir.maker) {
                alone.extend(dir.mounters.iter().map(|engine| (dir.maker, *engine)));
            }
            if dir.in_store && dir.by_helper {
                unpacks.insert(dir.maker);
            }
        }
        let mut found = Vec::new();
        for (servant, masters) in &self.masters {
            if ran.contains_key(servant) {
                continue;
            }
            let rank = |(engine, is_related): (&ProcessKey, &bool)| {
                let has_run = ran.get(engine).is_some_and(|makers| makers.contains(servant));
                let may = alone.contains(&(*servant, *engine)) && !unpacks.contains(servant);
                (*is_related || has_run || may).then_some((*is_related, has_run, *engine))
            };
            let ranks: Vec<(bool, bool, ProcessKey)> = masters.iter().filter_map(rank).collect();
            let best = ranks.iter().map(|(related, ran, _)| (*related, *ran)).max();
            let mut first = ranks.iter().filter(|(related, ran, _)| Some((*related, *ran)) == best);
            if let (Some((_, _, engine)), None) = (first.next(), first.next()) {
                found.push((*servant, *engine));
            }
        }
        let all: BTreeSet<ProcessKey> = found.iter().map(|(servant, _)| *servant).collect();
        found.retain(|(_, engine)| !all.contains(engine));
        found
    }
}
