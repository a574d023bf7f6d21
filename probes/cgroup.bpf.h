/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What is told of control groups: made, renamed, removed. No event comes of it, but the paths that events have. */
#ifndef BLUBR_CGROUP_BPF_H
#define BLUBR_CGROUP_BPF_H

#include "emit.bpf.h"

/* A cgroup of the default hierarchy: its id and the path the tracepoint gives. */
static __always_inline void on_cgroup(u32 slot, u32 kind, struct cgroup *cgroup, u64 path)
{
	struct scratch *s = scratch_at(slot);
	struct wire_cgroup *body;

	/* Hierarchy 0 is the default one (kernel/cgroup/cgroup.c, cgroup_setup_root). */
	if (!s || cgroup->root->hierarchy_id != 0)
		return;
	begin(s, kind, bpf_get_current_task_btf());
	body = (struct wire_cgroup *)s->body;
	body->id = cgroup->kn->id;
	put_kernel_string(slot, WIRE_F_PATH, path);
	finish(s);
}

#endif
