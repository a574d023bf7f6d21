//! Whose event is this: the builds in a log, their containers and steps, and the evidence for each.
//!
//! * [`Finder`] reads a log's events in order and finds the builds in it ([`Builds`]).
//! * [`Membership`] goes over the same events again and says of each where it belongs ([`Place`]).
//! * [`tie()`] says from which instruction of a Dockerfile each step came.
//!
//! Engines are known by what they do: they made the mounts that a runtime then entered. A name, an
//! argument or a control group alone proves nothing here.
//!
//! This crate never opens a file, prints, or decides between two answers that both fit.

mod anew;
mod aside;
mod askers;
mod beside;
mod build;
mod chains;
mod context;
mod decide;
mod export;
mod finder;
mod fits;
mod gaps;
mod groups;
mod inside;
mod layout;
mod membership;
mod mounts;
mod nearest;
mod owner;
mod parts;
mod path;
mod places;
mod process;
mod shared;
mod steps;
#[cfg(test)]
mod tests;
mod tie;
mod traces;
mod trees;
mod worlds;

pub use blubr_dockerfile::Dockerfile;
pub use build::{
    Build, Builds, Context, Ended, Engine, Evidence, FirstExec, Layer, Made, Moment, MountPoint,
    NoBuild, ProcessKey, RunKind, StepRun,
};
pub use finder::{FindError, Finder};
pub use membership::{Area, Membership, Place, Spot, names_outside};
pub use shared::{is_shared_argument, shared_argument};
pub use tie::{Tie, TieEvidence, Tied, steps_at, tie};

/// The most processes that may live at once in a log, as a bound on memory; Linux itself allows
/// 4,194,304 (`PID_MAX_LIMIT`), no build host comes near this.
pub const PROCESSES_MAX: usize = 1 << 17;
