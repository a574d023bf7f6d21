//! Each type of event, provoked by a small real program and looked at field by field.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "events/file.rs"]
mod file;
#[path = "events/log.rs"]
mod log;
#[path = "events/mount.rs"]
mod mount;
#[path = "events/net.rs"]
mod net;
#[path = "events/oracle.rs"]
mod oracle;
#[path = "events/process.rs"]
mod process;
#[path = "events/recording.rs"]
mod recording;
