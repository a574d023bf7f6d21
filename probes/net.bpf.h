/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a network event is: sockets connected, accepted, bound, listening, sending, closed. */
#ifndef BLUBR_NET_BPF_H
#define BLUBR_NET_BPF_H

#include "call.bpf.h"

/* struct sockaddr_storage, include/uapi/linux/socket.h */
#define SOCKADDR_MAX 128
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
/* The only one of the internet's is SCTP's. */
#define SOCK_SEQPACKET 5
/* The old name of a packet socket, whatever its family says (__sock_create, net/socket.c). */
#define SOCK_PACKET 10
#define SOCK_TYPE_MASK 15
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262
/* Connections whose owner is remembered until they close. One that finds no room is counted as a lost net.close. */
#define OWNERS_MAX 65536
/* Destinations of unconnected sockets that are remembered as told. */
#define TOLD_MAX 65536
/* The same of unix sockets, whose names are longer and whose destinations fewer. */
#define TOLD_NAMES_MAX 8192

struct owner {
	struct wire_head head;
	u64 since_ns;
	/* Sequence numbers of the streams' first bytes, once the connection stands. */
	u32 sent_from;
	u32 received_from;
	u32 stands;
	/* Who opened it is outside. */
	u32 outside;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWNERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct owner);
} OWNERS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TOLD_MAX);
	__type(key, struct told);
	__type(value, u8);
} TOLD SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TOLD_NAMES_MAX);
	__type(key, struct told_name);
	__type(value, u8);
} TOLD_NAMES SEC(".maps");

/* Whose a connection is, until it closes. */
static __always_inline void keep_owner(struct sock *sk, struct owner *owner)
{
	u64 key = (u64)sk;

	if (bpf_map_update_elem(&OWNERS, &key, owner, BPF_ANY))
		count_loss(WIRE_NET_CLOSE, false);
}

static __always_inline u16 host_order(u16 network)
{
	return __builtin_bswap16(network);
}

