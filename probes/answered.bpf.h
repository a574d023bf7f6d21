/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Calls that a seccomp filter or a tracer (PTRACE_SYSEMU) answers in the kernel's place, with whatever result it likes: they
 * have no sys_enter, and a sys_exit all the same (kernel/entry/common.c, syscall_trace_enter). A tracer may also make another
 * call of one that forks, behind its sys_enter. Of a task with either each call is noted at its entry.
 */
#ifndef BLUBR_ANSWERED_BPF_H
#define BLUBR_ANSWERED_BPF_H

#include "emit.bpf.h"

/* Threads with a filter or a tracer at a time; of more the results are not told. */
#define FILTERED_MAX 131072
#define NOT_IN_CALL ~0u

/* The call that a thread is in, by its number as the thread gave it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILTERED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, u32);
} IN_CALL SEC(".maps");

enum answer {
	/* By the kernel. */
	ANSWER_KERNEL,
	/* The call never ran. */
	ANSWER_OTHER,
	/* The entry was before the thread had a filter or a tracer, or there are too many. */
	ANSWER_UNKNOWN,
};

/* Whether somebody else may answer the task's calls. */
static __always_inline bool is_supervised(struct task_struct *t)
{
	return (bpf_core_field_exists(t->seccomp) && OF(t, seccomp.mode)) || OF(t, ptrace);
}

/* The current task, which is supervised or about to be, begins a call. */
__noinline int note_call(u32 nr)
{
	u32 tid = bpf_get_current_pid_tgid(), *noted = bpf_map_lookup_elem(&IN_CALL, &tid);

	if (noted)
		*noted = nr;
	else
		bpf_map_update_elem(&IN_CALL, &tid, &nr, BPF_ANY);
	return 0;
}

/* Whose the answer to a call of the current task is, which is supervised. */
__noinline int answer_of(u32 nr)
{
	u32 tid = bpf_get_current_pid_tgid(), none = NOT_IN_CALL, *noted = bpf_map_lookup_elem(&IN_CALL, &tid);

	if (!noted) {
		bpf_map_update_elem(&IN_CALL, &tid, &none, BPF_ANY);
		return ANSWER_UNKNOWN;
	}
	if (*noted != nr)
		return ANSWER_OTHER;
	*noted = NOT_IN_CALL;
	return ANSWER_KERNEL;
}

/* Whether a result says that the call did something: it succeeded, is on its way (EINPROGRESS) or goes on (ERESTARTSYS ...). */
static __always_inline bool claims_work(long ret)
{
	return ret >= 0 || ret == -EINPROGRESS || ret <= -ERESTARTSYS;
}

/* A new thread has its maker's filter, and may have its tracer, from its first call on. */
static __always_inline void note_born(struct task_struct *maker, struct task_struct *born)
{
	u32 tid = OF(born, pid), none = NOT_IN_CALL;

	if (is_supervised(maker))
		bpf_map_update_elem(&IN_CALL, &tid, &none, BPF_ANY);
}

static __always_inline void forget_calls(struct task_struct *t)
{
	u32 tid = OF(t, pid);

	bpf_map_delete_elem(&IN_CALL, &tid);
}

#endif
