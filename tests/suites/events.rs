//! Each type of event, provoked by a small real program and looked at field by field.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "events/compat.rs"]
mod compat;
#[path = "events/file.rs"]
mod file;
#[path = "events/io_uring.rs"]
mod io_uring;
#[path = "events/log.rs"]
mod log;
#[path = "events/mount.rs"]
mod mount;
#[path = "events/names.rs"]
mod names;
#[path = "events/net.rs"]
mod net;
#[path = "events/odd.rs"]
mod odd;
#[path = "events/passing.rs"]
mod passing;
#[path = "events/path.rs"]
mod path;
#[path = "events/process.rs"]
mod process;
#[path = "events/programs.rs"]
mod programs;
#[path = "events/recording.rs"]
mod recording;
#[path = "events/watch.rs"]
mod watch;
