//! The first time over the log: which builds are in it, and what the log is worth.

use blubr_build::{Builds, Finder};
use blubr_cli::{Failure, Spooled};
use blubr_log::{Header, LineKind, ReadError, Reader, Source, Summary, Time};

/// What the first pass gave.
pub struct First {
    /// The log's header.
    pub header: Header,
    /// The builds in it.
    pub builds: Builds,
    /// What it is worth.
    pub summary: Summary,
    /// Time of the first event.
    pub first: Option<Time>,
    /// Time of the last event.
    pub last: Option<Time>,
}

impl First {
    /// The recorded command's exit status: the trailer's, or of a filtered log its source's.
    pub fn command_exit(&self) -> Option<i32> {
        let trailer = self.summary.trailer.as_ref()?;
        trailer.exit.or_else(|| trailer.sources.iter().find_map(exit_of))
    }

    /// The logs that no filter has been over, of a filtered one.
    pub fn innermost(&self) -> Vec<&Source> {
        let mut found = Vec::new();
        for source in self.summary.trailer.iter().flat_map(|trailer| &trailer.sources) {
            innermost(source, &mut found);
        }
        found
    }
}

fn exit_of(source: &Source) -> Option<i32> {
    source.exit.or_else(|| source.sources.iter().find_map(exit_of))
}

fn innermost<'a>(source: &'a Source, found: &mut Vec<&'a Source>) {
    if source.sources.is_empty() {
        found.push(source);
    }
    source.sources.iter().for_each(|inner| innermost(inner, found));
}

/// Goes over the log.
pub fn read(log: &mut Spooled) -> Result<First, Failure> {
    let name = log.name().to_owned();
    let failed = |error: ReadError| unreadable(&name, &error);
    let mut reader = Reader::new(log.rewind()?).map_err(failed)?;
    let header = reader.header().clone();
    let mut finder = Finder::new(&header);
    let (mut first, mut last) = (None, None);
    let read = reader.for_each(|line| match &line.kind {
        LineKind::Event(event) => {
            first.get_or_insert(event.head.time);
            last = Some(event.head.time);
            finder.observe(event);
        }
        LineKind::Lost(lost) => finder.lost(lost),
        LineKind::Checkpoint(_) | LineKind::Trailer(_) => {}
    });
    read.map_err(failed)?;
    let summary = reader.summary();
    let builds = finder.finish().map_err(|error| Failure::new(error).at(&name))?;
    Ok(First { header, builds, summary, first, last })
}

/// A log that can't be read on, with its line.
pub fn unreadable(name: &str, error: &ReadError) -> Failure {
    Failure::new(&error.kind).at(format_args!("{name}:{}", error.line))
}
