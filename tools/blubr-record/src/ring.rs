//! The reading end of the kernel's ring: takes records out in order, gives their room back in pieces, and sleeps until it is
//! woken.
//!
//! kernel/bpf/ringbuf.c says how it lies in memory. aya's reader gives back each record by itself, so that the line of the
//! reader's position goes to and fro between two CPUs with every event; and poll(2) returns at once while anything is in the
//! ring, so that a thread which asks it never sleeps under load.

#![expect(unsafe_code, reason = "calls that std does not have")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use aya::maps::MapData;

use crate::mapping::Mapping;

/// Bits of a record's head, include/uapi/linux/bpf.h: BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// BPF_RINGBUF_HDR_SZ: the length, and what only the kernel reads.
const HEAD: usize = 8;
/// Room is given back when it is this part of the ring, or when the ring is empty.
const GIVE_BACK: usize = 32;

/// The ring of the probes.
pub struct Ring {
    /// The page of the reader's position.
    consumer: Mapping,
    /// The page of the writers' position; then the records, twice in a row: one that crosses the end lies in one piece.
    producer: Mapping,
    page: usize,
    size: usize,
    /// Bytes that were taken out, since the beginning.
    taken: usize,
    /// Of these what was given back.
    given_back: usize,
    /// How far the writers had come.
    filled: usize,
    /// Tells when the probes wake us, and no more than that.
    waker: OwnedFd,
    /// Its descriptor is what the mappings and the waker stand on.
    _map: MapData,
}

impl Ring {
    /// Maps a ring of `size` bytes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(map: MapData, size: usize) -> io::Result<Self> {
        // SAFETY: a plain call that takes nothing and changes nothing.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).map_err(io::Error::other)?;
        let consumer = Mapping::new(&map, page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = Mapping::new(&map, page + 2 * size, libc::PROT_READ, page)?;
        let waker = epoll()?;
        watch(&waker, map.fd().as_fd())?;
        let mut ring = Ring {
            consumer,
            producer,
            page,
            size,
            taken: 0,
            given_back: 0,
            filled: 0,
            waker,
            _map: map,
        };
        ring.taken = ring.consumer.position().load(Ordering::Acquire);
        ring.given_back = ring.taken;
        Ok(ring)
    }

    /// The next record, aligned to 8; `None` where there is none, or the next is still written.
    pub fn next(&mut self) -> Option<&[u8]> {
        loop {
            if self.taken - self.given_back >= self.size / GIVE_BACK {
                self.give_back();
            }
            if self.taken == self.filled {
                self.filled = self.producer.position().load(Ordering::Acquire);
            }
            if self.taken == self.filled {
                self.give_back();
                return None;
            }
            let at = self.page + (self.taken & (self.size - 1));
            let head = self.producer.word(at).load(Ordering::Acquire);
            if head & BUSY != 0 {
                self.give_back();
                return None;
            }
            let len = (head & !DISCARDED) as usize;
            // No record is longer than the ring; one that says so would be the kernel's own mistake.
            if len > self.size - HEAD {
                return None;
            }
            self.taken += (HEAD + len).next_multiple_of(8);
            if head & DISCARDED == 0 {
                return Some(self.producer.bytes(at + HEAD, len));
            }
        }
    }

    /// Bytes that were taken out since the beginning.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Lets the writers have the room of all that was taken out. The last record must not be looked at any more.
    fn give_back(&mut self) {
        if self.given_back != self.taken {
            self.given_back = self.taken;
            // The kernel loads it with acquire before it writes over what lies there (__bpf_ringbuf_reserve).
            self.consumer.position().store(self.taken, Ordering::Release);
        }
    }

    /// Lets `wait` also end when this descriptor becomes readable.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn also_wake_by(&self, other: BorrowedFd<'_>) -> io::Result<()> {
        watch(&self.waker, other)
    }

    /// Sleeps until the probes wake us, at most that long.
    pub fn wait(&self, timeout_ms: i32) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event, and it is ours. A failure is a short wait.
        unsafe { libc::epoll_wait(self.waker.as_raw_fd(), &raw mut event, 1, timeout_ms) };
    }
}

fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: a plain call.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just returned it: it is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(epoll) })
}

/// Adds `fd`, triggered by the edge: by a wake-up, not by what is in a ring.
fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    // SAFETY: both descriptors are open, and the event is ours.
    match unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
