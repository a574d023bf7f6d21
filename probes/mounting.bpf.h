/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The descriptors of the new mount API: which file system or mount is behind one, however it is numbered. */
#ifndef BLUBR_MOUNTING_BPF_H
#define BLUBR_MOUNTING_BPF_H

#include "call.bpf.h"

/* Of a descriptor of fsopen or fspick: the address of its struct fs_context; 0 where there is none. */
static __always_inline u64 context_of(s32 fd)
{
	struct file *file = fd < 0 ? 0 : file_of(current_task(), fd);

	return file ? (u64)BPF_CORE_READ(file, private_data) : 0;
}

/* Of a descriptor of fsmount or open_tree: what tells its mount from every other. Before 6.8 that is its address, which a later
 * one may have.
 */
static __always_inline u64 mount_of(s32 fd)
{
	struct file *file = fd < 0 ? 0 : file_of(current_task(), fd);
	struct mount *mount;
	u64 vfsmount;

	if (!file)
		return 0;
	vfsmount = (u64)BPF_CORE_READ(file, f_path.mnt);
	if (!vfsmount)
		return 0;
	mount = (struct mount *)(vfsmount - bpf_core_field_offset(struct mount, mnt));
	if (bpf_core_field_exists(mount->mnt_id_unique))
		return BPF_CORE_READ(mount, mnt_id_unique);
	return (u64)mount;
}

/* The file system's type that the descriptor's mount is of. */
static __always_inline void put_fstype(u32 slot, s32 fd)
{
	struct file *file = fd < 0 ? 0 : file_of(current_task(), fd);

	if (file)
		put_kernel_string(slot, WIRE_F_FSTYPE, (u64)BPF_CORE_READ(file, f_path.mnt, mnt_sb, s_type, name));
}

#endif
