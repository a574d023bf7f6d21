//! Assemble, sign, encrypt, verify and show the attestation of a build.
//!
//! [`run`] turns flags (`cli`) into a plan (`plan`) and carries it out. `assemble` goes over the log in passes and makes
//! the statement; `crosscheck` holds it against the image; `redact` takes secrets out; `write` signs and encrypts.
//! `prior` reads earlier attestations, to say what they show of cached steps.
//! `detail` moves the long tables into a file of their own, and reads them from there.
//! `verify`, `show` and `pae` read what was written. `dockerfile` prints how a Dockerfile is parsed.
//!
//! This tool must never say more than the record shows: what was not seen is `not-observed`, `unknown` or `null`.

mod assemble;
mod cli;
mod context;
mod crosscheck;
mod detail;
mod dockerfile;
mod opened;
mod passphrase;
mod picture;
mod plan;
mod prior;
mod redact;
mod show;
mod verify;
mod write;

use assemble::parts as assemble_parts;
use blubr_cli::{Exit, Failure};
pub use cli::Flags;

/// The tool's name, for diagnostics.
const TOOL: &str = "blubr-attest";

/// Carries out what the flags ask for.
///
/// # Errors
/// When it can't be done.
pub fn run(flags: Flags) -> Result<Exit, Failure> {
    match flags.command {
        None => assemble::run(&plan::Plan::new(flags.assemble)?, &flags.common),
        Some(cli::Command::Verify(args)) => verify::run(&args),
        Some(cli::Command::Show(args)) => show::run(&args, &flags.common),
        Some(cli::Command::Pae(args)) => write::pae(&args),
        Some(cli::Command::Dockerfile(args)) => dockerfile::run(&args, &flags.common),
    }
}
