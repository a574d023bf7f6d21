/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the end of a file event is: a file open for writing is closed by the last descriptor that a process has for it. */
#ifndef BLUBR_CLOSING_BPF_H
#define BLUBR_CLOSING_BPF_H

#include "file.bpf.h"

/* Words of 64 descriptors that are looked through: fs.nr_open is 1,048,576 unless raised. */
#define FD_WORDS_MAX 16384
/* Tables of descriptors are looked through in pieces of 64, this many: 4,096 descriptors. */
#define HELD_PIECES_MAX 64

/* Of the 64 descriptors from `base` on those that are not below `first`. */
static __always_inline u64 bits_from(u32 first, u32 base)
{
	if (first <= base)
		return ~0ull;
	return first - base < 64 ? ~0ull << (first - base) : 0;
}

STEP long held_piece(u32 piece, struct loop *context)
{
	struct scratch *s = context->s;
	struct held *held = &s->held;
	u32 i, base = piece * 64;
	u64 only = ~0ull, counts;

	if (held->only)
		bpf_probe_read_kernel(&only, sizeof(only), (void *)(held->only + 8 * (u64)piece));
	/* Which of these 64 count: in one word, so that the loop has little to decide. */
	counts = bits_from(held->from, base) | ~bits_from(held->below, base) | ~only;
	counts &= bits_from(held->fd + 1, base) | ~bits_from(held->fd, base);
	if (bpf_probe_read_kernel(s->files, sizeof(s->files), (void *)(held->slots + 8 * (u64)base)))
		return 1;
	for (i = 0; i < 64; i++) {
		if (s->files[i] == held->file && ((counts >> i) & 1)) {
			held->found = 1;
			return 1;
		}
	}
	return 0;
}
LOOP_OF(held_piece)

/* Whether what s->held looks for is there. */
__noinline int is_held(u32 slot)
{
	struct loop context = {};
	struct held *held;

	context.s = scratch_at(slot);
	context.slot = slot;
	if (!context.s)
		return 0;
	held = &context.s->held;
	held->found = 0;
	LOOP(held->pieces, HELD_PIECES_MAX, held_piece, &context);
	return held->found;
}

static __always_inline u32 pieces_of(struct fdtable *table)
{
	u32 pieces = OF(table, max_fds) / 64;

	return pieces > HELD_PIECES_MAX ? HELD_PIECES_MAX : pieces;
}

/* Whether the process holds the same open file by another descriptor. */
static __always_inline bool held_elsewhere(struct scratch *s, u32 slot, struct fdtable *table, struct file *file,
					   u32 fd)
{
	struct held *held = &s->held;

	held->slots = (u64)OF(table, fd);
	held->file = (u64)file;
	held->only = 0;
	held->fd = fd;
	held->from = 0;
	held->below = 0;
	held->pieces = pieces_of(table);
	return is_held(slot);
}

static __always_inline bool is_for_writing(struct file *file)
{
	struct inode *inode;

	if (!file || !(FIELD(file, f_mode) & FMODE_WRITE))
		return false;
	inode = FIELD(file, f_inode);
	return (FIELD(inode, i_mode) & S_IFMT) == S_IFREG;
}

/* Whether nothing in the system holds the open file but one descriptor. */
static __always_inline bool is_held_once(struct file *file)
{
	if (bpf_core_field_exists(((struct file___613 *)file)->f_ref))
		return FIELD((struct file___613 *)file, f_ref.refcnt.counter) == 0;
	if (bpf_core_field_exists(((struct file___old *)file)->f_count))
		return FIELD((struct file___old *)file, f_count.counter) == 1;
	return false;
}

/* One descriptor: a record of the kind in s->head. */
static __always_inline void file_of_descriptor(struct scratch *s, u32 slot, struct file *file, u32 fd)
{
	clear_body(s);
	file_state(s, file);
	put_file_path(slot, WIRE_F_PATH, file);
	finish(s);
}

