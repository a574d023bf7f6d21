/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What could blind or alter the record: bpf(2), ptrace(2), kernel modules, signals to the recorder, rings made. */
#ifndef BLUBR_WATCH_BPF_H
#define BLUBR_WATCH_BPF_H

#include "call.bpf.h"

/* include/uapi/linux/ptrace.h: the requests by which one process takes hold of another. */
#define PTRACE_TRACEME 0
#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206
/* include/uapi/asm-generic/siginfo.h: sent by a process. A timer's signal may come while another probe is at work. */
#define SI_USER 0
#define SI_QUEUE -1
#define SI_TKILL -6
/* Where flags lie in struct io_uring_params, include/uapi/linux/io_uring.h. */
#define RING_FLAGS_AT 8

struct kernel_siginfo {
	int si_code;
} KERNEL_STRUCT;

/* enum bpf_cmd, include/uapi/linux/bpf.h, by bit: what reads or writes single elements of a map that its caller holds, or
 * only asks what there is. Others' maps are reached by a call that is told (map_get_fd_by_id, obj_get), and programs that
 * count by maps make tens of thousands of these calls a second.
 */
#define BPF_UNTOLD ((1ull << 1) | (1ull << 2) | (1ull << 3) | (1ull << 4) | (1ull << 11) | (1ull << 12) | \
		    (1ull << 15) | (1ull << 16) | (1ull << 20) | (1ull << 21) | (1ull << 23) | (1ull << 24) | \
		    (1ull << 25) | (1ull << 26) | (1ull << 27) | (1ull << 31))

/* bpf(command, attributes, size) */
__noinline int on_bpf(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	u32 command;

	if (!s)
		return 0;
	command = s->args[0];
	if (command < 64 && (BPF_UNTOLD >> command & 1))
		return 0;
	begin_call(s, WIRE_WATCH_BPF);
	copy_arguments(s);
	finish(s);
	return 0;
}

/* ptrace(request, pid, ...), process_vm_writev(pid, ...) */
__noinline int on_ptrace(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	if (s->nr == __NR_ptrace && s->args[0] != PTRACE_ATTACH && s->args[0] != PTRACE_SEIZE)
		return 0;
	begin_call(s, WIRE_WATCH_PTRACE);
	copy_arguments(s);
	finish(s);
	return 0;
}

/* init_module(image, ...), finit_module(fd, ...), delete_module(name, ...) */
__noinline int on_module(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct file *file;

	if (!s)
		return 0;
	begin_call(s, WIRE_WATCH_MODULE);
	copy_arguments(s);
	if (s->nr == __NR_delete_module) {
		put_user_string(slot, WIRE_F_KEY, s->args[0]);
	} else if (s->nr == __NR_finit_module) {
		file = file_of(current_task(), s->args[0]);
		if (file)
			put_file_path(slot, WIRE_F_PATH, file);
	}
	finish(s);
	return 0;
}

/* io_uring_setup(entries, parameters) */
__noinline int on_ring_setup(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct wire_ring *body;

	if (!s)
		return 0;
	begin_call(s, WIRE_WATCH_IOURING);
	body = (struct wire_ring *)s->body;
	body->entries = s->args[0];
	bpf_probe_read_user(&body->flags, sizeof(body->flags), (void *)(s->args[1] + RING_FLAGS_AT));
	finish(s);
	return 0;
}

/* A signal to a thread of the recorder, from somebody else; the kernel's own (a child ended) tell of no intent. */
static __always_inline void on_signal(u32 slot, int signal, u64 info, struct task_struct *receiver)
{
	struct scratch *s = scratch_at(slot);
	struct wire_signal *body;
	s32 code = 0;

	if (!s || !SELF_TGID || (u32)receiver->tgid != SELF_TGID || is_self())
		return;
	/* SEND_SIG_NOINFO is a user's, SEND_SIG_PRIV the kernel's (include/linux/sched/signal.h). */
	if (info == 1)
		return;
	if (info)
		code = BPF_CORE_READ((struct kernel_siginfo *)info, si_code);
	if (code != SI_USER && code != SI_QUEUE && code != SI_TKILL)
		return;
	begin(s, WIRE_WATCH_KILL, bpf_get_current_task_btf());
	body = (struct wire_signal *)s->body;
	body->signal = signal;
	body->target = receiver->pid;
	finish(s);
}

#endif
