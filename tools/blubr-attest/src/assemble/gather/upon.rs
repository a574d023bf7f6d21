//! Names that lead through directories of what is mounted in a step's tree. What such a directory is no image tells: it may be a
//! symlink (of a cache's earlier user, say) out of the mount again, and what was changed behind it lie in the step's layer.

use std::collections::{HashMap, HashSet};

use blubr_attestation::trace::Access;
use blubr_build::StepRun;
use blubr_log::{Body, Event};

use super::super::tails::{Of, Tails};
use super::ends::changes;
use super::linked::is_proc;
use super::touches::is_real;

/// Names that are kept, in bytes. Beyond, no directory is known to be one.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is known of one run's mounts.
#[derive(Default)]
struct Names {
    /// Directories that the kernel came through.
    real: HashSet<Vec<u8>>,
    /// Names that went to something else, or may have: a symlink may have been there before, or behind.
    moved: HashSet<Vec<u8>>,
    /// By the directory in the caller's name the last names of what was changed there.
    changed: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
}

/// What was changed so, by run.
#[derive(Default)]
pub(super) struct UponMounts {
    runs: HashMap<u32, Names>,
    kept: usize,
    full: bool,
    /// Beyond what is kept.
    more: Tails,
}

impl UponMounts {
    /// Takes in a name that an event of a run touches, as the container sees it: it lies upon the run's mount `at`.
    pub(super) fn learn(
        &mut self,
        run: &StepRun,
        at: usize,
        event: &Event<'_>,
        (path, access): (&[u8], Access),
    ) {
        let Some(mount) = run.mounts.get(at).filter(|mount| !is_proc(mount)) else { return };
        let Some((dir, last)) = split(path).filter(|(dir, _)| dir.len() >= mount.path.len()) else {
            return;
        };
        let names = self.runs.entry(run.id).or_default();
        let is_link = matches!(event.body, Body::FileSymlink(_));
        if is_link || matches!(access, Access::Delete | Access::RenameFrom | Access::RenameTo) {
            keep(&mut self.kept, &mut self.full, path.len());
            if !self.full {
                names.moved.insert(path.to_vec());
            }
        }
        if dir.len() == mount.path.len() {
            return;
        }
        if !is_real(event) {
            if changes(access) && !names.changed.get(dir).is_some_and(|known| known.contains(last)) {
                keep(&mut self.kept, &mut self.full, dir.len() + last.len());
                match self.full {
                    true => self.more.note(last, OPEN),
                    false => _ = names.changed.entry(dir.to_vec()).or_default().insert(last.to_vec()),
                }
            }
            return;
        }
        let mut above = Some(dir);
        let is_new =
            |names: &Names, dir: &[u8]| dir.len() > mount.path.len() && !names.real.contains(dir);
        while let Some(dir) = above.filter(|dir| !self.full && is_new(names, dir)) {
            keep(&mut self.kept, &mut self.full, dir.len());
            names.real.insert(dir.to_vec());
            above = split(dir).map(|(above, _)| above);
        }
    }

    /// The last names of what may lie elsewhere.
    pub(super) fn end(self) -> Tails {
        let mut open = self.more;
        for names in self.runs.into_values() {
            for (dir, changed) in &names.changed {
                if self.full || !names.are_directories(dir) {
                    changed.iter().for_each(|last| open.note(last, OPEN));
                }
            }
        }
        open
    }
}

/// The end of a name that may be the whole.
const OPEN: Of = Of { outside: false, whole: true };

impl Names {
    /// Whether it is known that no name up to this one was a symlink's.
    fn are_directories(&self, dir: &[u8]) -> bool {
        let upwards = std::iter::successors(Some(dir), |dir| split(dir).map(|(above, _)| above));
        self.real.contains(dir) && upwards.into_iter().all(|name| !self.moved.contains(name))
    }
}

fn keep(kept: &mut usize, full: &mut bool, bytes: usize) {
    *kept = kept.saturating_add(bytes + size_of::<Vec<u8>>());
    *full |= *kept > KEPT_BYTES_MAX;
}

/// A path's directory and its last name, with its slash.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    path.split_at_checked(slash).filter(|(_, last)| last.len() > 1)
}
