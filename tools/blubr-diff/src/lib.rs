//! Compare attestations with each other and with images.
//!
//! [`cli`] has the flags as typed. [`reverse`] makes a Dockerfile of an image's history; [`compare`] puts two records, or a
//! record and an image, side by side, a file a subject; [`normalise`] takes away what differs between two runs of the same
//! build; [`output`] prints.
//!
//! This tool must never write into an attestation or an image, nor say "the same" of something that it did not look at.

pub mod cli;
pub mod output;
pub mod reverse;
mod source;

use std::io::Write as _;

use blubr_cli::{Exit, Failure, Output};

use cli::{Command, Flags};

/// Runs the tool.
///
/// # Errors
/// When an input can't be read or the output can't be written.
pub fn run(flags: Flags) -> Result<Exit, Failure> {
    match &flags.command {
        Some(Command::Reverse(reverse)) => run_reverse(reverse),
        None => Err(Failure::new("not yet")),
    }
}

fn run_reverse(flags: &cli::Reverse) -> Result<Exit, Failure> {
    let mut opened = source::open(&flags.image)?;
    let base = flags.base.as_deref().map(source::open).transpose()?;
    let files = if flags.files { Some(opened.files()?) } else { None };
    let config = &opened.image.config;
    let reversed = reverse::reverse(config, base.as_ref().map(|b| &b.image.config));
    if base.is_some() && reversed.base.is_none() {
        let what = "was not made from the image given by --base: layers or history differ";
        return Err(Failure::no(what).at(&flags.image));
    }
    let text = output::dockerfile::print(&reversed, config, &flags.image, files.as_ref());
    let mut out = Output::create(flags.output.as_deref())?;
    let name = out.name().to_owned();
    out.write_all(text.as_bytes()).map_err(|e| Failure::io(&name, &e))?;
    out.commit()?;
    Ok(Exit::Done)
}
