/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a file event is: opened, closed after writing, and every call that names a path. */
#ifndef BLUBR_FILE_BPF_H
#define BLUBR_FILE_BPF_H

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

/* include/uapi/asm-generic/fcntl.h */
#define O_ACCMODE 3
#define O_CREAT_WRONLY_TRUNC (0100 | 01 | 01000)
/* Words of 64 descriptors that are looked through: fs.nr_open is 1,048,576 unless raised. */
#define FD_WORDS_MAX 16384

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

static __always_inline void file_state(struct scratch *s, struct file *file)
{
	struct wire_file *body = (struct wire_file *)s->body;
	struct inode *inode = FIELD(file, f_inode);
	struct super_block *sb = FIELD(inode, i_sb);

	body->fmode = FIELD(file, f_mode);
	body->mode = FIELD(inode, i_mode);
	body->ino = FIELD(inode, i_ino);
	body->size = FIELD(inode, i_size);
	body->dev = FIELD(sb, s_dev);
	if (bpf_core_field_exists(inode->i_mtime_sec)) {
		body->mtime_s = FIELD(inode, i_mtime_sec);
		body->mtime_ns = FIELD(inode, i_mtime_nsec);
	} else if (bpf_core_field_exists(((struct inode___66 *)inode)->__i_mtime)) {
		body->mtime_s = FIELD((struct inode___66 *)inode, __i_mtime.tv_sec);
		body->mtime_ns = FIELD((struct inode___66 *)inode, __i_mtime.tv_nsec);
	} else {
		body->mtime_s = FIELD((struct inode___old *)inode, i_mtime.tv_sec);
		body->mtime_ns = FIELD((struct inode___old *)inode, i_mtime.tv_nsec);
	}
}

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

/* Digits of a descriptor's number: fs.nr_open is 1,048,576 unless raised. */
#define FD_DIGITS_MAX 8

/* Eight bytes of a name as a word, as a little-endian machine loads them; NULs behind a shorter one. */
#define NAME_BYTE(name, at) (at < sizeof(name) ? (u64)(u8)(name)[at < sizeof(name) ? at : 0] << 8 * at : 0)
#define NAME_WORD(name) \
	(NAME_BYTE(name, 0) | NAME_BYTE(name, 1) | NAME_BYTE(name, 2) | NAME_BYTE(name, 3) | NAME_BYTE(name, 4) | \
	 NAME_BYTE(name, 5) | NAME_BYTE(name, 6) | NAME_BYTE(name, 7))

/* The descriptor whose link a path begins with, as the kernel makes those up (fs/proc/fd.c), or -1. /dev/fd leads there. */
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

static __always_inline u64 argument(struct scratch *s, u32 number)
{
	u32 index = number - 1;

	asm volatile("" : "+r"(index));
	return index < 6 ? s->args[index] : 0;
}

/* `dfd` of a call, AT_FDCWD where it has none. */
static __always_inline s32 directory(struct scratch *s, u32 number)
{
	return number ? (s32)argument(s, number) : -100;
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

/* Times of a 32-bit caller as a 64-bit one would give them: words of four bytes become words of eight. */
static __always_inline void put_times_32(struct scratch *s, u64 address, u32 words)
{
	s32 narrow[4] = {};
	u32 i, at = s->used;

	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - 48)
		return;
	if (bpf_probe_read_user(narrow, words == 2 ? 8 : 16, (void *)address))
		return;
	for (i = 0; i < 4; i++)
		*(s64 *)&s->tail[at + 8 + 8 * i] = narrow[i];
	seal_field(s, at, WIRE_F_TIMES, 0, words == 2 ? 16 : 32);
}

__noinline int put_times(u32 slot, u64 address, u32 words)
{
	struct scratch *s = scratch_at(slot);

	/* None: both times are now. */
	if (!s || !address)
		return 0;
	if (s->layout == LAYOUT_32)
		put_times_32(s, address, words);
	else
		put_user_bytes(slot, WIRE_F_TIMES, address, words == 2 ? 16 : 32);
	return 0;
}

__noinline int on_open(u32 slot, u64 flags)
{
	struct scratch *s = scratch_at(slot);
	struct wire_file *body;
	struct file *file;

	if (!s)
		return 0;
	begin_call(s, WIRE_FILE_OPEN);
	body = (struct wire_file *)s->body;
	body->flags = flags;
	if (s->ret >= 0) {
		file = file_of(current_task(), s->ret);
		if (file) {
			file_state(s, file);
			put_file_path(slot, WIRE_F_PATH, file);
			finish(s);
			return 0;
		}
	}
	if (s->nr != __NR_open_by_handle_at)
		put_user_path(slot, WIRE_F_PATH, WIRE_F_BASE, argument(s, s->call.path),
		      directory(s, s->call.dfd));
	finish(s);
	return 0;
}

