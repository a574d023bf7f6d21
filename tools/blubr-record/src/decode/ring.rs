//! Operations of a ring: what was asked for is kept until what became of it is told.

use std::collections::{HashMap, VecDeque};
use std::io::Write;

use blubr_probes::wire::wire_field_id::*;
use blubr_probes::wire::wire_kind::*;
use blubr_probes::wire::{
    WIRE_HAS_RET, WIRE_MORE, WIRE_PENDING, WIRE_RESOLVED, WIRE_UNWANTED, wire_file, wire_head,
};
use zerocopy::IntoBytes as _;

use super::{DecodeError, Decoder, words_of};
use crate::log::Log;
use crate::record::{Malformed, Record};

/// Requests under way that are remembered: a ring has at most 32,768 entries (IORING_MAX_ENTRIES).
const REQUESTS_MAX: usize = 65_536;
/// Bytes of them.
const BYTES_MAX: usize = 16 << 20;

/// Requests under way, by the kernel's address of each.
#[derive(Default)]
pub(super) struct Requests {
    kept: HashMap<u64, (u64, Vec<u64>)>,
    /// In the order in which they were asked for, with the number that each was given.
    order: VecDeque<(u64, u64)>,
    bytes: usize,
    number: u64,
}

impl Requests {
    fn take(&mut self, request: u64) -> Option<Vec<u64>> {
        let (_, words) = self.kept.remove(&request)?;
        self.bytes -= words.len() * 8;
        Some(words)
    }

    fn put(&mut self, request: u64, words: Vec<u64>) {
        self.number += 1;
        self.bytes += words.len() * 8;
        self.kept.insert(request, (self.number, words));
        self.order.push_back((request, self.number));
    }

    fn is_full(&self) -> bool {
        self.kept.len() > REQUESTS_MAX || self.bytes > BYTES_MAX
    }

    /// The oldest that is still under way.
    fn take_oldest(&mut self) -> Option<Vec<u64>> {
        while let Some((request, number)) = self.order.pop_front() {
            if self.kept.get(&request).is_some_and(|(kept, _)| *kept == number) {
                return self.take(request);
            }
        }
        None
    }

    /// Forgets the places in the order of those that have ended, once they outnumber the rest.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.kept.len() + 1024 {
            let kept = &self.kept;
            self.order.retain(|(request, number)| kept.get(request).is_some_and(|(at, _)| at == number));
        }
    }
}

impl Decoder {
    /// A ring has taken on a request.
    pub(super) fn asked<W: Write>(
        &mut self,
        r: &Record<'_>,
        bytes: &[u8],
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let request = r.head.ret as u64;
        // The kernel uses the place again: the one before has ended, and nobody said how.
        if let Some(words) = self.requests.take(request) {
            self.without_answer(&words, log)?;
        }
        self.requests.put(request, words_of(bytes));
        while self.requests.is_full() {
            let Some(words) = self.requests.take_oldest() else { break };
            self.without_answer(&words, log)?;
        }
        self.requests.tidy();
        Ok(())
    }

    /// Writes what was asked for, without a result.
    fn without_answer<W: Write>(&mut self, words: &[u64], log: &mut Log<W>) -> Result<(), DecodeError> {
        let kept = Record::parse(words.as_bytes())?;
        let head = wire_head { ret: 0, flags: kept.head.flags & !WIRE_PENDING, ..*kept.head };
        self.event(&kept.completed(&head, None), log)
    }

    /// Writes what was asked for and never answered. For the end of the log.
    ///
    /// # Errors
    /// When the log can't be written.
    pub fn end<W: Write>(&mut self, log: &mut Log<W>) -> Result<(), DecodeError> {
        while let Some(words) = self.requests.take_oldest() {
            self.without_answer(&words, log)?;
        }
        Ok(())
    }

    /// A request came back.
    pub(super) fn answered<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let request = r.field(WIRE_F_REQUEST).and_then(|field| field.bytes.try_into().ok());
        let request = u64::from_ne_bytes(request.ok_or(Malformed("request"))?);
        // Of one whose beginning was lost, or that was asked not to tell of success, nothing more can be said.
        let Some(words) = self.requests.take(request) else { return Ok(()) };
        if r.head.flags & WIRE_UNWANTED == 0 {
            let kept = Record::parse(words.as_bytes())?;
            let resolved = r.head.flags & WIRE_RESOLVED != 0;
            // A send that opened a connection returns its bytes.
            let ret = if kept.kind == WIRE_CONNECT { r.head.ret.min(0) } else { r.head.ret };
            let flags = kept.head.flags & !WIRE_PENDING | WIRE_HAS_RET;
            let head = wire_head { ret, flags, time_ns: r.head.time_ns, ..*kept.head };
            if kept.kind == WIRE_FILE_OPEN {
                let whole = kept.completed(&head, None);
                self.ring_open(&whole, resolved.then_some(r), log)?;
            } else {
                self.event(&kept.completed(&head, resolved.then_some(r)), log)?;
            }
        }
        if r.head.flags & WIRE_MORE != 0 {
            self.requests.put(request, words);
        }
        Ok(())
    }

    /// An open by a ring: the file that the kernel found behind the descriptor counts where its path is the one that was
    /// asked for. Between the open and its answer another thread may have put another file there.
    fn ring_open<W: Write>(
        &mut self,
        whole: &Record<'_>,
        resolved: Option<&Record<'_>>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let asked: &wire_file = whole.body()?;
        if let Some(resolved) = resolved {
            let by_name = crate::path::absolute(
                whole.field(WIRE_F_PATH),
                whole.field(WIRE_F_BASE),
                &mut self.path,
            );
            let by_fd = crate::path::walked(resolved.field(WIRE_F_PATH), &mut self.to);
            if by_name.known && by_fd.known && !by_fd.cut && self.path == self.to {
                let found: &wire_file = resolved.body()?;
                let file = wire_file { flags: asked.flags, ..*found };
                return self.opened(whole, resolved.field(WIRE_F_PATH), &file, log);
            }
        }
        self.opened(whole, None, asked, log)
    }
}
