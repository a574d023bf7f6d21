//! The image held against the record: who wrote each entry of the new layers, what no event explains, and what was written
//! and isn't there. An entry is explained by events, never by its name.

mod attributes;
mod below;
mod layers;
mod lengths;
mod links;
mod paths;
mod renames;
mod trails;
mod unjudged;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blubr_attestation::build::{File, Unexplained, What};
use blubr_attestation::path;
use blubr_build::{Build, StepRun};
use blubr_cli::Failure;
use blubr_image::layer::{Entry, Kind};

use crate::assemble_parts::{Alignment, First, Gathered, Reuse, Slot, Slots, Tails};
use crate::picture::Picture;
use attributes::{Deviation, Judge};
use below::{Attributes, Below};
use layers::Made;
use links::Links;
use paths::upwards;
use renames::Looks;
use trails::{Hit, Trails};
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
    /// Entries without an event whose names are longer than the log has them: they end as that of one which was changed.
    pub cut: usize,
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
    let made = layers::made(picture, record, first)?;
    let mut crossing = Crossing { has_detail, ..Crossing::default() };
    crossing.unchecked.attributes = unjudged::why(first, gathered);
    crossing.unchecked.owners = gathered.given.own_numbers;
    let mut ground = Ground::default();
    for (index, made) in made.iter().enumerate() {
        let diff_id =
            picture.image.layers.get(index).map(|layer| layer.diff_id.to_string()).unwrap_or_default();
        let Made::New { slots: of } = made else {
            crossing.inherited(picture, index, diff_id, &mut ground)?;
            continue;
        };
        let entries = crossing.entries(picture, index, &diff_id, &mut ground.links)?;
        if !crossing.too_many {
            crossing.new_layer(&diff_id, &entries, of, record, &mut ground);
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

/// What a new layer is held against.
struct Held<'a> {
    trails: &'a Trails,
    judge: Option<&'a Judge<'a>>,
    /// Whose changes the layer holds is known.
    known_step: bool,
    /// What lies below.
    below: &'a Below,
    /// The ends of long names.
    tails: &'a Tails,
    /// What the host calls the trees of the steps.
    roots: Vec<&'a [u8]>,
    /// The engine compared the step's whole tree with that to make the layer: a file that was changed by one of its names is in it
    /// by each.
    compared: bool,
    /// What these made was in a tree that was thrown away.
    thrown_away: Vec<Slot>,
    /// By such a file who changed it by one of its names.
    by_file: HashMap<usize, Option<Hit>>,
}

impl Held<'_> {
    fn explain(&mut self, path: &[u8], kind: Kind, size: u64) -> Option<Option<Hit>> {
        let (trails, below, compared) = (self.trails, self.below, self.compared);
        let by_file = &mut self.by_file;
        let by_other_name = || {
            if !compared || matches!(kind, Kind::Whiteout | Kind::Opaque) {
                return None;
            }
            let file = below.file(path)?;
            let first = || below.names(file).find_map(|name| trails.changed_by(name));
            by_file.entry(file).or_insert_with(first).map(Some)
        };
        trails.explain(path, kind, size, below).or_else(by_other_name)
    }

    /// Whether the file had other names below, through which it may have been changed.
    fn has_other_names(&self, path: &[u8]) -> bool {
        self.compared && self.below.file(path).is_some()
    }
}

#[derive(Default)]
struct Crossing {
    /// The lists go into a file of their own.
    has_detail: bool,
    files: Vec<Listed>,
    inherited: Vec<String>,
    empty: Vec<String>,
    hollow: Vec<String>,
    odd: Vec<Odd>,
    too_many: bool,
    lost_track: bool,
    lost_links: bool,
    visible: BTreeMap<Vec<u8>, usize>,
    unchecked: Unchecked,
    deviations: usize,
    unexplained: usize,
}

impl Crossing {
    fn entries_max(&self) -> usize {
        if self.has_detail { DETAIL_ENTRIES_MAX } else { ENTRIES_MAX }
    }

