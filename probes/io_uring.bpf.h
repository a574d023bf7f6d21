/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a ring was asked to do, and what came of it. A submission is told with everything that the kernel has copied of
 * it by then (names, addresses), as the system call of the same name would be; its completion follows as a record of
 * its own, and the two are joined in user space.
 */
#ifndef BLUBR_IO_URING_BPF_H
#define BLUBR_IO_URING_BPF_H

#include "payload.bpf.h"

/* enum io_uring_op, include/uapi/linux/io_uring.h */
enum ring_op {
	RING_SENDMSG = 9,
	RING_RECVMSG = 10,
	RING_ACCEPT = 13,
	RING_CONNECT = 16,
	RING_FALLOCATE = 17,
	RING_OPENAT = 18,
	RING_CLOSE = 19,
	RING_SEND = 26,
	RING_OPENAT2 = 28,
	RING_RENAMEAT = 35,
	RING_UNLINKAT = 36,
	RING_MKDIRAT = 37,
	RING_SYMLINKAT = 38,
	RING_LINKAT = 39,
	RING_FSETXATTR = 41,
	RING_SETXATTR = 42,
	RING_SOCKET = 45,
	RING_SEND_ZC = 47,
	RING_SENDMSG_ZC = 48,
	RING_FTRUNCATE = 55,
	RING_BIND = 56,
	RING_LISTEN = 57,
	RING_OPS = 64,
};

/* The first request flags are those of the submission: io_uring_types.h, REQ_F_FIXED_FILE_BIT and its like. */
#define REQ_FIXED_FILE 1u
#define REQ_CQE_SKIP (1u << 6)
#define IORING_CQE_F_MORE 2u
#define IORING_ACCEPT_MULTISHOT 1u
/* file_slot is one more than the slot; all ones let the kernel choose, and the result is the slot. */
#define SLOT_ALLOC 0xffffffffu
/* The low bits of a fixed file's pointer are flags: io_uring/filetable.h, FFS_MASK. */
#define FIXED_FILE_MASK (~7ull)
/* Multishot accepts under way that are remembered. */
#define MULTISHOTS_MAX 4096

struct io_cqe {
	u64 user_data;
	int fd;
} KERNEL_STRUCT;

struct io_rsrc_node {
	unsigned long file_ptr;
} KERNEL_STRUCT;

struct io_rsrc_data {
	u32 nr;
	struct io_rsrc_node **nodes;
} KERNEL_STRUCT;

struct io_file_table {
	struct io_rsrc_data data;
} KERNEL_STRUCT;

struct io_ring_ctx {
	struct io_file_table file_table;
} KERNEL_STRUCT;

struct io_uring_task {
	struct task_struct *task;
} KERNEL_STRUCT;

struct io_kiocb {
	struct file *file;
	u8 opcode;
	u32 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	struct io_uring_task *tctx;
	void *async_data;
} KERNEL_STRUCT;

/* Before 6.13 (f03baece0805) the request has the task itself. */
struct io_kiocb___old {
	struct task_struct *task;
} KERNEL_STRUCT;

struct io_uring_cqe {
	u64 user_data;
	s32 res;
	u32 flags;
} KERNEL_STRUCT;

struct filename {
	const char *name;
} KERNEL_STRUCT;

/* Newer kernels (7.3 is one) keep a request's names in this (fs/namei.c, delayed_getname): the flavours below. */
struct delayed_filename {
	struct filename *__incomplete_filename;
} KERNEL_STRUCT;

struct open_how {
	u64 flags;
} KERNEL_STRUCT;

/* What the operations keep at the beginning of their request (io_kiocb_to_cmd). */
struct io_open {
	int dfd;
	u32 file_slot;
	struct filename *filename;
	struct open_how how;
} KERNEL_STRUCT;

struct io_close {
	int fd;
	u32 file_slot;
} KERNEL_STRUCT;

struct io_accept {
	int iou_flags;
	u32 file_slot;
} KERNEL_STRUCT;

struct io_connect {
	void *addr;
	int addr_len;
} KERNEL_STRUCT;

struct io_rename {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
} KERNEL_STRUCT;

struct io_unlink {
	int dfd;
	int flags;
	struct filename *filename;
} KERNEL_STRUCT;

struct io_mkdir {
	int dfd;
	u16 mode;
	struct filename *filename;
} KERNEL_STRUCT;

struct io_link {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
} KERNEL_STRUCT;

struct io_ftrunc {
	s64 len;
} KERNEL_STRUCT;

struct io_sync {
	s64 len;
	s64 off;
} KERNEL_STRUCT;

struct kernel_xattr_ctx {
	void *kvalue;
	unsigned long size;
	void *kname;
} KERNEL_STRUCT;

