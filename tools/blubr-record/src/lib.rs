//! Record what a container build does, with eBPF.

mod backend;
mod caps;
mod cgroup;
mod check;
pub mod cli;
mod command;
mod decode;
mod drain;
mod host;
mod log;
mod mounts;
mod output;
mod overlay;
mod path;
mod payload;
mod plan;
mod queue;
mod record;
mod session;

use blubr_cli::{Exit, Failure};

/// What the flags ask for.
///
/// # Errors
/// When it could not be done; the failure says why and what to do.
pub fn run(flags: cli::Flags) -> Result<Exit, Failure> {
    let check = flags.check;
    let plan = plan::Plan::new(flags)?;
    if check { check::check(&plan) } else { session::record(&plan) }
}
