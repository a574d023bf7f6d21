//! The patterns of `${name#pattern}`, `%` and `/`: `*`, `?` and plain characters, as in BuildKit's shell lexer.

use crate::expand::ExpandError;
use crate::limits::{EXPANSION_BYTES_MAX, PATTERN_STEPS_MAX};

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Char(char),
}

/// A pattern, ready to be tried.
#[derive(Debug)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
}

/// Which of several matches is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Shortest,
    Longest,
}

impl Pattern {
    /// `\` may stand before `*`, `?`, `\`, `}` and `/` only.
    pub(crate) fn new(text: &str) -> Result<Self, ExpandError> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Char(c),
                    Some(c) => {
                        let what = format!("\\{} is no escape in a pattern", c.escape_debug());
                        return Err(ExpandError::Syntax(what));
                    }
                    None => return Err(ExpandError::Syntax("a pattern ends with \\".to_owned())),
                },
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// The pattern that matches the same strings backwards. It is the text that is turned round, escapes kept before what
    /// they escape, as BuildKit does: a `\` at the very end comes to stand before the last character.
    pub(crate) fn reversed(text: &str) -> Result<Self, ExpandError> {
        let mut pieces: Vec<String> = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let mut piece = c.to_string();
            if c == '\\' {
                piece.extend(chars.next());
            }
            pieces.push(piece);
        }
        pieces.reverse();
        Self::new(&pieces.concat())
    }

    /// How many characters of `value` the pattern matches from its start, if any. Neither `*` nor `?` matches a newline.
    fn prefix(
        &self,
        value: &[char],
        want: Want,
        steps: &mut usize,
    ) -> Result<Option<usize>, ExpandError> {
        // The states of the pattern that are reachable after each character: linear in both lengths.
        let mut states = vec![false; self.tokens.len() + 1];
        let mut next = states.clone();
        if let Some(first) = states.first_mut() {
            *first = true;
        }
        self.follow_stars(&mut states);
        let mut found = None;
        for at in 0..=value.len() {
            if states.last() == Some(&true) {
                found = Some(at);
                if want == Want::Shortest {
                    return Ok(found);
                }
            }
            let Some(&c) = value.get(at) else { break };
            *steps = steps.saturating_add(states.len());
            if *steps > PATTERN_STEPS_MAX {
                return Err(ExpandError::TooLarge);
            }
            next.fill(false);
            for (i, token) in self.tokens.iter().enumerate() {
                if !states.get(i).copied().unwrap_or(false) {
                    continue;
                }
                let to = match token {
                    Token::Star if c != '\n' => i,
                    Token::Any if c != '\n' => i + 1,
                    Token::Char(want) if *want == c => i + 1,
                    _ => continue,
                };
                if let Some(state) = next.get_mut(to) {
                    *state = true;
                }
            }
            self.follow_stars(&mut next);
            std::mem::swap(&mut states, &mut next);
            if !states.contains(&true) {
                break;
            }
        }
        Ok(found)
    }

    /// A `*` may also match nothing.
    fn follow_stars(&self, states: &mut [bool]) {
        for (i, token) in self.tokens.iter().enumerate() {
            if *token == Token::Star
                && states.get(i) == Some(&true)
                && let Some(state) = states.get_mut(i + 1)
            {
                *state = true;
            }
        }
    }

    /// `${name#pattern}` and `##`.
    pub(crate) fn trim_prefix(&self, value: &str, want: Want) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let cut = self.prefix(&chars, want, &mut 0)?.unwrap_or(0);
        Ok(chars.iter().skip(cut).collect())
    }

    /// `${name%pattern}` and `%%`, by the pattern [`Pattern::reversed`].
    pub(crate) fn trim_suffix(&self, value: &str, want: Want) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().rev().collect();
        let cut = self.prefix(&chars, want, &mut 0)?.unwrap_or(0);
        Ok(chars.iter().skip(cut).rev().collect())
    }

    /// `${name/pattern/text}`, and with `all` `${name//pattern/text}`: leftmost longest matches. With `all` the text is a
    /// template to Go's `ReplaceAllString`: `$0` in it is what was matched, other `$name` nothing, `$$` a dollar.
    pub(crate) fn replace(&self, value: &str, text: &str, all: bool) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut done = false;
        let mut steps = 0;
        // An empty match directly behind a match is not taken (Go's regexp.ReplaceAll).
        let mut after_match = false;
        while at <= chars.len() {
            let rest = chars.get(at..).unwrap_or(&[]);
            let found = if done { None } else { self.prefix(rest, Want::Longest, &mut steps)? };
            if let Some(len) = found.filter(|len| *len > 0 || !after_match) {
                let matched: String = rest.iter().take(len).collect();
                out.push_str(&if all { template(text, &matched) } else { text.to_owned() });
                at += len;
                done = !all;
                after_match = true;
                if len > 0 {
                    continue;
                }
            }
            after_match = false;
            out.extend(chars.get(at));
            at += 1;
            if out.len() > EXPANSION_BYTES_MAX {
                return Err(ExpandError::TooLarge);
            }
        }
        if out.len() > EXPANSION_BYTES_MAX { Err(ExpandError::TooLarge) } else { Ok(out) }
    }
}

