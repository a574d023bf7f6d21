/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What went over a socket: the first datagram to each destination, what DNS said, and how TLS and HTTP began. */
#ifndef BLUBR_PAYLOAD_BPF_H
#define BLUBR_PAYLOAD_BPF_H

#include "datagram.bpf.h"

/* Messages of one sendmmsg or recvmmsg, and pieces of one message: UIO_MAXIOV, more the kernel does not take
 * (net/socket.c, lib/iov_iter.c).
 */
#define MESSAGES_MAX 1024
#define PIECES_MAX 1024
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

/* Streams that have begun as TLS or HTTP do and of which more is wanted; the least recently used is forgotten. */
#define STREAMS_MAX 4096
/* A record's head, RFC 8446 section 5.1, a message's within, section 4, and what they say. */
#define TLS_RECORD_BYTES 5
#define TLS_MESSAGE_BYTES 4
#define TLS_HANDSHAKE 22
#define TLS_CLIENT_HELLO 1

struct stream {
	u64 socket_ino;
	/* WIRE_TLS_PAYLOAD, WIRE_HTTP_PAYLOAD */
	u32 kind;
	/* Bytes of it that are wanted. */
	u32 end;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STREAMS_MAX);
	__type(key, u64);
	__type(value, struct stream);
} STREAMS SEC(".maps");

/* A struct mmsghdr is a message and its length, padded to the message's alignment. */
#define MMESSAGE_BYTES (sizeof(struct user_message) + 8)
#define MMESSAGE_BYTES_32 (sizeof(struct user_message_32) + 4)

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

/* Of which stream the payload is: `offset` bytes went the same way before. */
static __always_inline void put_stream(struct scratch *s, struct sock *sk, u32 offset)
{
	struct wire_stream *stream;
	u32 at = s->used;

	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - 24)
		return;
	stream = (struct wire_stream *)&s->tail[at + 8];
	stream->socket = (u64)sk;
	stream->offset = offset;
	stream->len = s->message.len;
	seal_field(s, at, WIRE_F_STREAM, 0, sizeof(*stream));
}

/* How many bytes had gone the same way before those of this call. Where another thread uses the socket at the same time
 * it may be a number at which nothing begins or goes on: then nothing is told.
 */
static __always_inline u32 offset_of(struct scratch *s, struct sock *sk, u32 sending)
{
	u64 key = (u64)sk;
	struct owner *owner = bpf_map_lookup_elem(&OWNERS, &key);
	bool stands = owner && owner->stands;
	u32 at;

	if (sending) {
		at = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
		at -= stands ? owner->sent_from : sent_from(sk, false);
	} else {
		at = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
		at -= stands ? owner->received_from : received_from(sk);
	}
	return at - (u32)s->message.len;
}

/* 1 where `c` lies less than `count` above `first`. Without a branch: at 24 bytes in a row they would double the ways
 * through the program each time, and the verifier goes them all.
 */
static __always_inline u32 is_among(u32 c, u32 first, u32 count)
{
	u32 above = c - first, under;

	asm volatile("" : "+r"(above));
	under = above - count;
	asm volatile("" : "+r"(under));
	return (under & ~above) >> 31;
}

/* The lowest ones of `bits`, up to the first 0. */
static __always_inline u32 run_of(u32 bits)
{
	return bits & ~(bits + 1);
}

/* Whether a stream that begins so may be HTTP: a method of capital letters, behind empty lines (RFC 9112 section 2.2). */
static __always_inline bool is_request(const u8 *begin, u32 len)
{
	u32 i, blanks = 0, letters = 0, spaces = 0, run, next;

#pragma clang loop unroll(disable)
	for (i = 0; i < BEGIN_BYTES; i++) {
		u32 c = begin[i];

		blanks |= (is_among(c, '\r', 1) | is_among(c, '\n', 1)) << i;
		letters |= (is_among(c, 'A', 26) | is_among(c, '-', 1)) << i;
		spaces |= is_among(c, ' ', 1) << i;
	}
	blanks = run_of(blanks);
	run = run_of(blanks | letters);
	next = run + 1;
	if (next >> len)
		return len < BEGIN_BYTES;
	return (spaces & next) && run != blanks;
}

