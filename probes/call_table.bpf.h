/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which system calls are looked at, and as what, whatever the caller's interface is. */
#ifndef BLUBR_CALL_TABLE_BPF_H
#define BLUBR_CALL_TABLE_BPF_H

#include "answered.bpf.h"
#include "closing.bpf.h"
#include "compat.bpf.h"

/* One more than the highest system call number that we know. */
#define CALLS_MAX 512

/* include/uapi/asm-generic/fcntl.h, include/uapi/linux/close_range.h */
#define O_CLOEXEC 02000000u
#define CLOSE_RANGE_UNSHARE 2u
/* include/uapi/linux/prctl.h */
#define PR_SET_SECCOMP 22u

#define PATHS(nr, k, ...) [nr].call = { .kind = k, .form = FORM_PATHS, __VA_ARGS__ }
#define ENTRY .flags = CALL_ENTRY

struct entry {
	struct call call;
	/* What the same number is to a 32-bit program: compat.bpf.h. */
	u32 compat;
	u32 pad;
};

const volatile struct entry CALLS[CALLS_MAX] = {
	[__NR_open].call = { .form = FORM_OPEN, .path = 1 },
	[__NR_openat].call = { .form = FORM_OPEN, .dfd = 1, .path = 2 },
	[__NR_openat2].call = { .form = FORM_OPENAT2, .dfd = 1, .path = 2 },
	[__NR_creat].call = { .form = FORM_CREAT, .path = 1 },
	/* Named by a handle: there is a path only where the kernel found one. */
	[__NR_open_by_handle_at].call = { .form = FORM_OPEN, .path = 2 },
	[__NR_close].call = { .form = FORM_CLOSE, .flags = CALL_ENTER_ONLY },
	[__NR_dup2].call = { .form = FORM_DUP2, .flags = CALL_ENTER_ONLY },
	[__NR_dup3].call = { .form = FORM_DUP2, .flags = CALL_ENTER_ONLY },
	[__NR_close_range].call = { .form = FORM_CLOSE_RANGE, .flags = CALL_ENTER_ONLY },

	PATHS(__NR_mkdir, WIRE_FILE_MKDIR, .path = 1, ENTRY),
	PATHS(__NR_mkdirat, WIRE_FILE_MKDIR, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_mknod, WIRE_FILE_MKNOD, .path = 1, ENTRY),
	PATHS(__NR_mknodat, WIRE_FILE_MKNOD, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_unlink, WIRE_FILE_UNLINK, .path = 1, ENTRY),
	PATHS(__NR_unlinkat, WIRE_FILE_UNLINK, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_rmdir, WIRE_FILE_UNLINK, .path = 1, ENTRY),
	PATHS(__NR_rename, WIRE_FILE_RENAME, .path = 1, .path2 = 2, ENTRY),
	PATHS(__NR_renameat, WIRE_FILE_RENAME, .dfd = 1, .path = 2, .dfd2 = 3, .path2 = 4, ENTRY),
	PATHS(__NR_renameat2, WIRE_FILE_RENAME, .dfd = 1, .path = 2, .dfd2 = 3, .path2 = 4, ENTRY),
	PATHS(__NR_link, WIRE_FILE_LINK, .path = 1, .path2 = 2, ENTRY),
	PATHS(__NR_linkat, WIRE_FILE_LINK, .dfd = 1, .path = 2, .dfd2 = 3, .path2 = 4, ENTRY),
	/* The new name is the path; what it points to is text. */
	PATHS(__NR_symlink, WIRE_FILE_SYMLINK, .path = 2, .path2 = 1, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_symlinkat, WIRE_FILE_SYMLINK, .dfd = 2, .path = 3, .path2 = 1, .flags = CALL_ENTRY | CALL_TEXT),

	PATHS(__NR_chmod, WIRE_FILE_CHMOD, .path = 1, ENTRY),
	PATHS(__NR_fchmod, WIRE_FILE_CHMOD, .fd = 1, ENTRY),
	PATHS(__NR_fchmodat, WIRE_FILE_CHMOD, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_fchmodat2, WIRE_FILE_CHMOD, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_chown, WIRE_FILE_CHOWN, .path = 1, ENTRY),
	PATHS(__NR_lchown, WIRE_FILE_CHOWN, .path = 1, ENTRY),
	PATHS(__NR_fchown, WIRE_FILE_CHOWN, .fd = 1, ENTRY),
	PATHS(__NR_fchownat, WIRE_FILE_CHOWN, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_truncate, WIRE_FILE_TRUNCATE, .path = 1, ENTRY),
	PATHS(__NR_ftruncate, WIRE_FILE_TRUNCATE, .fd = 1, ENTRY),
	PATHS(__NR_fallocate, WIRE_FILE_TRUNCATE, .fd = 1, ENTRY),
	PATHS(__NR_setxattr, WIRE_FILE_SETXATTR, .path = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_lsetxattr, WIRE_FILE_SETXATTR, .path = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_fsetxattr, WIRE_FILE_SETXATTR, .fd = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_setxattrat, WIRE_FILE_SETXATTR, .dfd = 1, .path = 2, .path2 = 4, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_removexattr, WIRE_FILE_SETXATTR, .path = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_lremovexattr, WIRE_FILE_SETXATTR, .path = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_fremovexattr, WIRE_FILE_SETXATTR, .fd = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_removexattrat, WIRE_FILE_SETXATTR, .dfd = 1, .path = 2, .path2 = 4, .flags = CALL_ENTRY | CALL_TEXT),
	PATHS(__NR_utime, WIRE_FILE_UTIMES, .path = 1, ENTRY),
	PATHS(__NR_utimes, WIRE_FILE_UTIMES, .path = 1, ENTRY),
	PATHS(__NR_futimesat, WIRE_FILE_UTIMES, .dfd = 1, .path = 2, ENTRY),
	PATHS(__NR_utimensat, WIRE_FILE_UTIMES, .dfd = 1, .path = 2, ENTRY),

	/* Only those that came back: what succeeded is told by sched_process_exec. */
	PATHS(__NR_execve, WIRE_EXEC_FAILED, .path = 1),
	PATHS(__NR_execveat, WIRE_EXEC_FAILED, .dfd = 1, .path = 2),

	[__NR_mount].call = { .form = FORM_MOUNT, ENTRY },
	PATHS(__NR_umount2, WIRE_MOUNT_UMOUNT, .path = 1, .flags = CALL_ENTRY | CALL_ENTRY_BASE),
	/* Both move the process's root: what the names meant is known at the entry. */
	PATHS(__NR_pivot_root, WIRE_MOUNT_PIVOT_ROOT, .path = 1, .path2 = 2, .flags = CALL_ENTRY | CALL_ENTRY_BASE),
	PATHS(__NR_chroot, WIRE_FS_CHROOT, .path = 1, .flags = CALL_ENTRY | CALL_ENTRY_BASE),
	[__NR_fsopen].call = { .form = FORM_FSOPEN },
	[__NR_fsconfig].call = { .form = FORM_FSCONFIG },
	[__NR_fsmount].call = { .form = FORM_FSMOUNT },
	PATHS(__NR_open_tree, WIRE_OPEN_TREE, .dfd = 1, .path = 2),
	[__NR_open_tree_attr].call = { .kind = WIRE_OPEN_TREE, .form = FORM_MOUNT_SETATTR },
	PATHS(__NR_fspick, WIRE_FSPICK, .dfd = 1, .path = 2),
	[__NR_mount_setattr].call = { .kind = WIRE_MOUNT_SETATTR, .form = FORM_MOUNT_SETATTR, ENTRY },
	PATHS(__NR_move_mount, WIRE_MOVE_MOUNT, .dfd = 1, .path = 2, .dfd2 = 3, .path2 = 4, ENTRY),
	[__NR_unshare].call = { .kind = WIRE_NS_UNSHARE, .form = FORM_PLAIN },
	[__NR_setns].call = { .form = FORM_SETNS },

	[__NR_socket].call = { .form = FORM_NEW_SOCKET },
	[__NR_connect].call = { .kind = WIRE_CONNECT, .form = FORM_SOCKET },
	[__NR_bind].call = { .kind = WIRE_NET_BIND, .form = FORM_SOCKET },
	[__NR_listen].call = { .kind = WIRE_NET_LISTEN, .form = FORM_SOCKET },
	[__NR_accept].call = { .form = FORM_ACCEPT },
	[__NR_accept4].call = { .form = FORM_ACCEPT },
	[__NR_sendto].call = { .form = FORM_SEND, .path = 1 },
	[__NR_write].call = { .form = FORM_SEND },
	[__NR_sendmsg].call = { .form = FORM_SENDMSG },
	[__NR_sendmmsg].call = { .form = FORM_SENDMMSG },
	[__NR_recvfrom].call = { .form = FORM_RECV, .path = 1 },
	[__NR_read].call = { .form = FORM_RECV },
	[__NR_recvmsg].call = { .form = FORM_RECVMSG },
	[__NR_recvmmsg].call = { .form = FORM_RECVMMSG },
	[__NR_writev].call = { .form = FORM_SENDV },
	[__NR_readv].call = { .form = FORM_RECVV },
	[__NR_pidfd_getfd].call = { .form = FORM_GETFD },

	[__NR_bpf].call = { .form = FORM_BPF },
	[__NR_ptrace].call = { .form = FORM_PTRACE, ENTRY },
	[__NR_process_vm_writev].call = { .form = FORM_PTRACE },
	[__NR_init_module].call = { .form = FORM_MODULE },
	[__NR_finit_module].call = { .form = FORM_MODULE },
	[__NR_delete_module].call = { .form = FORM_MODULE },
	[__NR_seccomp].call = { .form = FORM_FILTER, .flags = CALL_ENTER_ONLY },
	[__NR_prctl].call = { .form = FORM_FILTER, .flags = CALL_ENTER_ONLY },
	[__NR_io_uring_setup].call = { .form = FORM_RING_SETUP },

	COMPAT_CALLS
};

