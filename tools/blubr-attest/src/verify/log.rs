//! The log: its sha256, its chain, and checkpoints that were kept apart.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use blubr_attestation::build::{Log, Source};
use blubr_cli::{Failure, Input};
use blubr_log::{Checkpoint, LineKind, ReadErrorKind, Reader, Summary};

use super::Answers;

/// The most checkpoints taken from a file; at one in five seconds a year's.
const CHECKPOINTS_MAX: usize = 6_400_000;
/// The longest line of such a file, in bytes; a checkpoint has about 150.
const CHECKPOINT_LINE_BYTES_MAX: u64 = 4096;

/// Checks the log in `path` against what the attestation says of it, and against checkpoints kept apart.
pub fn check(
    said: &Log,
    path: &Path,
    checkpoints: Option<&Path>,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let kept = checkpoints.map(read_checkpoints).transpose()?;
    let name = path.display().to_string();
    let walked = walk(path, kept.as_deref())?;
    match &walked.end {
        Err((line, what)) => answers.bad("log", format!("{name}:{line}: {what}")),
        Ok(summary) => {
            let cut = summary.cut.as_ref();
            let state = cut.map_or_else(
                || "whole".to_owned(),
                |cut| format!("cut off: its last checkpoint is after event {}", cut.events),
            );
            matching(said, summary, &name, &state, answers);
        }
    }
    if let Some(kept) = kept {
        let total = kept.len();
        match walked.missing {
            _ if walked.end.is_err() && walked.missing.is_none() && walked.held < total => {
                answers.bad("checkpoints", format!("{} of {total} hold; the log can't be read on", walked.held));
            }
            None if walked.held == total => answers.good("checkpoints", format!("all {total} kept apart are in the log")),
            None => answers.bad("checkpoints", format!("{} of {total} are in the log, which ends before the others", walked.held)),
            Some((before, event)) => answers.bad(
                "checkpoints",
                format!("the one kept apart after event {event} is not in the log: it was changed after event {before}"),
            ),
        }
    }
    Ok(())
}

fn matching(said: &Log, found: &Summary, name: &str, state: &str, answers: &mut Answers) {
    if found.sha256 == said.sha256 {
        answers.good(
            "log",
            format!("{name} has sha256 {}, {} events, {state}", found.sha256, found.events),
        );
    } else if in_sources(&said.sources, &found.sha256) {
        let what = "is the log that the attested one was filtered out of";
        answers.good(
            "log",
            format!("{name} {what}: sha256 {}, {} events, {state}", found.sha256, found.events),
        );
    } else {
        let sources: String =
            said.sources.iter().map(|source| format!(", filtered out of {}", source.sha256)).collect();
        answers.bad(
            "log",
            format!(
                "{name} has sha256 {}, the attestation was made from {}{sources}",
                found.sha256, said.sha256
            ),
        );
    }
}

fn in_sources(sources: &[Source], sha256: &str) -> bool {
    sources.iter().any(|source| source.sha256 == sha256 || in_sources(&source.sources, sha256))
}

/// What going over the log gave.
struct Walked {
    /// What it is worth; or the line that doesn't hold, and why.
    end: Result<Summary, (u64, String)>,
    /// How many of the kept checkpoints were met.
    held: usize,
    /// The last kept checkpoint that held (its events) and the first that didn't.
    missing: Option<(u64, u64)>,
}

fn walk(path: &Path, kept: Option<&[Checkpoint]>) -> Result<Walked, Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let mut walked = Walked { end: Err((0, String::new())), held: 0, missing: None };
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return trouble_or(error, walked, &name),
    };
    loop {
        let line = match reader.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => return trouble_or(error, walked, &name),
        };
        let (LineKind::Checkpoint(found), Some(kept)) = (&line.kind, kept) else { continue };
        match kept.get(walked.held) {
            Some(wanted) if walked.missing.is_none() && found.events >= wanted.events => {
                if wanted.sha256 == found.sha256 && wanted.events == found.events {
                    walked.held += 1;
                } else {
                    let before = walked
                        .held
                        .checked_sub(1)
                        .and_then(|at| kept.get(at))
                        .map_or(0, |one| one.events);
                    walked.missing = Some((before, wanted.events));
                }
            }
            _ => {}
        }
    }
    walked.end = Ok(reader.summary());
    Ok(walked)
}

/// A log that doesn't hold is an answer; one that can't be read, or is none, is trouble.
fn trouble_or(error: blubr_log::ReadError, walked: Walked, name: &str) -> Result<Walked, Failure> {
    match error.kind {
        ReadErrorKind::Io(_) | ReadErrorKind::Empty | ReadErrorKind::Schema(_) => {
            Err(Failure::new(&error.kind).at(format_args!("{name}:{}", error.line)))
        }
        _ => Ok(Walked { end: Err((error.line, error.kind.to_string())), ..walked }),
    }
}

fn read_checkpoints(path: &Path) -> Result<Vec<Checkpoint>, Failure> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| Failure::io(&name, &error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut kept = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(CHECKPOINT_LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            break;
        }
        let at = format!("{name}:{}", kept.len() + 1);
        let parsed: Checkpoint = serde_json::from_slice(&line)
            .map_err(|error| Failure::new(format_args!("not a checkpoint: {error}")).at(&at))?;
        kept.push(parsed);
        if kept.len() > CHECKPOINTS_MAX {
            return Err(Failure::new(format_args!("more than {CHECKPOINTS_MAX} checkpoints")).at(&name));
        }
    }
    if kept.is_empty() {
        return Err(Failure::new("holds no checkpoint")
            .at(&name)
            .advise("blubr-record --checkpoints-to writes such a file"));
    }
    Ok(kept)
}
