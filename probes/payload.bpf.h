/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What went over a socket: the first datagram to each destination, and what DNS said. */
#ifndef BLUBR_PAYLOAD_BPF_H
#define BLUBR_PAYLOAD_BPF_H

#include "net.bpf.h"

/* Messages of one sendmmsg or recvmmsg: UIO_MAXIOV, more the kernel does not take (net/socket.c). */
#define MESSAGES_MAX 1024
/* include/linux/socket.h */
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define MSG_FASTOPEN 0x20000000u
/* Control messages of one call and their descriptors that are looked at: SCM_MAX_FD (253, include/net/scm.h) come
 * with one message, and few other things beside them.
 */
#define CONTROL_STEPS_MAX 512
/* A DNS header, RFC 1035 section 4.1.1. */
#define DNS_HEADER_BYTES 12

/* struct iovec and user_msghdr, include/linux/socket.h, as a 64-bit program lays them out. */
struct user_iovec {
	u64 base;
	u64 len;
};

struct user_message {
	u64 name;
	u32 namelen;
	u32 pad;
	u64 iov;
	u64 iovlen;
	u64 control;
	u64 controllen;
	u64 flags;
};

/* The same as a 32-bit program lays it out (struct compat_msghdr). */
struct user_message_32 {
	u32 name;
	u32 namelen;
	u32 iov;
	u32 iovlen;
	u32 control;
	u32 controllen;
	u32 flags;
};

/* A struct mmsghdr is a message and its length, padded to the message's alignment. */
#define MMESSAGE_BYTES (sizeof(struct user_message) + 8)
#define MMESSAGE_BYTES_32 (sizeof(struct user_message_32) + 4)

static __always_inline long read_message(struct scratch *s, struct user_message *user, u64 address)
{
	struct user_message_32 narrow = {};
	long failed;

	if (s->layout != LAYOUT_32)
		return bpf_probe_read_user(user, sizeof(*user), (void *)address);
	failed = bpf_probe_read_user(&narrow, sizeof(narrow), (void *)address);
	user->name = narrow.name;
	user->namelen = narrow.namelen;
	user->iov = narrow.iov;
	user->iovlen = narrow.iovlen;
	user->control = narrow.control;
	user->controllen = narrow.controllen;
	return failed;
}

/* Whether a destination of this socket has been told; a datagram that failed does not make it so. */
static __always_inline bool told_before(struct message *m, u64 ino, bool remember)
{
	struct told key = {};
	u32 len = m->address_len;
	u8 one = 1;

	key.socket_ino = ino;
	/* sin6_flowinfo and the scope fit as well: family, port, address lie in the first 24 bytes. */
	if (len > sizeof(key.address))
		len = sizeof(key.address);
	if (m->kernel_address)
		bpf_probe_read_kernel(key.address, len, (void *)m->address);
	else
		bpf_probe_read_user(key.address, len, (void *)m->address);
	if (bpf_map_lookup_elem(&TOLD, &key))
		return true;
	if (remember)
		bpf_map_update_elem(&TOLD, &key, &one, BPF_ANY);
	return false;
}

/* sin_port and sin6_port are at the same place. */
static __always_inline u16 port_of(struct message *m)
{
	u16 port = 0;

	if (m->kernel_address)
		bpf_probe_read_kernel(&port, sizeof(port), (void *)(m->address + 2));
	else
		bpf_probe_read_user(&port, sizeof(port), (void *)(m->address + 2));
	return host_order(port);
}

static __always_inline void put_address(u32 slot, struct message *m)
{
	if (m->kernel_address)
		put_kernel_bytes(slot, WIRE_F_ADDRESS, m->address, m->address_len);
	else
		put_user_bytes(slot, WIRE_F_ADDRESS, m->address, m->address_len);
}

/* What a message that names its other end makes of it: nothing for a stream that is connected already, whose
 * protocol passes the name over.
 */
static __always_inline u32 kind_of_send(struct message *m, struct sock *sk, u16 socktype)
{
	u16 proto;

	if (socktype != SOCK_STREAM)
		return WIRE_NET_SEND;
	if (m->flags & MSG_FASTOPEN)
		return WIRE_CONNECT;
	proto = BPF_CORE_READ(sk, sk_protocol);
	return proto == IPPROTO_TCP || proto == IPPROTO_MPTCP ? WIRE_NONE : WIRE_NET_SEND;
}

