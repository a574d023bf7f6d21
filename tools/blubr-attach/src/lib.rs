//! Attach an attestation to an image as an OCI referrer, find it there again, and fetch it.
//!
//! [`cli`] has the flags as typed, [`plan`] what they mean. Then `push`, `discover`, `fetch` and `copy` each do one
//! thing against a layout or a registry, which `blubr_oci` tells apart. [`content`] says what is to be attached, and of
//! which image it speaks; `log` is the log beside it.
//!
//! This tool must never attach a statement to an image that it doesn't speak of, nor a log that the statement doesn't name, nor
//! look further into a statement than that.

pub mod cli;
pub mod content;
mod copy;
mod discover;
mod fetch;
mod log;
pub mod plan;
mod push;

use blubr_cli::{Exit, Failure};

/// The tool's name in diagnostics.
pub(crate) const TOOL: &str = "blubr-attach";

/// Does what the command line asks for.
pub fn run(flags: cli::Flags) -> Result<Exit, Failure> {
    match plan::plan(flags)? {
        plan::Plan::Push(plan) => push::run(&plan),
        plan::Plan::Discover(plan) => discover::run(&plan),
        plan::Plan::Fetch(plan) => fetch::run(&plan),
        plan::Plan::Copy(plan) => copy::run(&plan),
    }
}
