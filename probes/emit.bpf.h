/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The one ring and the loss table: a record is begun, gets its fields, and goes out whole or is counted as lost. */
#ifndef BLUBR_EMIT_BPF_H
#define BLUBR_EMIT_BPF_H

#include "outside.bpf.h"
#include "scratch.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} RING SEC(".maps");

/* By CPU and then by kind, and mapped by the reader: while a task looks into a map by bpf(2) the kernel passes programs over
 * on its CPU (bpf_disable_instrumentation). Sized by the loader: CPUs times WIRE_KIND_COUNT.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WIRE_KIND_COUNT);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct wire_loss);
} LOSS SEC(".maps");

/* Set by the loader before the programs are verified. */
const volatile u32 SELF_TGID = 0;
const volatile u32 ITERATOR_SLOT = 0;
const volatile u32 NO_FAILED = 0;
/* Programs can be preempted. */
const volatile u32 PREEMPTIBLE = 0;
/* Bytes waiting in the ring from which on the reader is woken instead of left to poll. */
const volatile u64 WAKE_BYTES = 1 << 22;

/* Bytes behind such a mark within which a record wakes too: a few records of other CPUs, so that none jumps over it unseen. */
#define WAKE_WINDOW 4096

static __always_inline bool is_self(void)
{
	return SELF_TGID && (u32)(bpf_get_current_pid_tgid() >> 32) == SELF_TGID;
}

static __always_inline void count_loss(u32 kind, bool outside)
{
	u32 at = bpf_get_smp_processor_id() * WIRE_KIND_COUNT + kind;
	struct wire_loss *loss = bpf_map_lookup_elem(&LOSS, &at);

	if (!loss)
		return;
	if (outside)
		__sync_fetch_and_add(&loss->outside, 1);
	else
		__sync_fetch_and_add(&loss->count, 1);
}

/* Calls of the kernel's functions whose numbers the loader puts where the marks are: backend/object.rs. */
#define PREEMPT_OFF_MARK "0x6275626d00002085"
#define PREEMPT_ON_MARK "0x6275626e00002085"
#define IRQ_SAVE_MARK "0x6275626f00002085"
#define IRQ_RESTORE_MARK "0x6275627000002085"

static __always_inline void preempt_off(void)
{
#ifndef BLUBR_OLD
	if (PREEMPTIBLE)
		asm volatile(".quad " PREEMPT_OFF_MARK : : : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
#endif
}

/* What has come up meanwhile, such as the end of the task's time, waits until the kernel has noted that the program is over:
 * with interrupts off preempt_enable() doesn't give the CPU away, and local_irq_restore() never does.
 */
static __always_inline void preempt_on(void)
{
#ifndef BLUBR_OLD
	u64 flags;

	if (PREEMPTIBLE)
		asm volatile("r1 = %[flags]\n\t"
			     ".quad " IRQ_SAVE_MARK "\n\t"
			     ".quad " PREEMPT_ON_MARK "\n\t"
			     "r1 = %[flags]\n\t"
			     ".quad " IRQ_RESTORE_MARK
			     : : [flags] "r"(&flags) : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
#endif
}

/* What a program does, whole: while it is preempted the kernel would pass it over for every other task of its CPU, and
 * its scratch area would be theirs.
 */
#define HELD(...) do { \
	preempt_off(); \
	__VA_ARGS__; \
	preempt_on(); \
} while (0)

/* Whether what is outside has to give way. */
static __always_inline bool is_half_full(u64 waiting)
{
	return waiting > 2 * WAKE_BYTES;
}

/* Whether the ring passes a quarter, a half or three quarters with a record of `size` bytes. */
static __always_inline bool passes_mark(u64 waiting, u64 size)
{
	u64 after = waiting + size, window = WAKE_WINDOW + size;

	return after - WAKE_BYTES < window || after - 2 * WAKE_BYTES < window || after - 3 * WAKE_BYTES < window;
}

static __always_inline void put_out(u32 kind, void *record, u64 size, u64 waiting)
{
	u64 flags = BPF_RB_NO_WAKEUP, sum = size;

	/* The same number, and to the verifier another: 6.12 links a size to what differs from it by a constant, and loses its
	 * bounds where that is compared (sync_linked_regs, kernel/bpf/verifier.c).
	 */
	asm volatile("%0 &= 0x7fffffff" : "+r"(sum));

	/* A wake-up is an interrupt, far dearer than the record. An overlay's directories are looked up by the reader, while
	 * they are there.
	 */
	if (kind == WIRE_MOUNT_MOUNT || kind == WIRE_MOVE_MOUNT || passes_mark(waiting, sum))
		flags = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&RING, record, size, flags))
		count_loss(kind, false);
}

