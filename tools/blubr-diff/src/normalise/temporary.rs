//! Names that mkstemp(3) and mktemp(1) make up.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const TEMPORARY: Rule = Rule {
    name: "temporary-names",
    what: "random endings of names in /tmp, /var/tmp and /dev/shm (tmp.Qw3rTy12zX, ccAb12Cd.o) count as equal",
};

/// The shortest random part: mkstemp(3) replaces six X.
const RANDOM_CHARS_MIN: usize = 6;
/// Behind `tmp`: mkstemp(3), and Python's tempfile.
const PYTHON_CHARS: [usize; 2] = [6, 8];
/// Behind `tmp.`: mktemp(1).
const MKTEMP_CHARS: usize = 10;

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
        let is_whole = match fixed {
            Some("cc") => random.len() == RANDOM_CHARS_MIN,
            Some(_) => PYTHON_CHARS.contains(&random.len()),
            None => before.ends_with("tmp.") && random.len() == MKTEMP_CHARS,
        };
        let random = is_random(random) || is_whole && is_mixed(random);
        random.then(|| format!("{}<random>", fixed.unwrap_or("")))
    })
}

/// Where its place and length tell what it is: capitals within, or digits. One of some hundred such names has neither.
fn is_mixed(text: &str) -> bool {
    text.bytes().skip(1).any(|b| b.is_ascii_uppercase()) || text.bytes().any(|b| b.is_ascii_digit())
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