/// Go's `regexp.Expand` for a pattern without groups.
fn template(text: &str, matched: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        rest = behind;
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let braced = rest.strip_prefix('{');
        let from = braced.unwrap_or(rest);
        let is_name = |c: char| c == '_' || c.is_alphabetic() || c.is_numeric();
        let (name, behind) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        let behind = if braced.is_some() { behind.strip_prefix('}') } else { Some(behind) };
        match behind.filter(|_| !name.is_empty()) {
            Some(behind) => {
                // `00` names a group, but none that is there.
                if name == "0" {
                    out.push_str(matched);
                }
                rest = behind;
            }
            None => out.push('$'),
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    // What bash 5 prints for the same expansions (`v=...; echo "${v#...}"`).
    #[test]
    fn as_a_shell_does() {
        let p = |s: &str| Pattern::new(s).unwrap();
        let front = |s: &str, v: &str, want| p(s).trim_prefix(v, want).unwrap();
        let back = |s: &str, v: &str, want| Pattern::reversed(s).unwrap().trim_suffix(v, want).unwrap();
        assert_eq!(front("*/", "a/b/c", Want::Shortest), "b/c");
        assert_eq!(front("*/", "a/b/c", Want::Longest), "c");
        assert_eq!(back("/*", "a/b/c", Want::Shortest), "a/b");
        assert_eq!(back("/*", "a/b/c", Want::Longest), "a");
        assert_eq!(back("?", "abc", Want::Shortest), "ab");
        assert_eq!(back(r"\*b", "a*b", Want::Shortest), "a");
        assert_eq!(front(r"\*", "*x", Want::Shortest), "x");
        assert_eq!(front("x", "abc", Want::Longest), "abc");
        assert_eq!(p("b*").replace("abcb", "-", false).unwrap(), "a-");
        assert_eq!(p("b").replace("abcb", "-", true).unwrap(), "a-c-");
        assert_eq!(p("b").replace("abcb", "-", false).unwrap(), "a-cb");
        assert!(Pattern::new(r"\a").is_err());
        assert!(Pattern::new("\\").is_err());
    }

    // The documentation of Go's regexp.Expand.
    #[test]
    fn templates() {
        for (text, want) in [
            ("a", "a"),
            ("$0-${0}", "m-m"),
            ("$1x|${1}x", "|x"),
            ("$$0", "$0"),
            ("$", "$"),
            ("$ ${ ${a-b}", "$ ${ ${a-b}"),
            ("$name.", "."),
        ] {
            assert_eq!(template(text, "m"), want, "{text}");
        }
    }

    #[test]
    fn many_stars_stay_linear() {
        let p = Pattern::new(&"*a".repeat(500)).unwrap();
        assert_eq!(p.trim_prefix(&"a".repeat(5000), Want::Longest).unwrap(), "");
        assert_eq!(p.trim_prefix(&"b".repeat(5000), Want::Longest).unwrap(), "b".repeat(5000));
    }

    #[test]
    fn hostile_patterns_end() {
        let p = Pattern::new(&"*a".repeat(30_000)).unwrap();
        assert_eq!(p.trim_prefix(&"a".repeat(60_000), Want::Longest), Err(ExpandError::TooLarge));
        assert_eq!(p.replace(&"b".repeat(60_000), "", true), Err(ExpandError::TooLarge));
    }
}
