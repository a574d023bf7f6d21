//! The detail of a statement: its long tables, moved into a file of their own that the statement names by its sha256.
//!
//! The file is NDJSON: a head that says of which build it is, then one record a line, table by table in the order of
//! [`Table::ALL`], each with the entry as the statement would have had it. Put back where it belongs, each gives the statement
//! that would have been written without the file.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::build::File;
use crate::canonical::{LISTS_BYTES_MAX, words};
use crate::lists::{self, Entry as _, Lists};
use crate::statement::{Predicate, Statement};
use crate::trace::{FileAccess, Network, Process, Touched};

/// `schema` of the file's head.
pub const SCHEMA: &str = "blubr.detail/1";
/// The media type by which the statement names the file.
pub const MEDIA_TYPE: &str = "application/vnd.blubr.detail.v1+ndjson+zstd";
/// The longest detail file, in bytes; it bounds what is decrypted to disk.
pub const FILE_BYTES_MAX: u64 = 4 << 30;
/// Bytes at its beginning that tell whether it is encrypted: a zstd frame begins with 0x28 (RFC 8878, section 3.1.1), which
/// lacks a bit that every packet of OpenPGP has (RFC 9580, section 4.2).
pub const HEAD_BYTES: u64 = 64;
/// The longest line that is read, in bytes: a program whose arguments fill a line of the log (1 MiB), each byte escaped, and
/// the same in base64.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most memory that the records of one file may take that a reader keeps, in bytes.
pub const KEPT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What a statement says of the file that has its long tables: an in-toto ResourceDescriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The file's name, without its folder.
    pub name: String,
    /// `{"sha256": "..."}`: the sum of its bytes, as sha256sum(1) prints it; of an encrypted one, of the bytes within.
    #[serde(deserialize_with = "crate::lists::map")]
    pub digest: BTreeMap<String, String>,
    /// Always [`MEDIA_TYPE`].
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// What it holds.
    pub annotations: Holds,
}

/// What a detail file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// How many records.
    pub records: u64,
    /// How many by table. A list that has its name here is left out of the statement, also where it is empty.
    #[serde(deserialize_with = "crate::lists::map")]
    pub tables: BTreeMap<String, u64>,
}

impl Detail {
    /// Names the file that will have the tables of `statement`; its digest is not known yet.
    pub fn of(statement: &Statement, name: String) -> Self {
        let mut tables: BTreeMap<String, u64> = BTreeMap::new();
        for table in Table::ALL {
            if table != Table::Files || statement.predicate.blubr_build.files.is_some() {
                tables.insert(table.name().to_owned(), 0);
            }
        }
        let count = |table: Table, _: Option<usize>, length: usize| {
            if let Some(count) = tables.get_mut(table.name()) {
                *count += length as u64;
            }
        };
        lengths(&statement.predicate, count);
        let annotations = Holds { records: tables.values().sum(), tables };
        Self { name, digest: BTreeMap::new(), media_type: MEDIA_TYPE.to_owned(), annotations }
    }

    /// The file's sum in hexadecimal; empty where the statement has none.
    pub fn sha256(&self) -> &str {
        self.digest.get("sha256").map_or("", String::as_str)
    }

    /// Whether it has this table.
    pub fn has(&self, table: Table) -> bool {
        self.annotations.tables.contains_key(table.name())
    }
}

/// A list of a step, of a candidate, or of what belongs to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// `processes`.
    Processes,
    /// `network`.
    Network,
    /// `reads`.
    Reads,
    /// `writes`.
    Writes,
}

/// One of the lists that make a statement long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `monitorLog.process`.
    Process,
    /// `monitorLog.network`.
    Network,
    /// `monitorLog.fileAccess`.
    FileAccess,
    /// A list of each of `steps`.
    Steps(List),
    /// A list of each of `candidates`.
    Candidates(List),
    /// A list of `unattributed`.
    Unattributed(List),
    /// `files`.
    Files,
}

impl Table {
    /// Every table, in the order of the file.
    pub const ALL: [Self; 16] = [
        Self::Process,
        Self::Network,
        Self::FileAccess,
        Self::Steps(List::Processes),
        Self::Steps(List::Network),
        Self::Steps(List::Reads),
        Self::Steps(List::Writes),
        Self::Candidates(List::Processes),
        Self::Candidates(List::Network),
        Self::Candidates(List::Reads),
        Self::Candidates(List::Writes),
        Self::Unattributed(List::Processes),
        Self::Unattributed(List::Network),
        Self::Unattributed(List::Reads),
        Self::Unattributed(List::Writes),
        Self::Files,
    ];

