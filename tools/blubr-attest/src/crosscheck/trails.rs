//! The recorded changes of some steps, by path, with symlinks in the paths' directories followed over the image's own tree.

mod explain;
mod hit;
mod removed;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use blubr_attestation::trace::Place;
use blubr_build::{Build, RunKind, StepRun};
use blubr_image::layer::Kind;

use super::below::Below;
use super::links::Links;
use super::renames::{Looks, Renames};
use crate::assemble_parts::{Gathered, Slot, Slots, Trail};
pub(super) use hit::Hit;

/// A lower layer's directory that got another name.
struct MovedAway {
    from: Vec<u8>,
    seq: u64,
    slot: Slot,
}

/// The changes of some slots.
#[derive(Default)]
pub(super) struct Trails {
    hits: BTreeMap<Vec<u8>, Hit>,
    /// Mount points of containers.
    mounts: BTreeSet<Vec<u8>>,
    /// New names of directories that came from a lower layer, with all that was in them.
    from_below: BTreeSet<Vec<u8>>,
    /// New names that the engine gave around a container, of which the old ones are not kept.
    put_there: BTreeSet<Vec<u8>>,
    renames: Renames,
    /// Whose changes these are; `None` for all.
    of: Option<Vec<Slot>>,
    /// The runs among those that are tied to no instruction.
    untied: BTreeSet<u32>,
    /// Directories of a lower layer that containers of a step moved away.
    moved_away: Vec<MovedAway>,
    /// Renames upon renames: what they led to is not known.
    lost_track: Cell<bool>,
    /// Names that meant, or may have meant, something else than the image's symlinks make of them.
    meant: HashMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// The last directory that was found to hold nothing.
    empty: RefCell<Option<Vec<u8>>>,
}

impl Trails {
    /// Of the slots given, or of all; and always of what belongs to no step.
    pub(super) fn new(
        build: &Build,
        slots: &Slots,
        gathered: &Gathered,
        of: &Option<Vec<Slot>>,
        (links, below): (&Links, &Below),
        looks: &Looks,
    ) -> Self {
        let untied = untied(build, slots, of.as_deref());
        let mut trails = Self { of: of.clone(), untied, ..Self::default() };
        let counted: Vec<_> = gathered.doing.iter().filter(|(slot, _)| trails.has(**slot)).collect();
        let then = links.then(&counted.iter().map(|(_, doing)| *doing).collect::<Vec<_>>(), below);
        let mut renames = Renames::new(Rc::clone(looks));
        let renamed = counted.iter().flat_map(|(slot, doing)| {
            let of = doing.renames.iter().filter(|renamed| trails.is_of(**slot, Some(renamed.run)));
            of.map(|renamed| (**slot, renamed))
        });
        let mut moved_away = Vec::new();
        let mut moves = |slot, from: &[u8], seq| {
            let is_dir = below.get(from).is_some_and(|lower| lower.kind == Kind::Dir);
            let counts = is_dir && seq <= ended(build, slots, slot) && in_containers(build, slots, slot);
            moved_away.extend(counts.then(|| MovedAway { from: from.to_vec(), seq, slot }));
        };
        for (slot, renamed) in renamed {
            if renamed.real {
                moves(slot, &renamed.from, renamed.seq);
                renames.add(renamed.from.clone(), renamed.to.clone(), renamed.seq);
                continue;
            }
            let at = renamed.seq;
            let (from, to) = (then.resolve(&renamed.from, at), then.resolve(&renamed.to, at));
            let others = (then.other(&renamed.from, at, &from), then.other(&renamed.to, at, &to));
            if others.0.is_some() || others.1.is_some() {
                let (from, to) = (others.0.unwrap_or(from.clone()), others.1.unwrap_or(to.clone()));
                renames.add(from, to, renamed.seq);
            } else {
                moves(slot, &from, at);
            }
            renames.add(from, to, renamed.seq);
        }
        let mut made = BTreeMap::new();
        // What was written upon what the runtime mounts for the step's time only is in no layer; but a step that mounts may have
        // taken that away, or have other names for it.
        let counts = |trail: &Trail| trail.is_change() && (trail.laid || gathered.given.mounts);
        for (slot, doing) in counted {
            let ended = ended(build, slots, *slot);
            let in_containers = in_containers(build, slots, *slot);
            for ((place, path), trail) in &doing.paths {
                if *place == Place::Container && counts(trail) && trails.is_of(*slot, trail.run) {
                    let all = then.meant(path, trail);
                    trails.means(path, &all, links);
                    if trail.made > 0 {
                        all.iter().for_each(|one| first_made(&mut made, one, trail.made));
                    }
                    let sure = all.len() == 1 && trail.changed <= ended;
                    for one in all {
                        trails.changed(*slot, one, trail, (sure, in_containers), links, &renames);
                    }
                }
            }
        }
        let runs: BTreeSet<u32> =
            build.runs.iter().filter(|run| trails.counts(run, slots)).map(|run| run.id).collect();
        for ((_, path), one) in gathered.explaining.iter().filter(|((run, _), _)| runs.contains(run)) {
            let hit = Hit {
                slot: None,
                by: one.by,
                seq: one.seq,
                since: one.seq,
                anew: 0,
                gone: one.gone,
                given: one.given,
                taken: one.taken,
                expected: false,
                removed: false,
                engine: !one.foreign,
                foreign: one.foreign,
            };
            let path = if one.real { path.clone() } else { then.resolve(path, one.seq) };
            if !one.foreign && !one.gone {
                // Of what the engine did to it only the last is known.
                first_made(&mut made, &path, 0);
            }
            if one.renamed {
                trails.put_there.insert(path.clone());
            }
            if one.foreign && !one.gone {
                trails.renamed(&path, hit, &renames);
            }
            trails.moved(path, hit, &renames);
        }
        for (name, seq) in renames.carried(&made) {
            match renames.follow(&name, seq) {
                Some(now) => drop(trails.from_below.insert(now)),
                None => trails.lost_track.set(true),
            }
        }
        for run in build.runs.iter().filter(|run| runs.contains(&run.id)) {
            for mount in &run.mounts {
                trails.mounts.insert(links.resolve(&mount.path));
            }
        }
        trails.renames = renames;
        trails.moved_away = moved_away;
        trails
    }

