//! Parser directives: the `# name=value` lines at the very top of a file.

use crate::dialect::Dialect;
use crate::error::{ParseError, excerpt};
use crate::gotext::parse_bool;

/// One directive, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`, in lower case.
    pub name: String,
    /// What stands behind the `=`, without spaces around it.
    pub value: String,
    /// 1-based line.
    pub line: usize,
}

/// Reads directives until the first line that is none, as BuildKit's `possibleParserDirective`.
#[derive(Debug)]
pub(crate) struct Directives {
    dialect: Dialect,
    done: bool,
    pub(crate) found: Vec<Directive>,
    pub(crate) escape: char,
}

impl Directives {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, done: false, found: Vec::new(), escape: '\\' }
    }

    /// Looks at one line (left-trimmed, without newline).
    pub(crate) fn line(&mut self, text: &str, number: usize) -> Result<(), ParseError> {
        if self.done {
            return Ok(());
        }
        let Some((name, value)) =
            split_directive(text).filter(|(name, _)| self.dialect.knows_directive(name))
        else {
            self.done = true;
            return Ok(());
        };
        if self.found.iter().any(|d| d.name == name) {
            let what = format!("a second {name} directive");
            return Err(ParseError::new(number, 1, what, "leave one out"));
        }
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => {
                    let what = format!("\"{}\" can't be the escape character", excerpt(other));
                    return Err(ParseError::new(number, 1, what, "take \\ or `"));
                }
            };
        }
        let value = value.to_owned();
        self.found.push(Directive { name, value, line: number });
        Ok(())
    }
}

/// `# name = value` into its two parts: a name of letters and digits that begins with a letter, and a value. Where nothing
/// but white space stands behind the `=`, its last character is the value (BuildKit's `directiveRegexp`).
fn split_directive(text: &str) -> Option<(String, &str)> {
    const SPACES: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
    let rest = text.strip_prefix('#')?.trim_start();
    let (name, behind) = rest.split_once('=')?;
    let name = name.trim_end_matches(SPACES);
    let mut chars = name.chars();
    let named = chars.next()?.is_ascii_alphabetic() && chars.all(|c| c.is_ascii_alphanumeric());
    let value = match behind.trim_matches(SPACES) {
        "" => behind.char_indices().next_back().and_then(|(at, _)| behind.get(at..))?,
        value => value,
    };
    named.then(|| (name.to_ascii_lowercase(), value))
}

/// Whether a check directive says what BuildKit knows (`linter.ParseLintOptions`): at most three options.
pub(crate) fn is_check(value: &str) -> bool {
    value.splitn(3, ';').all(|option| match option.split_once('=') {
        Some((name, value)) => match name.trim() {
            "skip" | "experimental" => true,
            "error" => parse_bool(value.trim()).is_some(),
            _ => false,
        },
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_check() {
        for good in ["skip=all", "skip=A, B;error=true", " error = 1 ; experimental=all;skip=X", "skip="]
        {
            assert!(is_check(good), "{good}");
        }
        for bad in
            ["bogus", "error=maybe", "skip=A;more=1", "skip=A;", "skip=A;error=1;experimental=all;x"]
        {
            assert_eq!(is_check(bad), bad.ends_with(";x"), "{bad}");
        }
    }

    fn read(dialect: Dialect, lines: &[&str]) -> (Vec<String>, char) {
        let mut d = Directives::new(dialect);
        for (i, line) in lines.iter().enumerate() {
            d.line(line, i + 1).unwrap();
        }
        (d.found.iter().map(|d| format!("{}={}", d.name, d.value)).collect(), d.escape)
    }

    #[test]
    fn names_are_lowered_and_spaces_dropped() {
        let (found, escape) =
            read(Dialect::BuildKit, &["#  Syntax = docker/dockerfile:1 ", "# ESCAPE=`", "FROM a"]);
        assert_eq!(found, ["syntax=docker/dockerfile:1", "escape=`"]);
        assert_eq!(escape, '`');
    }

    #[test]
    fn a_comment_or_an_unknown_name_ends_them() {
        for first in ["# just words", "# unknown=1", "# syntax=", "# syn-tax=a", "", "FROM a"] {
            assert_eq!(read(Dialect::BuildKit, &[first, "# escape=`"]).1, '\\', "{first}");
        }
    }

    #[test]
    fn buildah_stops_at_a_syntax_line() {
        let lines = ["# syntax=docker/dockerfile:1", "# escape=`"];
        assert_eq!(read(Dialect::Docker20, &lines).1, '`');
        assert_eq!(read(Dialect::Buildah, &lines).1, '\\');
    }

    #[test]
    fn twice_or_nonsense_is_an_error() {
        let mut d = Directives::new(Dialect::BuildKit);
        d.line("# escape=`", 1).unwrap();
        assert_eq!(d.line("# escape=`", 2).unwrap_err().line, 2);
        assert!(Directives::new(Dialect::BuildKit).line("# escape=x", 1).is_err());
        assert!(Directives::new(Dialect::BuildKit).line("# escape=  ", 1).is_err());
    }
}
