//! Quotes removed and variables replaced in one word: BuildKit's `frontend/dockerfile/shell`.

use crate::gotext::{is_digit, is_in_name};
use crate::limits::{EXPANSION_BYTES_MAX, EXPANSION_DEPTH_MAX};
use crate::pattern::{Pattern, Want};

/// Why a word can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote or a brace isn't closed, or what stands in `${...}` is nothing the engines know.
    #[error("{0}")]
    Syntax(String),
    /// `${name:?message}`, and name isn't set.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the file says about it, or "is not allowed to be unset" or "... empty".
        message: String,
    },
    /// The result is larger than [`EXPANSION_BYTES_MAX`], or nested deeper than [`EXPANSION_DEPTH_MAX`].
    #[error(
        "replacing variables gives more than {EXPANSION_BYTES_MAX} bytes or is nested deeper than {EXPANSION_DEPTH_MAX}"
    )]
    TooLarge,
}

/// Replaces `$name`, `${name}` and its forms `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//` in a word, and removes its
/// quotes and escapes. `variable` gives a variable's value; one that isn't set becomes empty. `escape` is the file's escape
/// character.
pub fn expand(word: &str, escape: char, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let rules = Rules { escape, ..Rules::PLAIN };
    Ok(Lexer::new(word, rules, variable).run()?.text)
}

/// Replaces variables as [`expand`] does, and cuts the result at the spaces that aren't quoted: what EXPOSE gets.
pub(crate) fn expand_words(
    word: &str,
    escape: char,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let rules = Rules { escape, ..Rules::PLAIN };
    Ok(Lexer::new(word, rules, variable).run()?.words)
}

/// Replaces variables in the body of a heredoc, where quotes mean nothing and `\` escapes.
pub(crate) fn expand_body(body: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let rules = Rules { skip_quotes: true, ..Rules::PLAIN };
    Ok(Lexer::new(body, rules, variable).run()?.text)
}

/// How a lexer treats what it meets; the names are BuildKit's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) escape: char,
    /// Keep quotes in the result.
    pub(crate) raw_quotes: bool,
    /// Keep escape characters in the result.
    pub(crate) raw_escapes: bool,
    /// Quotes are characters like others.
    pub(crate) skip_quotes: bool,
    /// Leave variables that aren't set as they are written.
    pub(crate) skip_unset: bool,
    /// `<< NAME` is one word, spaces and all.
    pub(crate) heredocs: bool,
}

impl Rules {
    pub(crate) const PLAIN: Self = Self {
        escape: '\\',
        raw_quotes: false,
        raw_escapes: false,
        skip_quotes: false,
        skip_unset: false,
        heredocs: true,
    };
}

/// A word as a whole, and cut at the spaces that aren't quoted.
#[derive(Debug, Default)]
pub(crate) struct Lexed {
    pub(crate) text: String,
    pub(crate) words: Vec<String>,
}

/// The words of one level of nesting. The word being made is not here: BuildKit has one buffer for all levels, so that what
/// stood before a `${a:-b}` in the same word is gone when that has been lexed. Only words show this, not texts.
#[derive(Debug, Default)]
struct Words {
    done: Vec<String>,
    within: bool,
}

type Result<T> = std::result::Result<T, ExpandError>;

fn syntax<T>(what: impl Into<String>) -> Result<T> {
    Err(ExpandError::Syntax(what.into()))
}

