//! Why a tool ends: one line that says what, where, and what to do.

use std::fmt;
use std::io;

use crate::exit::Exit;
use crate::text::printable;

/// What standard output is called in a diagnostic.
pub(crate) const STDOUT: &str = "standard output";

/// The end of a tool that could not do what it was asked: `build.ndjson:17: what is wrong: what to do`.
#[derive(Debug)]
pub struct Failure {
    /// The exit status it leads to.
    pub exit: Exit,
    place: Option<String>,
    what: String,
    advice: Option<String>,
    closed_pipe: bool,
}

impl Failure {
    /// Trouble (exit 2): `what` is wrong.
    pub fn new(what: impl fmt::Display) -> Self {
        Failure {
            exit: Exit::Trouble,
            place: None,
            what: what.to_string(),
            advice: None,
            closed_pipe: false,
        }
    }

    /// The answer is "no" (exit 1).
    pub fn no(what: impl fmt::Display) -> Self {
        Failure { exit: Exit::No, ..Failure::new(what) }
    }

    /// Trouble with reading or writing `place`. A closed pipe on standard output ends a tool quietly.
    pub fn io(place: impl fmt::Display, error: &io::Error) -> Self {
        let failure = Failure::new(error).at(place);
        let stdout = failure.place.as_deref() == Some(STDOUT);
        Failure { closed_pipe: stdout && error.kind() == io::ErrorKind::BrokenPipe, ..failure }
    }

    /// Trouble with `place`, which need not stand in front again where `what` begins with it, or with the part of it that is a
    /// file or a host.
    pub fn with(place: &str, what: impl fmt::Display) -> Self {
        let failure = Failure::new(what);
        let first = failure.what.split(": ").next().unwrap_or_default().trim_matches('\'');
        let is_named = !first.is_empty() && place.contains(first);
        if is_named { failure } else { failure.at(place) }
    }

    /// Where: an input, or `input:line`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl fmt::Display) -> Self {
        self.advice = Some(advice.to_string());
        self
    }

    /// With another exit status.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Whether the reader of our output has gone away, which is no error.
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}: ", printable(place))?;
        }
        f.write_str(&printable(&self.what))?;
        if let Some(advice) = &self.advice {
            write!(f, ": {}", printable(advice))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_once() {
        for (what, told) in [
            ("oci:dir: no such image", "oci:dir: no such image"),
            ("dir: no layout", "dir: no layout"),
            ("'oci:dir:tag': is no name", "'oci:dir:tag': is no name"),
            ("the config is cut: at 7", "oci:dir:tag: the config is cut: at 7"),
            ("", "oci:dir:tag: "),
        ] {
            assert_eq!(Failure::with("oci:dir:tag", what).to_string(), told);
        }
    }

    #[test]
    fn it_is_one_line_whatever_is_in_it() {
        let failure = Failure::new("no\nsuch \u{1b}thing").at("a\nb:3").advise("look");
        assert_eq!(failure.to_string(), "a\\nb:3: no\\nsuch \\u{1b}thing: look");
    }
}
