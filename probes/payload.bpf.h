/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What went over a socket: the first datagram to each destination, what DNS said, and how TLS and HTTP began. */
#ifndef BLUBR_PAYLOAD_BPF_H
#define BLUBR_PAYLOAD_BPF_H

#include "passing.bpf.h"
#include "stream.bpf.h"

/* Messages of one sendmmsg or recvmmsg: UIO_MAXIOV, more the kernel does not take (net/socket.c). */
#define MESSAGES_MAX 1024
/* A DNS header, RFC 1035 section 4.1.1. */
#define DNS_HEADER_BYTES 12

/* A struct mmsghdr is a message and its length, padded to the message's alignment. */
#define MMESSAGE_BYTES (sizeof(struct user_message) + 8)
#define MMESSAGE_BYTES_32 (sizeof(struct user_message_32) + 4)

/* What goes to or comes from port 53. */
static __always_inline void on_dns(u32 slot, struct scratch *s, struct sock *sk, bool named)
{
	struct message *m = &s->message;
	struct wire_net *net;
	u16 proto = BPF_CORE_READ(sk, sk_protocol);

	/* A datagram that holds no header; a stream may come in small pieces, and what was only looked at comes again. */
	if (proto != IPPROTO_TCP && m->len < DNS_HEADER_BYTES)
		return;
	if (proto == IPPROTO_TCP && !m->sending && (m->flags & MSG_PEEK))
		return;
	begin_call(s, WIRE_DNS_PAYLOAD);
	net = (struct wire_net *)s->body;
	fill_net(net, sk);
	net->sending = m->sending;
	if (named)
		put_address(slot, m);
	if (proto == IPPROTO_TCP)
		put_stream(s, sk, offset_of(s, sk, m->sending));
	put_payload(slot, proto == IPPROTO_TCP ? WIRE_STREAM_MAX : WIRE_PAYLOAD_MAX);
	finish(s);
}

/* Whether a name was told as where this socket's datagrams go. It stands behind its family. */
static __always_inline bool name_told_before(struct scratch *s, u64 ino)
{
	struct told_name *key = &s->message.told_name;
	struct fs_struct *fs = OF(current_task(), fs);
	u32 len = s->message.address_len - 2;
	u8 one = 1;

	__builtin_memset(key, 0, sizeof(*key));
	key->socket_ino = ino;
	if (len > sizeof(key->name))
		len = sizeof(key->name);
	bpf_probe_read_user(key->name, len, (void *)(s->message.address + 2));
	/* An abstract name begins nowhere. */
	if (key->name[0] == '/')
		key->directory = s->walk.root_dentry;
	else if (key->name[0] && fs)
		key->directory = (u64)OF(fs, pwd.dentry);
	if (bpf_map_lookup_elem(&TOLD_NAMES, key))
		return true;
	if (s->ret >= 0)
		bpf_map_update_elem(&TOLD_NAMES, key, &one, BPF_ANY);
	return false;
}

/* A message over a unix socket: the first datagram to each name reaches whom a connect would. Sockets of other types
 * pass the name over, or refuse it (unix_stream_sendmsg, unix_seqpacket_sendmsg).
 */
