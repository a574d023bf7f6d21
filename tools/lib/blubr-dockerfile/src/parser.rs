//! The file cut into instructions: continuations, comments, heredocs, stages.

use serde::Serialize;

use crate::dialect::Dialect;
use crate::directive::{Directive, Directives};
use crate::error::{ParseError, excerpt};
use crate::heredoc::{Heredoc, heredocs_of};
use crate::instruction::Instruction;
use crate::limits::{FILE_BYTES_MAX, HEREDOCS_MAX, INSTRUCTIONS_MAX, LINE_BYTES_MAX};

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Lines of empty lines inside a continuation, which engines warn of and some day will refuse.
    pub empty_continuations: Vec<usize>,
}

/// One stage of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// A line of the file without its line ending.
struct Line<'a> {
    text: &'a str,
    /// With its line ending, for heredocs, which keep it.
    whole: &'a str,
}

impl Dockerfile {
    /// Reads a Dockerfile as BuildKit does today.
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
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ParseError::new(
                1,
                1,
                format!("the file is larger than {FILE_BYTES_MAX} bytes"),
            ));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let not_utf8 = match &text {
            std::borrow::Cow::Borrowed(_) => Vec::new(),
            std::borrow::Cow::Owned(_) => {
                let lines = bytes.split(|b| *b == b'\n').enumerate();
                lines.filter(|(_, l)| std::str::from_utf8(l).is_err()).map(|(i, _)| i + 1).collect()
            }
        };
        let mut lines = Vec::new();
        for (i, whole) in text.split_inclusive('\n').enumerate() {
            let text = whole.trim_end_matches(['\r', '\n']);
            if text.len() > LINE_BYTES_MAX {
                let what = format!("a line longer than {LINE_BYTES_MAX} bytes, which no engine takes");
                return Err(ParseError::new(i + 1, LINE_BYTES_MAX + 1, what));
            }
            lines.push(Line { text, whole });
        }
        let mut cutter = Cutter {
            dialect,
            lines,
            at: 0,
            directives: Directives::new(dialect),
            instructions: Vec::new(),
            empty_continuations: Vec::new(),
        };
        cutter.cut_all()?;
        let stages = stages_of(
            &mut cutter.instructions,
            cutter.directives.found.iter().any(|d| d.name == "syntax"),
        )?;
        Ok(Self {
            escape: cutter.directives.escape,
            directives: cutter.directives.found,
            instructions: cutter.instructions,
            stages,
            not_utf8,
            empty_continuations: cutter.empty_continuations,
        })
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

    /// The parse as JSON, for people and scripts.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Walks over the lines.
struct Cutter<'a> {
    dialect: Dialect,
    lines: Vec<Line<'a>>,
    /// Index of the next line.
    at: usize,
    directives: Directives,
    instructions: Vec<Instruction>,
    empty_continuations: Vec<usize>,
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with('#')
}

