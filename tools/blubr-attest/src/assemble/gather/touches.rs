//! Which paths an event touches, and how: what it says of them by itself.

use blubr_attestation::trace::Access;
use blubr_log::event::FileClose;
use blubr_log::{Body, Event, Name, Time};

use super::super::doing::Follows;

/// The paths that an event touches, how, and whether only the path's end is known. A call that failed touched nothing.
pub(super) fn touches<'e>(event: &'e Event<'_>) -> Vec<(&'e [u8], Access, bool)> {
    let mut found = Vec::new();
    if event.failed() {
        return found;
    }
    let (cut, cut_to) = (event.tail.is_cut("path"), event.tail.is_cut("to"));
    let mut put = |name: Option<&'e Name<'_>>, access, cut| {
        found.extend(name.map(|name| (name.bytes(), access, cut)));
    };
    let mut add = |name, access| put(name, access, cut);
    match &event.body {
        Body::ProcessExec(it) => add(it.exe.get(), Access::Execute),
        Body::FileOpen(it) => {
            if it.mode.reads() {
                add(it.path.get(), Access::Read);
            }
            // A file without a name (O_TMPFILE) changes nothing at the path that is given, a directory.
            if it.create.0 && !it.tmpfile.0 {
                add(it.path.get(), Access::Create);
            }
            if (it.mode.writes() || it.truncate.0) && !it.tmpfile.0 {
                add(it.path.get(), Access::Write);
            }
            // But overlayfs copies that directory up for it (ovl_tmpfile).
            if it.tmpfile.0 {
                let dir = it.path.get().and_then(|path| directory(path.bytes()));
                found.extend(dir.map(|dir| (dir, Access::Attributes, cut)));
            }
        }
        // Neither does its end.
        Body::FileClose(it) if is_nameless(it) => {}
        Body::FileClose(it) => add(it.path.get(), Access::Write),
        Body::FileMkdir(it) => add(it.path.get(), Access::Create),
        Body::FileMknod(it) => add(it.path.get(), Access::Create),
        Body::FileSymlink(it) => add(it.path.get(), Access::Create),
        // The file that there was has one link more: a lower layer's is copied up for it.
        Body::FileLink(it) => {
            add(it.path.get(), Access::Attributes);
            put(it.to.get(), Access::Create, cut_to);
        }
        Body::FileUnlink(it) => add(it.path.get(), Access::Delete),
        Body::FileRename(it) => {
            add(it.path.get(), if it.exchange.0 { Access::RenameTo } else { Access::RenameFrom });
            put(it.to.get(), Access::RenameTo, cut_to);
        }
        Body::FileTruncate(it) => add(it.path.get(), Access::Write),
        Body::FileChmod(it) => add(it.path.get(), Access::Attributes),
        Body::FileChown(it) => add(it.path.get(), Access::Attributes),
        Body::FileSetxattr(it) => add(it.path.get(), Access::Attributes),
        Body::FileUtimes(it) => add(it.path.get(), Access::Attributes),
        _ => {}
    }
    found
}

/// Whether a change must show in the layer of a step that began at `since`. What was copied up and is still as it was
/// below shows in the layers of some engines and not of others (containerd compares size and time): so neither an open for
/// writing, nor attributes that may be what they were, nor a further link. What an open made was not below.
pub(super) fn is_certain(event: &Event<'_>, access: Access, since: Option<Time>) -> bool {
    // Of a path that was cut there is the tail.
    if event.tail.is_cut("path") || event.tail.is_cut("to") {
        return false;
    }
    match &event.body {
        Body::FileOpen(open) => access == Access::Create && open.perm.is_some(),
        Body::FileClose(close) => {
            close.mtime.zip(since).is_some_and(|(changed, since)| changed >= since)
        }
        _ => matches!(access, Access::Create | Access::RenameTo),
    }
}

/// Whether a change leaves nothing of what its name held before. An open may find a file there, and keep it.
pub(super) fn is_anew(event: &Event<'_>, access: Access) -> bool {
    match (&event.body, access) {
        (Body::FileOpen(it), Access::Create | Access::Write) => it.truncate.0 || it.perm.is_some(),
        (Body::FileTruncate(it), _) => it.size == 0,
        _ => matches!(access, Access::Create | Access::RenameTo | Access::Delete),
    }
}

/// Whether a file without a name was closed: the kernel calls it after its inode (d_tmpfile, fs/dcache.c).
fn is_nameless(close: &FileClose<'_>) -> bool {
    let (Some(path), Some(ino)) = (close.path.get(), close.ino) else { return false };
    let name = path.bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.strip_prefix(b"#") == Some(ino.to_string().as_bytes())
}

/// Whether the kernel resolved the names of an event: no directory in them was a symlink then.
pub(super) fn is_real(event: &Event<'_>) -> bool {
    event.tail.path_from.is_none()
}

/// Whether an event is of an open file and says nothing of its name, which may be gone by then: a close, and a call by descriptor.
pub(super) fn is_of_file(event: &Event<'_>) -> bool {
    match event.body {
        Body::FileClose(_) => true,
        Body::FileChmod(_)
        | Body::FileChown(_)
        | Body::FileTruncate(_)
        | Body::FileSetxattr(_)
        | Body::FileUtimes(_) => is_real(event),
        _ => false,
    }
}

/// Whether the call follows a symlink that the path ends in: chmod and truncate do, chown, setxattr and utimes have forms
/// that do and forms that do not.
pub(super) fn follows(event: &Event<'_>) -> Follows {
    if event.tail.path_from.is_none() {
        return Follows::No;
    }
    match &event.body {
        Body::FileChmod(_) | Body::FileTruncate(_) => Follows::Yes,
        Body::FileChown(_) | Body::FileSetxattr(_) | Body::FileUtimes(_) => Follows::Unknown,
        _ => Follows::No,
    }
}

/// The directory of a path, where that is not the root.
fn directory(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    path.get(..slash).filter(|dir| !dir.is_empty())
}

/// Whether what the event makes is a socket: by mknod(2), or by the bind(2) of a Unix socket to a path.
pub(super) fn makes_socket(event: &Event<'_>) -> bool {
    matches!(&event.body, Body::FileMknod(it) if it.kind.bytes() == b"socket")
}
