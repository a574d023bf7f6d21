//! Canonical JSON: the same statement gives the same bytes; and back, bounded.

use serde_json::error::Category;

use crate::statement::{PREDICATE_TYPE, STATEMENT_TYPE, Statement};

/// The longest statement that is written or read, in bytes. Chosen so that what is longer goes into a file of its own.
pub const STATEMENT_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The most JSON objects and arrays that are read: a parsed one costs some 200 bytes, so this bounds memory to about 80 MB.
pub const STATEMENT_NODES_MAX: usize = 400_000;

/// Why a statement can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would be longer than readers take.
    #[error(
        "the statement would have {bytes} bytes, and readers take {STATEMENT_BYTES_MAX}: attest one build of the log, or filter it first"
    )]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It would have more entries than readers take.
    #[error(
        "the statement would have {nodes} entries, and readers take {STATEMENT_NODES_MAX}: attest one build of the log, or filter it first"
    )]
    TooMany {
        /// Objects and arrays in it.
        nodes: usize,
    },
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
pub fn write(statement: &Statement) -> Result<Vec<u8>, WriteError> {
    let mut bytes = serde_json::to_vec(statement)?;
    bytes.push(b'\n');
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(WriteError::TooLong { bytes: bytes.len() });
    }
    let nodes = nodes(&bytes);
    if nodes > STATEMENT_NODES_MAX {
        return Err(WriteError::TooMany { nodes });
    }
    Ok(bytes)
}

/// Reads a statement; keys that aren't known are skipped.
pub fn read(bytes: &[u8]) -> Result<Statement, ReadError> {
    if bytes.len() > STATEMENT_BYTES_MAX {
        return Err(ReadError::TooLong { bytes: bytes.len() });
    }
    if nodes(bytes) > STATEMENT_NODES_MAX {
        return Err(ReadError::TooMany);
    }
    let head: Head = serde_json::from_slice(bytes).map_err(place)?;
    expect("_type", head.kind.as_deref(), STATEMENT_TYPE)?;
    expect("predicateType", head.predicate_type.as_deref(), PREDICATE_TYPE)?;
    serde_json::from_slice(bytes).map_err(place)
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

/// Objects and arrays outside strings: what parsing will have to allocate for.
fn nodes(bytes: &[u8]) -> usize {
    let (mut count, mut string, mut escaped) = (0, false, false);
    for &byte in bytes {
        if string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
        } else if byte == b'"' {
            string = true;
        } else if byte == b'{' || byte == b'[' {
            count += 1;
        }
    }
    count
}

fn place(error: serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    // serde_json repeats the place at the end of its message.
    let what = text.split(" at line ").next().unwrap_or_default().to_owned();
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
