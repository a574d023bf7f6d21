//! The detail: its sha256, and that it holds what the statement says.

use std::path::Path;

use blubr_attestation::Statement;
use blubr_cli::Failure;

use super::Answers;
use crate::detail::{Detail, Failed};
use crate::opened::Opener;

/// Checks the file in `path`; where none is named and the statement has one, says that it was not checked.
pub fn check(
    path: Option<&Path>,
    opener: &Opener,
    statement: &mut Statement,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let said = statement.predicate.blubr_build.detail.clone();
    let (said, path) = match (said, path) {
        (None, None) => return Ok(()),
        (Some(_), None) => {
            answers.unchecked.push(("detail", "--detail"));
            return Ok(());
        }
        (None, Some(_)) => {
            answers.bad("detail", "the attestation names no detail file: it has its tables itself");
            return Ok(());
        }
        (Some(said), Some(path)) => (said, path),
    };
    let mut file = Detail::open(path, opener)?;
    let name = file.name().to_owned();
    let found = file.sha256().to_owned();
    if found != said.sha256() {
        let what = format!("{name} has sha256 {found}, the attestation names {}", said.sha256());
        answers.bad("detail", what);
        return Ok(());
    }
    match file.each(&said, statement, |_, _| Ok(())) {
        Ok(()) => {
            let records = said.annotations.records;
            answers.good("detail", format!("{name} has sha256 {found}, {records} records"));
        }
        Err(Failed::Content(error)) => answers.bad("detail", format!("{name}: {error}")),
        Err(Failed::Trouble(failure)) => return Err(failure),
    }
    Ok(())
}
