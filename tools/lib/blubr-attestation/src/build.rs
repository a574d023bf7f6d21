//! The extension `blubr_build`: the build, its steps tied to Dockerfile lines, the files it made, and what is not known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detail::Detail;
use crate::trace::{Counts, Network, Process, Touched};

/// What the predicate has no place for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlubrBuild {
    /// Which build of the log, and how it ended.
    pub build: Build,
    /// The Dockerfile; `null` when none was given.
    pub dockerfile: Option<Dockerfile>,
    /// The build context; `null` when none was given.
    pub context: Option<Context>,
    /// The image; `null` when none was given.
    pub image: Option<Image>,
    /// The log that all this comes from.
    pub log: Log,
    /// The file that has the long tables, where they are not in here: `monitorLog`'s lists, those of `steps`, `candidates` and
    /// `unattributed`, and `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// What may be missing.
    pub completeness: Completeness,
    /// One for each instruction of the Dockerfile, in its order.
    #[serde(default, deserialize_with = "crate::lists::steps")]
    pub steps: Vec<Step>,
    /// What more than one step may have done, or this build's step or another build's.
    #[serde(default, deserialize_with = "crate::lists::steps")]
    pub candidates: Vec<Candidate>,
    /// What belongs to the build but to no step that is known.
    pub unattributed: Unattributed,
    /// Each file of the layers that this build made; `null` when no image was given.
    #[serde(
        default,
        deserialize_with = "crate::lists::files",
        skip_serializing_if = "crate::lists::are_files_moved"
    )]
    pub files: Option<Vec<File>>,
    /// Layers that were there before, by diff_id.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub inherited: Vec<String>,
    /// Entries of new layers that no recorded event explains, and recorded writes that the image doesn't show;
    /// `null` when not checked.
    #[serde(default, deserialize_with = "crate::lists::unexplained")]
    pub unexplained: Option<Vec<Unexplained>>,
    /// Questions that were put to the record, and the answers.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub checks: Vec<Check>,
    /// Secrets that were taken out.
    #[serde(default)]
    pub redactions: Redactions,
}

/// Which build of the log, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its number in the log, from 1.
    pub number: u32,
    /// `buildkit`, `classic`, `buildah`.
    pub engine: String,
    /// The client's process, `PID:START`.
    pub client: String,
    /// The client's argument vector.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub argv: Vec<String>,
    /// The client had more arguments.
    #[serde(default, skip_serializing_if = "crate::trace::is_false")]
    pub argv_truncated: bool,
    /// The client's exit status; `null` when its end was not seen.
    pub exit: Option<i32>,
    /// The recorded command's exit status, from the log's trailer; `null` without a trailer or a command.
    pub command_exit: Option<i32>,
    /// First event (RFC 3339, UTC).
    pub began: Option<String>,
    /// Last event (RFC 3339, UTC).
    pub ended: Option<String>,
}

/// The Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dockerfile {
    /// Its path as given.
    pub path: String,
    /// The sha256 of its bytes, as sha256sum(1) prints it.
    pub sha256: String,
    /// How many lines it has.
    pub lines: u32,
    /// Whether these are the bytes that the build read.
    pub taken: Taken,
}

/// Whether the Dockerfile is the one that the build read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// The build opened it, and neither size nor time of change differ since.
    UnchangedSinceOpen,
    /// The build opened it, and it was changed afterwards.
    Changed,
    /// The record shows no open of it (standard input, git, another name).
    #[default]
    NotSeen,
}

/// The build context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Its path as given.
    pub path: String,
    /// `{"dirHash": "..."}`, in-toto's digest of a directory: the sha256 of the lines that `sha256sum` prints for its files, sorted by name.
    #[serde(deserialize_with = "crate::lists::map")]
    pub digest: BTreeMap<String, String>,
    /// Files hashed.
    pub files: u64,
    /// Entries that the hash doesn't cover (symlinks, sockets, devices).
    pub not_hashed: u64,
}

