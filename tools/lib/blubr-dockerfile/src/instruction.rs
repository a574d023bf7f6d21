//! One instruction: its keyword, flags and words, as the engines' parsers cut them.

use crate::error::{Flaw, Places};
use crate::gotext::{lossy, lower};
use crate::heredoc::Heredoc;
use crate::json::{Json, json_words};
use crate::mount::mounted_from;
use crate::words::{first_word, name_values, plain_words, quoted_words, split_command};

/// How deep ONBUILD may stand in ONBUILD before we stop to look; the engines take none at all.
const ONBUILD_DEPTH_MAX: usize = 4;

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

/// Whether engines know this word, in lower case, as a keyword.
#[must_use]
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// Where an instruction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// It stands in the file.
    #[default]
    File,
    /// An ONBUILD of the stage that its stage begins from: its lines are that ONBUILD's.
    Stage,
    /// An ONBUILD of the base image: its lines are those of the FROM that names it.
    Base,
}

/// An instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// In lower case: `run`, `copy`.
    pub keyword: String,
    /// As it is written.
    pub word: String,
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
    /// HEALTHCHECK: `NONE` or `CMD` and what follows. ONBUILD: the keyword of its trigger, as written, and
    /// that one's words.
    pub args: Vec<String>,
    /// The heredocs that it opens, in order.
    pub heredocs: Vec<Heredoc>,
    /// Whether the words came as a JSON array (exec form).
    pub json_form: bool,
    /// The stage it belongs to, from 0; an ARG before the first FROM belongs to none.
    pub stage: Option<usize>,
    /// Where it comes from.
    pub origin: Origin,
    /// ONBUILD's own instruction, which a build from this image will execute.
    pub trigger: Option<Box<Instruction>>,
    /// Where the joined line comes from, for errors; offsets below are of its bytes.
    pub(crate) places: Places,
    pub(crate) flags_at: Vec<usize>,
    pub(crate) keyword_at: usize,
    pub(crate) rest_at: usize,
}

/// What cuts words: the file's escape character, and the one of flags, which not all parsers let the file choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escapes {
    pub(crate) word: char,
    pub(crate) flag: char,
}

impl Instruction {
    /// Cuts a joined line. `Err` says what the parser itself refuses.
    pub(crate) fn cut(line: &[u8], escapes: Escapes) -> Result<Self, Flaw> {
        Self::cut_within(line, escapes, 0)
    }

    fn cut_within(line: &[u8], escapes: Escapes, depth: usize) -> Result<Self, Flaw> {
        // Both are ASCII.
        let flag_escape = u8::try_from(escapes.flag).unwrap_or(b'\\');
        let command = split_command(line, flag_escape);
        let rest = lossy(command.rest);
        let rest_at = command.rest_at;
        let word = lossy(command.keyword);
        let (flags_at, flags) = command.flags.into_iter().unzip();
        let mut cut = Self {
            keyword: lower(&word),
            word,
            lines: (0, 0),
            column: 1,
            text: String::new(),
            line: lossy(line),
            flags,
            args: Vec::new(),
            heredocs: Vec::new(),
            json_form: false,
            stage: None,
            origin: Origin::File,
            trigger: None,
            places: Places::default(),
            flags_at,
            keyword_at: command.keyword_at,
            rest_at,
        };
        let further = |flaw: Flaw| Flaw { at: flaw.at + rest_at, ..flaw };
        match cut.keyword.as_str() {
            "env" | "label" => {
                cut.args = name_values(&rest, escapes.word, &cut.keyword).map_err(further)?;
            }
            "arg" => {
                cut.args = quoted_words(&rest, escapes.word).into_iter().map(|(_, word)| word).collect();
            }
            "run" | "cmd" | "entrypoint" | "shell" => cut.maybe_json(&rest, false)?,
            "copy" | "add" | "volume" => cut.maybe_json(&rest, true)?,
            "expose" | "from" => cut.args = plain_words(&rest),
            "healthcheck" => {
                let (kind, command) = first_word(command.rest);
                let kind = lossy(kind);
                cut.maybe_json(&lossy(command), false)?;
                if !kind.is_empty() {
                    cut.args.insert(0, kind);
                }
            }
            "onbuild" if !rest.is_empty() => {
                if depth == ONBUILD_DEPTH_MAX {
                    return Err(Flaw::new(rest_at, "ONBUILD in ONBUILD", "name the trigger itself"));
                }
                let trigger = Self::cut_within(command.rest, escapes, depth + 1).map_err(further)?;
                cut.args.push(trigger.word.clone());
                cut.args.extend(trigger.args.iter().cloned());
                cut.trigger = Some(Box::new(trigger));
            }
            _ => cut.args.extend(Some(rest).filter(|r| !r.is_empty())),
        }
        Ok(cut)
    }

