//! What goes on around a container: the engine's work on a step's tree, and strangers' writes into it.

use std::collections::btree_map::Entry;

use blubr_attestation::trace::{Access, Place as Tree};
use blubr_build::{Area, RunKind, StepRun};
use blubr_log::{Body, Event, Name};

use super::super::apart::Lies;
use super::super::doing::{Actor, Touch};
use super::super::slots::Slot;
use super::Pass;
use super::gathered::Explained;
use super::touches::{follows, is_anew, is_certain, is_of_file, is_real, makes_socket, touches};

/// Paths that only explain entries of layers (the engine's work around a container, strangers); a count.
const EXPLAINING_MAX: usize = 200_000;
/// Bytes of those paths.
const EXPLAINING_BYTES_MAX: usize = 48 * 1024 * 1024;

impl Pass<'_> {
    /// The engine's work: it is the step's own where no container ran, and else only explains what stands in the layer.
    pub(super) fn engine(&mut self, actor: Actor<'_>, event: &Event<'_>, run: Option<&StepRun>) {
        self.dockerfile(event);
        match &event.body {
            Body::ProcessExec(exec) if !event.failed() => {
                let exe = exec.exe.get().map(Name::bytes);
                self.out.engine.exec(actor, event, exec, exe, &mut self.budget);
            }
            Body::ProcessExit(exit) => self.out.engine.exit(actor.key, exit),
            _ => {}
        }
        let Some(of) = run else { return };
        let run = of.id;
        self.given(run, true, event);
        let own = of.kind == RunKind::Daemon;
        let touched = touches(event);
        self.tails(event, &touched, true);
        for (path, access, cut) in touched {
            let Some(spot) = self.membership.spot(event, path).filter(|_| !cut) else { continue };
            // Registering a layer copies what is there already, and is no reason for it to be there.
            let gone = matches!(access, Access::Delete | Access::RenameFrom);
            // A helper that put its root there works on the step; who names the directory from outside clears up.
            let clearing = gone && spot.area == Area::Upper && !spot.path.ends_with(path);
            let root = spot.path == b"/" && access != Access::Read;
            if !self.runs.same_tree(spot.run, run)
                || clearing
                || root
                || !matches!(spot.area, Area::Tree | Area::Upper)
            {
                continue;
            }
            if own {
                let (place, mounted) = (Tree::Container, spot.mounted.is_some());
                let touch = Touch {
                    path: &spot.path,
                    place,
                    run: Some(run),
                    access,
                    mounted,
                    laid: true,
                    certain: is_certain(event, access, Some(of.began.time)),
                    anew: is_anew(event, access),
                    follows: follows(event),
                    of_file: is_of_file(event),
                    socket: makes_socket(event),
                    real: is_real(event),
                    cut,
                    lies: Lies::InTree,
                };
                let doing = self.out.doing.entry(self.slots.of(run)).or_default();
                doing.touch(actor, &touch, &mut self.budget);
            }
            if !matches!(access, Access::Read | Access::Execute) {
                self.explain(run, spot.path, actor, access, (false, is_real(event)));
            }
        }
    }

    pub(super) fn foreign(&mut self, actor: Actor<'_>, event: &Event<'_>, run: Option<u32>) {
        self.strange(event);
        for (path, access, cut) in touches(event) {
            let Some(spot) = self.membership.spot(event, path).filter(|_| !cut) else { continue };
            if let Some(run) = spot.run.or(run)
                && matches!(spot.area, Area::Tree | Area::Upper | Area::Layer)
                && !matches!(access, Access::Read | Access::Execute)
            {
                self.out.given.meddled(run, &spot.path, event.head.seq);
                self.explain(run, spot.path, actor, access, (true, is_real(event)));
            }
        }
        self.add(actor, event, Slot::None, None);
    }

    pub(super) fn explain(
        &mut self,
        run: u32,
        path: Vec<u8>,
        actor: Actor<'_>,
        access: Access,
        (foreign, real): (bool, bool),
    ) {
        let key = (run, path);
        if !self.out.explaining.contains_key(&key) {
            self.explaining_bytes += key.1.len();
            if self.out.explaining.len() >= EXPLAINING_MAX
                || self.explaining_bytes > EXPLAINING_BYTES_MAX
            {
                self.out.explaining_left_out = true;
                return;
            }
        }
        let gone = matches!(access, Access::Delete | Access::RenameFrom);
        let renamed = access == Access::RenameTo;
        let given = matches!(access, Access::Create | Access::RenameTo);
        let (by, seq) = (actor.key, actor.head.seq);
        let now = Explained { foreign, by, seq, gone, given, taken: gone, renamed, real };
        match self.out.explaining.entry(key) {
            // What the engine does to a name afterwards does not make a stranger's file the build's.
            Entry::Occupied(known) if known.get().foreign && !foreign => {}
            Entry::Occupied(mut known) => {
                let before = *known.get();
                // What a stranger's file replaced is no deed of his.
                let same = before.foreign == foreign;
                let (given, taken) = (same && before.given, same && before.taken);
                known.insert(Explained { given: now.given || given, taken: now.taken || taken, ..now });
            }
            Entry::Vacant(new) => drop(new.insert(now)),
        }
    }
}