/// The image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The reference as given.
    pub reference: String,
    /// The manifest's digest (`sha256:...`), where there is one.
    pub manifest_digest: Option<String>,
    /// The config's digest (`sha256:...`).
    pub config_digest: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub diff_ids: Vec<String>,
    /// The names that the image had.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub tags: Vec<String>,
    /// `OS/ARCH[/VARIANT]`.
    #[serde(default)]
    pub platform: Option<String>,
    /// When the config says that it was made (RFC 3339).
    #[serde(default)]
    pub created: Option<String>,
    /// The base images that the Dockerfile names.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub base: Vec<String>,
}

/// The log that all this comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `blubr.log/1`.
    pub schema: String,
    /// The sha256 of the log's bytes, as sha256sum(1) prints it.
    pub sha256: String,
    /// Events in it.
    pub events: u64,
    /// The first event's time (RFC 3339, UTC).
    pub first: Option<String>,
    /// The last event's time (RFC 3339, UTC).
    pub last: Option<String>,
    /// It has its trailer, and the chain holds.
    pub complete: bool,
    /// Where it was cut: up to how many events its last checkpoint vouches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<u64>,
    /// The filters that it went through.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub filters: Vec<Filter>,
    /// What a filtered log was made of.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub sources: Vec<Source>,
}

/// A filter that the log went through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The tool and its version.
    pub tool: String,
    /// Its arguments.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub args: Vec<String>,
}

/// A log that a filtered log was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The sha256 of its bytes.
    pub sha256: String,
    /// Events in it.
    pub events: u64,
    /// Events passed on.
    pub passed: u64,
    /// Events that its recorder lost.
    pub lost: u64,
    /// It had its trailer, and the chain held.
    pub complete: bool,
    /// Where it was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<u64>,
    /// The recorded command's exit status.
    #[serde(default)]
    pub exit: Option<i32>,
    /// What it was itself made of.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub sources: Vec<Source>,
}

/// What may be missing, judged over the build's own interval. The three answers are never merged into one word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// The recording.
    pub recording: Recording,
    /// The build had begun when the recording did: what it did before is not in the record, which is `cut` for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Events lost within the interval.
    pub lost: u64,
    /// How many of these the recorder gave up as those of tasks outside, to keep the rest. They may have been on the build's files
    /// all the same, so that a recording that lost only these is lossy too.
    #[serde(default, skip_serializing_if = "crate::trace::is_zero")]
    pub lost_outside: u64,
    /// The interval begins after this many events of the log (a checkpoint, or 0).
    pub from_event: u64,
    /// The interval ends after this many events of the log (a checkpoint, or the end).
    pub to_event: u64,
    /// Hooks that were not attached, and what a kernel didn't let us see.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub hooks_missing: Vec<String>,
    /// Steps by status.
    pub steps: StepCounts,
}

/// Whether the recording is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recording {
    /// Nothing was lost within the interval, and the chain holds to its end.
    Complete,
    /// Events were lost within the interval.
    Lossy,
    /// The log begins after the build did, ends before it does, or holds no checkpoint after its last event.
    #[default]
    Cut,
}

/// Steps by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    /// Seen.
    pub observed: u64,
    /// Taken from the cache.
    pub cached: u64,
    /// The engine's own work.
    pub daemon: u64,
    /// Not seen.
    pub not_observed: u64,
    /// One of several possible.
    pub candidates: u64,
}

