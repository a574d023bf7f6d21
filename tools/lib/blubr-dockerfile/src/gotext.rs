//! Text as Go's libraries see it, where Rust's differ: bytes that are not UTF-8, white space, lower case.
//!
//! All engines' parsers are Go programs that walk over bytes; a file that isn't UTF-8, or a letter whose last byte looks
//! like a no-break space, is cut as they cut it.

/// White space at the front of `bytes`: how many bytes it takes, 0 if there is none.
fn space_in_front(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3)).find(|n| bytes.get(..*n).is_some_and(is_one_space)).unwrap_or(0)
}

/// White space at the back of `bytes`, as [`space_in_front`].
fn space_at_back(bytes: &[u8]) -> usize {
    let from = |n: &usize| bytes.get(bytes.len().saturating_sub(*n)..);
    (1..=bytes.len().min(3)).find(|n| from(n).is_some_and(is_one_space)).unwrap_or(0)
}

fn is_one_space(bytes: &[u8]) -> bool {
    let mut chars = std::str::from_utf8(bytes).unwrap_or("").chars();
    chars.next().is_some_and(char::is_whitespace) && chars.next().is_none()
}

/// `bytes.TrimLeftFunc(_, unicode.IsSpace)`.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes.split_at(space_in_front(bytes)) {
            ([], _) => return bytes,
            (_, rest) => bytes = rest,
        }
    }
}

/// `bytes.TrimSpace`.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    loop {
        match bytes.split_at(bytes.len() - space_at_back(bytes)) {
            (_, []) => return bytes,
            (rest, _) => bytes = rest,
        }
    }
}

/// `unicode.IsSpace(rune(b))` for a single byte, which also holds for the last byte of some letters (`à` ends with 0xA0).
pub(crate) fn byte_is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0)
}

/// Each byte that is no part of a character becomes U+FFFD, one by one.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `strings.ToLower`: character by character.
pub(crate) fn lower(text: &str) -> String {
    text.chars().filter_map(|c| c.to_lowercase().next()).collect()
}

/// `unicode.IsDigit`: the decimal digits of all scripts (general category Nd, Unicode 15), each a run of ten or a multiple.
pub(crate) fn is_digit(c: char) -> bool {
    /// First digits of the runs of ten outside of ASCII.
    const ZEROS: [u32; 58] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
        0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
        0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0,
        0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0,
        0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50,
        0x1e140,
    ];
    /// Those that came in blocks of their own: Wancho, Nag Mundari, Adlam, and the five runs of mathematical digits.
    const MORE: [(u32, u32); 5] =
        [(0x1e2f0, 10), (0x1e4f0, 10), (0x1e950, 10), (0x1d7ce, 50), (0x1fbf0, 10)];
    let code = u32::from(c);
    c.is_ascii_digit()
        || (!c.is_ascii()
            && (ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&code))
                || MORE.iter().any(|(zero, count)| (*zero..zero + count).contains(&code))))
}

/// What may stand in a variable's name: `unicode.IsLetter`, a digit, `_`. Rust's "alphabetic" also holds for signs that
/// Unicode counts as marks, numbers and symbols; none of them is a letter in a name that anyone writes, and the commonest
/// (Roman numerals, circled letters, combining marks) are left out here.
pub(crate) fn is_in_name(c: char) -> bool {
    let code = u32::from(c);
    let no_letter = matches!(
        code,
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5c7 | 0x610..=0x61a | 0x64b..=0x65f | 0x670
            | 0x2160..=0x2182 | 0x2185..=0x2188 | 0x24b6..=0x24e9 | 0x3007 | 0x3021..=0x3029
            | 0x3038..=0x303a | 0x1f130..=0x1f149 | 0x1f150..=0x1f169 | 0x1f170..=0x1f189
    );
    c == '_' || is_digit(c) || (c.is_alphabetic() && !no_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_of_all_lengths() {
        assert_eq!(trim("\u{2003}\u{a0} a b\u{3000}\t".as_bytes()), b"a b");
        assert_eq!(trim(b"\xa0a\xa0"), b"\xa0a\xa0");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(trim_start("\u{85}à ".as_bytes()), "à ".as_bytes());
    }

    #[test]
    fn each_stray_byte_is_one_character() {
        assert_eq!(lossy(b"a\xe1\x80b\xff"), "a\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(lossy("a\u{fffd}".as_bytes()), "a\u{fffd}");
    }

    #[test]
    fn lower_case_keeps_the_count() {
        assert_eq!(lower("ENTRYPO\u{130}NT \u{212a}Σ"), "entrypoint kσ");
    }

    #[test]
    fn digits_and_names() {
        assert!(is_digit('٣') && is_digit('7') && !is_digit('²') && !is_digit('Ⅷ'));
        assert!(is_in_name('é') && is_in_name('字') && !is_in_name('Ⅷ') && !is_in_name('-'));
    }
}
