//! Tells the draining thread that nothing more comes, also while it sleeps.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag whose descriptor becomes readable when it is raised: eventfd(2).
pub struct Stop {
    is_asked: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    /// Not raised.
    ///
    /// # Errors
    /// When the kernel has no descriptor for it.
    pub fn new() -> io::Result<Stop> {
        // SAFETY: a plain call.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call just returned it: it is nobody else's.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        Ok(Stop { is_asked: AtomicBool::new(false), event })
    }

    /// Raises it, for good.
    pub fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes of our own. It can only fail where the count is full, and then it is readable.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Whether it was raised.
    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