/* What a stream's beginning makes of it, and how much of it is wanted; kind 0 for neither. */
static __always_inline void look_at_beginning(struct stream *stream, const u8 *begin, u32 len)
{
	u32 record, message;

	stream->end = WIRE_STREAM_MAX;
	if (begin[0] != TLS_HANDSHAKE) {
		stream->kind = is_request(begin, len) ? WIRE_HTTP_PAYLOAD : WIRE_NONE;
		return;
	}
	if ((len > 1 && begin[1] != 3) || (len > TLS_RECORD_BYTES && begin[TLS_RECORD_BYTES] != TLS_CLIENT_HELLO))
		return;
	stream->kind = WIRE_TLS_PAYLOAD;
	if (len < TLS_RECORD_BYTES + TLS_MESSAGE_BYTES)
		return;
	record = (u32)begin[3] << 8 | begin[4];
	message = (u32)begin[6] << 16 | (u32)begin[7] << 8 | begin[8];
	/* Nothing follows it in the first flight that is asked for. */
	if (TLS_MESSAGE_BYTES + message <= record && TLS_RECORD_BYTES + record < WIRE_STREAM_MAX)
		stream->end = TLS_RECORD_BYTES + TLS_MESSAGE_BYTES + message;
}

/* The first bytes of what was sent: of a vector out of its first piece that has any, of two. */
static __always_inline u32 read_beginning(struct scratch *s)
{
	struct user_iovec *iov = &s->piece;
	u64 len;

	iov->base = s->message.base;
	iov->len = s->message.len;
	if (s->message.vector) {
		iov->len = 0;
		if (s->message.count >= 1)
			read_iovec(s, s->message.vector, 0, iov);
		if (!iov->len && s->message.count >= 2)
			read_iovec(s, s->message.vector, 1, iov);
	}
	len = iov->len < s->message.len ? iov->len : s->message.len;
	CLAMP(len, BEGIN_BYTES);
	if (!len || bpf_probe_read_user(s->message.begin, len, (void *)iov->base))
		return 0;
	return len;
}

/* Something was sent over TCP: told while the stream is at its beginning and begins as TLS or HTTP does. */
__noinline int on_stream_sent(u32 slot, u64 socket, u64 ino)
{
	struct scratch *s = scratch_at(slot);
	struct sock *sk = (struct sock *)socket;
	struct stream stream = {}, *known;
	u32 offset, len;

	if (!s)
		return 0;
	/* Most that is sent is far behind the beginning. */
	if (BPF_CORE_READ((struct tcp_sock *)sk, bytes_acked) > WIRE_STREAM_MAX)
		return 0;
	offset = offset_of(s, sk, 1);
	if (offset >= WIRE_STREAM_MAX)
		return 0;
	if (offset) {
		known = bpf_map_lookup_elem(&STREAMS, &socket);
		if (!known || known->socket_ino != ino)
			return 0;
		stream = *known;
	} else {
		len = read_beginning(s);
		if (!len)
			return 0;
		look_at_beginning(&stream, s->message.begin, len);
		if (!stream.kind)
			return 0;
		stream.socket_ino = ino;
		if (s->message.len < stream.end)
			bpf_map_update_elem(&STREAMS, &socket, &stream, BPF_ANY);
	}
	if (offset >= stream.end)
		return 0;
	begin_call(s, stream.kind);
	fill_net((struct wire_net *)s->body, sk);
	((struct wire_net *)s->body)->fd = s->args[0];
	((struct wire_net *)s->body)->sending = 1;
	put_stream(s, sk, offset);
	put_payload(slot, stream.end - offset);
	finish(s);
	return 0;
}

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
	net->fd = s->args[0];
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
	((struct wire_net *)s->body)->fd = s->args[0];
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
		net->fd = s->args[0];
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
	((struct wire_net *)s->body)->fd = fd;
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
		if (!is_known_family(family)) {
			begin_call(s, WIRE_WATCH_SOCKET);
			s->head.via = via;
			s->head.ret = fd;
			((struct wire_call *)s->body)->args[0] = family;
			((struct wire_call *)s->body)->args[1] = BPF_CORE_READ(sk, sk_type);
			finish(s);
			return 0;
		}
		if (family == AF_UNIX)
			on_received_unix(slot, sk, fd, via);
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
