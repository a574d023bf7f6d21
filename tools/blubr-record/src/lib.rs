//! Record what a container build does, with eBPF.
//!
//! [`cli`] and `plan` say what is wanted; `session` loads the probes (`backend`), runs the `command`, waits for `signals`, and
//! ends the log. `drain` takes records out of the `ring` until `stop` says that no more come, `record` and `path` take them
//! apart, `decode` turns them into events, with `cgroup`, `overlay` and `mounts` for what user space has to look up, and
//! `payload` for what went over sockets. `log` numbers the events; `queue`, `spill` and `sink` bring the lines to the file,
//! which `output` and `parts` make, and `copies` the checkpoints elsewhere; `rotation` says when a part ends. `host` and `caps`
//! know the machine and our rights, which `check` prints. `ready` tells who started a monitor that it records.
//!
//! This crate never spells a key of the log but to name a field that was cut, never decides which events matter, and never
//! guesses: what it could not see is null, and what it cannot see is listed in the header.

mod backend;
mod caps;
mod cgroup;
mod check;
pub mod cli;
mod command;
mod copies;
mod decode;
mod drain;
mod host;
mod log;
mod mapping;
mod mountinfo;
mod mounts;
mod output;
mod overlay;
mod parts;
mod path;
mod payload;
mod plan;
mod queue;
mod ready;
mod record;
mod ring;
mod rotation;
mod session;
mod signals;
mod sink;
mod spill;
mod stop;

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
