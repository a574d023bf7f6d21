//! Drains the ring into the log: decodes, counts what was lost, sets checkpoints.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use blubr_log::{CHECKPOINT_LINES, CHECKPOINT_SECONDS};

use crate::backend::{Counts, KINDS, Loss, LossTable};
use crate::decode::{DecodeError, Decoder, type_of};
use crate::log::Log;
use crate::mounts;
use crate::ring::Ring;
use crate::rotation::Rotation;
use crate::stop::Stop;

/// How long the ring is left alone when it is empty, in ms: a wake-up costs some 50 µs of the CPU that the work is done on.
/// The probes wake us before that when it fills, or when something must be looked at while it is there.
const POLL_MS_MAX: i32 = 16;
/// The same where next to nothing comes in, as on a host at rest.
const POLL_MS_QUIET: i32 = 128;
/// Where much comes in: what has left the CPU's caches before it is read costs the writers more than wake-ups do.
const POLL_MS_MIN: i32 = 2;
/// Bytes that are to come together meanwhile, from half of this to all.
const POLL_BYTES: usize = 512 << 10;
/// Bytes up to which next to nothing came together.
const POLL_BYTES_QUIET: usize = 64 << 10;
/// How often what is written is handed on where less than a block has come together: each time wakes the writing thread.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Records after which losses and the clock are looked at, however full the ring is.
const BATCH: usize = 8192;
/// How often the table of losses is read, besides before each checkpoint.
const COUNT_EVERY: Duration = Duration::from_millis(100);
/// Lines after which a checkpoint is set here, before the writer does it by itself: what was lost must be told first, so
/// that it lies in the interval in which it was lost. A record makes fewer lines than lie between.
const CHECKPOINT_DUE: u64 = CHECKPOINT_LINES - 1000;

/// The ring, the log, and what lies between.
pub struct Drain<W: Write> {
    ring: Ring,
    losses: LossTable,
    counted: Counts,
    /// Where the table is read into.
    read: Counts,
    counted_at_ns: u64,
    counted_at: Instant,
    decoder: Decoder,
    log: Log<W>,
    checkpoint: Instant,
    dirty: bool,
    flushed: Instant,
    rotation: Option<Rotation>,
}

impl<W: Write> Drain<W> {
    /// Nothing drained yet.
    pub fn new(
        ring: Ring,
        losses: LossTable,
        decoder: Decoder,
        log: Log<W>,
        rotation: Option<Rotation>,
    ) -> Self {
        Drain {
            ring,
            losses,
            counted: [Loss::default(); KINDS],
            read: [Loss::default(); KINDS],
            counted_at_ns: monotonic_ns(),
            counted_at: Instant::now(),
            decoder,
            log,
            checkpoint: Instant::now(),
            dirty: false,
            flushed: Instant::now(),
            rotation,
        }
    }

    /// Writes the processes that were listed into the ring, and then the mounts of their namespaces.
    ///
    /// # Errors
    /// As [`Drain::run`].
    pub fn write_existing(&mut self) -> Result<(), DecodeError> {
        self.log.cgroups.scan();
        self.empty()?;
        self.write_mounts()?;
        self.log.writer().checkpoint()?;
        Ok(self.log.writer().flush()?)
    }

    fn write_mounts(&mut self) -> io::Result<()> {
        let namespaces = self.decoder.namespaces();
        mounts::write(&namespaces, monotonic_ns(), &mut self.log)
    }

    /// Ends the part of the log that is large enough; writes the mounts of a new one behind its processes.
    fn turn(&mut self, listed: bool) -> io::Result<()> {
        if listed {
            self.write_mounts()?;
            self.dirty = true;
            if let Some(rotation) = &self.rotation {
                rotation.listing.done();
            }
        }
        if !self.rotation.as_ref().is_some_and(Rotation::is_due) {
            return Ok(());
        }
        // The part's last checkpoint comes now.
        self.count_losses()?;
        let now_ns = monotonic_ns();
        self.rotation.as_mut().map_or(Ok(()), |rotation| rotation.turn(now_ns, &mut self.log))
    }

