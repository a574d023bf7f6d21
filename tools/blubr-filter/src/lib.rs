//! blubr-filter: passes on those events of a log that belong to one build, or that otherwise fit.
//!
//! [`cli`] has the flags as typed, `plan` as meant; `select` has a file for each selector; `stream` reads, asks
//! the selectors and writes, `output` in other forms than the log's; `list` shows the builds; `verify` replays what a filtered log says was done to it.
//!
//! It never changes an event, and its output depends on its input and arguments alone.

pub mod cli;
mod dockerfile;
mod list;
mod output;
mod plan;
mod select;
mod stream;
mod verify;

use blubr_cli::{Exit, Failure};

/// The name in diagnostics and in the headers of filtered logs.
const TOOL: &str = "blubr-filter";

/// Does what the flags ask for.
///
/// # Errors
/// Trouble, or that there is no such build (exit 1).
pub fn run(flags: cli::Flags) -> Result<Exit, Failure> {
    match plan::Plan::new(flags)? {
        plan::Plan::Filter(filter) => stream::to_output(filter),
        plan::Plan::List(list) => list::print(&list),
        plan::Plan::Verify(verify) => verify::run(&verify),
    }
}
