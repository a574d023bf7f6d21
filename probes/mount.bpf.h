/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a mount event is, by mount(2) and by the calls of the new mount API; and which namespaces a process enters. */
#ifndef BLUBR_MOUNT_BPF_H
#define BLUBR_MOUNT_BPF_H

#include "mounting.bpf.h"

/* fsconfig(2) commands whose value is a string, include/uapi/linux/mount.h */
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_SET_PATH 3
#define FSCONFIG_SET_PATH_EMPTY 4
#define FSCONFIG_SET_FD 5

/* mount(source, target, fstype, flags, data) */
__noinline int on_mount(u32 slot, u32 at_entry)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	if (at_entry) {
		begin_entry(s);
	} else {
		begin_call(s, WIRE_MOUNT_MOUNT);
		copy_arguments(s);
	}
	if (s->args[0])
		put_user_string(slot, WIRE_F_SOURCE, s->args[0]);
	if (put_path_string(slot, WIRE_F_PATH, s->args[1]) && is_compared(s))
		put_word(s, WIRE_F_PATH_AT, base_of(s, current_task(), AT_FDCWD));
	if (!at_entry)
		put_cwd(slot, WIRE_F_CWD, current_task());
	if (s->args[2])
		put_user_string(slot, WIRE_F_FSTYPE, s->args[2]);
	if (s->args[4])
		put_user_string(slot, WIRE_F_OPTIONS, s->args[4]);
	finish(s);
	return 0;
}

/* fsopen(fstype, flags) */
__noinline int on_fsopen(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	begin_call(s, WIRE_FSOPEN);
	copy_arguments(s);
	((struct wire_call *)s->body)->args[5] = context_of(s->ret);
	put_user_string(slot, WIRE_F_FSTYPE, s->args[0]);
	finish(s);
	return 0;
}

/* fsconfig(fd, command, key, value, aux) */
__noinline int on_fsconfig(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct file *file;
	u32 command;

	if (!s)
		return 0;
	begin_call(s, WIRE_FSCONFIG);
	copy_arguments(s);
	((struct wire_call *)s->body)->args[5] = context_of(s->args[0]);
	command = s->args[1];
	if (s->args[2])
		put_user_string(slot, WIRE_F_KEY, s->args[2]);
	if (command == FSCONFIG_SET_STRING) {
		put_user_string(slot, WIRE_F_VALUE, s->args[3]);
	} else if (command == FSCONFIG_SET_PATH || command == FSCONFIG_SET_PATH_EMPTY) {
		put_user_string(slot, WIRE_F_VALUE, s->args[3]);
		put_base(slot, WIRE_F_BASE, current_task(), s->args[4]);
	} else if (command == FSCONFIG_SET_FD) {
		file = file_of(current_task(), s->args[4]);
		if (file)
			put_file_path(slot, WIRE_F_VALUE, file);
	}
	put_cwd(slot, WIRE_F_CWD, current_task());
	finish(s);
	return 0;
}

/* fsmount(fd, flags, attributes) */
__noinline int on_fsmount(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct wire_call *body;

	if (!s)
		return 0;
	begin_call(s, WIRE_FSMOUNT);
	copy_arguments(s);
	body = (struct wire_call *)s->body;
	body->args[4] = context_of(s->args[0]);
	body->args[5] = mount_of(s->ret);
	put_fstype(slot, s->ret);
	finish(s);
	return 0;
}

/* struct mount_attr, include/uapi/linux/mount.h: four words. */
#define MOUNT_ATTR_BYTES 32

/* mount_setattr and open_tree_attr (dirfd, path, flags, attributes, size) */
__noinline int on_mount_setattr(u32 slot, u32 at_entry)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	if (at_entry) {
		begin_entry(s);
	} else {
		begin_call(s, s->call.kind);
		copy_arguments(s);
		if (s->call.kind == WIRE_OPEN_TREE)
			((struct wire_call *)s->body)->args[5] = mount_of(s->ret);
	}
	put_path_twice(slot, WIRE_F_PATH, WIRE_F_BASE, WIRE_F_PATH_AT, s->args[1], s->args[0], at_entry);
	/* To open_tree_attr they need not be given. */
	if (!at_entry && s->args[3])
		put_user_bytes(slot, WIRE_F_VALUE, s->args[3], MOUNT_ATTR_BYTES);
	finish(s);
	return 0;
}

/* setns(fd, type): of a namespace's own file the kernel knows the type, whatever the caller said. */
__noinline int on_setns(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct ns_common *ns;
	struct inode *inode;
	struct file *file;

	if (!s)
		return 0;
	begin_call(s, WIRE_NS_SETNS);
	copy_arguments(s);
	file = file_of(current_task(), s->args[0]);
	if (file) {
		inode = BPF_CORE_READ(file, f_inode);
		if (BPF_CORE_READ(inode, i_sb, s_magic) == NSFS_MAGIC) {
			ns = BPF_CORE_READ(inode, i_private);
			if (bpf_core_field_exists(ns->ns_type))
				((struct wire_call *)s->body)->args[1] = BPF_CORE_READ(ns, ns_type);
			else if (bpf_core_field_exists(((struct proc_ns_operations___old *)0)->type))
				((struct wire_call *)s->body)->args[1] = BPF_CORE_READ(ns, ops, type);
		}
	}
	finish(s);
	return 0;
}

#endif