/* The entry of a call in one load: this is done at every system call of the host. */
static __always_inline struct call call_of(u64 nr)
{
	union {
		u64 word;
		struct call call;
	} entry;

	entry.word = *(const volatile u64 *)&CALLS[nr].call;
	return entry.call;
}

/* A call of another interface, as the x86-64 call that it is; its form is 0 where it is not read. */
static __noinline u64 foreign_call(struct abi_call *abi, u64 nr, u32 bx, u32 compat)
{
	union {
		u64 word;
		struct call call;
	} entry = {};

	if (nr >= X32_BIT) {
		*abi = x32_call(nr);
	} else {
		*abi = compat_call((u32)nr, compat);
		if (abi->fix == FIX_SOCKETCALL)
			resolve_socketcall(abi, bx);
	}
	nr = abi->nr;
	asm volatile("" : "+r"(nr));
	if (nr < CALLS_MAX)
		entry.call = call_of(nr);
	return entry.word;
}

static __always_inline bool is_wanted_at_exit(const struct call *call)
{
	return call->form && !(call->flags & CALL_ENTER_ONLY);
}

/* A call that is looked at only where its descriptor is a socket: most reads and writes are of files. */
static __always_inline bool is_transfer(const struct call *call)
{
	return call->form >= FORM_SEND && call->form <= FORM_RECVV;
}

