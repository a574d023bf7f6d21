//! Files: what is opened, made, changed and removed.

use super::field::{Dev, Flag, OpenMode, Perm};
use super::schema::schema;
use crate::{Name, Seen, Time};

schema! {
    /// A file was opened (open, openat, openat2, creat, open_by_handle_at), or with a negative `ret` could not be; or an open file came from another process (`via`).
    struct FileOpen<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// What for.
        mode: OpenMode,
        /// O_CREAT was given.
        create: Flag,
        /// O_TRUNC was given.
        truncate: Flag,
        /// O_TMPFILE was given: a file without a name.
        tmpfile: Flag,
        /// Device of its file system.
        dev: Option<Dev>,
        /// Inode number.
        ino: Option<u64>,
        /// Size in bytes at that moment.
        size: Option<u64>,
        /// Last modification at that moment.
        mtime: Option<Time>,
        /// The permission bits that it has, where this call made it.
        perm: Option<Perm>,
    }
}

schema! {
    /// A file that was open for writing was closed: the last descriptor of a process for it, or of a thread with descriptors of its own (close, dup2, exec, exit). A ring may close it later than it is asked to: then size and mtime are not told.
    struct FileClose<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// Device of its file system.
        dev: Option<Dev>,
        /// Inode number.
        ino: Option<u64>,
        /// Size in bytes at that moment.
        size: Option<u64>,
        /// Last modification at that moment.
        mtime: Option<Time>,
    }
}

schema! {
    /// A directory was made.
    struct FileMkdir<'a> {
        /// The directory.
        path: Seen<Name<'a>>,
        /// The permission bits asked for, before the umask.
        mode: Perm,
    }
}

schema! {
    /// A device, FIFO, socket or plain file was made by mknod; or a socket by bind, to a name in the file system.
    struct FileMknod<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// `fifo`, `char`, `block`, `socket` or `file`.
        kind: Name<'a>,
        /// The permission bits asked for, before the umask.
        mode: Perm,
        /// The device that it stands for, of `char` and `block`.
        rdev: Option<Dev>,
    }
}

schema! {
    /// A name was removed (unlink, unlinkat, rmdir).
    struct FileUnlink<'a> {
        /// The name.
        path: Seen<Name<'a>>,
        /// A directory was asked to be removed (rmdir, AT_REMOVEDIR).
        directory: Flag,
    }
}

schema! {
    /// A name was changed (rename, renameat, renameat2).
    struct FileRename<'a> {
        /// The old name.
        path: Seen<Name<'a>>,
        /// The new name.
        to: Seen<Name<'a>>,
        /// The two were exchanged (RENAME_EXCHANGE).
        exchange: Flag,
        /// A whiteout was left under the old name (RENAME_WHITEOUT).
        whiteout: Flag,
    }
}

schema! {
    /// A further name was given to a file (link, linkat).
    struct FileLink<'a> {
        /// The name, or the descriptor's file, that there was.
        path: Seen<Name<'a>>,
        /// The new name.
        to: Seen<Name<'a>>,
    }
}

schema! {
    /// A symbolic link was made.
    struct FileSymlink<'a> {
        /// The link.
        path: Seen<Name<'a>>,
        /// What it holds.
        target: Seen<Name<'a>>,
    }
}

schema! {
    /// Permission bits were changed (chmod, fchmod, fchmodat, fchmodat2).
    struct FileChmod<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// The new bits.
        mode: Perm,
    }
}

schema! {
    /// Owner or group were changed (chown, lchown, fchown, fchownat).
    struct FileChown<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// The new owner, where it was to change; as the caller numbers it.
        owner: Option<u32>,
        /// The new group, where it was to change; as the caller numbers it.
        group: Option<u32>,
    }
}

schema! {
    /// A length was set (truncate, ftruncate, fallocate).
    struct FileTruncate<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// The new size in bytes; for fallocate the end of its range.
        size: u64,
    }
}

schema! {
    /// An extended attribute was set or removed.
    struct FileSetxattr<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// Name of the attribute.
        name: Seen<Name<'a>>,
        /// The new value, or its first 4,096 bytes (then `truncated`).
        value: Option<Name<'a>>,
        /// The attribute was removed.
        remove: Flag,
    }
}

schema! {
    /// Times of a file were set (utime, utimes, futimesat, utimensat).
    struct FileUtimes<'a> {
        /// The file.
        path: Seen<Name<'a>>,
        /// The new access time, where it was to change.
        atime: Option<Time>,
        /// The new modification time, where it was to change.
        mtime: Option<Time>,
    }
}
