//! Canonical JSON: the same statement gives the same bytes; and back, bounded.

use serde_json::error::Category;

use crate::build::File;
use crate::detail::{self, Table};
use crate::lists::{self, Lists};
use crate::statement::{PREDICATE_TYPE, ResourceDescriptor, STATEMENT_TYPE, Statement};

/// The longest statement that is written or read, in bytes. Chosen so that what is longer goes into a file of its own.
pub const STATEMENT_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The most JSON objects and arrays that are read. [`read`] takes some 200 bytes for each; [`read_keeping`] counts exactly.
pub const STATEMENT_NODES_MAX: usize = 400_000;
/// The most memory that the kept lists of a statement may take when it is read with [`read_keeping`], in bytes, without the
/// characters of long strings (of which a statement holds no more than it has bytes).
pub const LISTS_BYTES_MAX: usize = 48 * 1024 * 1024;
/// A statement that is longer, in bytes, is read back before it is given out: readers might not take it.
const TRIED_FROM_BYTES: usize = 4 * 1024 * 1024;
/// The longest string that is read, in bytes of JSON: a Dockerfile of 4 MiB in one instruction, escaped. Longer ones would
/// stand whole in the messages of serde's errors.
pub const STRING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a statement can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would be longer than readers take.
    #[error(
        "the statement would have {bytes} bytes, and readers take {STATEMENT_BYTES_MAX}: move its tables into a file (--detail-to)"
    )]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It would have more entries than readers take.
    #[error(
        "the statement would have {nodes} entries, and readers take {STATEMENT_NODES_MAX}: move its tables into a file (--detail-to)"
    )]
    TooMany {
        /// Objects and arrays in it.
        nodes: usize,
    },
    /// Readers would refuse it.
    #[error("the statement can't be read back ({0}): move its tables into a file (--detail-to)")]
    Unreadable(ReadError),
    /// serde_json refused.
    #[error("the statement can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why bytes are no statement.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Longer than we take.
    #[error("it has {bytes} bytes, more than the {STATEMENT_BYTES_MAX} that a statement may have")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// More entries than we take.
    #[error("it has more than {STATEMENT_NODES_MAX} JSON objects and arrays")]
    TooMany,
    /// A string longer than we take.
    #[error("it has a string of more than {STRING_BYTES_MAX} bytes")]
    LongString,
    /// No JSON at all.
    #[error("it is not JSON: line {line}, column {column}: {what}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// serde_json's words.
        what: String,
    },
    /// JSON of another form.
    #[error("it is not a statement that this version reads: line {line}, column {column}: {what}")]
    Form {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// serde_json's words.
        what: String,
    },
    /// A list that should be in the detail.
    #[error("it names a file that has its tables, and has entries of {table} itself")]
    Twice {
        /// Which list.
        table: &'static str,
    },
    /// A statement, but not ours.
    #[error("its {key} is {found:?}, not {wanted:?}")]
    Type {
        /// `_type` or `predicateType`.
        key: &'static str,
        /// What it says, cut to 100 characters.
        found: String,
        /// What it should say.
        wanted: &'static str,
    },
}

/// The statement's canonical bytes: one line of JSON, keys in the order of the structs, maps sorted, a newline at the end.
/// Where it has a `detail` the lists that are in there are left out.
pub fn write(statement: &Statement) -> Result<Vec<u8>, WriteError> {
    let bytes = line(statement, statement.predicate.blubr_build.detail.is_some())?;
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(WriteError::TooLong { bytes: bytes.len() });
    }
    let nodes = extent(&bytes).nodes;
    if nodes > STATEMENT_NODES_MAX {
        return Err(WriteError::TooMany { nodes });
    }
    if bytes.len() > TRIED_FROM_BYTES {
        let most = Lists::NETWORK.and(Lists::STEPS).and(Lists::PROGRAMS).and(Lists::UNEXPLAINED);
        read_keeping(&bytes, most).map_err(WriteError::Unreadable)?;
    }
    Ok(bytes)
}

