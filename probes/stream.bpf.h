/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How a TCP stream began, where it did as TLS or HTTP do. */
#ifndef BLUBR_STREAM_BPF_H
#define BLUBR_STREAM_BPF_H

#include "message.bpf.h"

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
	((struct wire_net *)s->body)->sending = 1;
	put_stream(s, sk, offset);
	put_payload(slot, stream.end - offset);
	finish(s);
	return 0;
}

#endif
