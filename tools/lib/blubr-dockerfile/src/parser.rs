//! The file cut into instructions: continuations, comments, heredocs, stages.

use crate::check::{check, is_dockers_own};
use crate::dialect::Dialect;
use crate::directive::{Directive, Directives, is_check};
use crate::error::{Flaw, Objection, ParseError, Places, Weight, excerpt};
use crate::gotext::{lossy, lower, trim_start};
use crate::heredoc::{Heredoc, heredocs_of};
use crate::instruction::{Escapes, Instruction};
use crate::limits::{FILE_BYTES_MAX, HEREDOCS_MAX, INSTRUCTIONS_MAX, LINE_BYTES_MAX};

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The `# name=value` lines at the top.
    pub directives: Vec<Directive>,
    /// The escape character: `\`, or a backtick.
    pub escape: char,
    /// All instructions, in the order of the file.
    pub instructions: Vec<Instruction>,
    /// The stages, one for each FROM.
    pub stages: Vec<Stage>,
    /// Lines whose bytes are not UTF-8; in the texts each such byte sequence has become U+FFFD.
    pub not_utf8: Vec<usize>,
    /// For each instruction with empty lines inside its continuations the first of those, which engines warn of and some day
    /// will refuse.
    pub empty_continuations: Vec<usize>,
}

/// One stage of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What stands behind FROM, variables not replaced.
    pub base: String,
    /// The name behind AS, in lower case.
    pub name: Option<String>,
    /// What `--platform` says, variables not replaced.
    pub platform: Option<String>,
    /// First line of its FROM and last line of its last instruction.
    pub lines: (usize, usize),
    /// Where its FROM stands in [`Dockerfile::instructions`], and how many instructions it has, the FROM included.
    pub instructions: (usize, usize),
}

impl Dockerfile {
    /// Reads a Dockerfile as BuildKit does today, and refuses what it would refuse to build, but for flags that it doesn't
    /// know.
    ///
    /// # Errors
    /// What BuildKit itself would refuse, with line and column, and what exceeds [`crate::limits`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        Self::parse_as(bytes, Dialect::BuildKit)
    }

    /// Reads a Dockerfile as the parser of `dialect` does.
    ///
    /// # Errors
    /// As [`Dockerfile::parse`].
    pub fn parse_as(bytes: &[u8], dialect: Dialect) -> Result<Self, ParseError> {
        let file = Self::read_as(bytes, dialect)?;
        let stops = |o: &Objection| o.weight != Weight::UnknownFlag;
        match file.objections().into_iter().find(stops) {
            Some(objection) => Err(objection.error),
            None => Ok(file),
        }
    }

    /// Reads a Dockerfile by today's rules, and where these refuse it by those of older engines.
    ///
    /// # Errors
    /// As [`Dockerfile::parse`]: what today's BuildKit says.
    pub fn parse_any(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut first = None;
        for dialect in Dialect::ALL {
            match Self::parse_as(bytes, dialect) {
                Ok(file) => return Ok(file),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| ParseError::new(1, 1, "no parser takes the file", "")))
    }

    /// Cuts a Dockerfile as the parser of `dialect` does, which passes much that can't be built:
    /// [`Dockerfile::objections`] has the rest.
    ///
    /// # Errors
    /// What the parser refuses, with line and column, and what exceeds [`crate::limits`].
    pub fn read_as(bytes: &[u8], dialect: Dialect) -> Result<Self, ParseError> {
        if bytes.len() > FILE_BYTES_MAX {
            let what = format!("the file is larger than {FILE_BYTES_MAX} bytes");
            return Err(ParseError::new(1, 1, what, "give the Dockerfile itself"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut cutter = Cutter::new(bytes, dialect)?;
        cutter.cut_all()?;
        let stages = stages_of(&mut cutter.instructions);
        let not_utf8 = cutter.lines.iter().enumerate();
        let not_utf8 = not_utf8.filter(|(_, line)| std::str::from_utf8(line).is_err());
        Ok(Self {
            not_utf8: not_utf8.map(|(at, _)| at + 1).collect(),
            escape: cutter.directives.escape,
            directives: cutter.directives.found,
            instructions: cutter.instructions,
            stages,
            empty_continuations: cutter.empty_continuations,
        })
    }

    /// What the engines refuse in a file that their parser has passed, in the order of the file.
    #[must_use]
    pub fn objections(&self) -> Vec<Objection> {
        let any_keyword = self.directive("syntax").is_some_and(|syntax| !is_dockers_own(syntax));
        let first_from = self.instructions.iter().position(|i| i.keyword == "from");
        let mut objections = Vec::new();
        let check_directive = self.directives.iter().find(|of| of.name == "check");
        if let Some(wrong) = check_directive.filter(|of| !is_check(&of.value)) {
            let what = format!("check can't be \"{}\"", excerpt(&wrong.value));
            let advice = "write it as skip=RULE,RULE;error=true";
            let error = ParseError::new(wrong.line, 1, what, advice);
            objections.push(Objection { error, weight: Weight::Wrong });
        }
        for (at, i) in self.instructions.iter().enumerate() {
            let mut object = |flaw: Flaw| {
                let (line, column) = i.place(flaw.at);
                let error = ParseError::new(line, column, flaw.what, flaw.advice);
                objections.push(Objection { error, weight: flaw.weight });
            };
            if let Err(flaw) = check(i, any_keyword) {
                object(flaw);
            } else if i.keyword != "arg" && first_from.is_some_and(|from| at < from) {
                let what = format!("{} before the first FROM", i.keyword.to_uppercase());
                object(Flaw::new(i.keyword_at, what, "only ARG may stand there"));
            }
        }
        if let (None, Some(i)) = (first_from, self.instructions.first()) {
            let (line, column) = i.place(i.keyword_at);
            let error =
                ParseError::new(line, column, "a file without FROM", "begin a stage with FROM IMAGE");
            objections.push(Objection { error, weight: Weight::Unfinished });
        }
        objections
    }

    /// The value of a directive: `syntax`, `escape`, `check`.
    #[must_use]
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|d| d.name == name).map(|d| d.value.as_str())
    }

    /// The instructions of one stage, its FROM first.
    #[must_use]
    pub fn stage(&self, index: usize) -> &[Instruction] {
        let Some(stage) = self.stages.get(index) else {
            return &[];
        };
        let (first, count) = stage.instructions;
        self.instructions.get(first..first.saturating_add(count)).unwrap_or(&[])
    }

    /// The SHELL in force at an instruction (its place in [`Dockerfile::instructions`]): the last one before it in its stage
    /// or in a stage that its stage begins from, else `None`: then the base image's own, or the engine's default.
    #[must_use]
    pub fn shell_at(&self, instruction: usize) -> Option<&[String]> {
        let mut stage_index = self.instructions.get(instruction)?.stage?;
        let mut before = instruction;
        // Each step goes to an earlier stage, so this ends.
        loop {
            let stage = self.stages.get(stage_index)?;
            let own = self.instructions.get(stage.instructions.0..before)?;
            if let Some(shell) = own.iter().rev().find(|i| i.keyword == "shell") {
                return Some(&shell.args);
            }
            stage_index = self.stage_named(&stage.base, stage_index)?;
            let (first, count) = self.stages.get(stage_index)?.instructions;
            before = first + count;
        }
    }

    /// The stage called `name` among those before `below`. (Only COPY --from may also name one by its number.)
    #[must_use]
    pub fn stage_named(&self, name: &str, below: usize) -> Option<usize> {
        let name = name.to_lowercase();
        let earlier = self.stages.get(..below)?;
        earlier.iter().rposition(|s| s.name.as_deref() == Some(name.as_str()))
    }
}