    /// What the file and the statement call it: where it stands in the statement.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "monitorLog.process",
            Self::Network => "monitorLog.network",
            Self::FileAccess => "monitorLog.fileAccess",
            Self::Steps(List::Processes) => "steps.processes",
            Self::Steps(List::Network) => "steps.network",
            Self::Steps(List::Reads) => "steps.reads",
            Self::Steps(List::Writes) => "steps.writes",
            Self::Candidates(List::Processes) => "candidates.processes",
            Self::Candidates(List::Network) => "candidates.network",
            Self::Candidates(List::Reads) => "candidates.reads",
            Self::Candidates(List::Writes) => "candidates.writes",
            Self::Unattributed(List::Processes) => "unattributed.processes",
            Self::Unattributed(List::Network) => "unattributed.network",
            Self::Unattributed(List::Reads) => "unattributed.reads",
            Self::Unattributed(List::Writes) => "unattributed.writes",
            Self::Files => "files",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// The file's first line.
#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
    /// The build: the statement's `monitoredProcess.event`.
    event: String,
}

/// A line of the file.
#[derive(Serialize)]
struct Line<'a, T> {
    table: &'static str,
    /// Which of `steps` or `candidates`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<usize>,
    /// The step's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
    entry: &'a T,
}

/// Why the file can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A record is longer than readers take.
    #[error("a record of the table {table} would have {bytes} bytes, and readers take {LINE_BYTES_MAX}")]
    TooLong {
        /// Which table.
        table: &'static str,
        /// Bytes of the line.
        bytes: usize,
    },
    /// serde_json refused.
    #[error("a record can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Gives away the lines of the file that has the tables of `statement`, without their newlines.
///
/// # Errors
/// When a record can't be written, or `take` fails.
pub fn each_line(
    statement: &Statement,
    mut take: impl FnMut(&str) -> io::Result<()>,
) -> Result<(), WriteError> {
    let predicate = &statement.predicate;
    let head = Head { schema: SCHEMA.to_owned(), event: predicate.monitored_process.event.clone() };
    take(&serde_json::to_string(&head)?)?;
    let mut lines = Lines { take: &mut take };
    let (log, build) = (&predicate.monitor_log, &predicate.blubr_build);
    lines.list(Table::Process, None, None, &log.process)?;
    lines.list(Table::Network, None, None, &log.network)?;
    lines.list(Table::FileAccess, None, None, &log.file_access)?;
    for list in [List::Processes, List::Network, List::Reads, List::Writes] {
        for (at, step) in build.steps.iter().enumerate() {
            let did = (&step.processes, &step.network, &step.reads, &step.writes);
            lines.one(Table::Steps(list), list, Some(at), Some(&step.id), did)?;
        }
    }
    for list in [List::Processes, List::Network, List::Reads, List::Writes] {
        for (at, one) in build.candidates.iter().enumerate() {
            let did = (&one.processes, &one.network, &one.reads, &one.writes);
            lines.one(Table::Candidates(list), list, Some(at), None, did)?;
        }
    }
    for list in [List::Processes, List::Network, List::Reads, List::Writes] {
        let rest = &build.unattributed;
        let did = (&rest.processes, &rest.network, &rest.reads, &rest.writes);
        lines.one(Table::Unattributed(list), list, None, None, did)?;
    }
    lines.list(Table::Files, None, None, build.files.as_deref().unwrap_or_default())
}

/// The four lists of one step, candidate, or of what belongs to none.
type Did<'a> = (&'a Vec<Process>, &'a Vec<Network>, &'a Vec<Touched>, &'a Vec<Touched>);

struct Lines<'t, F> {
    take: &'t mut F,
}

impl<F: FnMut(&str) -> io::Result<()>> Lines<'_, F> {
    fn list<T: Serialize>(
        &mut self,
        table: Table,
        at: Option<usize>,
        step: Option<&str>,
        list: &[T],
    ) -> Result<(), WriteError> {
        for entry in list {
            let line = serde_json::to_string(&Line { table: table.name(), at, step, entry })?;
            if line.len() > LINE_BYTES_MAX {
                return Err(WriteError::TooLong { table: table.name(), bytes: line.len() });
            }
            (self.take)(&line)?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        table: Table,
        list: List,
        at: Option<usize>,
        step: Option<&str>,
        (processes, network, reads, writes): Did<'_>,
    ) -> Result<(), WriteError> {
        match list {
            List::Processes => self.list(table, at, step, processes),
            List::Network => self.list(table, at, step, network),
            List::Reads => self.list(table, at, step, reads),
            List::Writes => self.list(table, at, step, writes),
        }
    }
}

