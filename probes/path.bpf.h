/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Paths as the kernel holds them: from a dentry up to the process's root, over mounts, leaf first. */
#ifndef BLUBR_PATH_BPF_H
#define BLUBR_PATH_BPF_H

#include "emit.bpf.h"

/* Names and mount crossings that a walk takes in one turn of bpf_loop, whose call costs as much as they do; few paths are
 * deeper.
 */
#define WALK_PIECE 12
/* Such turns before it gives up and says so: 2,100 steps. PATH_MAX allows 2,048 names. */
#define WALK_PIECES_MAX 175
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
	if (TYPED) {
		m = TYPED_AS(struct mount, mount);
		w->parent = (u64)m->mnt_parent;
		w->mountpoint = (u64)m->mnt_mountpoint;
		w->mnt_root = (u64)m->mnt.mnt_root;
		return;
	}
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

/* d_parent and d_name in one read where they lie side by side, as they do on every kernel so far. */
static __always_inline void load_dentry(struct walk *w)
{
	struct dentry *dentry = (struct dentry *)w->dentry;
	u64 first = bpf_core_field_offset(struct dentry, d_parent);

	if (bpf_core_field_offset(struct dentry, d_name) == first + 8 &&
	    bpf_core_field_offset(struct qstr, name) == 8) {
		if (bpf_probe_read_kernel(&w->above, 24, (void *)((u64)dentry + first)))
			w->name = 0;
		return;
	}
	w->above = (u64)BPF_CORE_READ(dentry, d_parent);
	w->name = (u64)BPF_CORE_READ(dentry, d_name.name);
}

/* The name of w->dentry at `at` and its parent in w->above. Returns the bytes of the name with its NUL, or -errno. */
static __always_inline long probed_name(struct scratch *s, u32 at)
{
	load_dentry(&s->walk);
	return bpf_probe_read_kernel_str(&s->tail[at], NAME_ROOM, (void *)s->walk.name);
}

/* Words of the longest name that lies in its dentry (DNAME_INLINE_LEN, include/linux/dcache.h: 40 bytes, once 32). */
#define SHORT_WORDS 5

/* Where that is in a dentry, and for how many bytes. */
static __always_inline u64 short_name_offset(void)
{
	if (bpf_core_field_exists(((struct dentry___shortname *)0)->d_shortname))
		return bpf_core_field_offset(struct dentry___shortname, d_shortname);
	return bpf_core_field_offset(struct dentry, d_iname);
}

static __always_inline u64 short_name_room(void)
{
	if (bpf_core_field_exists(((struct dentry___shortname *)0)->d_shortname))
		return bpf_core_field_size(struct dentry___shortname, d_shortname);
	return bpf_core_field_size(struct dentry, d_iname);
}

/* The same by loads. 0: another CPU was renaming it (fs/dcache.c, __d_move), and it is to be looked at again. */
static __always_inline long typed_name(struct scratch *s, u32 at)
{
	struct walk *w = &s->walk;
	struct dentry *dentry = TYPED_AS(struct dentry, w->dentry);
	u64 offset = short_name_offset();
	u64 name, *from, *to = (u64 *)&s->tail[at];
	u32 len, sequence = dentry->d_seq.seqcount.sequence;
	long n;

	asm volatile("" : : : "memory");
	w->above = (u64)dentry->d_parent;
	name = (u64)dentry->d_name.name;
	len = dentry->d_name.len;
	if (name == w->dentry + offset && len < short_name_room() && len < 8 * SHORT_WORDS) {
		from = (u64 *)((u64)dentry + offset);
		/* The word with the NUL is the last. */
		to[0] = from[0];
		if (len >= 8)
			to[1] = from[1];
		if (len >= 16)
			to[2] = from[2];
		if (len >= 24)
			to[3] = from[3];
		if (len >= 32)
			to[4] = from[4];
		n = len + 1;
	} else {
		n = bpf_probe_read_kernel_str(to, NAME_ROOM, (void *)name);
	}
	asm volatile("" : : : "memory");
	if ((sequence & 1) || dentry->d_seq.seqcount.sequence != sequence)
		return 0;
	return n;
}

/* One name or one mount crossing (fs/d_path.c, __prepend_path). Not 0: there is no more. */
static __always_inline long walk_step(struct scratch *s)
{
	struct walk *w = &s->walk;
	u64 dentry = w->dentry;
	u32 at;
	long n;

	if (dentry == w->root_dentry && w->mount == w->root_mount)
		return 1;
	if (dentry == w->mnt_root) {
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
	at = s->used;
	if (at - w->begin > WALK_BYTES_MAX) {
		w->flags |= WIRE_CUT;
		return 1;
	}
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - NAME_ROOM)
		return 1;
	n = TYPED ? typed_name(s, at) : probed_name(s, at);
	if (TYPED && !n)
		return 0;
	if (n <= 0) {
		w->flags |= WIRE_FAULT;
		return 1;
	}
	s->used = at + n;
	w->dentry = w->above;
	/* The file system's root, or a file that never had a directory (memfd): its name is told. */
	if (w->above != dentry)
		return 0;
	w->flags |= WIRE_UNREACHABLE;
	return 1;
}

