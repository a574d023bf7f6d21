//! strace as the judge: the same run under strace and under blubr-record, every call of one and every event of the other,
//! argument for argument, in the order of each thread.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod expected;
mod facts;
mod files;
#[cfg(feature = "all")]
mod long;
mod probes;
mod rings;
mod run;
mod strace;
mod workloads;
