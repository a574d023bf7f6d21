//! The probes' object as this kernel gets it: how it reads the kernel's memory is chosen before it is verified.

use aya::Btf;
use aya_obj::btf::BtfKind;
use blubr_probes::CAST_MARK;

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
        let number = if self == Reads::Typed { cast_number(btf) } else { None };
        with_cast(object, number.unwrap_or(0))
    }
}

/// Whether the kernel has what typed loads need.
pub fn has_casts(btf: &Btf) -> bool {
    cast_number(btf).is_some()
}

fn cast_number(btf: &Btf) -> Option<u32> {
    btf.id_by_type_name_kind(CAST, BtfKind::Func).ok()
}

/// Puts the number of the cast into each call that is marked: its immediate is the upper half of the instruction.
fn with_cast(object: &[u8], number: u32) -> Vec<u8> {
    let mut object = object.to_vec();
    for instruction in object.chunks_exact_mut(INSTRUCTION).filter(|bytes| **bytes == CAST_MARK) {
        let (_, immediate) = instruction.split_at_mut(INSTRUCTION / 2);
        immediate.copy_from_slice(&number.to_ne_bytes());
    }
    object
}

#[cfg(test)]
mod tests {
    use blubr_probes::TRACEPOINT;

    use super::*;

    #[test]
    fn every_cast_gets_its_number_and_nothing_else_changes() {
        let object = with_cast(TRACEPOINT, 0x0102_0304);
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
}