/// The statement with every list in its place, however long that is: for people and for jq, not for readers of statements.
pub fn write_whole(statement: &Statement) -> Result<Vec<u8>, WriteError> {
    Ok(line(statement, false)?)
}

fn line(statement: &Statement, moved: bool) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = lists::moved(moved, || serde_json::to_vec(statement))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a statement; keys that aren't known are skipped.
pub fn read(bytes: &[u8]) -> Result<Statement, ReadError> {
    read_within(bytes, Lists::ALL, usize::MAX)
}

/// Reads a statement in little memory: of the lists that can be left out only those of `kept` are filled, and those take at
/// most [`LISTS_BYTES_MAX`]. The form of the others is checked, too.
pub fn read_keeping(bytes: &[u8], kept: Lists) -> Result<Statement, ReadError> {
    read_within(bytes, kept, LISTS_BYTES_MAX)
}

fn read_within(bytes: &[u8], kept: Lists, bytes_max: usize) -> Result<Statement, ReadError> {
    bounded(bytes)?;
    let head: Head = serde_json::from_slice(bytes).map_err(place)?;
    expect("_type", head.kind.as_deref(), STATEMENT_TYPE)?;
    expect("predicateType", head.predicate_type.as_deref(), PREDICATE_TYPE)?;
    let read = lists::with(kept, bytes_max, || serde_json::from_slice(bytes));
    let mut statement: Statement = read.map_err(place)?;
    moved(&mut statement)?;
    Ok(statement)
}

/// Of a statement with a detail: a list is either there or here, and `files` that are there are not `null`.
fn moved(statement: &mut Statement) -> Result<(), ReadError> {
    let Some(detail) = &statement.predicate.blubr_build.detail else { return Ok(()) };
    let mut twice = None;
    detail::lengths(&statement.predicate, |table, _, length| {
        if length > 0 {
            twice = Some(table.name());
        }
    });
    if let Some(table) = twice {
        return Err(ReadError::Twice { table });
    }
    if detail.has(Table::Files) {
        statement.predicate.blubr_build.files.get_or_insert_default();
    }
    Ok(())
}

/// What every in-toto statement says, whatever its predicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What it is about.
    pub subject: Vec<ResourceDescriptor>,
    /// What kind of predicate it has.
    pub predicate_type: String,
    /// When the build ended (RFC 3339), where the predicate has a `metadata.buildFinishedOn`.
    pub finished: Option<String>,
    /// The sums of the log that it was made from and of those that this was filtered out of, where the predicate is ours.
    pub logs: Vec<String>,
}

/// Reads the outline of any in-toto statement, in little memory.
pub fn outline(bytes: &[u8]) -> Result<Outline, ReadError> {
    /// Bytes that subjects may take: some ten thousand of them.
    const SUBJECTS_BYTES_MAX: usize = 16 * 1024 * 1024;
    #[derive(serde::Deserialize)]
    struct Any {
        #[serde(default, deserialize_with = "lists::kept")]
        subject: Vec<ResourceDescriptor>,
        #[serde(rename = "predicateType")]
        predicate_type: String,
        #[serde(default)]
        predicate: Predicate,
    }
    #[derive(Default, serde::Deserialize)]
    struct Predicate {
        #[serde(default)]
        metadata: Metadata,
        #[serde(default)]
        blubr_build: Build,
    }
    #[derive(Default, serde::Deserialize)]
    struct Build {
        #[serde(default)]
        log: LogSums,
    }
    #[derive(Default, serde::Deserialize)]
    struct LogSums {
        #[serde(default)]
        sha256: String,
        #[serde(default)]
        sources: Vec<LogSums>,
    }
    impl LogSums {
        fn put(self, all: &mut Vec<String>) {
            if !self.sha256.is_empty() {
                all.push(self.sha256);
            }
            self.sources.into_iter().for_each(|source| source.put(all));
        }
    }
    #[derive(Default, serde::Deserialize)]
    struct Metadata {
        #[serde(default, rename = "buildFinishedOn")]
        finished: Option<String>,
    }
    bounded(bytes)?;
    let head: Head = serde_json::from_slice(bytes).map_err(place)?;
    expect("_type", head.kind.as_deref(), STATEMENT_TYPE)?;
    let any: Any =
        lists::with(Lists::NONE, SUBJECTS_BYTES_MAX, || serde_json::from_slice(bytes)).map_err(place)?;
    let Any { subject, predicate_type, predicate } = any;
    let mut logs = Vec::new();
    predicate.blubr_build.log.put(&mut logs);
    Ok(Outline { subject, predicate_type, finished: predicate.metadata.finished, logs })
}