/// The length of each list that a detail file takes, with the index of its step or candidate.
pub(crate) fn lengths(predicate: &Predicate, mut take: impl FnMut(Table, Option<usize>, usize)) {
    let (log, build) = (&predicate.monitor_log, &predicate.blubr_build);
    take(Table::Process, None, log.process.len());
    take(Table::Network, None, log.network.len());
    take(Table::FileAccess, None, log.file_access.len());
    let mut four = |table: fn(List) -> Table, at, (processes, network, reads, writes): Did<'_>| {
        take(table(List::Processes), at, processes.len());
        take(table(List::Network), at, network.len());
        take(table(List::Reads), at, reads.len());
        take(table(List::Writes), at, writes.len());
    };
    for (at, one) in build.steps.iter().enumerate() {
        four(Table::Steps, Some(at), (&one.processes, &one.network, &one.reads, &one.writes));
    }
    for (at, one) in build.candidates.iter().enumerate() {
        four(Table::Candidates, Some(at), (&one.processes, &one.network, &one.reads, &one.writes));
    }
    let rest = &build.unattributed;
    let did = (&rest.processes, &rest.network, &rest.reads, &rest.writes);
    four(Table::Unattributed, None, did);
    take(Table::Files, None, build.files.as_ref().map_or(0, Vec::len));
}

/// Why a detail file can't be read, or is not the one that the statement speaks of.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No file of ours.
    #[error("it begins with no head of {SCHEMA}")]
    NoHead,
    /// Of another build.
    #[error("it is of the build {found}, the statement is of {wanted}")]
    OtherBuild {
        /// The file's.
        found: String,
        /// The statement's.
        wanted: String,
    },
    /// A line that is too long.
    #[error("line {0} is longer than {LINE_BYTES_MAX} bytes")]
    LongLine(u64),
    /// A line that is no record.
    #[error("line {line} is no record that this version reads: {what}")]
    NoRecord {
        /// From 1.
        line: u64,
        /// Why.
        what: String,
    },
    /// A record of a step that the statement doesn't have.
    #[error("line {line} is of a step or candidate that the statement doesn't have")]
    NoStep {
        /// From 1.
        line: u64,
    },
    /// Too many or too few records.
    #[error("it has {found} records of the table {table}, the statement says {said}")]
    Count {
        /// Which table.
        table: String,
        /// In the file.
        found: u64,
        /// In the statement.
        said: u64,
    },
    /// More records than the statement says: the rest is not read.
    #[error(
        "line {line} is one more than the {said} records of the table {table} that the statement says"
    )]
    TooMany {
        /// From 1.
        line: u64,
        /// Which table.
        table: &'static str,
        /// In the statement.
        said: u64,
    },
    /// The file is another one than the one that was looked at first.
    #[error("it was changed while it was read: its sum is no longer {0}")]
    Changed(String),
    /// A step's records are not as many as the step counts.
    #[error("it has {found} records of {table} for {whose}, which counts {said}")]
    StepCount {
        /// Which table.
        table: &'static str,
        /// Whose.
        whose: String,
        /// In the file.
        found: u64,
        /// In the statement.
        said: u64,
    },
    /// What is to be kept takes too much memory.
    #[error(
        "its records would take more than the {KEPT_BYTES_MAX} bytes of memory that are spent on them"
    )]
    TooMuch,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Of a list of programs.
    Process(Box<Process>),
    /// Of a list of connections.
    Network(Box<Network>),
    /// Of `fileAccess`.
    Access(Box<FileAccess>),
    /// Of a list of paths.
    Touched(Box<Touched>),
    /// Of `files`.
    File(Box<File>),
}

/// A record of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which table it is of.
    pub table: Table,
    /// Which of `steps` or `candidates`, from 0.
    pub at: Option<usize>,
    /// The entry.
    pub entry: Entry,
    /// What it takes in memory at most, in bytes.
    cost: usize,
}

/// Reads a detail file (decompressed) against the statement that names it: every line must be a record, and there must be as
/// many of each table and each step as the statement counts.
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    said: Said,
    tables: BTreeMap<Table, u64>,
    /// Records of each step's and candidate's lists.
    of: BTreeMap<(Table, usize), u64>,
}

