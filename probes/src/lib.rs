//! The eBPF programs of blubr-record and the wire format between them and Rust.
//!
//! The programs are written in C with CO-RE and compiled by the build script; [`TRACEPOINT`] is the object,
//! [`TRACEPOINT_OLD`] the same source for kernels before 5.17.
//! [`wire`] is generated from wire.h, so that the two sides can't differ.
//!
//! This crate never loads a program, and knows nothing of the log.

#[expect(
    missing_docs,
    non_camel_case_types,
    clippy::allow_attributes,
    reason = "generated from wire.h, which says what each field is"
)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

/// Bytes with the alignment that an ELF reader wants.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

const OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/tracepoint.bpf.o")));

/// A call in the object whose function the loader has to name: `bpf_rdonly_cast`, by its number in the kernel's BTF. The low
/// half of the instruction stays as it is (typed.bpf.h).
pub const CAST_MARK: [u8; 8] = 0x6275_626c_0000_2085_u64.to_le_bytes();

/// The object for kernels where only BTF tracepoints may be used.
pub const TRACEPOINT: &[u8] = &OBJECT.0;

const OLD: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/tracepoint_old.bpf.o")));

/// The same for kernels without `bpf_loop`: each of its loops is bounded and unrolled by the verifier, and the current
/// task is read by calls.
pub const TRACEPOINT_OLD: &[u8] = &OLD.0;

/// Where the object calls a function of the kernel: the instruction as it is compiled, whose upper half is to become the
/// function's number in the kernel's BTF, and the function.
pub const KERNEL_CALLS: [([u8; 8], &str); 4] = [
    ([0x85, 0x20, 0, 0, b'm', b'b', b'u', b'b'], "bpf_preempt_disable"),
    ([0x85, 0x20, 0, 0, b'n', b'b', b'u', b'b'], "bpf_preempt_enable"),
    ([0x85, 0x20, 0, 0, b'o', b'b', b'u', b'b'], "bpf_local_irq_save"),
    ([0x85, 0x20, 0, 0, b'p', b'b', b'u', b'b'], "bpf_local_irq_restore"),
];