/* Whether it must be known that the call was entered. */
static __always_inline bool may_be_answered(const struct call *call)
{
	return is_wanted_at_exit(call) && !is_transfer(call) && is_supervised(current_task());
}

static __always_inline bool is_wanted(const struct call *call, bool at_entry)
{
	if (!at_entry)
		return is_wanted_at_exit(call);
	return call->flags & (CALL_ENTRY | CALL_ENTER_ONLY) || may_be_answered(call);
}

/* What the call is: a look at what its number may be to anybody ends most. Form 0 is a call that is not looked at. */
static __always_inline struct call look_up(struct abi_call *abi, struct pt_regs *regs, u64 nr, bool at_entry)
{
	union {
		u64 word;
		struct call call;
	} entry = {};
	u32 compat = 0;

	if (nr < CALLS_MAX) {
		entry.call = call_of(nr);
		compat = CALLS[nr].compat;
		if (!is_wanted(&entry.call, at_entry) && !compat)
			return entry.call;
		if (!is_compat()) {
			abi->nr = nr;
			return entry.call;
		}
	} else if (!X32_ABI || !(nr & X32_BIT)) {
		return entry.call;
	}
	entry.word = foreign_call(abi, nr, regs->bx, compat);
	return entry.call;
}

/* The descriptor that is the call's first argument. */
static __always_inline u32 first_descriptor(struct pt_regs *regs, const struct abi_call *abi)
{
	return abi->narrow ? regs->bx : regs->di;
}

/* Whether there can be anything to tell of at the entry: not of a close of what was not written, nor of a descriptor that
 * nobody else can change.
 */
static __always_inline bool is_wanted_now(const struct call *call, struct pt_regs *regs, const struct abi_call *abi)
{
	if (call->form == FORM_CLOSE)
		return is_for_writing(file_of(current_task(), first_descriptor(regs, abi)));
	if (call->form == FORM_FILTER)
		return abi->nr == __NR_seccomp || first_descriptor(regs, abi) == PR_SET_SECCOMP;
	/* utimensat of a descriptor has no name. */
	if (call->fd || (call->dfd == 1 && call->path == 2 && !(abi->narrow ? (u32)regs->cx : regs->si)))
		return are_shared(current_task());
	return true;
}

/* Whether dup2 or dup3 puts another file in a descriptor's place: it is not refused, and what it copies is there. */
static __always_inline bool will_replace(struct scratch *s)
{
	if ((u32)s->args[0] == (u32)s->args[1] || !file_of(current_task(), s->args[0]))
		return false;
	return s->nr != __NR_dup3 || !((u32)s->args[2] & ~O_CLOEXEC);
}

/* The call that is looked at, in the scratch area. */
static __always_inline struct scratch *take_call(u32 slot, struct pt_regs *regs, struct abi_call *abi,
						 struct call *call, s64 ret)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	s->nr = abi->nr;
	s->ret = ret;
	s->call = *call;
	s->layout = abi->layout;
	s->unsure = 0;
	if (!abi->narrow) {
		s->args[0] = regs->di;
		s->args[1] = regs->si;
		s->args[2] = regs->dx;
		s->args[3] = regs->r10;
		s->args[4] = regs->r8;
		s->args[5] = regs->r9;
	} else {
		s->args[0] = (u32)regs->bx;
		s->args[1] = (u32)regs->cx;
		s->args[2] = (u32)regs->dx;
		s->args[3] = (u32)regs->si;
		s->args[4] = (u32)regs->di;
		s->args[5] = (u32)regs->bp;
	}
	if (abi->fix)
		fix_arguments(s, abi->fix);
	return s;
}

#endif