/// Walks over the lines.
struct Cutter<'a> {
    dialect: Dialect,
    /// Each with its line ending.
    lines: Vec<&'a [u8]>,
    /// Index of the next line.
    at: usize,
    directives: Directives,
    instructions: Vec<Instruction>,
    empty_continuations: Vec<usize>,
}

/// The line without its ending: all the returns and newlines behind it.
fn bare(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    line.get(..end).unwrap_or(line)
}

fn is_comment(line: &[u8]) -> bool {
    trim_start(line).starts_with(b"#")
}

/// A line put together from several.
struct Joined {
    bytes: Vec<u8>,
    /// Bytes of it once it is text.
    length: usize,
    places: Places,
}

impl Joined {
    fn add(&mut self, piece: &[u8], line: usize, column: usize) {
        self.places.begin(self.length, line, column);
        self.bytes.extend_from_slice(piece);
        self.length += lossy(piece).len();
    }
}

impl<'a> Cutter<'a> {
    fn new(bytes: &'a [u8], dialect: Dialect) -> Result<Self, ParseError> {
        let mut lines = Vec::new();
        for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            if line.strip_suffix(b"\n").unwrap_or(line).len() > LINE_BYTES_MAX {
                let what = format!("a line longer than {LINE_BYTES_MAX} bytes, which no engine takes");
                return Err(ParseError::new(i + 1, LINE_BYTES_MAX + 1, what, "break it"));
            }
            lines.push(line);
        }
        Ok(Self {
            dialect,
            lines,
            at: 0,
            directives: Directives::new(dialect),
            instructions: Vec::new(),
            empty_continuations: Vec::new(),
        })
    }

    fn cut_all(&mut self) -> Result<(), ParseError> {
        while let Some(line) = self.lines.get(self.at).copied() {
            let first = self.at;
            self.at += 1;
            let line = bare(line);
            let trimmed = trim_start(line);
            self.directives.line(&lossy(trimmed), first + 1)?;
            let column = lossy(line).chars().count() - lossy(trimmed).chars().count() + 1;
            let trimmed = if is_comment(trimmed) { &[] } else { trimmed };
            let (piece, continued) = self.continuation(trimmed);
            if !continued && piece.is_empty() {
                continue;
            }
            let mut joined = Joined { bytes: Vec::new(), length: 0, places: Places::default() };
            joined.add(piece, first + 1, column);
            if continued {
                self.join(&mut joined);
            }
            self.cut_one(joined, first, column)?;
            if self.instructions.len() > INSTRUCTIONS_MAX {
                let what = format!("more than {INSTRUCTIONS_MAX} instructions");
                return Err(ParseError::new(first + 1, column, what, "split the file"));
            }
        }
        if self.instructions.is_empty() {
            let what = "the file holds no instruction";
            return Err(ParseError::new(self.lines.len().max(1), 1, what, "begin with FROM IMAGE"));
        }
        Ok(())
    }

    /// Appends continuation lines until one doesn't continue. Comments and empty lines in between don't end it.
    fn join(&mut self, joined: &mut Joined) {
        let mut noted = false;
        while let Some(line) = self.lines.get(self.at).copied() {
            self.at += 1;
            if is_comment(line) {
                continue;
            }
            if trim_start(line).is_empty() {
                if !std::mem::replace(&mut noted, true) {
                    self.empty_continuations.push(self.at);
                }
                continue;
            }
            let (piece, continued) = self.continuation(bare(line));
            joined.add(piece, self.at, 1);
            if !continued {
                return;
            }
        }
    }

    /// The line without its continuation character, and whether it had one.
    fn continuation<'t>(&self, line: &'t [u8]) -> (&'t [u8], bool) {
        // A backslash or a backtick.
        let escape = u8::try_from(self.directives.escape).unwrap_or(b'\\');
        let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
        let Some(before) = line.get(..end).and_then(|line| line.strip_suffix(&[escape])) else {
            return (line, false);
        };
        if self.dialect.escaped_escape_ends_line() && before.ends_with(&[escape]) {
            return (line, false);
        }
        (before, true)
    }

    fn cut_one(&mut self, joined: Joined, first: usize, column: usize) -> Result<(), ParseError> {
        let word = self.directives.escape;
        let flag = if self.dialect.chooses_flag_escape() { word } else { '\\' };
        let cut = Instruction::cut(&joined.bytes, Escapes { word, flag });
        let text = lossy(&joined.bytes);
        let err = |flaw: Flaw| {
            let (line, column) = joined.places.of(&text, flaw.at);
            ParseError::new(line, column, flaw.what, flaw.advice)
        };
        let mut cut = cut.map_err(err)?;
        if self.dialect.has_heredocs() && cut.heredoc_holder().is_some() && text.contains("<<") {
            cut.heredocs = self.heredocs(&text).map_err(err)?;
            if let Some(trigger) = cut.trigger.as_deref_mut() {
                trigger.heredocs.clone_from(&cut.heredocs);
            }
        }
        cut.lines = (first + 1, self.at);
        cut.column = column;
        let source = self.lines.get(first..self.at).unwrap_or(&[]).concat();
        lossy(bare(&source)).clone_into(&mut cut.text);
        if let Some(trigger) = cut.trigger.as_deref_mut() {
            trigger.lines = cut.lines;
            trigger.column = column;
        }
        cut.places = joined.places;
        self.instructions.push(cut);
        Ok(())
    }

    /// The heredocs of a line with their bodies.
    fn heredocs(&mut self, joined: &str) -> Result<Vec<Heredoc>, Flaw> {
        let at = joined.find("<<").unwrap_or(0);
        let found = heredocs_of(joined, self.dialect.has_spaced_heredocs());
        let mut heredocs =
            found.map_err(|what| Flaw::new(at, what, "close its quotes, or take a plain name"))?;
        if heredocs.len() > HEREDOCS_MAX {
            let what = format!("more than {HEREDOCS_MAX} heredocs in one instruction");
            return Err(Flaw::new(at, what, "put some into files"));
        }
        for heredoc in &mut heredocs {
            let mut body: Vec<u8> = Vec::new();
            loop {
                let Some(line) = self.lines.get(self.at).copied() else {
                    let name = crate::error::excerpt(&heredoc.name);
                    let what = format!("a heredoc whose end never comes: no line is \"{name}\"");
                    return Err(Flaw::new(at, what, "end it by a line with its name alone"));
                };
                self.at += 1;
                let mut end = bare(line);
                while let (true, Some(stripped)) = (heredoc.strip_tabs, end.strip_prefix(b"\t")) {
                    end = stripped;
                }
                if end == heredoc.name.as_bytes() {
                    break;
                }
                body.extend_from_slice(line);
            }
            heredoc.body = lossy(&body);
        }
        Ok(heredocs)
    }
}

/// Gives each instruction its stage, and collects the stages.
fn stages_of(instructions: &mut [Instruction]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (at, instruction) in instructions.iter_mut().enumerate() {
        if instruction.keyword == "from" {
            stages.push(Stage {
                base: instruction.args.first().cloned().unwrap_or_default(),
                name: instruction.args.get(2).map(|n| lower(n)),
                platform: instruction.flag("platform").map(str::to_owned),
                lines: instruction.lines,
                instructions: (at, 0),
            });
        }
        instruction.stage = stages.len().checked_sub(1);
        if let Some(trigger) = instruction.trigger.as_deref_mut() {
            trigger.stage = instruction.stage;
        }
        if let Some(stage) = stages.last_mut() {
            stage.lines.1 = instruction.lines.1;
            stage.instructions.1 += 1;
        }
    }
    stages
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
