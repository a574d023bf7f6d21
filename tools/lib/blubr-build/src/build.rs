//! What was found: builds, their steps as they ran, and the evidence.

use std::collections::BTreeMap;
use std::fmt;

use blubr_log::Time;

use crate::parts::{Part, Share};

/// Names a process for ever: its id in the initial pid namespace and when it started (ns since boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Process id.
    pub pid: u32,
    /// `start` of the log's events.
    pub start: u64,
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pid, self.start)
    }
}

/// A point of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// `seq` of the event.
    pub seq: u64,
    /// Its time.
    pub time: Time,
}

/// What kind of builder it was, by its mechanics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Docker's classic builder: containers of the daemon, each committed as a layer.
    Classic,
    /// BuildKit, in dockerd or alone: snapshots that are chained, containers started by itself.
    BuildKit,
    /// buildah or podman: the client makes the mounts and starts the runtime itself.
    Buildah,
}

impl Engine {
    /// As listings and attestations spell it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Classic => "classic",
            Engine::BuildKit => "buildkit",
            Engine::Buildah => "buildah",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ended {
    /// Exit status, where it ended by itself.
    pub code: Option<u32>,
    /// Signal, where one ended it.
    pub signal: Option<u32>,
}

/// The builds of a log.
#[derive(Debug, Clone, Default)]
pub struct Builds {
    /// In the order in which their clients began.
    pub builds: Vec<Build>,
    /// Steps of engines for which no client was seen: a remote client, or one that began before the recording.
    pub orphans: u32,
    /// Number of the build that the recorded command made, where it made exactly one.
    pub of_command: Option<u32>,
}

/// Why no build could be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBuild {
    /// There is none.
    #[error(
        "no build in it: was it built by a remote builder (record where the kernel is), in a store of another kind than overlay, vfs or fuse-overlayfs, by hand (`buildah from`, `run` and `commit`, which are no build of a Dockerfile), or was the recording begun too late?"
    )]
    None,
    /// Steps without a client.
    #[error(
        "no build in it, but {0} steps of an engine whose client was not seen: it is on another host, began before the recording, or \
         is not the user's that runs the engine"
    )]
    NoClient(u32),
    /// Several, and nothing to choose by.
    #[error("there are {0} builds in it: choose one by its number (--build N; --build list shows them)")]
    Several(u32),
    /// No such number.
    #[error("there is no build {0}: it holds {1} (--build list shows them)")]
    NoSuch(u32, u32),
}

impl Builds {
    /// The build that is meant: number `asked`, else the recorded command's, else the only one.
    ///
    /// # Errors
    /// When nothing, or no one build, is meant.
    pub fn pick(&self, asked: Option<u32>) -> Result<&Build, NoBuild> {
        let count = u32::try_from(self.builds.len()).unwrap_or(u32::MAX);
        if let Some(number) = asked {
            return self
                .builds
                .iter()
                .find(|build| build.number == number)
                .ok_or(NoBuild::NoSuch(number, count));
        }
        if let Some(number) = self.of_command
            && let Some(build) = self.builds.iter().find(|build| build.number == number)
        {
            return Ok(build);
        }
        match (self.builds.as_slice(), self.orphans) {
            ([only], _) => Ok(only),
            ([], 0) => Err(NoBuild::None),
            ([], steps) => Err(NoBuild::NoClient(steps)),
            _ => Err(NoBuild::Several(count)),
        }
    }
}

/// One build: from its client's exec to its end, with the steps begun in it.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its number in this log, from 1.
    pub number: u32,
    /// What built it.
    pub engine: Engine,
    /// The process that made the mounts: the daemon, or with buildah the client itself.
    pub engine_process: ProcessKey,
    /// The process that asked for it.
    pub client: ProcessKey,
    /// The client's arguments; empty where its exec was not seen.
    pub argv: Vec<Vec<u8>>,
    /// It has more of them.
    pub argv_cut: bool,
    /// The client's working directory.
    pub cwd: Option<Vec<u8>>,
    /// User id of the client.
    pub uid: u32,
    /// When the client began (its exec, else its first event).
    pub began: Moment,
    /// When the client ended, where that was seen.
    pub ended: Option<Moment>,
    /// How the client ended.
    pub exit: Option<Ended>,
    /// Its steps as they ran, in the order in which they began.
    pub runs: Vec<StepRun>,
    /// Where the context, and the Dockerfile, were kept for it, as the host names the directories.
    pub contexts: Vec<Context>,
    /// Layers that the engine registered for it (classic builder and buildah), which are no step of their own.
    pub layers: Vec<Layer>,
    pub(crate) engine_pids: Vec<ProcessKey>,
    /// Processes that serve trees of its steps (FUSE).
    pub(crate) servers: Vec<ProcessKey>,
    pub(crate) helpers: Vec<(ProcessKey, Option<u32>)>,
    /// What else the engine called its directories, before or after.
    pub(crate) renamed: Vec<OtherName>,
    /// Of buildah: what was done in each tree, by its upper directory.
    pub(crate) parts: BTreeMap<Vec<u8>, Vec<Part>>,
    /// It kept no layers: each tree has all the steps of a stage in it.
    pub(crate) flat: bool,
    /// Events of its time were lost that may have told of its steps.
    pub(crate) has_losses: bool,
}

/// Another name of a directory, by its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherName {
    pub(crate) other: Vec<u8>,
    pub(crate) own: Vec<u8>,
}

