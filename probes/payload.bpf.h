/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What went over a socket: the first datagram to each destination, and what DNS said. */
#ifndef BLUBR_PAYLOAD_BPF_H
#define BLUBR_PAYLOAD_BPF_H

#include "net.bpf.h"

/* Messages of one sendmmsg or recvmmsg that are looked at: resolvers send two (A and AAAA). */
#define MESSAGES_MAX 64
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

struct user_mmessage {
	struct user_message message;
	u32 len;
	u32 pad;
};

static __always_inline bool told_before(u64 ino, u64 address, u32 len)
{
	struct told key = {};
	u8 one = 1;

	key.socket_ino = ino;
	/* sin6_flowinfo and the scope fit as well: family, port, address lie in the first 24 bytes. */
	if (len > sizeof(key.address))
		len = sizeof(key.address);
	bpf_probe_read_user(key.address, len, (void *)address);
	if (bpf_map_lookup_elem(&TOLD, &key))
		return true;
	bpf_map_update_elem(&TOLD, &key, &one, BPF_ANY);
	return false;
}

/* sin_port and sin6_port are at the same place. */
static __always_inline u16 user_port(u64 address)
{
	u16 port = 0;

	bpf_probe_read_user(&port, sizeof(port), (void *)(address + 2));
	return host_order(port);
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
	port = named ? user_port(m->address) : 0;
	if (m->address_len > SOCKADDR_MAX)
		m->address_len = SOCKADDR_MAX;
	if (m->sending && named && socktype != SOCK_STREAM && !told_before(ino, m->address, m->address_len)) {
		begin_call(s, WIRE_NET_SEND);
		net = (struct wire_net *)s->body;
		fill_net(net, sk);
		net->fd = s->args[0];
		put_user_bytes(slot, WIRE_F_ADDRESS, m->address, m->address_len);
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
		put_user_bytes(slot, WIRE_F_ADDRESS, m->address, m->address_len);
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

static __always_inline void split(struct message *m, struct user_message *user, u64 total, u32 sending)
{
	struct user_iovec iov[2] = {};
	u64 first;

	if (user->iovlen == 1)
		bpf_probe_read_user(&iov[0], sizeof(iov[0]), (void *)user->iov);
	else if (user->iovlen > 1)
		bpf_probe_read_user(iov, sizeof(iov), (void *)user->iov);
	first = total < iov[0].len ? total : iov[0].len;
	total -= first;
	m->base = iov[0].base;
	m->len = first;
	m->base2 = iov[1].base;
	m->len2 = total < iov[1].len ? total : iov[1].len;
	m->address = user->name;
	m->address_len = user->namelen;
	m->sending = sending;
}

/* sendmsg, recvmsg (fd, message, flags) */
__noinline int on_message(u32 slot, u32 sending)
{
	struct scratch *s = scratch_at(slot);
	struct user_message user = {};

	if (!s)
		return 0;
	if (bpf_probe_read_user(&user, sizeof(user), (void *)s->args[1]))
		return 0;
	split(&s->message, &user, s->ret > 0 ? s->ret : 0, sending);
	return on_one_message(slot);
}

/* sendmmsg, recvmmsg (fd, messages, count, flags): as many as the call returned went through */
__noinline int on_messages(u32 slot, u32 sending)
{
	struct scratch *s = scratch_at(slot);
	struct user_mmessage user = {};
	s64 count;
	u32 i;

	if (!s)
		return 0;
	count = s->ret;
	for (i = 0; i < MESSAGES_MAX; i++) {
		if ((s64)i >= count)
			break;
		if (bpf_probe_read_user(&user, sizeof(user), (void *)(s->args[1] + i * sizeof(user))))
			break;
		s->ret = user.len;
		split(&s->message, &user.message, user.len, sending);
		on_one_message(slot);
	}
	return 0;
}

#endif