/// What the statement says that the file must agree with.
struct Said {
    holds: Holds,
    steps: Vec<StepSaid>,
    candidates: usize,
}

struct StepSaid {
    id: String,
    reads: u64,
    writes: u64,
}

/// A record, its entry still closed.
#[derive(Deserialize)]
struct Closed<'a> {
    #[serde(borrow)]
    table: std::borrow::Cow<'a, str>,
    #[serde(default)]
    at: Option<usize>,
    #[serde(default, borrow)]
    step: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    entry: &'a RawValue,
}

impl<R: BufRead> Reader<R> {
    /// Reads the head. The statement must have been read with its steps.
    ///
    /// # Errors
    /// When there is none, or the file is of another build.
    pub fn new(input: R, detail: &Detail, statement: &Statement) -> Result<Self, ReadError> {
        let build = &statement.predicate.blubr_build;
        let step = |step: &crate::build::Step| StepSaid {
            id: step.id.clone(),
            reads: step.counts.reads,
            writes: step.counts.writes,
        };
        let said = Said {
            holds: detail.annotations.clone(),
            steps: build.steps.iter().map(step).collect(),
            candidates: build.candidates.len(),
        };
        let (tables, of) = (BTreeMap::new(), BTreeMap::new());
        let mut reader = Self { input, line: Vec::new(), number: 0, said, tables, of };
        let head = reader.next_line()?.then(|| serde_json::from_slice::<Head>(&reader.line).ok());
        let head = head.flatten().filter(|head| head.schema == SCHEMA).ok_or(ReadError::NoHead)?;
        let wanted = &statement.predicate.monitored_process.event;
        if head.event != *wanted {
            let (found, wanted) = (words(&head.event), words(wanted));
            return Err(ReadError::OtherBuild { found, wanted });
        }
        Ok(reader)
    }

    /// The next record; at the end the counts are compared.
    ///
    /// # Errors
    /// When a line is no record, or the file holds other records than the statement says.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        if !self.next_line()? {
            self.compare()?;
            return Ok(None);
        }
        let line = self.number;
        let refused = |what: String| ReadError::NoRecord { line, what: words(&what) };
        let closed: Closed<'_> =
            serde_json::from_slice(&self.line).map_err(|error| refused(error.to_string()))?;
        let table = Table::named(&closed.table)
            .ok_or_else(|| refused(format!("there is no table {}", closed.table)))?;
        let id = closed.step.as_deref();
        let fits = match (table, closed.at) {
            (Table::Steps(_), Some(at)) => {
                id.is_some() && self.said.steps.get(at).map(|step| step.id.as_str()) == id
            }
            (Table::Candidates(_), Some(at)) => at < self.said.candidates,
            (Table::Steps(_) | Table::Candidates(_), None) => false,
            (_, at) => at.is_none(),
        };
        if !fits {
            return Err(ReadError::NoStep { line });
        }
        let said = self.said.holds.tables.get(table.name()).copied().unwrap_or(0);
        if self.tables.get(&table).is_some_and(|found| *found >= said) || said == 0 {
            return Err(ReadError::TooMany { line, table: table.name(), said });
        }
        let (entry, size) = open(table, closed.entry).map_err(|error| refused(error.to_string()))?;
        let record = Record { table, at: closed.at, entry, cost: size.saturating_add(self.line.len()) };
        *self.tables.entry(table).or_default() += 1;
        if let Some(at) = record.at {
            *self.of.entry((table, at)).or_default() += 1;
        }
        Ok(Some(record))
    }

    fn next_line(&mut self) -> Result<bool, ReadError> {
        self.line.clear();
        self.number += 1;
        let limit = LINE_BYTES_MAX as u64 + 1;
        let got = self.input.by_ref().take(limit + 1).read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(ReadError::LongLine(self.number));
        }
        Ok(got > 0)
    }

    fn compare(&self) -> Result<(), ReadError> {
        let holds = &self.said.holds;
        let mut all = 0_u64;
        for table in Table::ALL {
            let found = self.tables.get(&table).copied().unwrap_or(0);
            let said = holds.tables.get(table.name()).copied().unwrap_or(0);
            if found != said {
                return Err(ReadError::Count { table: table.name().to_owned(), found, said });
            }
            all += found;
        }
        if all != holds.records {
            let table = "all".to_owned();
            return Err(ReadError::Count { table, found: all, said: holds.records });
        }
        for (at, step) in self.said.steps.iter().enumerate() {
            let counts = [(List::Reads, step.reads), (List::Writes, step.writes)];
            for (list, said) in counts {
                let table = Table::Steps(list);
                let found = self.of.get(&(table, at)).copied().unwrap_or(0);
                if found != said {
                    let (table, whose) = (table.name(), format!("the step {}", words(&step.id)));
                    return Err(ReadError::StepCount { table, whose, found, said });
                }
            }
        }
        Ok(())
    }
}