/* Bytes of one argument of an exec that failed, and of all of them: MAX_ARG_STRLEN would be a piece of 128 KiB. */
#define FAILED_ARG_MAX 32768
#define FAILED_ARGV_MAX (WIRE_ARGV_MAX - FAILED_ARG_MAX)
/* Arguments of such an exec that are read. */
#define FAILED_ARGS_MAX 4096

STEP long argv_step(u32 index, struct loop *context)
{
	struct scratch *s = context->s;
	struct argv *argv = &s->argv;
	u64 pointer = 0;
	u32 at, wide = s->layout == LAYOUT_32 ? 4 : 8;
	long n;

	if (bpf_probe_read_user(&pointer, wide == 4 ? 4 : 8, (void *)(argv->pointers + (u64)index * wide))) {
		argv->flags |= WIRE_FAULT;
		return 1;
	}
	if (!pointer)
		return 1;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at - argv->begin > FAILED_ARGV_MAX || at > TAIL_MAX - FAILED_ARG_MAX) {
		argv->flags |= WIRE_CUT;
		return 1;
	}
	n = bpf_probe_read_user_str(&s->tail[at], FAILED_ARG_MAX, (void *)pointer);
	if (n <= 0) {
		argv->flags |= WIRE_FAULT;
		return 1;
	}
	if (n == FAILED_ARG_MAX)
		argv->flags |= WIRE_CUT;
	s->used = at + n;
	return 0;
}
LOOP_OF(argv_step)

/* The arguments that an exec which failed was given, out of the caller's memory. */
__noinline int put_argv_given(u32 slot, u64 pointers)
{
	struct scratch *s = scratch_at(slot);
	struct loop context = {};
	struct argv *argv;
	u32 at;
	long n;

	if (!s || !pointers)
		return 0;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - WIRE_ARGV_MAX - 16)
		return 0;
	argv = &s->argv;
	argv->pointers = pointers;
	argv->begin = at + sizeof(struct wire_field);
	argv->flags = 0;
	s->used = argv->begin;
	context.s = s;
	context.slot = slot;
	n = LOOP(FAILED_ARGS_MAX, FAILED_ARGS_MAX, argv_step, &context);
	if (n < 0 || n >= FAILED_ARGS_MAX)
		argv->flags |= WIRE_CUT;
	seal_field(s, at, WIRE_F_ARGV, argv->flags, s->used - argv->begin);
	return 0;
}

/* struct xattr_args, include/uapi/linux/xattr.h (6.13) */
struct user_xattr {
	u64 value;
	u32 size;
	u32 flags;
};

static __always_inline u32 own_egid(void)
{
	struct task_struct *t = current_task();
	const struct cred *cred = OF(t, cred);

	return OF(cred, egid.val);
}

/* What a call sets, where an argument points to it. */
static __always_inline void put_values(u32 slot, u64 nr)
{
	struct scratch *s = scratch_at(slot);
	struct user_xattr value = {};

	if (!s)
		return;
	switch (nr) {
	case __NR_setxattr:
	case __NR_lsetxattr:
	case __NR_fsetxattr:
		put_user_bytes(slot, WIRE_F_VALUE, s->args[2], s->args[3]);
		break;
	case __NR_setxattrat:
		bpf_probe_read_user(&value, sizeof(value), (void *)s->args[4]);
		put_user_bytes(slot, WIRE_F_VALUE, value.value, value.size);
		break;
	/* struct utimbuf: two words. */
	case __NR_utime:
		put_times(slot, s->args[1], 2);
		break;
	/* Two struct timeval or timespec: four words. */
	case __NR_utimes:
		put_times(slot, s->args[1], 4);
		break;
	/* What process.exec has beside the file. */
	case __NR_execve:
	case __NR_execveat:
		((struct wire_call *)s->body)->args[5] = own_egid();
		put_cwd(slot, WIRE_F_CWD, current_task());
		put_argv_given(slot, s->args[nr == __NR_execve ? 1 : 2]);
		break;
	case __NR_futimesat:
	case __NR_utimensat:
		put_times(slot, s->args[2], 4);
		break;
	case __NR_chroot:
		put_word(s, WIRE_F_VALUE, is_root_apart(current_task()));
		break;
	}
}

