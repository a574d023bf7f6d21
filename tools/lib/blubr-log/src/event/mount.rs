//! Mounts, roots and namespaces: what later paths mean.

use super::field::Flag;
use super::schema::schema;
use crate::{Name, NameList, Seen};

schema! {
    /// Something was mounted, by mount(2) or by fsopen, fsconfig, fsmount and move_mount, or what a mount allows was changed (mount_setattr; fspick and fsconfig: `remount` is among the flags). Of a call of the new interface that failed there is no target yet.
    struct MountMount<'a> {
        /// What was mounted, as the caller named it: a device, a directory (bind), or any word.
        source: Seen<Name<'a>>,
        /// Where.
        target: Seen<Name<'a>>,
        /// Working directory of the caller, from which relative names count.
        cwd: Option<Name<'a>>,
        /// Type of the file system, where a new one was mounted.
        fstype: Option<Name<'a>>,
        /// The flags that were given, as mount(8) names them: `bind`, `rec`, `ro`, `remount`, `move`, `private` ... Of mount_setattr those that were cleared too: `rw`, `suid`, `dev`, `exec`. Of move_mount `beneath` (below what is mounted there) and `set_group` (nothing is moved: the target gets the peers of the source).
        flags: NameList<'a>,
        /// The options, as the caller gave them.
        options: Option<Name<'a>>,
        /// Of an overlay: its lower directories, topmost first, resolved.
        lower: Option<NameList<'a>>,
        /// Of an overlay: its upper directory, resolved.
        upper: Option<Name<'a>>,
        /// Of an overlay: its work directory, resolved.
        work: Option<Name<'a>>,
    }
}

schema! {
    /// Something was unmounted.
    struct MountUmount<'a> {
        /// Where it was mounted.
        target: Seen<Name<'a>>,
        /// The flags that were given: `force`, `detach`, `expire`, `nofollow`.
        flags: NameList<'a>,
    }
}

schema! {
    /// The root of a mount namespace was changed.
    struct MountPivotRoot<'a> {
        /// The new root, as it was named before.
        path: Seen<Name<'a>>,
        /// Where the old root was put, as the caller named it.
        put_old: Seen<Name<'a>>,
    }
}

schema! {
    /// A mount that was there before the recording.
    struct MountExists<'a> {
        /// What is mounted (the last but one field of /proc/PID/mountinfo).
        source: Seen<Name<'a>>,
        /// Where.
        target: Seen<Name<'a>>,
        /// Type of the file system.
        fstype: Seen<Name<'a>>,
        /// Directory of that file system which is the mount's root.
        root: Seen<Name<'a>>,
        /// Options of the file system.
        options: Option<Name<'a>>,
        /// Of an overlay: its lower directories, topmost first, resolved.
        lower: Option<NameList<'a>>,
        /// Of an overlay: its upper directory, resolved.
        upper: Option<Name<'a>>,
        /// Of an overlay: its work directory, resolved.
        work: Option<Name<'a>>,
    }
}

schema! {
    /// The root directory of a process was changed.
    struct FsChroot<'a> {
        /// The new root, as it was named before.
        path: Seen<Name<'a>>,
        /// It is the root of other processes too (clone with CLONE_FS), or not of all threads of this one: whose paths begin there
        /// from now on is not told.
        apart: Flag,
    }
}

schema! {
    /// A process left namespaces that it shared (unshare), or, without `ret`, was born into namespaces of its own (clone, clone3).
    struct NsUnshare<'a> {
        /// Which: `mnt`, `net`, `pid`, `user`, `uts`, `ipc`, `cgroup`, `time`.
        namespaces: NameList<'a>,
    }
}

schema! {
    /// A process entered namespaces of another.
    struct NsSetns<'a> {
        /// Which: as of `ns.unshare`; empty where neither the caller nor the descriptor says.
        namespaces: NameList<'a>,
    }
}
