/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the probes and blubr-record exchange, written once: the C side includes this file, the Rust side is
 * generated from it. Fixed widths, no hidden padding, sizes asserted on both sides. A ring record is
 *
 *     struct wire_head | the kind's own struct | fields, each struct wire_field + bytes, padded to 8
 *
 * and head.fixed says where the fields begin.
 */
#ifndef BLUBR_WIRE_H
#define BLUBR_WIRE_H

#ifdef BLUBR_BINDGEN
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
#else
#include <linux/types.h>
#endif

/* TASK_COMM_LEN, include/linux/sched.h. */
#define WIRE_COMM_LEN 16
/* PATH_MAX (4096, with its NUL, include/uapi/linux/limits.h) and one byte to see that a string was longer. */
#define WIRE_STRING_MAX 4097
/* Most bytes of argv that one record carries. MAX_ARG_STRLEN (128 KiB) is the longest single argument. */
#define WIRE_ARGV_MAX 131072
/* Most bytes of a datagram that are kept for a parser: a DNS message over UDP with EDNS0 is rarely longer. */
#define WIRE_PAYLOAD_MAX 4096
/* Bytes of a TCP stream's beginning that are looked at, and most bytes of one call that are kept: a ClientHello with
 * post-quantum keys takes some 2,000, and servers refuse headers of more than 8 or 16 KiB.
 */
#define WIRE_STREAM_MAX 16384

/* One value for each record that the ring carries. The last is the size of the loss table. */
enum wire_kind {
	WIRE_NONE = 0,
	WIRE_PROCESS_FORK = 1,
	WIRE_PROCESS_EXEC = 2,
	WIRE_PROCESS_EXIT = 3,
	WIRE_PROCESS_EXISTS = 4,
	/* A descriptor open for writing of the WIRE_PROCESS_EXISTS that follows. */
	WIRE_EXISTS_FILE = 5,
	WIRE_FILE_OPEN = 6,
	WIRE_FILE_CLOSE = 7,
	WIRE_FILE_MKDIR = 8,
	WIRE_FILE_MKNOD = 9,
	WIRE_FILE_UNLINK = 10,
	WIRE_FILE_RENAME = 11,
	WIRE_FILE_LINK = 12,
	WIRE_FILE_SYMLINK = 13,
	WIRE_FILE_CHMOD = 14,
	WIRE_FILE_CHOWN = 15,
	WIRE_FILE_TRUNCATE = 16,
	WIRE_FILE_SETXATTR = 17,
	WIRE_FILE_UTIMES = 18,
	WIRE_MOUNT_MOUNT = 19,
	WIRE_MOUNT_UMOUNT = 20,
	WIRE_MOUNT_PIVOT_ROOT = 21,
	WIRE_FS_CHROOT = 22,
	/* The new mount API, one call at a time; put together in user space. args[5] tells what a descriptor stands for from all
	 * others: the file-system context that fsopen and fspick gave or fsconfig was given, the mount that fsmount (its context
	 * is args[4]) and open_tree gave or move_mount was given. 0: none.
	 */
	WIRE_FSOPEN = 23,
	WIRE_FSCONFIG = 24,
	WIRE_FSMOUNT = 25,
	WIRE_OPEN_TREE = 26,
	WIRE_MOVE_MOUNT = 27,
	WIRE_NS_UNSHARE = 28,
	WIRE_NS_SETNS = 29,
	/* connect(2) of an inet or a unix socket, or what does the same: one that came connected, a first datagram over a
	 * unix socket to a name.
	 */
	WIRE_CONNECT = 30,
	WIRE_NET_ACCEPT = 31,
	WIRE_NET_BIND = 32,
	WIRE_NET_LISTEN = 33,
	WIRE_NET_SEND = 34,
	WIRE_NET_CLOSE = 35,
	/* What went over a socket to or from port 53. */
	WIRE_DNS_PAYLOAD = 36,
	/* What a call's path arguments held at its entry; joined with the record of its exit. */
	WIRE_ENTRY = 37,
	/* A cgroup of the default hierarchy was made, renamed or removed. */
	WIRE_CGROUP_MKDIR = 38,
	WIRE_CGROUP_RENAME = 39,
	WIRE_CGROUP_RMDIR = 40,
	/* execve(2) came back; args[5] of its body is the effective group id. */
	WIRE_EXEC_FAILED = 41,
	WIRE_MOUNT_SETATTR = 42,
	WIRE_FSPICK = 43,
	WIRE_WATCH_BPF = 44,
	WIRE_WATCH_PTRACE = 45,
	WIRE_WATCH_MODULE = 46,
	WIRE_WATCH_KILL = 47,
	WIRE_WATCH_IOURING = 48,
	/* An operation of a ring came back: joined with the record of its submission. Its body is that of the
	 * operation's kind where the kernel's own answer is told: an open's file, a connection's ends.
	 */
	WIRE_RING_DONE = 49,
	/* socket(2) of a family whose traffic is not recorded. */
	WIRE_WATCH_SOCKET = 50,
	/* What went out at the beginning of a TCP stream that begins as TLS does, and as a request of HTTP does. */
	WIRE_TLS_PAYLOAD = 51,
	WIRE_HTTP_PAYLOAD = 52,
	/* bind(2) of a unix socket to a name in the file system, with a struct wire_net. */
	WIRE_UNIX_BIND = 53,
	WIRE_KIND_COUNT = 54,
};

