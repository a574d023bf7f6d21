/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which requests of a ring are told, and what came of them: a completion is a record of its own, and joined with its request's
 * (io_uring_request.bpf.h) in user space.
 */
#ifndef BLUBR_IO_URING_BPF_H
#define BLUBR_IO_URING_BPF_H

#include "io_uring_request.bpf.h"

static __always_inline void ring_submit(u32 slot, u64 request)
{
	u32 op = BPF_CORE_READ((struct io_kiocb *)request, opcode);

	switch (op) {
	case RING_OPENAT:
	case RING_OPENAT2:
	case RING_RENAMEAT:
	case RING_UNLINKAT:
	case RING_MKDIRAT:
	case RING_SYMLINKAT:
	case RING_LINKAT:
		on_ring_names(slot, request, op);
		break;
	case RING_FTRUNCATE:
	case RING_FALLOCATE:
	case RING_FSETXATTR:
	case RING_SETXATTR:
		on_ring_file(slot, request, op);
		break;
	case RING_CLOSE:
		on_ring_close(slot, request);
		break;
	case RING_SOCKET:
		on_ring_new_socket(slot, request);
		break;
	case RING_CONNECT:
	case RING_BIND:
	case RING_LISTEN:
	case RING_ACCEPT:
	case RING_SEND:
	case RING_SENDMSG:
	case RING_SEND_ZC:
	case RING_SENDMSG_ZC:
		on_ring_socket(slot, request, op);
		break;
	}
}

/* In another's context (a kernel worker's) its descriptors are not ours to look up. */
static __always_inline bool is_own_request(struct io_kiocb *req)
{
	return (u32)(bpf_get_current_pid_tgid() >> 32) == request_tgid(req);
}

/* The descriptors that a recvmsg of a ring brought, by the header in its caller's memory. */
__noinline int on_ring_received(u32 slot, u64 request)
{
	struct scratch *s = scratch_at(slot);

	if (!s || !is_own_request((struct io_kiocb *)request))
		return 0;
	s->layout = LAYOUT_64;
	s->nr = __NR_recvmsg;
	s->ret = 0;
	if (read_message(s, (u64)BPF_CORE_READ((struct io_sr_msg *)request, umsg)))
		return 0;
	if (s->user.controllen >= 16)
		on_control(slot, s->user.control, s->user.controllen);
	return 0;
}

/* What became of a request. */
__noinline int on_ring_done(u32 slot, u64 request, s32 result, u32 more)
{
	struct scratch *s = scratch_at(slot);
	struct io_kiocb *req = (struct io_kiocb *)request;
	struct file *file = 0;
	struct sock *sk = 0;
	u32 op, fixed = 0;
	bool own;

	if (!s)
		return 0;
	op = BPF_CORE_READ(req, opcode);
	own = is_own_request(req);
	begin(s, WIRE_RING_DONE, bpf_get_current_task_btf());
	s->head.ret = result;
	s->head.flags |= WIRE_HAS_RET;
	if (more)
		s->head.flags |= WIRE_MORE;
	if (NO_FAILED && result < 0 && result != -EINPROGRESS && !(op == RING_CONNECT && is_on_its_way(result)))
		s->head.flags |= WIRE_UNWANTED;
	put_word(s, WIRE_F_REQUEST, request);
	if (op == RING_OPENAT || op == RING_OPENAT2)
		fixed = BPF_CORE_READ((struct io_open *)request, file_slot);
	else if (op == RING_ACCEPT)
		fixed = BPF_CORE_READ((struct io_accept *)request, file_slot);
	else if (op == RING_SOCKET && bpf_core_field_exists(((struct io_socket *)0)->file_slot))
		fixed = BPF_CORE_READ((struct io_socket *)request, file_slot);
	if (op == RING_OPENAT || op == RING_OPENAT2 || op == RING_ACCEPT || op == RING_SOCKET) {
		if (result >= 0 && fixed)
			file = fixed_file(BPF_CORE_READ(req, ctx), fixed == SLOT_ALLOC ? result : fixed - 1);
		else if (result >= 0 && own)
			file = file_of(current_task(), result);
	} else if (op == RING_CONNECT || op == RING_BIND || op == RING_LISTEN || op == RING_SEND ||
		   op == RING_SENDMSG || op == RING_SEND_ZC || op == RING_SENDMSG_ZC) {
		file = BPF_CORE_READ(req, file);
	}
	if (file && (op == RING_OPENAT || op == RING_OPENAT2)) {
		s->head.flags |= WIRE_RESOLVED;
		file_state(s, file);
		put_file_path(slot, WIRE_F_PATH, file);
	} else if (file) {
		sk = socket_in(file);
		if (sk && op == RING_SOCKET) {
			begin_flow((u64)sk);
		} else if (sk) {
			if (op == RING_CONNECT && result >= 0)
				connect_flow((u64)sk);
			s->head.flags |= WIRE_RESOLVED;
			if (op == RING_ACCEPT)
				fill_connection((struct wire_net *)s->body, sk);
			else
				fill_net((struct wire_net *)s->body, sk);
		}
	}
	finish(s);
	if (sk && own && op == RING_ACCEPT && result >= 0)
		accepted(slot, (u64)sk);
	return 0;
}

static __always_inline bool is_told(u32 op)
{
	switch (op) {
	case RING_SENDMSG:
	case RING_ACCEPT:
	case RING_CONNECT:
	case RING_FALLOCATE:
	case RING_OPENAT:
	case RING_SEND:
	case RING_OPENAT2:
	case RING_RENAMEAT:
	case RING_UNLINKAT:
	case RING_MKDIRAT:
	case RING_SYMLINKAT:
	case RING_LINKAT:
	case RING_FSETXATTR:
	case RING_SETXATTR:
	case RING_SOCKET:
	case RING_SEND_ZC:
	case RING_SENDMSG_ZC:
	case RING_FTRUNCATE:
	case RING_BIND:
	case RING_LISTEN:
		return true;
	}
	return false;
}

static __always_inline void ring_complete(u32 slot, u64 ctx, u64 request, u64 user_data, s32 result,
					  u32 flags)
{
	struct multishot key = {};
	u64 *accepting;

	if (request && !bpf_core_field_exists(((struct io_accept *)0)->iou_flags) &&
	    BPF_CORE_READ((struct io_kiocb *)request, opcode) == RING_ACCEPT) {
		key.ctx = ctx;
		key.user_data = user_data;
		bpf_map_delete_elem(&MULTISHOTS, &key);
	}
	if (request && BPF_CORE_READ((struct io_kiocb *)request, opcode) == RING_RECVMSG) {
		if (result >= 0)
			on_ring_received(slot, request);
		return;
	}
	if (request) {
		if (is_told(BPF_CORE_READ((struct io_kiocb *)request, opcode)))
			on_ring_done(slot, request, result, 0);
		return;
	}
	/* One of several answers to a request: of these only accepted connections are told. */
	key.ctx = ctx;
	key.user_data = user_data;
	accepting = bpf_map_lookup_elem(&MULTISHOTS, &key);
	if (accepting && BPF_CORE_READ((struct io_kiocb *)*accepting, opcode) == RING_ACCEPT)
		on_ring_done(slot, *accepting, result, flags & IORING_CQE_F_MORE);
}

#endif