    /// Notes what a name meant, if that is not what the image's symlinks make of it.
    fn means(&mut self, path: &[u8], all: &[Vec<u8>], links: &Links) {
        if all.len() != 1 || all.iter().any(|one| *one != links.resolve(path)) {
            self.meant.entry(path.to_vec()).or_default().extend(all.iter().cloned());
        }
    }

    /// What a name meant for the steps: several where it can't be told which.
    pub(super) fn meanings(&self, path: &[u8], links: &Links) -> BTreeSet<Vec<u8>> {
        self.meant.get(path).cloned().unwrap_or_else(|| BTreeSet::from([links.resolve(path)]))
    }

    /// Whether the changes of a run are among these.
    pub(super) fn counts(&self, run: &StepRun, slots: &Slots) -> bool {
        let slot = slots.of(run.id);
        self.has(slot) && self.is_of(slot, Some(run.id))
    }

    /// Whether some of a slot's changes are among these. What may be another build's explains nothing here.
    fn has(&self, slot: Slot) -> bool {
        match slot {
            Slot::None => !self.untied.is_empty(),
            Slot::Shared => false,
            slot => self.of.as_ref().is_none_or(|of| of.contains(&slot)),
        }
    }

    /// Whether a change of such a slot by this run is. In one place lies what was done by all runs that fit no instruction, in trees
    /// of their own.
    fn is_of(&self, slot: Slot, run: Option<u32>) -> bool {
        slot != Slot::None || run.is_some_and(|run| self.untied.contains(&run))
    }

    /// What a path is called at the end, of which something was said at `seq`; `None` if that can't be followed.
    pub(super) fn now(&self, path: &[u8], seq: u64) -> Option<Vec<u8>> {
        self.renames.follow(path, seq)
    }

    /// Whether a directory got this name and came from a lower layer.
    pub(super) fn came_from_below(&self, dir: &[u8]) -> bool {
        self.from_below.contains(dir) || self.put_there.contains(dir)
    }

    /// Whether there were more renames upon renames than are followed.
    pub(super) fn lost_track(&self) -> bool {
        self.lost_track.get()
    }

    /// Whether a lower layer has what is below a directory that came from there now.
    fn has_below(&self, path: &[u8], below: &Below) -> bool {
        let origins = self.renames.origins(path);
        if origins.is_none() {
            self.lost_track.set(true);
        }
        origins.into_iter().flatten().any(|origin| below.may_have(&origin))
    }

