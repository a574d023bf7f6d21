/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a program has in hand: the system call, where its loops are, and the record that is put together before it goes out
 * whole. And how it loops.
 */
#ifndef BLUBR_SCRATCH_BPF_H
#define BLUBR_SCRATCH_BPF_H

#include "typed.bpf.h"
#include "wire.h"

/* Bytes of fields in one record: argv and four strings with room to spare. */
#define TAIL_MAX (WIRE_ARGV_MAX + 5 * 8192)
/* Room that a field must find: the longest string, its head and padding. */
#define FIELD_ROOM (WIRE_STRING_MAX + 15)

struct walk {
	/* Where it is. */
	u64 dentry;
	/* Of that: d_parent and d_name, as they lie in the kernel's. */
	u64 above;
	u64 hash_len;
	u64 name;
	/* Where it begins: struct vfsmount. */
	u64 vfsmount;
	/* struct mount */
	u64 mount;
	/* Of the mount above, kept until it changes. */
	u64 parent;
	u64 mountpoint;
	u64 mnt_root;
	/* Where the path ends: the process's root. */
	u64 root_dentry;
	u64 root_mount;
	u32 begin;
	u32 flags;
};

/* How a system call is read. Argument numbers are from 1, 0 is none. */
struct call {
	u8 kind;
	u8 form;
	u8 dfd;
	u8 path;
	u8 dfd2;
	u8 path2;
	/* The descriptor that names the file, for the f* calls. */
	u8 fd;
	u8 flags;
} __attribute__((aligned(8)));

/* The beginning of a stream that says whether it may be HTTP: a method and the space behind it. */
#define BEGIN_BYTES 24

/* A destination of a socket that has been told: net.bpf.h. */
struct told {
	u64 socket_ino;
	u8 address[24];
};

/* The same of a unix socket: its name, and the directory where that begins. */
struct told_name {
	u64 socket_ino;
	u64 directory;
	u8 name[112];
};

/* What one message of a socket call carried, in one piece or in those of a vector, and its other end if the call names it. */
struct message {
	u64 base;
	/* Bytes that went through. */
	u64 len;
	/* Where the pieces are listed, or 0. */
	u64 vector;
	u64 count;
	/* Bytes of it that are still to be taken. */
	u64 left;
	/* Its first ones, of a stream that begins. */
	u8 begin[BEGIN_BYTES];
	/* WIRE_FAULT, WIRE_CUT */
	u32 faults;
	u32 pad;
	/* Its destination, as it is looked up. */
	struct told told;
	struct told_name told_name;
	u64 address;
	u32 address_len;
	u32 sending;
	/* MSG_* */
	u32 flags;
	/* The address is a copy of the kernel's. */
	u32 kernel_address;
};

/* Where loops are. Here, not on the stack: what a loop's steps hand on must be unknown to the verifier. Before 6.7
 * (ab5cfac139ab) it looks at a first step only, and takes out what that one does not reach.
 */

/* A look through a message's control data. */
struct control {
	/* The next control message, and where they end. */
	u64 at;
	u64 end;
	/* The descriptors of the one in hand that are still to be looked at. */
	u64 fds;
	u64 fds_end;
};

/* A look for other descriptors of one open file, in a table of them. */
struct held {
	u64 slots;
	u64 file;
	/* Of an exec the descriptors that it closes, or 0: another keeps the file open. */
	u64 only;
	u32 fd;
	/* Descriptors that count: from `from` on, and before `below`. */
	u32 from;
	u32 below;
	u32 pieces;
	u32 found;
	u32 pad;
};

/* A look at all descriptors of a table that are open for writing. */
struct files {
	/* Only those that an exec closes: 0 or the address of close_on_exec. */
	u64 only;
	u64 slots;
	u64 open_fds;
	u64 word;
	u32 first;
	u32 last;
	u32 base;
	u32 pieces;
};

/* The messages of one call. */
struct messages {
	s64 count;
	s64 ret;
	u32 sending;
	u32 pad;
};

