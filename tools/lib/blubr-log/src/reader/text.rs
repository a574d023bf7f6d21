//! The bytes of a log, by lines. Memory is bounded by one line, whatever the source holds.

use std::io::{self, Read};
use std::ops::Range;

use super::error::ReadErrorKind;
use crate::LINE_MAX;
use crate::frames::Plain;

/// Bytes asked of the source at a time.
const CHUNK: usize = 1 << 18;

/// The bytes of a log, by lines.
pub(super) struct Text<R: Read> {
    source: Plain<R>,
    pub(super) buffer: Vec<u8>,
    /// Start of what was not handed out yet.
    start: usize,
    ended: bool,
}

impl<R: Read> Text<R> {
    pub(super) fn new(source: R) -> io::Result<Self> {
        Ok(Text { source: Plain::new(source)?, buffer: Vec::new(), start: 0, ended: false })
    }

    /// What was not handed out.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Where in the buffer the next line is, with its newline; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<Range<usize>>, ReadErrorKind> {
        let mut scanned = self.start;
        loop {
            if let Some(newline) = memchr::memchr(b'\n', &self.buffer[scanned..]) {
                let line = self.start..scanned + newline + 1;
                self.start = line.end;
                return Ok(Some(line));
            }
            scanned = self.buffer.len() - self.start;
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// The lines that are there, or come with the next bytes; `None` at the end. They are in a buffer that takes the place of
    /// `used`.
    pub(super) fn whole_lines(&mut self, mut used: Vec<u8>) -> Result<Option<Vec<u8>>, ReadErrorKind> {
        let mut scanned = self.start;
        loop {
            if let Some(newline) = memchr::memrchr(b'\n', &self.buffer[scanned..]) {
                let end = scanned + newline + 1;
                used.clear();
                used.extend_from_slice(&self.buffer[end..]);
                self.buffer.truncate(end);
                self.buffer.drain(..self.start);
                self.start = 0;
                return Ok(Some(std::mem::replace(&mut self.buffer, used)));
            }
            scanned = self.buffer.len() - self.start;
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// Lets go of what was handed out, and gets more behind the rest; whether there is more.
    fn more(&mut self) -> Result<bool, ReadErrorKind> {
        if self.rest().len() > LINE_MAX {
            return Err(ReadErrorKind::LongLine);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while !self.ended {
            let filled = self.buffer.len();
            self.buffer.resize(filled + CHUNK, 0);
            let got = self.source.read(&mut self.buffer[filled..]);
            self.buffer.truncate(filled + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => self.ended = true,
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(false)
    }
}
