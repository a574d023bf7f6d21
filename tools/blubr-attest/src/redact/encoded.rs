//! Text within text: base64, hexadecimal and percent-encoding undone.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The shortest run that is taken for base64, in characters: six bytes.
const BASE64_CHARS_MIN: usize = 8;
/// The shortest run that is taken for hexadecimal, in characters: six bytes.
const HEX_CHARS_MIN: usize = 12;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A run of a text that may encode something, and what.
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What it may mean; binary is possible.
    pub(super) meanings: Vec<Vec<u8>>,
}

impl Run {
    /// Whether one of its meanings holds `secret`.
    pub(super) fn holds(&self, secret: &str) -> bool {
        self.meanings.iter().any(|bytes| memchr::memmem::find(bytes, secret.as_bytes()).is_some())
    }

    /// Its meanings that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.meanings.iter().filter_map(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// The runs of `text` that may encode something.
pub(super) fn runs(text: &str) -> Vec<Run> {
    let mut found = Vec::new();
    let base64 =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    for Range { start, end } in spans(text, base64) {
        let piece = text.get(start..end).unwrap_or_default();
        if piece.len() >= BASE64_CHARS_MIN {
            push(&mut found, start, piece);
            // `data=aGVsbG8=` and a path before it are no part of it.
            let inner = piece.trim_end_matches('=').rfind(['=', '/']).map(|at| at + 1);
            if let Some(at) = inner
                && piece.len() - at >= BASE64_CHARS_MIN
            {
                push(&mut found, start + at, piece.get(at..).unwrap_or_default());
            }
        }
    }
    let word = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'');
    for Range { start, end } in spans(text, word) {
        let piece = text.get(start..end).unwrap_or_default();
        if let Some(plain) = percent(piece) {
            found.push(Run { start, end, meanings: vec![plain] });
        }
    }
    found
}

fn push(found: &mut Vec<Run>, start: usize, piece: &str) {
    let mut meanings: Vec<Vec<u8>> = Vec::new();
    if let Some(bytes) = hexadecimal(piece) {
        meanings.push(bytes);
    }
    meanings.extend([STANDARD.decode(piece), URL_SAFE.decode(piece)].into_iter().flatten());
    meanings.dedup();
    if !meanings.is_empty() {
        found.push(Run { start, end: start + piece.len(), meanings });
    }
}

fn spans(text: &str, belongs: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut start = None;
    for (at, &byte) in bytes.iter().enumerate() {
        match (belongs(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(begun)) => {
                found.push(begun..at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(begun) = start {
        found.push(begun..bytes.len());
    }
    found
}

fn hexadecimal(piece: &str) -> Option<Vec<u8>> {
    if piece.len() < HEX_CHARS_MIN || !piece.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> =
        piece.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit)).collect())
}

/// `piece` with its percent-encoding undone; `None` when it has none.
pub(super) fn percent(piece: &str) -> Option<Vec<u8>> {
    let bytes = piece.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let (mut out, mut at, mut any) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                any = true;
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    any.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_decoded_each_way_that_fits() {
        let holds = |text: &str, word: &str| runs(text).iter().any(|run| run.holds(word));
        assert!(holds("x=aGVsbG8gd29ybGQ= y", "hello world"));
        assert!(holds("68656c6c6f20776f726c64", "hello world"));
        assert!(holds("hello%20world", "hello world"));
        assert!(!holds("hello world", "hello world"));
        assert_eq!(percent("a%zz%"), None);
    }
}