/* A program's arguments, one by one. */
struct argv {
	u64 pointers;
	u32 begin;
	u32 flags;
};

/* struct iovec and user_msghdr, include/linux/socket.h, as a 64-bit program lays them out. */
struct user_iovec {
	u64 base;
	u64 len;
};

struct user_message {
	u64 name;
	u32 namelen;
	u32 pad;
	u64 iov;
	u64 iovlen;
	u64 control;
	u64 controllen;
	u64 flags;
};

/* The same as a 32-bit program lays it out (struct compat_msghdr). */
struct user_message_32 {
	u32 name;
	u32 namelen;
	u32 iov;
	u32 iovlen;
	u32 control;
	u32 controllen;
	u32 flags;
};

/* How wide the caller's pointers are, and its words. */
enum call_layout {
	LAYOUT_64 = 0,
	LAYOUT_32 = 1,
};

struct scratch {
	/* The system call in hand. */
	u64 args[6];
	u64 nr;
	s64 ret;
	struct call call;
	struct message message;
	struct walk walk;
	struct user_message user;
	struct user_message_32 user_32;
	struct user_iovec piece;
	struct control control;
	struct held held;
	struct files all;
	struct messages messages;
	struct argv argv;
	/* A piece of a table of descriptors. */
	u64 files[64];
	/* Bytes of tail in use. */
	u32 used;
	/* enum call_layout */
	u32 layout;
	/* Whether the result is the kernel's is not known. */
	u32 unsure;
	u32 pad;
	/* What goes out. */
	struct wire_head head;
	u8 body[WIRE_BODY];
	u8 tail[TAIL_MAX];
};

/* An array indexed by CPU, not a per-CPU map: those hold 32 KiB. Safe because programs at tracepoints run without preemption,
 * those of BTF on newer kernels since they ask for that themselves (HELD); the iterator, which doesn't, has the last entry.
 * Sized by the loader: CPUs + 1.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} SCRATCH SEC(".maps");

/* What a loop's steps are called with. */
struct loop {
	struct scratch *s;
	u32 slot;
	u32 pad;
};

static __always_inline struct scratch *scratch_at(u32 slot)
{
	return bpf_map_lookup_elem(&SCRATCH, &slot);
}

/* A loop: step(0, context), step(1, context) ... until one returns other than 0; `count` of them, and `max` at most.
 * LOOP gives how many returned 0. LOOP_OF stands behind each step.
 *
 * The verifiers of old kernels go through every step. There a function of its own, which they look at once, does some.
 */
#ifdef BLUBR_OLD
#define LOOP_PIECE 16
#define STEP static __always_inline
#define LOOP_OF(step) \
	__noinline int step##_piece(u32 slot, u32 from, u32 count) \
	{ \
		struct loop context = {}; \
		u32 i; \
\
		context.s = scratch_at(slot); \
		context.slot = slot; \
		if (!context.s) \
			return 0; \
		for (i = 0; i < LOOP_PIECE; i++) { \
			if (from + i >= count || step(from + i, &context)) \
				return i; \
		} \
		return LOOP_PIECE; \
	}
#define LOOP(count, max, step, context) ({ \
	u32 piece_, steps_, all_ = 0, count_ = (count); \
	for (piece_ = 0; piece_ < ((max) + LOOP_PIECE - 1) / LOOP_PIECE; piece_++) { \
		steps_ = step##_piece((context)->slot, piece_ * LOOP_PIECE, count_); \
		all_ += steps_; \
		if (steps_ < LOOP_PIECE) \
			break; \
	} \
	(long)all_; })
#else
#define STEP static
#define LOOP_OF(step)
#define LOOP(count, max, step, context) bpf_loop(count, step, context, 0)
#endif

/* The verifier wants a bound on the very register that is passed on; compilers like to test a copy. */
#define CLAMP(value, max) \
	asm volatile("if %[v] <= %[m] goto +1\n\t%[v] = %[m]" : [v] "+r"(value) : [m] "i"(max))

#endif
