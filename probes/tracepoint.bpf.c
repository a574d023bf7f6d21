/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Where the events are hooked: at BTF tracepoints, at perf's where those can be preempted, and at the root of the control
 * groups. No event is defined here.
 */
#include "answered.bpf.h"
#include "process.bpf.h"
#include "mount.bpf.h"
#include "cgroup.bpf.h"
#include "net.bpf.h"
#include "payload.bpf.h"
#include "io_uring.bpf.h"
#include "watch.bpf.h"
#include "call_table.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

static __always_inline int at_exit(struct pt_regs *regs, long ret)
{
	struct abi_call abi = {};
	struct scratch *s;
	struct call call;
	u64 flags;
	/* The kernel takes the low half of what the caller gave (do_syscall_64); whatever lies in the other one is kept here. */
	u32 slot, answer = ANSWER_KERNEL, nr = regs->orig_ax;
	bool claims;

	call = look_up(&abi, regs, nr, false);
	if (!is_wanted(&call, false))
		return 0;
	if (is_self())
		return 0;
	if (may_be_answered(&call))
		answer = answer_of(nr);
	/* What the filter or the tracer refuses has failed. */
	claims = claims_work(ret) || (call.kind == WIRE_CONNECT && is_on_its_way(ret));
	if (answer == ANSWER_OTHER && claims)
		return 0;
	/* EINPROGRESS also of a send that connects (MSG_FASTOPEN). */
	if (NO_FAILED && ret < 0 && ret != -EINPROGRESS && !(call.kind == WIRE_CONNECT && is_on_its_way(ret)))
		return 0;
	if (call.kind == WIRE_EXEC_FAILED && ret >= 0)
		return 0;
	/* The arguments of socketcall(2) are not in registers. */
	if (is_transfer(&call) && abi.fix != FIX_SOCKETCALL && !is_socket(first_descriptor(regs, &abi)))
		return 0;
	slot = bpf_get_smp_processor_id();
	s = take_call(slot, regs, &abi, &call, ret);
	if (!s)
		return 0;
	s->unsure = answer == ANSWER_UNKNOWN && claims;
	switch (call.form) {
	case FORM_OPEN:
		on_open(slot, argument(s, s->call.path + 1));
		break;
	case FORM_OPENAT2:
		flags = 0;
		bpf_probe_read_user(&flags, sizeof(flags), (void *)s->args[2]);
		on_open(slot, flags);
		break;
	case FORM_CREAT:
		on_open(slot, O_CREAT_WRONLY_TRUNC);
		break;
	case FORM_PATHS:
		on_paths(slot, 0);
		break;
	case FORM_MOUNT:
		on_mount(slot, 0);
		break;
	case FORM_FSOPEN:
		on_fsopen(slot);
		break;
	case FORM_FSCONFIG:
		on_fsconfig(slot);
		break;
	case FORM_FSMOUNT:
		on_fsmount(slot);
		break;
	case FORM_PLAIN:
		on_plain(slot, call.kind);
		break;
	case FORM_SOCKET:
		if (call.kind == WIRE_CONNECT && ret >= 0)
			on_flow_socket(s->args[0], true);
		on_socket(slot, call.kind);
		break;
	case FORM_ACCEPT:
		on_accept(slot);
		break;
	case FORM_SEND:
		on_transfer(slot, 1, call.path);
		break;
	case FORM_RECV:
		if (ret > 0)
			on_transfer(slot, 0, call.path);
		break;
	case FORM_SENDMSG:
		on_message(slot, 1);
		break;
	case FORM_RECVMSG:
		if (ret >= 0)
			on_message(slot, 0);
		break;
	case FORM_SENDV:
		on_vector(slot, 1);
		break;
	case FORM_RECVV:
		if (ret > 0)
			on_vector(slot, 0);
		break;
	case FORM_GETFD:
		if (ret >= 0)
			on_received(slot, ret, WIRE_BY_PIDFD_GETFD);
		break;
	case FORM_MOUNT_SETATTR:
		on_mount_setattr(slot, 0);
		break;
	case FORM_SETNS:
		on_setns(slot);
		break;
	case FORM_BPF:
		on_bpf(slot);
		break;
	case FORM_PTRACE:
		on_ptrace(slot);
		break;
	case FORM_MODULE:
		on_module(slot);
		break;
	case FORM_NEW_SOCKET:
		on_new_socket(slot);
		if (ret >= 0)
			on_flow_socket(ret, false);
		break;
	case FORM_RING_SETUP:
		on_ring_setup(slot);
		break;
	case FORM_SENDMMSG:
		on_messages(slot, 1);
		break;
	case FORM_RECVMMSG:
		on_messages(slot, 0);
		break;
	}
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(blubr_sys_exit, struct pt_regs *regs, long ret)
{
	HELD(at_exit(regs, ret));
	return 0;
}

static __always_inline int at_entry(struct pt_regs *regs, long id)
{
	struct abi_call abi = {};
	struct scratch *s;
	struct call call;
	u32 slot;

	call = look_up(&abi, regs, id, true);
	if (!is_wanted(&call, true))
		return 0;
	if (is_self())
		return 0;
	if (may_be_answered(&call))
		note_call(id);
	if (!(call.flags & (CALL_ENTRY | CALL_ENTER_ONLY)) || !is_wanted_now(&call, regs, &abi))
		return 0;
	slot = bpf_get_smp_processor_id();
	s = take_call(slot, regs, &abi, &call, 0);
	if (!s)
		return 0;
	switch (call.form) {
	case FORM_CLOSE:
		on_close(slot, s->args[0]);
		break;
	case FORM_DUP2:
		if (will_replace(s) && is_for_writing(file_of(current_task(), s->args[1])))
			on_close(slot, s->args[1]);
		break;
	case FORM_CLOSE_RANGE:
		/* CLOSE_RANGE_CLOEXEC closes nothing yet, and flags other than CLOSE_RANGE_UNSHARE are refused. */
		if (!((u32)s->args[2] & ~CLOSE_RANGE_UNSHARE))
			on_close_range(slot, s->args[0], s->args[1]);
		break;
	case FORM_FILTER:
		/* The next call is the first with the filter. */
		note_call(NOT_IN_CALL);
		break;
	case FORM_PTRACE:
		/* The next call is the first with a tracer. */
		if (s->nr == __NR_ptrace && s->args[0] == PTRACE_TRACEME)
			note_call(id);
		break;
	case FORM_PATHS:
		on_paths(slot, 1);
		break;
	case FORM_MOUNT:
		on_mount(slot, 1);
		break;
	case FORM_MOUNT_SETATTR:
		on_mount_setattr(slot, 1);
		break;
	}
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(blubr_sys_enter, struct pt_regs *regs, long id)
{
	HELD(at_entry(regs, id));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(blubr_fork, struct task_struct *parent, struct task_struct *child)
{
	HELD(
		note_born(as_task(parent), as_task(child));
		if (!is_self())
			process_fork(bpf_get_smp_processor_id(), as_task(parent), as_task(child))
	);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(blubr_exec, struct task_struct *t, int old_pid, struct linux_binprm *bprm)
{
	HELD(process_exec(bpf_get_smp_processor_id(), as_task(t), bprm));
	return 0;
}

SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(blubr_prepare_exec, struct task_struct *t, struct linux_binprm *bprm)
{
	HELD(process_prepare_exec(bpf_get_smp_processor_id(), as_task(t), bprm));
	return 0;
}

static __always_inline void at_end(struct task_struct *t)
{
	forget_calls(t);
	if (!is_self())
		process_exit(bpf_get_smp_processor_id(), t);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(blubr_exit, struct task_struct *t)
{
	HELD(at_end(as_task(t)));
	return 0;
}

#ifndef BLUBR_OLD
/* Those for kernels that preempt programs at BTF tracepoints: perf's programs they don't. However short the moment is in
 * which a program is preempted, the kernel passes it over for all tasks that have the CPU meanwhile.
 */

/* struct trace_event_raw_sys_enter and trace_event_raw_sys_exit (include/trace/events/syscalls.h) begin so. */
struct perf_call {
	u64 common;
	s64 id;
	s64 ret;
};

static __always_inline struct pt_regs *own_regs(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

SEC("tracepoint/raw_syscalls/sys_exit")
int blubr_sys_exit_perf(struct perf_call *ctx)
{
	return at_exit(own_regs(), ctx->ret);
}

SEC("tracepoint/raw_syscalls/sys_enter")
int blubr_sys_enter_perf(struct perf_call *ctx)
{
	return at_entry(own_regs(), ctx->id);
}

/* It is the current task that ends (do_exit, kernel/exit.c). */
SEC("tracepoint/sched/sched_process_exit")
int blubr_exit_perf(void *ctx)
{
	at_end(bpf_get_current_task_btf());
	return 0;
}
#endif

/* An argument as a plain number: the verifier won't have it passed on as what it is. */
static __always_inline u64 number_of(void *ctx, u32 argument)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + argument * sizeof(value));
	return value;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(blubr_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	HELD(on_cgroup(bpf_get_smp_processor_id(), WIRE_CGROUP_MKDIR, cgroup, number_of(ctx, 1)));
	return 0;
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(blubr_cgroup_rename, struct cgroup *cgroup, const char *path)
{
	HELD(on_cgroup(bpf_get_smp_processor_id(), WIRE_CGROUP_RENAME, cgroup, number_of(ctx, 1)));
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(blubr_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	HELD(on_cgroup(bpf_get_smp_processor_id(), WIRE_CGROUP_RMDIR, cgroup, number_of(ctx, 1)));
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(blubr_tcp_state, struct sock *sk, int oldstate, int newstate)
{
	HELD(
		if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
			tcp_state(sk, number_of(ctx, 0), newstate)
	);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(blubr_socket_sent, struct sock *sk, int ret, int flags)
{
	HELD(count_flow(sk, ret, true));
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(blubr_socket_received, struct sock *sk, int ret, int flags)
{
	if (!(flags & (MSG_PEEK | MSG_ERRQUEUE)))
		HELD(count_flow(sk, ret, false));
	return 0;
}

SEC("cgroup/sock_release")
int blubr_socket_release(struct bpf_sock *ctx)
{
	/* It is called with the socket itself; as a number it may be a key. */
	void *volatile socket = ctx;
	u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), (void *)&socket);
	end_flow(address);
	return 1;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(blubr_signal, int signal, void *info, struct task_struct *receiver)
{
	HELD(on_signal(bpf_get_smp_processor_id(), signal, number_of(ctx, 1), receiver));
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(blubr_ring_submit, struct io_kiocb *req)
{
	HELD(ring_submit(bpf_get_smp_processor_id(), number_of(ctx, 0)));
	return 0;
}

/* As it was called before 6.3; the request is its first argument since 6.0. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(blubr_ring_submit_sqe, struct io_kiocb *req)
{
	/* By its type: where the first argument is another the verifier refuses this. */
	if (req->opcode)
		HELD(ring_submit(bpf_get_smp_processor_id(), number_of(ctx, 0)));
	return 0;
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(blubr_ring_complete, struct io_ring_ctx *ring, void *req, struct io_uring_cqe *answer)
{
	/* By its type: older kernels (6.12 is one) have a number in its place, and the verifier refuses this. */
	HELD(ring_complete(bpf_get_smp_processor_id(), number_of(ctx, 0), number_of(ctx, 1), answer->user_data,
		      answer->res, answer->flags));
	return 0;
}

/* What the answer says, one by one. Before 5.18 there are four arguments and no request: refused. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(blubr_ring_complete_words, void *ring, void *req, u64 user_data, int res, unsigned int flags)
{
	HELD(ring_complete(bpf_get_smp_processor_id(), number_of(ctx, 0), number_of(ctx, 1), user_data, res, flags));
	return 0;
}

/* Whether the first process has been told: some kernels' iterators begin behind it. */
u32 FIRST_TOLD = 0;

SEC("iter/task")
int blubr_each_task(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;

	if (!t)
		return 0;
	if (t->tgid == 1) {
		FIRST_TOLD = 1;
	} else if (!FIRST_TOLD && t->real_parent->tgid == 1) {
		FIRST_TOLD = 1;
		process_exists(ITERATOR_SLOT, as_task(t->real_parent->group_leader));
	}
	if ((u32)t->tgid != SELF_TGID)
		process_exists(ITERATOR_SLOT, as_task(t));
	return 0;
}
