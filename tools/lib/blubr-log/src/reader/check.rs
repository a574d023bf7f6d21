//! Whether what was read holds: chain, sequence and counts, part by part.

use super::error::{ReadError, ReadErrorKind, at};
use super::summary::{Cut, Summary};
use crate::chain::Chain;
use crate::line::{Line, LineKind};
use crate::record::{Header, Trailer};
use crate::{LINE_MAX, SCHEMA};

/// Bytes of a line of the shorter ones: room is made for as many lines as bytes may hold.
const SHORT_LINE: usize = 256;

/// Events of these types begin a later part, so that it can be read alone. Where the parts before it are read they say
/// nothing new, and would take from a process what is known of it.
const LISTING: [&str; 2] = ["process.exists", "mount.exists"];

/// Lines, parsed, that borrow from their bytes.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    pub(super) lines: Vec<Line<'a>>,
    /// Why it goes no further.
    pub(super) failed: Option<ReadError>,
}

/// What was checked so far: chain, sequence and counts.
pub(super) struct Check {
    pub(super) header: Header,
    pub(super) header_text: String,
    chain: Chain,
    line: u64,
    /// Events of the recording so far.
    events: u64,
    /// Of those, before what was read.
    events_before: u64,
    /// Of those, before this part.
    events_before_part: u64,
    seq: u64,
    /// Lost events that `lost` lines told of.
    lost: u64,
    /// Of those, before this part.
    lost_before_part: u64,
    /// Lost before what was read, in parts that are not given: as the first checkpoint says.
    lost_unread: Option<u64>,
    /// Line, and events before it, of the last link that holds.
    held: (u64, u64),
    trailer: Option<Trailer>,
    /// The digest of all parts, where there are several; `chain` is this part's.
    whole: Option<Chain>,
    /// This part's number.
    part: u64,
    cut_in_line: bool,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            header: Header::default(),
            header_text: String::new(),
            chain: Chain::new(),
            line: 0,
            events: 0,
            events_before: 0,
            events_before_part: 0,
            seq: 0,
            lost: 0,
            lost_before_part: 0,
            lost_unread: None,
            held: (0, 0),
            trailer: None,
            whole: None,
            part: 1,
            cut_in_line: false,
        }
    }
}

impl Check {
    /// The number of the line that comes next.
    pub(super) fn number(&self) -> u64 {
        self.line + 1
    }

    /// Goes over the first line, with its newline.
    pub(super) fn header(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.admit(line)?;
        let bytes = &line[..line.len() - 1];
        self.header = parse_header(bytes).map_err(|e| at(1, e))?;
        let (number, before) =
            self.header.part.as_ref().map_or((1, 0), |part| (part.number, part.events));
        self.part = number;
        (self.seq, self.events) = (before, before);
        (self.events_before, self.events_before_part) = (before, before);
        self.lost_unread = (number == 1).then_some(0);
        self.held = (0, before);
        self.header_text = String::from_utf8_lossy(bytes).into_owned();
        self.chain.update(line);
        Ok(())
    }

