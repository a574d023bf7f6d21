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
#[cfg(test)]
mod aside_tests;
mod askers;
mod beside;
#[cfg(test)]
mod beside_tests;
mod build;
mod chains;
#[cfg(test)]
mod concurrent_tests;
mod context;
#[cfg(test)]
mod copies_tests;
mod decide;
#[cfg(test)]
mod entrants_tests;
mod export;
mod finder;
mod fits;
mod gaps;
mod groups;
#[cfg(test)]
mod heredocs_tests;
mod inside;
#[cfg(test)]
mod late_tests;
mod layout;
#[cfg(test)]
mod masters_tests;
mod membership;
mod mounts;
mod nearest;
#[cfg(test)]
mod nested_tests;
mod owner;
mod parts;
#[cfg(test)]
mod parts_tests;
mod path;
mod places;
#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod prepared_tests;
mod process;
#[cfg(test)]
mod put_old_tests;
#[cfg(test)]
mod registered_tests;
#[cfg(test)]
mod reused_tests;
mod shared;
mod steps;
#[cfg(test)]
mod strangers_tests;
#[cfg(test)]
mod tests;
mod tie;
#[cfg(test)]
mod told_tests;
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
