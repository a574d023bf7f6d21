//! Whether the image was made by this build, or is an older one of that name.

use std::collections::HashSet;

use blubr_build::{Build, Tied};
use blubr_cli::Failure;
use blubr_log::Time;

use super::gather::Gathered;
use super::history::{Alignment, when};
use super::reuse::Reuse;
use super::slots::Slots;
use crate::picture::Picture;

/// How far the image's own time may lie outside the build, in ns: the log's clock is set once, at the recording's start, and
/// the host's may be slewed since.
const SLACK_NS: u64 = 10_000_000;
/// The same for a time in whole seconds, which some engines round down to.
const SLACK_OF_SECONDS_NS: u64 = 1_000_000_000;

/// Whether a time, as an image writes it, lies before another by more than both clocks may be off.
pub fn is_before(text: &str, other: Time) -> bool {
    when(text).is_some_and(|made| made.saturating_add(slack(text)) < other.0)
}

/// How far a time may be off, in ns.
fn slack(text: &str) -> u64 {
    if text.contains('.') { SLACK_NS } else { SLACK_OF_SECONDS_NS }
}

/// How the image's own time lies to the build.
#[derive(Debug, PartialEq, Eq)]
enum Age<'i> {
    /// It has none.
    Unsaid,
    /// What it has is no time.
    NoTime(&'i str),
    /// Before the build.
    Older(&'i str),
    /// After it.
    Newer(&'i str),
    /// Within it.
    Fits,
}

impl<'i> Age<'i> {
    fn of(picture: &'i Picture, build: &Build) -> Self {
        let Some(text) = picture.image.created() else { return Self::Unsaid };
        let Some(made) = when(text) else { return Self::NoTime(text) };
        if is_before(text, build.began.time) {
            return Self::Older(text);
        }
        match build.ended {
            Some(ended) if made > ended.time.0.saturating_add(slack(text)) => Self::Newer(text),
            _ => Self::Fits,
        }
    }

    /// In words, of the image.
    fn said(&self, build: &Build) -> String {
        match self {
            Self::Unsaid => "it does not say when it was made".to_owned(),
            Self::NoTime(text) => format!("it says that it was made at {text:?}, which is no time"),
            Self::Older(text) => {
                format!("it was made at {text}, and the build began at {}", build.began.time)
            }
            Self::Newer(text) => {
                let ended = build.ended.map(|ended| ended.time.to_string()).unwrap_or_default();
                format!("it was made at {text}, and the build ended at {ended}")
            }
            Self::Fits => "its time fits the build".to_owned(),
        }
    }
}

/// What is known of an image of which the record does not show that the engine stored it.
pub fn doubt(picture: &Picture, build: &Build) -> String {
    let time = Age::of(picture, build).said(build);
    format!("{time}, and the record does not show that the engine stored it")
}

/// Whether the build surely carried out, and kept, an instruction of the stages that its target is made of: then its image is no
/// older one. What other stages' steps made, an engine may find to be what they made before, and the target's in its cache.
/// Without a Dockerfile no stage is known, and each step may be the target's.
pub fn is_made_anew(
    build: &Build,
    slots: &Slots,
    alignment: &Alignment,
    reuse: &Reuse,
    dockerfile: bool,
) -> bool {
    if !dockerfile {
        return !build.runs.is_empty();
    }
    let chain: HashSet<usize> = alignment.chain.iter().copied().collect();
    // Upon what stands alone nothing that lies above it in the file need be made anew.
    let of_target = |at: &usize| chain.contains(at) && !reuse.is_alone(*at);
    let is_of_target = |tied: &Tied| match tied {
        Tied::One(at) => of_target(at),
        Tied::Candidates(several) => !several.is_empty() && several.iter().all(of_target),
        Tied::None => false,
    };
    // The ties are in the order of the build's runs.
    let mut all = build.runs.iter().zip(&slots.ties);
    all.any(|(run, tie)| !run.shared && reuse.is_kept(run) && is_of_target(&tie.instruction))
}

/// Refuses an image that this build didn't make: one of another time, where what it made is no older one (`anew`).
pub fn made_by(
    picture: &Picture,
    build: &Build,
    gathered: &Gathered,
    anew: bool,
) -> Result<(), Failure> {
    let age = Age::of(picture, build);
    if !anew || gathered.stored.image_seen.is_some() || matches!(age, Age::Unsaid | Age::Fits) {
        return Ok(());
    }
    let what = format_args!("is not the image that this build made: {}", age.said(build));
    let advice = "name the one it made (--iidfile takes the id that docker build --iidfile wrote)";
    Err(Failure::no(what).at(&picture.reference).advise(advice))
}