/* head.flags */
#define WIRE_HAS_RET 1u
/* An operation that a ring has taken on: what became of it follows as WIRE_RING_DONE; ret is the request. */
#define WIRE_PENDING 8u
/* Of a WIRE_RING_DONE: the request goes on, and more of it will come. */
#define WIRE_MORE 16u
/* Of a WIRE_RING_DONE: the body holds what the kernel knows of the file or the socket. */
#define WIRE_RESOLVED 32u
/* Of a WIRE_RING_DONE: it failed, and failures are not asked for. */
#define WIRE_UNWANTED 64u

/* head.via: how it was asked for. */
#define WIRE_BY_CALL 0u
#define WIRE_BY_RING 1u
/* A descriptor that came over a socket, or out of another process. */
#define WIRE_BY_SCM_RIGHTS 2u
#define WIRE_BY_PIDFD_GETFD 3u

/* Who, where, when: the same for every record. */
struct wire_head {
	/* enum wire_kind */
	__u32 kind;
	/* Bytes before the first field. */
	__u32 fixed;
	/* CLOCK_MONOTONIC. */
	__u64 time_ns;
	/* start_boottime of the thread group's leader. */
	__u64 start_ns;
	/* kernfs id in the default hierarchy. */
	__u64 cgroup_id;
	/* What the system call returned; valid with WIRE_HAS_RET. */
	__s64 ret;
	/* In the initial pid namespace: thread group and thread. */
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 mntns;
	__u32 flags;
	/* The system call's number (x86-64, whatever the caller's own), for kinds that several calls share. */
	__u32 nr;
	/* WIRE_BY_* */
	__u32 via;
	__u8 comm[WIRE_COMM_LEN];
};

/* What a field holds. */
enum wire_field_id {
	WIRE_F_NONE = 0,
	WIRE_F_PATH = 1,
	/* Where a relative WIRE_F_PATH begins. */
	WIRE_F_BASE = 2,
	WIRE_F_TO = 3,
	WIRE_F_TO_BASE = 4,
	WIRE_F_EXE = 5,
	WIRE_F_ARGV = 6,
	WIRE_F_CWD = 7,
	WIRE_F_SCRIPT = 8,
	WIRE_F_INTERPRETER = 9,
	WIRE_F_SOURCE = 10,
	WIRE_F_FSTYPE = 11,
	WIRE_F_OPTIONS = 12,
	WIRE_F_KEY = 13,
	WIRE_F_VALUE = 14,
	WIRE_F_PAYLOAD = 15,
	WIRE_F_ADDRESS = 16,
	WIRE_F_TIMES = 17,
	/* Of a WIRE_RING_DONE: the request that it ends, 8 bytes. */
	WIRE_F_REQUEST = 18,
	/* A struct wire_stream. */
	WIRE_F_STREAM = 19,
	/* What a relative WIRE_F_PATH or WIRE_F_TO began at, or the file of a call that names a descriptor, or of a descriptor that
	 * the path goes through: an address that only tells whether it is the same at the call's entry and at its exit.
	 */
	WIRE_F_PATH_AT = 20,
	WIRE_F_TO_AT = 21,
	/* The file of the descriptor that WIRE_F_PATH goes through, where it begins /proc/self/fd/N or the like. */
	WIRE_F_FD_PATH = 22,
	WIRE_F_COUNT = 23,
};

/* field.flags */
/* The bytes are names that end in NUL, leaf first: reversed and joined they are the path. */
#define WIRE_WALKED 1u
/* Cut at a limit; of a walked path the tail is kept. */
#define WIRE_CUT 2u
/* The caller's memory could not be read. */
#define WIRE_FAULT 4u
/* The walk ended outside the process's root directory: at the root of another mount tree, or nowhere. */
#define WIRE_UNREACHABLE 8u

