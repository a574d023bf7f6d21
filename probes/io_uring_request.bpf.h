/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a ring was asked to do: told with everything that the kernel has copied of it by then (names, addresses), as the system
 * call of the same name would be.
 */
#ifndef BLUBR_IO_URING_REQUEST_BPF_H
#define BLUBR_IO_URING_REQUEST_BPF_H

#include "closing.bpf.h"
#include "kernel_io_uring.bpf.h"
#include "payload.bpf.h"

/* Multishot accepts under way that are remembered. */
#define MULTISHOTS_MAX 4096

struct multishot {
	u64 ctx;
	u64 user_data;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MULTISHOTS_MAX);
	__type(key, struct multishot);
	__type(value, u64);
} MULTISHOTS SEC(".maps");

static __always_inline struct file *fixed_file_of_old(struct io_ring_ctx___old *ctx, u32 index)
{
	struct io_fixed_file *files;
	u64 file = 0;

	if (!bpf_core_field_exists(ctx->file_table.files) || !bpf_core_field_exists(ctx->nr_user_files))
		return 0;
	if (index >= BPF_CORE_READ(ctx, nr_user_files))
		return 0;
	files = BPF_CORE_READ(ctx, file_table.files);
	bpf_probe_read_kernel(&file, sizeof(file), &files[index]);
	return (struct file *)(file & FIXED_FILE_MASK);
}

/* A file of the ring's own table, or 0. */
static __always_inline struct file *fixed_file(struct io_ring_ctx *ctx, u32 index)
{
	struct io_rsrc_node **nodes, *node = 0;

	if (!bpf_core_field_exists(ctx->file_table.data.nodes))
		return fixed_file_of_old((struct io_ring_ctx___old *)ctx, index);
	if (!bpf_core_field_exists(ctx->file_table.data.nr) ||
	    !bpf_core_field_exists(((struct io_rsrc_node *)0)->file_ptr))
		return 0;
	if (index >= BPF_CORE_READ(ctx, file_table.data.nr))
		return 0;
	nodes = BPF_CORE_READ(ctx, file_table.data.nodes);
	bpf_probe_read_kernel(&node, sizeof(node), &nodes[index]);
	if (!node)
		return 0;
	return (struct file *)(BPF_CORE_READ(node, file_ptr) & FIXED_FILE_MASK);
}

/* The file that a request names: by a descriptor, or by its place in the ring's table. */
static __always_inline struct file *request_file(struct io_kiocb *req)
{
	s32 fd = BPF_CORE_READ(req, cqe.fd);

	if (BPF_CORE_READ(req, flags) & REQ_FIXED_FILE)
		return fixed_file(BPF_CORE_READ(req, ctx), fd);
	return file_of(current_task(), fd);
}

static __always_inline u32 request_tgid(struct io_kiocb *req)
{
	if (bpf_core_field_exists(req->tctx) && bpf_core_field_exists(((struct io_uring_task *)0)->task))
		return BPF_CORE_READ(req, tctx, task, tgid);
	if (bpf_core_field_exists(((struct io_kiocb___old *)req)->task))
		return BPF_CORE_READ((struct io_kiocb___old *)req, task, tgid);
	return 0;
}

