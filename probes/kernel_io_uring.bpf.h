/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The kernel's structs of io_uring, with no more than the fields that the probes read (see kernel.bpf.h). */
#ifndef BLUBR_KERNEL_IO_URING_BPF_H
#define BLUBR_KERNEL_IO_URING_BPF_H

#include "kernel.bpf.h"

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
	int protocol;
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

struct io_async_msghdr {
	struct msghdr msg;
	struct {
		u16 ss_family;
	} addr;
} KERNEL_STRUCT;

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

#endif
