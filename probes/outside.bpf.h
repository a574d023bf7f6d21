/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whose events give way when the ring is more than half full: those of unprivileged tasks outside the recorded command and
 * outside containers, so that none of them can blind the record of the rest by flooding it.
 */
#ifndef BLUBR_OUTSIDE_BPF_H
#define BLUBR_OUTSIDE_BPF_H

#include "typed.bpf.h"

/* Processes of the recorded command that are known at a time, from its own on. More count as outside, and are counted so. */
#define TRACED_MAX 32768

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACED_MAX);
	__type(key, u32);
	__type(value, u8);
} TRACED SEC(".maps");

/* Set by the loader: the mount namespace of the host's first process; 0 where it is not known, and nothing gives way. */
const volatile u32 HOST_MNTNS = 0;

/* A new process is the recorded command's where its parent is. */
static __always_inline void note_traced(u32 parent, u32 child)
{
	u8 one = 1;

	if (bpf_map_lookup_elem(&TRACED, &parent))
		bpf_map_update_elem(&TRACED, &child, &one, BPF_ANY);
}

static __always_inline void forget_traced(u32 tgid)
{
	bpf_map_delete_elem(&TRACED, &tgid);
}

/* Whether the current task is outside. By its real uid: a program that is setuid root is still run by who ran it. Namespaces
 * that an unprivileged user has made (unshare -Ur) make no container: whoever floods can have them too.
 */
__noinline int is_outside(void)
{
	struct task_struct *t = current_task();
	struct nsproxy *ns = OF(t, nsproxy);
	const struct cred *cred = OF(t, cred);
	struct user_namespace *owner;
	struct mnt_namespace *mnt;
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!HOST_MNTNS || !ns || !OF(cred, uid.val))
		return 0;
	mnt = OF(ns, mnt_ns);
	if (OF(mnt, ns.inum) != HOST_MNTNS) {
		owner = OF(mnt, user_ns);
		if (!OF(owner, owner.val))
			return 0;
	}
	return !bpf_map_lookup_elem(&TRACED, &tgid);
}

#endif
