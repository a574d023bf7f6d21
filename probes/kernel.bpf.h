/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The kernel's structs, with no more than the fields that the probes read. CO-RE relocates each at load, so offsets
 * and order here mean nothing; a field that was renamed has a flavour (name___what) beside it.
 */
#ifndef BLUBR_KERNEL_BPF_H
#define BLUBR_KERNEL_BPF_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define KERNEL_STRUCT __attribute__((preserve_access_index))

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

struct inode;
struct dentry;
struct mount;
struct super_block;
struct socket;

struct pt_regs {
	unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, orig_ax;
} KERNEL_STRUCT;

struct qstr {
	u32 len;
	const unsigned char *name;
} KERNEL_STRUCT;

typedef struct {
	unsigned sequence;
} seqcount_t;

typedef struct {
	seqcount_t seqcount;
} seqcount_spinlock_t;

struct dentry {
	seqcount_spinlock_t d_seq;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	/* The name, where it is short. */
	unsigned char d_iname[32];
} KERNEL_STRUCT;

/* Kernels of 6.14 have it so; older ones have d_iname. */
union shortname_store {
	unsigned char string[40];
} KERNEL_STRUCT;

struct dentry___shortname {
	union shortname_store d_shortname;
} KERNEL_STRUCT;

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
} KERNEL_STRUCT;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	/* Since 6.8 (98d2b43081972). */
	u64 mnt_id_unique;
} KERNEL_STRUCT;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL_STRUCT;

struct fs_struct {
	int users;
	struct path root, pwd;
} KERNEL_STRUCT;

struct file_system_type {
	const char *name;
} KERNEL_STRUCT;

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
} KERNEL_STRUCT;

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
} KERNEL_STRUCT;

/* Since 6.11 (3aa63a569c64) the time stamps are two members; 6.6 to 6.10 __i_mtime (077c212f0344), before i_mtime. */
struct inode {
	u16 i_mode;
	unsigned long i_ino;
	s64 i_size;
	struct super_block *i_sb;
	s64 i_mtime_sec;
	u32 i_mtime_nsec;
	void *i_private;
} KERNEL_STRUCT;

struct inode___66 {
	struct timespec64 __i_mtime;
} KERNEL_STRUCT;

struct inode___old {
	struct timespec64 i_mtime;
} KERNEL_STRUCT;

struct file {
	u32 f_mode;
	u32 f_flags;
	void *private_data;
	struct inode *f_inode;
	struct path f_path;
} KERNEL_STRUCT;

/* What holds a file, since 6.13 (90ee6ed776c0): one less than there are. Before it was the number. */
typedef struct {
	atomic64_t refcnt;
} file_ref_t;

struct file___613 {
	file_ref_t f_ref;
} KERNEL_STRUCT;

struct file___old {
	atomic64_t f_count;
} KERNEL_STRUCT;

struct fdtable {
	u32 max_fds;
	struct file **fd;
	unsigned long *open_fds;
	unsigned long *close_on_exec;
} KERNEL_STRUCT;

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
	struct file *fd_array[64];
} KERNEL_STRUCT;

struct kernfs_node {
	u64 id;
} KERNEL_STRUCT;

struct cgroup_root {
	int hierarchy_id;
} KERNEL_STRUCT;

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
} KERNEL_STRUCT;

struct css_set {
	struct cgroup *dfl_cgrp;
} KERNEL_STRUCT;

/* Since 6.18 the namespace says itself what it is; before, the operations of its files do. */
struct proc_ns_operations___old {
	int type;
} KERNEL_STRUCT;

struct ns_common {
	u32 ns_type;
	u32 inum;
	const struct proc_ns_operations___old *ops;
} KERNEL_STRUCT;

struct user_namespace {
	kuid_t owner;
} KERNEL_STRUCT;

struct mnt_namespace {
	struct ns_common ns;
	struct user_namespace *user_ns;
} KERNEL_STRUCT;

struct uts_namespace;
struct ipc_namespace;
struct pid_namespace;
struct net;
struct time_namespace;
struct cgroup_namespace;

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct time_namespace *time_ns_for_children;
	struct cgroup_namespace *cgroup_ns;
} KERNEL_STRUCT;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
	kgid_t egid;
	struct user_namespace *user_ns;
} KERNEL_STRUCT;

struct mm_struct {
	unsigned long arg_start, arg_end;
	struct file *exe_file;
} KERNEL_STRUCT;

struct signal_struct {
	atomic_t live;
	int nr_threads;
	u32 flags;
	int group_exit_code;
} KERNEL_STRUCT;

struct thread_info {
	u32 status;
} KERNEL_STRUCT;

struct seccomp {
	int mode;
} KERNEL_STRUCT;

struct task_struct {
	struct thread_info thread_info;
	u32 flags;
	struct mm_struct *mm;
	int exit_code;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct seccomp seccomp;
	u32 ptrace;
} KERNEL_STRUCT;

struct linux_binprm {
	const char *filename;
	const char *interp;
	struct cred *cred;
} KERNEL_STRUCT;

struct in6_addr {
	u8 bytes[16];
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	u8 skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} KERNEL_STRUCT;

struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
	struct socket *sk_socket;
} KERNEL_STRUCT;

struct inet_sock {
	u16 inet_sport;
} KERNEL_STRUCT;

struct tcp_sock {
	u64 bytes_sent;
	u64 bytes_retrans;
	u64 bytes_received;
	u64 bytes_acked;
	u32 write_seq;
	u32 snd_una;
	u32 copied_seq;
	u32 rcv_nxt;
} KERNEL_STRUCT;

struct sockaddr_un {
	u16 sun_family;
} KERNEL_STRUCT;

struct unix_address {
	int len;
	struct sockaddr_un name[1];
} KERNEL_STRUCT;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
} KERNEL_STRUCT;

struct socket {
	struct sock *sk;
	struct file *file;
} KERNEL_STRUCT;

struct bpf_iter_meta {
	void *seq;
} KERNEL_STRUCT;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} KERNEL_STRUCT;

#ifdef BLUBR_OLD
/* For kernels before 5.17, whose verifier knows neither the current task's type (5.11) nor bpf_loop (5.17). */
#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())
/* pointer->field, where the pointer may come from the current task. */
#define OF(pointer, field) BPF_CORE_READ(pointer, field)
#else
#define OF(pointer, field) ((pointer)->field)
#endif

/* include/uapi/linux/fcntl.h */
#define AT_FDCWD -100
/* include/uapi/asm-generic/errno.h, include/linux/errno.h */
#define EINTR 4
#define EINPROGRESS 115
#define ERESTARTSYS 512
/* include/linux/fs.h */
#define FMODE_WRITE 2u
#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFSOCK 0140000
/* include/linux/sched.h, include/linux/sched/signal.h, arch/x86/include/asm/thread_info.h */
#define PF_KTHREAD 0x00200000u
#define SIGNAL_GROUP_EXIT 4u
#define TS_COMPAT 2u
/* include/uapi/linux/sched.h */
#define CLONE_NEWTIME 0x80u
#define CLONE_NEWNS 0x20000u
#define CLONE_NEWCGROUP 0x02000000u
#define CLONE_NEWUTS 0x04000000u
#define CLONE_NEWIPC 0x08000000u
#define CLONE_NEWUSER 0x10000000u
#define CLONE_NEWPID 0x20000000u
#define CLONE_NEWNET 0x40000000u
/* include/uapi/linux/magic.h */
#define NSFS_MAGIC 0x6e736673u
/* include/linux/socket.h, net/tcp_states.h, in.h */
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define DNS_PORT 53

#endif
