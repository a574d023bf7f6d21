//! Exec forms: a JSON array of strings, or something that isn't one and therefore is a shell form.
//!
//! BuildKit asks Go's `encoding/json`, which takes more than other readers do: half a surrogate pair becomes U+FFFD, arrays
//! may be nested 10,000 deep, and a number too large for a float64 makes the whole no JSON at all.

/// `maxNestingDepth` of Go's `encoding/json`.
const DEPTH_MAX: usize = 10_000;

/// What stands behind a keyword that takes a JSON array.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// An array of strings.
    Words(Vec<String>),
    /// An array that holds something else: an error to the engines.
    NotStrings,
    /// Not JSON, or not an array: the engines fall back to the shell form.
    NotAnArray,
}

/// Reads a JSON array (BuildKit's `parseJSON`).
pub(crate) fn json_words(rest: &str) -> Json {
    let rest = rest.trim_start();
    if !rest.starts_with('[') {
        return Json::NotAnArray;
    }
    let mut reader = Reader { text: rest, at: 0, words: Vec::new(), all_strings: true };
    if reader.value().is_none() {
        return Json::NotAnArray;
    }
    reader.space();
    if reader.at < rest.len() {
        return Json::NotAnArray;
    }
    if reader.all_strings { Json::Words(reader.words) } else { Json::NotStrings }
}

/// What may come next inside an array or object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A value, or the end of an array that has just begun.
    ValueOrEnd,
    Value,
    /// A key, or the end of an object that has just begun.
    KeyOrEnd,
    Key,
    CommaOrEnd,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The strings of the outermost array.
    words: Vec<String>,
    all_strings: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Reads the outermost array; what it holds is walked over without recursion.
    fn value(&mut self) -> Option<()> {
        let mut open: Vec<u8> = Vec::new();
        let mut expect = Expect::Value;
        loop {
            self.space();
            let byte = self.peek()?;
            match (expect, byte) {
                (Expect::ValueOrEnd | Expect::CommaOrEnd, b']')
                | (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') => {
                    let opened = open.pop()?;
                    if (opened == b'[') != (byte == b']') {
                        return None;
                    }
                    self.at += 1;
                    if open.is_empty() {
                        return Some(());
                    }
                    expect = Expect::CommaOrEnd;
                }
                (Expect::CommaOrEnd, b',') => {
                    self.at += 1;
                    expect = if open.last() == Some(&b'[') { Expect::Value } else { Expect::Key };
                }
                (Expect::KeyOrEnd | Expect::Key, b'"') => {
                    self.string()?;
                    self.space();
                    self.take(b':')?;
                    expect = Expect::Value;
                }
                (Expect::Value | Expect::ValueOrEnd, b'[' | b'{') => {
                    self.all_strings &= open.is_empty();
                    open.push(byte);
                    if open.len() > DEPTH_MAX {
                        return None;
                    }
                    self.at += 1;
                    expect = if byte == b'[' { Expect::ValueOrEnd } else { Expect::KeyOrEnd };
                }
                (Expect::Value | Expect::ValueOrEnd, _) => {
                    self.scalar(byte, open.len() == 1)?;
                    expect = Expect::CommaOrEnd;
                }
                _ => return None,
            }
        }
    }

    fn scalar(&mut self, first: u8, outermost: bool) -> Option<()> {
        if first == b'"' {
            let word = self.string()?;
            if outermost {
                self.words.push(word);
            }
            return Some(());
        }
        self.all_strings &= !outermost;
        let name = ["true", "false", "null"].into_iter().find(|name| name.bytes().next() == Some(first));
        match name {
            Some(name) => {
                self.text.get(self.at..)?.starts_with(name).then_some(())?;
                self.at += name.len();
                Some(())
            }
            None => self.number(),
        }
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'-').or_else(|| self.take(b'+'));
            self.digits()?;
        }
        let number: f64 = self.text.get(start..self.at)?.parse().ok()?;
        number.is_finite().then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut word = String::new();
        loop {
            let c = self.text.get(self.at..)?.chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(word),
                '\\' => word.push(self.escape()?),
                c if c < ' ' => return None,
                c => word.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let behind = self.at;
                let low = self.text.get(self.at..)?.strip_prefix("\\u").and_then(|_| {
                    self.at += 2;
                    self.hex4()
                });
                match low {
                    Some(low) if (0xdc00..0xe000).contains(&low) => {
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
                    }
                    // The second is read again, by itself.
                    _ => {
                        self.at = behind;
                        char::REPLACEMENT_CHARACTER
                    }
                }
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_strings() {
        assert_eq!(json_words(r#" ["a", "b c" ] "#), Json::Words(vec!["a".into(), "b c".into()]));
        assert_eq!(json_words("[]"), Json::Words(vec![]));
        assert_eq!(json_words("\u{a0}[\"\"]"), Json::Words(vec![String::new()]));
        let escapes = r#"["\u00e9\n\/\"\\\ud83d\ude00\ud83dx\ud83d\u0041"]"#;
        assert_eq!(json_words(escapes), Json::Words(vec!["é\n/\"\\😀\u{fffd}x\u{fffd}A".into()]));
    }

    #[test]
    fn what_is_no_json_is_shell_form() {
        for shell in [
            "['a']",
            r#"["a",]"#,
            "[ -f x ]",
            "echo",
            "[",
            r#"["a"] b"#,
            r#"["a\x"]"#,
            "[\"a\tb\"]",
            r#"["\u12g4"]"#,
            "[01]",
            "[1e999]",
            "[truex]",
            r#"["a" "b"]"#,
            "[}",
            r#"[{"a" 1}]"#,
            r#"[{1:2}]"#,
            "[-]",
            "[1.]",
        ] {
            assert_eq!(json_words(shell), Json::NotAnArray, "{shell}");
        }
    }

    #[test]
    fn other_values_are_errors() {
        for bad in
            ["[1]", "[null]", r#"["a", ["b"]]"#, r#"[{"a": [1, "x"]}]"#, "[-0.5e+3, true]", "[{}]"]
        {
            assert_eq!(json_words(bad), Json::NotStrings, "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded_as_gos() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(json_words(&deep(DEPTH_MAX)), Json::NotStrings);
        assert_eq!(json_words(&deep(DEPTH_MAX + 1)), Json::NotAnArray);
    }
}
