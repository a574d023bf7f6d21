//! Maps of sparse files: which ranges of a file are stored (GNU tar, "Storing Sparse Files").

use super::header::{is_gnu, number};
use super::{BLOCK, METADATA_BYTES_MAX};

/// More ranges than this are refused; Go reads as many as fit into a megabyte of map.
const RANGES_MAX: usize = 1 << 17;

/// Ranges that are stored: offset and length, in bytes.
#[derive(Default)]
pub(super) struct Map(Vec<(u64, u64)>);

const OLD_ENTRIES: usize = 386;
const OLD_ENTRY_COUNT: usize = 4;
const OLD_MORE: usize = 482;
const OLD_REAL_SIZE: std::ops::Range<usize> = 483..495;
const EXTENSION_ENTRY_COUNT: usize = 21;
const EXTENSION_MORE: usize = 504;
const ENTRY: usize = 24;

impl Map {
    pub fn fragments(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        self.0.clone().into_iter()
    }

    /// The ranges must be in order, apart, and inside `size` (Go: validateSparseEntries).
    pub fn check(&self, size: u64) -> Result<(), String> {
        let mut at = 0;
        for &(offset, len) in &self.0 {
            let end = offset.checked_add(len).filter(|&end| offset >= at && end <= size);
            at = end.ok_or("a sparse file's map overlaps itself or leaves the file")?;
        }
        Ok(())
    }

    /// The old GNU format: four ranges in the header, the real size, and whether more follow.
    pub fn take_old_header(&mut self, block: &[u8; BLOCK]) -> Result<(u64, bool), String> {
        if !is_gnu(block) {
            return Err("a sparse file whose header is not GNU's".to_owned());
        }
        let size = number(&block[OLD_REAL_SIZE])?;
        let size = u64::try_from(size).map_err(|_| "a sparse file's real size is negative")?;
        self.take_old(&block[OLD_ENTRIES..], OLD_ENTRY_COUNT)?;
        Ok((size, block[OLD_MORE] != 0))
    }

    /// 21 ranges in a block of their own, and whether more follow.
    pub fn take_old_extension(&mut self, block: &[u8; BLOCK]) -> Result<bool, String> {
        self.take_old(block, EXTENSION_ENTRY_COUNT)?;
        Ok(block[EXTENSION_MORE] != 0)
    }

    fn take_old(&mut self, bytes: &[u8], count: usize) -> Result<(), String> {
        for entry in bytes.chunks_exact(ENTRY).take(count).take_while(|entry| entry[0] != 0) {
            let (offset, len) = entry.split_at(ENTRY / 2);
            let value = |field| number(field).map_err(|reason| format!("a sparse file's map {reason}"));
            self.push(value(offset)?, value(len)?)?;
        }
        Ok(())
    }

    fn push(&mut self, offset: i64, len: i64) -> Result<(), String> {
        if self.0.len() >= RANGES_MAX {
            return Err(format!("a sparse file with more than {RANGES_MAX} ranges"));
        }
        match (u64::try_from(offset), u64::try_from(len)) {
            (Ok(offset), Ok(len)) => self.0.push((offset, len)),
            _ => return Err("a sparse file's map has a negative number".to_owned()),
        }
        Ok(())
    }
}

/// The count of ranges, then offset and length of each: numbers as they arrive.
#[derive(Default)]
pub(super) struct Numbers {
    values: Vec<i64>,
    digits: Vec<u8>,
    taken: u64,
}

impl Numbers {
    /// Takes a block of version 1.0's map: decimal numbers, each ended by a newline.
    pub fn take(&mut self, block: &[u8; BLOCK]) -> Result<(), String> {
        self.taken += BLOCK as u64;
        if self.taken > METADATA_BYTES_MAX {
            return Err(format!("a sparse file's map of more than {METADATA_BYTES_MAX} bytes"));
        }
        for &byte in block {
            if self.complete() {
                break;
            }
            if byte != b'\n' {
                self.digits.push(byte);
                continue;
            }
            let value = super::pax::decimal(&self.digits);
            self.digits.clear();
            self.push(value.ok_or("a sparse file's map has something that is no number")?)?;
        }
        Ok(())
    }

    pub fn push(&mut self, value: i64) -> Result<(), String> {
        let ranges_max = i64::try_from(RANGES_MAX).unwrap_or(i64::MAX);
        if self.values.is_empty() && value > ranges_max || self.values.len() > 2 * RANGES_MAX {
            return Err(format!("a sparse file with more than {RANGES_MAX} ranges"));
        }
        self.values.push(value);
        Ok(())
    }

    /// Whether as many numbers are here as the first says.
    pub fn complete(&self) -> bool {
        match self.values.split_first() {
            Some((count, rest)) => usize::try_from(*count).is_ok_and(|count| rest.len() >= 2 * count),
            None => false,
        }
    }

    pub fn map(&self) -> Result<Map, String> {
        let (count, rest) = self.values.split_first().ok_or("a sparse file without a map")?;
        if usize::try_from(*count).ok().and_then(|count| count.checked_mul(2)) != Some(rest.len()) {
            return Err("a sparse file's map has another length than it says".to_owned());
        }
        let mut map = Map::default();
        for pair in rest.chunks_exact(2) {
            map.push(pair[0], pair[1])?;
        }
        Ok(map)
    }
}
