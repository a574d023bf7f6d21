//! What the recorded command asked of the build.

use blubr_attestation::BlubrBuild;
use blubr_dockerfile::{Dockerfile, asked};

/// Names and values of the build arguments that it gave, in its order. One without a value came from the client's
/// environment, which no record has.
pub fn given(build: &BlubrBuild) -> Vec<(String, String)> {
    let words: Vec<&str> = build.build.argv.iter().map(String::as_str).collect();
    let given = asked::build_args(&words);
    given.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

/// The stage that it asked for; the last one where it named none that is there.
pub fn stage(build: &BlubrBuild, file: &Dockerfile) -> Option<usize> {
    let words: Vec<&str> = build.build.argv.iter().map(String::as_str).collect();
    file.target(asked::target(&words)).or_else(|| file.target(None))
}
