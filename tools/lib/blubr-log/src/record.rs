//! The lines that speak of the log itself: header, lost, checkpoint, trailer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Time;

/// Which program wrote it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name, such as `blubr-record`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The machine that was recorded.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Machine, as `uname -m` prints it.
    pub arch: String,
    /// /proc/sys/kernel/random/boot_id: `start` and `cgroup_id` mean nothing under another one.
    pub boot_id: String,
    /// SHA-256 of /etc/machine-id with a fixed prefix: tells hosts apart without naming them. `null` where the host has none.
    pub machine_id_hash: Option<String>,
    /// `v2`, `hybrid` or `v1`.
    pub cgroup: String,
    /// Addresses of the host's DNS servers (/etc/resolv.conf).
    pub resolvers: Vec<String>,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Name of the program.
    pub name: String,
    /// Where in the kernel it is attached, such as `tp_btf/sys_exit`.
    pub attach: String,
}

/// Something that this recording can't see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCovered {
    /// What: a type of event or a family of calls, such as `io_uring`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// One filter that the log has been through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The tool.
    pub tool: String,
    /// Its arguments, less the names of input and output.
    pub args: Vec<String>,
}

/// Where a part stands in a recording that is written in parts, each a log of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number; parts of one recording follow one another without a gap.
    pub number: u64,
    /// SHA-256 of every byte of the part before it; `null` in a recording's first.
    pub previous: Option<String>,
    /// Events of the recording before this part: its first event has the next `seq`.
    pub events: u64,
}

/// The first line.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `header`.
    pub r#type: String,
    /// [`SCHEMA`](crate::SCHEMA).
    pub schema: String,
    /// Which program recorded it.
    pub tool: Tool,
    /// When the recording, or this part of it, began.
    pub started: Time,
    /// Where.
    pub host: Host,
    /// By what means: `tracepoint`.
    pub backend: String,
    /// The probes that were attached.
    pub hooks: Vec<Hook>,
    /// What this kernel or this recorder does not let us see.
    pub not_covered: Vec<NotCovered>,
    /// Whose events are recorded: `host`.
    pub scope: String,
    /// The command that was recorded; absent for a monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What is cut: `command`, where it is longer than what is kept of a program's arguments (128 KiB).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<String>,
    /// Process id of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_pid: Option<u32>,
    /// Where a part stands; absent where the recording is not written in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The filters that the log has been through, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Events that the recorder could not keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// `lost`.
    pub r#type: String,
    /// Not before this time.
    pub after: Time,
    /// Not after this time.
    pub before: Time,
    /// How many.
    pub lost: u64,
    /// How many of these tasks had to give up that are neither root's nor in a container nor the recorded command's, because
    /// the ring was more than half full. They may have been on a build's files all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_outside: u64,
    /// How many of each type of event; under `io_uring` what rings answered, whose events then have no `ret`, and under the name of
    /// a tracepoint (`sys_exit`) what the kernel passed the probe there over for, of which nobody knows the type.
    pub by_type: BTreeMap<String, u64>,
}

/// A link of the hash chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// `checkpoint`.
    pub r#type: String,
    /// Events of the recording before this line.
    pub events: u64,
    /// Events of the recording lost so far.
    pub lost: u64,
    /// SHA-256 of every byte of this log (this part) before this line.
    pub sha256: String,
}

/// An input of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// SHA-256 of its bytes (of the lines, where it was compressed).
    pub sha256: String,
    /// Events in it.
    pub events: u64,
    /// Events that were passed on.
    pub passed: u64,
    /// Events that its recorder lost.
    pub lost: u64,
    /// Whether it had its trailer.
    pub complete: bool,
    /// For one cut off: up to which event its last checkpoint holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<u64>,
    /// Exit status of the recorded command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Its own sources, where it had been filtered before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// `trailer`.
    pub r#type: String,
    /// Events of each type.
    pub events: BTreeMap<String, u64>,
    /// Events that were lost.
    pub lost: u64,
    /// How many of these were given up because they were of tasks outside: see [`Lost`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_outside: u64,
    /// When the recording ended.
    pub ended: Time,
    /// The recording goes on in another part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// Exit status of the command (128+N for a signal); absent for a monitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The inputs, of a filtered log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// SHA-256 of every byte before this line.
    pub sha256: String,
}

/// `type` of each such line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineMark {
    /// `header`
    Header,
    /// `lost`
    Lost,
    /// `checkpoint`
    Checkpoint,
    /// `trailer`
    Trailer,
}

impl LineMark {
    /// As the log spells it.
    pub const fn name(self) -> &'static str {
        match self {
            LineMark::Header => "header",
            LineMark::Lost => "lost",
            LineMark::Checkpoint => "checkpoint",
            LineMark::Trailer => "trailer",
        }
    }
}