/// One instruction of the Dockerfile and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What other places call this step: `STAGE.LINE`, e.g. `0.3`; `-.LINE` before the first FROM; `STAGE.LINE+N` for the Nth
    /// trigger of a base image, where LINE is the FROM's.
    pub id: String,
    /// The stage, from 0; `null` before the first FROM.
    pub stage: Option<u32>,
    /// The stage's name, where it has one.
    #[serde(default)]
    pub stage_name: Option<String>,
    /// First and last line in the Dockerfile, from 1 (of an ONBUILD where its stage begins from one that has it); `null` when
    /// it isn't in there (a base image's ONBUILD, inherited).
    pub lines: Option<[u32; 2]>,
    /// `OS/ARCH`, where the Dockerfile or the build names one.
    #[serde(default)]
    pub platform: Option<String>,
    /// Where the instruction stands.
    pub origin: Origin,
    /// The instruction's name in upper case: `RUN`.
    pub instruction: String,
    /// The instruction as written; a base image's ONBUILD as the history of the image has it.
    pub text: String,
    /// Whether it was seen.
    pub status: Status,
    /// Why we say so, and why what is below belongs to this step.
    #[serde(default, deserialize_with = "crate::lists::evidence")]
    pub evidence: Vec<Evidence>,
    /// The layer it made, where known.
    #[serde(default)]
    pub diff_id: Option<String>,
    /// Began (RFC 3339, UTC), where seen.
    #[serde(default)]
    pub began: Option<String>,
    /// Ended (RFC 3339, UTC), where seen.
    #[serde(default)]
    pub ended: Option<String>,
    /// Programs run, in the log's order.
    #[serde(
        default,
        deserialize_with = "crate::lists::programs",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub processes: Vec<Process>,
    /// Connections and look-ups.
    #[serde(
        default,
        deserialize_with = "crate::lists::kept",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub network: Vec<Network>,
    /// Paths read, sorted.
    #[serde(
        default,
        deserialize_with = "crate::lists::reads",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub reads: Vec<Touched>,
    /// Paths written, made, renamed or removed, sorted.
    #[serde(
        default,
        deserialize_with = "crate::lists::kept",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub writes: Vec<Touched>,
    /// All that in numbers.
    #[serde(default)]
    pub counts: Counts,
}

/// Where an instruction stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// In the Dockerfile.
    #[default]
    Dockerfile,
    /// In an ONBUILD: of a base image, or of the stage that the step's stage begins from.
    #[serde(rename = "ONBUILD")]
    OnBuild,
    /// In the Dockerfile of a base image.
    #[serde(rename = "inherited base")]
    Inherited,
}

/// Whether a step was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Seen.
    Observed,
    /// Taken from the cache: its layer is older than the build.
    Cached,
    /// The engine's own work.
    Daemon,
    /// Not seen, and nothing says that it came from the cache.
    #[default]
    NotObserved,
    /// One of several steps that the record may mean; see the list of the same name.
    Candidates,
}

/// Why we say something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind: `argv`, `mount`, `layer`, `time` ...
    pub kind: String,
    /// What, in a sentence.
    pub detail: String,
    /// The lines of the log that show it (`seq`).
    #[serde(default, deserialize_with = "crate::lists::kept", skip_serializing_if = "Vec::is_empty")]
    pub seq: Vec<u64>,
    /// The earlier attestation that shows it, where the evidence is one's.
    #[serde(default, deserialize_with = "crate::lists::cited", skip_serializing_if = "Option::is_none")]
    pub prior: Option<Box<Cited>>,
}

/// A step of an earlier attestation, whose signature was verified when it was cited; or that whole attestation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cited {
    /// The sha256 of its envelope, as sha256sum(1) prints it.
    pub envelope_sha256: String,
    /// The fingerprint of the certificate that signed it, in lower case.
    pub signed_by: String,
    /// The step's id there; `null` where the whole image is cited.
    pub step: Option<String>,
    /// The step's stage there.
    #[serde(default)]
    pub stage: Option<u32>,
    /// The step's first and last line in the Dockerfile there.
    #[serde(default)]
    pub lines: Option<[u32; 2]>,
    /// The step's status there; `null` where the whole image is cited.
    #[serde(default)]
    pub status: Option<Status>,
    /// What it cites itself, where the step was cached there too. Nobody verified that one's signature here.
    #[serde(default, deserialize_with = "crate::lists::cited", skip_serializing_if = "Option::is_none")]
    pub cites: Option<Box<Cited>>,
}

/// What more than one step may have done, or this build's step or another build's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The steps that it may be; one alone where it is that step or one of another build.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub steps: Vec<String>,
    /// Why these.
    #[serde(default, deserialize_with = "crate::lists::evidence")]
    pub evidence: Vec<Evidence>,
    /// Began (RFC 3339, UTC), where seen.
    #[serde(default)]
    pub began: Option<String>,
    /// Ended (RFC 3339, UTC), where seen.
    #[serde(default)]
    pub ended: Option<String>,
    /// Programs run.
    #[serde(
        default,
        deserialize_with = "crate::lists::programs",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub processes: Vec<Process>,
    /// Connections and look-ups.
    #[serde(
        default,
        deserialize_with = "crate::lists::kept",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub network: Vec<Network>,
    /// Paths read.
    #[serde(
        default,
        deserialize_with = "crate::lists::reads",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub reads: Vec<Touched>,
    /// Paths written.
    #[serde(
        default,
        deserialize_with = "crate::lists::kept",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub writes: Vec<Touched>,
    /// All that in numbers.
    #[serde(default)]
    pub counts: Counts,
}

