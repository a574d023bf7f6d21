/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The system calls of 32-bit programs and of the x32 interface, as the x86-64 calls that they are. */
#ifndef BLUBR_COMPAT_BPF_H
#define BLUBR_COMPAT_BPF_H

#include <asm/unistd_64.h>
#include "emit.bpf.h"

/* From here on i386 and x86-64 count alike (arch/x86/entry/syscalls/syscall_32.tbl), but for nothing that we read. */
#define COMMON_NUMBERS 424
#define NO_CALL 0xffffffffu

/* What else must be done to the arguments. */
enum compat_fix {
	FIX_NONE = 0,
	/* A 64-bit number in two registers, from this argument on. */
	FIX_WIDE_1 = 1,
	/* fallocate(fd, mode, offset, length): two of them. */
	FIX_WIDE_2_4 = 2,
	/* Owners of 16 bits, from this argument on: -1 is -1 (include/linux/highuid.h). */
	FIX_IDS_1 = 3,
	/* socketcall(2): number and arguments lie in memory. */
	FIX_SOCKETCALL = 4,
	/* Times of 64 bits in spite of all. */
	FIX_TIME64 = 5,
	/* umount(2) has no flags. */
	FIX_UMOUNT = 6,
};

/* Number + 1 in the low half, fix in the high one; 0: not read. */
#define AS(nr) ((nr) + 1)
#define AS_FIX(nr, fix) (((nr) + 1) | (fix) << 16)

/* The i386 numbers, to stand in the table of calls: whatever its interface, a call costs one look there. */
#define COMPAT_CALLS \
	[3].compat = AS(__NR_read), \
	[4].compat = AS(__NR_write), \
	[5].compat = AS(__NR_open), \
	[6].compat = AS(__NR_close), \
	[8].compat = AS(__NR_creat), \
	[9].compat = AS(__NR_link), \
	[10].compat = AS(__NR_unlink), \
	[11].compat = AS(__NR_execve), \
	[14].compat = AS(__NR_mknod), \
	[15].compat = AS(__NR_chmod), \
	[16].compat = AS_FIX(__NR_lchown, FIX_IDS_1), \
	[21].compat = AS(__NR_mount), \
	[22].compat = AS_FIX(__NR_umount2, FIX_UMOUNT), \
	[26].compat = AS(__NR_ptrace), \
	[30].compat = AS(__NR_utime), \
	[38].compat = AS(__NR_rename), \
	[39].compat = AS(__NR_mkdir), \
	[40].compat = AS(__NR_rmdir), \
	[52].compat = AS(__NR_umount2), \
	[61].compat = AS(__NR_chroot), \
	[63].compat = AS(__NR_dup2), \
	[83].compat = AS(__NR_symlink), \
	[92].compat = AS(__NR_truncate), \
	[93].compat = AS(__NR_ftruncate), \
	[94].compat = AS(__NR_fchmod), \
	[95].compat = AS_FIX(__NR_fchown, FIX_IDS_1), \
	[102].compat = AS_FIX(0, FIX_SOCKETCALL), \
	[128].compat = AS(__NR_init_module), \
	[129].compat = AS(__NR_delete_module), \
	[145].compat = AS(__NR_readv), \
	[146].compat = AS(__NR_writev), \
	[182].compat = AS_FIX(__NR_chown, FIX_IDS_1), \
	[193].compat = AS_FIX(__NR_truncate, FIX_WIDE_1), \
	[194].compat = AS_FIX(__NR_ftruncate, FIX_WIDE_1), \
	[198].compat = AS(__NR_lchown), \
	[207].compat = AS(__NR_fchown), \
	[212].compat = AS(__NR_chown), \
	[217].compat = AS(__NR_pivot_root), \
	[226].compat = AS(__NR_setxattr), \
	[227].compat = AS(__NR_lsetxattr), \
	[228].compat = AS(__NR_fsetxattr), \
	[235].compat = AS(__NR_removexattr), \
	[236].compat = AS(__NR_lremovexattr), \
	[237].compat = AS(__NR_fremovexattr), \
	[271].compat = AS(__NR_utimes), \
	[295].compat = AS(__NR_openat), \
	[296].compat = AS(__NR_mkdirat), \
	[297].compat = AS(__NR_mknodat), \
	[298].compat = AS(__NR_fchownat), \
	[299].compat = AS(__NR_futimesat), \
	[301].compat = AS(__NR_unlinkat), \
	[302].compat = AS(__NR_renameat), \
	[303].compat = AS(__NR_linkat), \
	[304].compat = AS(__NR_symlinkat), \
	[306].compat = AS(__NR_fchmodat), \
	[310].compat = AS(__NR_unshare), \
	[320].compat = AS(__NR_utimensat), \
	[324].compat = AS_FIX(__NR_fallocate, FIX_WIDE_2_4), \
	[330].compat = AS(__NR_dup3), \
	[337].compat = AS(__NR_recvmmsg), \
	[342].compat = AS(__NR_open_by_handle_at), \
	[345].compat = AS(__NR_sendmmsg), \
	[346].compat = AS(__NR_setns), \
	[348].compat = AS(__NR_process_vm_writev), \
	[350].compat = AS(__NR_finit_module), \
	[353].compat = AS(__NR_renameat2), \
	[357].compat = AS(__NR_bpf), \
	[358].compat = AS(__NR_execveat), \
	[359].compat = AS(__NR_socket), \
	[361].compat = AS(__NR_bind), \
	[362].compat = AS(__NR_connect), \
	[363].compat = AS(__NR_listen), \
	[364].compat = AS(__NR_accept4), \
	[369].compat = AS(__NR_sendto), \
	[370].compat = AS(__NR_sendmsg), \
	[371].compat = AS(__NR_recvfrom), \
	[372].compat = AS(__NR_recvmsg), \
	[412].compat = AS_FIX(__NR_utimensat, FIX_TIME64), \
	[417].compat = AS(__NR_recvmmsg)