    /// Why entries of so many are not listed.
    fn too_many(&self) -> String {
        let elsewhere = if self.has_detail { "" } else { " (--detail-to makes room for more)" };
        format!("the new layers have more than {} entries{elsewhere}", self.entries_max())
    }

    /// A layer that was there before.
    fn inherited(
        &mut self,
        picture: &mut Picture,
        index: usize,
        diff_id: String,
        ground: &mut Ground,
    ) -> Result<(), Failure> {
        let mut hollow = true;
        picture.layer(index, &mut |entry| {
            hollow &= entry.path.is_empty();
            ground.links.learn(&entry);
            ground.below.put(&entry);
        })?;
        self.hollow.extend(hollow.then(|| diff_id.clone()));
        self.inherited.push(diff_id);
        Ok(())
    }

    /// The entries of a new layer, in the order of their paths; with too many of them in all that is kept in mind, and there are
    /// fewer.
    fn entries(
        &mut self,
        picture: &mut Picture,
        index: usize,
        diff_id: &str,
        links: &mut Links,
    ) -> Result<Vec<Entry>, Failure> {
        let entries_max = self.entries_max();
        let mut entries = Vec::new();
        let mut too_many = false;
        picture.layer(index, &mut |entry| {
            links.learn(&entry);
            if entries.len() < entries_max {
                entries.push(entry);
            } else {
                too_many = true;
            }
        })?;
        self.too_many |= too_many || self.files.len() + entries.len() > entries_max;
        // The root stands in some engines' layers whether or not it changed.
        if !too_many && entries.iter().all(|entry| entry.path.is_empty()) {
            self.empty.push(diff_id.to_owned());
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// Judges a new layer that holds the changes of these slots, or of some that are not known, and lays it upon the others.
    fn new_layer(
        &mut self,
        diff_id: &str,
        entries: &[Entry],
        of: &Option<Vec<Slot>>,
        record: &Record<'_>,
        ground: &mut Ground,
    ) {
        let Record { build, slots, gathered, .. } = *record;
        let Ground { links, below } = ground;
        let runs: Vec<&StepRun> =
            of.iter().flatten().flat_map(|slot| slots.runs(build, *slot)).map(|(run, _)| run).collect();
        let trails = Trails::new(build, slots, gathered, of, (links, below), &record.looks);
        let judged = !runs.is_empty() && self.unchecked.attributes.is_none();
        let judge = judged.then(|| Judge::new((build, slots), gathered, below, links, &trails));
        let judge = judge.filter(|judge| {
            self.unchecked.attributes = judge.too_loose();
            self.unchecked.attributes.is_none()
        });
        self.unchecked.layers += usize::from(runs.is_empty() && !entries.is_empty());
        self.unchecked.unplaced += usize::from(of.is_none() && !entries.is_empty());
        let thrown_away = |slot: &Slot| {
            let mut runs = slots.runs(build, *slot).peekable();
            runs.peek().is_some() && runs.all(|(run, _)| record.reuse.is_thrown_away(run))
        };
        let all: Vec<&StepRun> = build.runs.iter().collect();
        let held = Held {
            trails: &trails,
            judge: judge.as_ref(),
            known_step: of.is_some(),
            below,
            tails: &gathered.tails,
            roots: roots(if of.is_some() { &runs } else { &all }),
            compared: runs.iter().any(|run| run.compared),
            thrown_away: of.iter().flatten().filter(|slot| thrown_away(slot)).copied().collect(),
            by_file: HashMap::new(),
        };
        self.layer(diff_id, entries, held);
        let removed = if of.is_some() { trails.removed(below) } else { Vec::new() };
        self.lost_track |= trails.lost_track();
        // A hard link is what its target is in this layer.
        let (hardlinks, files): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.kind == Kind::Hardlink);
        files.into_iter().chain(hardlinks).for_each(|entry| below.put(entry));
        self.left(&removed, entries, below);
        for run in runs.iter().filter(|run| run.compared) {
            for (path, other) in gathered.given.linked(run.id) {
                below.link(&links.resolve(path), &links.resolve(other));
            }
        }
    }

    fn layer(&mut self, diff_id: &str, entries: &[Entry], mut held: Held<'_>) {
        let mut present = BTreeSet::new();
        let cut = cut(entries, held.tails, &held.roots);
        for entry in entries {
            let path = path_of(entry);
            let hit = held.explain(&path, entry.kind, entry.size);
            match hit {
                None if is_cut(&cut, &path, entry.kind) => self.unchecked.cut += 1,
                None => self.odd(What::EntryWithoutEvent, &path, Some(diff_id), None),
                Some(Some(hit)) if hit.foreign => {
                    self.odd(What::ForeignWrite, &path, Some(diff_id), None);
                }
                Some(hit) => {
                    let attributes = Attributes::of(entry);
                    let judge = held.judge.filter(|_| !held.has_other_names(&path));
                    let in_layer = |path: &[u8]| own(entries, path);
                    let found = judge.map(|judge| judge.judge(&path, &attributes, &in_layer));
                    let found = found.unwrap_or_default();
                    for one in found {
                        self.deviates(one, &path, diff_id, hit.and_then(|hit| hit.slot));
                    }
                }
            }
            self.hide(&path, entry.kind);
            if !matches!(entry.kind, Kind::Whiteout | Kind::Opaque) {
                self.visible.insert(path.clone(), self.files.len());
                present.insert(path.clone());
            }
            self.files.push(listed(entry, &path, diff_id, hit.flatten()));
        }
        // Of a layer whose step isn't known nothing can be said to be missing.
        if !held.known_step {
            return;
        }
        for (path, slot) in held.trails.expected() {
            if !present.contains(path) && !held.thrown_away.contains(&slot) {
                self.odd(What::WriteNotInImage, path, None, Some(slot));
            }
        }
    }

    /// What a step took away and its layer, which lies on the others now, does not: there it is the lower layer's still. Of a
    /// directory and what is in it the directory is said.
    fn left(&mut self, removed: &[(Vec<u8>, Slot)], entries: &[Entry], below: &Below) {
        let mut left: BTreeSet<&[u8]> = BTreeSet::new();
        for (path, slot) in removed {
            let is_left = below.get(path).is_some() && own(entries, path).is_none();
            if is_left && !upwards(path).any(|dir| left.contains(dir)) {
                left.insert(path);
                self.odd(What::WriteNotInImage, path, None, Some(*slot));
            }
        }
    }

    /// What a later layer's entry takes out of view.
    fn hide(&mut self, path: &[u8], kind: Kind) {
        let mut gone = Vec::new();
        if kind != Kind::Opaque {
            gone.extend(self.visible.remove(path));
        }
        if kind != Kind::Dir {
            let below = [path, b"/"].concat();
            let inside: Vec<Vec<u8>> = self
                .visible
                .range(below.clone()..)
                .take_while(|(other, _)| other.starts_with(&below))
                .map(|(other, _)| other.clone())
                .collect();
            gone.extend(inside.iter().filter_map(|other| self.visible.remove(other)));
        }
        for at in gone {
            if let Some(listed) = self.files.get_mut(at) {
                listed.file.hidden = true;
            }
        }
    }

    fn odd(&mut self, what: What, at: &[u8], layer: Option<&str>, slot: Option<Slot>) {
        self.unexplained += 1;
        if self.unexplained > UNEXPLAINED_MAX {
            self.unchecked.unlisted += 1;
            self.unchecked.unlisted_foreign |= what == What::ForeignWrite;
            return;
        }
        let (path, path_b64) = path::keys(at);
        let layer = layer.map(str::to_owned);
        let what = Unexplained { path, path_b64, what, layer, ..Unexplained::default() };
        self.odd.push(Odd { what, slot });
    }

    fn deviates(&mut self, one: Deviation, at: &[u8], layer: &str, slot: Option<Slot>) {
        self.deviations += 1;
        if self.deviations > DEVIATIONS_MAX {
            self.unchecked.more += 1;
            return;
        }
        let (path, path_b64) = path::keys(at);
        let what = Unexplained {
            path,
            path_b64,
            what: What::AttributeWithoutEvent,
            layer: Some(layer.to_owned()),
            attribute: Some(one.attribute),
            image: one.image,
            recorded: one.recorded,
            ..Unexplained::default()
        };
        self.odd.push(Odd { what, slot });
    }

    fn end(self, gathered: &Gathered) -> Crossed {
        let left_out = gathered.doing.values().any(|doing| doing.counts.left_out > 0);
        let unchecked = if self.too_many {
            Some(self.too_many())
        } else if self.lost_track {
            Some("directories got other names more often than is followed".to_owned())
        } else if self.lost_links {
            Some("symlinks lead on for longer than is followed".to_owned())
        } else if left_out || gathered.explaining_left_out {
            Some("the build touched more paths than are kept".to_owned())
        } else {
            None
        };
        Crossed {
            files: (!self.too_many).then_some(self.files),
            inherited: self.inherited,
            empty: self.empty,
            hollow: self.hollow,
            unexplained: unchecked.is_none().then_some(self.odd),
            unchecked: Unchecked { entries: unchecked, ..self.unchecked },
        }
    }
}

/// What entries, in the order of their paths, put at a path.
fn own(entries: &[Entry], path: &[u8]) -> Option<Kind> {
    let name = path.get(1..).unwrap_or_default();
    let from = entries.partition_point(|entry| entry.path.as_slice() < name);
    let mut same = entries.iter().skip(from).take_while(|entry| entry.path == name);
    same.find(|entry| !matches!(entry.kind, Kind::Whiteout | Kind::Opaque)).map(|entry| entry.kind)
}

/// What the host calls the trees of some runs.
fn roots<'a>(runs: &[&'a StepRun]) -> Vec<&'a [u8]> {
    let names = runs.iter().flat_map(|run| run.roots.iter().chain([&run.upper]));
    let names: BTreeSet<&[u8]> = names.map(Vec::as_slice).collect();
    names.into_iter().collect()
}