static __always_inline struct sock *socket_in(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* A name that the kernel has copied, and where it begins if it is relative. */
static __always_inline void put_name(u32 slot, u32 id, u32 base, struct filename *name, s32 dfd)
{
	put_kernel_string(slot, id, (u64)BPF_CORE_READ(name, name));
	if (base)
		put_base(slot, base, current_task(), dfd);
}

static __always_inline void begin_request(struct scratch *s, struct io_kiocb *req, u32 kind, u32 nr)
{
	begin(s, kind, bpf_get_current_task_btf());
	s->head.nr = nr;
	s->head.via = WIRE_BY_RING;
	/* Its success is not told: what was asked for is all there will be. */
	if (BPF_CORE_READ(req, flags) & REQ_CQE_SKIP)
		return;
	s->head.flags |= WIRE_PENDING;
	s->head.ret = (u64)req;
}

static __always_inline void set_argument(struct scratch *s, u32 index, u64 value)
{
	((struct wire_call *)s->body)->args[index] = value;
}

/* Operations on names. */
__noinline int on_ring_names(u32 slot, u64 request, u32 op)
{
	struct scratch *s = scratch_at(slot);
	struct io_kiocb *req = (struct io_kiocb *)request;

	if (!s)
		return 0;
	if (op == RING_OPENAT || op == RING_OPENAT2) {
		struct io_open *open = (struct io_open *)request;

		begin_request(s, req, WIRE_FILE_OPEN, __NR_openat);
		((struct wire_file *)s->body)->flags = BPF_CORE_READ(open, how.flags);
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_open, request, filename), BPF_CORE_READ(open, dfd));
	} else if (op == RING_RENAMEAT) {
		struct io_rename *rename = (struct io_rename *)request;

		begin_request(s, req, WIRE_FILE_RENAME, __NR_renameat2);
		set_argument(s, 4, BPF_CORE_READ(rename, flags));
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_rename, request, oldpath),
			 BPF_CORE_READ(rename, old_dfd));
		put_name(slot, WIRE_F_TO, WIRE_F_TO_BASE, NAME_OF(io_rename, request, newpath),
			 BPF_CORE_READ(rename, new_dfd));
	} else if (op == RING_UNLINKAT) {
		struct io_unlink *unlink = (struct io_unlink *)request;

		begin_request(s, req, WIRE_FILE_UNLINK, __NR_unlinkat);
		set_argument(s, 2, BPF_CORE_READ(unlink, flags));
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_unlink, request, filename),
			 BPF_CORE_READ(unlink, dfd));
	} else if (op == RING_MKDIRAT) {
		struct io_mkdir *mkdir = (struct io_mkdir *)request;

		begin_request(s, req, WIRE_FILE_MKDIR, __NR_mkdirat);
		set_argument(s, 2, BPF_CORE_READ(mkdir, mode));
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_mkdir, request, filename),
			 BPF_CORE_READ(mkdir, dfd));
	} else if (op == RING_SYMLINKAT) {
		struct io_link *link = (struct io_link *)request;

		begin_request(s, req, WIRE_FILE_SYMLINK, __NR_symlinkat);
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_link, request, newpath),
			 BPF_CORE_READ(link, new_dfd));
		put_name(slot, WIRE_F_TO, 0, NAME_OF(io_link, request, oldpath), 0);
	} else {
		struct io_link *link = (struct io_link *)request;

		begin_request(s, req, WIRE_FILE_LINK, __NR_linkat);
		set_argument(s, 4, BPF_CORE_READ(link, flags));
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_link, request, oldpath),
			 BPF_CORE_READ(link, old_dfd));
		put_name(slot, WIRE_F_TO, WIRE_F_TO_BASE, NAME_OF(io_link, request, newpath),
			 BPF_CORE_READ(link, new_dfd));
	}
	finish(s);
	return 0;
}

/* Operations on a file that is open, and on attributes. */
__noinline int on_ring_file(u32 slot, u64 request, u32 op)
{
	struct scratch *s = scratch_at(slot);
	struct io_kiocb *req = (struct io_kiocb *)request;
	struct io_xattr *xattr = (struct io_xattr *)request;
	struct file *file;

	if (!s)
		return 0;
	if (op == RING_FTRUNCATE) {
		begin_request(s, req, WIRE_FILE_TRUNCATE, __NR_ftruncate);
		if (bpf_core_field_exists(((struct io_ftrunc *)0)->len))
			set_argument(s, 1, BPF_CORE_READ((struct io_ftrunc *)request, len));
	} else if (op == RING_FALLOCATE) {
		begin_request(s, req, WIRE_FILE_TRUNCATE, __NR_fallocate);
		set_argument(s, 2, BPF_CORE_READ((struct io_sync *)request, off));
		set_argument(s, 3, BPF_CORE_READ((struct io_sync *)request, len));
	} else {
		begin_request(s, req, WIRE_FILE_SETXATTR, op == RING_SETXATTR ? __NR_setxattr : __NR_fsetxattr);
		/* struct xattr_name is the text alone. */
		put_kernel_string(slot, WIRE_F_TO, (u64)BPF_CORE_READ(xattr, ctx.kname));
		put_kernel_bytes(slot, WIRE_F_VALUE, (u64)BPF_CORE_READ(xattr, ctx.kvalue),
				 BPF_CORE_READ(xattr, ctx.size));
	}
	if (op == RING_SETXATTR) {
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_xattr, request, filename), AT_FDCWD);
	} else {
		file = request_file(req);
		if (file)
			put_file_path(slot, WIRE_F_PATH, file);
	}
	finish(s);
	return 0;
}

