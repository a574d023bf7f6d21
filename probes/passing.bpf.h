/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Descriptors that another process passed on: over a unix socket, or by pidfd_getfd(2). */
#ifndef BLUBR_PASSING_BPF_H
#define BLUBR_PASSING_BPF_H

#include "file.bpf.h"
#include "net.bpf.h"

/* include/linux/socket.h */
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
/* Control messages of one call and their descriptors that are looked at: SCM_MAX_FD (253, include/net/scm.h) come
 * with one message, and few other things beside them.
 */
#define CONTROL_STEPS_MAX 512

/* A unix socket that came connected: told by the name that its other end has, if it has one. */
static __always_inline void on_received_unix(u32 slot, struct sock *sk, u32 fd, u32 via)
{
	struct unix_sock *own = (struct unix_sock *)sk;
	struct scratch *s = scratch_at(slot);
	struct unix_address *address;
	struct sock *other;
	u64 len;

	if (!s || !bpf_core_field_exists(own->peer) || !bpf_core_field_exists(((struct unix_address *)0)->name))
		return;
	other = BPF_CORE_READ(own, peer);
	address = other ? BPF_CORE_READ((struct unix_sock *)other, addr) : 0;
	if (!address)
		return;
	begin_call(s, WIRE_CONNECT);
	s->head.via = via;
	s->head.ret = fd;
	fill_net((struct wire_net *)s->body, sk);
	put_unix_path(slot, other);
	len = BPF_CORE_READ(address, len);
	put_kernel_bytes(slot, WIRE_F_ADDRESS, (u64)address + bpf_core_field_offset(struct unix_address, name),
			 len > SOCKADDR_MAX ? SOCKADDR_MAX : len);
	finish(s);
}

/* A descriptor that another process passed on: told as what it gives its receiver, an open file or a connection. */
__noinline int on_received(u32 slot, u32 fd, u32 via)
{
	struct scratch *s = scratch_at(slot);
	struct wire_file *body;
	struct sock *sk;
	struct file *file;
	u64 ino = 0;
	u16 family;
	u8 state;

	if (!s)
		return 0;
	file = file_of(current_task(), fd);
	if (!file)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK) {
		sk = socket_of(fd, &ino);
		if (!sk)
			return 0;
		family = BPF_CORE_READ(sk, __sk_common.skc_family);
		if (!is_recorded(family, BPF_CORE_READ(sk, sk_type), BPF_CORE_READ(sk, sk_protocol))) {
			begin_call(s, WIRE_WATCH_SOCKET);
			s->head.via = via;
			s->head.ret = fd;
			((struct wire_call *)s->body)->args[0] = family;
			((struct wire_call *)s->body)->args[1] = BPF_CORE_READ(sk, sk_type);
			finish(s);
		}
		if (family == AF_UNIX)
			on_received_unix(slot, sk, fd, via);
		if (!is_internet(family))
			return 0;
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
		begin_call(s, state == TCP_LISTEN ? WIRE_NET_LISTEN : WIRE_CONNECT);
		s->head.via = via;
		s->head.ret = fd;
		fill_net((struct wire_net *)s->body, sk);
		finish(s);
		return 0;
	}
	begin_call(s, WIRE_FILE_OPEN);
	s->head.via = via;
	s->head.ret = fd;
	file_state(s, file);
	body = (struct wire_file *)s->body;
	body->flags = BPF_CORE_READ(file, f_flags);
	put_file_path(slot, WIRE_F_PATH, file);
	finish(s);
	return 0;
}

/* One control message, or one descriptor of it: in one loop, since calls nest eight deep at most. A struct cmsghdr is a
 * length of the caller's word, level, type, data; the next one begins at a multiple of the word.
 */
STEP long control_step(u32 index, struct loop *context)
{
	struct control *c = &context->s->control;
	u32 narrow = context->s->layout == LAYOUT_32;
	u64 head = narrow ? 12 : 16, len = 0, at = c->at;
	u32 what[2] = {}, fd = 0;

	if (c->fds + 4 <= c->fds_end) {
		if (bpf_probe_read_user(&fd, sizeof(fd), (void *)c->fds))
			return 1;
		c->fds += 4;
		on_received(context->slot, fd, WIRE_BY_SCM_RIGHTS);
		return 0;
	}
	if (at + head > c->end)
		return 1;
	if (bpf_probe_read_user(&len, narrow ? 4 : 8, (void *)at) ||
	    bpf_probe_read_user(what, sizeof(what), (void *)(at + head - 8)))
		return 1;
	if (len < head || len > c->end - at)
		return 1;
	if (what[0] == SOL_SOCKET && what[1] == SCM_RIGHTS) {
		c->fds = at + head;
		c->fds_end = at + len;
	}
	c->at = at + (narrow ? (len + 3) & ~3ull : (len + 7) & ~7ull);
	return 0;
}
LOOP_OF(control_step)

/* The descriptors that came with a message (scm_detach_fds, net/core/scm.c): the kernel has written their numbers
 * behind the message's header.
 */
static __always_inline int on_control(u32 slot, u64 control, u64 len)
{
	struct loop context = {};
	struct control *c;

	context.s = scratch_at(slot);
	if (!context.s || !control)
		return 0;
	context.slot = slot;
	c = &context.s->control;
	c->at = control;
	c->end = control + len;
	c->fds = 0;
	c->fds_end = 0;
	LOOP(CONTROL_STEPS_MAX, CONTROL_STEPS_MAX, control_step, &context);
	return 0;
}

#endif
