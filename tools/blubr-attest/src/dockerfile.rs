//! `blubr-attest dockerfile`: the parse of a Dockerfile, one JSON object a line.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use blubr_cli::{Common, Exit, Failure, Input, Output, printable_json};
use blubr_dockerfile::{
    BuildOptions, Dialect, Dockerfile, Evaluated, Instruction, ParseError, Platform, Weight, evaluate,
};
use serde::Serialize;

use crate::TOOL;
use crate::cli::Dockerfile as Flags;

/// One instruction, as a line of the output; the keys in this order.
#[derive(Serialize)]
struct Line<'d> {
    keyword: &'d str,
    start: usize,
    end: usize,
    flags: &'d [String],
    args: Args<'d>,
    heredocs: Vec<Heredoc<'d>>,
    stage: Option<usize>,
    json: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger<'d>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded: Option<Option<Args<'d>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_flags: Option<&'d [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_heredocs: Option<&'d [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed: Option<&'d [String]>,
}

/// The words; of ENV and LABEL the pairs of name and value.
#[derive(Serialize)]
#[serde(untagged)]
enum Args<'d> {
    Words(&'d [String]),
    Pairs(&'d [[String; 2]]),
}

impl<'d> Args<'d> {
    fn of(keyword: &str, words: &'d [String]) -> Self {
        if matches!(keyword, "env" | "label") {
            Self::Pairs(words.as_chunks().0)
        } else {
            Self::Words(words)
        }
    }
}

/// A heredoc; `content` is as it stands in the file, its tabs not yet dropped where `chomp` asks for that.
#[derive(Serialize)]
struct Heredoc<'d> {
    name: &'d str,
    content: &'d str,
    expand: bool,
    chomp: bool,
    fd: u64,
}

/// ONBUILD's own instruction.
#[derive(Serialize)]
struct Trigger<'d> {
    keyword: &'d str,
    flags: &'d [String],
    args: Args<'d>,
    json: bool,
}

/// Carries out `blubr-attest dockerfile`.
pub fn run(flags: &Flags, common: &Common) -> Result<Exit, Failure> {
    let path = Some(flags.file.as_path()).filter(|path| *path != Path::new("-"));
    let input = Input::open(path)?;
    let name = input.name().to_owned();
    let limit = u64::try_from(blubr_dockerfile::limits::FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = input.read_to_end(limit)?;
    let file = Dockerfile::read_as(&bytes, Dialect::BuildKit).map_err(|e| failure(&name, &e))?;
    let options = options(flags)?;
    let objections = file.objections();
    let stops = objections.iter().find(|o| options.is_some() || o.weight == Weight::Wrong);
    let built = match (&options, stops) {
        (Some(options), None) => Some(evaluate(&file, options)),
        _ => None,
    };
    print(&file, built.as_ref().and_then(|built| built.as_deref().ok()))?;
    if let Some(stops) =
        stops.map(|stops| &stops.error).or(built.as_ref().and_then(|built| built.as_ref().err()))
    {
        return Err(failure(&name, stops));
    }
    for objection in &objections {
        common.note(TOOL, failure(&name, &objection.error));
    }
    for line in &file.empty_continuations {
        let what = Failure::new("an empty line in a continuation, which BuildKit will refuse some day");
        common.note(TOOL, what.at(format_args!("{name}:{line}:1")).advise("take it out"));
    }
    Ok(Exit::Done)
}

fn failure(name: &str, error: &ParseError) -> Failure {
    let place = format!("{name}:{}:{}", error.line, error.column);
    Failure::new(&error.what).at(place).advise(error.advice)
}

/// What docker build would be told; nothing if nothing is asked for.
fn options(flags: &Flags) -> Result<Option<BuildOptions>, Failure> {
    if flags.build_arg.is_empty() && flags.target.is_none() && flags.platform.is_none() {
        return Ok(None);
    }
    let mut build_args = BTreeMap::new();
    for arg in &flags.build_arg {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            // As docker build does: the value is the environment's, if it has one.
            None => (arg.as_str(), std::env::var(arg).ok()),
        };
        if name.is_empty() {
            return Err(Failure::new("--build-arg without a name").advise("write it as NAME=VALUE"));
        }
        if let Some(value) = value {
            build_args.insert(name.to_owned(), value);
        }
    }
    let host = Platform::linux_on(std::env::consts::ARCH);
    let platform = match &flags.platform {
        None => None,
        Some(text) => Some(Platform::parse(text, &host).ok_or_else(|| {
            Failure::new(format_args!("no platform: {text}")).advise("write it as linux/arm64")
        })?),
    };
    Ok(Some(BuildOptions { build_args, target: flags.target.clone(), platform, host }))
}

fn print(file: &Dockerfile, built: Option<&[Option<Evaluated>]>) -> Result<(), Failure> {
    let mut output = Output::create(None)?;
    let name = output.name().to_owned();
    let failed = |error: &std::io::Error| Failure::io(&name, error);
    for (at, instruction) in file.instructions.iter().enumerate() {
        let evaluated = built.map(|all| all.get(at).and_then(Option::as_ref));
        let line = line(instruction, evaluated);
        let text = serde_json::to_string(&line).map_err(|error| failed(&error.into()))?;
        writeln!(output, "{}", printable_json(&text)).map_err(|error| failed(&error))?;
    }
    output.commit()
}

fn line<'d>(i: &'d Instruction, evaluated: Option<Option<&'d Evaluated>>) -> Line<'d> {
    let heredoc = |h: &'d blubr_dockerfile::Heredoc| Heredoc {
        name: &h.name,
        content: &h.body,
        expand: h.expand,
        chomp: h.strip_tabs,
        fd: h.fd,
    };
    let found = evaluated.flatten();
    Line {
        keyword: &i.keyword,
        start: i.lines.0,
        end: i.lines.1,
        flags: &i.flags,
        args: Args::of(&i.keyword, &i.args),
        heredocs: i.heredocs.iter().map(heredoc).collect(),
        stage: i.stage,
        json: i.json_form,
        trigger: i.trigger.as_deref().map(|t| Trigger {
            keyword: &t.keyword,
            flags: &t.flags,
            args: Args::of(&t.keyword, &t.args),
            json: t.json_form,
        }),
        expanded: evaluated.map(|e| e.map(|e| Args::of(&i.keyword, &e.args))),
        expanded_flags: found.map(|e| e.flags.as_slice()),
        expanded_heredocs: found.map(|e| e.heredocs.as_slice()).filter(|h| !h.is_empty()),
        assumed: found.map(|e| e.assumed.as_slice()).filter(|names| !names.is_empty()),
    }
}
