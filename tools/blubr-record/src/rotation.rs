//! When a part of the log ends, and what the next one begins with: the processes and mounts that are there then.

#![expect(unsafe_code, reason = "a system call that std does not have")]

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use blubr_log::Header;

use crate::log::Log;
use crate::sink::Progress;

/// The list of what is there, which the draining thread asks of the main one: that has the probes.
#[derive(Debug, Default)]
pub struct Listing(AtomicU8);

const IDLE: u8 = 0;
const WANTED: u8 = 1;
const LISTED: u8 = 2;

impl Listing {
    fn want(&self) {
        self.0.store(WANTED, Ordering::Release);
        // The main thread waits for signals, and looks at what is wanted after each; the other threads block this one too.
        // SAFETY: plain calls. Should it fail, the main thread looks before long by itself.
        unsafe { libc::kill(libc::getpid(), libc::SIGCHLD) };
    }

    /// Whether the part has its list.
    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == IDLE
    }

    /// Has `list` put the processes into the ring if they are asked for.
    ///
    /// # Errors
    /// What `list` returns; then they stay away.
    pub fn serve<E>(&self, list: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.0.load(Ordering::Acquire) != WANTED {
            return Ok(());
        }
        let listed = list();
        self.0.store(if listed.is_ok() { LISTED } else { IDLE }, Ordering::Release);
        listed
    }

    /// Whether the processes are in the ring. To be asked before the ring is emptied.
    pub fn is_listed(&self) -> bool {
        self.0.load(Ordering::Acquire) == LISTED
    }

    /// The mounts have been written too.
    pub fn done(&self) {
        // Unless it is wanted again already.
        let _ = self.0.compare_exchange(LISTED, IDLE, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// What the draining thread needs to end parts.
pub struct Rotation {
    /// Of the part that is written.
    pub header: Header,
    /// Bytes of a part's file from which on it is ended.
    pub bytes: u64,
    /// How far the writing thread is.
    pub progress: Arc<Progress>,
    /// Shared with the main thread.
    pub listing: Arc<Listing>,
    /// Parts that were ended.
    pub ended: u64,
}

impl Rotation {
    /// Whether the part's file is large enough, and it has its own list. The writing thread is behind: what it says of a
    /// part that it has not ended yet counts for nothing.
    pub fn is_due(&self) -> bool {
        let behind = self.progress.parts.load(Ordering::Acquire) < self.ended;
        !behind && self.listing.is_idle() && self.progress.bytes.load(Ordering::Acquire) >= self.bytes
    }

    /// Ends the part.
    ///
    /// # Errors
    /// What the log returns.
    pub fn turn<W: Write>(&mut self, now_ns: u64, log: &mut Log<W>) -> io::Result<()> {
        self.header.started = log.time(now_ns);
        let ended = self.header.started;
        log.writer().next_part(ended, &mut self.header)?;
        self.ended += 1;
        self.listing.want();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_made_once_for_each_time_it_is_wanted() {
        let listing = Listing::default();
        let mut made = 0;
        let mut serve = || {
            let list = || {
                made += 1;
                Ok::<_, ()>(())
            };
            listing.serve(list).unwrap();
        };
        serve();
        listing.want();
        serve();
        serve();
        assert!(listing.is_listed());
        listing.done();
        assert!(!listing.is_listed());
        listing.want();
        assert_eq!(listing.serve(|| Err("refused")), Err("refused"));
        assert!(!listing.is_listed());
        assert_eq!(made, 1);
    }
}
