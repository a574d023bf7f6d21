//! What a container's process names otherwise than in its own tree: in another step's, or where it is not known.

use blubr_attestation::trace::Access;
use blubr_build::{Area, MountPoint, names_outside};
use blubr_log::Event;

use super::super::doing::Actor;
use super::super::tails::Of;
use super::linked::is_proc;
use super::touches::{is_real, touches};
use super::{EVIDENCE_MAX, Pass};

/// A path that an event touches, how, and whether only the path's end is known.
type Touched<'e> = (&'e [u8], Access, bool);

impl Pass<'_> {
    /// The paths that an event touches.
    pub(super) fn touched<'e>(&self, event: &'e Event<'_>, run: Option<u32>) -> Vec<Touched<'e>> {
        let mut found = touches(event);
        for (path, _, cut) in &mut found {
            if let Some(end) = run.and_then(|run| self.end_of(event, path, run)) {
                (*path, *cut) = (end, true);
            }
        }
        found
    }

    /// The end of a name that a run's process gave, where it is not known what that begins at: a descriptor from outside its
    /// root, or what a link of proc leads to.
    fn end_of<'p>(&self, event: &Event<'_>, path: &'p [u8], run: u32) -> Option<&'p [u8]> {
        let is_named = path.first() == Some(&b'/');
        if !is_named || is_real(event) {
            return None;
        }
        let spot = self.membership.spot(event, path);
        if names_outside(event) {
            return spot.is_none().then_some(path);
        }
        let mount = self.run(run)?.mounts.get(spot.as_ref()?.mounted?)?;
        let name = last_behind_link(&spot?.path, mount)?;
        path.get(path.len().checked_sub(name)?..)
    }

    /// Keeps the ends of names of what was changed; `outside`: not by a container's process.
    pub(super) fn tails(&mut self, event: &Event<'_>, touched: &[Touched<'_>], outside: bool) {
        for &(path, access, cut) in touched {
            if cut && changes(access) {
                let whole = !["path", "to"].iter().any(|field| event.tail.is_cut(field));
                self.out.tails.note(path, Of { outside, whole });
            }
        }
    }

    /// A step's process changes another step's tree, through a descriptor that it was handed or by the host's name: there it is
    /// a stranger.
    pub(super) fn beyond(
        &mut self,
        actor: Actor<'_>,
        event: &Event<'_>,
        touched: &[Touched<'_>],
        run: u32,
    ) {
        let mut is_beyond = false;
        for &(path, access, cut) in touched {
            if cut || !changes(access) {
                continue;
            }
            let Some(spot) = self.membership.spot(event, path) else { continue };
            if let Some(other) = spot.run.filter(|_| !self.runs.same_tree(spot.run, run))
                && matches!(spot.area, Area::Tree | Area::Upper | Area::Layer)
                && spot.mounted.is_none()
            {
                self.out.given.meddled(other, &spot.path, event.head.seq);
                self.explain(other, spot.path, actor, access, (true, is_real(event)));
                is_beyond = true;
            }
        }
        if is_beyond {
            self.strange(event);
        }
    }

    /// Counts an event of who has no part in what it touches.
    pub(super) fn strange(&mut self, event: &Event<'_>) {
        self.out.foreign_count += 1;
        if self.out.foreign.len() < EVIDENCE_MAX {
            self.out.foreign.push(event.head.seq);
        }
    }
}

pub(super) fn changes(access: Access) -> bool {
    !matches!(access, Access::Read | Access::Execute)
}

/// The length of a name's last part, where a link that the kernel makes up stands before it: proc's of descriptors, working and
/// root directories, and /dev/fd, which leads there. What it leads to is in no name.
fn last_behind_link(path: &[u8], mount: &MountPoint) -> Option<usize> {
    let below = match is_proc(mount) {
        true => path.strip_prefix(mount.path.as_slice())?,
        false => path.strip_prefix(b"/dev").filter(|below| below.starts_with(b"/fd/"))?,
    };
    let mut names = below.split(|byte| *byte == b'/');
    if names.find(|name| matches!(*name, b"fd" | b"cwd" | b"root"))? == b"fd" {
        names.next();
    }
    let name = names.next_back().filter(|name| !name.is_empty())?;
    Some(name.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_link_of_the_kernel_is_the_end_of_a_name() {
        let mount = |path: &str, fstype: &str| MountPoint {
            seq: 1,
            mntns: 1,
            path: path.into(),
            fstype: Some(fstype.into()),
            source: None,
        };
        let end =
            |path: &str, fstype: &str, at: &str| last_behind_link(path.as_bytes(), &mount(at, fstype));
        for (path, length) in [
            ("/proc/self/fd/3/name", Some(5)),
            ("/proc/thread-self/fd/3/a/b", Some(2)),
            ("/proc/7/task/8/root/x", Some(2)),
            ("/proc/self/cwd/x", Some(2)),
            ("/proc/self/fd/3", None),
            ("/proc/self/root", None),
            ("/proc/sys/kernel/x", None),
        ] {
            assert_eq!(end(path, "proc", "/proc"), length, "{path}");
        }
        assert_eq!(end("/dev/fd/3/name", "tmpfs", "/dev"), Some(5));
        assert_eq!(end("/dev/fd/3", "tmpfs", "/dev"), None);
        assert_eq!(end("/c/fd/3/name", "tmpfs", "/c"), None, "a directory that is called so");
    }
}
