//! The whole of a tool's `main`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

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
        Err(error) => end(&name, Err(usage(&error))),
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
fn usage(error: &clap::Error) -> Failure {
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
