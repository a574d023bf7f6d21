//! Modes, owners, lengths, targets and extended attributes of a layer's entries against what the record gave them.
//!
//! An attribute is found wanting only if all that ever gave its file a value is known, and nothing gave it this one.

mod hardlinks;
mod known;
mod lasting;
#[cfg(test)]
mod tests;
mod values;
mod words;
mod xattrs;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use blubr_build::{Build, StepRun};
use blubr_image::layer::Kind;

use super::below::{Attributes, Below, DEFAULT_LIST};
use super::links::Links;
use super::paths::upwards;
use super::trails::Trails;
use crate::assemble_parts::{Fact, Gathered, Given, Made, Said, Slots};
use hardlinks::target_of;
use lasting::Lasting;
use values::target;
pub(super) use words::Deviation;
use words::{deviation, text};
use xattrs::notes_of_kernel;

/// Different values that calls by names which may mean any file gave: of one last name, and of all of which nothing is known.
/// Each entry is held against all of them; with more, entries are not judged.
const LOOSE_MAX: usize = 1_000;

/// What the record says of the files of one layer.
pub(super) struct Judge<'a> {
    given: &'a Given,
    below: &'a Below,
    links: &'a Links,
    trails: &'a Trails,
    said: BTreeMap<Vec<u8>, Vec<By<'a>>>,
    /// What calls gave by names that may mean other files now: by the last part of the name.
    loose: HashMap<Vec<u8>, Vec<&'a Fact>>,
    /// By names of which nothing is known, or which were symlinks.
    anywhere: Vec<&'a Fact>,
    /// Last names that were given or taken by way of a symlink which the steps changed: they may be of other directories.
    doubtful: HashSet<Vec<u8>>,
    /// A directory has an access list that it hands on.
    hands_on: bool,
    /// What its steps did last and must show.
    lasting: Lasting,
    /// Of directories whether they or one above changed.
    changed: RefCell<HashMap<Vec<u8>, bool>>,
}

/// What was said of a name, or of a symlink that leads to it.
#[derive(Clone, Copy)]
struct By<'a> {
    run: u32,
    said: &'a Said,
    through: bool,
}

impl<'a> By<'a> {
    /// What of it is about the name: a symlink lets values through, but is made and removed itself.
    fn facts(self) -> impl Iterator<Item = &'a Fact> {
        self.said.facts.iter().filter(move |fact| !self.through || fact.is_value())
    }
}

impl<'a> Judge<'a> {
    /// Of the runs whose changes the layer holds.
    pub(super) fn new(
        (build, slots): (&Build, &Slots),
        gathered: &'a Gathered,
        below: &'a Below,
        links: &'a Links,
        trails: &'a Trails,
    ) -> Self {
        let counted: Vec<_> = build.runs.iter().filter(|run| trails.counts(run, slots)).collect();
        // buildah without --layers: one tree for several steps.
        let same = |one: &StepRun| counted.iter().any(|run| run.upper == one.upper);
        let runs: BTreeSet<u32> = build.runs.iter().filter(|run| same(run)).map(|run| run.id).collect();
        let lasting = Lasting::new(build, slots, &counted);
        Self::of_runs((&runs, lasting), &gathered.given, below, links, trails)
    }

    fn of_runs(
        (runs, lasting): (&BTreeSet<u32>, Lasting),
        given: &'a Given,
        below: &'a Below,
        links: &'a Links,
        trails: &'a Trails,
    ) -> Self {
        let counted = || given.said.iter().filter(|((run, _), _)| runs.contains(run));
        let mut said: BTreeMap<Vec<u8>, Vec<By<'_>>> = BTreeMap::new();
        let mut at = |path: Vec<u8>, (run, one), through| {
            said.entry(path).or_default().push(By { run, said: one, through });
        };
        let mut doubtful = HashSet::new();
        let unsteady = unsteady(counted(), below);
        for ((run, path), one) in counted() {
            if upwards(path).skip(1).any(|dir| unsteady.contains(dir)) {
                doubtful.insert(last_name(path).to_vec());
            }
            let meanings = trails.meanings(path, links);
            if meanings.len() > 1 {
                doubtful.insert(last_name(path).to_vec());
            }
            for resolved in meanings {
                let through = links.through(&resolved).filter(|_| one.facts.iter().any(Fact::is_value));
                if let Some(target) = through {
                    at(target, (*run, one), true);
                }
                let moved: BTreeSet<Vec<u8>> = [one.first, one.last]
                    .into_iter()
                    .filter_map(|seq| trails.now(&resolved, seq))
                    .filter(|now| *now != resolved)
                    .collect();
                for now in moved {
                    at(now, (*run, one), false);
                }
                at(resolved, (*run, one), false);
            }
        }
        let mut judge = Judge {
            given,
            below,
            links,
            trails,
            said,
            loose: HashMap::new(),
            anywhere: Vec::new(),
            doubtful,
            hands_on: below.hands_on(),
            lasting,
            changed: RefCell::default(),
        };
        judge.loosen(runs, &unsteady);
        let hands_on = |fact: &Fact| matches!(fact, Fact::Xattr(xattr) if xattr.name == DEFAULT_LIST);
        let loose = runs.iter().filter_map(|run| given.loose.get(run)).flatten();
        judge.hands_on |= judge.said.values().flatten().any(|by| by.said.facts.iter().any(hands_on))
            || loose.into_iter().any(|one| hands_on(&one.fact));
        judge
    }

