/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a socket call carries: the message as its caller describes it, the pieces of it, and its other end. */
#ifndef BLUBR_MESSAGE_BPF_H
#define BLUBR_MESSAGE_BPF_H

#include "datagram.bpf.h"

/* Pieces of one message: UIO_MAXIOV, more the kernel does not take (lib/iov_iter.c). */
#define PIECES_MAX 1024
/* include/linux/socket.h */
#define MSG_FASTOPEN 0x20000000u

/* The caller's message at `address`, into s->user. */
static __always_inline long read_message(struct scratch *s, u64 address)
{
	struct user_message *user = &s->user;
	struct user_message_32 *narrow = &s->user_32;
	long failed;

	if (s->layout != LAYOUT_32)
		return bpf_probe_read_user(user, sizeof(*user), (void *)address);
	failed = bpf_probe_read_user(narrow, sizeof(*narrow), (void *)address);
	user->name = narrow->name;
	user->namelen = narrow->namelen;
	user->iov = narrow->iov;
	user->iovlen = narrow->iovlen;
	user->control = narrow->control;
	user->controllen = narrow->controllen;
	return failed;
}

/* Whether a destination of this socket has been told; a datagram that failed does not make it so. Without a family it is
 * of the socket's own.
 */
static __always_inline bool told_before(struct message *m, u64 ino, u16 family, bool remember)
{
	struct told *key = &m->told;
	u32 len = m->address_len;
	u8 one = 1;

	__builtin_memset(key, 0, sizeof(*key));
	key->socket_ino = ino;
	/* sin6_flowinfo and the scope fit as well: family, port, address lie in the first 24 bytes. */
	if (len > sizeof(key->address))
		len = sizeof(key->address);
	if (m->kernel_address)
		bpf_probe_read_kernel(key->address, len, (void *)m->address);
	else
		bpf_probe_read_user(key->address, len, (void *)m->address);
	if (!*(u16 *)key->address)
		*(u16 *)key->address = family;
	if (bpf_map_lookup_elem(&TOLD, key))
		return true;
	if (remember)
		bpf_map_update_elem(&TOLD, key, &one, BPF_ANY);
	return false;
}

/* Two bytes of the other end's address. */
static __always_inline u16 in_address(struct message *m, u32 at)
{
	u16 value = 0;

	if (m->kernel_address)
		bpf_probe_read_kernel(&value, sizeof(value), (void *)(m->address + at));
	else
		bpf_probe_read_user(&value, sizeof(value), (void *)(m->address + at));
	return value;
}

/* sin_port and sin6_port are at the same place. */
static __always_inline u16 port_of(struct message *m)
{
	return host_order(in_address(m, 2));
}

/* UDP over IPv6 sends where the socket is connected to if the address has no family (udpv6_sendmsg). */
static __always_inline bool is_passed_over(struct message *m, struct sock *sk, u16 family)
{
	u16 proto;

	if (family != AF_INET6 || !m->sending || in_address(m, 0))
		return false;
	proto = BPF_CORE_READ(sk, sk_protocol);
	return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
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

/* iov[index] of the caller's */
static __always_inline void read_iovec(struct scratch *s, u64 vector, u32 index, struct user_iovec *into)
{
	u32 narrow[2] = {};

	into->base = 0;
	into->len = 0;
	if (s->layout != LAYOUT_32) {
		bpf_probe_read_user(into, sizeof(*into), (void *)(vector + index * sizeof(*into)));
		return;
	}
	bpf_probe_read_user(narrow, sizeof(narrow), (void *)(vector + index * sizeof(narrow)));
	into->base = narrow[0];
	into->len = narrow[1];
}

/* One piece behind those before it. What changes from piece to piece lies in the map, where the verifier does not follow it. */
STEP long piece_step(u32 index, struct loop *context)
{
	struct scratch *s = context->s;
	struct user_iovec *iov = &s->piece;
	u32 at = s->used;
	u64 len, left = s->message.left;

	if (index >= s->message.count || !left)
		return 1;
	read_iovec(s, s->message.vector, index, iov);
	len = iov->len < left ? iov->len : left;
	if (!len)
		return 0;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - WIRE_STREAM_MAX)
		return 1;
	CLAMP(len, WIRE_STREAM_MAX);
	if (bpf_probe_read_user(&s->tail[at], len, (void *)iov->base)) {
		s->message.faults |= WIRE_FAULT;
		return 1;
	}
	s->used = at + len;
	s->message.left = left - len;
	return 0;
}
LOOP_OF(piece_step)

/* What went through, up to `max` bytes of it (WIRE_STREAM_MAX at most), in one field. */
__noinline int put_payload(u32 slot, u32 max)
{
	struct scratch *s = scratch_at(slot);
	struct loop context = {};
	u64 len;
	u32 at;

	if (!s)
		return 0;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - 2 * WIRE_STREAM_MAX - 16)
		return 0;
	s->message.faults = 0;
	len = s->message.len;
	if (len > max) {
		s->message.faults |= WIRE_CUT;
		len = max;
	}
	CLAMP(len, WIRE_STREAM_MAX);
	if (s->message.vector) {
		context.s = s;
		context.slot = slot;
		s->message.left = len;
		s->used = at + sizeof(struct wire_field);
		LOOP(PIECES_MAX, PIECES_MAX, piece_step, &context);
		len -= s->message.left;
		s->used = at;
	} else if (bpf_probe_read_user(&s->tail[at + 8], len, (void *)s->message.base)) {
		s->message.faults |= WIRE_FAULT;
		len = 0;
	}
	seal_field(s, at, WIRE_F_PAYLOAD, s->message.faults, len);
	return 0;
}

#endif
