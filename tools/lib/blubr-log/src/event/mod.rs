//! The schema: what each type of event says. One struct a type, one documented field a key.
//!
//! The order of keys in a log is the order of fields here: [`Head`], the type's own fields, [`Tail`].

mod field;
mod file;
mod mount;
mod net;
mod process;
mod read;
mod schema;
mod watch;

pub use field::{Addr, Dev, Flag, OpenMode, Perm, Proto};
pub use file::*;
pub use mount::*;
pub use net::*;
pub use process::*;
pub use schema::{KeyDoc, TypeDoc};
pub use watch::*;

pub(crate) use read::parse;

use crate::{Name, NameList, Seen, Time};
use schema::schema;

schema! {
    /// What every event says of when, who and where.
    struct Head<'a> {
        /// Number of the event, from 1, without gaps in a log that no filter has been over: the order in which the ring was reserved.
        seq: u64,
        /// When it happened: the monotonic clock plus one offset taken at the start of the recording. May step back against `seq` by microseconds.
        time: Time,
        /// The type of event.
        r#type: Name<'a>,
        /// Process id (kernel: tgid) in the initial pid namespace.
        pid: u32,
        /// Thread id (kernel: pid) in the initial pid namespace.
        tid: u32,
        /// When the process started, in ns since boot (`task->group_leader->start_boottime`); pid and start name a process for ever.
        start: u64,
        /// Process id of the parent (`real_parent->tgid`), in the initial pid namespace.
        ppid: u32,
        /// Name of the thread (`task->comm`, at most 15 bytes).
        comm: Name<'a>,
        /// Effective user id, in the initial user namespace (`task->cred->euid`).
        uid: u32,
        /// Path of the control group: the v2 path on v2 and hybrid hosts.
        cgroup: Seen<Name<'a>>,
        /// Id of that control group (its kernfs node), which is not used again while the host is up.
        cgroup_id: u64,
        /// Inode number of the mount namespace.
        mntns: u32,
    }
}

schema! {
    /// What any event may say after its own fields.
    #[derive(Default)]
    struct Tail<'a> {
        /// Where the paths come from: no key when the kernel resolved them; `user` when it is the caller's string made absolute by cwd or dirfd (symlinks not followed); `user-raced` when two readings differ, of that string, of what it begins at, or of the file that a descriptor is, or when the first was not kept (then the path is one of the two at best); `outside` when the path does not begin at the process's root but at that of its file system (a descriptor from outside a container), or is a file that lies nowhere (memfd).
        path_from: Option<Name<'a>>,
        /// Where `path` goes through a link that the kernel makes up for a descriptor of the caller, as it does if it begins `/proc/self/fd/N`, `/proc/thread-self/fd/N` or `/dev/fd/N` and proc is mounted there: the path that descriptor had at the call's exit. Not told where the call is about the link itself, nor where the link is of the process's first thread, which has another table of descriptors than the caller.
        fd_path: Option<Name<'a>>,
        /// How it came about, when not by a system call of its name: `io_uring`: asked of a ring; `scm_rights`, `pidfd_getfd`: the descriptor (`ret`) of an open file or of a socket came from another process, over a socket or by that call.
        via: Option<Name<'a>>,
        /// The fields that were cut at a limit, each by its key.
        truncated: Option<NameList<'a>>,
        /// What the call returned: 0 or the new descriptor on success, -errno on failure. Of an operation of a ring it is missing where the ring was asked not to tell of success, or never told. Of a call that was under way when another thread gave the caller a seccomp filter it is missing too: the answer may be the filter's.
        ret: Option<i64>,
    }
}

impl Tail<'_> {
    /// Whether a field, by its key, was cut at a limit.
    #[must_use]
    pub fn is_cut(&self, field: &str) -> bool {
        self.truncated.as_ref().is_some_and(|cut| cut.iter().any(|one| one == field.as_bytes()))
    }
}

schema::bodies! {
    "process.fork" ProcessFork,
    "process.exec" ProcessExec<'a>,
    "process.exit" ProcessExit,
    "process.exists" ProcessExists<'a>,
    "file.open" FileOpen<'a>,
    "file.close" FileClose<'a>,
    "file.mkdir" FileMkdir<'a>,
    "file.mknod" FileMknod<'a>,
    "file.unlink" FileUnlink<'a>,
    "file.rename" FileRename<'a>,
    "file.link" FileLink<'a>,
    "file.symlink" FileSymlink<'a>,
    "file.chmod" FileChmod<'a>,
    "file.chown" FileChown<'a>,
    "file.truncate" FileTruncate<'a>,
    "file.setxattr" FileSetxattr<'a>,
    "file.utimes" FileUtimes<'a>,
    "mount.mount" MountMount<'a>,
    "mount.umount" MountUmount<'a>,
    "mount.pivot_root" MountPivotRoot<'a>,
    "mount.exists" MountExists<'a>,
    "fs.chroot" FsChroot<'a>,
    "ns.unshare" NsUnshare<'a>,
    "ns.setns" NsSetns<'a>,
    "net.connect" NetConnect<'a>,
    "net.accept" NetAccept<'a>,
    "net.bind" NetBind<'a>,
    "net.listen" NetListen<'a>,
    "net.send" NetSend<'a>,
    "net.close" NetClose<'a>,
    "net.dns" NetDns<'a>,
    "net.tls" NetTls<'a>,
    "net.http" NetHttp<'a>,
    "unix.connect" UnixConnect<'a>,
    "watch.bpf" WatchBpf<'a>,
    "watch.ptrace" WatchPtrace<'a>,
    "watch.module" WatchModule<'a>,
    "watch.kill" WatchKill,
    "watch.iouring" WatchIouring<'a>,
    "watch.socket" WatchSocket<'a>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// When, who and where.
    pub head: Head<'a>,
    /// What.
    pub body: Body<'a>,
    /// How it was learnt, and what came of it.
    pub tail: Tail<'a>,
}

impl Event<'_> {
    /// Appends the event's line to `out`, without the newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.head.write(out);
        self.body.write(out);
        self.tail.write(out);
        out.push(b'}');
    }

    /// Whether the call failed; an event without `ret` tells of what happened.
    pub fn failed(&self) -> bool {
        self.tail.ret.is_some_and(|ret| ret < 0)
    }
}
