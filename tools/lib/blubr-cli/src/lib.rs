//! What the command lines of the five tools share.
//!
//! * [`run`] turns a tool's result into its exit status.
//! * [`Exit`] and [`Failure`]: how a tool ends, and the one line that says why.
//! * [`Input`]: a file or standard input; [`Input::spool`] makes it seekable.
//! * [`Output`]: a file that is never half written, or standard output.
//! * [`say`]: a line on standard error, heard or not.
//! * [`Common`]: the flags that every tool has.
//!
//! This crate never knows what a log, a build or an attestation is.

mod common;
mod diagnostic;
mod exit;
mod failure;
mod generate;
mod input;
mod output;
mod owner;
mod run;
mod text;

pub use common::{Color, Common};
pub use diagnostic::say;
pub use exit::Exit;
pub use failure::Failure;
pub use input::{Input, Spooled, spool_file, unlinked_file};
pub use output::{Output, Stage, special};
pub use owner::give_to_caller;
pub use run::run;
pub use text::{misleads, printable, printable_json};
