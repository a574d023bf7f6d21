//! Process ids in paths below /proc.

use crate::normalise::{Rule, replace_words};

/// The rule.
pub const PIDS: Rule = Rule { name: "pids", what: "the number in /proc/NUMBER counts as equal" };

/// `/proc/123` to `/proc/<pid>`.
pub fn take(text: &str) -> Option<String> {
    replace_words(
        text,
        |c| c.is_ascii_digit(),
        |before, _| before.ends_with("/proc/").then(|| "<pid>".to_owned()),
    )
}
