//! Reads a log that may come from anyone, and says what it is worth.

use std::io::{self, Read};
use std::ops::Range;

use crate::ahead;
use crate::chain::Chain;
use crate::frames::Plain;
use crate::line::{Line, LineKind};
use crate::record::{Header, Trailer};
use crate::{LINE_MAX, SCHEMA};

/// Bytes asked of the source at a time.
const CHUNK: usize = 1 << 18;
/// Bytes of a line of the shorter ones: room is made for as many lines as bytes may hold.
const SHORT_LINE: usize = 256;

/// Why a log can't be read on.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ReadError {
    /// Line where it happened, from 1.
    pub line: u64,
    /// What happened.
    pub kind: ReadErrorKind,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum ReadErrorKind {
    /// The source failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("is empty: a log begins with a header line")]
    Empty,
    /// The first line is no header.
    #[error("is not a blubr log: its first line is no header ({0})")]
    NoHeader(String),
    /// It is of another version.
    #[error("has the schema `{0}`: this version reads `{SCHEMA}`; use the version that wrote it")]
    Schema(String),
    /// A line is too long.
    #[error("a line longer than 1 MiB, which no recorder writes")]
    LongLine,
    /// A line is not UTF-8.
    #[error("a line that is not UTF-8 (at its byte {0})")]
    NotUtf8(usize),
    /// A line is not what it should be.
    #[error("not a line of a log: {0}")]
    Malformed(serde_json::Error),
    /// Events are missing or doubled.
    #[error("event {found} follows event {before}: events were taken out, put in or moved")]
    Sequence {
        /// The number before.
        before: u64,
        /// The number found.
        found: u64,
    },
    /// A line's hash does not fit the bytes before it.
    #[error(
        "the {0} does not fit the bytes before it: they were changed after line {1} (the last link that holds)"
    )]
    Chain(&'static str, u64),
    /// A line's counts do not fit the lines before it.
    #[error("the {0} counts {1}, but {2} are there")]
    Count(&'static str, u64, u64),
    /// What follows a part is not the next.
    #[error("what follows part {0} is not part {next} of this recording ({1}): give all its parts, in order", next = .0.saturating_add(1))]
    Part(u64, &'static str),
    /// Another log follows the trailer.
    #[error(
        "another recording begins here: give the parts of one at a time (the first of one has no `previous` in its header)"
    )]
    Another,
    /// Bytes follow the trailer.
    #[error("bytes after the trailer: something was appended")]
    AfterTrailer,
}

/// Where a log was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Events up to the last checkpoint: what the chain still proves.
    pub events: u64,
    /// Line of that checkpoint; 0 where there is none.
    pub line: u64,
    /// Whether the last line was cut in its middle.
    pub in_line: bool,
    /// It is a part that ended as it should; what was cut off are the parts that follow.
    pub continued: bool,
}

/// Says how far the log still holds.
impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.continued {
            return f.write_str("goes on in another part: give all parts, in order, as cat(1) does");
        }
        f.write_str("was cut off, it has no trailer: ")?;
        if self.line == 0 {
            return f.write_str("no checkpoint proves any of it");
        }
        write!(f, "its chain holds up to event {} (the checkpoint in line {})", self.events, self.line)
    }
}

/// What a log was worth, once read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of all its bytes, in hexadecimal (of the lines, where it was compressed); of parts, of one behind the other.
    pub sha256: String,
    /// Its events, with those of a later part's beginning that are not handed out.
    pub events: u64,
    /// Events that the recorder lost.
    pub lost: u64,
    /// Its trailer, of parts the last one's; `None` for one cut off.
    pub trailer: Option<Trailer>,
    /// Where it was cut off.
    pub cut: Option<Cut>,
}

/// Events of these types begin a later part, so that it can be read alone. Where the parts before it are read they say
/// nothing new, and would take from a process what is known of it.
const LISTING: [&str; 2] = ["process.exists", "mount.exists"];

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

/// The bytes of a log, by lines.
struct Text<R: Read> {
    source: Plain<R>,
    buffer: Vec<u8>,
    /// Start of what was not handed out yet.
    start: usize,
    ended: bool,
}

impl<R: Read> Text<R> {
    fn new(source: R) -> io::Result<Self> {
        Ok(Text { source: Plain::new(source)?, buffer: Vec::new(), start: 0, ended: false })
    }

