/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Paths as the kernel holds them: from a dentry up to the process's root, over mounts, leaf first. */
#ifndef BLUBR_PATH_BPF_H
#define BLUBR_PATH_BPF_H

#include "emit.bpf.h"

/* Names and mount crossings that a walk takes before it gives up and says so. PATH_MAX allows 2,048 names. */
#define WALK_STEPS_MAX 2100
/* NAME_MAX (255) and the NUL. */
#define NAME_ROOM 256
/* Bytes of names that are kept: with one slash a name they make a path of at most this length. */
#define WALK_BYTES_MAX (4096 - NAME_ROOM)

/* mnt_parent, mnt_mountpoint and mnt.mnt_root lie side by side on every kernel so far; should they not, they are read
 * one by one.
 */
static __always_inline void load_mount(struct walk *w, u64 mount)
{
	struct mount *m = (struct mount *)mount;
	u64 first = bpf_core_field_offset(struct mount, mnt_parent);

	w->mount = mount;
	if (bpf_core_field_offset(struct mount, mnt_mountpoint) == first + 8 &&
	    bpf_core_field_offset(struct mount, mnt) == first + 16 &&
	    bpf_core_field_offset(struct vfsmount, mnt_root) == 0) {
		bpf_probe_read_kernel(&w->parent, 24, (void *)(mount + first));
		return;
	}
	w->parent = (u64)BPF_CORE_READ(m, mnt_parent);
	w->mountpoint = (u64)BPF_CORE_READ(m, mnt_mountpoint);
	w->mnt_root = (u64)BPF_CORE_READ(m, mnt.mnt_root);
}

struct walk_context {
	struct scratch *s;
};

struct dentry_window {
	struct dentry *parent;
	u64 hash_len;
	const unsigned char *name;
};

/* d_parent and d_name in one read where they lie side by side, as they do on every kernel so far. */
static __always_inline void load_dentry(struct dentry *dentry, struct dentry_window *window)
{
	u64 first = bpf_core_field_offset(struct dentry, d_parent);

	if (bpf_core_field_offset(struct dentry, d_name) == first + 8 &&
	    bpf_core_field_offset(struct qstr, name) == 8) {
		bpf_probe_read_kernel(window, sizeof(*window), (void *)((u64)dentry + first));
		return;
	}
	window->parent = BPF_CORE_READ(dentry, d_parent);
	window->name = BPF_CORE_READ(dentry, d_name.name);
}

/* One name or one mount crossing (fs/d_path.c, __prepend_path). */
static long walk_step(u32 step, struct walk_context *context)
{
	struct scratch *s = context->s;
	struct walk *w = &s->walk;
	struct dentry *dentry = (struct dentry *)w->dentry;
	struct dentry_window window = {};
	struct dentry *parent;
	u32 at;
	long n;

	if (w->dentry == w->root_dentry && w->mount == w->root_mount)
		return 1;
	if (w->dentry == w->mnt_root) {
		if (w->parent != w->mount) {
			w->dentry = w->mountpoint;
			load_mount(w, w->parent);
			return 0;
		}
		/* The root of a mount tree that isn't the process's: a descriptor from outside, or a detached mount (of
		 * a single file, as runc has itself). Where it lies in its file system can still be told.
		 */
		w->flags |= WIRE_UNREACHABLE;
	}
	load_dentry(dentry, &window);
	parent = window.parent;
	/* The file system's root, or a file that never had a directory (memfd): its name is told. */
	if (parent == dentry)
		w->flags |= WIRE_UNREACHABLE;
	at = s->used;
	if (at - w->begin > WALK_BYTES_MAX) {
		w->flags |= WIRE_CUT;
		return 1;
	}
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - NAME_ROOM)
		return 1;
	n = bpf_probe_read_kernel_str(&s->tail[at], NAME_ROOM, window.name);
	if (n <= 0) {
		w->flags |= WIRE_FAULT;
		return 1;
	}
	s->used = at + n;
	w->dentry = (u64)parent;
	return parent == dentry;
}

/* The path of (vfsmount, dentry) as field `id`. */
__noinline int put_walk(u32 slot, u32 id, u64 vfsmount, u64 dentry)
{
	struct scratch *s = scratch_at(slot);
	struct walk_context context;
	struct walk *w;
	u32 at;
	long n;

	if (!s)
		return 0;
	w = &s->walk;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - FIELD_ROOM)
		return 0;
	w->flags = WIRE_WALKED;
	w->begin = at + sizeof(struct wire_field);
	s->used = w->begin;
	if (!vfsmount || !dentry) {
		w->flags |= WIRE_FAULT;
	} else {
		w->dentry = dentry;
		load_mount(w, vfsmount - bpf_core_field_offset(struct mount, mnt));
		context.s = s;
		n = bpf_loop(WALK_STEPS_MAX, walk_step, &context, 0);
		if (n < 0 || n >= WALK_STEPS_MAX)
			w->flags |= WIRE_CUT;
	}
	seal_field(s, at, id, w->flags, s->used - w->begin);
	return 0;
}

static __always_inline void put_path(u32 slot, u32 id, const struct path *at)
{
	struct path p = {};

	bpf_probe_read_kernel(&p, sizeof(p), at);
	put_walk(slot, id, (u64)p.mnt, (u64)p.dentry);
}

static __always_inline void put_file_path(u32 slot, u32 id, struct file *file)
{
	put_path(slot, id, (struct path *)((u64)file + bpf_core_field_offset(struct file, f_path)));
}

static __always_inline void put_cwd(u32 slot, u32 id, struct task_struct *t)
{
	struct fs_struct *fs = t->fs;

	if (fs)
		put_path(slot, id, &fs->pwd);
}

/* The struct file behind a descriptor of `t`, or 0. */
static __always_inline struct file *file_of(struct task_struct *t, u32 fd)
{
	struct files_struct *files = t->files;
	struct fdtable *table;
	struct file **slots;
	struct file *file = 0;

	if (!files)
		return 0;
	table = files->fdt;
	if (fd >= table->max_fds)
		return 0;
	slots = table->fd;
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

/* Where a relative path begins: the directory `dfd`, or the working directory. */
static __always_inline void put_base(u32 slot, u32 id, struct task_struct *t, s32 dfd)
{
	struct file *file;

	if (dfd == -100 /* AT_FDCWD */) {
		put_cwd(slot, id, t);
		return;
	}
	file = file_of(t, dfd);
	if (file)
		put_file_path(slot, id, file);
}

#endif
