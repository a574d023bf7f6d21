//! What the header says of this machine and of what can't be seen on it.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use blubr_log::{Host, NotCovered, chain::Chain};

use crate::cgroup::Layout;

/// Servers of /etc/resolv.conf that are named; the resolver uses three (resolv.conf(5), MAXNS).
const RESOLVERS_MAX: usize = 16;

/// The machine.
pub fn host(layout: Layout) -> Host {
    let (kernel, arch) = uname();
    let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    Host {
        kernel,
        arch,
        boot_id: read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        machine_id_hash: read("/etc/machine-id").filter(|id| !id.is_empty()).map(|id| hash(&id)),
        cgroup: layout.name().to_owned(),
        resolvers: read("/etc/resolv.conf").map(|text| resolvers(&text)).unwrap_or_default(),
    }
}

fn hash(machine_id: &str) -> String {
    let mut chain = Chain::new();
    chain.update(b"blubr machine-id ");
    chain.update(machine_id.as_bytes());
    chain.hex()
}

fn resolvers(text: &str) -> Vec<String> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers = servers.filter(|rest| rest.starts_with(char::is_whitespace));
    servers.map(|rest| rest.trim().to_owned()).take(RESOLVERS_MAX).collect()
}

/// Kernel release and machine.
pub fn uname() -> (String, String) {
    // SAFETY: utsname is plain bytes.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: uname fills the struct.
    if unsafe { libc::uname(&raw mut name) } != 0 {
        return (String::new(), String::new());
    }
    let text = |field: &[libc::c_char]| {
        // SAFETY: the kernel ends each field with a NUL.
        unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
    };
    (text(&name.release), text(&name.machine))
}

/// What this recorder does not see on any host, and why.
const NEVER: [(&str, &str); 28] = [
    ("mmap", "writes through shared memory mappings leave no event but the file's open and close"),
    ("write", "single reads and writes are not recorded: open, close and their sizes are"),
    (
        "inode flags",
        "and fsx attributes (FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, file_setattr), fs-verity, and subvolumes that ioctls of btrfs make, change or remove",
    ),
    ("mount.mount", "of a file system of fsopen and fsmount that is never attached"),
    ("process.fork", "that failed: no process was made"),
    (
        "net.connect by other sockets",
        "what packet, vsock, Bluetooth and other sockets reach, and SCTP's by setsockopt (sctp_connectx): that there is one is told by watch.socket",
    ),
    ("net.close", "of sockets that were there before the recording, and of SCTP, DCCP and MPTCP"),
    ("net.close by io_uring", "of a socket that a ring made without telling of success"),
    (
        "net.dns",
        "over TLS or HTTPS, through io_uring, and over TCP connections from before the recording unless a message comes whole",
    ),
    (
        "net.tls",
        "what was not sent by write or send (io_uring, sendfile, splice), behind other words than CONNECT (STARTTLS, SOCKS), over QUIC or MPTCP; of an encrypted ClientHello the name within",
    ),
    (
        "net.http",
        "what was not sent by write or send (io_uring, sendfile, splice), later requests on a connection behind 16 KiB or one without a known end, HTTP/2 and later",
    ),
    ("file.close by io_uring", "of a ring's own (direct) descriptors: their opens are recorded"),
    (
        "fd-passing by io_uring",
        "a descriptor that a ring gets by MSG_RING or by one recvmsg for many messages has no event",
    ),
    (
        "net.accept by io_uring",
        "into a ring's own descriptors where the ring was asked not to tell of success",
    ),
    (
        "net.send by io_uring",
        "of a send (not sendmsg) that names where to, on kernels before 6.10: it is read when it is carried out",
    ),
    (
        "net.send, daddr and dport",
        "are what lay in the caller's memory after the call, where another thread may have changed it by then; of a raw socket with IP_HDRINCL the packet itself says where it goes",
    ),
    (
        "fd-passing by seccomp",
        "a descriptor that a supervisor puts into a process (SECCOMP_IOCTL_NOTIF_ADDFD) has no event",
    ),
    ("message queues", "of POSIX: what is made, removed, sent and received"),
    (
        "watch.ptrace",
        "requests to a process that is traced already, and tracing that a process asks for itself",
    ),
    ("watch.bpf", "single elements of maps that a process holds already, and lists of what there is"),
    ("watch.kill", "signals that were refused: they reach nobody"),
    (
        "calls answered by seccomp",
        "a call that a filter answers did not run, and is told only where it failed; sends and receives are told by the answer, whosever it is",
    ),
    (
        "calls answered by a tracer",
        "the same; and one whose tracer lets go of it, or ends, behind a call that it answered is told as if the call had run",
    ),
    (
        "memory that others change",
        "names and control data are read before a call and after it, or after it alone: what another thread changes for the moment in which the kernel reads it is told as it was left, and a descriptor or a datagram of which nothing is left has no event",
    ),
    (
        "descriptors that others change",
        "the file of an open is the one behind its descriptor when the call comes back; through io_uring names count from the directory, and descriptors are looked up, as the request was handed in: one that waited (a link, a drain) may have come to another",
    ),
    (
        "program interpreter",
        "of ELF (ld.so), which the kernel maps by itself: no file.open, and not in process.exec",
    ),
    (
        "opens by other calls",
        "files opened anew as fanotify's descriptors or by XFS_IOC_OPEN_BY_HANDLE have no file.open",
    ),
    (
        "kernel",
        "what the kernel does on its own behalf (NFS server, loop devices), and writes of processes (core dumps, process accounting)",
    ),
];

