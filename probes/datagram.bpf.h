/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What went through a datagram or a raw socket until it closed. The kernel counts a connection's bytes of TCP, and of
 * these sockets none: each send and receive is counted here, from socket(2) on.
 */
#ifndef BLUBR_DATAGRAM_BPF_H
#define BLUBR_DATAGRAM_BPF_H

#include "net.bpf.h"

/* Sockets that are counted at a time. One that finds no room is counted as a lost net.close. */
#define FLOWS_MAX 65536
/* include/linux/socket.h: what was looked at comes again, and what is read of the error queue was sent. */
#define MSG_PEEK 2u
#define MSG_ERRQUEUE 0x2000u

struct flow {
	/* Of who made or connected it. */
	struct wire_head head;
	u64 since_ns;
	/* Bytes that its calls sent and received, and those of them that a net.close has told. */
	u64 sent;
	u64 received;
	u64 sent_before;
	u64 received_before;
	/* Its ends, as it was last connected. */
	struct wire_net net;
	/* Its beginning was seen: all bytes are counted. */
	u32 begun;
	/* Who made it is outside. */
	u32 outside;
	/* A datagram named where it goes: from then on the bytes are not of one destination alone. */
	u32 elsewhere;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct flow);
} FLOWS SEC(".maps");

/* A flow of which nothing is known: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow);
} NO_FLOW SEC(".maps");

/* Other than 0 once the probe is in place that sees sockets go: set by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} FOLLOWED SEC(".maps");

static __always_inline bool is_flow(u16 family, u16 socktype)
{
	return (family == AF_INET || family == AF_INET6) && (socktype == SOCK_DGRAM || socktype == SOCK_RAW);
}

static __always_inline bool is_flow_socket(struct sock *sk)
{
	return is_flow(BPF_CORE_READ(sk, __sk_common.skc_family), BPF_CORE_READ(sk, sk_type));
}

/* The flow of a socket, a new one where there is none yet. */
static __always_inline struct flow *flow_of(u64 key)
{
	struct flow *flow = bpf_map_lookup_elem(&FLOWS, &key), *none;
	u32 first = 0;

	if (flow)
		return flow;
	none = bpf_map_lookup_elem(&NO_FLOW, &first);
	if (!none)
		return 0;
	bpf_map_update_elem(&FLOWS, &key, none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&FLOWS, &key);
}

static __always_inline bool are_followed(void)
{
	u32 first = 0, *followed = bpf_map_lookup_elem(&FOLLOWED, &first);

	return followed && *followed;
}

/* Whose the flow is, from now on. */
static __always_inline void take_flow(struct flow *flow)
{
	fill_head(&flow->head, WIRE_NET_CLOSE, bpf_get_current_task_btf());
	flow->since_ns = flow->head.time_ns;
	flow->outside = is_outside();
}

/* A socket was made. */
__noinline int begin_flow(u64 socket)
{
	struct flow *flow;

	if (!are_followed() || !is_flow_socket((struct sock *)socket))
		return 0;
	flow = flow_of(socket);
	if (!flow) {
		count_loss(WIRE_NET_CLOSE, false);
		return 0;
	}
	/* Another thread may have used it before its maker was told its descriptor: what that sent is counted. */
	take_flow(flow);
	flow->begun = 1;
	return 0;
}

static __always_inline bool is_connected(const struct wire_net *net)
{
	const u64 *daddr = (const u64 *)net->daddr;

	return daddr[0] || daddr[1];
}

/* Tells what went through since the last time, between the ends in record->body.net. */
static __always_inline void tell_flow(struct closing *record, struct flow *flow)
{
	u64 sent = *(volatile u64 *)&flow->sent, received = *(volatile u64 *)&flow->received;

	if (flow->elsewhere) {
		__builtin_memset(record->body.net.daddr, 0, sizeof(record->body.net.daddr));
		record->body.net.dport = 0;
	}
	record->body.bytes_sent = sent - flow->sent_before;
	record->body.bytes_received = received - flow->received_before;
	flow->sent_before = sent;
	flow->received_before = received;
	record->head = flow->head;
	put_closing(record, flow->since_ns, flow->outside);
}

/* connect(2) came about: what the socket did before ends. */
__noinline int connect_flow(u64 socket)
{
	struct flow *flow = bpf_map_lookup_elem(&FLOWS, &socket);
	struct closing record;

	if (!flow || !flow->begun)
		return 0;
	if (is_connected(&flow->net) || flow->sent != flow->sent_before || flow->received != flow->received_before) {
		__builtin_memset(&record, 0, sizeof(record));
		if (is_connected(&flow->net)) {
			record.body.net = flow->net;
		} else {
			/* Of its ends before only the port is still the same. */
			fill_net(&record.body.net, (struct sock *)socket);
			__builtin_memset(record.body.net.saddr, 0, sizeof(record.body.net.saddr));
			__builtin_memset(record.body.net.daddr, 0, sizeof(record.body.net.daddr));
			record.body.net.dport = 0;
		}
		tell_flow(&record, flow);
	}
	take_flow(flow);
	__builtin_memset(&flow->net, 0, sizeof(flow->net));
	fill_net(&flow->net, (struct sock *)socket);
	return 0;
}

/* The socket behind a descriptor was made or connected. */
static __always_inline void on_flow_socket(u32 fd, bool connected)
{
	u64 ino = 0;
	struct sock *sk = socket_of(fd, &ino);

	if (!sk)
		return;
	if (connected)
		connect_flow((u64)sk);
	else
		begin_flow((u64)sk);
}

/* A datagram named where it goes. */
static __always_inline void note_elsewhere(struct sock *sk)
{
	u64 key = (u64)sk;
	struct flow *flow = bpf_map_lookup_elem(&FLOWS, &key);

	if (flow)
		flow->elsewhere = 1;
}

/* The calls' own answer to how much went through. Sockets of the kernel's (NFS) have no file, and nobody sees them go. */
static __always_inline void count_flow(struct sock *sk, s32 bytes, bool sending)
{
	u64 key = (u64)sk;
	struct socket *socket;
	struct flow *flow;

	if (bytes <= 0 || !is_flow(FIELD(sk, __sk_common.skc_family), FIELD(sk, sk_type)))
		return;
	socket = FIELD(sk, sk_socket);
	if (!socket || !FIELD(socket, file))
		return;
	flow = flow_of(key);
	if (flow)
		__sync_fetch_and_add(sending ? &flow->sent : &flow->received, bytes);
}

/* Nothing holds the socket any more (inet_release). In a program that knows no kernel types: by its address alone. */
static __always_inline void end_flow(u64 socket)
{
	struct flow *flow = bpf_map_lookup_elem(&FLOWS, &socket);
	struct closing record;

	if (!flow)
		return;
	if (flow->begun) {
		__builtin_memset(&record, 0, sizeof(record));
		fill_net(&record.body.net, (struct sock *)socket);
		/* Not of one that was made and never used, as for a look at an interface. */
		if (record.body.net.sport || is_connected(&record.body.net) || flow->sent != flow->sent_before ||
		    flow->received != flow->received_before)
			tell_flow(&record, flow);
	}
	bpf_map_delete_elem(&FLOWS, &socket);
}

#endif