    fn maybe_json(&mut self, rest: &str, list: bool) -> Result<(), Flaw> {
        if rest.is_empty() {
            return Ok(());
        }
        match json_words(rest) {
            Json::Words(words) => {
                self.args = words;
                self.json_form = true;
            }
            Json::NotStrings => {
                let what = "a JSON array here may hold strings only";
                return Err(Flaw::new(self.rest_at, what, "put quotes around each word"));
            }
            Json::NotAnArray if list => self.args = plain_words(rest),
            Json::NotAnArray => self.args = vec![rest.to_owned()],
        }
        Ok(())
    }

    /// What an ONBUILD leaves in the image's config: the trigger's text, its heredocs behind it.
    #[must_use]
    pub fn onbuild_expression(&self) -> String {
        const SPACES: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];
        let line = self.line.trim_start_matches(SPACES);
        let is_word = line.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("onbuild"));
        let behind = if is_word { line.get(7..).unwrap_or_default() } else { line };
        let mut text = behind.trim_start_matches(SPACES).to_owned();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.body);
            text.push_str(&heredoc.name);
        }
        text
    }

    /// Where an argument stands in the joined line: the first place behind the one before it that spells it so.
    pub(crate) fn arg_at(&self, index: usize) -> usize {
        let mut at = self.rest_at;
        for (i, arg) in self.args.iter().enumerate().take(index + 1) {
            let found = self.line.get(at..).and_then(|rest| rest.find(arg.as_str()));
            at += found.unwrap_or(0);
            if i < index {
                at += if found.is_some() { arg.len() } else { 0 };
            }
        }
        at
    }

    /// Line and column of a byte of the joined line.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        self.places.of(&self.line, at)
    }

    /// Whether engines know the keyword.
    #[must_use]
    pub fn is_known(&self) -> bool {
        is_keyword(&self.keyword)
    }

    /// The instruction that may open heredocs: this one, or an ONBUILD's trigger.
    pub(crate) fn heredoc_holder(&self) -> Option<&Self> {
        let holder = self.trigger.as_deref().unwrap_or(self);
        (matches!(holder.keyword.as_str(), "run" | "copy" | "add") && !holder.json_form)
            .then_some(holder)
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

    /// Whether BuildKit copies it into a layer of its own, upon nothing (`--link`).
    pub fn is_linked(&self) -> bool {
        matches!(self.keyword.as_str(), "copy" | "add")
            && self.flag("link").is_some_and(|value| !value.eq_ignore_ascii_case("false"))
    }

    /// What it takes files from, as it is written: `--from` of COPY and ADD, and of a RUN `from` of its mounts. Each names a
    /// stage ([`StageNames::source`](crate::StageNames::source)), an image or a context.
    #[must_use]
    pub fn sources(&self) -> Vec<String> {
        if self.keyword == "run" {
            let mounts = self.flags.iter().filter_map(|flag| flag.strip_prefix("--mount="));
            return mounts.filter_map(mounted_from).collect();
        }
        self.flag("from").filter(|from| !from.is_empty()).map(str::to_owned).into_iter().collect()
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