/// What is not covered here: always, by this host, and by the probes that were refused.
pub fn not_covered(
    layout: Layout,
    refused: &[(&'static str, String)],
    no_failed: bool,
) -> Vec<NotCovered> {
    let entry = |what: &str, why: &str| NotCovered { what: what.to_owned(), why: why.to_owned() };
    let mut list: Vec<NotCovered> = NEVER.iter().map(|(what, why)| entry(what, why)).collect();
    if layout == Layout::V1 {
        list.push(entry("cgroup", "no v2 tree is mounted on this host: paths are null"));
    }
    if no_failed {
        list.push(entry("failed calls", "left out as asked (--no-failed)"));
    }
    for (hook, why) in refused {
        let what = match *hook {
            "sys_exit" => "net.connect and every other event of a system call, but for file.close",
            "sys_enter" => "file.close, and paths as they were at a call's entry",
            "sched_process_fork" => "process.fork, and whose child each process is",
            "sched_process_exec" => "process.exec",
            "sched_process_exit" => "process.exit, and file.close at a process's end",
            "cgroup_mkdir" | "cgroup_rename" => "cgroup, of groups that are made or renamed",
            "inet_sock_set_state" => "net.close of TCP connections",
            "cgroup/sock_release" => "net.close of datagram and raw sockets",
            "sock_send_length" => "net.close, bytes_sent of datagram and raw sockets",
            "sock_recv_length" => "net.close, bytes_received of datagram and raw sockets",
            "sched_prepare_exec" => "file.close at exec, and the ids before a setuid exec",
            "signal_generate" => "watch.kill",
            "io_uring_submit_req" | "io_uring_complete" => "io_uring",
            other => other,
        };
        let kind = if hook.contains('/') { "" } else { "tracepoint " };
        list.push(entry(what, &format!("no {kind}{hook}: {why}")));
    }
    list
}

/// The mount namespace of the host's first process; ours where we may not see that one's, having fewer capabilities.
pub fn mount_namespace() -> Option<u32> {
    let of = |path| fs::metadata(path).ok().and_then(|meta| u32::try_from(meta.ino()).ok());
    of("/proc/1/ns/mnt").or_else(|| of("/proc/self/ns/mnt"))
}

/// Whether we are in the initial pid namespace.
pub fn in_initial_pid_namespace() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|meta| meta.ino() == INITIAL_PID_NS)
}

/// PROC_PID_INIT_INO, include/uapi/linux/nsfs.h.
const INITIAL_PID_NS: u64 = 0xefff_fffc;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_the_nameserver_lines() {
        let text = "# x\nnameserver 192.0.2.1\nsearch a\nnameserver\t2001:db8::1 \nnameservers no\n";
        assert_eq!(resolvers(text), ["192.0.2.1", "2001:db8::1"]);
    }
}