fn open(table: Table, entry: &RawValue) -> Result<(Entry, usize), serde_json::Error> {
    let text = entry.get();
    lists::with(Lists::ALL, LISTS_BYTES_MAX, || {
        Ok(match table {
            Table::Process
            | Table::Steps(List::Processes)
            | Table::Candidates(List::Processes)
            | Table::Unattributed(List::Processes) => {
                let process: Box<Process> = serde_json::from_str(text)?;
                let words = process.argv.len().saturating_add(process.argv_b64.len());
                (
                    Entry::Process(process),
                    Process::COST.saturating_add(words.saturating_mul(String::COST)),
                )
            }
            Table::Network
            | Table::Steps(List::Network)
            | Table::Candidates(List::Network)
            | Table::Unattributed(List::Network) => {
                (Entry::Network(serde_json::from_str(text)?), Network::COST)
            }
            Table::FileAccess => (Entry::Access(serde_json::from_str(text)?), FileAccess::COST),
            Table::Steps(_) | Table::Candidates(_) | Table::Unattributed(_) => {
                (Entry::Touched(serde_json::from_str(text)?), Touched::COST)
            }
            Table::Files => (Entry::File(serde_json::from_str(text)?), File::COST),
        })
    })
}

/// Puts records back into a statement, as far as there is memory for them.
pub struct Filler {
    left: usize,
}

impl Default for Filler {
    fn default() -> Self {
        Self { left: KEPT_BYTES_MAX }
    }
}

impl Filler {
    /// Counts one that is kept elsewhere.
    ///
    /// # Errors
    /// When too much has been kept already.
    pub fn charge(&mut self, record: &Record) -> Result<(), ReadError> {
        self.left = self.left.checked_sub(record.cost).ok_or(ReadError::TooMuch)?;
        Ok(())
    }

    /// Puts one where it belongs.
    ///
    /// # Errors
    /// When too much has been kept already.
    pub fn put(&mut self, record: Record, statement: &mut Statement) -> Result<(), ReadError> {
        self.charge(&record)?;
        let predicate = &mut statement.predicate;
        let (log, build) = (&mut predicate.monitor_log, &mut predicate.blubr_build);
        let at = record.at.unwrap_or(usize::MAX);
        match (record.table, record.entry) {
            (Table::Process, Entry::Process(it)) => log.process.push(*it),
            (Table::Network, Entry::Network(it)) => log.network.push(*it),
            (Table::FileAccess, Entry::Access(it)) => log.file_access.push(*it),
            (Table::Steps(list), entry) => {
                if let Some(step) = build.steps.get_mut(at) {
                    let did =
                        (&mut step.processes, &mut step.network, &mut step.reads, &mut step.writes);
                    push(did, list, entry);
                }
            }
            (Table::Candidates(list), entry) => {
                if let Some(one) = build.candidates.get_mut(at) {
                    let did = (&mut one.processes, &mut one.network, &mut one.reads, &mut one.writes);
                    push(did, list, entry);
                }
            }
            (Table::Unattributed(list), entry) => {
                let rest = &mut build.unattributed;
                let did = (&mut rest.processes, &mut rest.network, &mut rest.reads, &mut rest.writes);
                push(did, list, entry);
            }
            (Table::Files, Entry::File(it)) => build.files.get_or_insert_default().push(*it),
            // `open` gives each table its own kind of entry.
            (Table::Process | Table::Network | Table::FileAccess | Table::Files, _) => {}
        }
        Ok(())
    }
}

type DidMut<'a> =
    (&'a mut Vec<Process>, &'a mut Vec<Network>, &'a mut Vec<Touched>, &'a mut Vec<Touched>);

fn push((processes, network, reads, writes): DidMut<'_>, list: List, entry: Entry) {
    match (list, entry) {
        (List::Processes, Entry::Process(it)) => processes.push(*it),
        (List::Network, Entry::Network(it)) => network.push(*it),
        (List::Reads, Entry::Touched(it)) => reads.push(*it),
        (List::Writes, Entry::Touched(it)) => writes.push(*it),
        // `open` gives each table its own kind of entry.
        _ => {}
    }
}