STEP long walk_piece(u32 piece, struct loop *context)
{
	u32 step;

	for (step = 0; step < WALK_PIECE; step++) {
		if (walk_step(context->s))
			return 1;
		/* Where the walk has come to is in memory: to the verifier one step is like another. */
		asm volatile("" : : : "memory");
	}
	return 0;
}
LOOP_OF(walk_piece)

/* The path of (w->vfsmount, w->dentry) as field `id`. */
__noinline int put_walk(u32 slot, u32 id)
{
	struct scratch *s = scratch_at(slot);
	struct loop context = {};
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
	if (!w->vfsmount || !w->dentry) {
		w->flags |= WIRE_FAULT;
	} else {
		load_mount(w, w->vfsmount - bpf_core_field_offset(struct mount, mnt));
		context.s = s;
		context.slot = slot;
		n = LOOP(WALK_PIECES_MAX, WALK_PIECES_MAX, walk_piece, &context);
		if (n < 0 || n >= WALK_PIECES_MAX)
			w->flags |= WIRE_CUT;
	}
	seal_field(s, at, id, w->flags, s->used - w->begin);
	return 0;
}

static __always_inline void put_file_path(u32 slot, u32 id, struct file *file)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return;
	s->walk.vfsmount = (u64)FIELD(file, f_path.mnt);
	s->walk.dentry = (u64)FIELD(file, f_path.dentry);
	put_walk(slot, id);
}

static __always_inline void put_cwd(u32 slot, u32 id, struct task_struct *t)
{
	struct scratch *s = scratch_at(slot);
	struct fs_struct *fs = OF(t, fs);

	if (!s || !fs)
		return;
	s->walk.vfsmount = (u64)OF(fs, pwd.mnt);
	s->walk.dentry = (u64)OF(fs, pwd.dentry);
	put_walk(slot, id);
}

/* The struct file behind a descriptor of `t`, or 0. */
static __always_inline struct file *file_of(struct task_struct *t, u32 fd)
{
	struct files_struct *files = OF(t, files);
	struct fdtable *table;
	struct file **slots;
	struct file *file = 0;

	if (!files)
		return 0;
	table = OF(files, fdt);
	if (fd >= OF(table, max_fds))
		return 0;
	slots = OF(table, fd);
	/* A slot of any table, as if it were the first of the one that lies in every struct files_struct. */
	if (TYPED)
		return TYPED_AS(struct files_struct,
				(u64)&slots[fd] - bpf_core_field_offset(struct files_struct, fd_array))->fd_array[0];
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

/* Whether a descriptor of the current task is a socket. */
static __always_inline bool is_socket(u32 fd)
{
	struct file *file = file_of(current_task(), fd);
	struct inode *inode;

	if (!file)
		return false;
	inode = FIELD(file, f_inode);
	return (FIELD(inode, i_mode) & S_IFMT) == S_IFSOCK;
}

/* Whether another thread, or another process, has the task's descriptors or its directories too and can change them. */
static __always_inline bool are_shared(struct task_struct *t)
{
	struct files_struct *files = OF(t, files);
	struct fs_struct *fs = OF(t, fs);

	return (files && OF(files, count.counter) > 1) || (fs && OF(fs, users) > 1);
}

/* Whether a root directory is not that of the task's process as it is: other processes have it too (clone with CLONE_FS), or not
 * all threads of this one have. A thread that is just ending may count for that.
 */
static __always_inline bool is_root_apart(struct task_struct *t)
{
	struct fs_struct *fs = OF(t, fs);
	struct signal_struct *signal = OF(t, signal);

	return fs && OF(fs, users) != OF(signal, nr_threads);
}

/* What a relative path begins at, or the file itself where the descriptor is one: the address of its dentry. */
static __always_inline u64 base_of(struct scratch *s, struct task_struct *t, s32 dfd)
{
	struct fs_struct *fs;
	struct file *file;

	if (dfd == AT_FDCWD) {
		fs = OF(t, fs);
		return fs ? bare(&s->walk.dentry, OF(fs, pwd.dentry)) : 0;
	}
	file = file_of(t, dfd);
	return file ? bare(&s->walk.dentry, FIELD(file, f_path.dentry)) : 0;
}

/* Where a relative path begins: the directory `dfd`, or the working directory. */
static __always_inline void put_base(u32 slot, u32 id, struct task_struct *t, s32 dfd)
{
	struct file *file;

	if (dfd == AT_FDCWD) {
		put_cwd(slot, id, t);
		return;
	}
	file = file_of(t, dfd);
	if (file)
		put_file_path(slot, id, file);
}

#endif