STEP long files_bit(u32 bit, struct loop *context)
{
	struct scratch *s = context->s;
	struct files *all = &s->all;
	struct held *held = &s->held;
	struct file *file = 0;
	u32 fd = all->base + bit;

	if (!((all->word >> (bit & 63)) & 1))
		return 0;
	if (fd < all->first || fd > all->last)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)(all->slots + 8 * (u64)fd));
	if (!is_for_writing(file))
		return 0;
	/* All go: of several for one open file the last tells, and none where one stays. */
	if (!is_held_once(file)) {
		held->slots = all->slots;
		held->file = (u64)file;
		held->only = all->only;
		held->fd = fd;
		held->from = fd + 1;
		held->below = all->first;
		held->pieces = all->pieces;
		if (is_held(context->slot))
			return 0;
	}
	file_of_descriptor(s, context->slot, file, fd);
	return 0;
}
LOOP_OF(files_bit)

/* The 64 descriptors of s->all.word. */
static __always_inline int files_of_word(u32 slot)
{
	struct loop context = {};

	context.s = scratch_at(slot);
	if (!context.s)
		return 0;
	context.slot = slot;
	LOOP(64, 64, files_bit, &context);
	return 0;
}

STEP long files_word(u32 index, struct loop *context)
{
	struct files *all = &context->s->all;
	u64 word = 0, only = 0;

	bpf_probe_read_kernel(&word, sizeof(word), (void *)(all->open_fds + 8 * (u64)index));
	if (word && all->only) {
		bpf_probe_read_kernel(&only, sizeof(only), (void *)(all->only + 8 * (u64)index));
		word &= only;
	}
	if (!word)
		return 0;
	all->word = word;
	all->base = index * 64;
	files_of_word(context->slot);
	return 0;
}
LOOP_OF(files_word)

static __always_inline int files_of_table(u32 slot, u32 words)
{
	struct loop context = {};

	context.s = scratch_at(slot);
	if (!context.s)
		return 0;
	context.slot = slot;
	LOOP(words, FD_WORDS_MAX, files_word, &context);
	return 0;
}

/* Descriptors first..last of `t` that are regular files open for writing, or of these what an exec
 * closes; the head must be filled. */
static __always_inline void each_file_for_writing(u32 slot, struct task_struct *t, u32 first, u32 last,
						  bool on_exec)
{
	struct scratch *s = scratch_at(slot);
	struct files_struct *files = OF(t, files);
	struct fdtable *table;
	struct files *all;
	u32 words;

	if (!s || !files)
		return;
	all = &s->all;
	table = OF(files, fdt);
	all->slots = (u64)OF(table, fd);
	all->open_fds = (u64)OF(table, open_fds);
	all->only = on_exec ? (u64)OF(table, close_on_exec) : 0;
	all->pieces = pieces_of(table);
	all->first = first;
	all->last = last;
	words = OF(table, max_fds) / 64;
	if (words > FD_WORDS_MAX)
		words = FD_WORDS_MAX;
	files_of_table(slot, words);
}

/* The descriptor of a file for writing, as is_for_writing found it. */
__noinline int on_close(u32 slot, u64 fd)
{
	struct scratch *s = scratch_at(slot);
	struct task_struct *t = current_task();
	struct files_struct *files = OF(t, files);
	struct file *file;

	if (!s || !files)
		return 0;
	file = file_of(t, fd);
	if (!file || (!is_held_once(file) && held_elsewhere(s, slot, OF(files, fdt), file, fd)))
		return 0;
	begin(s, WIRE_FILE_CLOSE, t);
	s->head.nr = s->nr;
	file_of_descriptor(s, slot, file, fd);
	return 0;
}

__noinline int on_close_range(u32 slot, u32 first, u32 last)
{
	struct scratch *s = scratch_at(slot);

	if (!s)
		return 0;
	begin(s, WIRE_FILE_CLOSE, bpf_get_current_task_btf());
	s->head.nr = s->nr;
	each_file_for_writing(slot, current_task(), first, last, false);
	return 0;
}

#endif
