//! One instruction with its variables replaced, and what it does to them (`dispatch` in BuildKit's `dockerfile2llb`).

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::error::{ParseError, excerpt};
use crate::expand::{ExpandError, expand, expand_body, expand_words};
use crate::flags::fields;
use crate::heredoc::heredoc_of;
use crate::instruction::Instruction;
use crate::mount::check_mount;
use crate::ports::{is_port, is_signal};
use crate::variables::{Assumed, Variables};

/// Arguments that a stage sees and its commands don't.
const NO_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// An instruction with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluated {
    /// As [`Instruction::flags`].
    pub flags: Vec<String>,
    /// As [`Instruction::args`]; of an ARG `name=value`, or the name alone where it stays unset.
    pub args: Vec<String>,
    /// The contents of the files that COPY and ADD make of heredocs, in the order of the words.
    pub heredocs: Vec<String>,
    /// Names of variables whose values rest on what the file doesn't say, sorted.
    pub assumed: Vec<String>,
}

/// An error at a byte of an instruction's joined line.
pub(crate) fn error(
    i: &Instruction,
    at: usize,
    what: impl Into<String>,
    advice: &'static str,
) -> ParseError {
    let (line, column) = i.place(at);
    ParseError::new(line, column, what, advice)
}

pub(crate) fn expansion(i: &Instruction, at: usize, e: &ExpandError) -> ParseError {
    let what: String = e.to_string().escape_debug().to_string().replace("\\'", "'");
    error(i, at, what, "mend the variable, or give it by --build-arg")
}

/// What replacing takes besides the variables.
pub(crate) struct Stepper<'a> {
    /// The file's escape character.
    pub(crate) escape: char,
    /// `--build-arg`, which outweighs a default.
    pub(crate) build_args: &'a BTreeMap<String, String>,
}

impl Stepper<'_> {
    /// One instruction, and what it does to the variables, and to those of the image.
    pub(crate) fn step(
        &self,
        i: &Instruction,
        variables: &mut Variables,
        image: &mut Variables,
        global: &Variables,
    ) -> Result<Evaluated, ParseError> {
        match i.keyword.as_str() {
            "arg" => self.arg(i, variables, Some(global)),
            "env" => self.env(i, variables, image),
            _ => self.replace(i, variables),
        }
    }

    /// One ARG. `global`: the values that an ARG without one takes over.
    pub(crate) fn arg(
        &self,
        i: &Instruction,
        variables: &mut Variables,
        global: Option<&Variables>,
    ) -> Result<Evaluated, ParseError> {
        let all: RefCell<Assumed> = RefCell::default();
        let mut args = Vec::new();
        for (index, word) in i.args.iter().enumerate() {
            let assumed = RefCell::default();
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let value = match (self.build_args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let replaced = expand(default, self.escape, &|n| variables.get(n, &assumed));
                    Some(replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?)
                }
                (None, None) => global.and_then(|global| global.get(name, &assumed)),
            };
            args.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => word.clone(),
            });
            let assumed = assumed.into_inner();
            all.borrow_mut().extend(assumed.iter().cloned());
            if let Some(value) = value.filter(|_| !NO_ENV.contains(&name)) {
                variables.set(name, value, assumed);
            }
        }
        Ok(finish(i.flags.clone(), args, Vec::new(), all))
    }

    fn env(
        &self,
        i: &Instruction,
        variables: &mut Variables,
        image: &mut Variables,
    ) -> Result<Evaluated, ParseError> {
        let all: RefCell<Assumed> = RefCell::default();
        let mut args = Vec::new();
        let mut set = Vec::new();
        for (index, pair) in i.args.chunks_exact(2).enumerate() {
            let [name, value] = pair else { continue };
            let assumed = RefCell::default();
            let word = |word: &str, at: usize| {
                expand(word, self.escape, &|n| variables.get(n, &assumed))
                    .map_err(|e| expansion(i, i.arg_at(at), &e))
            };
            let name = word(name, index * 2)?;
            let value = word(value, index * 2 + 1)?;
            args.extend([name.clone(), value.clone()]);
            let assumed = assumed.into_inner();
            all.borrow_mut().extend(assumed.iter().cloned());
            set.push((name, value, assumed));
        }
        for (name, value, assumed) in set {
            variables.set(&name, value.clone(), assumed.clone());
            image.set(&name, value, assumed);
        }
        Ok(finish(i.flags.clone(), args, Vec::new(), all))
    }

    fn replace(&self, i: &Instruction, variables: &Variables) -> Result<Evaluated, ParseError> {
        let assumed = RefCell::default();
        let lookup = |name: &str| variables.get(name, &assumed);
        let escape = self.escape;
        let mut args = i.args.clone();
        let mut flags = i.flags.clone();
        let mut heredocs = Vec::new();
        match i.keyword.as_str() {
            "label" | "workdir" | "user" | "volume" | "stopsignal" => {
                for (index, word) in args.iter_mut().enumerate() {
                    let text = if i.keyword == "volume" { word.trim() } else { word.as_str() };
                    let replaced = expand(text, escape, &lookup);
                    *word = replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?;
                }
            }
            "expose" => {
                args.clear();
                for (index, word) in i.args.iter().enumerate() {
                    let words = expand_words(word, escape, &lookup);
                    args.extend(words.map_err(|e| expansion(i, i.arg_at(index), &e))?);
                }
            }
            "copy" | "add" => {
                for (index, word) in args.iter_mut().enumerate() {
                    if matches!(heredoc_of(word), Ok(Some(_))) {
                        continue;
                    }
                    let replaced = expand(word, escape, &lookup);
                    *word = replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?;
                }
                heredocs = contents(i, &lookup)?;
            }
            _ => {}
        }
        for (flag, at) in flags.iter_mut().zip(&i.flags_at) {
            if let Some(replaced) = replaced_flag(&i.keyword, flag, escape, &lookup) {
                *flag = replaced.map_err(|e| match e {
                    FlagError::Expansion(e) => expansion(i, *at, &e),
                    FlagError::Mount(what) => {
                        error(i, *at, what, "write it as the reference of RUN --mount does")
                    }
                })?;
            }
        }
        refuse(i, &args)?;
        Ok(finish(flags, args, heredocs, assumed))
    }
}

