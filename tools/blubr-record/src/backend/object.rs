//! The probes' object as this kernel gets it: how it reads the kernel's memory is chosen before it is verified, and the
//! functions of the kernel that it calls get their numbers.

use aya::Btf;
use aya_obj::btf::BtfKind;
use blubr_probes::{CAST_MARK, KERNEL_CALLS};

/// How the probes read the kernel's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// By loads whose type the verifier knows (Linux 6.2).
    Typed,
    /// By a helper call for each: some ten times as dear, and taken by every kernel.
    Called,
}

/// The kernel's function by which a number becomes a pointer with a type (kernel/bpf/helpers.c).
const CAST: &str = "bpf_rdonly_cast";
/// Bytes of an instruction.
const INSTRUCTION: usize = 8;

impl Reads {
    /// The object for this way. Where loads are not typed the casts are never reached, and name no function.
    pub fn object(self, object: &[u8], btf: &Btf) -> Vec<u8> {
        let cast = if self == Reads::Typed { number_of(CAST, btf) } else { None };
        let mut object = object.to_vec();
        put_number(&mut object, CAST_MARK, cast.unwrap_or(0));
        for (mark, function) in KERNEL_CALLS {
            // A call of what this kernel does not have is never reached.
            put_number(&mut object, mark, number_of(function, btf).unwrap_or(0));
        }
        object
    }
}

/// Whether the kernel has what typed loads need.
pub fn has_casts(btf: &Btf) -> bool {
    number_of(CAST, btf).is_some()
}

/// The number of a kernel's function in its BTF.
fn number_of(function: &str, btf: &Btf) -> Option<u32> {
    btf.id_by_type_name_kind(function, BtfKind::Func).ok()
}

/// Puts a function's number into each call that is marked so: its immediate is the upper half of the instruction.
fn put_number(object: &mut [u8], mark: [u8; INSTRUCTION], number: u32) {
    for instruction in object.chunks_exact_mut(INSTRUCTION).filter(|bytes| **bytes == mark) {
        let (_, immediate) = instruction.split_at_mut(INSTRUCTION / 2);
        immediate.copy_from_slice(&number.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use blubr_probes::{TRACEPOINT, TRACEPOINT_OLD};

    use super::*;

    #[test]
    fn every_cast_gets_its_number_and_nothing_else_changes() {
        let mut object = TRACEPOINT.to_vec();
        put_number(&mut object, CAST_MARK, 0x0102_0304);
        let changed: Vec<usize> =
            (0..object.len()).filter(|at| object[*at] != TRACEPOINT[*at]).collect();
        assert!(!changed.is_empty());
        for at in changed {
            let from = at - at % INSTRUCTION;
            assert_eq!(TRACEPOINT[from..from + INSTRUCTION], CAST_MARK);
            assert_eq!(object[from..from + INSTRUCTION], [0x85, 0x20, 0, 0, 4, 3, 2, 1]);
        }
        assert!(!object.chunks_exact(INSTRUCTION).any(|bytes| bytes == CAST_MARK));
    }

    #[test]
    fn every_mark_stands_where_instructions_do() {
        let count = |object: &[u8], mark| {
            object.chunks_exact(INSTRUCTION).filter(|bytes| **bytes == mark).count()
        };
        for (mark, function) in KERNEL_CALLS {
            let aligned = count(TRACEPOINT, mark);
            let all = TRACEPOINT.windows(INSTRUCTION).filter(|bytes| **bytes == mark).count();
            assert!(aligned > 0 && aligned == all, "{function}: {aligned} of {all}");
            assert_eq!(count(TRACEPOINT_OLD, mark), 0, "{function}: old kernels have none");
        }
    }
}
