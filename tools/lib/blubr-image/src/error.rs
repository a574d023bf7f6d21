//! What can be wrong with an image.

use std::io;

use thiserror::Error as ThisError;

/// What is wrong with an image, with the facts that place it.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Not `sha256:` and 64 lower-case hex digits, nor `sha512:` and 128.
    #[error("'{text}' is not a digest (sha256: and 64 lower-case hex digits, or sha512: and 128)")]
    Digest {
        /// The beginning of what was read.
        text: String,
    },
    /// JSON that is not the document it should be.
    #[error("{what} is not what it should be: {reason}")]
    Json {
        /// Which document: "image config", "image manifest", "index.json".
        what: &'static str,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A document or list that is larger than any honest image's.
    #[error("{what} has {size}, more than the {limit} that are accepted")]
    TooLarge {
        /// Which one.
        what: &'static str,
        /// How large it is, or says it is.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Bytes that don't have the digest under which they are stored.
    #[error("{what} should be {expected} but is {found}: it was altered or cut")]
    WrongDigest {
        /// Which bytes.
        what: String,
        /// The digest by which they were asked for.
        expected: String,
        /// The digest that they have.
        found: String,
    },
    /// The image's parts don't belong together.
    #[error("{reason}")]
    Inconsistent {
        /// Which parts, and how.
        reason: String,
    },
    /// A layer that is not a sound tar archive.
    #[error("at byte {offset} of the tar archive: {reason}")]
    Layer {
        /// Offset in the uncompressed tar stream, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The place where the image lies says no: not found, ambiguous, not authorised.
    #[error("{0}")]
    Source(String),
    /// Reading failed.
    #[error("{what}: {error}")]
    Io {
        /// What was read.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
}
