/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How a field of the kernel's is read: by a plain load that the verifier knows the type of, where the kernel has
 * bpf_rdonly_cast (6.2), else by bpf_probe_read_kernel, which costs some ten times as much. Either gives 0 for an
 * address that can't be read.
 */
#ifndef BLUBR_TYPED_BPF_H
#define BLUBR_TYPED_BPF_H

#include "kernel.bpf.h"

/* Set by the loader where the kernel takes the casts; the other way is then dead code to the verifier. */
#ifdef BLUBR_OLD
#define TYPED 0
#else
const volatile u32 TYPED = 0;
#endif

/* The call of a kernel function whose number the loader puts where the mark is: backend/object.rs. The verifier
 * turns it into a move.
 */
#define CAST_MARK "0x6275626c00002085"

/* `address`, of which nothing is known, as a pointer to the kernel's type of that number. */
static __always_inline void *cast(u64 address, u32 type_id)
{
	register u64 from asm("r1") = address;
	register u64 type asm("r2") = type_id;
	register void *to asm("r0");

	asm volatile(".quad " CAST_MARK : "=r"(to), "+r"(from), "+r"(type) : : "r3", "r4", "r5");
	return to;
}

#define TYPED_AS(type, address) ((type *)cast((u64)(address), bpf_core_type_id_kernel(type)))

/* A task, of whose type the verifier takes our word. From 6.3 on (57539b1c0ac2) it looks through all of the kernel's types
 * by name, some times over, for each pointer that is read out of a task which it has vouched for: most of what it took.
 */
static __always_inline struct task_struct *as_task(struct task_struct *t)
{
	return TYPED ? TYPED_AS(struct task_struct, t) : t;
}

static __always_inline struct task_struct *current_task(void)
{
	return as_task(bpf_get_current_task_btf());
}

/* pointer->field, of a kernel's struct. */
#define FIELD(pointer, field) \
	({ \
		typeof((pointer)->field) value_; \
		if (TYPED) \
			value_ = TYPED_AS(typeof(*(pointer)), pointer)->field; \
		else \
			value_ = BPF_CORE_READ(pointer, field); \
		value_; \
	})

/* Pointers as they are passed between functions: bare numbers. The verifier forgets what was loaded from `at`. */
static __always_inline u64 bare(u64 *at, const void *pointer)
{
	*(volatile u64 *)at = (u64)pointer;
	return *(volatile u64 *)at;
}

#endif
