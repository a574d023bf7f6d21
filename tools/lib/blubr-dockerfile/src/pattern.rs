//! The patterns of `${name#pattern}`, `%` and `/`: `*`, `?` and plain characters, as in BuildKit's shell lexer.

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
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Char(c),
                    Some(c) => {
                        return Err(format!("\\{} is no escape in a pattern", c.escape_debug()));
                    }
                    None => return Err("a pattern ends with \\".to_owned()),
                },
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// The pattern that matches the same strings backwards.
    fn reversed(&self) -> Self {
        Self { tokens: self.tokens.iter().rev().copied().collect() }
    }

    /// How many characters of `value` the pattern matches from its start, if any. Neither `*` nor `?` matches a newline.
    fn prefix(&self, value: &[char], want: Want) -> Option<usize> {
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
                    return found;
                }
            }
            let Some(&c) = value.get(at) else { break };
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
        found
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
    pub(crate) fn trim_prefix(&self, value: &str, want: Want) -> String {
        let chars: Vec<char> = value.chars().collect();
        let cut = self.prefix(&chars, want).unwrap_or(0);
        chars.iter().skip(cut).collect()
    }

    /// `${name%pattern}` and `%%`.
    pub(crate) fn trim_suffix(&self, value: &str, want: Want) -> String {
        let chars: Vec<char> = value.chars().rev().collect();
        let cut = self.reversed().prefix(&chars, want).unwrap_or(0);
        chars.iter().skip(cut).rev().collect()
    }

    /// `${name/pattern/text}`, and with `all` `${name//pattern/text}`: leftmost longest matches.
    pub(crate) fn replace(
        &self,
        value: &str,
        text: &str,
        all: bool,
        bytes_max: usize,
    ) -> Option<String> {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut done = false;
        // An empty match directly behind a match is not taken (Go's regexp.ReplaceAll).
        let mut after_match = false;
        while at <= chars.len() {
            let found =
                if done { None } else { self.prefix(chars.get(at..).unwrap_or(&[]), Want::Longest) };
            if let Some(len) = found.filter(|len| *len > 0 || !after_match) {
                out.push_str(text);
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
            if out.len() > bytes_max {
                return None;
            }
        }
        (out.len() <= bytes_max).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What bash 5 prints for the same expansions (`v=...; echo "${v#...}"`).
    #[test]
    fn as_a_shell_does() {
        let p = |s: &str| Pattern::new(s).unwrap();
        assert_eq!(p("*/").trim_prefix("a/b/c", Want::Shortest), "b/c");
        assert_eq!(p("*/").trim_prefix("a/b/c", Want::Longest), "c");
        assert_eq!(p("/*").trim_suffix("a/b/c", Want::Shortest), "a/b");
        assert_eq!(p("/*").trim_suffix("a/b/c", Want::Longest), "a");
        assert_eq!(p("?").trim_suffix("abc", Want::Shortest), "ab");
        assert_eq!(p(r"\*").trim_prefix("*x", Want::Shortest), "x");
        assert_eq!(p("x").trim_prefix("abc", Want::Longest), "abc");
        assert_eq!(p("b*").replace("abcb", "-", false, 100).unwrap(), "a-");
        assert_eq!(p("b").replace("abcb", "-", true, 100).unwrap(), "a-c-");
        assert_eq!(p("b").replace("abcb", "-", false, 100).unwrap(), "a-cb");
        assert!(Pattern::new(r"\a").is_err());
        assert!(Pattern::new("\\").is_err());
    }

    #[test]
    fn many_stars_stay_linear() {
        let p = Pattern::new(&"*a".repeat(500)).unwrap();
        assert_eq!(p.trim_prefix(&"a".repeat(5000), Want::Longest), "");
        assert_eq!(p.trim_prefix(&"b".repeat(5000), Want::Longest), "b".repeat(5000));
    }
}
