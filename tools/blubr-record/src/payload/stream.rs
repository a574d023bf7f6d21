//! Streams put together again out of the pieces that calls carried. Bounded, whatever goes over them.

use std::collections::{HashMap, VecDeque};

/// Streams of which more is expected, that are remembered.
const STREAMS_MAX: usize = 4096;
/// Bytes of them that are held.
const BYTES_MAX: usize = 8 << 20;
/// Bytes of one that are held: a message of DNS over TCP with its length (RFC 1035 section 4.2.2).
const HELD_MAX: usize = 2 + 65_535;
/// Buffers that are kept to be used again.
const SPARE_MAX: usize = 64;

/// One way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The kernel's address of the socket: used again when that is gone, by a stream that begins at 0.
    pub socket: u64,
    /// What is sent, not what is received.
    pub sending: bool,
}

/// What one call carried.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'b> {
    /// Bytes that went before it; wraps around.
    pub offset: u32,
    /// Bytes that it had.
    pub len: u32,
    /// The first of them.
    pub bytes: &'b [u8],
    /// Messages are known to begin with it, although what went before was not seen.
    pub in_step: bool,
}

/// What a message's reader says of the bytes that it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// They begin with a message of this many bytes, which may be more than were shown: those are passed over.
    Taken(u64),
    /// The message is not whole.
    More,
    /// Nothing more is wanted of this stream.
    Stop,
}

/// The streams under way.
#[derive(Default)]
pub struct Streams {
    kept: HashMap<Key, Stream>,
    /// In the order of their latest pieces, with the number that each was given.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    number: u64,
    spare: Vec<Vec<u8>>,
}

struct Stream {
    number: u64,
    /// Where the next piece must begin.
    next: u32,
    /// Bytes of it that are passed over.
    skip: u64,
    /// What came and is no whole message.
    held: Vec<u8>,
}

impl Streams {
    /// Shows a stream's messages to `step`, as far as this piece completes them. Where it does not go on where the one
    /// before ended, something was not seen, and the stream is forgotten.
    ///
    /// # Errors
    /// What `step` returns.
    pub fn feed<E>(
        &mut self,
        key: Key,
        piece: Piece<'_>,
        mut step: impl FnMut(&[u8]) -> Result<Step, E>,
    ) -> Result<(), E> {
        let known = self.take(key);
        let mut stream = match known {
            Some(stream) if piece.offset != 0 && stream.next == piece.offset => stream,
            other => {
                self.give_back(other);
                if piece.offset != 0 && !piece.in_step {
                    return Ok(());
                }
                Stream { number: 0, next: 0, skip: 0, held: self.spare.pop().unwrap_or_default() }
            }
        };
        stream.next = piece.offset.wrapping_add(piece.len);
        let goes_on = stream.take_in(piece, &mut step);
        match goes_on {
            Ok(true) => self.put(key, stream),
            _ => self.give_back(Some(stream)),
        }
        goes_on.map(drop)
    }

    fn take(&mut self, key: Key) -> Option<Stream> {
        let stream = self.kept.remove(&key)?;
        self.bytes -= stream.held.len();
        Some(stream)
    }

    fn put(&mut self, key: Key, mut stream: Stream) {
        self.number += 1;
        stream.number = self.number;
        self.bytes += stream.held.len();
        self.kept.insert(key, stream);
        self.order.push_back((key, self.number));
        while self.kept.len() > STREAMS_MAX || self.bytes > BYTES_MAX {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.kept.get(&oldest).is_some_and(|stream| stream.number == number) {
                let gone = self.take(oldest);
                self.give_back(gone);
            }
        }
        // The places in the order of pieces that others followed, once they outnumber the rest.
        if self.order.len() > 2 * self.kept.len() + 1024 {
            let kept = &self.kept;
            self.order.retain(|(key, number)| kept.get(key).is_some_and(|one| one.number == *number));
        }
    }

    fn give_back(&mut self, stream: Option<Stream>) {
        if let Some(mut stream) = stream
            && self.spare.len() < SPARE_MAX
        {
            stream.held.clear();
            self.spare.push(stream.held);
        }
    }
}

impl Stream {
    /// Shows what is whole by now; says whether more is wanted and can be put together.
    fn take_in<E>(
        &mut self,
        piece: Piece<'_>,
        step: &mut impl FnMut(&[u8]) -> Result<Step, E>,
    ) -> Result<bool, E> {
        let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.bytes.len());
        self.skip -= passed as u64;
        let bytes = piece.bytes.get(passed..).unwrap_or_default();
        let wanted = if self.held.is_empty() {
            // Most messages come whole: they are read where they are.
            let used = each(bytes, &mut self.skip, step)?;
            self.held.extend_from_slice(used.and_then(|used| bytes.get(used..)).unwrap_or_default());
            used.is_some()
        } else {
            self.held.extend_from_slice(bytes);
            let used = each(&self.held, &mut self.skip, step)?;
            self.held.drain(..used.unwrap_or_default().min(self.held.len()));
            used.is_some()
        };
        // What the piece had and we don't: it must lie in what is passed over.
        let missing = u64::from(piece.len).saturating_sub(piece.bytes.len() as u64);
        let whole = missing <= self.skip;
        self.skip = self.skip.saturating_sub(missing);
        Ok(wanted && whole && self.held.len() <= HELD_MAX)
    }
}

/// Shows each message that begins in `bytes`; says how many of them are used, `None` where nothing more is wanted.
fn each<E>(
    bytes: &[u8],
    skip: &mut u64,
    step: &mut impl FnMut(&[u8]) -> Result<Step, E>,
) -> Result<Option<usize>, E> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match step(rest)? {
            Step::More => break,
            Step::Stop | Step::Taken(0) => return Ok(None),
            Step::Taken(len) => {
                let here = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
                *skip = len - here as u64;
                rest = rest.get(here..).unwrap_or_default();
            }
        }
    }
    Ok(Some(bytes.len() - rest.len()))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
