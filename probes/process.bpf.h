/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a process event is: born, turned into another program, ended, there before us. */
#ifndef BLUBR_PROCESS_BPF_H
#define BLUBR_PROCESS_BPF_H

#include "closing.bpf.h"

/* Threads between the change of their credentials and the end of their exec. */
#define EXECS_MAX 4096

struct ids {
	u32 euid;
	u32 egid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, EXECS_MAX);
	__type(key, u32);
	__type(value, struct ids);
} CHANGED_IDS SEC(".maps");

/* Processes whose end was told a moment ago: of the last threads several may find that none is left. */
#define ENDED_MAX 4096

struct ended {
	/* When it began. */
	u64 start;
	/* The descriptors that closed with it: those of the thread that told it. */
	u64 files;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDED_MAX);
	__type(key, u32);
	__type(value, struct ended);
} ENDED SEC(".maps");

/* Whether the end of the process is to be told: by one of its threads. Otherwise *files is what that one told of. */
static __always_inline bool ends_now(struct task_struct *t, u64 *files)
{
	u32 key = t->tgid;
	struct ended now = {}, *told;

	now.start = t->group_leader->start_boottime;
	now.files = (u64)t->files;
	if (!bpf_map_update_elem(&ENDED, &key, &now, BPF_NOEXIST))
		return true;
	/* There is one of that number: of this process, or of another that had it before. */
	told = bpf_map_lookup_elem(&ENDED, &key);
	if (told && told->start == now.start) {
		*files = told->files;
		return false;
	}
	bpf_map_update_elem(&ENDED, &key, &now, BPF_ANY);
	return true;
}

/* The namespaces of `child` that are not those of `t`: what clone(2) was asked for, as the kernel did it. */
static __always_inline u32 new_namespaces(struct task_struct *t, struct task_struct *child)
{
	struct nsproxy *old = t->nsproxy, *new = child->nsproxy;
	u32 flags = 0;

	if (child->cred->user_ns != t->cred->user_ns)
		flags |= CLONE_NEWUSER;
	if (!old || !new || old == new)
		return flags;
	if (new->uts_ns != old->uts_ns)
		flags |= CLONE_NEWUTS;
	if (new->ipc_ns != old->ipc_ns)
		flags |= CLONE_NEWIPC;
	if (new->mnt_ns != old->mnt_ns)
		flags |= CLONE_NEWNS;
	if (new->pid_ns_for_children != old->pid_ns_for_children)
		flags |= CLONE_NEWPID;
	if (new->net_ns != old->net_ns)
		flags |= CLONE_NEWNET;
	if (bpf_core_field_exists(new->time_ns_for_children) &&
	    new->time_ns_for_children != old->time_ns_for_children)
		flags |= CLONE_NEWTIME;
	if (new->cgroup_ns != old->cgroup_ns)
		flags |= CLONE_NEWCGROUP;
	return flags;
}

static __always_inline void process_fork(u32 slot, struct task_struct *t, struct task_struct *child)
{
	struct scratch *s = scratch_at(slot);
	struct wire_fork *body;
	u32 namespaces;

	/* A new thread is no new process. */
	if (!s || child->tgid == t->tgid)
		return;
	note_traced(t->tgid, child->tgid);
	begin(s, WIRE_PROCESS_FORK, t);
	body = (struct wire_fork *)s->body;
	body->child_pid = child->tgid;
	body->child_start_ns = child->start_boottime;
	finish(s);
	namespaces = new_namespaces(t, child);
	if (!namespaces)
		return;
	/* Told of the child: it is in them from its first instruction on. */
	begin(s, WIRE_NS_UNSHARE, child);
	((struct wire_call *)s->body)->args[0] = namespaces;
	finish(s);
}

/* argv of the program that has just begun, whole up to WIRE_ARGV_MAX. */
__noinline int put_argv(u32 slot, u64 start, u64 len)
{
	return put_bytes(slot, WIRE_F_ARGV, start, len, WIRE_ARGV_MAX, true);
}