/// What belongs to the build but to no step that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unattributed {
    /// Programs run.
    #[serde(
        default,
        deserialize_with = "crate::lists::programs",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub processes: Vec<Process>,
    /// Connections and look-ups.
    #[serde(
        default,
        deserialize_with = "crate::lists::steps",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub network: Vec<Network>,
    /// Paths read.
    #[serde(
        default,
        deserialize_with = "crate::lists::reads",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub reads: Vec<Touched>,
    /// Paths written.
    #[serde(
        default,
        deserialize_with = "crate::lists::steps",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub writes: Vec<Touched>,
    /// All that in numbers.
    #[serde(default)]
    pub counts: Counts,
}

/// One entry of a layer that this build made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The path; `null` where it is not UTF-8.
    pub path: Option<String>,
    /// The path in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// `file`, `directory`, `symlink`, `hardlink`, `device`, `fifo`, `whiteout`, `opaque`.
    pub kind: String,
    /// The sha256 of a file's content, as sha256sum(1) prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The file's length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// A link's target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Permission bits, octal; of what has some of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner, where there is a `mode` and it is not 0.
    #[serde(default, skip_serializing_if = "crate::trace::is_zero")]
    pub uid: u64,
    /// Group, where there is a `mode` and it is not 0.
    #[serde(default, skip_serializing_if = "crate::trace::is_zero")]
    pub gid: u64,
    /// The layer's diff_id.
    pub layer: String,
    /// A later layer changed or removed it: the image no longer shows this one.
    #[serde(default, skip_serializing_if = "crate::trace::is_false")]
    pub hidden: bool,
    /// The step that wrote it, where known.
    pub step: Option<String>,
    /// The process that wrote it last (`PID:START`), where known.
    #[serde(default)]
    pub process: Option<String>,
}

/// Something in the image that the record doesn't explain, or the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexplained {
    /// The path; `null` where it is not UTF-8.
    pub path: Option<String>,
    /// The path in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// Which way round.
    pub what: What,
    /// The layer's diff_id, where it is about an entry of one.
    #[serde(default)]
    pub layer: Option<String>,
    /// The step, where it is about a recorded write.
    #[serde(default)]
    pub step: Option<String>,
    /// Of an attribute its name: `kind`, `mode`, `owner`, `group`, `size` (bytes), `target`, or `xattr` and a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// What the layer has; modes octal, bytes that are not printable ASCII escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What the record gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::lists::kept")]
    pub recorded: Vec<String>,
}

/// Which way round something is unexplained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A new layer has it, and no recorded event explains it.
    #[default]
    EntryWithoutEvent,
    /// A step wrote it, and the image should show it and doesn't; or took it away, and the image still has it.
    WriteNotInImage,
    /// A new layer has it, and the last to write it was a process that is no part of the build.
    ForeignWrite,
    /// A new layer has it with an attribute that no recorded event gave it.
    AttributeWithoutEvent,
}

/// A question that was put to the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, e.g. `no-outside-network`.
    pub id: String,
    /// The answer.
    pub result: Outcome,
    /// What it was asked of: `build`, or `step STAGE.LINE`.
    pub scope: String,
    /// Why, a sentence each; never empty.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub evidence: Vec<String>,
}

/// The answer to a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds, and the evidence suffices to say so.
    Pass,
    /// It doesn't hold.
    Fail,
    /// The record doesn't suffice to say.
    #[default]
    Unknown,
}

/// Secrets that were taken out, each replaced by `[redacted:KIND]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redactions {
    /// How many.
    pub count: u64,
    /// How many by kind.
    #[serde(default, deserialize_with = "crate::lists::map")]
    pub kinds: BTreeMap<String, u64>,
}
