//! What was seen: processes, connections and file accesses, in `monitorLog` and in each step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything recorded of the build, whichever step it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorLog {
    /// Programs that were run, in the log's order.
    #[serde(
        default,
        deserialize_with = "crate::lists::processes",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub process: Vec<Process>,
    /// Connections and name look-ups, in the log's order; equal ones are one entry with a `count`.
    #[serde(
        default,
        deserialize_with = "crate::lists::network",
        skip_serializing_if = "crate::lists::is_moved"
    )]
    pub network: Vec<Network>,
    /// Files that were read, written or removed, sorted by URI and step.
    #[serde(
        default,
        deserialize_with = "crate::lists::accesses",
        skip_serializing_if = "crate::lists::is_moved",
        rename = "fileAccess"
    )]
    pub file_access: Vec<FileAccess>,
}

/// One program that was run: a `process.exec` and how its process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `PID:START`: the pid (initial namespace) and the process's start in ns since boot. Names a process for ever.
    pub id: String,
    /// The parent's pid (initial namespace).
    #[serde(default)]
    pub ppid: u32,
    /// The program's path, as the kernel resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The program's path in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe_b64: Option<String>,
    /// The argument vector that the new program sees; what is not UTF-8 in it has become U+FFFD.
    #[serde(default, deserialize_with = "crate::lists::kept")]
    pub argv: Vec<String>,
    /// The argument vector in base64, each argument by itself, where one is not UTF-8.
    #[serde(default, deserialize_with = "crate::lists::kept", skip_serializing_if = "Vec::is_empty")]
    pub argv_b64: Vec<String>,
    /// The argument vector was cut at the recorder's limit.
    #[serde(default, skip_serializing_if = "is_false")]
    pub argv_truncated: bool,
    /// The user id (initial namespace).
    #[serde(default)]
    pub uid: u32,
    /// When (RFC 3339, UTC).
    #[serde(default)]
    pub time: String,
    /// The line of the log that says it (`seq`).
    #[serde(default)]
    pub seq: u64,
    /// The exit status, where the end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The signal that ended it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What part it had in the build.
    #[serde(default)]
    pub part: Part,
    /// The step it belongs to ([`crate::build::Step::id`]); `null` when to none that is known.
    #[serde(default)]
    pub step: Option<String>,
    /// Another build of the same time shares it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// What part a process had in a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// It ran in a step's container.
    #[default]
    Container,
    /// It asked for the build: the client, or a process that it began.
    Client,
    /// It did the engine's work: runtimes, helpers that copy and unpack.
    Engine,
    /// None: it had no business there, and touched the build's files.
    Foreign,
}

/// One connection, accepted connection or name look-up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The other side's address; empty for a look-up whose server is not known.
    #[serde(default)]
    pub ip: String,
    /// The other side's name, where the record gives one. Of several names that one connection asked for (a proxy's) each is
    /// an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where the name comes from.
    #[serde(default, rename = "hostnameFrom", skip_serializing_if = "Option::is_none")]
    pub hostname_from: Option<HostnameFrom>,
    /// The name whose look-up answered with the address, where the process called the other side by another one, `hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<String>,
    /// The other side's port (accepted connections: our own, the one that was asked for).
    #[serde(default)]
    pub port: u16,
    /// `tcp`, `udp` or `dns` (a look-up), in lower case.
    #[serde(default)]
    pub protocol: String,
    /// Out: we connected. In: the build accepted.
    pub direction: Direction,
    /// Loopback, or beyond this host.
    #[serde(default, skip_serializing_if = "is_false")]
    pub loopback: bool,
    /// Who did it.
    #[serde(rename = "invokingProcess")]
    pub invoking_process: InvokingProcess,
    /// What the call returned: 0, or -errno (`-115`, in progress, is a connection that was begun).
    #[serde(default)]
    pub ret: i64,
    /// Bytes sent, where the end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// Bytes received, where the end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// How many equal ones this entry stands for.
    #[serde(default)]
    pub count: u64,
    /// When the first was (RFC 3339, UTC).
    #[serde(default)]
    pub time: String,
    /// The first one's line of the log (`seq`).
    #[serde(default)]
    pub seq: u64,
    /// The step it belongs to; `null` when to none that is known.
    #[serde(default)]
    pub step: Option<String>,
    /// Another build of the same time shares it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// The process behind a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvokingProcess {
    /// `PID:START`.
    pub id: String,
    /// The kernel's short name of the task, 15 bytes at most.
    #[serde(default)]
    pub comm: String,
    /// The program's path, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}

