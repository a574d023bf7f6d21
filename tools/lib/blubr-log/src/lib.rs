//! The log format `blubr.log/1`: events, reader, writer and hash chain.
//!
//! A log is NDJSON: a `header`, then events, `lost` lines and `checkpoint`s, and last a `trailer`. Each
//! checkpoint, and the trailer, holds the SHA-256 of every byte before its own line.
//!
//! * [`event`] is the schema: one struct a type, one documented field a key. Key order, blubr.log(5)
//!   and the reader follow from it.
//! * [`Reader`] yields lines from hostile input, checks the chain and the sequence, and says at the end
//!   what the log is worth ([`Summary`]).
//! * [`Writer`] writes lines and keeps the chain; an event costs no allocation.
//! * [`Kept`] compares a log with checkpoints of it that were kept elsewhere.
//! * [`Compressed`] and [`Plain`] are zstd around it; the chain is over the bytes inside.
//!
//! This crate never opens a file, reads a clock, or knows what a build is.

mod ahead;
pub mod chain;
pub mod event;
mod frames;
mod json;
mod kept;
mod line;
mod linked;
mod name;
mod reader;
mod record;
mod summed;
#[cfg(test)]
mod tests;
mod time;
mod writer;

pub use event::{Body, Event, Head, Tail};
pub use frames::{Compressed, Plain};
pub use kept::{Kept, KeptError, Verdict};
pub use line::{Line, LineKind};
pub use linked::behind_descriptor;
pub use name::{Name, NameList, Seen};
pub use reader::{Cut, ReadError, ReadErrorKind, Reader, Summary};
pub use record::{
    Checkpoint, Filter, Header, Hook, Host, LineMark, Lost, NotCovered, Part, Source, Tool, Trailer,
};
pub use summed::Summed;
pub use time::Time;
pub use writer::{Mark, Writer};

/// The schema that this crate reads and writes.
pub const SCHEMA: &str = "blubr.log/1";

/// The longest line, in bytes with its newline; a longer one is refused.
pub const LINE_MAX: usize = 1 << 20;

/// The most lines between two checkpoints.
pub const CHECKPOINT_LINES: u64 = 10_000;

/// The longest time between two checkpoints of a recording, in seconds.
pub const CHECKPOINT_SECONDS: u64 = 5;