struct io_xattr {
	struct kernel_xattr_ctx ctx;
	struct filename *filename;
} KERNEL_STRUCT;

#define DELAYED_NAME(type) \
	struct type##___delayed { \
		struct delayed_filename filename, oldpath, newpath; \
	} KERNEL_STRUCT
DELAYED_NAME(io_open);
DELAYED_NAME(io_rename);
DELAYED_NAME(io_unlink);
DELAYED_NAME(io_mkdir);
DELAYED_NAME(io_link);
DELAYED_NAME(io_xattr);

/* One of a request's names, whichever way this kernel keeps it. */
#define NAME_OF(type, request, field) ({ \
	struct type##___delayed *delayed = (struct type##___delayed *)(request); \
	struct filename *name = 0; \
	if (bpf_core_field_exists(((struct type *)0)->field)) \
		name = BPF_CORE_READ((struct type *)(request), field); \
	else if (bpf_core_field_exists(delayed->field.__incomplete_filename)) \
		name = BPF_CORE_READ(delayed, field.__incomplete_filename); \
	name; })

/* Until 6.10 a connection's address is read when it is made, not when the request is taken on. */
struct io_async_connect {
	u8 address;
} KERNEL_STRUCT;

struct io_socket {
	int domain;
	int type;
	u32 file_slot;
} KERNEL_STRUCT;

struct io_bind {
	int addr_len;
} KERNEL_STRUCT;

struct io_sr_msg {
	void *umsg;
	u32 msg_flags;
} KERNEL_STRUCT;

struct msghdr {
	void *msg_name;
	int msg_namelen;
} KERNEL_STRUCT;

struct sockaddr_storage___kernel;

struct io_async_msghdr {
	struct msghdr msg;
	struct {
		u16 ss_family;
	} addr;
} KERNEL_STRUCT;

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

/* Before 6.13 (b54a14041ee6) the table of a ring's own files was another. */
struct io_fixed_file {
	unsigned long file_ptr;
} KERNEL_STRUCT;

struct io_file_table___old {
	struct io_fixed_file *files;
} KERNEL_STRUCT;

struct io_ring_ctx___old {
	u32 nr_user_files;
	struct io_file_table___old file_table;
} KERNEL_STRUCT;

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
		put_name(slot, WIRE_F_PATH, WIRE_F_BASE, NAME_OF(io_xattr, request, filename), -100 /* AT_FDCWD */);
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
	if (is_known_family(family))
		return 0;
	begin_request(s, (struct io_kiocb *)request, WIRE_WATCH_SOCKET, __NR_socket);
	set_argument(s, 0, family);
	set_argument(s, 1, BPF_CORE_READ(socket, type));
	finish(s);
	return 0;
}

static __always_inline void ring_submit(u32 slot, u64 request)
{
	u32 op = BPF_CORE_READ((struct io_kiocb *)request, opcode);

	switch (op) {
	case RING_OPENAT:
	case RING_OPENAT2:
	case RING_RENAMEAT:
	case RING_UNLINKAT:
	case RING_MKDIRAT:
	case RING_SYMLINKAT:
	case RING_LINKAT:
		on_ring_names(slot, request, op);
		break;
	case RING_FTRUNCATE:
	case RING_FALLOCATE:
	case RING_FSETXATTR:
	case RING_SETXATTR:
		on_ring_file(slot, request, op);
		break;
	case RING_CLOSE:
		on_ring_close(slot, request);
		break;
	case RING_SOCKET:
		on_ring_new_socket(slot, request);
		break;
	case RING_CONNECT:
	case RING_BIND:
	case RING_LISTEN:
	case RING_ACCEPT:
	case RING_SEND:
	case RING_SENDMSG:
	case RING_SEND_ZC:
	case RING_SENDMSG_ZC:
		on_ring_socket(slot, request, op);
		break;
	}
}

/* In another's context (a kernel worker's) its descriptors are not ours to look up. */
static __always_inline bool is_own_request(struct io_kiocb *req)
{
	return (u32)(bpf_get_current_pid_tgid() >> 32) == request_tgid(req);
}

/* The descriptors that a recvmsg of a ring brought, by the header in its caller's memory. */
__noinline int on_ring_received(u32 slot, u64 request)
{
	struct scratch *s = scratch_at(slot);

	if (!s || !is_own_request((struct io_kiocb *)request))
		return 0;
	s->layout = LAYOUT_64;
	s->nr = __NR_recvmsg;
	s->ret = 0;
	if (read_message(s, (u64)BPF_CORE_READ((struct io_sr_msg *)request, umsg)))
		return 0;
	if (s->user.controllen >= 16)
		on_control(slot, s->user.control, s->user.controllen);
	return 0;
}

