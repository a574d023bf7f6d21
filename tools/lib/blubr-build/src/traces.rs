//! What builds leave in a log: a step's overlay, layers and contexts, containers, and engines.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::build::{Ended, FirstExec, Moment, MountPoint, ProcessKey};
use crate::context::ContextFile;
use crate::export::Export;
use crate::parts::Part;
use crate::path::{base, parent};

/// An overlay mount of an engine: the tree of one step.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) maker: ProcessKey,
    /// Others that mounted it anew.
    pub(crate) mounters: Vec<ProcessKey>,
    pub(crate) upper: Vec<u8>,
    pub(crate) work: Option<Vec<u8>>,
    pub(crate) lowers: Vec<Vec<u8>>,
    pub(crate) target: Vec<u8>,
    pub(crate) binds: Vec<Vec<u8>>,
    pub(crate) began: Moment,
    pub(crate) last: Moment,
    /// Mounted again later, or a whole tree listed by the engine itself: the classic builder does so to read what a step
    /// changed.
    pub(crate) mounted_again: Option<u64>,
    /// When its mount was last undone, since it was last made.
    pub(crate) unmounted: Option<u64>,
    /// When the engine last removed something of it: its upper directory, or notes on its container. The classic
    /// builder does so before it begins the next step.
    pub(crate) removed: Option<u64>,
    /// Writes into it by the engine and its helpers: first and last, by the gaps between containers.
    pub(crate) writes: Vec<Span>,
    /// The directory that the engine made in it, as long as that is all it wrote.
    pub(crate) only_made: Option<Vec<u8>>,
    /// The writes by who wrote.
    pub(crate) parts: Vec<Part>,
    /// The last of them, as long as it may be the preparation of the next container.
    pub(crate) prepared: Option<Prepared>,
    pub(crate) containers: Vec<usize>,
    /// Several may be the step's container, and which is not known; `containers` has the first, which ends with the last.
    pub(crate) disputed: bool,
    pub(crate) mounts: Vec<MountPoint>,
    pub(crate) sources: HashSet<Source>,
    pub(crate) exported: Vec<u64>,
    /// As of [`Dir`].
    pub(crate) read_back: Option<u64>,
    /// When it was registered as a layer of an image.
    pub(crate) registered: Option<u64>,
    /// What was mounted into its containers (RUN --mount=from).
    pub(crate) mounted: HashSet<Source>,
    /// What the engine opened in it to read, each name (below it) with its size as one number (see [`Reads`]).
    pub(crate) exports: HashSet<u64>,
    /// As of [`Dir`].
    pub(crate) copied: Vec<(usize, Vec<u8>)>,
    /// As of [`Dir`].
    pub(crate) written: Vec<(Vec<u8>, u64)>,
    /// Processes of the engine that put their root directory into it.
    pub(crate) helpers: Vec<ProcessKey>,
    /// Processes that serve the tree (FUSE): each that has mounted it.
    pub(crate) servers: Vec<ProcessKey>,
    /// As of [`Dir`].
    pub(crate) unpacked: bool,
    /// What is known of it where it is no mount but a directory with the whole tree in it.
    pub(crate) whole: Option<Whole>,
    /// When the engine last read in it from outside: none of its helpers and threads that have their root there.
    pub(crate) looked_into: Option<u64>,
    /// A helper, or a thread, of the engine put its root into it.
    pub(crate) entered: bool,
    /// Trees of steps one of which this may be the registered layer of (see `finder/registered.rs`).
    pub(crate) registers: Vec<usize>,
}

/// A layer that is a directory with a whole tree: what `vfs` makes of it (see `finder/copies.rs`).
#[derive(Debug)]
pub(crate) struct Whole {
    /// Its trace as a directory.
    pub(crate) dir: usize,
    /// The last event of its being copied from the layer below, by `seq`; none where it began empty.
    pub(crate) copied_until: Option<u64>,
    /// A helper, or a thread, of the engine put its root into the very directory: layers are registered so.
    pub(crate) entered: bool,
}

impl Overlay {
    /// When it was written to, if one write is all that is told of.
    pub(super) fn wrote_once(&self) -> Option<Moment> {
        match self.writes.as_slice() {
            [only] if only.first == only.last => Some(only.first),
            _ => None,
        }
    }

