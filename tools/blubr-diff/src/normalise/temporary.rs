//! Names that mkstemp(3) and mktemp(1) make up.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const TEMPORARY: Rule = Rule {
    name: "temporary-names",
    what: "random endings of names in /tmp, /var/tmp and /dev/shm (tmp.Qw3rTy12zX, ccAb12Cd.o) count as equal",
};

/// The shortest random part: mkstemp(3) replaces six X.
const RANDOM_CHARS_MIN: usize = 6;

/// The random part of a word in a temporary folder.
pub fn take(text: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    replace_words(text, is_word, |before, word| {
        let folder = before.rsplit([' ', '=', ':', '"', '\'']).next().unwrap_or(before);
        let inside = ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|dir| folder.starts_with(dir));
        if !inside {
            return None;
        }
        // gcc's cc, Python's tmp; else the whole word.
        let fixed = ["cc", "tmp"]
            .into_iter()
            .find(|p| word.starts_with(p) && word.len() >= p.len() + RANDOM_CHARS_MIN);
        let random = word.get(fixed.map_or(0, str::len)..).unwrap_or("");
        is_random(random).then(|| format!("{}<random>", fixed.unwrap_or("")))
    })
}

/// Letters of both cases and digits mixed as a generator mixes them, not as people do (`linux`, `postgresql16`, `Makefile`).
fn is_random(text: &str) -> bool {
    if text.len() < RANDOM_CHARS_MIN {
        return false;
    }
    let inner_upper = text.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    let lower = text.bytes().any(|b| b.is_ascii_lowercase());
    // A digit with a letter behind it: versions stand at the end of a name.
    let inner_digit = text
        .as_bytes()
        .windows(2)
        .any(|w| matches!(w, [d, l] if d.is_ascii_digit() && l.is_ascii_alphabetic()));
    inner_digit || (inner_upper && lower && text.bytes().any(|b| b.is_ascii_digit()))
}
