/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Names that go through the link which the kernel makes up for a descriptor (/proc/self/fd/N): where that leads. */
#ifndef BLUBR_LINKED_BPF_H
#define BLUBR_LINKED_BPF_H

#include "call.bpf.h"

/* Digits of a descriptor's number: fs.nr_open is 1,048,576 unless raised. */
#define FD_DIGITS_MAX 8

/* Eight bytes of a name as a word, as a little-endian machine loads them; NULs behind a shorter one. */
#define NAME_BYTE(name, at) (at < sizeof(name) ? (u64)(u8)(name)[at < sizeof(name) ? at : 0] << 8 * at : 0)
#define NAME_WORD(name) \
	(NAME_BYTE(name, 0) | NAME_BYTE(name, 1) | NAME_BYTE(name, 2) | NAME_BYTE(name, 3) | NAME_BYTE(name, 4) | \
	 NAME_BYTE(name, 5) | NAME_BYTE(name, 6) | NAME_BYTE(name, 7))

/* The descriptor whose link a path begins with, as the kernel makes those up (fs/proc/fd.c), or -1. /dev/fd leads there. To
 * readers of the log blubr-log's linked.rs says the same.
 */
static __always_inline s32 linked_descriptor(const u8 *path)
{
	const u64 *words = (const u64 *)path;
	u32 i, digits, fd = 0;

	if (words[0] == NAME_WORD("/proc/se") && words[1] << 16 == NAME_WORD("lf/fd/") << 16)
		digits = 14;
	else if (words[0] == NAME_WORD("/proc/th") && words[1] == NAME_WORD("read-sel") && words[2] << 24 == NAME_WORD("f/fd/") << 24)
		digits = 21;
	else if (words[0] == NAME_WORD("/dev/fd/"))
		digits = 8;
	else
		return -1;
	for (i = 0; i < FD_DIGITS_MAX; i++) {
		u32 digit = path[digits + i] - (u32)'0';

		if (digit > 9)
			break;
		fd = fd * 10 + digit;
	}
	if (!i || (path[digits + i] && path[digits + i] != '/'))
		return -1;
	return fd;
}

/* Whether such a link is of the table that the current thread has: it names its process's, which is the first thread's, but for
 * /proc/thread-self.
 */
static __always_inline bool is_of_thread(const u8 *path, struct task_struct *t)
{
	struct task_struct *leader = as_task(OF(t, group_leader));

	return path[sizeof("/proc/") - 1] == 't' || OF(leader, files) == OF(t, files);
}

/* Of a path argument that was read to `at` and begins with the link of a descriptor: the file behind that. Where two looks are
 * compared by an address too, at the entry by that alone.
 */
__noinline int put_linked(u32 slot, u32 at, u32 at_entry)
{
	struct scratch *s = scratch_at(slot);
	struct file *file;
	s32 fd;

	/* Where it could not be read there are bytes of an earlier call. */
	if (!s || at > TAIL_MAX - FIELD_ROOM || s->used <= at + 8)
		return 0;
	fd = linked_descriptor(&s->tail[at + 8]);
	if (fd < 0 || !is_of_thread(&s->tail[at + 8], current_task()))
		return 0;
	file = file_of(current_task(), fd);
	if (is_compared(s))
		put_word(s, WIRE_F_PATH_AT, bare(&s->walk.dentry, file));
	if (file && !at_entry)
		put_file_path(slot, WIRE_F_FD_PATH, file);
	return 0;
}

#endif
