//! Reads a log, asks the selectors, writes what they pass on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use blubr_cli::{Common, Exit, Failure, Input, Output, Spooled};
use blubr_log::{
    Compressed, Filter, LineKind, Lost, ReadError, ReadErrorKind, Reader, Source, Summary, Time, Writer,
};

use crate::TOOL;
use crate::cli::Format;
use crate::output::csv::Table;
use crate::plan::{Filtering, What};
use crate::select::{self, Selector};

/// What can be said of a log that can't be read.
pub(crate) fn unreadable(name: &str, error: &ReadError) -> Failure {
    let failure = Failure::new(&error.kind).at(format_args!("{name}:{}", error.line));
    match &error.kind {
        ReadErrorKind::Io(error) => Failure::io(name, error),
        ReadErrorKind::Empty | ReadErrorKind::Schema(_) | ReadErrorKind::Another => failure,
        ReadErrorKind::NoHeader(_) => failure.advise("name a log that blubr-record wrote"),
        _ => failure.advise("record again, or go back to the log as it was recorded"),
    }
}

/// Filters into a file or standard output.
pub(crate) fn to_output(filtering: Filtering) -> Result<Exit, Failure> {
    let Filtering { log, output, format, mut what, common } = filtering;
    let input = Input::open(log.as_deref())?;
    let name = input.name().to_owned();
    let summary;
    let output = if let Some(asked) = what.build {
        let mut spooled = input.spool()?;
        let chosen = select::choose(asked, &what, &name, &mut spooled)?;
        what.choose(chosen);
        let output = Destination::create(output.as_deref())?;
        let written = write(format, spooled.rewind()?, &name, &mut what, output)?;
        summary = written.summary;
        written.output
    } else {
        let output = Destination::create(output.as_deref())?;
        let written = write(format, input, &name, &mut what, output)?;
        summary = written.summary;
        written.output
    };
    output.commit()?;
    say_cut(&summary, &name, &common);
    Ok(Exit::Done)
}

/// Says of a log without its end how far it still holds.
pub(crate) fn say_cut(summary: &Summary, name: &str, common: &Common) {
    if let Some(cut) = &summary.cut {
        common.note(TOOL, format_args!("{name}: {cut}"));
    }
}

/// Writes in the form that was asked for.
fn write<W: Named>(
    format: Format,
    log: impl Read,
    name: &str,
    what: &mut What,
    output: W,
) -> Result<Written<W>, Failure> {
    if format == Format::Ndjson {
        return filter(log, name, what, output);
    }
    let place = output.place();
    let fail = |error: io::Error| Failure::io(&place, &error);
    let mut reader = Reader::new(log).map_err(|e| unreadable(name, &e))?;
    let mut table = Table::new(output).map_err(fail)?;
    pass(&mut reader, name, what, &mut table, fail)?;
    let output = table.finish().map_err(fail)?;
    Ok(Written { output, summary: reader.summary() })
}

/// A log that can be read again from its beginning.
pub(crate) trait Rewind {
    fn rewind(&mut self) -> Result<&mut File, Failure>;
}

impl Rewind for Spooled {
    fn rewind(&mut self) -> Result<&mut File, Failure> {
        Spooled::rewind(self)
    }
}

/// What filtering has led to.
pub(crate) struct Written<W> {
    pub(crate) output: W,
    pub(crate) summary: Summary,
}

/// A destination that has a name for diagnostics.
pub(crate) trait Named: Write {
    fn place(&self) -> String;