/// Walks over one word.
pub(crate) struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    rules: Rules,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// The word being made, of whatever level.
    word: String,
    depth: usize,
    /// Bytes that all expansions together have given: bounds nested repetition.
    spent: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(
        word: &'a str,
        rules: Rules,
        variable: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        // Go's text/scanner drops a byte order mark in front of whatever it reads.
        let word = word.strip_prefix('\u{feff}').unwrap_or(word);
        let chars = word.chars().peekable();
        Self { chars, rules, variable, word: String::new(), depth: 0, spent: 0 }
    }

    /// Lexes the whole word.
    pub(crate) fn run(mut self) -> Result<Lexed> {
        self.until(None, self.rules.raw_escapes)
    }

    /// Up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<Lexed> {
        self.depth += 1;
        if self.depth > EXPANSION_DEPTH_MAX {
            return Err(ExpandError::TooLarge);
        }
        let before = std::mem::replace(&mut self.rules.raw_escapes, raw_escapes);
        let lexed = self.until_inner(stop);
        self.rules.raw_escapes = before;
        self.depth -= 1;
        lexed
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<Lexed> {
        let mut text = String::new();
        let mut words = Words::default();
        self.word.clear();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                self.end_word(&mut words);
                return Ok(Lexed { text, words: words.done });
            }
            match c {
                '\'' | '"' if !self.rules.skip_quotes => {
                    let quoted = if c == '"' { self.double_quoted()? } else { self.single_quoted()? };
                    self.add_raw(&mut words, &quoted);
                    text.push_str(&quoted);
                }
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| self.add(&mut words, c));
                    text.push_str(&value);
                }
                '<' => {
                    let glued = self.possible_heredoc();
                    self.add_raw(&mut words, &glued);
                    text.push_str(&glued);
                }
                _ => {
                    self.chars.next();
                    if c == self.rules.escape {
                        if self.rules.raw_escapes {
                            text.push(c);
                            self.add_raw(&mut words, c.encode_utf8(&mut [0; 4]));
                        }
                        let Some(escaped) = self.chars.next() else {
                            break;
                        };
                        text.push(escaped);
                        self.add_raw(&mut words, escaped.encode_utf8(&mut [0; 4]));
                    } else {
                        text.push(c);
                        self.add(&mut words, c);
                    }
                }
            }
            self.spend(text.len())?;
        }
        if let Some(stop) = stop {
            return syntax(format!("the matching {stop} is missing"));
        }
        self.end_word(&mut words);
        Ok(Lexed { text, words: words.done })
    }

    fn add(&mut self, words: &mut Words, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
            words.within = true;
        } else if words.within && !self.word.is_empty() {
            words.done.push(std::mem::take(&mut self.word));
            words.within = false;
        }
    }

    fn add_raw(&mut self, words: &mut Words, piece: &str) {
        self.word.push_str(piece);
        words.within = true;
    }

    fn end_word(&mut self, words: &mut Words) {
        if !self.word.is_empty() {
            words.done.push(std::mem::take(&mut self.word));
        }
    }

    /// Refuses a text that grew over the limit.
    fn spend(&self, bytes: usize) -> Result<()> {
        if bytes.saturating_add(self.spent) > EXPANSION_BYTES_MAX {
            Err(ExpandError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn single_quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let open = self.chars.next();
        if self.rules.raw_quotes {
            text.extend(open);
        }
        loop {
            match self.chars.next() {
                None => return syntax("a single quote isn't closed"),
                Some('\'') => {
                    if self.rules.raw_quotes {
                        text.push('\'');
                    }
                    return Ok(text);
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let open = self.chars.next();
        if self.rules.raw_quotes {
            text.extend(open);
        }
        loop {
            match self.chars.peek().copied() {
                None => return syntax("a double quote isn't closed"),
                Some('"') => {
                    self.chars.next();
                    if self.rules.raw_quotes {
                        text.push('"');
                    }
                    return Ok(text);
                }
                Some('$') => {
                    text.push_str(&self.dollar()?);
                    self.spend(text.len())?;
                }
                Some(mut c) => {
                    self.chars.next();
                    if c == self.rules.escape {
                        if self.rules.raw_escapes {
                            text.push(c);
                        }
                        match self.chars.peek().copied() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.rules.escape => {
                                self.chars.next();
                                c = next;
                            }
                            Some(_) => {}
                        }
                    }
                    text.push(c);
                }
            }
        }
    }

    /// `<<` with the spaces behind it; a single `<` is nothing special.
    fn possible_heredoc(&mut self) -> String {
        let mut text = String::from("<");
        self.chars.next();
        if !self.rules.heredocs {
            return text;
        }
        if self.chars.next_if_eq(&'<').is_none() {
            return text;
        }
        text.push('<');
        while let Some(space) = self.chars.next_if(|c| matches!(c, ' ' | '\t' | '\r')) {
            text.push(space);
        }
        text
    }

    fn lookup(&mut self, name: &str) -> Result<Option<String>> {
        let value = (self.variable)(name);
        if let Some(value) = &value {
            self.spent = self.spent.saturating_add(value.len());
            self.spend(0)?;
        }
        Ok(value)
    }

    /// A name: letters, digits and `_`; digits only if it begins with one; or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if self.chars.peek().is_some_and(|c| is_digit(*c)) {
            while let Some(c) = self.chars.next_if(|c| is_digit(*c)) {
                name.push(c);
            }
            return name;
        }
        if let Some(c) = self.chars.next_if(|c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!')) {
            return c.to_string();
        }
        while let Some(c) = self.chars.next_if(|c| is_in_name(*c)) {
            name.push(c);
        }
        name
    }

    fn dollar(&mut self) -> Result<String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.lookup(&name)? {
                None if self.rules.skip_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        match self.chars.peek() {
            None => return syntax("the } of ${ is missing"),
            Some('{' | '}' | ':') => return syntax("what stands in ${ } is no variable"),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            Some('}') => Ok(match self.lookup(&name)? {
                None if self.rules.skip_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            // What stands behind the colon is looked at last: of a variable that isn't set it may be anything else.
            Some(':') => match self.chars.next() {
                None | Some('#' | '%') => self.unsupported(),
                Some(c) => self.modified(&name, c, true),
            },
            Some(c @ ('-' | '+' | '?' | '#' | '%')) => self.modified(&name, c, false),
            Some('/') => self.replaced(&name),
            _ => self.unsupported(),
        }
    }

    fn unsupported(&self) -> Result<String> {
        syntax("a modifier in ${ } is one that engines don't know, or its } is missing")
    }

    fn modified(&mut self, name: &str, modifier: char, null_is_unset: bool) -> Result<String> {
        let word = self.until(Some('}'), matches!(modifier, '#' | '%'))?.text;
        let value = self.lookup(name)?;
        if value.is_none() && self.rules.skip_unset {
            let colon = if null_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let set = value.as_ref().filter(|v| !(null_is_unset && v.is_empty()));
        match modifier {
            '-' => Ok(set.cloned().unwrap_or(word)),
            '+' => Ok(if set.is_some() { word } else { String::new() }),
            '?' => set.cloned().ok_or_else(|| {
                let what = if value.is_none() {
                    "is not allowed to be unset"
                } else {
                    "is not allowed to be empty"
                };
                let message = if word.is_empty() { what.to_owned() } else { word };
                ExpandError::Required { name: name.to_owned(), message }
            }),
            trim @ ('#' | '%') => {
                let (want, pattern) = match word.strip_prefix(trim) {
                    Some(rest) => (Want::Longest, rest),
                    None => (Want::Shortest, word.as_str()),
                };
                let value = value.unwrap_or_default();
                if trim == '#' {
                    Pattern::new(pattern)?.trim_prefix(&value, want)
                } else {
                    Pattern::reversed(pattern)?.trim_suffix(&value, want)
                }
            }
            _ => self.unsupported(),
        }
    }

    fn replaced(&mut self, name: &str) -> Result<String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), true)?.text;
        let text = self.until(Some('}'), true)?.text;
        let value = self.lookup(name)?;
        if value.is_none() && self.rules.skip_unset {
            return Ok(format!("${{{name}/{pattern}/{text}}}"));
        }
        let pattern = Pattern::new(&pattern)?;
        pattern.replace(&value.unwrap_or_default(), &text, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x(word: &str) -> std::result::Result<String, ExpandError> {
        expand(word, '\\', &|name| match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            "F" => Some("lib.tar.gz".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn forms() {
        for (word, want) in [
            ("$HOME/x", "/home/me/x"),
            ("${HOME}x", "/home/mex"),
            (r"\$HOME", "$HOME"),
            ("'$HOME'", "$HOME"),
            (r#""$HOME \"q\" \n""#, r#"/home/me "q" \n"#),
            ("${NONE:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE:-${HOME}}", "/home/me"),
            ("${HOME:+y}", "y"),
            ("${EMPTY:+y}", ""),
            ("${EMPTY+y}", "y"),
            ("${HOME:?no}", "/home/me"),
            ("${F%.gz}", "lib.tar"),
            ("${F%%.*}", "lib"),
            ("${F#*.}", "tar.gz"),
            ("${F##*.}", "gz"),
            ("${F/tar/zip}", "lib.zip.gz"),
            ("${F//./-}", "lib-tar-gz"),
            ("a$", "a$"),
            ("$1x", "x"),
            ("$$HOME", "HOME"),
            ("${+x}${%x}", ""),
            ("\u{feff}a", "a"),
            (r"${F//./\$0\$1.\$}", r"lib\.\.\$tar\.\.\$gz"),
            (r"${F/./\$0}", r"lib\$0tar.gz"),
            ("a b", "a b"),
        ] {
            assert_eq!(x(word).as_deref(), Ok(want), "{word}");
        }
    }

    #[test]
    fn errors() {
        for word in [
            "${",
            "${}",
            "${:x}",
            "${HOME",
            "'a",
            "\"a",
            "${HOME^}",
            "${HOME:=x}",
            "${NONE:0:3}",
            "${HOME:}x}",
            "${HOME:#x}",
            "${F/a",
            "${F/a/b",
        ] {
            assert!(matches!(x(word), Err(ExpandError::Syntax(_))), "{word}");
        }
        let e = x("${NONE:?give it}").unwrap_err();
        assert_eq!(e.to_string(), "NONE: give it");
    }

    #[test]
    fn words_lose_what_stood_before_a_modifier() {
        let words = |w: &str| expand_words(w, '\\', &|n| (n == "P").then(|| "1 2".to_owned())).unwrap();
        assert_eq!(words("80 $P"), ["80", "1", "2"]);
        assert_eq!(words("'8 0'$P"), ["8 01", "2"]);
        // BuildKit's lexer has one buffer for all levels.
        assert_eq!(words("80${N:-81}"), ["81"]);
    }

    #[test]
    fn bodies_keep_their_quotes() {
        let body = expand_body("'$A' \"x\" \\$A \\y\n", &|_| Some("v".to_owned()));
        assert_eq!(body.as_deref(), Ok("'v' \"x\" $A y\n"));
    }

    #[test]
    fn hostile_words_end() {
        let nested = "${a:-".repeat(10_000);
        assert_eq!(x(&nested), Err(ExpandError::TooLarge));
        let big = "y".repeat(1000);
        let word = "$A".repeat(5_000);
        assert_eq!(expand(&word, '\\', &|_| Some(big.clone())), Err(ExpandError::TooLarge));
    }

    #[test]
    fn backtick_escapes_where_the_file_says_so() {
        let word = r"C:\dir`$x";
        assert_eq!(expand(word, '`', &|_| None).as_deref(), Ok(r"C:\dir$x"));
    }
}
