//! From a log, a Dockerfile and an image to a statement.
//!
//! The log is gone over twice: once to find the build and its steps, once to gather what each step did. Memory grows with
//! what is kept (programs, connections, distinct paths), not with the log.

mod apart;
mod arguments;
mod checks;
mod connections;
mod contradicted;
mod doing;
mod facts;
mod fetches;
mod first;
mod gather;
mod given;
mod history;
mod interval;
mod judge;
mod names;
mod reuse;
mod run_line;
mod runs;
mod slots;
mod statement;
mod steps;
mod stored;
mod tails;
mod written;

use std::path::Path;

use blubr_attestation::build::{BlubrBuild, Recording};
use blubr_build::Build;
use blubr_cli::{Common, Exit, Failure, Input};

use crate::cli::Require;
use crate::crosscheck;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::{TOOL, detail, prior, redact, write};

pub use checks::{EXPLAINED, of_outside};
pub use history::when;

/// What the cross-check is made of.
pub mod parts {
    #[cfg(test)]
    pub use super::doing::Budget;
    pub use super::doing::{Doing, Trail};
    pub use super::first::First;
    pub use super::gather::Gathered;
    #[cfg(test)]
    pub use super::given::Loose;
    pub use super::given::{Fact, Given, Made, Said, Xattr};
    pub use super::history::{Alignment, is_made_in, when};
    pub use super::reuse::Reuse;
    pub use super::slots::{Slot, Slots};
    pub use super::tails::Tails;
}

/// Carries out the assembling that the plan asks for.
pub fn run(plan: &Plan, common: &Common) -> Result<Exit, Failure> {
    let keys = write::Keys::read(plan)?;
    let priors = prior::read(plan, &keys)?;
    let mut log = Input::open(plan.log.as_deref())?.spool()?;
    let mut first = first::read(&mut log)?;
    if let Some(cut) = &first.summary.cut {
        common.note(TOOL, format_args!("{}: {cut}", log.name()));
    }
    let build =
        first.builds.pick(plan.build).map_err(|error| Failure::no(error).at(log.name()))?.clone();
    not_failed(plan, &build, &first, log.name())?;
    let mut dockerfile = plan.dockerfile.as_deref().map(facts::Dockerfile::read).transpose()?;
    // Only now, when the log has ended, does the name mean what was built.
    let mut picture = match &plan.image {
        Some(at) => Some(Picture::find(&at.reference()?)?),
        None => None,
    };
    let context = plan.context.as_deref().map(facts::context).transpose()?;
    if let (Some(file), Some(picture)) = (&mut dockerfile, &picture)
        && let Some(triggers) = history::triggers(&file.parsed, &build, &picture.image.config)
    {
        file.lay(&triggers);
    }
    let alignment = match (&dockerfile, &picture) {
        (Some(file), Some(picture)) => history::align(&file.parsed, &build, &picture.image.config),
        _ => history::Alignment::default(),
    };
    let parsed = dockerfile.as_ref().map(|file| &file.parsed);
    let build = match parsed {
        Some(parsed) => first.builds.tell_apart(build.number, parsed).cloned().unwrap_or(build),
        None => build,
    };
    let slots = slots::Slots::new(&build, parsed, &alignment.contradicted);
    if let Some(path) = &plan.dockerfile {
        of_another_file(&slots, &build, path, common);
    }
    let has_detail = plan.outputs.detail.is_some();
    let wanted = gather::Wanted::new(dockerfile.as_ref(), picture.as_ref(), &build, has_detail);
    let gathered = gather::read(&mut log, &first, &build, &slots, wanted)?;
    // A client whose start was lost may have begun before its first event.
    let is_begun = gathered.late || build.argv.is_empty();
    let reuse = reuse::Reuse::new((&build, first.header.started, is_begun), &slots, &alignment, parsed);
    let anew = judge::is_made_anew(&build, &slots, &alignment, &reuse, parsed.is_some());
    if let Some(picture) = &picture {
        judge::made_by(picture, &build, &gathered, anew)?;
    }
    let crossed = match &mut picture {
        Some(picture) => {
            let record = crosscheck::Record::new(&build, &slots, &gathered, &alignment, &reuse);
            Some(crosscheck::cross(picture, &record, &first, has_detail)?)
        }
        None => None,
    };
    let parts = statement::Parts {
        first: &first,
        build: &build,
        dockerfile: dockerfile.as_ref(),
        context,
        picture: picture.as_ref(),
        slots: &slots,
        gathered,
        alignment,
        reuse: &reuse,
        anew,
        crossed,
        priors: &priors,
    };
    let statement = statement::make(parts);
    let (bytes, statement, detail) = match &plan.outputs.detail {
        None => {
            let (bytes, statement) = redacted(statement)?;
            (bytes, statement, None)
        }
        Some(path) => {
            let parted = detail::part(statement, path)?;
            (parted.bytes, parted.statement, Some(parted.packed))
        }
    };
    write::all(plan, &keys, &bytes, detail)?;
    Ok(required(plan, &statement.predicate.blubr_build))
}