    /// The line just written is a checkpoint or the trailer.
    fn mark(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a filtered log goes; FILE.zst is compressed.
enum Destination {
    Plain(Output),
    Zstd(Compressed<Output>),
}

impl Destination {
    fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let output = Output::create(path)?;
        if path.is_none_or(|path| path.extension().is_none_or(|suffix| suffix != "zst")) {
            return Ok(Destination::Plain(output));
        }
        let name = output.name().to_owned();
        Compressed::new(output).map(Destination::Zstd).map_err(|e| Failure::io(name, &e))
    }

    fn output(&mut self) -> &mut Output {
        match self {
            Destination::Plain(output) => output,
            Destination::Zstd(compressed) => compressed.output(),
        }
    }

    fn commit(mut self) -> Result<(), Failure> {
        let name = self.output().name().to_owned();
        match self {
            Destination::Plain(output) => output.commit(),
            Destination::Zstd(compressed) => {
                compressed.finish().map_err(|e| Failure::io(name, &e))?.commit()
            }
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Plain(output) => output.write(bytes),
            Destination::Zstd(compressed) => compressed.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output().flush()
    }
}

impl Named for Destination {
    fn place(&self) -> String {
        match self {
            Destination::Plain(output) => output.name().to_owned(),
            Destination::Zstd(compressed) => compressed.get().name().to_owned(),
        }
    }

    fn mark(&mut self) -> io::Result<()> {
        match self {
            Destination::Plain(_) => Ok(()),
            Destination::Zstd(compressed) => compressed.seal(),
        }
    }
}

/// Passes on what all selectors select.
pub(crate) fn filter<W: Named>(
    log: impl Read,
    name: &str,
    what: &mut What,
    output: W,
) -> Result<Written<W>, Failure> {
    let place = output.place();
    let fail = |error: std::io::Error| Failure::io(&place, &error);
    let mut reader = Reader::new(log).map_err(|e| unreadable(name, &e))?;
    let mut header = reader.header().clone();
    // The output is one log, whatever the source was.
    header.part = None;
    header.filters.push(Filter { tool: TOOL.to_owned(), args: what.args.clone() });
    let mut writer = Writer::new(output, &header).map_err(fail)?;
    writer.at_marks(|output, _, _| output.mark());
    let last = pass(&mut reader, name, what, &mut writer, fail)?;
    let summary = reader.summary();
    let (ended, exit, source) = end(&summary, writer.events(), last);
    let output = writer.finish(ended, exit, vec![source]).map_err(fail)?;
    Ok(Written { output, summary })
}

/// Takes what is passed on.
pub(crate) trait Taker {
    /// An event's line, as it was.
    fn event(&mut self, line: &str, kind: &str) -> io::Result<()>;

    /// That events were lost.
    fn lost(&mut self, lost: &Lost) -> io::Result<()>;
}

impl<W: Write> Taker for Writer<W> {
    fn event(&mut self, line: &str, kind: &str) -> io::Result<()> {
        self.event_line(line, kind)
    }

    fn lost(&mut self, lost: &Lost) -> io::Result<()> {
        Writer::lost(self, lost)
    }
}

/// Gives what all selectors select to `taker`; says when the last event of the log was.
fn pass(
    reader: &mut Reader<impl Read>,
    name: &str,
    what: &mut What,
    taker: &mut impl Taker,
    fail: impl Fn(io::Error) -> Failure,
) -> Result<Time, Failure> {
    let mut last = reader.header().started;
    while let Some(line) = reader.next_line().map_err(|e| unreadable(name, &e))? {
        match &line.kind {
            LineKind::Event(event) => {
                last = last.max(event.head.time);
                // Each is asked: some must see every event.
                let mut selected = true;
                for selector in &mut what.streaming {
                    selected &= selector.select(event);
                }
                if selected {
                    let kind = event.head.r#type.lossy();
                    taker.event(line.text, &kind).map_err(&fail)?;
                }
            }
            LineKind::Lost(lost) => taker.lost(lost).map_err(&fail)?,
            LineKind::Checkpoint(_) | LineKind::Trailer(_) => {}
        }
    }
    Ok(last)
}

/// What the trailer says: of the source, and when and how the recording ended.
fn end(summary: &Summary, passed: u64, last: Time) -> (Time, Option<i32>, Source) {
    let trailer = summary.trailer.as_ref();
    let exit = trailer.and_then(|trailer| trailer.exit);
    let source = Source {
        sha256: summary.sha256.clone(),
        events: summary.events,
        passed,
        lost: summary.lost,
        complete: trailer.is_some(),
        cut_at: summary.cut.as_ref().map(|cut| cut.events),
        exit,
        sources: trailer.map(|trailer| trailer.sources.clone()).unwrap_or_default(),
    };
    // Of a log that was cut off, what is known is that it went on until its last event.
    (trailer.map_or(last, |trailer| trailer.ended), exit, source)
}

impl Selector for Box<dyn Selector> {
    fn select(&mut self, event: &blubr_log::Event<'_>) -> bool {
        (**self).select(event)
    }
}
