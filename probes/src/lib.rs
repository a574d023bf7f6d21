//! The eBPF programs of blubr-record and the wire format between them and Rust.
//!
//! The programs are written in C with CO-RE and compiled by the build script; [`TRACEPOINT`] is the object.
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
