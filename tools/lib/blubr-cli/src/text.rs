//! Text from elsewhere, made fit for a terminal.

use std::borrow::Cow;

/// `text` with every control character spelled as Rust would (`\n`, `\u{1b}`), so that a name out of a
/// hostile build can neither break a line nor drive a terminal. Bidirectional overrides count too.
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !harmful(c) => out.push(c),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c => out.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_spelled_and_the_rest_is_kept() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}é"), "a\\u{1b}[2Jb\\nc\\u{202e}é");
        assert!(matches!(printable("plain é"), Cow::Borrowed(_)));
    }
}
