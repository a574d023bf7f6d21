//! The log: its sha256, its chain, and checkpoints that were kept apart.

use std::io::BufReader;
use std::path::Path;

use blubr_attestation::build::{Log, Source};
use blubr_cli::{Failure, Input};
use blubr_log::{Kept, KeptError, LineKind, ReadError, ReadErrorKind, Reader, Summary, Verdict};

use super::Answers;

/// Checks the log in `path` against what the attestation says of it, and against checkpoints kept apart.
pub fn check(
    said: &Log,
    path: &Path,
    checkpoints: Option<&Path>,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let name = path.display().to_string();
    let walked = walk(path, checkpoints)?;
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
    let broken = walked.end.is_err();
    match walked.kept {
        None => {}
        Some(Verdict::All { checkpoints, .. }) => {
            answers.good("checkpoints", format!("all {checkpoints} kept apart are in the log"));
        }
        Some(Verdict::Short { after }) if broken => {
            let what = format!("those up to event {after} hold; the log can't be read on");
            answers.bad("checkpoints", what);
        }
        Some(Verdict::Short { after }) => {
            let what = format!("those up to event {after} are in the log, which ends before the others");
            answers.bad("checkpoints", what);
        }
        Some(Verdict::Changed { after, before }) => answers.bad(
            "checkpoints",
            format!("the one kept apart after event {before} is not in the log: it was changed after event {after}"),
        ),
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
    /// What the checkpoints that were kept say of it, where some were.
    kept: Option<Verdict>,
}

fn walk(path: &Path, checkpoints: Option<&Path>) -> Result<Walked, Failure> {
    let file = checkpoints.map(|path| Input::open(Some(path))).transpose()?;
    let place = file.as_ref().map_or(String::new(), |file| file.name().to_owned());
    let unusable = |error: KeptError| {
        Failure::new(error).at(&place).advise("name what blubr-record --checkpoints-to wrote")
    };
    let mut kept = file.map(|file| Kept::new(BufReader::new(file))).transpose().map_err(unusable)?;
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let end = match Reader::new(input) {
        Err(error) => Err(not_held(error, &name)?),
        Ok(mut reader) => loop {
            match reader.next_line() {
                Ok(None) => break Ok(reader.summary()),
                Err(error) => break Err(not_held(error, &name)?),
                Ok(Some(line)) => {
                    if let (LineKind::Checkpoint(found), Some(kept)) = (&line.kind, &mut kept) {
                        kept.meet(found).map_err(unusable)?;
                    }
                }
            }
        },
    };
    Ok(Walked { end, kept: kept.map(|kept| kept.verdict()) })
}

/// A log that doesn't hold is an answer; one that can't be read, or is none, is trouble.
fn not_held(error: ReadError, name: &str) -> Result<(u64, String), Failure> {
    match error.kind {
        ReadErrorKind::Io(_) | ReadErrorKind::Empty | ReadErrorKind::Schema(_) => {
            Err(Failure::new(&error.kind).at(format_args!("{name}:{}", error.line)))
        }
        _ => Ok((error.line, error.kind.to_string())),
    }
}
