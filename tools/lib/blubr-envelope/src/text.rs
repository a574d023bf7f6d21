//! Words of others in our messages: one line, cut.

/// Characters of an error of another library that are repeated; it may hold a whole string of the input.
const WORDS_CHARS_MAX: usize = 200;

/// The first line, as far as it is shown.
pub(crate) fn cut(words: &str) -> String {
    words.lines().next().unwrap_or_default().chars().take(WORDS_CHARS_MAX).collect()
}