    pub(super) fn wrote(&mut self, span: Span, part: Part) {
        self.not_prepared();
        self.add_part(part);
        self.read_back = None;
        self.last = self.last.max(span.last);
        match self.writes.last_mut().filter(|known| known.after == span.after) {
            Some(known) => {
                known.last = known.last.max(span.last);
                known.content |= span.content;
            }
            None => self.writes.push(span),
        }
    }
}

/// What a helper made in a tree before a container began in it: places to mount upon.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) by: ProcessKey,
    pub(crate) span: Span,
    pub(crate) part: Part,
    /// Directories and empty files, as the tree names them.
    pub(crate) paths: Vec<Vec<u8>>,
}

/// Names with sizes as numbers: a store that compares trees lists thousands of directories for each step.
#[derive(Default)]
pub(crate) struct Reads(RandomState);

impl Reads {
    pub(crate) fn number(&self, name: &[u8], size: u64) -> u64 {
        self.0.hash_one((name, size))
    }
}

/// A stretch of writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: Moment,
    pub(crate) last: Moment,
    /// How many containers had been in the overlay when it began.
    pub(crate) after: usize,
    /// Something other than directories was made.
    pub(crate) content: bool,
}

/// A directory of an engine's store (or, of the classic builder, a temporary one for the context).
#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) maker: ProcessKey,
    pub(crate) path: Vec<u8>,
    /// In an engine's store; otherwise a place that a helper entered.
    pub(crate) in_store: bool,
    pub(crate) began: Moment,
    pub(crate) first_write: Option<Moment>,
    pub(crate) last_write: Option<Moment>,
    /// A helper process (docker-untar, storage-untar) wrote it, with this as its root directory.
    pub(crate) by_helper: bool,
    pub(crate) files: HashMap<Vec<u8>, ContextFile>,
    /// Its files that the engine read again, to copy them, and when.
    pub(crate) reads: Vec<(u64, Vec<u8>, u64)>,
    /// Files that were copied into it, each read by the thread that then wrote.
    pub(crate) copied: Vec<(usize, Vec<u8>)>,
    /// Names (below it) and sizes of files that a helper wrote into it.
    pub(crate) written: Vec<(Vec<u8>, u64)>,
    pub(crate) file_count: u64,
    /// A file of it was made, closed and then opened again to be filled: BuildKit does so with what a client sends, and a
    /// copy fills what it makes at once.
    pub(crate) received: bool,
    /// Where else it was mounted, read only, to be copied from.
    pub(crate) binds: Vec<Vec<u8>>,
    pub(crate) sources: HashSet<Source>,
    /// Where that was mounted from which something in it was copied, of trees that the log does not know: those from before it,
    /// such as a context that BuildKit has kept and brought up to date.
    pub(crate) of_older: Vec<Vec<u8>>,
    pub(crate) exported: Vec<u64>,
    /// When the engine first read in it after whoever made it what it is was done: an engine reads so what it puts
    /// into an image, or looks for in its cache.
    pub(crate) read_back: Option<u64>,
    /// When the engine removed it.
    pub(crate) removed: Option<u64>,
    pub(crate) votes: HashMap<ProcessKey, u64>,
    /// Processes of the engine that put their root directory into it.
    pub(crate) helpers: Vec<ProcessKey>,
    /// Who mounted it or wrote to it as an engine does, its maker too.
    pub(crate) mounters: BTreeSet<ProcessKey>,
    /// A snapshotter unpacked a finished layer into it.
    pub(crate) unpacked: bool,
    /// What the engine put together in it by further links (BuildKit for COPY --link), in that order: it is the result of
    /// those, and no step.
    pub(crate) merged: Vec<Source>,
}

/// Where a copy was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Dir(usize),
    Overlay(usize),
}

/// What speaks for it that a process is the first of a step's container; the more the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// Only that it was there.
    Bare,
    /// Its control group has a container's name, and began, like itself, after the tree.
    Named,
    /// It descends from the engine.
    Engine,
}

/// A process that entered an overlay and ran a program there.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) overlay: usize,
    pub(crate) init: ProcessKey,
    pub(crate) root: Vec<u8>,
    pub(crate) setup: Vec<ProcessKey>,
    pub(crate) setup_began: Moment,
    pub(crate) by_maker: bool,
    pub(crate) claim: Claim,
    /// It was none: somebody with more claim to it has come.
    pub(crate) masked: bool,
    pub(crate) mntns: u32,
    /// That and those that its runtime made on the way.
    pub(crate) namespaces: Vec<u32>,
    pub(crate) cgroup: Option<(u64, Vec<u8>)>,
    pub(crate) first_exec: Option<FirstExec>,
    pub(crate) ended: Option<(Moment, Ended)>,
}

