//! Writes a log, and its chain.

use std::io::{self, Write};

use serde::Serialize;

use crate::chain::Chain;
use crate::record::{Checkpoint, Header, LineMark, Lost, Part, Source, Trailer};
use crate::{CHECKPOINT_LINES, Event, LINE_MAX, Time};

/// A line at which what stands before it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A checkpoint.
    Checkpoint,
    /// The trailer of a part that another follows.
    PartEnd,
    /// The trailer.
    End,
}

/// Called with the output, behind each mark, and with the mark's line.
type AtMark<W> = fn(&mut W, Mark, &[u8]) -> io::Result<()>;

/// Events by type. What comes often moves to the front, where it is found at once.
#[derive(Default)]
struct Counts(Vec<(String, u64)>);

impl Counts {
    fn add(&mut self, type_name: &str) {
        match self.0.iter().position(|(name, _)| name == type_name) {
            Some(at) => {
                if let Some((_, count)) = self.0.get_mut(at) {
                    *count += 1;
                }
                if at > 0 {
                    self.0.swap(at - 1, at);
                }
            }
            None => self.0.push((type_name.to_owned(), 1)),
        }
    }
}

/// Writes the lines of a log and counts them. An event costs no allocation.
///
/// The lines reach `out` as they are written; give it a buffered writer and call [`Writer::flush`].
pub struct Writer<W: Write> {
    out: W,
    chain: Chain,
    line: Vec<u8>,
    since_checkpoint: u64,
    events: u64,
    lost: u64,
    by_type: Counts,
    /// Lost in this part.
    lost_in_part: u64,
    lost_outside_in_part: u64,
    at_mark: Option<AtMark<W>>,
}

impl<W: Write> Writer<W> {
    /// Begins a log with its header.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Writer {
            out,
            chain: Chain::new(),
            line: Vec::with_capacity(4096),
            since_checkpoint: 0,
            events: header.part.as_ref().map_or(0, |part| part.events),
            lost: 0,
            by_type: Counts::default(),
            lost_in_part: 0,
            lost_outside_in_part: 0,
            at_mark: None,
        };
        writer.json(header)?;
        Ok(writer)
    }

    /// Has `done` called whenever a checkpoint or the trailer has been written: to end a compressed frame there, or to copy
    /// the line elsewhere.
    pub fn at_marks(&mut self, done: fn(&mut W, Mark, &[u8]) -> io::Result<()>) {
        self.at_mark = Some(done);
    }

    /// Writes an event, and after every [`CHECKPOINT_LINES`] lines a checkpoint.
    ///
    /// # Errors
    /// What the output returns; `InvalidData` for an event that makes a line longer than [`LINE_MAX`].
    pub fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.line.clear();
        event.write(&mut self.line);
        self.count_event(event.body.type_name());
        self.end_line()
    }

    /// Passes on the text of an event's line as it was read; `type_name` is what it says of its type.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub fn event_line(&mut self, text: &str, type_name: &str) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(text.as_bytes());
        self.count_event(type_name);
        self.end_line()
    }

    /// Says that events were lost.
    ///
    /// # Errors
    /// What the output returns.
    pub fn lost(&mut self, lost: &Lost) -> io::Result<()> {
        self.lost = self.lost.saturating_add(lost.lost);
        self.lost_in_part = self.lost_in_part.saturating_add(lost.lost);
        self.lost_outside_in_part = self.lost_outside_in_part.saturating_add(lost.lost_outside);
        self.json(lost)
    }

    /// Writes a checkpoint now, unless nothing was written since the last.
    ///
    /// # Errors
    /// What the output returns.
    pub fn checkpoint(&mut self) -> io::Result<()> {
        if self.since_checkpoint == 0 {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            r#type: LineMark::Checkpoint.name().to_owned(),
            events: self.events,
            lost: self.lost,
            sha256: self.chain.hex(),
        };
        self.json(&checkpoint)?;
        self.since_checkpoint = 0;
        self.mark(Mark::Checkpoint)
    }

    /// Ends this part with a checkpoint and a trailer, and begins the next with `header`, whose `part` is set here: linked to
    /// this one by its digest. A log that was not begun as a part is the first.
    ///
    /// # Errors
    /// What the output returns.
    pub fn next_part(&mut self, ended: Time, header: &mut Header) -> io::Result<()> {
        self.checkpoint()?;
        let trailer = self.trailer(ended, true, None, Vec::new());
        self.json(&trailer)?;
        self.mark(Mark::PartEnd)?;
        header.part = Some(Part {
            number: header.part.as_ref().map_or(1, |part| part.number).saturating_add(1),
            previous: Some(self.chain.hex()),
            events: self.events,
        });
        self.chain = Chain::new();
        self.since_checkpoint = 0;
        self.json(header)
    }

    /// Lines since the last checkpoint. At [`CHECKPOINT_LINES`] one comes by itself; who has something to say before a
    /// checkpoint, such as losses, sets it earlier.
    pub fn since_checkpoint(&self) -> u64 {
        self.since_checkpoint
    }

    /// Events written so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events lost so far, in all parts.
    pub fn lost_total(&self) -> u64 {
        self.lost
    }

    /// The output, for a copy of each checkpoint or a sync.
    pub fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// Flushes the output.
    ///
    /// # Errors
    /// What the output returns.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the trailer, flushes, and gives the output back.
    ///
    /// # Errors
    /// What the output returns.
    pub fn finish(mut self, ended: Time, exit: Option<i32>, sources: Vec<Source>) -> io::Result<W> {
        let trailer = self.trailer(ended, false, exit, sources);
        self.json(&trailer)?;
        self.mark(Mark::End)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn trailer(
        &mut self,
        ended: Time,
        continued: bool,
        exit: Option<i32>,
        sources: Vec<Source>,
    ) -> Trailer {
        Trailer {
            r#type: LineMark::Trailer.name().to_owned(),
            events: std::mem::take(&mut self.by_type).0.into_iter().collect(),
            lost: std::mem::take(&mut self.lost_in_part),
            lost_outside: std::mem::take(&mut self.lost_outside_in_part),
            ended,
            continued,
            exit,
            sources,
            sha256: self.chain.hex(),
        }
    }

    fn count_event(&mut self, type_name: &str) {
        self.events += 1;
        self.by_type.add(type_name);
    }

    fn mark(&mut self, mark: Mark) -> io::Result<()> {
        match self.at_mark {
            Some(done) => done(&mut self.out, mark, &self.line),
            None => Ok(()),
        }
    }

    fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.write_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.write_line()?;
        if self.since_checkpoint >= CHECKPOINT_LINES { self.checkpoint() } else { Ok(()) }
    }

    fn write_line(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        if self.line.len() > LINE_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a line of the log would be longer than 1 MiB",
            ));
        }
        self.out.write_all(&self.line)?;
        self.chain.update(&self.line);
        self.since_checkpoint += 1;
        Ok(())
    }
}