/// The paths of a layer that may be those of which the log has the ends, in their order.
fn cut(entries: &[Entry], tails: &Tails, roots: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    if tails.is_empty() {
        return BTreeSet::new();
    }
    entries.iter().map(path_of).filter(|path| tails.may_be(roots, upwards(path))).collect()
}

/// Whether an entry's path is among these, or it is a directory above one.
fn is_cut(cut: &BTreeSet<Vec<u8>>, path: &[u8], kind: Kind) -> bool {
    let below = [path, b"/"].concat();
    let is_above = || cut.range(below.clone()..).next().is_some_and(|other| other.starts_with(&below));
    cut.contains(path) || kind == Kind::Dir && is_above()
}

fn path_of(entry: &Entry) -> Vec<u8> {
    [b"/".as_slice(), &entry.path].concat()
}

fn listed(entry: &Entry, at: &[u8], diff_id: &str, hit: Option<Hit>) -> Listed {
    let (path, path_b64) = path::keys(at);
    let is_file = entry.kind == Kind::File;
    // A symlink's bits mean nothing, a hard link's are its file's.
    let has_mode = !matches!(entry.kind, Kind::Symlink | Kind::Hardlink | Kind::Whiteout | Kind::Opaque);
    let file = File {
        path,
        path_b64,
        kind: entry.kind.name().to_owned(),
        sha256: entry.sha256.as_ref().map(|digest| digest.hex().to_owned()),
        size: is_file.then_some(entry.size),
        target: entry.link.as_ref().map(|link| String::from_utf8_lossy(link).into_owned()),
        mode: has_mode.then(|| format!("{:04o}", entry.mode)),
        uid: if has_mode { entry.uid } else { 0 },
        gid: if has_mode { entry.gid } else { 0 },
        layer: diff_id.to_owned(),
        hidden: false,
        step: None,
        process: hit.map(|hit| hit.by.to_string()),
    };
    Listed { file, slot: hit.and_then(|hit| hit.slot) }
}