static __always_inline void fill_net(struct wire_net *net, struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	net->family = family;
	net->proto = BPF_CORE_READ(sk, sk_protocol);
	net->socktype = BPF_CORE_READ(sk, sk_type);
	if (family == AF_INET) {
		u32 saddr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		u32 daddr = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(net->saddr, &saddr, 4);
		__builtin_memcpy(net->daddr, &daddr, 4);
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&net->saddr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&net->daddr, sk, __sk_common.skc_v6_daddr);
	} else {
		return;
	}
	net->sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	net->dport = host_order(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

/* The same of a connection that may have closed: inet_put_port has cleared skc_num by then. */
static __always_inline void fill_connection(struct wire_net *net, struct sock *sk)
{
	fill_net(net, sk);
	net->sport = host_order(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
}

/* The socket behind a descriptor of the current task, or 0; its inode number in *ino. */
static __always_inline struct sock *socket_of(u32 fd, u64 *ino)
{
	struct file *file = file_of(current_task(), fd);
	struct inode *inode;
	struct socket *socket;

	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	*ino = BPF_CORE_READ(inode, i_ino);
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline bool is_internet(u32 family)
{
	return family == AF_INET || family == AF_INET6;
}

/* Whether what goes through such a socket is recorded, or goes to this kernel alone. SCTP also reaches others by setsockopt. */
static __always_inline bool is_recorded(u32 family, u32 type, u32 protocol)
{
	type &= SOCK_TYPE_MASK;
	if (is_internet(family))
		return type != SOCK_SEQPACKET && type != SOCK_PACKET && (type == SOCK_RAW || protocol != IPPROTO_SCTP);
	return family == AF_UNIX || family == AF_NETLINK;
}

/* socket(family, type, protocol) */
__noinline int on_new_socket(u32 slot)
{
	struct scratch *s = scratch_at(slot);

	if (!s || is_recorded(s->args[0], s->args[1], s->args[2]))
		return 0;
	begin_call(s, WIRE_WATCH_SOCKET);
	copy_arguments(s);
	finish(s);
	return 0;
}

/* Where a unix socket lies: the kernel's own answer, once it is bound. */
static __always_inline void put_unix_path(u32 slot, struct sock *sk)
{
	struct unix_sock *named = (struct unix_sock *)sk;
	struct scratch *s = scratch_at(slot);

	if (!s || !bpf_core_field_exists(named->path))
		return;
	s->walk.vfsmount = (u64)BPF_CORE_READ(named, path.mnt);
	s->walk.dentry = (u64)BPF_CORE_READ(named, path.dentry);
	if (s->walk.dentry)
		put_walk(slot, WIRE_F_PATH);
}

/* A unix socket is bound to a name: a file is made, with the permissions of the socket's own inode. */
__noinline int on_unix_bind(u32 slot, u64 socket)
{
	struct scratch *s = scratch_at(slot);
	struct file *file = file_of(current_task(), s ? s->args[0] : 0);
	u32 length = s ? s->args[2] : 0;
	u8 first = 0;

	if (!s || !file || length <= 2)
		return 0;
	/* An abstract name is no file. */
	if (!bpf_probe_read_user(&first, sizeof(first), (void *)(s->args[1] + 2)) && !first)
		return 0;
	begin_call(s, WIRE_UNIX_BIND);
	fill_net((struct wire_net *)s->body, (struct sock *)socket);
	put_user_bytes(slot, WIRE_F_ADDRESS, s->args[1], length > SOCKADDR_MAX ? SOCKADDR_MAX : length);
	put_word(s, WIRE_F_VALUE, BPF_CORE_READ(file, f_inode, i_mode));
	put_cwd(slot, WIRE_F_BASE, current_task());
	if (s->ret >= 0)
		put_unix_path(slot, (struct sock *)socket);
	finish(s);
	return 0;
}

/* A connection that did not come about in the call, but may yet: nobody waits for it, or a signal ended the waiting. */
static __always_inline bool is_on_its_way(long ret)
{
	return ret == -EINPROGRESS || ret == -EINTR || ret == -ERESTARTSYS;
}

/* connect, bind (fd, address, length) and listen (fd, backlog) */
__noinline int on_socket(u32 slot, u32 kind)
{
	struct scratch *s = scratch_at(slot);
	struct sock *sk;
	u64 ino = 0;
	u16 family;
	u32 length;

	if (!s)
		return 0;
	sk = socket_of(s->args[0], &ino);
	if (!sk)
		return 0;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == AF_UNIX && kind == WIRE_NET_BIND)
		return on_unix_bind(slot, (u64)sk);
	if (family != AF_INET && family != AF_INET6 && !(family == AF_UNIX && kind == WIRE_CONNECT))
		return 0;
	begin_call(s, kind);
	fill_net((struct wire_net *)s->body, sk);
	if (kind != WIRE_NET_LISTEN) {
		length = s->args[2];
		put_user_bytes(slot, WIRE_F_ADDRESS, s->args[1], length > SOCKADDR_MAX ? SOCKADDR_MAX : length);
		if (family == AF_UNIX)
			put_cwd(slot, WIRE_F_BASE, current_task());
	}
	finish(s);
	return 0;
}

/* The sequence number of the first byte that was sent: what is acknowledged has been counted since, with the SYN of who
 * connected (tcp_snd_una_update).
 */
static __always_inline u32 sent_from(struct sock *sk, bool accepted)
{
	u32 acked = BPF_CORE_READ((struct tcp_sock *)sk, bytes_acked);

	return BPF_CORE_READ((struct tcp_sock *)sk, snd_una) - acked + (accepted ? 0 : 1);
}

/* Of the first that was received: a SYN is not counted (tcp_rcv_nxt_update). */
static __always_inline u32 received_from(struct sock *sk)
{
	u32 received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);

	return BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt) - received;
}

/* Where the streams begin, at a moment when no packet can come between the counters. */
static __always_inline void note_streams(struct owner *owner, struct sock *sk, bool accepted)
{
	owner->sent_from = sent_from(sk, accepted);
	owner->received_from = received_from(sk);
	owner->stands = 1;
}

