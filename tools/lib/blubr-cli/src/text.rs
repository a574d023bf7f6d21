//! Text from elsewhere, made fit for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character drives a terminal, ends a line, changes the direction of what stands beside it, or is not to be seen at
/// all: control characters, and those of Unicode's format (Cf) and line and paragraph separators (Zl, Zp).
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` with every character that misleads spelled as Rust would (`\n`, `\u{1b}`), so that a name out of a hostile build
/// can neither break a line nor drive a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !misleads(c) => out.push(c),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c => out.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

/// The same of JSON that is written already, and says what it said: JSON leaves the characters above ASCII's controls raw
/// (RFC 8259, section 7), and only strings hold them.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let raw = |c: char| c >= '\u{7f}' && misleads(c);
    if !json.contains(raw) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if !raw(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A string takes whatever is written to it.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_is_spelled_and_the_rest_is_kept() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}é"), "a\\u{1b}[2Jb\\nc\\u{202e}é");
        assert_eq!(printable("a\u{2028}b\u{9b}c\u{200b}d"), "a\\u{2028}b\\u{9b}c\\u{200b}d");
        assert!(matches!(printable("plain é"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_says_the_same_and_drives_nothing() {
        let said = "a\u{1b}\u{9b}2Jb\u{7f}\u{202e}\u{2028}é\u{e0041}\"\\\n";
        let json = format!("{}\n", serde_json::json!({ said: [said, 1] }));
        let shown = printable_json(&json);
        assert!(!shown.trim_end().contains(misleads), "{shown:?}");
        assert!(shown.contains("\\u009b2Jb\\u007f\\u202e\\u2028é\\udb40\\udc41"), "{shown}");
        let again: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(again, serde_json::json!({ said: [said, 1] }));
        assert!(matches!(printable_json("{\"plain\": \"é\"}\n"), Cow::Borrowed(_)));
    }
}
