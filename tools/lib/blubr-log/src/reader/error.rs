//! Why a log can't be read on.

use std::io;

use crate::SCHEMA;

/// What does not hold, and where.
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
    /// What it says was lost is not what its `lost` lines say.
    #[error("the {0} counts {1} lost events, but the `lost` lines before it tell of {2}")]
    Lost(&'static str, u64, u64),
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

/// An error in that line.
pub(super) fn at(line: u64, kind: ReadErrorKind) -> ReadError {
    ReadError { line, kind }
}
