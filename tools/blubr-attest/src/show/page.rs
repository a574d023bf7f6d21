//! The page that `show` prints for people: what of the statement it needs, its parts in their order, and how a line of it is
//! written.

use std::fmt::Write as _;

use blubr_attestation::build::{BlubrBuild, File};
use blubr_attestation::detail::{Detail as Moved, Entry, Filler, List, Table};
use blubr_attestation::{Lists, Statement, path};
use blubr_cli::{Failure, printable};
use blubr_envelope::Opened;

use super::{From, each_file};
use crate::detail::Detail;
use crate::opened;

/// The lists that the page shows; those that it counts only are in `counts`.
const SHOWN: Lists = Lists::NETWORK.and(Lists::STEPS).and(Lists::UNEXPLAINED).and(Lists::EVIDENCE);

/// The tables of a detail that the page shows.
const SHOWN_TABLES: [Table; 5] = [
    Table::Network,
    Table::Steps(List::Network),
    Table::Steps(List::Writes),
    Table::Candidates(List::Writes),
    Table::Unattributed(List::Writes),
];

/// The page of an opened attestation, UTF-8, with the tables that lie in `detail`. Fails, and names the file, where a statement or a
/// detail can't be read.
pub fn of(name: &str, opened: &Opened, detail: From<'_>, color: bool) -> Result<Vec<u8>, Failure> {
    let mut statement = opened::statement(name, opened, SHOWN)?;
    let mut entries = Entries::default();
    if let Some((path, opener)) = detail {
        let mut filler = Filler::default();
        Detail::each_of(path, opener, &mut statement, |record, statement| match record.entry {
            Entry::File(file) => {
                entries.count(&file);
                Ok(())
            }
            _ if SHOWN_TABLES.contains(&record.table) => filler.put(record, statement),
            _ => Ok(()),
        })?;
    } else {
        each_file(name, opened.statement_bytes(), |file| entries.count(&file))?;
    }
    let build = &statement.predicate.blubr_build;
    let mut page = Page::new(build, entries, color);
    page.elsewhere = build.detail.as_ref().filter(|_| detail.is_none());
    Ok(page.whole(&statement, opened).into_bytes())
}

/// How many entries the new layers have.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) all: usize,
    pub(super) of_known_step: usize,
}

impl Entries {
    fn count(&mut self, file: &File) {
        self.all += 1;
        self.of_known_step += usize::from(file.step.is_some());
    }
}

/// The page as it is written.
pub(super) struct Page<'a> {
    pub(super) build: &'a BlubrBuild,
    pub(super) entries: Entries,
    /// The detail that has the tables, where they are not here.
    pub(super) elsewhere: Option<&'a Moved>,
    color: bool,
    pub(super) out: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(build: &'a BlubrBuild, entries: Entries, color: bool) -> Self {
        Self { build, entries, elsewhere: None, color, out: String::new() }
    }

    fn whole(mut self, statement: &Statement, opened: &Opened) -> String {
        self.head(opened);
        self.steps();
        self.connections(&statement.predicate.monitor_log.network);
        self.unexplained();
        self.verdict();
        self.out
    }

    /// One line; everything in it may come from a hostile build.
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(&printable(text.as_ref()));
        self.out.push('\n');
    }

    pub(super) fn title(&mut self, text: &str) {
        let text = if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        let _ = writeln!(self.out, "\n{text}");
    }

    pub(super) fn row(&mut self, name: &str, text: impl AsRef<str>) {
        self.line(format!("  {name:<11} {}", text.as_ref()));
    }
}

/// A path for people; `?` where the statement has none.
pub(super) fn shown(path: Option<&str>, path_b64: Option<&str>) -> String {
    match path::bytes(path, path_b64) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => "?".to_owned(),
    }
}
