//! What Go's `%q` and `%v` leave in a history line: `["sh" "-c"]`, `[a b]`, `map[80/tcp:{}]`.

/// Reads one Go string literal in double quotes from the front; gives it and what follows. Bytes that make no UTF-8 become
/// U+FFFD.
pub fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = rest.get(c.len_utf8()..)?;
        match c {
            '"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), rest)),
            '\\' => rest = escape(rest, &mut bytes)?,
            c => push(c, &mut bytes),
        }
    }
}

fn push(c: char, bytes: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
}

/// What stands behind a backslash (strconv.Unquote).
fn escape<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let rest = rest.get(c.len_utf8()..)?;
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '"' | '\'' => u8::try_from(c).ok()?,
        'x' | 'u' | 'U' => {
            let digits = match c {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let code = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
            match c {
                'x' => bytes.push(u8::try_from(code).ok()?),
                _ => push(char::from_u32(code)?, bytes),
            }
            return rest.get(digits..);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(rest)
}

/// Reads `["a" "b"]` from the front; gives the strings and what follows.
pub fn strings(text: &str) -> Option<(Vec<String>, &str)> {
    let mut rest = text.strip_prefix('[')?;
    let mut found = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((found, rest));
        }
        if !found.is_empty() {
            rest = rest.strip_prefix(' ')?;
        }
        let (one, after) = quoted(rest)?;
        found.push(one);
        rest = after;
    }
}

/// The inside of `[a b]`.
pub fn bracketed(text: &str) -> Option<&str> {
    text.trim().strip_prefix('[')?.strip_suffix(']')
}

/// The keys of `map[80/tcp:{} 53/udp:{}]`; keys hold no spaces there.
pub fn map_keys(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix("map[")?.strip_suffix(']')?;
    inside.split_whitespace().map(|item| item.strip_suffix(":{}").map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        let (strings, rest) = strings(r#"["/bin/sh" "-c" "a \"b\" \\ \t\x1b é\u00e9"] tail"#).unwrap();
        assert_eq!(strings, ["/bin/sh", "-c", "a \"b\" \\ \t\u{1b} éé"]);
        assert_eq!(rest, " tail");
        assert_eq!(super::strings("[]"), Some((vec![], "")));
        for bad in ["", "[", "[a]", r#"["a"  "b"]"#, r#"["a\q"]"#, r#"["\x"]"#, r#"["a"#] {
            assert_eq!(super::strings(bad), None, "{bad}");
        }
    }

    #[test]
    fn maps_and_lists() {
        assert_eq!(map_keys("map[53/udp:{} 80/tcp:{}]").unwrap(), ["53/udp", "80/tcp"]);
        assert_eq!(map_keys("map[80/tcp]"), None);
        assert_eq!(bracketed("[/v3 /v 4]"), Some("/v3 /v 4"));
    }
}