    /// Sorts what was given by names as their callers spelled them.
    fn loosen(&mut self, runs: &BTreeSet<u32>, unsteady: &HashSet<&[u8]>) {
        for one in runs.iter().filter_map(|run| self.given.loose.get(run)).flatten() {
            let resolved = self.links.resolve(&one.path);
            let was_symlink = unsteady.contains(one.path.as_slice());
            let is_known = self.below.get(&resolved).is_some()
                || self.facts(&resolved).any(|fact| {
                    matches!(fact, Fact::Made(_) | Fact::Other(_) | Fact::Linked(_) | Fact::Anything)
                });
            let anywhere = one.unsure || was_symlink || !is_known;
            if one.fact.takes_capability() {
                self.lasting.taken(last_name(&one.path), one.seq, anywhere);
            }
            if one.fact == Fact::Without {
                continue;
            }
            if anywhere {
                self.anywhere.push(&one.fact);
            }
            self.loose.entry(last_name(&one.path).to_vec()).or_default().push(&one.fact);
        }
        for list in self.loose.values_mut().chain([&mut self.anywhere]) {
            list.sort_unstable();
            list.dedup();
        }
        let many = self.loose.iter().filter(|(_, list)| list.len() > LOOSE_MAX);
        self.doubtful.extend(many.map(|(name, _)| name.clone()));
    }

    /// Why nothing can be judged: too many values may be any file's.
    pub(super) fn too_loose(&self) -> Option<String> {
        (self.anywhere.len() > LOOSE_MAX).then(|| {
            "calls by names of which nothing is known gave more values than are compared".into()
        })
    }

    /// What of an entry no event gave; nothing where that can't be said. `in_layer`: what the layer puts at a path.
    pub(super) fn judge(
        &self,
        path: &[u8],
        entry: &Attributes,
        in_layer: &dyn Fn(&[u8]) -> Option<Kind>,
    ) -> Vec<Deviation> {
        if entry.kind == Kind::Hardlink && !self.has_target(entry, in_layer) {
            return vec![deviation("target", text(&target_of(entry)), Vec::new())];
        }
        let known = self.known(path);
        let exists =
            !known.lower.is_empty() || known.facts.iter().any(|fact| matches!(fact, Fact::Made(_)));
        // A recorder before `perm` does not tell which opens made a file.
        let untold = !self.given.tells_perm
            && known.facts.iter().any(|fact| matches!(fact, Fact::Made(_) | Fact::Gone));
        if known.incomplete || !exists || untold {
            return notes_of_kernel(entry);
        }
        let mut found = Vec::new();
        found.extend(self.kind(&known, entry));
        match entry.kind {
            Kind::Whiteout | Kind::Opaque => return Vec::new(),
            Kind::Hardlink => found.extend(self.hardlink(&known, entry)),
            Kind::Symlink => {
                found.extend(target(&known, entry));
                found.extend(self.owners(path, &known, entry));
            }
            Kind::File | Kind::Dir | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                found.extend(self.mode(path, &known, entry));
                found.extend(self.owners(path, &known, entry));
                found.extend(self.xattrs(path, &known, entry));
                found.extend(self.lost_xattrs(path, &known, entry));
                if entry.kind == Kind::File {
                    found.extend(self.size(path, &known, entry));
                    found.extend(self.parted(path, &known, in_layer));
                }
            }
        }
        found
    }

    fn facts(&self, name: &[u8]) -> impl Iterator<Item = &'a Fact> {
        self.said.get(name).into_iter().flatten().flat_map(|by| by.facts())
    }

    /// Whether a call that named its file loosely gave such a value to this one, or may have.
    fn loosely(&self, path: &[u8], fits: &dyn Fn(&Fact) -> bool) -> bool {
        let by_name = self.loose.get(last_name(path)).into_iter().flatten();
        by_name.chain(&self.anywhere).any(|fact| fits(fact))
    }
}

/// Directories' names that were, or may have been, symlinks for some of the time: made, taken away or given to another
/// file by the steps.
fn unsteady<'a>(
    said: impl Iterator<Item = (&'a (u32, Vec<u8>), &'a Said)>,
    below: &Below,
) -> HashSet<&'a [u8]> {
    let changed = |path: &[u8], said: &Said| {
        let was = below.get(path).is_some_and(|lower| lower.kind == Kind::Symlink);
        said.facts.iter().any(|fact| match fact {
            Fact::Made(Made::Symlink) => true,
            Fact::Gone | Fact::Other(_) | Fact::Linked(_) | Fact::Anything => was,
            _ => false,
        })
    };
    said.filter(|((_, path), said)| changed(path, said)).map(|((_, path), _)| path.as_slice()).collect()
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
