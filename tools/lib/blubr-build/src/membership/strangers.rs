//! Who is no part of a step though it works in its container or tree: put there after that was set up, or sent by somebody else.

use blubr_log::event::OpenMode;
use blubr_log::{Body, Event};

use super::dirs::Owned;
use super::roles::Role;
use super::{Area, Membership, Place};
use crate::build::{ProcessKey, RunKind, StepRun};
use crate::traces::is_init_layer;

impl Membership {
    /// The run whose container this process was put into after that was set up (`docker exec`, `runc exec`): it
    /// descends from the runtime, and is neither the step's nor the engine's.
    pub(super) fn entered_later(&self, key: ProcessKey, event: &Event<'_>) -> Option<u32> {
        let run = match self.cgroups.get(&event.head.cgroup_id) {
            Some(run) => *run,
            // Where the control group says nothing. The number of a namespace is another's once the container is gone.
            None => match self.roles.get(&key)? {
                Role::Work(Some(run)) if self.namespaces.get(run) == Some(&event.head.mntns) => {
                    self.trees.at_work(*run, event.head.seq).filter(|at_work| at_work == run)?
                }
                _ => return None,
            },
        };
        let set_up = *self.set_up.get(&run)?;
        let forked = self.tree.get(key)?.forked?;
        (forked.seq > set_up).then_some(run)
    }

    /// What the engine changes in the tree of a container that is at work it does for somebody else (`docker cp`); so does,
    /// before and after, a helper or thread with its root there: for a RUN the classic builder sends none into its tree.
    pub(super) fn unasked(&self, place: Place, key: ProcessKey, event: &Event<'_>) -> Place {
        if !matches!(place, Place::Engine { run: Some(_) }) || !changes(event) {
            return place;
        }
        let sent_into = self.sent_into(key);
        let mut of = self.by_device(event);
        self.each_path(key, event, &mut |path| {
            if let Some((_, Owned { run: Some(run), area: Area::Tree | Area::Upper, .. })) =
                self.owned(path)
            {
                let sent = || sent_into.filter(|tree| *tree == run);
                of = of.or_else(|| self.trees.at_work(run, event.head.seq)).or_else(sent);
            }
        });
        of.map_or(place, |run| Place::Foreign { run: Some(run) })
    }

    /// The RUN of the classic builder in whose tree the engine's thread, or a helper that it began itself, has its root.
    fn sent_into(&self, key: ProcessKey) -> Option<u32> {
        let process = self.tree.get(key)?;
        let (_, owned) = self.owned(process.root()?)?;
        let run = owned.run.filter(|run| self.classic.contains(run))?;
        let engine = match self.roles.get(&key)? {
            Role::Engine => key,
            Role::Work(_) => process.parent?,
            _ => return None,
        };
        (self.roles.get(&engine) == Some(&Role::Engine)).then_some(run)
    }
}

/// Whether the event changes files.
fn changes(event: &Event<'_>) -> bool {
    !event.failed()
        && match &event.body {
            Body::FileOpen(open) => {
                open.mode != OpenMode::Path && (open.mode.writes() || open.create.0 || open.truncate.0)
            }
            Body::FileClose(_)
            | Body::FileMkdir(_)
            | Body::FileMknod(_)
            | Body::FileUnlink(_)
            | Body::FileRename(_)
            | Body::FileLink(_)
            | Body::FileSymlink(_)
            | Body::FileChmod(_)
            | Body::FileChown(_)
            | Body::FileTruncate(_)
            | Body::FileSetxattr(_)
            | Body::FileUtimes(_) => true,
            _ => false,
        }
}

pub(super) fn is_classic(run: &StepRun) -> bool {
    run.kind == RunKind::Run && run.lowers.first().is_some_and(|lower| is_init_layer(lower))
}