/* A record of what the current task does. */
static __always_inline void send(u32 kind, void *record, u64 size)
{
	u64 waiting = bpf_ringbuf_query(&RING, BPF_RB_AVAIL_DATA);

	if (is_half_full(waiting) && is_outside())
		count_loss(kind, true);
	else
		put_out(kind, record, size, waiting);
}

static __always_inline u64 cgroup_id(struct cgroup *cgroup)
{
	struct kernfs_node *node = OF(cgroup, kn);

	return OF(node, id);
}

static __always_inline u32 mount_namespace(struct mnt_namespace *ns)
{
	return OF(ns, ns.inum);
}

/* Fills the head for `t`, whose thread group the record is about. */
static __always_inline void fill_head(struct wire_head *head, u32 kind, struct task_struct *t)
{
	/* Numbers are read out of the task that the verifier has vouched for, without a check of the address. */
	struct task_struct *ours = as_task(t);
	struct task_struct *leader = OF(ours, group_leader), *parent = OF(ours, real_parent);
	struct nsproxy *ns = OF(ours, nsproxy);
	struct css_set *set = OF(ours, cgroups);
	const struct cred *cred = OF(ours, cred);

	head->kind = kind;
	head->fixed = sizeof(struct wire_head) + WIRE_BODY;
	head->time_ns = bpf_ktime_get_ns();
	head->start_ns = OF(leader, start_boottime);
	head->ret = 0;
	head->pid = OF(t, tgid);
	head->tid = OF(t, pid);
	head->ppid = OF(parent, tgid);
	head->uid = OF(cred, euid.val);
	head->flags = 0;
	head->nr = 0;
	head->via = WIRE_BY_CALL;
	head->cgroup_id = set ? cgroup_id(OF(set, dfl_cgrp)) : 0;
	/* Gone in the last moments of a task (exit_task_namespaces). */
	head->mntns = ns ? mount_namespace(OF(ns, mnt_ns)) : 0;
#ifdef BLUBR_OLD
	bpf_probe_read_kernel(head->comm, sizeof(head->comm), t->comm);
#else
	((u64 *)head->comm)[0] = ((u64 *)t->comm)[0];
	((u64 *)head->comm)[1] = ((u64 *)t->comm)[1];
#endif
}

static __always_inline void clear_body(struct scratch *s)
{
	__builtin_memset(s->body, 0, WIRE_BODY);
	s->used = 0;
}

/* Paths are walked up to the root directory of `t`. */
static __always_inline void set_root(struct scratch *s, struct task_struct *t)
{
	struct fs_struct *fs = OF(as_task(t), fs);

	s->walk.root_dentry = 0;
	s->walk.root_mount = 0;
	if (fs) {
		s->walk.root_dentry = (u64)OF(fs, root.dentry);
		s->walk.root_mount = bare(&s->walk.root_mount, OF(fs, root.mnt)) - bpf_core_field_offset(struct mount, mnt);
	}
}

/* Begins a record about `t`. */
static __always_inline void begin(struct scratch *s, u32 kind, struct task_struct *t)
{
	fill_head(&s->head, kind, t);
	clear_body(s);
	set_root(s, t);
}

static __always_inline void finish(struct scratch *s)
{
	u64 used = s->used;

	CLAMP(used, TAIL_MAX);
	send(s->head.kind, &s->head, sizeof(s->head) + WIRE_BODY + used);
}