/// Refuses what would take too much memory before it is parsed.
fn bounded(bytes: &[u8]) -> Result<(), ReadError> {
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(ReadError::TooLong { bytes: bytes.len() });
    }
    let extent = extent(bytes);
    if extent.nodes > STATEMENT_NODES_MAX {
        return Err(ReadError::TooMany);
    }
    if extent.string_bytes > STRING_BYTES_MAX {
        return Err(ReadError::LongString);
    }
    Ok(())
}

/// Gives away one by one the entries of `predicate.blubr_build.files`, which is the longest list, of a statement that
/// [`read_keeping`] has read. The answer is whether there is a list at all, and not `null`.
pub fn each_file(bytes: &[u8], mut take: impl FnMut(File)) -> Result<bool, ReadError> {
    use serde::de::DeserializeSeed as _;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let path = &["predicate", "blubr_build", "files"];
    let each = lists::Each { path, take: &mut take, entry: std::marker::PhantomData };
    each.deserialize(&mut json).map_err(place)
}

/// The two types, read first so that a statement of another kind is refused by name.
#[derive(serde::Deserialize)]
struct Head {
    #[serde(default, rename = "_type")]
    kind: Option<String>,
    #[serde(default, rename = "predicateType")]
    predicate_type: Option<String>,
}

fn expect(key: &'static str, found: Option<&str>, wanted: &'static str) -> Result<(), ReadError> {
    if found == Some(wanted) {
        return Ok(());
    }
    let found = found.unwrap_or("missing").chars().take(100).collect();
    Err(ReadError::Type { key, found, wanted })
}

/// What parsing will have to allocate for.
struct Extent {
    /// Objects and arrays outside strings.
    nodes: usize,
    /// The longest string.
    string_bytes: usize,
}

fn extent(bytes: &[u8]) -> Extent {
    let mut found = Extent { nodes: 0, string_bytes: 0 };
    let (mut string, mut escaped, mut length) = (false, false, 0);
    for &byte in bytes {
        if string {
            length += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
            found.string_bytes = found.string_bytes.max(length);
        } else if byte == b'"' {
            (string, length) = (true, 0);
        } else if byte == b'{' || byte == b'[' {
            found.nodes += 1;
        }
    }
    found
}

/// Characters of serde's words that are repeated: they may hold a string of the input.
const WORDS_CHARS_MAX: usize = 200;

/// The beginning of a text of the input, or of an error that may repeat some.
pub(crate) fn words(text: &str) -> String {
    text.chars().take(WORDS_CHARS_MAX).collect()
}