    /// What was not handed out.
    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Where in the buffer the next line is, with its newline; `None` at the end.
    fn line(&mut self) -> Result<Option<Range<usize>>, ReadErrorKind> {
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
    fn whole_lines(&mut self, mut used: Vec<u8>) -> Result<Option<Vec<u8>>, ReadErrorKind> {
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

/// Lines, parsed, that borrow from their bytes.
#[derive(Debug)]
struct Lines<'a> {
    lines: Vec<Line<'a>>,
    /// Why it goes no further.
    failed: Option<ReadError>,
}

self_cell::self_cell! {
    /// Whole lines and what they say.
    struct Parsed {
        owner: Vec<u8>,
        #[covariant]
        dependent: Lines,
    }
}

/// What was checked so far: chain, sequence and counts.
struct Check {
    header: Header,
    header_text: String,
    chain: Chain,
    line: u64,
    /// Events of the recording so far.
    events: u64,
    /// Of those, before what was read.
    events_before: u64,
    /// Of those, before this part.
    events_before_part: u64,
    seq: u64,
    lost: u64,
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
            header: unread_header(),
            header_text: String::new(),
            chain: Chain::new(),
            line: 0,
            events: 0,
            events_before: 0,
            events_before_part: 0,
            seq: 0,
            lost: 0,
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
    fn number(&self) -> u64 {
        self.line + 1
    }

    /// Goes over the first line, with its newline.
    fn header(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.admit(line)?;
        let bytes = &line[..line.len() - 1];
        self.header = parse_header(bytes).map_err(|e| at(1, e))?;
        let (number, before) =
            self.header.part.as_ref().map_or((1, 0), |part| (part.number, part.events));
        self.part = number;
        (self.seq, self.events) = (before, before);
        (self.events_before, self.events_before_part) = (before, before);
        self.held = (0, before);
        self.header_text = String::from_utf8_lossy(bytes).into_owned();
        self.chain.update(line);
        Ok(())
    }

    /// Goes over whole lines, up to what does not hold.
    fn all<'a>(&mut self, bytes: &'a [u8]) -> Lines<'a> {
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
    fn passes_over(&mut self, line: &[u8]) -> Result<bool, ReadError> {
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
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Line<'a>, ReadError> {
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
                self.held = (number, checkpoint.events);
            }
            LineKind::Trailer(trailer) => {
                check("trailer", &self.chain, &trailer.sha256, self.held.0)
                    .map_err(|e| at(number, e))?;
                let total = trailer.events.values().fold(0u64, |sum, n| sum.saturating_add(*n));
                let found = self.events.saturating_sub(self.events_before_part);
                count("trailer", total, found).map_err(|e| at(number, e))?;
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
        self.events_before_part = self.events;
        self.trailer = None;
        let whole = self.whole.get_or_insert_with(|| self.chain.clone());
        whole.update(line);
        self.chain = Chain::new();
        self.chain.update(line);
        Ok(())
    }

    fn summary(&self) -> Summary {
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
    fn end(&mut self, rest: &[u8]) -> Result<(), ReadError> {
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

fn at(line: u64, kind: ReadErrorKind) -> ReadError {
    ReadError { line, kind }
}

fn check(what: &'static str, chain: &Chain, said: &str, held: u64) -> Result<(), ReadErrorKind> {
    if chain.hex() == said { Ok(()) } else { Err(ReadErrorKind::Chain(what, held)) }
}

fn count(what: &'static str, said: u64, found: u64) -> Result<(), ReadErrorKind> {
    if said == found { Ok(()) } else { Err(ReadErrorKind::Count(what, said, found)) }
}

fn unread_header() -> Header {
    Header {
        r#type: String::new(),
        schema: String::new(),
        tool: crate::Tool { name: String::new(), version: String::new() },
        started: crate::Time(0),
        host: crate::Host {
            kernel: String::new(),
            arch: String::new(),
            boot_id: String::new(),
            machine_id_hash: None,
            cgroup: String::new(),
            resolvers: Vec::new(),
        },
        backend: String::new(),
        hooks: Vec::new(),
        not_covered: Vec::new(),
        scope: String::new(),
        command: None,
        truncated: Vec::new(),
        command_pid: None,
        part: None,
        filters: Vec::new(),
    }
}