/// A directory of an engine that holds what the client sent.
#[derive(Debug, Clone)]
pub struct Context {
    /// The directory.
    pub dir: Vec<u8>,
    /// Where the engine mounted it to copy from it.
    pub binds: Vec<Vec<u8>>,
    /// Files that the engine wrote there.
    pub files: u64,
    /// How many of them the client is known to have read at that moment, with the same name and size.
    pub matched: u64,
    /// First and last event of the transfer.
    pub first_seq: u64,
    /// See `first_seq`.
    pub last_seq: u64,
}

/// A layer that the engine registered.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its directory, as the host names it.
    pub dir: Vec<u8>,
    /// `id` of the run whose result it holds, where that is known.
    pub of: Option<u32>,
    /// Where it was mounted to be filled, if it was.
    pub tree: Option<Vec<u8>>,
}

/// What a step was to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// A container ran.
    Run,
    /// The engine itself wrote: COPY, ADD, WORKDIR, or a base being unpacked.
    Daemon,
}

/// Why something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The client was connected to the engine, and no other build's client could have asked for the step then.
    OnlyClient,
    /// The engine read the step's files from a context that this client had sent.
    Context,
    /// Another step of this build begins where this one ended (its upper directory is among that one's lowers).
    Chain,
    /// Of the clients that could have asked, each must have had one chain of steps, and this is the only way to give them out.
    Elimination,
    /// The client made the mount and started the runtime itself.
    Itself,
    /// Nothing tells this build from others that were there at the same time.
    Several,
}

impl Build {
    /// The client's arguments, if all are known: what is behind a cut may say anything.
    #[must_use]
    pub fn all_argv(&self) -> &[Vec<u8>] {
        if self.argv_cut { &[] } else { &self.argv }
    }
}

impl Evidence {
    /// As attestations spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Evidence::OnlyClient => "only-client",
            Evidence::Context => "context",
            Evidence::Chain => "chain",
            Evidence::Elimination => "elimination",
            Evidence::Itself => "own-mount",
            Evidence::Several => "several-clients",
        }
    }
}

/// The first program that a container ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstExec {
    /// Which event said so.
    pub seq: u64,
    /// The file, as the container sees it.
    pub exe: Option<Vec<u8>>,
    /// Its arguments as the program saw them.
    pub argv: Vec<Vec<u8>>,
    /// `argv` was cut at the recorder's limit.
    pub truncated: bool,
    /// Its working directory, as the container sees it.
    pub cwd: Option<Vec<u8>>,
}

/// Something mounted into a container: what is written below it is not in the step's layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// When (`seq`).
    pub seq: u64,
    /// In which mount namespace; a number may come again when the namespace is gone.
    pub mntns: u32,
    /// Where, as the container sees it.
    pub path: Vec<u8>,
    /// Type of file system, where a new one was mounted.
    pub fstype: Option<Vec<u8>>,
    /// What was mounted.
    pub source: Option<Vec<u8>>,
}

/// What buildah itself made in a tree in which no container ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// Not known, or of another engine.
    Unknown,
    /// These directories, as the tree names them, and nothing else; and no helper looked at anything outside the tree before.
    Directories(Vec<Vec<u8>>),
    /// Something other than directories, or more of them than are remembered.
    More,
}

/// One step as it ran.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// Its number within the log's runs; the same in every build that shares it.
    pub id: u32,
    /// What it was.
    pub kind: RunKind,
    /// Where its tree is mounted, as the host names it; none where the engine wrote into the upper directory itself.
    pub target: Option<Vec<u8>>,
    /// All names under which the host sees the tree (the mount, binds of it).
    pub roots: Vec<Vec<u8>>,
    /// The directory that holds what the step changed.
    pub upper: Vec<u8>,
    /// The overlay's work directory.
    pub work: Option<Vec<u8>>,
    /// The directories below, topmost first.
    pub lowers: Vec<Vec<u8>>,
    /// Ids of the runs of this log whose results are below it, nearest first.
    pub below: Vec<u32>,
    /// Path of its control group, where it had one of its own.
    pub cgroup: Option<Vec<u8>>,
    /// Id of that control group.
    pub cgroup_id: Option<u64>,
    /// Mount namespace of its container.
    pub mntns: Option<u32>,
    /// The container's first process.
    pub init: Option<ProcessKey>,
    /// The first program it ran.
    pub first_exec: Option<FirstExec>,
    /// What was mounted into it.
    pub mounts: Vec<MountPoint>,
    /// How the container's first process ended.
    pub exit: Option<Ended>,
    /// When it began (the mount, or the first write).
    pub began: Moment,
    /// When it ended, where that was seen.
    pub ended: Option<Moment>,
    /// First event of it.
    pub first_seq: u64,
    /// Last event of it that was seen.
    pub last_seq: u64,
    /// Another build had it too, or may have had.
    pub shared: bool,
    /// What the engine itself made for it.
    pub made: Made,
    /// Files were copied from these context directories.
    pub reads_context: Vec<Vec<u8>>,
    /// Files were copied from the results of these runs (COPY --from).
    pub reads_runs: Vec<u32>,
    /// Why it is this build's.
    pub evidence: Vec<Evidence>,
    /// The upper directory holds the whole tree (a vfs store).
    pub whole: bool,
    /// The engine finds what the step changed by comparing whole trees, as it does where the kernel has no overlay (vfs,
    /// fuse-overlayfs).
    pub compared: bool,
    /// Where trees from before the log were mounted of which something was copied into it.
    pub(crate) copied_older: Vec<Vec<u8>>,
    /// Until when the engine filled it with what was below, by `seq`.
    pub(crate) copied_until: Option<u64>,
    pub(crate) setup: Vec<ProcessKey>,
    /// When its container's runtime, or who prepared for that, began.
    pub(crate) setup_began: Option<Moment>,
    /// It is one part of what the engine did in a tree that several instructions may share.
    pub(crate) part: Option<Share>,
}