/* The field's bytes are in place behind its head at `at`: writes the head and moves on. */
static __always_inline void seal_field(struct scratch *s, u32 at, u32 id, u32 flags, u32 len)
{
	struct wire_field *field;

	if (at > TAIL_MAX - sizeof(*field))
		return;
	field = (struct wire_field *)&s->tail[at];
	field->id = id;
	field->flags = flags;
	field->len = len;
	s->used = at + sizeof(*field) + ((len + 7) & ~7u);
}

/* Ends a field whose text was read as a string: `n` bytes with the NUL, or -errno. Of an empty one 0 is said for the caller's
 * memory by older kernels (strncpy_from_user_nofault, mm/maccess.c).
 */
static __always_inline void seal_string(struct scratch *s, u32 at, u32 id, long n)
{
	u32 flags = 0;

	if (n < 0) {
		flags |= WIRE_FAULT;
		n = 0;
	} else if (n) {
		if (n == WIRE_STRING_MAX)
			flags |= WIRE_CUT;
		n--;
	}
	seal_field(s, at, id, flags, n);
}

/* A word as a field of its own. */
static __always_inline void put_word(struct scratch *s, u32 id, u64 value)
{
	u32 at = s->used;

	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - 16)
		return;
	*(u64 *)&s->tail[at + 8] = value;
	seal_field(s, at, id, 0, sizeof(value));
}

/* A NUL-terminated string of the caller's memory; up to WIRE_STRING_MAX bytes with the NUL. */
__noinline int put_user_string(u32 slot, u32 id, u64 address)
{
	struct scratch *s = scratch_at(slot);
	u32 at;
	long n;

	if (!s)
		return 0;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - FIELD_ROOM)
		return 0;
	n = bpf_probe_read_user_str(&s->tail[at + 8], WIRE_STRING_MAX, (void *)address);
	seal_string(s, at, id, n);
	return 0;
}

/* `len` bytes at `address`, of the caller's memory or of the kernel's, of which no more than `max` are taken, where there
 * is still room for them. The last two are constants to the compiler. */
static __always_inline int put_bytes(u32 slot, u32 id, u64 address, u64 len, u32 max, bool user)
{
	struct scratch *s = scratch_at(slot);
	u32 at, flags = 0;
	long failed;

	if (!s)
		return 0;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - max - 16)
		return 0;
	if (len > max)
		flags |= WIRE_CUT;
	CLAMP(len, max);
	if (user)
		failed = bpf_probe_read_user(&s->tail[at + 8], len, (void *)address);
	else
		failed = bpf_probe_read_kernel(&s->tail[at + 8], len, (void *)address);
	if (failed) {
		flags |= WIRE_FAULT;
		len = 0;
	}
	seal_field(s, at, id, flags, len);
	return 0;
}

/* Of the caller's memory, up to WIRE_PAYLOAD_MAX bytes. */
__noinline int put_user_bytes(u32 slot, u32 id, u64 address, u64 len)
{
	return put_bytes(slot, id, address, len, WIRE_PAYLOAD_MAX, true);
}

/* Of the kernel's, up to WIRE_PAYLOAD_MAX bytes. */
__noinline int put_kernel_bytes(u32 slot, u32 id, u64 address, u64 len)
{
	return put_bytes(slot, id, address, len, WIRE_PAYLOAD_MAX, false);
}

/* A NUL-terminated string of the kernel's. */
__noinline int put_kernel_string(u32 slot, u32 id, u64 address)
{
	struct scratch *s = scratch_at(slot);
	u32 at;
	long n;

	if (!s)
		return 0;
	at = s->used;
	asm volatile("" : "+r"(at));
	if (at > TAIL_MAX - FIELD_ROOM)
		return 0;
	n = bpf_probe_read_kernel_str(&s->tail[at + 8], WIRE_STRING_MAX, (void *)address);
	seal_string(s, at, id, n);
	return 0;
}

#endif