    /// Goes over whole lines, up to what does not hold.
    pub(super) fn all<'a>(&mut self, bytes: &'a [u8]) -> Lines<'a> {
        let mut parsed = Lines { lines: Vec::with_capacity(bytes.len() / SHORT_LINE), failed: None };
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[start..=newline];
            start = newline + 1;
            match self
                .passes_over(line)
                .and_then(|passes| if passes { Ok(None) } else { self.take(line).map(Some) })
            {
                Ok(line) => parsed.lines.extend(line),
                Err(error) => {
                    parsed.failed = Some(error);
                    break;
                }
            }
        }
        parsed
    }

    /// Counts a line that may be there.
    fn admit(&mut self, line: &[u8]) -> Result<(), ReadError> {
        if line.len() > LINE_MAX {
            return Err(at(self.number(), ReadErrorKind::LongLine));
        }
        self.line += 1;
        if self.is_whole() {
            return Err(at(self.line, after_trailer(line)));
        }
        Ok(())
    }

    /// Whether the next line, with its newline, is none to hand out: a later part's header, or what only says again what the parts
    /// before have said. It is done with then.
    pub(super) fn passes_over(&mut self, line: &[u8]) -> Result<bool, ReadError> {
        self.admit(line)?;
        if self.trailer.is_some() {
            self.begin_part(line)?;
        } else if self.whole.is_some() && is_listing(line) {
            self.take(line)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Checks a line, with its newline, and goes on behind it.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Line<'a>, ReadError> {
        let number = self.line;
        let text = std::str::from_utf8(&bytes[..bytes.len() - 1])
            .map_err(|e| at(number, ReadErrorKind::NotUtf8(e.valid_up_to() + 1)))?;
        let kind = LineKind::parse(text).map_err(|e| at(number, ReadErrorKind::Malformed(e)))?;
        match &kind {
            LineKind::Event(event) => {
                let seq = event.head.seq;
                let next = self.seq.checked_add(1);
                let fits =
                    if self.header.filters.is_empty() { next == Some(seq) } else { seq > self.seq };
                if !fits {
                    return Err(at(number, ReadErrorKind::Sequence { before: self.seq, found: seq }));
                }
                self.seq = seq;
                self.events = self.events.saturating_add(1);
            }
            LineKind::Lost(lost) => self.lost = self.lost.saturating_add(lost.lost),
            LineKind::Checkpoint(checkpoint) => {
                check("checkpoint", &self.chain, &checkpoint.sha256, self.held.0)
                    .map_err(|e| at(number, e))?;
                count("checkpoint", checkpoint.events, self.events).map_err(|e| at(number, e))?;
                let unread = *self.lost_unread.get_or_insert(checkpoint.lost.saturating_sub(self.lost));
                let lost = self.lost.saturating_add(unread);
                count_lost("checkpoint", checkpoint.lost, lost).map_err(|e| at(number, e))?;
                self.held = (number, checkpoint.events);
            }
            LineKind::Trailer(trailer) => {
                check("trailer", &self.chain, &trailer.sha256, self.held.0)
                    .map_err(|e| at(number, e))?;
                let total = trailer.events.values().fold(0u64, |sum, n| sum.saturating_add(*n));
                let found = self.events.saturating_sub(self.events_before_part);
                count("trailer", total, found).map_err(|e| at(number, e))?;
                let lost = self.lost.saturating_sub(self.lost_before_part);
                count_lost("trailer", trailer.lost, lost).map_err(|e| at(number, e))?;
                if trailer.continued {
                    self.held = (number, self.events);
                }
                self.trailer = Some(trailer.clone());
            }
        }
        self.chain.update(bytes);
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
        Ok(Line { number, text, kind })
    }

    /// A line, with its newline, follows the trailer of a part: it is the next one's header, or nothing that may be there.
    fn begin_part(&mut self, line: &[u8]) -> Result<(), ReadError> {
        let number = self.part;
        let wrong = |what| at(self.line, ReadErrorKind::Part(number, what));
        let header =
            parse_header(&line[..line.len() - 1]).map_err(|_| wrong("its first line is no header"))?;
        let part = header.part.ok_or_else(|| wrong("it is a log of its own"))?;
        if part.previous.as_deref() != Some(self.chain.hex().as_str()) {
            return Err(wrong("its header names another digest"));
        }
        if Some(part.number) != number.checked_add(1) || part.events != self.events {
            return Err(wrong("its header names another place"));
        }
        self.part = part.number;
        (self.events_before_part, self.lost_before_part) = (self.events, self.lost);
        self.trailer = None;
        let whole = self.whole.get_or_insert_with(|| self.chain.clone());
        whole.update(line);
        self.chain = Chain::new();
        self.chain.update(line);
        Ok(())
    }

    pub(super) fn summary(&self) -> Summary {
        let continued = self.trailer.as_ref().is_some_and(|trailer| trailer.continued);
        let trailer = self.trailer.clone().filter(|_| !continued);
        let cut = trailer.is_none().then_some(Cut {
            events: self.held.1,
            line: self.held.0,
            in_line: self.cut_in_line,
            continued,
        });
        Summary {
            sha256: self.whole.as_ref().unwrap_or(&self.chain).hex(),
            events: self.events.saturating_sub(self.events_before),
            lost: self.lost,
            trailer,
            cut,
        }
    }

    /// The trailer has been read, and nothing may follow it.
    fn is_whole(&self) -> bool {
        self.trailer.as_ref().is_some_and(|trailer| !trailer.continued)
    }

    /// The source has ended: what is left is a line cut in its middle.
    pub(super) fn end(&mut self, rest: &[u8]) -> Result<(), ReadError> {
        if rest.is_empty() || self.cut_in_line {
            return Ok(());
        }
        if self.is_whole() {
            return Err(at(self.number(), ReadErrorKind::AfterTrailer));
        }
        if self.trailer.is_none() {
            self.chain.update(rest);
        } else {
            // The next part's header was cut: it belongs to what was read, not to the part before.
            self.whole.get_or_insert_with(|| self.chain.clone());
        }
        if let Some(whole) = &mut self.whole {
            whole.update(rest);
        }
        self.cut_in_line = true;
        Ok(())
    }
}

/// Whether a line only says again what the parts before have said.
fn is_listing(line: &[u8]) -> bool {
    // Quick, and rarely wrong; what follows is exact.
    if !LISTING.iter().any(|kind| memchr::memmem::find(line, kind.as_bytes()).is_some()) {
        return false;
    }
    let parsed = std::str::from_utf8(line).ok().and_then(|text| LineKind::parse(text.trim_end()).ok());
    let Some(LineKind::Event(event)) = parsed else { return false };
    LISTING.iter().any(|kind| event.head.r#type.text() == Some(kind))
}

/// What is wrong with a line, with its newline, where nothing may be.
fn after_trailer(line: &[u8]) -> ReadErrorKind {
    match parse_header(&line[..line.len() - 1]) {
        Ok(_) => ReadErrorKind::Another,
        Err(_) => ReadErrorKind::AfterTrailer,
    }
}

fn parse_header(bytes: &[u8]) -> Result<Header, ReadErrorKind> {
    #[derive(serde::Deserialize)]
    struct Schema {
        schema: String,
    }
    let no_header = |what: &str| ReadErrorKind::NoHeader(what.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| no_header("it is not UTF-8"))?;
    let schema: Schema = serde_json::from_str(text).map_err(|_| no_header("it has no schema"))?;
    if schema.schema != SCHEMA {
        let shown = schema.schema.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(ReadErrorKind::Schema(shown));
    }
    serde_json::from_str(text).map_err(|e| no_header(&e.to_string()))
}

fn check(what: &'static str, chain: &Chain, said: &str, held: u64) -> Result<(), ReadErrorKind> {
    if chain.hex() == said { Ok(()) } else { Err(ReadErrorKind::Chain(what, held)) }
}

fn count(what: &'static str, said: u64, found: u64) -> Result<(), ReadErrorKind> {
    if said == found { Ok(()) } else { Err(ReadErrorKind::Count(what, said, found)) }
}

fn count_lost(what: &'static str, said: u64, found: u64) -> Result<(), ReadErrorKind> {
    if said == found { Ok(()) } else { Err(ReadErrorKind::Lost(what, said, found)) }
}
