//! Times of day in arguments and names.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const TIMES: Rule = Rule {
    name: "times",
    what: "dates with a time (2026-11-24T12:00:00Z) in arguments and paths count as equal",
};

/// `YYYY-MM-DDThh:mm:ss`, with a fraction and a zone or without.
pub fn take(text: &str) -> Option<String> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '+');
    replace_words(text, is_word, |_, word| {
        let head = word.as_bytes().get(..FORM.len())?;
        let matches = head
            .iter()
            .zip(FORM)
            .all(|(byte, form)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form });
        matches.then(|| "<time>".to_owned())
    })
    .or_else(|| {
        // Behind an option's name: `--stamp=...` or `stamp-...`.
        let at = text.match_indices('T').map(|(at, _)| at).find(|at| {
            at.checked_sub(10).and_then(|from| text.as_bytes().get(from..from + FORM.len())).is_some_and(
                |window| {
                    window.iter().zip(FORM).all(|(byte, form)| {
                        if *form == b'd' { byte.is_ascii_digit() } else { byte == form }
                    })
                },
            )
        })?;
        let from = at - 10;
        let tail = text.get(from + FORM.len()..)?;
        let rest =
            tail.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | 'Z' | '+' | ':'));
        Some(format!("{}<time>{rest}", text.get(..from)?))
    })
}
