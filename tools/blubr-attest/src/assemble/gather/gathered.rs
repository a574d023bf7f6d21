//! What the second time over the log gives.

use std::collections::BTreeMap;

use blubr_attestation::build::{Recording, Taken};
use blubr_build::ProcessKey;

use super::super::doing::Doing;
use super::super::given::Given;
use super::super::interval::Loss;
use super::super::slots::Slot;
use super::super::stored::Stored;
use super::super::tails::Tails;

/// Whom a path's change is owed to, besides the steps themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// A stranger's write, not the engine's.
    pub foreign: bool,
    /// Who.
    pub by: ProcessKey,
    /// When (`seq`).
    pub seq: u64,
    /// The name was taken away.
    pub gone: bool,
    /// It was given to something at some time.
    pub given: bool,
    /// It was taken away at some time.
    pub taken: bool,
    /// It is a rename's new name: what lies below came with it.
    pub renamed: bool,
    /// The kernel resolved the name.
    pub real: bool,
}

/// What the second pass gave.
pub struct Gathered {
    /// What each slot did.
    pub doing: BTreeMap<Slot, Doing>,
    /// The engine's programs.
    pub engine: Doing,
    /// Changes by the engine around a container and by strangers, by run and path as the container sees it.
    pub explaining: BTreeMap<(u32, Vec<u8>), Explained>,
    /// Too many of those to keep.
    pub explaining_left_out: bool,
    /// A process of the build may have its root directory where its paths can't be followed.
    pub lost_roots: bool,
    /// The ends of names that were too long for the log.
    pub tails: Tails,
    /// The last names of what was changed upon mounts of containers: a symlink there may have led back into the step's tree.
    pub upon_mounts: Tails,
    /// What attributes the files of the runs' trees were given.
    pub given: Given,
    /// Events of strangers in the build's directories, and the first few of them.
    pub foreign: Vec<u64>,
    /// How many.
    pub foreign_count: u64,
    /// Whether the Dockerfile is the one that the build read.
    pub taken: Taken,
    /// What the engine stored.
    pub stored: Stored,
    /// Whether the build made a ring of io_uring, or got one: some of what a ring can do is not recorded.
    pub has_rings: bool,
    /// Whether it made or got a socket whose traffic is not recorded.
    pub has_other_sockets: bool,
    /// The first few ends of datagram and raw sockets that sent, or may have sent, to where they do not say.
    pub sent_somewhere: Vec<u64>,
    /// How many.
    pub sent_somewhere_count: u64,
    /// Connections of containers to unix sockets that they did not make themselves: the name of the first, and how many.
    pub sockets: Option<(String, usize)>,
    /// What may be missing.
    pub recording: Recording,
    /// The build had begun when the recording did.
    pub late: bool,
    /// Events lost in the interval.
    pub lost: Loss,
    /// The interval in events of the log.
    pub interval: (u64, u64),
}