struct wire_field {
	/* enum wire_field_id */
	__u16 id;
	__u16 flags;
	/* Bytes that follow, without the padding. */
	__u32 len;
};

/* Every kind that goes through the scratch area has a body of this many bytes. */
#define WIRE_BODY 48

struct wire_fork {
	__u64 child_start_ns;
	__u32 child_pid;
	__u32 pad[9];
};

struct wire_exec {
	__u32 egid;
	/* The program changed euid or egid; from these. */
	__u32 changed;
	__u32 euid_before;
	__u32 egid_before;
	__u32 pad[8];
};

struct wire_exit {
	/* As wait(2) gives it. */
	__u32 status;
	__u32 pad[11];
};

struct wire_exists {
	/* PF_KTHREAD was set. */
	__u32 kthread;
	__u32 pad[11];
};

/* A file as its inode was when the record was made. */
struct wire_file {
	__u64 ino;
	__u64 size;
	__s64 mtime_s;
	__u32 mtime_ns;
	/* The kernel's dev_t: major << 20 | minor. */
	__u32 dev;
	/* The flags asked of open(2). */
	__u32 flags;
	/* file->f_mode */
	__u32 fmode;
	/* inode->i_mode; 0: there was no inode to look at. */
	__u32 mode;
	__u32 pad;
};

/* The six arguments of a call, as passed; of some calls what the kernel knows stands in a place that they do not use. */
struct wire_call {
	__u64 args[6];
};

/* Both ends of a socket, addresses in network order, ports in host order. */
struct wire_net {
	__u8 saddr[16];
	__u8 daddr[16];
	__u16 sport;
	__u16 dport;
	__u16 family;
	/* IPPROTO_* */
	__u16 proto;
	/* SOCK_* */
	__u16 socktype;
	/* Of a payload: it was sent, not received. */
	__u16 sending;
	__u32 pad;
};

/* Of which stream a payload is, and where in it. */
struct wire_stream {
	/* The kernel's address of the socket. */
	__u64 socket;
	/* Bytes that had gone the same way before. */
	__u32 offset;
	/* Bytes that went through, also where fewer are carried. */
	__u32 len;
};

/* Both ends and what went through until it closed; has no scratch body. */
struct wire_net_close {
	struct wire_net net;
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 duration_ns;
};

/* A signal that was sent to the recorder. */
struct wire_signal {
	__u32 signal;
	/* Of the receiving thread. */
	__u32 target;
	__u32 pad[10];
};

/* io_uring_setup(2), and what io_uring_params asked for. */
struct wire_ring {
	__u32 entries;
	__u32 flags;
	__u32 pad[10];
};

struct wire_cgroup {
	__u64 id;
	__u64 pad[5];
};

/* One entry of the loss table: of a CPU and a kind. */
struct wire_loss {
	/* What the ring had no room for. */
	__u64 count;
	/* Beside it, what tasks outside had to give up: outside.bpf.h. Not among `count`: whoever reads between two additions
	 * must not take one for the other.
	 */
	__u64 outside;
};

_Static_assert(sizeof(struct wire_head) == 88, "wire_head");
_Static_assert(sizeof(struct wire_field) == 8, "wire_field");
_Static_assert(sizeof(struct wire_fork) == WIRE_BODY, "wire_fork");
_Static_assert(sizeof(struct wire_exec) == WIRE_BODY, "wire_exec");
_Static_assert(sizeof(struct wire_exit) == WIRE_BODY, "wire_exit");
_Static_assert(sizeof(struct wire_exists) == WIRE_BODY, "wire_exists");
_Static_assert(sizeof(struct wire_file) == WIRE_BODY, "wire_file");
_Static_assert(sizeof(struct wire_call) == WIRE_BODY, "wire_call");
_Static_assert(sizeof(struct wire_net) == WIRE_BODY, "wire_net");
_Static_assert(sizeof(struct wire_signal) == WIRE_BODY, "wire_signal");
_Static_assert(sizeof(struct wire_ring) == WIRE_BODY, "wire_ring");
_Static_assert(sizeof(struct wire_cgroup) == WIRE_BODY, "wire_cgroup");
_Static_assert(sizeof(struct wire_stream) == 16, "wire_stream");
_Static_assert(sizeof(struct wire_net_close) == WIRE_BODY + 24, "wire_net_close");
_Static_assert(sizeof(struct wire_loss) == 16, "wire_loss");

#endif