/// Where a connection's host name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostnameFrom {
    /// A name look-up in the same log whose answer held the address.
    Dns,
    /// The name that the process asked for in its TLS handshake: its own word, and not who answered.
    Sni,
    /// The host that the process named in a plain-text request: its own word.
    Http,
}

/// Which side began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The build connected.
    #[default]
    Out,
    /// The build accepted.
    In,
}

/// One file that was touched: an in-toto ResourceDescriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAccess {
    /// The path; left out where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The path as a `file:` URI, percent-encoded; carries every name without loss.
    pub uri: String,
    /// Its content's digest in the image, where known and where this access was the last write.
    #[serde(
        default,
        deserialize_with = "crate::lists::map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub digest: BTreeMap<String, String>,
    /// How it was touched and by which step.
    pub annotations: AccessAnnotations,
}

/// How a file was touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessAnnotations {
    /// The kinds of access, sorted, each once.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub access: Vec<Access>,
    /// Whose tree the path is of.
    #[serde(default)]
    pub place: Place,
    /// It is, or also is, the end of a path of which no more is known ([`Touched::path_truncated`]).
    #[serde(default, skip_serializing_if = "is_false")]
    pub path_truncated: bool,
    /// The step it belongs to; `null` when to none that is known.
    #[serde(default)]
    pub step: Option<String>,
    /// Another build of the same time shares it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// Whose tree a path is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The step's own tree, as the step saw it.
    #[default]
    Container,
    /// The host's tree.
    Host,
}

/// One kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Opened for reading.
    Read,
    /// Opened for writing or with O_TRUNC, and what a close after writing says.
    Write,
    /// Made: a directory, a device, a symbolic link, one more name; or opened with O_CREAT, which makes a file unless it is
    /// there.
    Create,
    /// Removed.
    Delete,
    /// A rename's old name.
    RenameFrom,
    /// A rename's new name.
    RenameTo,
    /// Mode, owner, times, length or extended attributes changed.
    Attributes,
    /// Run as a program.
    Execute,
}

/// One path that a step touched; shorter than [`FileAccess`], and with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The path; `null` where it is not UTF-8.
    pub path: Option<String>,
    /// The path in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    /// It is, or also is, the end of a path of which no more is known: it was too long for the log, or it began at what no name
    /// of the step's tree is known of (a descriptor that it was handed, a link of proc).
    #[serde(default, skip_serializing_if = "is_false")]
    pub path_truncated: bool,
    /// Whose tree the path is of.
    #[serde(default, skip_serializing_if = "is_container")]
    pub place: Place,
    /// The kinds of access, sorted, each once.
    #[serde(deserialize_with = "crate::lists::kept")]
    pub access: Vec<Access>,
    /// Whether the last change took the name away. Said of names that one took away, and nowhere else: the kinds of access
    /// have no order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<bool>,
    /// The last process that touched it so (`PID:START`).
    #[serde(default)]
    pub process: String,
    /// How often.
    #[serde(default)]
    pub count: u64,
    /// The last time's line of the log (`seq`).
    #[serde(default)]
    pub seq: u64,
    /// It lies on something that was mounted into the container, not in the step's layer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mounted: bool,
    /// Another build of the same time shares it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// How much a step did, in numbers; counts every event, also those whose lists were cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events of the log by processes in containers; what the engine itself did is not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events: u64,
    /// Programs run.
    #[serde(default)]
    pub processes: u64,
    /// Connections and look-ups.
    #[serde(default)]
    pub network: u64,
    /// Distinct paths read.
    #[serde(default)]
    pub reads: u64,
    /// Distinct paths written, made, renamed or removed.
    #[serde(default)]
    pub writes: u64,
    /// Entries that the lists leave out because of a limit; 0 when the lists are whole.
    #[serde(default)]
    pub left_out: u64,
    /// Calls that failed (a negative `ret`); they touched nothing and are counted only.
    #[serde(default)]
    pub failed: u64,
    /// Bytes sent over connections whose end was seen.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Bytes received over connections whose end was seen.
    #[serde(default)]
    pub bytes_received: u64,
}

pub(crate) fn is_zero(value: &u64) -> bool {
    *value == 0
}

pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

fn is_container(place: &Place) -> bool {
    *place == Place::Container
}