static __always_inline void process_exec(u32 slot, struct task_struct *t, struct linux_binprm *bprm)
{
	struct scratch *s = scratch_at(slot);
	struct mm_struct *mm = t->mm;
	struct wire_exec *body;
	struct file *exe;
	struct ids *before;
	u32 key = t->tgid;
	u64 filename, interp;

	if (!s || !mm)
		return;
	begin(s, WIRE_PROCESS_EXEC, t);
	body = (struct wire_exec *)s->body;
	body->egid = t->cred->egid.val;
	before = bpf_map_lookup_elem(&CHANGED_IDS, &key);
	if (before) {
		body->changed = 1;
		body->euid_before = before->euid;
		body->egid_before = before->egid;
		bpf_map_delete_elem(&CHANGED_IDS, &key);
	}
	exe = mm->exe_file;
	put_file_path(slot, WIRE_F_EXE, exe);
	put_cwd(slot, WIRE_F_CWD, t);
	/* The kernel replaced interp while it looked for a handler (fs/binfmt_script.c, bprm_change_interp). */
	filename = (u64)BPF_CORE_READ(bprm, filename);
	interp = (u64)BPF_CORE_READ(bprm, interp);
	if (interp != filename) {
		put_kernel_string(slot, WIRE_F_SCRIPT, filename);
		put_kernel_string(slot, WIRE_F_INTERPRETER, interp);
	}
	put_argv(slot, mm->arg_start, mm->arg_end - mm->arg_start);
	finish(s);
}

/* The new program's credentials and files are about to take the place of the old: what is marked so closes. */
static __always_inline void process_prepare_exec(u32 slot, struct task_struct *t, struct linux_binprm *bprm)
{
	struct scratch *s = scratch_at(slot);
	struct ids before;
	u32 key = t->tgid;

	before.euid = t->cred->euid.val;
	before.egid = t->cred->egid.val;
	if (BPF_CORE_READ(bprm, cred, euid.val) != before.euid || BPF_CORE_READ(bprm, cred, egid.val) != before.egid)
		bpf_map_update_elem(&CHANGED_IDS, &key, &before, BPF_ANY);

	if (!s)
		return;
	begin(s, WIRE_FILE_CLOSE, t);
	each_file_for_writing(slot, t, 0, ~0u, true);
}

/* At the end of the last thread: its descriptors close with it, and no call says so. */
static __always_inline void process_exit(u32 slot, struct task_struct *t)
{
	struct scratch *s = scratch_at(slot);
	struct signal_struct *signal = t->signal;
	struct wire_exit *body;
	u64 told = 0;
	bool alone;
	u32 status;

	if (!s)
		return;
	/* A table of descriptors that nobody else has (unshare with CLONE_FILES) ends with its thread, whoever tells of the process. */
	alone = t->files && t->files->count.counter == 1;
	if (signal->live.counter != 0 || !ends_now(t, &told)) {
		if (alone && (u64)t->files != told) {
			begin(s, WIRE_FILE_CLOSE, t);
			each_file_for_writing(slot, t, 0, ~0u, false);
		}
		return;
	}
	begin(s, WIRE_FILE_CLOSE, t);
	/* Its other threads may not have let go of them yet (exit_files), but are counted until after that (release_task):
	 * more than there are threads means that another process has the same table.
	 */
	if (t->files && t->files->count.counter <= signal->nr_threads)
		each_file_for_writing(slot, t, 0, ~0u, false);
	begin(s, WIRE_PROCESS_EXIT, t);
	/* As wait_task_zombie (kernel/exit.c) does. */
	if (signal->flags & SIGNAL_GROUP_EXIT)
		status = signal->group_exit_code;
	else
		status = t->group_leader->exit_code;
	body = (struct wire_exit *)s->body;
	body->status = status;
	finish(s);
	forget_traced(t->tgid);
}

static __always_inline void process_exists(u32 slot, struct task_struct *t)
{
	struct scratch *s = scratch_at(slot);
	struct wire_exists *body;
	struct mm_struct *mm;

	if (!s || t->pid != t->tgid)
		return;
	begin(s, WIRE_EXISTS_FILE, t);
	each_file_for_writing(slot, t, 0, ~0u, false);
	begin(s, WIRE_PROCESS_EXISTS, t);
	body = (struct wire_exists *)s->body;
	body->kthread = !!(t->flags & PF_KTHREAD);
	mm = t->mm;
	if (mm)
		put_file_path(slot, WIRE_F_EXE, mm->exe_file);
	put_cwd(slot, WIRE_F_CWD, t);
	finish(s);
}

#endif