/// Says that containers ran what the Dockerfile does not tell. The statement has them without a step, and the file's own steps as
/// not observed; whoever named the wrong file should not learn it from there.
fn of_another_file(slots: &slots::Slots, build: &Build, dockerfile: &Path, common: &Common) {
    let ran = slots.untied(build).filter(|run| run.first_exec.is_some()).count();
    if ran > 0 {
        common.note(
            TOOL,
            format_args!(
                "{}: no RUN of it gives what ran in {ran} of the build's containers: is it the file that was built?",
                dockerfile.display()
            ),
        );
    }
}

/// Takes secrets out and writes down how many.
fn redacted(
    statement: blubr_attestation::Statement,
) -> Result<(Vec<u8>, blubr_attestation::Statement), Failure> {
    let bytes = blubr_attestation::write(&statement).map_err(Failure::new)?;
    drop(statement);
    let text = String::from_utf8(bytes).map_err(Failure::new)?;
    let (text, taken) = redact::json(&text);
    let mut clean = blubr_attestation::read(text.as_bytes()).map_err(Failure::new)?;
    drop(text);
    let count = taken.count();
    clean.predicate.blubr_build.redactions =
        blubr_attestation::build::Redactions { count, kinds: taken.kinds };
    let bytes = blubr_attestation::write(&clean).map_err(Failure::new)?;
    Ok((bytes, clean))
}

/// A build that failed is not attested: an image of that name would be an older one.
fn not_failed(plan: &Plan, build: &Build, first: &first::First, name: &str) -> Result<(), Failure> {
    if plan.allow_failed {
        return Ok(());
    }
    let client = build.exit.and_then(|ended| match (ended.code, ended.signal) {
        (Some(0), _) | (None, None) => None,
        (Some(code), _) => Some(format!("the build's client ended with exit status {code}")),
        (None, Some(signal)) => Some(format!("the build's client was ended by signal {signal}")),
    });
    let command = first.command_exit().filter(|&code| code != 0);
    let command = command.map(|code| format!("the recorded command ended with exit status {code}"));
    match client.or(command) {
        None => Ok(()),
        Some(what) => Err(Failure::no(format_args!("{what}: the build failed and is not attested"))
            .at(name)
            .advise("--allow-failed attests it all the same")),
    }
}

/// Whether what is required holds; each thing that doesn't is said.
fn required(plan: &Plan, build: &BlubrBuild) -> Exit {
    let mut exit = Exit::Done;
    for require in &plan.require {
        let completeness = &build.completeness;
        let missing = match require {
            _ if checks::is_filtered(build) => {
                let what = match require {
                    Require::Complete => "complete",
                    Require::Explained => "explained",
                    Require::Observed => "observed",
                };
                Some(format!("{what}: {}", crosscheck::FILTERED))
            }
            Require::Complete if completeness.recording == Recording::Complete => None,
            Require::Complete => Some(
                "complete: events were lost, or the log begins after the build or ends before it"
                    .to_owned(),
            ),
            Require::Explained => match &build.unexplained {
                None => Some("explained: it could not be checked".to_owned()),
                Some(list) if list.is_empty() => checks::why_not_explained(build),
                Some(list) => Some(format!("explained: {} entries are not", list.len())),
            },
            Require::Observed => {
                let unseen = build.steps.iter().filter(|step| checks::is_unseen(step)).count();
                (unseen > 0)
                    .then(|| format!("observed: {unseen} steps were not seen, or can't be told apart"))
            }
        };
        if let Some(missing) = missing {
            // A verdict is said even when told to be quiet: it is why the exit status is 1.
            blubr_cli::say(TOOL, format_args!("required and not so: {missing}"));
            exit = Exit::No;
        }
    }
    exit
}

/// A path's name for diagnostics and statements.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