    /// Drains until `stop` is asked and the ring is empty; gives the log back, without its trailer.
    ///
    /// # Errors
    /// When a record does not hold together or the log can't be written.
    pub fn run(mut self, stop: &Stop) -> Result<Log<W>, DecodeError> {
        self.ring.also_wake_by(stop.as_fd())?;
        let (mut poll_ms, mut taken) = (POLL_MS_MAX, self.ring.taken());
        loop {
            // Asked before the ring is emptied: what was in it then is written.
            let last = stop.is_asked();
            let listed = self.rotation.as_ref().is_some_and(|rotation| rotation.listing.is_listed());
            self.empty()?;
            if last {
                self.decoder.end(&mut self.log)?;
                self.count_losses()?;
                return Ok(self.log);
            }
            self.turn(listed)?;
            if self.dirty && self.flushed.elapsed() >= FLUSH_EVERY {
                self.log.writer().flush()?;
                self.dirty = false;
                self.flushed = Instant::now();
            }
            poll_ms = next_poll(poll_ms, self.ring.taken() - taken);
            taken = self.ring.taken();
            self.ring.wait(poll_ms);
        }
    }

    /// Takes out what is in the ring.
    fn empty(&mut self) -> Result<(), DecodeError> {
        loop {
            let mut taken = 0;
            while taken < BATCH {
                let Some(record) = self.ring.next() else { break };
                self.decoder.record(record, &mut self.log)?;
                taken += 1;
                if self.log.writer().since_checkpoint() >= CHECKPOINT_DUE {
                    break;
                }
            }
            self.dirty |= taken > 0;
            let due = self.log.writer().since_checkpoint() >= CHECKPOINT_DUE;
            if due || self.checkpoint.elapsed() >= Duration::from_secs(CHECKPOINT_SECONDS) {
                self.count_losses()?;
                self.log.writer().checkpoint()?;
                self.checkpoint = Instant::now();
            } else if self.counted_at.elapsed() >= COUNT_EVERY {
                self.count_losses()?;
            }
            if taken < BATCH && !due {
                return Ok(());
            }
            // A ring that never runs empty must not make a part endless.
            self.turn(false)?;
        }
    }

    fn count_losses(&mut self) -> io::Result<()> {
        let now_ns = monotonic_ns();
        self.losses.read(&mut self.read);
        if self.read != self.counted {
            let before_ns = monotonic_ns();
            let (mut by_type, mut outside) = (BTreeMap::new(), 0);
            for (kind, (loss, old)) in self.read.iter().zip(&self.counted).enumerate() {
                let new = loss.count.saturating_sub(old.count);
                if let (Some(name), true) = (type_of(kind), new > 0) {
                    *by_type.entry(name.to_owned()).or_insert(0) += new;
                    outside += loss.outside.saturating_sub(old.outside);
                }
            }
            if !by_type.is_empty() {
                self.log.lost(by_type, outside, self.counted_at_ns, before_ns)?;
                self.dirty = true;
            }
            self.counted = self.read;
        }
        self.counted_at_ns = now_ns;
        self.counted_at = Instant::now();
        Ok(())
    }
}

/// How long the ring is to be left alone next, after a time in which `bytes` came in.
fn next_poll(poll_ms: i32, bytes: usize) -> i32 {
    match bytes {
        _ if bytes <= POLL_BYTES_QUIET => (poll_ms * 2).min(POLL_MS_QUIET),
        _ if poll_ms > POLL_MS_MAX => POLL_MS_MAX,
        _ if bytes < POLL_BYTES / 2 => (poll_ms * 2).min(POLL_MS_MAX),
        _ if bytes > POLL_BYTES => (poll_ms / 2).max(POLL_MS_MIN),
        _ => poll_ms,
    }
}

/// CLOCK_MONOTONIC, as the probes read it.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// A clock of the kernel's, in ns.
pub fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills the struct; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_looked_at_more_often_the_more_comes_in_and_within_bounds() {
        assert_eq!(next_poll(8, POLL_BYTES + 1), 4);
        assert_eq!(next_poll(8, POLL_BYTES), 8);
        assert_eq!(next_poll(8, POLL_BYTES / 2 - 1), 16);
        assert_eq!(next_poll(POLL_MS_MIN, usize::MAX), POLL_MS_MIN);
        assert_eq!(next_poll(POLL_MS_MAX, POLL_BYTES_QUIET + 1), POLL_MS_MAX);
        assert_eq!(next_poll(POLL_MS_MAX, POLL_BYTES_QUIET), 2 * POLL_MS_MAX);
        assert_eq!(next_poll(POLL_MS_QUIET, 0), POLL_MS_QUIET);
        assert_eq!(next_poll(POLL_MS_QUIET, POLL_BYTES_QUIET + 1), POLL_MS_MAX);
    }
}