fn place(error: serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    // serde_json repeats the place at the end of its message.
    let what = words(text.split(" at line ").next().unwrap_or_default());
    match error.classify() {
        Category::Data => ReadError::Form { line, column, what },
        Category::Io | Category::Syntax | Category::Eof => ReadError::NotJson { line, column, what },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BlubrBuild;
    use crate::statement::{BUILD_TYPE, MONITOR_TYPE, Metadata, Monitor, MonitoredProcess, Predicate};
    use crate::trace::MonitorLog;

    fn statement() -> Statement {
        Statement {
            kind: STATEMENT_TYPE.into(),
            subject: vec![],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                monitor: Monitor { kind: MONITOR_TYPE.into(), config_source: None, trace_policy: None },
                monitored_process: MonitoredProcess {
                    host_id: "urn:x".into(),
                    kind: BUILD_TYPE.into(),
                    event: "e".into(),
                },
                monitor_log: MonitorLog::default(),
                metadata: Metadata::default(),
                blubr_build: BlubrBuild::default(),
            },
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_written_the_same() {
        let bytes = write(&statement()).unwrap();
        assert_eq!(bytes.last(), Some(&b'\n'));
        let again = read(&bytes).unwrap();
        assert_eq!(again, statement());
        assert_eq!(write(&again).unwrap(), bytes);
    }

    #[test]
    fn not_checked_and_nothing_found_differ() {
        let mut found_nothing = statement();
        found_nothing.predicate.blubr_build.unexplained = Some(vec![]);
        let (none, empty) = (write(&statement()).unwrap(), write(&found_nothing).unwrap());
        assert!(String::from_utf8(none.clone()).unwrap().contains("\"unexplained\":null"));
        assert!(String::from_utf8(empty.clone()).unwrap().contains("\"unexplained\":[]"));
        assert_eq!(read(&none).unwrap().predicate.blubr_build.unexplained, None);
        assert_eq!(read(&empty).unwrap().predicate.blubr_build.unexplained, Some(vec![]));
    }

    #[test]
    fn unknown_keys_are_skipped() {
        let text = String::from_utf8(write(&statement()).unwrap()).unwrap();
        let more = text.replacen("{", "{\"later\":[1,{\"x\":null}],", 1).replacen(
            "\"blubr_build\":{",
            "\"blubr_build\":{\"later\":{},",
            1,
        );
        assert_eq!(read(more.as_bytes()).unwrap(), statement());
    }

    #[test]
    fn another_type_is_refused_by_name() {
        let text = String::from_utf8(write(&statement()).unwrap()).unwrap();
        let other = text.replace(PREDICATE_TYPE, "https://slsa.dev/provenance/v1");
        let said = read(other.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("predicateType") && said.contains("slsa.dev"), "{said}");
    }

    /// A statement with something in each list.
    fn full() -> Statement {
        let mut full = statement();
        let touched = || vec![crate::trace::Touched { path: Some("/x".into()), ..Default::default() }];
        let log = &mut full.predicate.monitor_log;
        log.process = vec![Default::default()];
        log.network = vec![Default::default()];
        log.file_access = vec![Default::default()];
        let build = &mut full.predicate.blubr_build;
        let evidence = || vec![crate::build::Evidence { seq: vec![1, 2], ..Default::default() }];
        build.steps = vec![crate::build::Step {
            reads: touched(),
            writes: touched(),
            evidence: evidence(),
            ..Default::default()
        }];
        build.candidates = vec![crate::build::Candidate { evidence: evidence(), ..Default::default() }];
        build.unattributed.writes = touched();
        build.files = Some(vec![File { kind: "file".into(), ..Default::default() }; 3]);
        build.unexplained = Some(vec![Default::default()]);
        full
    }

    #[test]
    fn lists_that_are_not_wanted_come_out_empty() {
        let (full, mut rest) = (full(), full());
        let bytes = write(&full).unwrap();
        assert_eq!(read_keeping(&bytes, Lists::ALL).unwrap(), full);
        let kept = Lists::ALL.without(Lists::READS.and(Lists::FILES));
        rest.predicate.blubr_build.steps[0].reads.clear();
        rest.predicate.blubr_build.files = Some(vec![]);
        assert_eq!(read_keeping(&bytes, kept).unwrap(), rest);
        let build = &mut rest.predicate.blubr_build;
        (build.steps, build.candidates, build.unattributed.writes) = (vec![], vec![], vec![]);
        build.unexplained = Some(vec![]);
        rest.predicate.monitor_log = MonitorLog::default();
        assert_eq!(read_keeping(&bytes, Lists::NONE).unwrap(), rest);
        // The next one is read whole again.
        assert_eq!(read(&bytes).unwrap(), full);
        let mut files = Vec::new();
        assert!(each_file(&bytes, |file| files.push(file)).unwrap());
        assert_eq!(Some(files), full.predicate.blubr_build.files);
        assert!(!each_file(&write(&statement()).unwrap(), |_| {}).unwrap());
    }

    #[test]
    fn a_list_of_another_form_is_an_error_also_where_it_is_not_wanted() {
        let text = String::from_utf8(write(&full()).unwrap()).unwrap();
        for (from, to) in [
            ("\"kind\":\"file\"", "\"kind\":7"),
            ("\"files\":[", "\"files\":7,\"x\":["),
            ("\"reads\":[{\"path\":\"/x\"", "\"reads\":[{\"path\":1"),
            ("\"seq\":[1,2]", "\"seq\":[1,\"\"]"),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text, "{from}");
            let said = read_keeping(other.as_bytes(), Lists::NONE).unwrap_err();
            assert!(matches!(said, ReadError::Form { .. }), "{said}");
        }
    }

    #[test]
    fn little_json_can_not_ask_for_much_memory() {
        let text = String::from_utf8(write(&statement()).unwrap()).unwrap();
        let with = |list: &str| text.replace("\"inherited\":[]", &format!("\"inherited\":[{list}]"));
        let many = vec!["\"\""; LISTS_BYTES_MAX / 48].join(",");
        let said = read_keeping(with(&many).as_bytes(), Lists::NONE).unwrap_err().to_string();
        assert!(said.contains("more memory"), "{said}");
        assert!(read(with(&many).as_bytes()).is_ok());
        assert!(read_keeping(with("\"a\"").as_bytes(), Lists::NONE).is_ok());
        let long = format!("\"{}\"", "x".repeat(STRING_BYTES_MAX + 1));
        assert!(matches!(read(with(&long).as_bytes()), Err(ReadError::LongString)));
        // A string where a number should be stands in serde's words: cut.
        let said = text.replace("\"lost\":0", &format!("\"lost\":\"{}\"", "y".repeat(10_000)));
        let said = read(said.as_bytes()).unwrap_err().to_string();
        assert!(said.len() < 500, "{said}");
    }

    #[test]
    fn chains_of_citations_are_counted() {
        let mut statement = statement();
        let mut chain = None;
        for _ in 0..50 {
            chain = Some(Box::new(crate::build::Cited { cites: chain, ..Default::default() }));
        }
        let step = crate::build::Step {
            evidence: vec![crate::build::Evidence { prior: chain, ..Default::default() }; 100],
            ..Default::default()
        };
        let with = |steps: usize| {
            let mut statement = statement.clone();
            statement.predicate.blubr_build.steps = vec![step.clone(); steps];
            serde_json::to_vec(&statement).unwrap()
        };
        assert!(read_keeping(&with(10), Lists::ALL).is_ok());
        let said = read_keeping(&with(48), Lists::ALL).map(drop).unwrap_err().to_string();
        assert!(said.contains("more memory"), "{said}");
        assert!(read_keeping(&with(48), Lists::NONE).is_ok(), "what isn't kept takes none");
        statement.predicate.blubr_build.steps = vec![step.clone()];
        let bytes = write(&statement).unwrap();
        assert_eq!(read_keeping(&bytes, Lists::ALL).unwrap(), statement);
    }

    #[test]
    fn broken_and_hostile_input_is_an_error() {
        for bytes in [&b""[..], b"{", b"[]", b"null", b"{\"_type\":3}", b"\xff\xfe"] {
            assert!(read(bytes).is_err());
        }
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(read(&deep).is_err());
        let many = [b"[".to_vec(), b"[],".repeat(STATEMENT_NODES_MAX + 1)].concat();
        assert!(matches!(read(&many), Err(ReadError::TooMany)));
    }
}