/* The message that s->message describes. */
__noinline int on_one_message(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct message *m;
	struct wire_net *net;
	struct sock *sk;
	u64 ino = 0;
	u16 family, socktype, port;
	u32 kind;
	bool named;

	if (!s)
		return 0;
	m = &s->message;
	sk = socket_of(s->args[0], &ino);
	if (!sk)
		return 0;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	socktype = BPF_CORE_READ(sk, sk_type);
	named = m->address && m->address_len >= 4;
	port = named ? port_of(m) : 0;
	if (m->address_len > SOCKADDR_MAX)
		m->address_len = SOCKADDR_MAX;
	kind = m->sending && named ? kind_of_send(m, sk, socktype) : WIRE_NONE;
	if (kind != WIRE_NONE && !told_before(m, ino, s->ret >= 0)) {
		begin_call(s, kind);
		/* What a connection's first data returns is their number. */
		if (kind == WIRE_CONNECT && s->ret > 0)
			s->head.ret = 0;
		net = (struct wire_net *)s->body;
		fill_net(net, sk);
		net->fd = s->args[0];
		put_address(slot, m);
		finish(s);
	}
	if (s->ret < 0 || m->len + m->len2 < DNS_HEADER_BYTES || socktype == SOCK_RAW)
		return 0;
	if (port != DNS_PORT && host_order(BPF_CORE_READ(sk, __sk_common.skc_dport)) != DNS_PORT &&
	    BPF_CORE_READ(sk, __sk_common.skc_num) != DNS_PORT)
		return 0;
	begin_call(s, WIRE_DNS_PAYLOAD);
	net = (struct wire_net *)s->body;
	fill_net(net, sk);
	net->fd = s->args[0];
	net->sending = m->sending;
	if (named)
		put_address(slot, m);
	put_user_bytes(slot, WIRE_F_PAYLOAD, m->base, m->len);
	if (m->len2)
		put_user_bytes(slot, WIRE_F_PAYLOAD, m->base2, m->len2);
	finish(s);
	return 0;
}

/* sendto, recvfrom, read, write: (fd, buffer, length, flags, address, address length or where it lies) */
__noinline int on_transfer(u32 slot, u32 sending, u32 has_address)
{
	struct scratch *s = scratch_at(slot);
	struct message *m;
	u32 len = 0;

	if (!s)
		return 0;
	m = &s->message;
	m->sending = sending;
	m->address = has_address ? s->args[4] : 0;
	m->address_len = 0;
	m->kernel_address = 0;
	m->flags = has_address ? s->args[3] : 0;
	if (m->address) {
		if (sending)
			len = s->args[5];
		else if (s->args[5])
			bpf_probe_read_user(&len, sizeof(len), (void *)s->args[5]);
		m->address_len = len;
	}
	m->base = s->args[1];
	m->len = s->ret > 0 ? s->ret : 0;
	m->base2 = 0;
	m->len2 = 0;
	return on_one_message(slot);
}

/* iov[index] of the caller's */
static __always_inline void read_iovec(struct scratch *s, u64 vector, u32 index, struct user_iovec *into)
{
	u32 narrow[2] = {};

	if (s->layout != LAYOUT_32) {
		bpf_probe_read_user(into, sizeof(*into), (void *)(vector + index * sizeof(*into)));
		return;
	}
	bpf_probe_read_user(narrow, sizeof(narrow), (void *)(vector + index * sizeof(narrow)));
	into->base = narrow[0];
	into->len = narrow[1];
}

/* The first two pieces of what went through, `total` bytes in all. */
static __always_inline void split(struct scratch *s, u64 vector, u64 count, u64 total)
{
	struct message *m = &s->message;
	struct user_iovec iov[2] = {};
	u64 first;

	if (count >= 1)
		read_iovec(s, vector, 0, &iov[0]);
	if (count >= 2)
		read_iovec(s, vector, 1, &iov[1]);
	first = total < iov[0].len ? total : iov[0].len;
	total -= first;
	m->base = iov[0].base;
	m->len = first;
	m->base2 = iov[1].base;
	m->len2 = total < iov[1].len ? total : iov[1].len;
}

