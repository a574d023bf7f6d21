//! Ids of containers and snapshots, as components of paths.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const IDS: Rule = Rule {
    name: "container-ids",
    what: "a path's component that is a 64-digit hexadecimal id, or buildah's container name, counts as equal",
};

/// Digits of the ids of containers, layers and executions.
const ID_CHARS: usize = 64;

/// `/run/ID/x` to `/run/<id>/x`; only behind a slash, because a bare sum is content.
pub fn take(text: &str) -> Option<String> {
    replace_words(
        text,
        |c| c.is_ascii_alphanumeric(),
        |before, word| {
            if !before.ends_with('/') {
                return None;
            }
            let hex = word.len() == ID_CHARS
                && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            let buildah = word
                .strip_prefix("buildah")
                .is_some_and(|n| n.len() >= 6 && n.bytes().all(|b| b.is_ascii_digit()));
            if hex { Some("<id>".to_owned()) } else { buildah.then(|| "buildah<id>".to_owned()) }
        },
    )
}
