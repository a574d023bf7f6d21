//! What is wrong with a Dockerfile, and where.

/// Why a file is not a Dockerfile that the engines would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ParseError {
    /// 1-based line: where the word in question stands, which may be below the instruction's first line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What is wrong, in words; without line breaks or other control characters.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl ParseError {
    pub(crate) fn new(
        line: usize,
        column: usize,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { line, column, what: what.into(), advice }
    }
}

/// How far an engine gets with a file that has a flaw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It can only be meant otherwise.
    Wrong,
    /// A flag that BuildKit doesn't have today: another version may.
    UnknownFlag,
    /// A bare keyword, or a file without FROM: a piece of a Dockerfile, which can be parsed and not built.
    Unfinished,
}

/// What the engines refuse after the parser has passed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What, and where.
    pub error: ParseError,
    /// Of which kind.
    pub weight: Weight,
}

/// A flaw at a place of the joined line, before that is a line and a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Byte offset into the joined line.
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) advice: &'static str,
    pub(crate) weight: Weight,
}

impl Flaw {
    pub(crate) fn new(at: usize, what: impl Into<String>, advice: &'static str) -> Self {
        Self { at, what: what.into(), advice, weight: Weight::Wrong }
    }

    pub(crate) fn weighs(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }
}

/// Where the pieces of a joined line stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places(Vec<Piece>);

/// From byte `at` of the joined line on, what stands from `line` and `column` on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    at: usize,
    line: usize,
    column: usize,
}

impl Places {
    pub(crate) fn begin(&mut self, at: usize, line: usize, column: usize) {
        self.0.push(Piece { at, line, column });
    }

    /// Line and column of a byte of `joined`.
    pub(crate) fn of(&self, joined: &str, at: usize) -> (usize, usize) {
        let Some(piece) = self.0.iter().rev().find(|p| p.at <= at) else {
            return (1, 1);
        };
        let before = joined.get(piece.at..at.min(joined.len())).unwrap_or("");
        (piece.line, piece.column + before.chars().count())
    }
}

/// A piece of the file for a message: escaped, and cut so that a hostile line can't fill the screen.
pub(crate) fn excerpt(text: &str) -> String {
    /// Characters of the input that a message repeats.
    const EXCERPT_CHARS_MAX: usize = 60;
    let mut shown: String = text.chars().take(EXCERPT_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(EXCERPT_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
