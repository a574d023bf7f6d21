//! Whether the image was made by this build, or is an older one of that name.

use blubr_build::Build;
use blubr_cli::Failure;
use blubr_log::Time;

use super::gather::Gathered;
use super::history::when;
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

/// Refuses an image that this build didn't make: one that is older, while steps were run.
pub fn made_by(picture: &Picture, build: &Build, gathered: &Gathered) -> Result<(), Failure> {
    if gathered.stored.image_seen.is_some() {
        return Ok(());
    }
    let refuse = |why: String| {
        let what = format_args!("is not the image that this build made: {why}");
        let advice = "name the one it made (--iidfile takes the id that docker build --iidfile wrote)";
        Err(Failure::no(what).at(&picture.reference).advise(advice))
    };
    // Everything from the cache: the image is as old as its last step, and rightly so.
    if build.runs.is_empty() {
        return Ok(());
    }
    let Some(text) = picture.image.created() else { return Ok(()) };
    let Some(made) = when(text) else {
        return refuse(format!("it says that it was made at {text:?}, which is no time"));
    };
    let slack = slack(text);
    if is_before(text, build.began.time) {
        return refuse(format!("it was made at {text}, and the build began at {}", build.began.time));
    }
    if let Some(ended) = build.ended
        && made > ended.time.0.saturating_add(slack)
    {
        return refuse(format!("it was made at {text}, and the build ended at {}", ended.time));
    }
    Ok(())
}
