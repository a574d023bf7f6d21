//! The attestation: in-toto statement and predicate, in canonical JSON.
//!
//! One statement says what one build did: an in-toto Statement v1 with the predicate runtime-trace v0.1, and under
//! the predicate's key `blubr_build` what that predicate has no place for. [`canonical::write`] gives the same bytes
//! for the same statement; [`canonical::read`] takes them back, skips keys that it doesn't know, and is bounded;
//! [`read_keeping`] does so in little memory, for readers that don't need every list.
//!
//! A statement may leave its long tables to a file that it names by sha256 ([`detail`]); then their keys are missing.
//!
//! A list that may be "not looked at" is an `Option<Vec<_>>`: `null` says *not checked*, `[]` says *checked, nothing found*.
//! The two are never merged.
//!
//! This crate must never read a file, a log or an image, sign, decide what a build did, or redact: it knows the form only.

pub mod build;
pub mod canonical;
pub mod detail;
mod lists;
pub mod path;
pub mod statement;
pub mod trace;

pub use build::BlubrBuild;
pub use canonical::{
    Outline, ReadError, WriteError, each_file, outline, read, read_keeping, write, write_whole,
};
pub use detail::Detail;
pub use lists::Lists;
pub use statement::{PREDICATE_TYPE, Predicate, ResourceDescriptor, STATEMENT_TYPE, Statement};