    /// Takes in what a step did to a path; its layer may not show it where that is not `sure`.
    fn changed(
        &mut self,
        slot: Slot,
        path: Vec<u8>,
        trail: &Trail,
        (sure, in_containers): (bool, bool),
        links: &Links,
        renames: &Renames,
    ) {
        let Some(by) = trail.writer() else { return };
        let through = links.through(&path);
        let certain = if through.is_some() { trail.certain_of_name } else { trail.certain };
        let upon = trail.mounted || trail.apart;
        let may_be_missing =
            trail.gone || upon || trail.socket || !sure || !matches!(slot, Slot::Step(_));
        let hit = Hit {
            slot: Some(slot),
            by,
            seq: trail.changed,
            since: trail.changed,
            anew: trail.anew,
            gone: trail.gone,
            given: trail.is_given(),
            taken: trail.is_taken(),
            expected: certain && !may_be_missing,
            removed: trail.gone && !upon && sure && in_containers,
            engine: false,
            foreign: false,
        };
        if let Some(target) = through.as_ref().filter(|_| trail.through) {
            let hit =
                Hit { expected: false, gone: false, given: false, taken: false, removed: false, ..hit };
            self.moved(target.clone(), hit, renames);
        }
        if through.is_none() || trail.of_name {
            self.moved(path, hit, renames);
        }
    }

    /// Adds a change where its directory went afterwards.
    fn moved(&mut self, path: Vec<u8>, hit: Hit, renames: &Renames) {
        match renames.follow_since(&path, hit.seq) {
            Some((now, since)) => self.add(now, Hit { since, ..hit }),
            None => self.lost_track.set(true),
        }
    }

    /// What a stranger wrote is his under the names too that a step then gave it.
    fn renamed(&mut self, path: &[u8], hit: Hit, renames: &Renames) {
        let (mut path, mut hit) = (path, hit);
        while let Some((when, to)) = renames.next(path, hit.seq) {
            let between = |own: &Hit| !own.foreign && (hit.seq..when).contains(&own.anew);
            if self.hits.get(path).is_some_and(between) {
                return;
            }
            (path, hit) = (to, Hit { seq: when, since: when, ..hit });
            self.moved(to.to_vec(), hit, renames);
        }
    }

    fn add(&mut self, path: Vec<u8>, hit: Hit) {
        *self.empty.get_mut() = None;
        match self.hits.get_mut(&path) {
            Some(known) => {
                *known = if known.outranks(&hit) { known.with(&hit) } else { hit.with(known) }
            }
            None => drop(self.hits.insert(path, hit)),
        }
    }
}

/// Notes when a path was first made.
fn first_made(made: &mut BTreeMap<Vec<u8>, u64>, path: &[u8], seq: u64) {
    let first = made.entry(path.to_vec()).or_insert(seq);
    *first = seq.min(*first);
}

/// The runs that are tied to no instruction and may have changed a layer: those in a tree that its steps changed; and of a layer
/// of which no step is known, or none was seen to run, any.
fn untied(build: &Build, slots: &Slots, of: Option<&[Slot]>) -> BTreeSet<u32> {
    let trees: BTreeSet<&[u8]> = of
        .unwrap_or_default()
        .iter()
        .flat_map(|slot| slots.runs(build, *slot))
        .map(|(run, _)| run.upper.as_slice())
        .collect();
    let fits = |run: &&StepRun| {
        slots.of(run.id) == Slot::None && (trees.is_empty() || trees.contains(run.upper.as_slice()))
    };
    build.runs.iter().filter(fits).map(|run| run.id).collect()
}

/// When the last container of a step ended: what goes on behind it (in buildah's chroot isolation) may find its layer made.
fn ended(build: &Build, slots: &Slots, slot: Slot) -> u64 {
    let runs = slots.runs(build, slot).filter(|(run, _)| run.kind == RunKind::Run);
    runs.map(|(run, _)| run.ended.map_or(u64::MAX, |ended| ended.seq)).max().unwrap_or(u64::MAX)
}

/// Whether all that a step did was done in its containers: the engine takes away what it made itself, too.
fn in_containers(build: &Build, slots: &Slots, slot: Slot) -> bool {
    matches!(slot, Slot::Step(_)) && slots.runs(build, slot).all(|(run, _)| run.kind == RunKind::Run)
}