impl Cutter<'_> {
    fn cut_all(&mut self) -> Result<(), ParseError> {
        while let Some(line) = self.lines.get(self.at) {
            let first = self.at;
            self.at += 1;
            let trimmed = line.text.trim_start();
            self.directives.line(trimmed, first + 1)?;
            let column = line.text.chars().count() - trimmed.chars().count() + 1;
            let trimmed = if is_comment(trimmed) { "" } else { trimmed };
            let (joined, continued) = self.continuation(trimmed);
            let mut joined = joined.to_owned();
            if !continued && joined.is_empty() {
                continue;
            }
            if continued {
                self.join(&mut joined);
            }
            self.cut_one(joined, first, column)?;
            if self.instructions.len() > INSTRUCTIONS_MAX {
                let what = format!("more than {INSTRUCTIONS_MAX} instructions");
                return Err(ParseError::new(first + 1, column, what));
            }
        }
        if self.instructions.is_empty() {
            return Err(ParseError::new(self.lines.len().max(1), 1, "the file holds no instruction"));
        }
        Ok(())
    }

    /// Appends continuation lines until one doesn't continue. Comments and empty lines in between don't end it.
    fn join(&mut self, joined: &mut String) {
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            if is_comment(line.text) {
                continue;
            }
            if line.text.trim_start().is_empty() {
                self.empty_continuations.push(self.at);
                continue;
            }
            let (text, continued) = self.continuation(line.text);
            joined.push_str(text);
            if !continued {
                return;
            }
        }
    }

    /// The line without its continuation character, and whether it had one.
    fn continuation<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let escape = self.directives.escape;
        let Some(before) = text.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
            return (text, false);
        };
        if self.dialect.escaped_escape_ends_line() && before.ends_with(escape) {
            return (text, false);
        }
        (before, true)
    }

    fn cut_one(&mut self, joined: String, first: usize, column: usize) -> Result<(), ParseError> {
        let err = |what: String| ParseError::new(first + 1, column, what);
        let mut cut = Instruction::cut(&joined, self.directives.escape, false).map_err(err)?;
        if self.dialect.has_heredocs() && cut.heredoc_holder().is_some() {
            cut.heredocs = self.heredocs(&joined).map_err(err)?;
            if let Some(trigger) = cut.trigger.as_deref_mut() {
                trigger.heredocs.clone_from(&cut.heredocs);
            }
        }
        cut.lines = (first + 1, self.at);
        cut.column = column;
        let source: String =
            self.lines.get(first..self.at).unwrap_or(&[]).iter().map(|l| l.whole).collect();
        cut.text = source.trim_end_matches(['\r', '\n']).to_owned();
        if let Some(trigger) = cut.trigger.as_deref_mut() {
            trigger.lines = cut.lines;
            trigger.column = column;
        }
        self.instructions.push(cut);
        Ok(())
    }

    /// The heredocs of a line with their bodies. A `<< word` with spaces, which only newer BuildKits take for one, counts if
    /// its terminator is there; else the file was made for an older one.
    fn heredocs(&mut self, joined: &str) -> Result<Vec<Heredoc>, String> {
        let spaced = heredocs_of(joined, true)?;
        let plain = heredocs_of(joined, false)?;
        let start = self.at;
        let same = spaced == plain;
        match self.bodies(spaced) {
            Err(_) if !same => {
                self.at = start;
                self.bodies(plain)
            }
            found => found,
        }
    }

    fn bodies(&mut self, mut heredocs: Vec<Heredoc>) -> Result<Vec<Heredoc>, String> {
        if heredocs.len() > HEREDOCS_MAX {
            return Err(format!("more than {HEREDOCS_MAX} heredocs in one instruction"));
        }
        for heredoc in &mut heredocs {
            loop {
                let Some(line) = self.lines.get(self.at) else {
                    return Err(UNTERMINATED.to_owned());
                };
                self.at += 1;
                let text =
                    if heredoc.strip_tabs { line.text.trim_start_matches('\t') } else { line.text };
                if text == heredoc.name {
                    break;
                }
                heredoc.body.push_str(line.whole);
            }
        }
        Ok(heredocs)
    }
}

const UNTERMINATED: &str = "a heredoc whose end never comes";

/// Gives each instruction its stage, checks it, and collects the stages.
fn stages_of(instructions: &mut [Instruction], custom_syntax: bool) -> Result<Vec<Stage>, ParseError> {
    let mut stages: Vec<Stage> = Vec::new();
    for (at, instruction) in instructions.iter_mut().enumerate() {
        let err = |what: String| ParseError::new(instruction.lines.0, instruction.column, what);
        if !instruction.is_known() && !custom_syntax {
            let shown = excerpt(&instruction.keyword).to_uppercase();
            return Err(err(format!("unknown instruction {shown}")));
        }
        instruction.check().map_err(err)?;
        if instruction.keyword == "from" {
            stages.push(Stage {
                base: instruction.args.first().cloned().unwrap_or_default(),
                name: instruction.args.get(2).map(|n| n.to_lowercase()),
                platform: instruction.flag("platform").map(str::to_owned),
                lines: instruction.lines,
                instructions: (at, 0),
            });
        } else if stages.is_empty() && instruction.keyword != "arg" {
            return Err(err(format!(
                "{} before the first FROM",
                excerpt(&instruction.keyword).to_uppercase()
            )));
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
    Ok(stages)
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
