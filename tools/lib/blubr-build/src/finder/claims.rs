//! Which of those that enter a step's tree and run a program there is the step's container.

use blubr_log::Event;

use crate::build::ProcessKey;
use crate::groups::container_of;
use crate::membership::is_digest;
use crate::traces::{Claim, Entered, Store, is_init_layer};

use super::Finder;

impl Finder {
    /// The entry into a tree whose first program a process is about to run: its own; or its parent's that had entered it
    /// before, as buildah's chroot isolation does. A helper (docker-untar, buildah's copier) enters and runs none.
    pub(super) fn entered_by(&self, key: ProcessKey) -> Option<&Entered> {
        if let Some(own) = self.entered.get(&key) {
            return Some(own);
        }
        let process = self.tree.get(key)?;
        let of_parent = self.entered.get(&process.parent?)?;
        (process.forked?.seq > of_parent.at.seq).then_some(of_parent)
    }

    /// What speaks for who runs a program in a tree that it has entered; none where it is no runtime of the engine's, but
    /// somebody who looks into the tree, or works in it. A container has a mount namespace of its own. A runtime descends from
    /// the engine, but for the classic builder's, which containerd may start; and where events are missing it may be the fork
    /// that would tell. In a log of one build that is so for whoever is no part of it.
    pub(super) fn claim(&self, key: ProcessKey, entered: &Entered, event: &Event<'_>) -> Option<Claim> {
        if entered.by_engine {
            return Some(Claim::Engine);
        }
        let overlay = &self.overlays[entered.overlay];
        let engine = self.tree.get(overlay.maker).map(|engine| engine.mntns());
        if engine == Some(event.head.mntns) {
            return None;
        }
        if !overlay.lowers.first().is_some_and(|lower| is_init_layer(lower)) {
            let is_lossy = self.gaps.within(overlay.began.time, entered.at.time);
            return is_lossy.then_some(Claim::Bare);
        }
        let is_named = event.head.cgroup.get().map(|path| is_digest(container_of(path.bytes())));
        let since = self.tree.group_since(event.head.cgroup_id);
        let is_new = since.is_some_and(|since| since > overlay.began.seq);
        let forked = self.tree.get(key).and_then(|process| process.forked);
        match is_named {
            Some(true) if is_new && forked.is_some_and(|at| at.seq > overlay.began.seq) => {
                Some(Claim::Named)
            }
            Some(named) if self.has_groups && !(named && is_new) => None,
            _ => Some(Claim::Bare),
        }
    }

    /// Whether who has this claim is the step's container, as far as one can tell by now. A stranger may have come first, and
    /// been taken for it; with claims that are alike either may be it, and neither is told as it.
    pub(super) fn prevails(&mut self, key: ProcessKey, of: usize, claim: Claim) -> bool {
        let overlay = &self.overlays[of];
        let is_daemons = self.makers.get(&overlay.maker).is_some_and(|of| of.store == Store::Daemon);
        let known = overlay.containers.iter().map(|at| (self.containers[*at].claim, *at)).max();
        let Some((known, at)) = known else { return true };
        if !is_daemons {
            // Its steps may share a tree.
            return claim == Claim::Engine;
        }
        if claim > known {
            self.unmask(of);
        } else if claim == known && claim != Claim::Engine {
            self.overlays[of].disputed = true;
            self.by_init.insert(key, at);
            self.inside.insert(key, at);
        }
        claim == Claim::Engine || claim > known
    }

    /// Who were taken for the container of a tree are strangers.
    fn unmask(&mut self, overlay: usize) {
        let overlay = &mut self.overlays[overlay];
        overlay.disputed = false;
        for at in std::mem::take(&mut overlay.containers) {
            self.containers[at].masked = true;
        }
    }

    /// The first process of the container that this is one of: itself, or what it descends from.
    pub(super) fn container_of(&self, key: ProcessKey) -> Option<ProcessKey> {
        let container = self.inside.get(&key).map(|at| &self.containers[*at]);
        container.filter(|container| !container.masked).map(|container| container.init)
    }

    /// Whether it is a process of a container.
    pub(super) fn is_inside(&self, key: ProcessKey) -> bool {
        self.container_of(key).is_some()
    }
}
