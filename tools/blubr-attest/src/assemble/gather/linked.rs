//! Names that go through the link which the kernel makes up for a descriptor (`/proc/self/fd/N`): what they name is where the
//! descriptor leads.

use std::borrow::Cow;

use blubr_build::MountPoint;
use blubr_log::{Body, Event, Name, Seen};

use super::Pass;

/// The links' beginnings; the last is a symlink to the first's directory.
const LINKS: [&[u8]; 3] = [b"/proc/self/fd/", b"/proc/thread-self/fd/", b"/dev/fd/"];

impl Pass<'_> {
    /// The event with the name that its path stands for, where that goes through such a link and proc is mounted there. Where
    /// the path ends with the link it is the kernel's own word.
    pub(super) fn by_descriptor<'e>(&self, event: &'e Event<'e>) -> Cow<'e, Event<'e>> {
        let Some(leads) = told_of(event) else { return Cow::Borrowed(event) };
        let mut known = event.clone();
        let Some(path) = path_of(&mut known.body) else { return Cow::Borrowed(event) };
        let through = path.get().and_then(|path| {
            let behind = behind_link(path.bytes())?;
            // The root's name is the slash that the rest begins with.
            let leads = if leads == b"/" && !behind.is_empty() { b"" } else { leads };
            self.is_link(event, path.bytes()).then(|| ([leads, behind].concat(), behind.is_empty()))
        });
        let Some((named, is_file)) = through else { return Cow::Borrowed(event) };
        *path = Seen(Some(Name::from(named.as_slice()).into_owned()));
        if is_file && is_of_one_file(&known.body) {
            known.tail.path_from = None;
        }
        Cow::Owned(known)
    }

    /// Whether what an event calls by such a name is one of the kernel's links.
    fn is_link(&self, event: &Event<'_>, path: &[u8]) -> bool {
        let Some(spot) = self.membership.spot(event, path) else {
            return self.membership.host_path(event, path).as_deref() == Some(path);
        };
        let mounts = spot.run.and_then(|run| self.run(run)).map(|run| &run.mounts);
        let mount = spot.mounted.and_then(|at| mounts?.get(at));
        // Runtimes put a symlink to the process's descriptors into the /dev that they mount.
        mount.is_some_and(|mount| is_proc(mount) || path.starts_with(b"/dev/fd/"))
    }
}

/// Where a descriptor leads that an event's path goes through, where both are known for certain.
fn told_of<'e>(event: &'e Event<'_>) -> Option<&'e [u8]> {
    let leads = event.tail.fd_path.as_ref()?;
    let is_told = event.tail.path_from.as_ref().is_some_and(|from| from.bytes() == b"user");
    let is_cut = event.tail.is_cut("path") || event.tail.is_cut("fd_path");
    (is_told && !is_cut).then(|| leads.bytes())
}

/// Whether proc is what is mounted, or a bind of the host's.
pub(super) fn is_proc(mount: &MountPoint) -> bool {
    mount.fstype.as_deref() == Some(b"proc") || mount.source.as_deref() == Some(b"/proc")
}

/// What follows the link that a path begins with.
fn behind_link(path: &[u8]) -> Option<&[u8]> {
    let below = LINKS.iter().find_map(|link| path.strip_prefix(*link))?;
    let digits = below.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = below.get(digits..)?;
    (digits > 0 && matches!(behind.first(), None | Some(b'/'))).then_some(behind)
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
    fn a_name_goes_on_behind_the_link_of_a_descriptor() {
        let behind = |path: &'static str| behind_link(path.as_bytes());
        assert_eq!(behind("/proc/self/fd/3"), Some(&b""[..]));
        assert_eq!(behind("/proc/thread-self/fd/12/a/b"), Some(&b"/a/b"[..]));
        assert_eq!(behind("/dev/fd/0/x"), Some(&b"/x"[..]));
        for other in ["/proc/self/fd", "/proc/self/fd/", "/proc/self/fd/x", "/proc/self/fd/3x", "/fd/3"]
        {
            assert_eq!(behind(other), None, "{other}");
        }
    }
}