/* What became of a request. */
__noinline int on_ring_done(u32 slot, u64 request, s32 result, u32 more)
{
	struct scratch *s = scratch_at(slot);
	struct io_kiocb *req = (struct io_kiocb *)request;
	struct file *file = 0;
	struct sock *sk = 0;
	u32 op, fixed = 0;
	bool own;

	if (!s)
		return 0;
	op = BPF_CORE_READ(req, opcode);
	own = is_own_request(req);
	begin(s, WIRE_RING_DONE, bpf_get_current_task_btf());
	s->head.ret = result;
	s->head.flags |= WIRE_HAS_RET;
	if (more)
		s->head.flags |= WIRE_MORE;
	if (NO_FAILED && result < 0 && result != -115)
		s->head.flags |= WIRE_UNWANTED;
	put_word(s, WIRE_F_REQUEST, request);
	if (op == RING_OPENAT || op == RING_OPENAT2)
		fixed = BPF_CORE_READ((struct io_open *)request, file_slot);
	else if (op == RING_ACCEPT)
		fixed = BPF_CORE_READ((struct io_accept *)request, file_slot);
	else if (op == RING_SOCKET && bpf_core_field_exists(((struct io_socket *)0)->file_slot))
		fixed = BPF_CORE_READ((struct io_socket *)request, file_slot);
	if (op == RING_OPENAT || op == RING_OPENAT2 || op == RING_ACCEPT || op == RING_SOCKET) {
		if (result >= 0 && fixed)
			file = fixed_file(BPF_CORE_READ(req, ctx), fixed == SLOT_ALLOC ? result : fixed - 1);
		else if (result >= 0 && own)
			file = file_of(current_task(), result);
	} else if (op == RING_CONNECT || op == RING_BIND || op == RING_LISTEN || op == RING_SEND ||
		   op == RING_SENDMSG || op == RING_SEND_ZC || op == RING_SENDMSG_ZC) {
		file = BPF_CORE_READ(req, file);
	}
	if (file && (op == RING_OPENAT || op == RING_OPENAT2)) {
		s->head.flags |= WIRE_RESOLVED;
		file_state(s, file);
		put_file_path(slot, WIRE_F_PATH, file);
	} else if (file) {
		sk = socket_in(file);
		if (sk && op == RING_SOCKET) {
			begin_flow((u64)sk);
		} else if (sk) {
			if (op == RING_CONNECT && result >= 0)
				connect_flow((u64)sk);
			s->head.flags |= WIRE_RESOLVED;
			if (op == RING_ACCEPT)
				fill_connection((struct wire_net *)s->body, sk);
			else
				fill_net((struct wire_net *)s->body, sk);
		}
	}
	finish(s);
	if (sk && own && op == RING_ACCEPT && result >= 0)
		accepted(slot, (u64)sk);
	return 0;
}

static __always_inline bool is_told(u32 op)
{
	switch (op) {
	case RING_SENDMSG:
	case RING_ACCEPT:
	case RING_CONNECT:
	case RING_FALLOCATE:
	case RING_OPENAT:
	case RING_SEND:
	case RING_OPENAT2:
	case RING_RENAMEAT:
	case RING_UNLINKAT:
	case RING_MKDIRAT:
	case RING_SYMLINKAT:
	case RING_LINKAT:
	case RING_FSETXATTR:
	case RING_SETXATTR:
	case RING_SOCKET:
	case RING_SEND_ZC:
	case RING_SENDMSG_ZC:
	case RING_FTRUNCATE:
	case RING_BIND:
	case RING_LISTEN:
		return true;
	}
	return false;
}

static __always_inline void ring_complete(u32 slot, u64 ctx, u64 request, u64 user_data, s32 result,
					  u32 flags)
{
	struct multishot key = {};
	u64 *accepting;

	if (request && !bpf_core_field_exists(((struct io_accept *)0)->iou_flags) &&
	    BPF_CORE_READ((struct io_kiocb *)request, opcode) == RING_ACCEPT) {
		key.ctx = ctx;
		key.user_data = user_data;
		bpf_map_delete_elem(&MULTISHOTS, &key);
	}
	if (request && BPF_CORE_READ((struct io_kiocb *)request, opcode) == RING_RECVMSG) {
		if (result >= 0)
			on_ring_received(slot, request);
		return;
	}
	if (request) {
		if (is_told(BPF_CORE_READ((struct io_kiocb *)request, opcode)))
			on_ring_done(slot, request, result, 0);
		return;
	}
	/* One of several answers to a request: of these only accepted connections are told. */
	key.ctx = ctx;
	key.user_data = user_data;
	accepting = bpf_map_lookup_elem(&MULTISHOTS, &key);
	if (accepting && BPF_CORE_READ((struct io_kiocb *)*accepting, opcode) == RING_ACCEPT)
		on_ring_done(slot, *accepting, result, flags & IORING_CQE_F_MORE);
}

#endif