pub(crate) fn finish(
    flags: Vec<String>,
    args: Vec<String>,
    heredocs: Vec<String>,
    assumed: RefCell<Assumed>,
) -> Evaluated {
    Evaluated { flags, args, heredocs, assumed: assumed.into_inner().into_iter().collect() }
}

/// The files that COPY and ADD make of heredocs: the last of a name counts for all words that name it.
fn contents(
    i: &Instruction,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ParseError> {
    let mut contents = Vec::new();
    let sources = i.args.iter().take(i.args.len().saturating_sub(1)).enumerate();
    for (index, word) in sources {
        let Ok(Some(named)) = heredoc_of(word) else { continue };
        let body = i.heredocs.iter().rev().find(|h| h.name == named.name).map(|h| h.body.clone());
        let content = crate::Heredoc { body: body.unwrap_or_default(), ..named };
        let text = content.content();
        contents.push(if content.expand {
            expand_body(&text, lookup).map_err(|e| expansion(i, i.arg_at(index), &e))?
        } else {
            text
        });
    }
    Ok(contents)
}

enum FlagError {
    Expansion(ExpandError),
    Mount(String),
}

/// A flag in which variables are replaced; nothing for the others.
fn replaced_flag(
    keyword: &str,
    flag: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Option<Result<String, FlagError>> {
    let (name, value) = flag.split_once('=')?;
    let one = || match expand(value, escape, lookup) {
        Ok(value) => Ok(format!("{name}={value}")),
        Err(e) => Err(FlagError::Expansion(e)),
    };
    match (keyword, name) {
        ("copy" | "add", "--chown" | "--chmod") | ("add", "--checksum") => Some(one()),
        ("run", "--mount") => Some(replaced_mount(value, escape, lookup)),
        _ => None,
    }
}

fn replaced_mount(
    value: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, FlagError> {
    let mut replaced = Vec::new();
    for field in fields(value).unwrap_or_default() {
        replaced.push(match field.split_once('=') {
            Some((key, value)) => {
                let value = expand(value, escape, lookup).map_err(FlagError::Expansion)?;
                format!("{key}={value}")
            }
            None => field,
        });
    }
    check_mount(&replaced).map_err(FlagError::Mount)?;
    let quoted = replaced.iter().map(|field| {
        if field.contains([',', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    });
    Ok(format!("--mount={}", quoted.collect::<Vec<_>>().join(",")))
}

/// What is refused once the words are known.
fn refuse(i: &Instruction, args: &[String]) -> Result<(), ParseError> {
    let advice;
    let wrong = match i.keyword.as_str() {
        "volume" => {
            advice = "give the variable a value by --build-arg, or a default";
            args.iter().find(|word| word.is_empty())
        }
        "stopsignal" => {
            advice = "take a number or a name, as SIGTERM";
            args.iter().find(|word| !is_signal(word))
        }
        "expose" => {
            advice = "write it as 80, 8000-8010 or 53/udp";
            args.iter().find(|word| !is_port(word))
        }
        "copy" => {
            advice = "take ADD";
            let sources = args.get(..args.len().saturating_sub(1)).unwrap_or(&[]);
            sources.iter().find(|word| word.starts_with("http://") || word.starts_with("https://"))
        }
        _ => return Ok(()),
    };
    match wrong {
        None => Ok(()),
        Some(word) => {
            let what = format!("{} can't take \"{}\"", i.keyword.to_uppercase(), excerpt(word));
            Err(error(i, i.rest_at, what, advice))
        }
    }
}