/* Any call that is told by its paths, its descriptor and its plain arguments. */
__noinline int on_paths(u32 slot, u32 at_entry)
{
	struct scratch *s = scratch_at(slot);
	struct call *call;
	struct file *file;
	u32 at;
	bool only;

	if (!s)
		return 0;
	call = &s->call;
	if (at_entry) {
		begin_entry(s);
	} else {
		begin_call(s, call->kind);
		copy_arguments(s);
	}
	if (call->fd) {
		file = file_of(current_task(), argument(s, call->fd));
		if (is_compared(s))
			put_word(s, WIRE_F_PATH_AT, bare(&s->walk.dentry, file));
		if (file && !at_entry)
			put_file_path(slot, WIRE_F_PATH, file);
	}
	only = at_entry && !(call->flags & CALL_ENTRY_BASE);
	if (call->path && call->dfd && !argument(s, call->path)) {
		/* utimensat(fd, NULL): the descriptor is the file. */
		if (is_compared(s))
			put_word(s, WIRE_F_PATH_AT, base_of(s, current_task(), directory(s, call->dfd)));
		if (!at_entry)
			put_base(slot, WIRE_F_PATH, current_task(), directory(s, call->dfd));
	} else if (call->path) {
		at = s->used;
		put_path_twice(slot, WIRE_F_PATH, WIRE_F_BASE, WIRE_F_PATH_AT, argument(s, call->path),
			       directory(s, call->dfd), only);
		put_linked(slot, at, at_entry);
	}
	if (call->path2 && (call->flags & CALL_TEXT))
		put_user_string(slot, WIRE_F_TO, argument(s, call->path2));
	else if (call->path2)
		put_path_twice(slot, WIRE_F_TO, WIRE_F_TO_BASE, WIRE_F_TO_AT, argument(s, call->path2),
			       directory(s, call->dfd2), only);
	if (!at_entry)
		put_values(slot, s->nr);
	finish(s);
	return 0;
}

/* Tables of descriptors are looked through in pieces of 64, this many: 4,096 descriptors. */
#define HELD_PIECES_MAX 64

/* Of the 64 descriptors from `base` on those that are not below `first`. */
static __always_inline u64 bits_from(u32 first, u32 base)
{
	if (first <= base)
		return ~0ull;
	return first - base < 64 ? ~0ull << (first - base) : 0;
}

STEP long held_piece(u32 piece, struct loop *context)
{
	struct scratch *s = context->s;
	struct held *held = &s->held;
	u32 i, base = piece * 64;
	u64 only = ~0ull, counts;

	if (held->only)
		bpf_probe_read_kernel(&only, sizeof(only), (void *)(held->only + 8 * (u64)piece));
	/* Which of these 64 count: in one word, so that the loop has little to decide. */
	counts = bits_from(held->from, base) | ~bits_from(held->below, base) | ~only;
	counts &= bits_from(held->fd + 1, base) | ~bits_from(held->fd, base);
	if (bpf_probe_read_kernel(s->files, sizeof(s->files), (void *)(held->slots + 8 * (u64)base)))
		return 1;
	for (i = 0; i < 64; i++) {
		if (s->files[i] == held->file && ((counts >> i) & 1)) {
			held->found = 1;
			return 1;
		}
	}
	return 0;
}
LOOP_OF(held_piece)

/* Whether what s->held looks for is there. */
__noinline int is_held(u32 slot)
{
	struct loop context = {};
	struct held *held;

	context.s = scratch_at(slot);
	context.slot = slot;
	if (!context.s)
		return 0;
	held = &context.s->held;
	held->found = 0;
	LOOP(held->pieces, HELD_PIECES_MAX, held_piece, &context);
	return held->found;
}

static __always_inline u32 pieces_of(struct fdtable *table)
{
	u32 pieces = OF(table, max_fds) / 64;

	return pieces > HELD_PIECES_MAX ? HELD_PIECES_MAX : pieces;
}

/* Whether the process holds the same open file by another descriptor. */
static __always_inline bool held_elsewhere(struct scratch *s, u32 slot, struct fdtable *table, struct file *file,
					   u32 fd)
{
	struct held *held = &s->held;

	held->slots = (u64)OF(table, fd);
	held->file = (u64)file;
	held->only = 0;
	held->fd = fd;
	held->from = 0;
	held->below = 0;
	held->pieces = pieces_of(table);
	return is_held(slot);
}

static __always_inline bool is_for_writing(struct file *file)
{
	struct inode *inode;

	if (!file || !(FIELD(file, f_mode) & FMODE_WRITE))
		return false;
	inode = FIELD(file, f_inode);
	return (FIELD(inode, i_mode) & S_IFMT) == S_IFREG;
}