/* The calls of socketcall(2), include/uapi/linux/net.h; accept of i386 has no number of its own. */
#define SOCKETCALLS 21

const volatile u16 SOCKET_CALLS[SOCKETCALLS] = {
	[1] = AS(__NR_socket),
	[2] = AS(__NR_bind),
	[3] = AS(__NR_connect),
	[4] = AS(__NR_listen),
	[5] = AS(__NR_accept),
	[9] = AS(__NR_sendto), /* send: without an address */
	[10] = AS(__NR_recvfrom),
	[11] = AS(__NR_sendto),
	[12] = AS(__NR_recvfrom),
	[16] = AS(__NR_sendmsg),
	[17] = AS(__NR_recvmsg),
	[18] = AS(__NR_accept4),
	[19] = AS(__NR_recvmmsg),
	[20] = AS(__NR_sendmmsg),
};

/* The numbers that x32 has to itself, from 512 on (syscall_64.tbl): their structs are laid out as a 32-bit program's. */
#define X32_BIT 0x40000000ull
#define X32_OWN 512
#define X32_OWN_MAX 36

const volatile u16 X32_CALLS[X32_OWN_MAX] = {
	[3] = AS(__NR_readv),
	[4] = AS(__NR_writev),
	[5] = AS(__NR_recvfrom),
	[6] = AS(__NR_sendmsg),
	[7] = AS(__NR_recvmsg),
	[8] = AS(__NR_execve),
	[9] = AS(__NR_ptrace),
	[25] = AS(__NR_recvmmsg),
	[26] = AS(__NR_sendmmsg),
	[28] = AS(__NR_process_vm_writev),
	[33] = AS(__NR_execveat),
};

/* Whether this kernel takes calls with the x32 bit. Where it doesn't nothing is done by them. */
const volatile u32 X32_ABI = 0;

static __always_inline bool is_compat(void)
{
	return OF(current_task(), thread_info.status) & TS_COMPAT;
}

/* What a number of another interface means, in one word: number, layout, fix. */
struct abi_call {
	u32 nr;
	u8 layout;
	u8 fix;
	u8 narrow;
	u8 pad;
};

/* The call of a 32-bit program, of which the table says `entry`. */
static __always_inline struct abi_call compat_call(u64 nr, u32 entry)
{
	struct abi_call call = { .nr = NO_CALL, .layout = LAYOUT_32, .narrow = 1 };

	if (nr >= COMMON_NUMBERS) {
		call.nr = nr;
	} else if (entry) {
		call.nr = (entry & 0xffff) - 1;
		call.fix = entry >> 16;
	}
	return call;
}

static __always_inline struct abi_call x32_call(u64 nr)
{
	struct abi_call call = { .nr = NO_CALL };
	u32 own, entry;

	if (!X32_ABI)
		return call;
	nr &= ~X32_BIT;
	if (nr < X32_OWN) {
		call.nr = nr;
		return call;
	}
	own = nr - X32_OWN;
	asm volatile("" : "+r"(own));
	if (own >= X32_OWN_MAX)
		return call;
	entry = X32_CALLS[own];
	if (!entry)
		return call;
	call.nr = entry - 1;
	call.layout = LAYOUT_32;
	return call;
}

/* socketcall(2): which call it is; its arguments follow by fix_arguments. */
static __always_inline void resolve_socketcall(struct abi_call *call, u64 number)
{
	u32 entry;

	call->nr = NO_CALL;
	asm volatile("" : "+r"(number));
	if (number >= SOCKETCALLS)
		return;
	entry = SOCKET_CALLS[number];
	if (entry)
		call->nr = entry - 1;
}

static __always_inline u64 wide(u64 low, u64 high)
{
	return (u32)low | high << 32;
}

static __always_inline u64 wide_id(u64 id)
{
	return (u16)id == 0xffff ? 0xffffffffu : (u16)id;
}

/* The arguments as the x86-64 call would have them. */
static __noinline int fix_arguments(struct scratch *s, u32 fix)
{
	u32 words[6] = {};
	u32 number, i;

	switch (fix) {
	case FIX_WIDE_1:
		s->args[1] = wide(s->args[1], s->args[2]);
		break;
	case FIX_WIDE_2_4:
		s->args[2] = wide(s->args[2], s->args[3]);
		s->args[3] = wide(s->args[4], s->args[5]);
		break;
	case FIX_IDS_1:
		s->args[1] = wide_id(s->args[1]);
		s->args[2] = wide_id(s->args[2]);
		break;
	case FIX_TIME64:
		s->layout = LAYOUT_64;
		break;
	case FIX_UMOUNT:
		s->args[1] = 0;
		break;
	case FIX_SOCKETCALL:
		number = s->args[0];
		/* No more words than the call has (nargs, net/socket.c) would do; what lies behind them is not used. */
		if (bpf_probe_read_user(words, sizeof(words), (void *)s->args[1]))
			bpf_probe_read_user(words, 12, (void *)s->args[1]);
		for (i = 0; i < 6; i++)
			s->args[i] = words[i];
		/* send and recv have four arguments and no address. */
		if (number == 9 || number == 10) {
			s->args[4] = 0;
			s->args[5] = 0;
		}
		break;
	}
	return 0;
}

#endif