/* What goes out when a socket's traffic has ended. */
struct closing {
	struct wire_head head;
	struct wire_net_close body;
};

/* In the context of whoever ends it: the head is its owner's. The body's ends and bytes are filled. */
static __always_inline void put_closing(struct closing *record, u64 since_ns, bool outside)
{
	u64 waiting;

	record->head.kind = WIRE_NET_CLOSE;
	record->head.fixed = sizeof(*record);
	record->head.flags = 0;
	record->head.nr = 0;
	record->head.ret = 0;
	record->head.time_ns = bpf_ktime_get_ns();
	record->body.duration_ns = record->head.time_ns - since_ns;
	/* Whoever runs now has often nothing to do with it. */
	waiting = bpf_ringbuf_query(&RING, BPF_RB_AVAIL_DATA);
	if (is_half_full(waiting) && outside)
		count_loss(WIRE_NET_CLOSE, true);
	else
		put_out(WIRE_NET_CLOSE, record, sizeof(*record), waiting);
}

/* A connection of TCP has ended. */
__noinline int end_connection(u64 socket)
{
	struct owner *owner = bpf_map_lookup_elem(&OWNERS, &socket);
	struct sock *sk = (struct sock *)socket;
	struct closing record;
	u64 since_ns;
	u32 outside;

	if (!owner)
		return 0;
	__builtin_memset(&record, 0, sizeof(record));
	record.head = owner->head;
	since_ns = owner->since_ns;
	outside = owner->outside;
	/* Who takes it out tells it. */
	if (bpf_map_delete_elem(&OWNERS, &socket))
		return 0;
	fill_connection(&record.body.net, sk);
	/* bytes_acked would count SYN and FIN. */
	record.body.bytes_sent = BPF_CORE_READ((struct tcp_sock *)sk, bytes_sent) -
				 BPF_CORE_READ((struct tcp_sock *)sk, bytes_retrans);
	record.body.bytes_received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);
	put_closing(&record, since_ns, outside);
	return 0;
}

/* A connection came to whom s->head is about. */
__noinline int accepted(u32 slot, u64 socket)
{
	struct sock *sk = (struct sock *)socket;
	struct scratch *s = scratch_at(slot);
	struct owner owner = {};

	if (!s || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	owner.head = s->head;
	owner.outside = is_outside();
	owner.since_ns = s->head.time_ns;
	/* Nothing was sent before; what comes in meanwhile may make the other number wrong by a segment. */
	note_streams(&owner, sk, true);
	keep_owner(sk, &owner);
	/* It was reset before it was accepted: that it closed has been. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		end_connection(socket);
	return 0;
}

__noinline int on_accept(u32 slot)
{
	struct scratch *s = scratch_at(slot);
	struct sock *sk;
	u64 ino = 0;
	u16 family;

	if (!s)
		return 0;
	/* Of one that failed there is the socket that was to accept. */
	sk = socket_of(s->ret < 0 ? s->args[0] : s->ret, &ino);
	if (!sk)
		return 0;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	begin_call(s, WIRE_NET_ACCEPT);
	fill_connection((struct wire_net *)s->body, sk);
	if (s->ret < 0) {
		finish(s);
		return 0;
	}
	finish(s);
	accepted(slot, (u64)sk);
	return 0;
}

/* A TCP socket changed its state; in the context of whoever did that, often of nobody. `key` is its address. */
static __always_inline void tcp_state(struct sock *sk, u64 key, int newstate)
{
	struct owner fresh, *owner;

	if (newstate == TCP_SYN_SENT) {
		if (is_self())
			return;
		__builtin_memset(&fresh, 0, sizeof(fresh));
		fill_head(&fresh.head, WIRE_NET_CLOSE, current_task());
		fresh.since_ns = fresh.head.time_ns;
		fresh.outside = is_outside();
		keep_owner(sk, &fresh);
		return;
	}
	if (newstate == TCP_CLOSE)
		end_connection(key);
	if (newstate != TCP_ESTABLISHED)
		return;
	owner = bpf_map_lookup_elem(&OWNERS, &key);
	if (owner)
		note_streams(owner, sk, false);
}

#endif
