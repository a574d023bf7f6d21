//! Showing an attestation: to people, as JSON, or as a list for sha256sum -c.

mod connections;
mod head;
mod page;
mod steps;
mod sums;
mod unexplained;
mod verdict;

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use blubr_attestation::Lists;
use blubr_attestation::build::File;
use blubr_attestation::detail::Filler;
use blubr_cli::{Common, Exit, Failure, Output, printable_json};
use blubr_envelope::Opened;

use crate::cli::Show;
use crate::detail::Detail;
use crate::opened::{self, Opener};

/// Carries out `blubr-attest show`.
pub fn run(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let (name, opened, opener) = args.attestation.open()?.or_trouble()?;
    let detail = args.detail.as_deref().map(|path| (path, &opener));
    let bytes = if args.json {
        let bytes = json(&name, opened, detail)?;
        if std::io::stdout().is_terminal() { for_terminal(bytes) } else { bytes }
    } else if args.sha256sum {
        sums::list(&name, &opened, detail, std::io::stdout().is_terminal())?
    } else {
        page::of(&name, &opened, detail, common.color.for_stdout())?
    };
    let mut output = Output::create(None)?;
    output.write_all(&bytes).map_err(|error| Failure::io(output.name(), &error))?;
    output.commit()?;
    Ok(Exit::Done)
}

/// A detail file, and what opens it.
type From<'a> = Option<(&'a Path, &'a Opener)>;

/// The statement as it is; with a detail, every table in its place.
fn json(name: &str, opened: Opened, detail: From<'_>) -> Result<Vec<u8>, Failure> {
    let Some((path, opener)) = detail else {
        opened::statement(name, &opened, Lists::NONE)?;
        return Ok(opened.into_statement_bytes());
    };
    let mut statement = opened::statement(name, &opened, Lists::ALL)?;
    drop(opened);
    let mut filler = Filler::default();
    Detail::each_of(path, opener, &mut statement, |record, statement| filler.put(record, statement))?;
    blubr_attestation::write_whole(&statement).map_err(|error| Failure::new(error).at(name))
}

/// What says the same, and neither drives a terminal nor misleads who looks at it. Elsewhere the bytes are those that were
/// signed.
fn for_terminal(json: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&json).map(printable_json) {
        Ok(Cow::Owned(shown)) => shown.into_bytes(),
        _ => json,
    }
}

fn each_file(name: &str, statement: &[u8], take: impl FnMut(File)) -> Result<bool, Failure> {
    blubr_attestation::each_file(statement, take).map_err(|error| Failure::new(error).at(name))
}
