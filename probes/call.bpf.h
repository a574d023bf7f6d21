/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How a system call is read: its form, its arguments, the paths among them; and the record that tells of it. */
#ifndef BLUBR_CALL_BPF_H
#define BLUBR_CALL_BPF_H

#include <asm/unistd_64.h>
#include "path.bpf.h"

/* Newer than Debian 12's headers. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#endif
#ifndef __NR_removexattrat
#define __NR_removexattrat 466
#endif
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif

enum call_form {
	FORM_NONE = 0,
	FORM_PATHS,
	FORM_OPEN,
	FORM_OPENAT2,
	FORM_CREAT,
	FORM_CLOSE,
	FORM_DUP2,
	FORM_CLOSE_RANGE,
	FORM_MOUNT,
	FORM_FSOPEN,
	FORM_FSCONFIG,
	FORM_FSMOUNT,
	FORM_PLAIN,
	FORM_CONNECT,
	FORM_ACCEPT,
	FORM_SOCKET,
	FORM_SEND,
	FORM_SENDMSG,
	FORM_SENDMMSG,
	FORM_RECV,
	FORM_RECVMSG,
	FORM_RECVMMSG,
	FORM_SENDV,
	FORM_RECVV,
	FORM_MOUNT_SETATTR,
	FORM_SETNS,
	FORM_GETFD,
	FORM_BPF,
	FORM_PTRACE,
	FORM_MODULE,
	FORM_RING_SETUP,
	/* May give the thread a seccomp filter. */
	FORM_FILTER,
	FORM_NEW_SOCKET,
};

/* The second path is text as it stands (a link's target): no base. */
#define CALL_TEXT 1
/* Read at the entry too; with CALL_ENTRY_BASE the directory as well, because the call moves it. */
#define CALL_ENTRY 2
#define CALL_ENTRY_BASE 4
/* Look at sys_enter only: what is asked about is gone at the exit. */
#define CALL_ENTER_ONLY 8

/* Reads a path argument; whether it is relative, or could not be read. */
static __always_inline bool put_path_string(u32 slot, u32 id, u64 address)
{
	struct scratch *s = scratch_at(slot);
	u32 at;

	if (!s)
		return false;
	at = s->used;
	asm volatile("" : "+r"(at));
	put_user_string(slot, id, address);
	if (at > TAIL_MAX - FIELD_ROOM)
		return false;
	return s->tail[at + 8] != '/' || s->used <= at + 8;
}

/* A path argument, and where it begins if it is relative. */
static __always_inline void put_user_path(u32 slot, u32 id, u32 base, u64 address, s32 dfd)
{
	if (put_path_string(slot, id, address))
		put_base(slot, base, current_task(), dfd);
}

/* Whether what the call's names begin at is looked at twice: not where nobody else can change it, or the call itself
 * does.
 */
static __always_inline bool is_compared(struct scratch *s)
{
	return (s->call.flags & (CALL_ENTRY | CALL_ENTRY_BASE)) == CALL_ENTRY && are_shared(current_task());
}

/* The same, and by an address what it begins at: at the entry that alone. Of a call that moves what names mean the beginning
 * is read then, and is another at the exit.
 */
static __always_inline void put_path_twice(u32 slot, u32 id, u32 base, u32 begins, u64 address, s32 dfd, bool only)
{
	struct scratch *s = scratch_at(slot);

	if (!s || !put_path_string(slot, id, address))
		return;
	if (is_compared(s))
		put_word(s, begins, base_of(s, current_task(), dfd));
	if (!only)
		put_base(slot, base, current_task(), dfd);
}

static __always_inline u64 argument(struct scratch *s, u32 number)
{
	u32 index = number - 1;

	asm volatile("" : "+r"(index));
	return index < 6 ? s->args[index] : 0;
}

/* `dfd` of a call, AT_FDCWD where it has none. */
static __always_inline s32 directory(struct scratch *s, u32 number)
{
	return number ? (s32)argument(s, number) : AT_FDCWD;
}

static __always_inline void begin_call(struct scratch *s, u32 kind)
{
	begin(s, kind, bpf_get_current_task_btf());
	s->head.nr = s->nr;
	s->head.ret = s->ret;
	if (!s->unsure)
		s->head.flags |= WIRE_HAS_RET;
}

/* What only its thread and its call tell what it belongs to. */
static __always_inline void begin_entry(struct scratch *s)
{
	struct task_struct *t = current_task();

	__builtin_memset(&s->head, 0, sizeof(s->head));
	s->head.kind = WIRE_ENTRY;
	s->head.fixed = sizeof(struct wire_head) + WIRE_BODY;
	s->head.tid = OF(t, pid);
	s->head.nr = s->nr;
	clear_body(s);
	if (s->call.flags & CALL_ENTRY_BASE)
		set_root(s, t);
}

static __always_inline void copy_arguments(struct scratch *s)
{
	struct wire_call *body = (struct wire_call *)s->body;
	u32 i;

	for (i = 0; i < 6; i++)
		body->args[i] = s->args[i];
}

/* A call that its arguments tell whole: unshare, listen ... */
__noinline int on_plain(u32 slot, u32 kind)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	begin_call(s, kind);
	copy_arguments(s);
	finish(s);
	return 0;
}

#endif
