//! Dockerfiles: parsed as the engines parse them, variables replaced, RUN lines turned into the argv that is executed.
//!
//! [`Dockerfile::parse`] follows BuildKit's `frontend/dockerfile/parser`; [`Dockerfile::parse_as`] takes the older rules of
//! Docker 20.10 and those of buildah's imagebuilder, which cut some files differently. [`Dockerfile::read_as`] only cuts,
//! and [`Dockerfile::objections`] are what BuildKit's `instructions` would say next. Each [`Instruction`] has the lines
//! it stands on, its source, its flags and words as the parser splits them (quotes and variables untouched, because that
//! is how engines keep them), and its heredocs. [`Instruction::shell_commands`] gives the argv of a RUN, engine by engine.
//! [`expand`] replaces variables; [`Scope`] does it down a stage, with ARG and ENV; [`evaluate`] down a whole file, for a
//! target and a platform. [`Dockerfile::with_triggers`] lays ONBUILD triggers in where they are run. [`fronts`] takes from in
//! front of an instruction what an engine put there as it wrote it down, and [`asked`] reads what a client's command line asks for.
//!
//! Everything is a pure function of its arguments and bounded by [`limits`]. This crate must never open a file, read the
//! environment, know of logs or images, or execute what a Dockerfile says.

pub mod asked;
mod check;
mod command;
mod dialect;
mod directive;
mod duration;
mod error;
mod evaluate;
mod expand;
mod flags;
pub mod fronts;
mod gotext;
mod heredoc;
mod instruction;
mod json;
pub mod limits;
mod mount;
mod parser;
mod pattern;
mod platform;
mod ports;
mod reference;
mod scope;
mod stages;
mod step;
mod triggers;
mod variables;
mod words;

pub use command::{Engine, ShellCommand, default_shell, without_mounted};
pub use dialect::Dialect;
pub use directive::Directive;
pub use duration::nanoseconds;
pub use error::{Objection, ParseError, Weight};
pub use evaluate::{BuildOptions, DEFAULT_PATH, evaluate};
pub use expand::{ExpandError, expand};
pub use heredoc::{Heredoc, heredoc_names};
pub use instruction::{Instruction, Origin, is_keyword};
pub use parser::{Dockerfile, Stage};
pub use platform::Platform;
pub use scope::Scope;
pub use stages::{StageNames, chain};
pub use step::Evaluated;
pub use words::flags_apart;