/* Whether nothing in the system holds the open file but one descriptor. */
static __always_inline bool is_held_once(struct file *file)
{
	if (bpf_core_field_exists(((struct file___613 *)file)->f_ref))
		return FIELD((struct file___613 *)file, f_ref.refcnt.counter) == 0;
	if (bpf_core_field_exists(((struct file___old *)file)->f_count))
		return FIELD((struct file___old *)file, f_count.counter) == 1;
	return false;
}

/* One descriptor: a record of the kind in s->head. */
static __always_inline void file_of_descriptor(struct scratch *s, u32 slot, struct file *file, u32 fd)
{
	clear_body(s);
	file_state(s, file);
	((struct wire_file *)s->body)->fd = fd;
	put_file_path(slot, WIRE_F_PATH, file);
	finish(s);
}

STEP long files_bit(u32 bit, struct loop *context)
{
	struct scratch *s = context->s;
	struct files *all = &s->all;
	struct held *held = &s->held;
	struct file *file = 0;
	u32 fd = all->base + bit;

	if (!((all->word >> (bit & 63)) & 1))
		return 0;
	if (fd < all->first || fd > all->last)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)(all->slots + 8 * (u64)fd));
	if (!is_for_writing(file))
		return 0;
	/* All go: of several for one open file the last tells, and none where one stays. */
	if (!is_held_once(file)) {
		held->slots = all->slots;
		held->file = (u64)file;
		held->only = all->only;
		held->fd = fd;
		held->from = fd + 1;
		held->below = all->first;
		held->pieces = all->pieces;
		if (is_held(context->slot))
			return 0;
	}
	file_of_descriptor(s, context->slot, file, fd);
	return 0;
}
LOOP_OF(files_bit)

/* The 64 descriptors of s->all.word. */
static __always_inline int files_of_word(u32 slot)
{
	struct loop context = {};

	context.s = scratch_at(slot);
	if (!context.s)
		return 0;
	context.slot = slot;
	LOOP(64, 64, files_bit, &context);
	return 0;
}

STEP long files_word(u32 index, struct loop *context)
{
	struct files *all = &context->s->all;
	u64 word = 0, only = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)(all->open_fds + 8 * (u64)index));
	if (word && all->only) {
		bpf_probe_read_kernel(&only, sizeof(only), (void *)(all->only + 8 * (u64)index));
		word &= only;
	}
	if (!word)
		return 0;
	all->word = word;
	all->base = index * 64;
	files_of_word(context->slot);
	return 0;
}
LOOP_OF(files_word)

static __always_inline int files_of_table(u32 slot, u32 words)
{
	struct loop context = {};

	context.s = scratch_at(slot);
	if (!context.s)
		return 0;
	context.slot = slot;
	LOOP(words, FD_WORDS_MAX, files_word, &context);
	return 0;
}

/* Descriptors first..last of `t` that are regular files open for writing, or of these what an exec
 * closes; the head must be filled. */
static __always_inline void each_file_for_writing(u32 slot, struct task_struct *t, u32 first, u32 last,
						  bool on_exec)
{
	struct scratch *s = scratch_at(slot);
	struct files_struct *files = OF(t, files);
	struct fdtable *table;
	struct files *all;
	u32 words;

	if (!s || !files)
		return;
	all = &s->all;
	table = OF(files, fdt);
	all->slots = (u64)OF(table, fd);
	all->open_fds = (u64)OF(table, open_fds);
	all->only = on_exec ? (u64)OF(table, close_on_exec) : 0;
	all->pieces = pieces_of(table);
	all->first = first;
	all->last = last;
	words = OF(table, max_fds) / 64;
	if (words > FD_WORDS_MAX)
		words = FD_WORDS_MAX;
	files_of_table(slot, words);
}

/* The descriptor of a file for writing, as is_for_writing found it. */
__noinline int on_close(u32 slot, u64 fd)
{
	struct scratch *s = scratch_at(slot);
	struct task_struct *t = current_task();
	struct files_struct *files = OF(t, files);
	struct file *file;

	if (!s || !files)
		return 0;
	file = file_of(t, fd);
	if (!file || (!is_held_once(file) && held_elsewhere(s, slot, OF(files, fdt), file, fd)))
		return 0;
	begin(s, WIRE_FILE_CLOSE, t);
	s->head.nr = s->nr;
	file_of_descriptor(s, slot, file, fd);
	return 0;
}

__noinline int on_close_range(u32 slot, u32 first, u32 last)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	begin(s, WIRE_FILE_CLOSE, bpf_get_current_task_btf());
	s->head.nr = s->nr;
	each_file_for_writing(slot, current_task(), first, last, false);
	return 0;
}

#endif
