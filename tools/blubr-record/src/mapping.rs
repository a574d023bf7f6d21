//! Memory that is shared with the kernel: a map's.

#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use aya::maps::MapData;

/// A map's memory, at least a page of it.
pub struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of it from `offset` on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(map: &MapData, len: usize, prot: i32, offset: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let fd = map.fd().as_fd().as_raw_fd();
        // SAFETY: a new mapping, in the place that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mmap gave address 0"))?;
        Ok(Mapping { at, len })
    }

    /// The position that a ring's page begins with.
    pub fn position(&self) -> &AtomicUsize {
        // SAFETY: a mapping is a page at least, begins at a page's start, and lives as long as we do.
        unsafe { self.at.cast().as_ref() }
    }

    /// Four bytes at a place that is aligned to 8.
    pub fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: it lies within the mapping and is aligned: asserted.
        unsafe { self.at.add(at).cast().as_ref() }
    }

    /// A number of eight bytes at a place that is aligned to 8, as it is now.
    pub fn number(&self, at: usize) -> u64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: it lies within the mapping and is aligned: asserted.
        let number: &AtomicU64 = unsafe { self.at.add(at).cast().as_ref() };
        number.load(Ordering::Relaxed)
    }

    /// Bytes that the kernel doesn't write as long as they are borrowed.
    pub fn bytes(&self, at: usize, len: usize) -> &[u8] {
        assert!(at + len <= self.len);
        // SAFETY: it lies within the mapping: asserted. Of a ring the kernel writes there again only when it is given back,
        // for which the whole ring must be borrowed anew.
        unsafe { std::slice::from_raw_parts(self.at.add(at).as_ptr(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}
