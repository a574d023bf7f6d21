/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a file event is, but for its end (closing.bpf.h): opened, and every call that names a path. */
#ifndef BLUBR_FILE_BPF_H
#define BLUBR_FILE_BPF_H

#include "linked.bpf.h"
#include "mounting.bpf.h"

/* include/uapi/asm-generic/fcntl.h */
#define O_CREAT_WRONLY_TRUNC (0100 | 01 | 01000)

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
	if (n < 0) {
		argv->flags |= WIRE_FAULT;
		return 1;
	}
	/* As older kernels say of an empty one: seal_string. */
	if (!n)
		n = 1;
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
	case __NR_fspick:
		((struct wire_call *)s->body)->args[5] = context_of(s->ret);
		break;
	case __NR_open_tree:
		((struct wire_call *)s->body)->args[5] = mount_of(s->ret);
		break;
	case __NR_move_mount:
		((struct wire_call *)s->body)->args[5] = mount_of(s->args[0]);
		put_fstype(slot, s->args[0]);
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


#endif
