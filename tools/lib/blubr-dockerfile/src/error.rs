//! What is wrong with a Dockerfile, and where.

/// Why a file is not a Dockerfile that the engines would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ParseError {
    /// 1-based line; of an instruction over several lines the first.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What is wrong, in words; without line breaks or other control characters.
    pub what: String,
}

impl ParseError {
    pub(crate) fn new(line: usize, column: usize, what: impl Into<String>) -> Self {
        Self { line, column, what: what.into() }
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