/* close: as of close(2), told when it is asked for. */
__noinline int on_ring_close(u32 slot, u64 request)
{
	struct scratch *s = scratch_at(slot);
	struct io_close *close = (struct io_close *)request;
	struct task_struct *t = current_task();
	struct files_struct *files = OF(t, files);
	struct file *file;
	u32 fd;

	if (!s || !files || BPF_CORE_READ(close, file_slot))
		return 0;
	fd = BPF_CORE_READ(close, fd);
	file = file_of(t, fd);
	if (!is_for_writing(file) || held_elsewhere(s, slot, OF(files, fdt), file, fd))
		return 0;
	begin(s, WIRE_FILE_CLOSE, t);
	s->head.nr = __NR_close;
	s->head.via = WIRE_BY_RING;
	file_of_descriptor(s, slot, file, fd);
	return 0;
}

/* Where the kernel's copy of an address lies. connect and bind have kept it alone, in a struct of their own; within a
 * message's (6.10); and alone again. A message begins with a pointer, which is no family: pointers are aligned.
 */
static __always_inline u64 address_in(struct io_async_msghdr *async, u32 op)
{
	u16 family = 0;

	if (op == RING_CONNECT || op == RING_BIND) {
		bpf_probe_read_kernel(&family, sizeof(family), async);
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6)
			return (u64)async;
	}
	return (u64)async + bpf_core_field_offset(struct io_async_msghdr, addr);
}

/* Since 6.10 the other end's address is read when the request is prepared (io_connect_prep, io_bind_prep,
 * io_sendmsg_prep): the kernel's copy is told.
 */
static __always_inline bool copies_addresses(void)
{
	return !bpf_core_type_exists(struct io_async_connect);
}

/* The other end that a request names, in the kernel's copy. False: none. */
static __always_inline bool copied_address(struct io_kiocb *req, u32 op, struct message *m)
{
	struct io_async_msghdr *async = (struct io_async_msghdr *)BPF_CORE_READ(req, async_data);
	u64 request = (u64)req;

	if (!async)
		return false;
	if (op == RING_CONNECT) {
		m->address_len = BPF_CORE_READ((struct io_connect *)request, addr_len);
	} else if (op == RING_BIND) {
		if (bpf_core_field_exists(((struct io_bind *)0)->addr_len))
			m->address_len = BPF_CORE_READ((struct io_bind *)request, addr_len);
	} else {
		/* Without a name of its own it goes where the socket is connected to. */
		if (!BPF_CORE_READ(async, msg.msg_name))
			return false;
		m->address_len = BPF_CORE_READ(async, msg.msg_namelen);
	}
	m->address = address_in(async, op);
	m->kernel_address = 1;
	return true;
}

/* The same on kernels that leave it in the caller's memory until the request is carried out. */
static __always_inline bool callers_address(struct scratch *s, struct io_kiocb *req, u32 op, struct message *m)
{
	struct user_message *user = &s->user;
	u64 request = (u64)req;

	m->kernel_address = 0;
	if (op == RING_CONNECT) {
		m->address = (u64)BPF_CORE_READ((struct io_connect *)request, addr);
		m->address_len = BPF_CORE_READ((struct io_connect *)request, addr_len);
		return true;
	}
	if (op != RING_SENDMSG && op != RING_SENDMSG_ZC)
		return false;
	s->layout = LAYOUT_64;
	if (read_message(s, (u64)BPF_CORE_READ((struct io_sr_msg *)request, umsg)) || !user->name)
		return false;
	m->address = user->name;
	m->address_len = user->namelen;
	return true;
}

