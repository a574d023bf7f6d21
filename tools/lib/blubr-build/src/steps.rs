//! The steps of a log, whoever asked for them: made of overlays, layers, containers and copies, and linked to each other.

mod copied;
mod dirs;
mod link;
mod overlays;
mod register;
mod unregistered;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::build::{Engine, Layer, Moment, OtherName, ProcessKey, RunKind, StepRun};
use crate::finder::Finder;
use crate::traces::Source;
use dirs::dir_piece;
pub(crate) use link::link;
use overlays::overlay_pieces;
pub(crate) use register::{may_have_left, same_base, without_init};

/// A step that may be several clients'.
pub(crate) struct Piece {
    pub(crate) run: StepRun,
    pub(crate) maker: ProcessKey,
    pub(crate) shape: Option<Engine>,
    /// A container whose changes the engine read after it had ended, or none at all.
    pub(crate) committed: bool,
    /// When the engine had its tree mounted again, after its container had ended, to register what it changed.
    pub(crate) registering: Option<(u64, Option<u64>)>,
    /// Sizes of the files that were copied from contexts, with the context's index.
    pub(crate) copied: Vec<(usize, u64)>,
    pub(crate) sources: BTreeSet<Source>,
    /// When the engine removed what it ran in.
    pub(crate) cleared: Option<u64>,
    pub(crate) exported: Option<u64>,
    /// When the engine first read in its result, after it was done.
    pub(crate) read_back: Option<u64>,
    /// When its result was registered as a layer of an image (by BuildKit).
    pub(crate) registered: Option<u64>,
    /// What was mounted into its container.
    pub(crate) mounted: BTreeSet<Source>,
    /// Steps whose results were mounted into its container.
    pub(crate) mounts_runs: Vec<usize>,
    /// When what it did was done, and registered where the engine registers it.
    pub(crate) done: Option<Moment>,
}

impl Work {
    /// What may be a context of an engine's.
    fn contexts_of(&self, maker: ProcessKey) -> &[usize] {
        self.beside_store.get(&maker).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Piece {
    /// Its container ended by itself, and said that it had failed.
    pub(crate) fn failed(&self) -> bool {
        self.run.kind == RunKind::Run
            && self.run.exit.is_some_and(|exit| exit.code.is_some_and(|code| code != 0))
    }

    /// Its container failed or was killed, as the engine does when the client goes away: a build that succeeded has
    /// no such step.
    pub(crate) fn came_to_nothing(&self) -> bool {
        self.failed()
            || self.run.kind == RunKind::Run && self.run.exit.is_some_and(|exit| exit.signal.is_some())
    }
}

/// Everything of one log, ready to be given out.
pub(crate) struct Work {
    pub(crate) pieces: Vec<Piece>,
    /// Which piece's result a directory holds.
    pub(crate) result: HashMap<Vec<u8>, usize>,
    pub(crate) layers: Vec<(ProcessKey, Layer, Option<usize>)>,
    pub(crate) contexts: Vec<usize>,
    /// Helpers by the directory they worked in.
    pub(crate) helpers: HashMap<Vec<u8>, Vec<ProcessKey>>,
    /// Processes that serve a step's tree, by its upper directory.
    pub(crate) servers: HashMap<Vec<u8>, Vec<ProcessKey>>,
    /// What else engines called layers.
    pub(crate) renamed: HashMap<Vec<u8>, Vec<OtherName>>,
    /// Steps of which one or the other has left a layer.
    pub(crate) maybe: HashMap<Vec<u8>, Vec<usize>>,
    /// Trees of steps whose result was found to be registered.
    taken: HashSet<Vec<u8>>,
    /// Trees of steps from which a helper of the engine filled a layer.
    has_layer: HashSet<Vec<u8>>,
    /// By engine the directories that it has beside its store.
    beside_store: HashMap<ProcessKey, Vec<usize>>,
}

/// The steps that left traces, whoever asked for them.
pub(crate) fn pieces(finder: &Finder) -> Work {
    let mut work = Work {
        pieces: Vec::new(),
        result: HashMap::new(),
        layers: Vec::new(),
        contexts: Vec::new(),
        helpers: HashMap::new(),
        servers: HashMap::new(),
        renamed: HashMap::new(),
        maybe: HashMap::new(),
        taken: HashSet::new(),
        has_layer: HashSet::new(),
        beside_store: copied::contexts(finder),
    };
    let lowers: HashSet<&[u8]> =
        finder.overlays.iter().flat_map(|overlay| overlay.lowers.iter().map(Vec::as_slice)).collect();
    let mut order: Vec<(u64, Source)> = Vec::new();
    order.extend(
        finder.overlays.iter().enumerate().map(|(at, overlay)| (overlay.began.seq, Source::Overlay(at))),
    );
    order.extend(finder.dirs.iter().enumerate().map(|(at, dir)| (dir.began.seq, Source::Dir(at))));
    order.sort_unstable();
    for (_, source) in order {
        match source {
            Source::Overlay(at) => overlay_pieces(finder, at, &lowers, &mut work),
            Source::Dir(at) => dir_piece(finder, at, &lowers, &mut work),
        }
    }
    work.pieces.sort_by_key(|piece| piece.run.began);
    work.result.clear();
    for (at, piece) in work.pieces.iter_mut().enumerate() {
        piece.run.id = u32::try_from(at).unwrap_or(u32::MAX);
        // Of several runs in one upper directory the last leaves the result.
        work.result.insert(piece.run.upper.clone(), at);
    }
    work
}