static __always_inline void on_unix_message(u32 slot, struct scratch *s, struct sock *sk, u64 ino)
{
	struct message *m = &s->message;

	if (!m->sending || !m->address || m->address_len <= 2)
		return;
	if (BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM || in_address(m, 0) != AF_UNIX)
		return;
	if (m->address_len > SOCKADDR_MAX)
		m->address_len = SOCKADDR_MAX;
	begin_call(s, WIRE_CONNECT);
	if (name_told_before(s, ino))
		return;
	/* What it returns is bytes. */
	if (s->ret > 0)
		s->head.ret = 0;
	fill_net((struct wire_net *)s->body, sk);
	put_address(slot, m);
	put_cwd(slot, WIRE_F_BASE, current_task());
	finish(s);
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
	if (family == AF_UNIX)
		on_unix_message(slot, s, sk, ino);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	socktype = BPF_CORE_READ(sk, sk_type);
	named = m->address && m->address_len >= 4 && !is_passed_over(m, sk, family);
	port = named ? port_of(m) : 0;
	if (m->address_len > SOCKADDR_MAX)
		m->address_len = SOCKADDR_MAX;
	kind = m->sending && named ? kind_of_send(m, sk, socktype) : WIRE_NONE;
	if (kind != WIRE_NONE && !told_before(m, ino, family, s->ret >= 0)) {
		begin_call(s, kind);
		/* What a connection's first data returns is their number. */
		if (kind == WIRE_CONNECT && s->ret > 0)
			s->head.ret = 0;
		net = (struct wire_net *)s->body;
		fill_net(net, sk);
		put_address(slot, m);
		finish(s);
		if (kind == WIRE_NET_SEND && s->ret >= 0)
			note_elsewhere(sk);
	}
	if (s->ret <= 0 || !m->len || socktype == SOCK_RAW)
		return 0;
	if (port == DNS_PORT || host_order(BPF_CORE_READ(sk, __sk_common.skc_dport)) == DNS_PORT ||
	    BPF_CORE_READ(sk, __sk_common.skc_num) == DNS_PORT)
		on_dns(slot, s, sk, named);
	else if (m->sending && socktype == SOCK_STREAM && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		on_stream_sent(slot, (u64)sk, ino);
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
	/* With MSG_TRUNC a datagram's length is returned, also where the buffer is shorter. */
	m->len = s->ret <= 0 ? 0 : (u64)s->ret < s->args[2] ? (u64)s->ret : s->args[2];
	m->vector = 0;
	m->count = 0;
	return on_one_message(slot);
}

/* What went through in pieces, `total` bytes in all. */
static __always_inline void in_pieces(struct scratch *s, u64 vector, u64 count, u64 total)
{
	struct message *m = &s->message;

	m->base = 0;
	m->len = total;
	m->vector = vector;
	m->count = count;
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
	in_pieces(s, s->args[1], s->args[2], s->ret > 0 ? s->ret : 0);
	return on_one_message(slot);
}

/* One message of sendmsg and its like, of which `total` bytes went through. */
static __always_inline void one_of(u32 slot, struct scratch *s, u64 total, u32 sending)
{
	struct message *m = &s->message;
	struct user_message *user = &s->user;

	in_pieces(s, user->iov, user->iovlen, total);
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

	if (!s)
		return 0;
	if (read_message(s, s->args[1]))
		return 0;
	s->message.flags = s->args[2];
	one_of(slot, s, s->ret > 0 ? s->ret : 0, sending);
	return 0;
}

STEP long messages_one(u32 index, struct loop *context)
{
	struct scratch *s = context->s;
	struct messages *all = &s->messages;
	u32 narrow = s->layout == LAYOUT_32;
	u64 at = s->args[1] + (u64)index * (narrow ? MMESSAGE_BYTES_32 : MMESSAGE_BYTES);
	u32 len = 0;

	/* Of a call that failed the first is told: that one was refused. */
	if ((s64)index >= all->count && !(index == 0 && all->ret < 0))
		return 1;
	if (read_message(s, at))
		return 1;
	if (all->ret >= 0)
		bpf_probe_read_user(&len, sizeof(len),
				    (void *)(at + (narrow ? sizeof(struct user_message_32) : sizeof(struct user_message))));
	s->ret = all->ret < 0 ? all->ret : len;
	one_of(context->slot, s, len, all->sending);
	return 0;
}
LOOP_OF(messages_one)

/* sendmmsg, recvmmsg (fd, messages, count, flags): as many as the call returned went through */
__noinline int on_messages(u32 slot, u32 sending)
{
	struct scratch *s = scratch_at(slot);
	struct loop context = {};

	if (!s || (s->ret < 0 && !sending))
		return 0;
	context.s = s;
	context.slot = slot;
	s->messages.count = s->ret;
	s->messages.ret = s->ret;
	s->messages.sending = sending;
	s->message.flags = s->args[3];
	LOOP(MESSAGES_MAX, MESSAGES_MAX, messages_one, &context);
	return 0;
}

#endif
