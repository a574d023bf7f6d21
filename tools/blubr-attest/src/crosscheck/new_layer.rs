//! One new layer held against the changes of its steps.

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap};

use blubr_attestation::build::What;
use blubr_build::StepRun;
use blubr_image::layer::{Entry, Kind};

use super::attributes::Judge;
use super::below::{Attributes, Below};
use super::crossing::{Crossing, listed};
use super::paths::{path_of, upwards};
use super::trails::{Hit, Trails};
use super::{Ground, Record};
use crate::assemble_parts::{Slot, Tails};

/// What a new layer is held against.
struct Held<'a> {
    trails: &'a Trails,
    judge: Option<&'a Judge<'a>>,
    /// Whose changes the layer holds is known.
    known_step: bool,
    /// It holds what the build began from, too: what no event explains may be of that.
    with_base: bool,
    /// What lies below.
    below: &'a Below,
    /// The ends of long names.
    tails: &'a Tails,
    /// The last names of what was changed upon mounts.
    upon_mounts: &'a Tails,
    /// What the host calls the trees of the steps.
    roots: Vec<&'a [u8]>,
    /// The engine compared the step's whole tree with that to make the layer: a file that was changed by one of its names is in it
    /// by each.
    compared: bool,
    /// What these made was in a tree that was thrown away.
    thrown_away: Vec<Slot>,
    /// Events were lost: who changed a path last may not be known, and where the layer is of several steps neither is the step.
    has_losses: bool,
    of_several: bool,
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

    /// Whether what was taken away, or got another name, may have been what has this one.
    fn may_have_gone(&self, path: &[u8]) -> bool {
        let by_cut = !self.tails.is_empty() && self.tails.may_be(&self.roots, upwards(path));
        by_cut || !self.upon_mounts.is_empty() && self.upon_mounts.may_be(&[], upwards(path))
    }

    /// Whether the file had other names below, through which it may have been changed.
    fn has_other_names(&self, path: &[u8]) -> bool {
        self.compared && self.below.file(path).is_some()
    }
}

impl Crossing {
    /// Judges a new layer that holds the changes of these slots, or of some that are not known, and lays it upon the others.
    pub(super) fn new_layer(
        &mut self,
        diff_id: &str,
        entries: &[Entry],
        (of, with_base): (&Option<Vec<Slot>>, bool),
        record: &Record<'_>,
        ground: &mut Ground,
    ) {
        let Record { build, slots, gathered, .. } = *record;
        let Ground { links, below } = ground;
        let runs: Vec<&StepRun> =
            of.iter().flatten().flat_map(|slot| slots.runs(build, *slot)).map(|(run, _)| run).collect();
        let trails = Trails::new(build, slots, gathered, of, (links, below), &record.looks);
        if with_base && self.unchecked.attributes.is_none() {
            self.unchecked.attributes =
                Some("the layer holds what the build began from, too".to_owned());
        }
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
            with_base,
            below,
            tails: &gathered.tails,
            upon_mounts: &gathered.upon_mounts,
            roots: roots(if of.is_some() { &runs } else { &all }),
            compared: runs.iter().any(|run| run.compared),
            thrown_away: of.iter().flatten().filter(|slot| thrown_away(slot)).copied().collect(),
            has_losses: gathered.lost.all > 0,
            of_several: of.as_ref().is_none_or(|slots| slots.len() > 1),
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
        let cut_off = cut(entries, held.tails, &held.roots);
        // Asked only of what would be odd otherwise.
        let by_mounts = LazyCell::new(|| cut(entries, held.upon_mounts, &[]));
        for entry in entries {
            let path = path_of(entry);
            let hit = held.explain(&path, entry.kind, entry.size);
            match hit {
                None if is_cut(&cut_off, &path, entry.kind) => self.unchecked.cut += 1,
                None if held.with_base => self.unchecked.of_base += 1,
                None if is_cut(&by_mounts, &path, entry.kind) => self.unchecked.cut += 1,
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
                    let may_be_given =
                        !found.is_empty() && (cut_off.contains(&path) || by_mounts.contains(&path));
                    self.unchecked.given += usize::from(may_be_given);
                    for one in found.into_iter().filter(|_| !may_be_given) {
                        self.deviates(one, &path, diff_id, hit.and_then(|hit| hit.slot));
                    }
                }
            }
            self.hide(&path, entry.kind);
            if !matches!(entry.kind, Kind::Whiteout | Kind::Opaque) {
                self.visible.insert(path.clone(), self.files.len());
                present.insert(path.clone());
            }
            let mut listed = listed(entry, &path, diff_id, hit.flatten());
            if held.has_losses {
                listed.file.process = None;
                listed.slot = listed.slot.filter(|_| !held.of_several);
            }
            self.files.push(listed);
        }
        // Of a layer whose step isn't known nothing can be said to be missing.
        if !held.known_step {
            return;
        }
        for (path, slot) in held.trails.expected() {
            if present.contains(path) || held.thrown_away.contains(&slot) {
                continue;
            }
            // Something that is called so in the end may have been taken away.
            match held.may_have_gone(path) {
                true => self.unchecked.cut += 1,
                false => self.odd(What::WriteNotInImage, path, None, Some(slot)),
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
