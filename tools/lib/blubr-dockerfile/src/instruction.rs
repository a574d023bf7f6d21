//! One instruction: its keyword, flags and words, as the engines' parsers cut them.

use serde::Serialize;

use crate::error::excerpt;
use crate::heredoc::Heredoc;
use crate::words::{
    Json, first_word, json_words, name_values, plain_words, quoted_words, split_command,
};

/// The keywords that engines know, in lower case.
const KEYWORDS: [&str; 18] = [
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

/// An instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// In lower case: `run`, `copy`.
    pub keyword: String,
    /// First and last line, 1-based, both included; heredoc bodies and their terminators belong to it.
    pub lines: (usize, usize),
    /// 1-based column of the keyword, in characters.
    pub column: usize,
    /// The source of these lines, as it stands in the file, without the last newline.
    pub text: String,
    /// The joined line: continuations put together and comments in between dropped, as the parser hands it on. Heredoc
    /// bodies aren't in it.
    pub line: String,
    /// `--name` or `--name=value`, quotes removed, variables not replaced.
    pub flags: Vec<String>,
    /// The words behind the flags. ENV and LABEL: name, value, name, value. In shell form RUN, CMD and ENTRYPOINT have one.
    /// HEALTHCHECK: `NONE` or `CMD` and what follows. ONBUILD: the keyword of its trigger and that one's words.
    pub args: Vec<String>,
    /// The heredocs that it opens, in order.
    pub heredocs: Vec<Heredoc>,
    /// Whether the words came as a JSON array (exec form).
    pub json_form: bool,
    /// The stage it belongs to, from 0; an ARG before the first FROM belongs to none.
    pub stage: Option<usize>,
    /// ONBUILD's own instruction, which a build from this image will execute.
    pub trigger: Option<Box<Instruction>>,
}

impl Instruction {
    /// Cuts a joined line. `Err` says what is wrong.
    pub(crate) fn cut(line: &str, escape: char, in_onbuild: bool) -> Result<Self, String> {
        let (keyword, flags, rest) = split_command(line);
        let mut cut = Self {
            keyword,
            lines: (0, 0),
            column: 1,
            text: String::new(),
            line: line.to_owned(),
            flags,
            args: Vec::new(),
            heredocs: Vec::new(),
            json_form: false,
            stage: None,
            trigger: None,
        };
        match cut.keyword.as_str() {
            "env" | "label" => cut.args = name_values(&rest, escape, &cut.keyword)?,
            "arg" => cut.args = quoted_words(&rest, escape),
            "run" | "cmd" | "entrypoint" | "shell" => cut.maybe_json(&rest, false)?,
            "copy" | "add" | "volume" => cut.maybe_json(&rest, true)?,
            "expose" | "from" => cut.args = plain_words(&rest),
            "maintainer" | "stopsignal" | "user" | "workdir" => {
                cut.args.extend(Some(rest).filter(|r| !r.is_empty()))
            }
            "healthcheck" => {
                let (kind, rest) = first_word(&rest);
                cut.maybe_json(rest, false)?;
                if !kind.is_empty() {
                    cut.args.insert(0, kind.to_owned());
                }
            }
            "onbuild" if in_onbuild => return Err("ONBUILD can't stand in an ONBUILD".to_owned()),
            "onbuild" if !rest.is_empty() => {
                let trigger = Self::cut(&rest, escape, true)?;
                cut.args.push(trigger.keyword.clone());
                cut.args.extend(trigger.args.iter().cloned());
                cut.trigger = Some(Box::new(trigger));
            }
            _ => cut.args.extend(Some(rest).filter(|r| !r.is_empty())),
        }
        Ok(cut)
    }

    fn maybe_json(&mut self, rest: &str, list: bool) -> Result<(), String> {
        if rest.is_empty() {
            return Ok(());
        }
        match json_words(rest)? {
            Json::Words(words) => {
                self.args = words;
                self.json_form = true;
            }
            Json::NotAnArray if list => self.args = plain_words(rest),
            Json::NotAnArray => self.args = vec![rest.to_owned()],
        }
        Ok(())
    }

    /// Whether engines know the keyword.
    #[must_use]
    pub fn is_known(&self) -> bool {
        KEYWORDS.contains(&self.keyword.as_str())
    }