static __always_inline u32 kind_of_request(struct io_kiocb *req, u32 op)
{
	switch (op) {
	case RING_CONNECT:
		return WIRE_CONNECT;
	case RING_BIND:
		return WIRE_NET_BIND;
	case RING_LISTEN:
		return WIRE_NET_LISTEN;
	case RING_ACCEPT:
		return WIRE_NET_ACCEPT;
	}
	return BPF_CORE_READ((struct io_sr_msg *)req, msg_flags) & MSG_FASTOPEN ? WIRE_CONNECT : WIRE_NET_SEND;
}

/* Whether more than one connection may come of an accept: where the request does not say so, any may. */
static __always_inline bool is_multishot(u64 request)
{
	if (!bpf_core_field_exists(((struct io_accept *)0)->iou_flags))
		return true;
	return BPF_CORE_READ((struct io_accept *)request, iou_flags) & IORING_ACCEPT_MULTISHOT;
}

/* Operations on sockets. */
__noinline int on_ring_socket(u32 slot, u64 request, u32 op)
{
	struct scratch *s = scratch_at(slot);
	struct io_kiocb *req = (struct io_kiocb *)request;
	struct message *m;
	struct file *file;
	struct sock *sk;
	bool named;
	u32 kind;

	if (!s)
		return 0;
	m = &s->message;
	m->address = 0;
	m->address_len = 0;
	m->kernel_address = 0;
	if (op != RING_LISTEN && op != RING_ACCEPT) {
		named = copies_addresses() ? copied_address(req, op, m) : callers_address(s, req, op, m);
		if (!named)
			return 0;
		if (m->address_len > SOCKADDR_MAX)
			m->address_len = SOCKADDR_MAX;
	}
	file = request_file(req);
	sk = socket_in(file);
	kind = kind_of_request(req, op);
	if (sk && op == RING_BIND && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
		kind = WIRE_UNIX_BIND;
	if (sk && kind == WIRE_NET_SEND && BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX) {
		if (BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM)
			return 0;
		kind = WIRE_CONNECT;
	}
	begin_request(s, req, kind, 0);
	if (sk)
		fill_net((struct wire_net *)s->body, sk);
	if (sk && kind == WIRE_NET_SEND)
		note_elsewhere(sk);
	if (kind == WIRE_UNIX_BIND)
		put_word(s, WIRE_F_VALUE, BPF_CORE_READ(file, f_inode, i_mode));
	if (m->address) {
		put_address(slot, m);
		put_cwd(slot, WIRE_F_BASE, current_task());
	}
	finish(s);
	if (op == RING_ACCEPT && is_multishot(request)) {
		struct multishot key = {};

		key.ctx = (u64)BPF_CORE_READ(req, ctx);
		key.user_data = BPF_CORE_READ(req, cqe.user_data);
		bpf_map_update_elem(&MULTISHOTS, &key, &request, BPF_ANY);
	}
	return 0;
}

/* socket: as of socket(2). */
__noinline int on_ring_new_socket(u32 slot, u64 request)
{
	struct scratch *s = scratch_at(slot);
	struct io_socket *socket = (struct io_socket *)request;
	u32 family;

	if (!s)
		return 0;
	family = BPF_CORE_READ(socket, domain);
	if (is_recorded(family, BPF_CORE_READ(socket, type), BPF_CORE_READ(socket, protocol)))
		return 0;
	begin_request(s, (struct io_kiocb *)request, WIRE_WATCH_SOCKET, __NR_socket);
	set_argument(s, 0, family);
	set_argument(s, 1, BPF_CORE_READ(socket, type));
	finish(s);
	return 0;
}

#endif