/* readv, writev (fd, vector, count) */
__noinline int on_vector(u32 slot, u32 sending)
{
	struct scratch *s = scratch_at(slot);
	struct message *m;

	if (!s)
		return 0;
	m = &s->message;
	m->sending = sending;
	m->address = 0;
	m->address_len = 0;
	m->kernel_address = 0;
	m->flags = 0;
	split(s, s->args[1], s->args[2], s->ret > 0 ? s->ret : 0);
	return on_one_message(slot);
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
	file = file_of(bpf_get_current_task_btf(), fd);
	if (!file)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK) {
		sk = socket_of(fd, &ino);
		if (!sk)
			return 0;
		family = BPF_CORE_READ(sk, __sk_common.skc_family);
		if (!is_known_family(family)) {
			begin_call(s, WIRE_WATCH_SOCKET);
			s->head.via = via;
			s->head.ret = fd;
			((struct wire_call *)s->body)->args[0] = family;
			((struct wire_call *)s->body)->args[1] = BPF_CORE_READ(sk, sk_type);
			finish(s);
			return 0;
		}
		if (family != AF_INET && family != AF_INET6)
			return 0;
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
		begin_call(s, state == TCP_LISTEN ? WIRE_NET_LISTEN : WIRE_CONNECT);
		s->head.via = via;
		s->head.ret = fd;
		fill_net((struct wire_net *)s->body, sk);
		((struct wire_net *)s->body)->fd = fd;
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

struct control_context {
	struct scratch *s;
	u32 slot;
	u32 pad;
};

/* One control message, or one descriptor of it: in one loop, since calls nest eight deep at most. A struct cmsghdr is a
 * length of the caller's word, level, type, data; the next one begins at a multiple of the word.
 */
static long control_step(u32 index, struct control_context *context)
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

/* The descriptors that came with a message (scm_detach_fds, net/core/scm.c): the kernel has written their numbers
 * behind the message's header.
 */
__noinline int on_control(u32 slot, u64 control, u64 len)
{
	struct control_context context = {};
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
	bpf_loop(CONTROL_STEPS_MAX, control_step, &context, 0);
	return 0;
}

/* One message of sendmsg and its like, of which `total` bytes went through. */
static __always_inline void one_of(u32 slot, struct scratch *s, struct user_message *user, u64 total, u32 sending)
{
	struct message *m = &s->message;

	split(s, user->iov, user->iovlen, total);
	m->address = user->name;
	m->address_len = user->namelen;
	m->kernel_address = 0;
	m->sending = sending;
	on_one_message(slot);
	if (!sending && user->controllen >= 16)
		on_control(slot, user->control, user->controllen);
}

/* sendmsg, recvmsg (fd, message, flags) */
__noinline int on_message(u32 slot, u32 sending)
{
	struct scratch *s = scratch_at(slot);
	struct user_message user = {};

	if (!s)
		return 0;
	if (read_message(s, &user, s->args[1]))
		return 0;
	s->message.flags = s->args[2];
	one_of(slot, s, &user, s->ret > 0 ? s->ret : 0, sending);
	return 0;
}

struct messages_context {
	struct scratch *s;
	s64 count;
	s64 ret;
	u32 slot;
	u32 sending;
};

static long messages_one(u32 index, struct messages_context *context)
{
	struct scratch *s = context->s;
	struct user_message user = {};
	u32 narrow = s->layout == LAYOUT_32;
	u64 at = s->args[1] + (u64)index * (narrow ? MMESSAGE_BYTES_32 : MMESSAGE_BYTES);
	u32 len = 0;

	/* Of a call that failed the first is told: that one was refused. */
	if ((s64)index >= context->count && !(index == 0 && context->ret < 0))
		return 1;
	if (read_message(s, &user, at))
		return 1;
	if (context->ret >= 0)
		bpf_probe_read_user(&len, sizeof(len),
				    (void *)(at + (narrow ? sizeof(struct user_message_32) : sizeof(user))));
	s->ret = context->ret < 0 ? context->ret : len;
	one_of(context->slot, s, &user, len, context->sending);
	return 0;
}

/* sendmmsg, recvmmsg (fd, messages, count, flags): as many as the call returned went through */
__noinline int on_messages(u32 slot, u32 sending)
{
	struct messages_context context = {};
	struct scratch *s = scratch_at(slot);

	if (!s || (s->ret < 0 && !sending))
		return 0;
	context.s = s;
	context.count = s->ret;
	context.ret = s->ret;
	context.slot = slot;
	context.sending = sending;
	s->message.flags = s->args[3];
	bpf_loop(MESSAGES_MAX, messages_one, &context, 0);
	return 0;
}

#endif
