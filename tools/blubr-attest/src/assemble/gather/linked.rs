//! Names that go through the link which the kernel makes up for a descriptor (`/proc/self/fd/N`): what they name is where the
//! descriptor leads.

use std::borrow::Cow;
use std::collections::HashMap;

use blubr_build::{MountPoint, Place, StepRun};
use blubr_log::{Body, Event, Name, Seen, behind_descriptor};

use super::{Pass, is_of_runtime};

/// By run, whether what its processes see at /proc is what the kernel has there.
#[derive(Default)]
pub(super) struct Links(HashMap<u32, bool>);

impl Links {
    /// Takes in an event of a run's container: who mounts or unmounts there, or in a namespace of its own, may have covered what the
    /// kernel has.
    pub(super) fn learn(&mut self, run: u32, event: &Event<'_>) {
        let moves =
            matches!(event.body, Body::MountMount(_) | Body::MountUmount(_) | Body::MountPivotRoot(_));
        if moves && !event.failed() {
            self.0.insert(run, false);
        }
    }

    fn are_real(&mut self, run: &StepRun) -> bool {
        *self.0.entry(run.id).or_insert_with(|| is_bare(run))
    }
}

impl Pass<'_> {
    /// The event with the name that its path stands for, where that goes through such a link and proc is mounted there. Where
    /// the path ends with the link it is the kernel's own word.
    pub(super) fn by_descriptor<'e>(
        &mut self,
        event: &'e Event<'e>,
        place: Place,
    ) -> Cow<'e, Event<'e>> {
        let Some(leads) = told_of(event) else { return Cow::Borrowed(event) };
        let mut known = event.clone();
        let Some(path) = path_of(&mut known.body) else { return Cow::Borrowed(event) };
        let through = path.get().and_then(|path| {
            let behind = behind_link(path.bytes())?;
            // The root's name is the slash that the rest begins with.
            let leads = if leads == b"/" && !behind.is_empty() { b"" } else { leads };
            let is_link = self.is_link(event, path.bytes(), place);
            is_link.then(|| ([leads, behind].concat(), behind.is_empty()))
        });
        let Some((named, is_file)) = through else { return Cow::Borrowed(event) };
        *path = Seen(Some(Name::from(named.as_slice()).into_owned()));
        if is_file && is_of_one_file(&known.body) {
            known.tail.path_from = None;
        }
        Cow::Owned(known)
    }

    /// Whether what an event calls by such a name is one of the kernel's links.
    fn is_link(&mut self, event: &Event<'_>, path: &[u8], place: Place) -> bool {
        let spot = self.membership.spot(event, path);
        let Place::Container { run } = place else {
            // On the host, as the engine sees it: who has another namespace may have anything there.
            return spot.is_none()
                && self.membership.at_home(event)
                && self.membership.host_path(event, path).as_deref() == Some(path);
        };
        let Some((run, spot)) = self.run(run).zip(spot) else { return false };
        // Below a root of its own the tree has it under another name.
        let is_mounted = spot.mounted.and_then(|at| run.mounts.get(at)).is_some_and(is_proc);
        is_mounted && spot.path == path && self.links.are_real(run)
    }
}

/// Whether the runtime mounted proc in a run's tree, nothing upon the directories of processes, and the container nothing at all.
fn is_bare(run: &StepRun) -> bool {
    let is_hidden = |mount: &MountPoint| {
        let below = mount.path.strip_prefix(b"/proc/");
        below.is_some_and(|below| {
            below.first().is_some_and(u8::is_ascii_digit)
                || below.starts_with(b"self")
                || below.starts_with(b"thread-self")
        })
    };
    let mut all = run.mounts.iter().enumerate();
    all.all(|(at, mount)| is_of_runtime(run, at) && !is_hidden(mount))
}

/// Where a descriptor leads that an event's path goes through, where both are known for certain.
fn told_of<'e>(event: &'e Event<'_>) -> Option<&'e [u8]> {
    let leads = event.tail.fd_path.as_ref()?;
    let is_told = event.tail.path_from.as_ref().is_some_and(|from| from.bytes() == b"user");
    let is_cut = event.tail.is_cut("path") || event.tail.is_cut("fd_path");
    (is_told && !is_cut && leads.bytes().first() == Some(&b'/')).then(|| leads.bytes())
}

/// Whether proc is what is mounted, or a bind of the host's.
pub(super) fn is_proc(mount: &MountPoint) -> bool {
    mount.fstype.as_deref() == Some(b"proc") || mount.source.as_deref() == Some(b"/proc")
}

/// What follows the link that a path begins with. /dev/fd is a symlink there, which a container's process may put another in
/// place of.
fn behind_link(path: &[u8]) -> Option<&[u8]> {
    behind_descriptor(path).filter(|_| !path.starts_with(b"/dev/"))
}

/// Whether a call is about one file, which is there: what it leads to is what it changed.
fn is_of_one_file(body: &Body<'_>) -> bool {
    matches!(
        body,
        Body::FileChmod(_)
            | Body::FileChown(_)
            | Body::FileTruncate(_)
            | Body::FileSetxattr(_)
            | Body::FileUtimes(_)
    )
}

/// The path of a call that may name a file so.
fn path_of<'b, 'e>(body: &'b mut Body<'e>) -> Option<&'b mut Seen<Name<'e>>> {
    Some(match body {
        Body::FileChmod(it) => &mut it.path,
        Body::FileChown(it) => &mut it.path,
        Body::FileTruncate(it) => &mut it.path,
        Body::FileSetxattr(it) => &mut it.path,
        Body::FileUtimes(it) => &mut it.path,
        Body::FileLink(it) => &mut it.path,
        Body::FileRename(it) => &mut it.path,
        Body::FileUnlink(it) => &mut it.path,
        Body::FileMkdir(it) => &mut it.path,
        Body::FileMknod(it) => &mut it.path,
        Body::FileSymlink(it) => &mut it.path,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_may_put_another_in_place_of_is_no_link() {
        assert_eq!(behind_link(b"/proc/self/fd/3/x"), Some(&b"/x"[..]));
        assert_eq!(behind_link(b"/dev/fd/3/x"), None);
    }
}
