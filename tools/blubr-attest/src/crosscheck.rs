//! The image held against the record: who wrote each entry of the new layers, what no event explains, and what was written
//! and isn't there. An entry is explained by events, never by its name.

mod attributes;
mod below;
mod crossing;
mod layers;
mod lengths;
mod links;
mod new_layer;
mod paths;
mod renames;
mod trails;
mod unjudged;

use blubr_attestation::build::{File, Unexplained};
use blubr_build::Build;
use blubr_cli::Failure;

use crate::assemble_parts::{Alignment, First, Gathered, Reuse, Slot, Slots};
use crate::picture::Picture;
use below::Below;
use crossing::Crossing;
use layers::Made;
use links::Links;
use renames::Looks;
pub use unjudged::{FILTERED, keeps_a_build};

/// Entries of new layers that are listed at most; with more the list and the check are left out and said to be.
const ENTRIES_MAX: usize = 100_000;
/// The same where the lists go into a file of their own.
const DETAIL_ENTRIES_MAX: usize = 300_000;

/// Unexplained entries that are listed at most, in the statement itself; the rest is counted.
pub const UNEXPLAINED_MAX: usize = 50_000;

/// Attributes without an event that are listed at most; the rest is counted.
pub const DEVIATIONS_MAX: usize = 10_000;

/// What came of it.
pub struct Crossed {
    /// The entries of the new layers; `None` when there are too many.
    pub files: Option<Vec<Listed>>,
    /// Layers that were there before, by diff_id.
    pub inherited: Vec<String>,
    /// New layers that hold nothing, by diff_id.
    pub empty: Vec<String>,
    /// Layers that were there before and hold nothing, by diff_id.
    pub hollow: Vec<String>,
    /// What is not explained; `None` when it could not be checked.
    pub unexplained: Option<Vec<Odd>>,
    /// What could not be checked, and why.
    pub unchecked: Unchecked,
}

/// What could not be checked, and why.
#[derive(Debug, Default)]
pub struct Unchecked {
    /// Whether each entry has an event.
    pub entries: Option<String>,
    /// Whether its attributes are as events gave them.
    pub attributes: Option<String>,
    /// Owners and groups: their numbers may be those of a user namespace.
    pub owners: bool,
    /// New layers of whose attributes nothing is known, for their steps were not seen.
    pub layers: usize,
    /// New layers with entries of which it is not known whose changes they hold: any step's explain them.
    pub unplaced: usize,
    /// Entries without an event whose names are longer than the log has them, or lead through what was mounted: they end as that of
    /// one which was changed.
    pub cut: usize,
    /// Entries whose attributes events may have given them by such a name.
    pub given: usize,
    /// Entries without an event in a layer that holds what the build began from, too.
    pub of_base: usize,
    /// Deviations beyond those that are listed.
    pub more: usize,
    /// Unexplained entries beyond those that are listed.
    pub unlisted: usize,
    /// One of these was written by a stranger.
    pub unlisted_foreign: bool,
}

/// An entry, and the slot of whoever wrote it.
pub struct Listed {
    /// The entry as the statement has it; its `step` is still to be filled in.
    pub file: File,
    /// Whose it is.
    pub slot: Option<Slot>,
}

/// Something unexplained, and the slot that it is about.
pub struct Odd {
    /// As the statement has it; its `step` is still to be filled in.
    pub what: Unexplained,
    /// Whose write it was.
    pub slot: Option<Slot>,
}

/// Holds the image against what was gathered.
pub fn cross(
    picture: &mut Picture,
    record: &Record<'_>,
    first: &First,
    has_detail: bool,
) -> Result<Crossed, Failure> {
    let gathered = record.gathered;
    let made = layers::made(picture, record)?;
    let mut crossing = Crossing { has_detail, ..Crossing::default() };
    crossing.unchecked.attributes = unjudged::why(first, gathered);
    crossing.unchecked.owners = gathered.given.own_numbers;
    let mut ground = Ground::default();
    for (index, made) in made.iter().enumerate() {
        let diff_id =
            picture.image.layers.get(index).map(|layer| layer.diff_id.to_string()).unwrap_or_default();
        let Made::New { slots: of, with_base } = made else {
            crossing.inherited(picture, index, diff_id, &mut ground)?;
            continue;
        };
        let entries = crossing.entries(picture, index, &diff_id, &mut ground.links)?;
        if !crossing.too_many {
            crossing.new_layer(&diff_id, &entries, (of, *with_base), record, &mut ground);
        }
    }
    crossing.lost_links = ground.links.lost_track();
    Ok(crossing.end(gathered))
}

/// What layers are held against.
pub struct Record<'a> {
    build: &'a Build,
    slots: &'a Slots,
    gathered: &'a Gathered,
    alignment: &'a Alignment,
    reuse: &'a Reuse,
    looks: Looks,
}

impl<'a> Record<'a> {
    /// Of a build.
    pub fn new(
        build: &'a Build,
        slots: &'a Slots,
        gathered: &'a Gathered,
        alignment: &'a Alignment,
        reuse: &'a Reuse,
    ) -> Self {
        Self { build, slots, gathered, alignment, reuse, looks: renames::looks() }
    }
}

/// The layers that have been read.
#[derive(Default)]
struct Ground {
    links: Links,
    /// But for the links of a new layer, which are learned before it is judged.
    below: Below,
}
