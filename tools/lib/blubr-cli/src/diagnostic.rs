//! One line on standard error, whether or not somebody reads it.

use std::fmt::Display;
use std::io::Write as _;

use crate::text::printable;

/// Says one line on standard error, after the tool's name. That nobody listens any more (a closed pipe, a full disk) takes
/// nothing from the work: eprintln would panic, and end a recording.
pub fn say(tool: &str, what: impl Display) {
    let line = format!("{tool}: {}\n", printable(&what.to_string()));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
