//! The flags as they are meant: which of the things that this tool does.

use std::path::Path;

use blubr_cli::Failure;

use crate::cli::{Compare, Subject};

/// What to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan<'a> {
    /// Two attestations.
    Two(&'a Path, &'a Path),
    /// An attestation and an image.
    Image(&'a Path, &'a str),
}

/// Makes sense of the flags.
///
/// # Errors
/// When there are too few or too many attestations.
pub fn plan(flags: &Compare) -> Result<Plan<'_>, Failure> {
    let with_image =
        |subject: &Subject| matches!(subject, Subject::Image | Subject::History | Subject::Files);
    match (flags.attestations.as_slice(), &flags.image) {
        (_, Some(_)) if flags.only.iter().any(|s| !with_image(s)) => {
            Err(Failure::new("with --image only image, history and files are compared")
                .advise("change --only"))
        }
        (_, None) if flags.only.contains(&Subject::History) => {
            Err(Failure::new("a history can be compared with --image only").advise("change --only"))
        }
        ([old, new], None) if old == Path::new("-") && new == Path::new("-") => {
            Err(Failure::new("only one of the two attestations can come from standard input"))
        }
        ([old, new], None) => Ok(Plan::Two(old, new)),
        ([one], Some(image)) => Ok(Plan::Image(one, image)),
        ([_, _], Some(_)) => Err(Failure::new("with --image there is one attestation, not two")),
        ([_], None) => {
            Err(Failure::new("one attestation alone")
                .advise("name a second one, or an image by --image"))
        }
        _ => Err(Failure::new("nothing to compare")
            .advise("name two attestations, or one and --image; see --help")),
    }
}