    /// The instruction that may open heredocs: this one, or an ONBUILD's trigger.
    pub(crate) fn heredoc_holder(&self) -> Option<&Self> {
        let holder = self.trigger.as_deref().unwrap_or(self);
        (matches!(holder.keyword.as_str(), "run" | "copy" | "add") && !holder.json_form)
            .then_some(holder)
    }

    /// Whether the words make an instruction that the engines accept (BuildKit's `instructions.Parse`).
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = self.keyword.to_uppercase();
        let at_least = |n: usize, what: &str| {
            if self.args.len() < n { Err(format!("{name} needs {what}")) } else { Ok(()) }
        };
        match self.keyword.as_str() {
            "copy" | "add" => at_least(2, "a source and a destination"),
            "env" | "label" | "arg" => {
                at_least(1, "at least one argument").and_then(|()| self.check_names(&name))
            }
            "expose" | "volume" => at_least(1, "at least one argument"),
            "maintainer" | "stopsignal" | "user" | "workdir" => at_least(1, "an argument"),
            "shell" if !self.json_form || self.args.is_empty() => {
                Err("SHELL needs a JSON array, as [\"executable\", \"parameter\"]".to_owned())
            }
            "from" => self.check_from(),
            "healthcheck" => self.check_healthcheck(),
            "onbuild" => match self.trigger.as_deref() {
                None => Err("ONBUILD needs an instruction".to_owned()),
                Some(t) if matches!(t.keyword.as_str(), "from" | "maintainer") => {
                    Err(format!("{} can't stand in an ONBUILD", t.keyword.to_uppercase()))
                }
                Some(t) if !t.is_known() => {
                    Err(format!("unknown instruction {}", excerpt(&t.keyword).to_uppercase()))
                }
                Some(t) => t.check(),
            },
            _ => Ok(()),
        }
    }

    fn check_names(&self, name: &str) -> Result<(), String> {
        let blank = self.pairs().any(|(n, _)| n.is_empty())
            || (self.keyword == "arg" && self.args.iter().any(|a| a.starts_with('=')));
        if blank { Err(format!("{name} with an empty name")) } else { Ok(()) }
    }

    fn check_from(&self) -> Result<(), String> {
        match self.args.as_slice() {
            [_] => Ok(()),
            [_, word, name] if word.eq_ignore_ascii_case("as") => {
                let name = name.to_lowercase();
                let mut chars = name.chars();
                let good = chars.next().is_some_and(|c| c.is_ascii_lowercase())
                    && chars.all(|c| {
                        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
                    });
                if good {
                    return Ok(());
                }
                Err(format!(
                    "\"{}\" can't name a stage: a letter, then letters, digits, - _ and .",
                    excerpt(&name)
                ))
            }
            _ => Err("FROM takes one argument, or three: FROM image AS name".to_owned()),
        }
    }

    fn check_healthcheck(&self) -> Result<(), String> {
        match self.args.first().map(|k| k.to_uppercase()).as_deref() {
            None => Err("HEALTHCHECK needs NONE or CMD".to_owned()),
            Some("NONE") if self.args.len() > 1 => Err("HEALTHCHECK NONE takes no arguments".to_owned()),
            Some("CMD") if self.args.len() < 2 => Err("HEALTHCHECK CMD needs a command".to_owned()),
            Some("NONE" | "CMD") => Ok(()),
            Some(other) => Err(format!("HEALTHCHECK takes NONE or CMD, not \"{}\"", excerpt(other))),
        }
    }

    /// ENV's and LABEL's names and values, in order; the values as written, quotes and variables and all.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let holds = matches!(self.keyword.as_str(), "env" | "label");
        let pairs = if holds { self.args.as_slice() } else { &[] };
        pairs.chunks_exact(2).filter_map(|pair| match pair {
            [name, value] => Some((name.as_str(), value.as_str())),
            _ => None,
        })
    }

    /// The value of a flag: `from` for `--from=build`. A flag without a value gives an empty one.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find_map(|flag| {
            let rest = flag.strip_prefix("--")?.strip_prefix(name)?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix('=') }
        })
    }
}