/// A process whose root directory lies in an engine's tree, before it has run a program there.
pub(crate) struct Entered {
    pub(crate) overlay: usize,
    pub(crate) root: Vec<u8>,
    pub(crate) at: Moment,
    pub(crate) whole_tree: bool,
    /// It descends from an engine.
    pub(crate) by_engine: bool,
    /// What it wrote since: a runtime's own doings if it then runs a program, else a helper's.
    pub(crate) wrote: Option<Span>,
    /// The directory that it made, as long as that is all it wrote.
    pub(crate) only_made: Option<Vec<u8>>,
    /// Directories and empty files that it made; none where it did anything else, too.
    pub(crate) places: Option<Vec<Vec<u8>>>,
    /// It took something away.
    pub(crate) removed: bool,
    /// When it last set the times of something.
    pub(crate) dated: Option<Moment>,
}

/// An engine, as far as it is one: a process that made layers or mounted overlays.
pub(crate) struct Maker {
    pub(crate) uid: u32,
    pub(crate) argv: Vec<Vec<u8>>,
    /// As of a process.
    pub(crate) argv_cut: bool,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) began: Moment,
    pub(crate) ended: Option<(Moment, Ended)>,
    /// Its ancestors that run the same program with the same arguments (a rootless engine starts itself again).
    pub(crate) outer: Vec<(ProcessKey, Moment)>,
    pub(crate) store: Store,
    pub(crate) of_command: bool,
    /// It has only started itself again in a directory of its own, as the classic builder does to unpack a context;
    /// so do others.
    pub(crate) provisional: bool,
    /// What it puts into images.
    pub(crate) export: Export,
    /// Events that show it at work, such as a bind of a layer: the first of each stretch.
    pub(crate) seen: Vec<u64>,
    /// Processes that make directories for it.
    pub(crate) servants: Vec<ProcessKey>,
    /// The first process of the container that it runs in.
    pub(crate) inside: Option<ProcessKey>,
}

/// Whose layout the directories have that it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// `overlay2/<id>/diff` of Docker, `snapshots/<n>/fs` of containerd.
    Daemon,
    /// `overlay/<id>/diff` of containers/storage.
    Containers,
}

/// The layer that a short name stands for: `<store>/l/<short name>` -> `../<id>/diff`.
pub(crate) fn link_names(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let store = parent(path).filter(|dir| base(dir) == b"l").and_then(parent)?;
    let id = target.strip_prefix(b"../")?.strip_suffix(b"/diff")?;
    if id.is_empty() || id.contains(&b'/') {
        return None;
    }
    Some([store, b"/", id, b"/diff"].concat())
}

/// Whose store a layer directory belongs to, by its layout.
pub(crate) fn store_of(layer: &[u8]) -> Option<Store> {
    let store = parent(layer).and_then(parent).map(base)?;
    match (base(layer), store) {
        (b"diff", b"overlay") => Some(Store::Containers),
        (b"diff", _) | (b"fs", b"snapshots") => Some(Store::Daemon),
        _ => None,
    }
}

/// Docker puts a layer `<id>-init` with the runtime's mount points below each container's own.
pub(crate) fn is_init_layer(layer: &[u8]) -> bool {
    let named = if is_whole(layer) { Some(layer) } else { parent(layer) };
    named.is_some_and(|dir| dir.ends_with(b"-init"))
}

/// Whether a path is that of a layer with a whole tree: `vfs/dir/<id>`, in Docker's store as in containers/storage.
pub(crate) fn is_whole(layer: &[u8]) -> bool {
    let Some(store) = parent(layer).filter(|dir| base(dir) == b"dir").and_then(parent) else {
        return false;
    };
    base(store) == b"vfs" && !base(layer).is_empty()
}

/// The folder in which containers/storage has a vfs store, by the name of something in its notes on layers.
pub(crate) fn notes_of_whole(path: &[u8]) -> Option<&[u8]> {
    parent(path).filter(|notes| base(notes) == b"vfs-layers").and_then(parent)
}
