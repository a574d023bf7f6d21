//! Reads a log that may come from anyone, and says what it is worth.

mod check;
mod error;
mod summary;
mod text;

use std::io::Read;

use check::{Check, Lines};
use error::at;
use text::Text;

use crate::ahead;
use crate::line::Line;
use crate::record::Header;

pub use error::{ReadError, ReadErrorKind};
pub use summary::{Cut, Summary};

/// Reads a log line by line; also the parts of one, one behind the other (as cat(1) gives them). Memory is bounded by one line, whatever the input holds.
///
/// The chain, the counts and the sequence are checked on the way; the first thing that does not hold
/// ends the reading with an error. A log that merely stops is not an error: [`Summary::cut`] tells.
pub struct Reader<R: Read> {
    text: Text<R>,
    check: Check,
}

impl<R: Read> Reader<R> {
    /// Reads the header of a log, which may be compressed with zstd.
    ///
    /// # Errors
    /// When the source is empty, is no log, or is of another version.
    pub fn new(source: R) -> Result<Self, ReadError> {
        let mut text = Text::new(source).map_err(|e| at(1, e.into()))?;
        let mut check = Check::default();
        match text.line().map_err(|e| at(1, e))? {
            Some(range) => check.header(&text.buffer[range])?,
            None if text.rest().is_empty() => return Err(at(1, ReadErrorKind::Empty)),
            None => return Err(at(1, ReadErrorKind::NoHeader("it has no end".to_owned()))),
        }
        Ok(Reader { text, check })
    }

    /// The header; of parts, the first one's.
    pub fn header(&self) -> &Header {
        &self.check.header
    }

    /// The header's line as it was read, without the newline.
    pub fn header_text(&self) -> &str {
        &self.check.header_text
    }

    /// The next line after the header; `None` at the end.
    ///
    /// # Errors
    /// The first thing that does not hold; the reader is of no use after it.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        loop {
            let next = self.check.number();
            let Some(range) = self.text.line().map_err(|e| at(next, e))? else {
                self.check.end(self.text.rest())?;
                return Ok(None);
            };
            if !self.check.passes_over(&self.text.buffer[range.clone()])? {
                return self.check.take(&self.text.buffer[range]).map(Some);
            }
        }
    }

    /// What the log was worth. Call it when [`Reader::next_line`] has returned `None`.
    pub fn summary(&self) -> Summary {
        self.check.summary()
    }
}

impl<R: Read + Send> Reader<R> {
    /// Gives each line that follows to `see`, while another thread reads, checks and parses those behind it: a few pieces of
    /// 256 KiB, or of a line that is longer, are in memory at a time.
    ///
    /// # Errors
    /// The first thing that does not hold, once `see` has had the lines before it; the reader is of no use after it.
    pub fn for_each(&mut self, mut see: impl FnMut(&Line<'_>)) -> Result<(), ReadError> {
        let (text, check) = (&mut self.text, &mut self.check);
        ahead::run(
            |used: Option<Parsed>| {
                let used = used.map(Parsed::into_owner).unwrap_or_default();
                match text.whole_lines(used) {
                    Ok(Some(bytes)) => Ok(Some(Parsed::new(bytes, |bytes| check.all(bytes)))),
                    Ok(None) => check.end(text.rest()).map(|()| None),
                    Err(kind) => Err(at(check.number(), kind)),
                }
            },
            |parsed| {
                parsed.borrow_dependent().lines.iter().for_each(&mut see);
                parsed.with_dependent_mut(|_, lines| lines.failed.take()).map_or(Ok(()), Err)
            },
        )
    }
}

self_cell::self_cell! {
    /// Whole lines and what they say.
    struct Parsed {
        owner: Vec<u8>,
        #[covariant]
        dependent: Lines,
    }
}
