//! Of which type of event each kind of record tells, for those that are lost.

use blubr_probes::wire::wire_kind::{self, *};
use zerocopy::TryFromBytes as _;

/// The type of event that a lost record would have been, or part of; `None` where it is no event's loss: its like
/// adds to an event that comes anyway. `kind` is a number of `enum wire_kind`.
pub fn type_of(kind: usize) -> Option<&'static str> {
    let kind = u32::try_from(kind).ok()?;
    Some(match wire_kind::try_read_from_bytes(&kind.to_ne_bytes()).ok()? {
        WIRE_NONE | WIRE_KIND_COUNT | WIRE_ENTRY | WIRE_CGROUP_MKDIR | WIRE_CGROUP_RENAME
        | WIRE_CGROUP_RMDIR => return None,
        WIRE_PROCESS_FORK => "process.fork",
        WIRE_PROCESS_EXEC | WIRE_EXEC_FAILED => "process.exec",
        WIRE_PROCESS_EXIT => "process.exit",
        WIRE_PROCESS_EXISTS | WIRE_EXISTS_FILE => "process.exists",
        WIRE_FILE_OPEN => "file.open",
        WIRE_FILE_CLOSE => "file.close",
        WIRE_FILE_MKDIR => "file.mkdir",
        WIRE_FILE_MKNOD | WIRE_UNIX_BIND => "file.mknod",
        WIRE_FILE_UNLINK => "file.unlink",
        WIRE_FILE_RENAME => "file.rename",
        WIRE_FILE_LINK => "file.link",
        WIRE_FILE_SYMLINK => "file.symlink",
        WIRE_FILE_CHMOD => "file.chmod",
        WIRE_FILE_CHOWN => "file.chown",
        WIRE_FILE_TRUNCATE => "file.truncate",
        WIRE_FILE_SETXATTR => "file.setxattr",
        WIRE_FILE_UTIMES => "file.utimes",
        WIRE_MOUNT_MOUNT | WIRE_FSOPEN | WIRE_FSCONFIG | WIRE_FSMOUNT | WIRE_OPEN_TREE
        | WIRE_MOVE_MOUNT | WIRE_MOUNT_SETATTR | WIRE_FSPICK => "mount.mount",
        WIRE_MOUNT_UMOUNT => "mount.umount",
        WIRE_MOUNT_PIVOT_ROOT => "mount.pivot_root",
        WIRE_FS_CHROOT => "fs.chroot",
        WIRE_NS_UNSHARE => "ns.unshare",
        WIRE_NS_SETNS => "ns.setns",
        WIRE_CONNECT => "net.connect",
        WIRE_NET_ACCEPT => "net.accept",
        WIRE_NET_BIND => "net.bind",
        WIRE_NET_LISTEN => "net.listen",
        WIRE_NET_SEND => "net.send",
        WIRE_NET_CLOSE => "net.close",
        WIRE_DNS_PAYLOAD => "net.dns",
        WIRE_TLS_PAYLOAD => "net.tls",
        WIRE_HTTP_PAYLOAD => "net.http",
        WIRE_WATCH_BPF => "watch.bpf",
        WIRE_WATCH_PTRACE => "watch.ptrace",
        WIRE_WATCH_MODULE => "watch.module",
        WIRE_WATCH_KILL => "watch.kill",
        WIRE_WATCH_IOURING => "watch.iouring",
        WIRE_WATCH_SOCKET => "watch.socket",
        // Of whatever kind it was: its event goes without a result.
        WIRE_RING_DONE => "io_uring",
    })
}

#[cfg(test)]
mod tests {
    use blubr_log::Body;

    use super::*;

    #[test]
    fn what_is_lost_is_counted_by_a_type_of_the_log() {
        let types: Vec<&str> = (0..WIRE_KIND_COUNT as usize).filter_map(type_of).collect();
        for name in &types {
            let is_known = Body::TYPES.iter().any(|doc| doc.name == *name);
            assert!(is_known || *name == "io_uring", "{name}");
        }
        // The rest is no record's own: it is read out of /proc, or told by one of those.
        let untold = Body::TYPES.iter().map(|doc| doc.name).filter(|name| !types.contains(name));
        assert_eq!(untold.collect::<Vec<_>>(), ["mount.exists", "unix.connect"]);
        assert_eq!((type_of(WIRE_KIND_COUNT as usize), type_of(usize::MAX)), (None, None));
    }
}
