//! The whole of a tool's `main`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser};

use crate::diagnostic::say;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::generate;
use crate::text::printable;

/// Parses the command line, runs the tool, and turns its result into an exit status and at most one
/// line on standard error. A closed pipe on standard output ends it quietly.
pub fn run<Flags: Parser>(tool: impl FnOnce(Flags) -> Result<Exit, Failure>) -> ExitCode {
    let name = Flags::command().get_name().to_owned();
    let args: Vec<OsString> = std::env::args_os().collect();
    if let [_, flag, what] = args.as_slice()
        && flag == "--generate"
    {
        return end(&name, generate::print(Flags::command(), &what.to_string_lossy()));
    }
    match Flags::try_parse_from(args) {
        Ok(flags) => end(&name, tool(flags)),
        Err(error) if !error.use_stderr() => {
            // Help and version. A closed pipe is the reader's choice.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Err(error) => end(&name, Err(usage(&error, &Flags::command()))),
    }
}

fn end(name: &str, result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            say(name, &failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

/// clap's report, which takes several lines, as one.
fn usage(error: &clap::Error, command: &Command) -> Failure {
    if let Some(failure) = too_many(error, command) {
        return failure;
    }
    let text = error.render().to_string();
    let mut told: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        told.push(line.strip_prefix("error: ").unwrap_or(line));
    }
    Failure::new(printable(&told.join(" "))).advise("see --help")
}

/// A word too many, where clap's report misleads: behind options it takes any for a subcommand, and it does not say that what is to
/// be run stands behind `--`.
fn too_many(error: &clap::Error, command: &Command) -> Option<Failure> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::ArgumentConflict => {
            let word = word(ContextKind::InvalidSubcommand)?;
            let is_known = command.find_subcommand(word).is_some();
            (!is_known).then(|| {
                Failure::new(format_args!("'{}' is one argument too many", printable(word)))
                    .advise("see --help")
            })
        }
        ErrorKind::UnknownArgument => {
            let word = word(ContextKind::InvalidArg)?;
            let runs = command.get_positionals().any(Arg::is_last_set) && !word.starts_with('-');
            runs.then(|| {
                Failure::new(format_args!("'{}' is no option", printable(word)))
                    .advise("what is to be run stands behind --, as in `-- docker build .`")
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(args_conflicts_with_subcommands = true)]
    struct Reads {
        #[command(subcommand)]
        command: Option<Verb>,
        #[arg(long)]
        key: Option<String>,
        file: Option<String>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Verb {
        Show,
    }

    #[derive(Debug, clap::Parser)]
    struct Runs {
        #[arg(long)]
        check: bool,
        #[arg(last = true)]
        command: Vec<String>,
    }

    fn told<Flags: Parser>(args: &[&str]) -> String {
        let error = Flags::try_parse_from([&["tool"], args].concat()).map(drop).unwrap_err();
        usage(&error, &Flags::command()).to_string()
    }

    #[test]
    fn a_word_too_many_is_called_that() {
        let told = told::<Reads>;
        assert_eq!(told(&["--key", "k", "a", "b"]), "'b' is one argument too many: see --help");
        assert!(!told(&["--key", "k", "a", "show"]).contains("too many"));
    }

    #[test]
    fn what_is_to_be_run_stands_behind_dashes() {
        let told = told::<Runs>;
        assert!(told(&["docker", "build"]).starts_with("'docker' is no option: what is to be run"));
        assert!(told(&["--chek"]).starts_with("unexpected argument '--chek' found tip:"));
    }
}
