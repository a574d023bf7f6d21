//! The recorded changes of some steps, by path, with symlinks in the paths' directories followed over the image's own tree.

mod removed;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use blubr_attestation::trace::Place;
use blubr_build::{Build, ProcessKey, RunKind, StepRun};
use blubr_image::layer::{Entry, Kind};

use super::below::Below;
use super::lengths::Lengths;
use super::renames::{Looks, Renames};
use crate::assemble_parts::{Doing, Gathered, Slot, Slots, Trail};

/// How many symlinks are followed in one path, as the kernel does (MAXSYMLINKS, include/linux/namei.h).
const LINKS_FOLLOWED_MAX: usize = 40;
/// Symlinks that are remembered; a count.
const LINKS_MAX: usize = 200_000;

/// Bytes of symlinks' targets that are followed for all paths of an image together, and of each target something more: some
/// seconds. Where they lead on for longer the image is not checked.
const TARGETS_BYTES_MAX: usize = 1 << 29;
/// What following a symlink takes besides, as bytes.
const LINK_BYTES: usize = 32;

/// Symlinks of the image's tree.
pub(super) struct Links {
    by_path: HashMap<Vec<u8>, Vec<u8>>,
    /// Of the symlinks' paths.
    lengths: Lengths,
    /// What may still be followed; of that nothing is left where it was too little.
    room: Cell<usize>,
}

impl Default for Links {
    fn default() -> Self {
        let room = Cell::new(TARGETS_BYTES_MAX);
        Self { by_path: HashMap::new(), lengths: Lengths::default(), room }
    }
}

impl Links {
    /// Remembers a symlink, or that something else is there now.
    pub(super) fn learn(&mut self, entry: &Entry) {
        let path = [b"/".as_slice(), &entry.path].concat();
        match (entry.kind, &entry.link) {
            (Kind::Symlink, Some(target)) if self.by_path.len() < LINKS_MAX => {
                self.put(path, target.clone());
            }
            (Kind::Opaque, _) => {}
            _ => drop(self.by_path.remove(&path)),
        }
    }

    fn put(&mut self, path: Vec<u8>, target: Vec<u8>) {
        self.lengths.note(path.len());
        self.by_path.insert(path, target);
    }

    fn get(&self, path: &[u8]) -> Option<&[u8]> {
        let target = self.lengths.has(path.len()).then(|| self.by_path.get(path)).flatten();
        target.map(Vec::as_slice)
    }

    /// Whether symlinks led on for longer than is followed.
    pub(super) fn lost_track(&self) -> bool {
        self.room.get() == 0
    }

    /// What a symlink's own path leads to; `None` if it is none.
    pub(super) fn through(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.get(path).is_some().then(|| self.walk(path, true))
    }

    /// `path` with the symlinks in its directories followed; its last name is left as it is.
    pub(super) fn resolve(&self, path: &[u8]) -> Vec<u8> {
        self.walk(path, false)
    }

    /// With links that some steps made: what their paths meant then, where the image shows others or none any more.
    fn then<'l>(&'l self, doing: &[&Doing], below: &'l Below) -> Then<'l> {
        let mut then = Then { now: self, below, made: Links::default(), first: HashMap::new() };
        for (path, link) in doing.iter().flat_map(|doing| &doing.symlinks) {
            let path = self.resolve(path);
            then.given(&path, link.first);
            if self.get(&path) != Some(&link.target) {
                then.made.put(path, link.target.clone());
            }
        }
        for renamed in doing.iter().flat_map(|doing| &doing.renames) {
            let to = self.resolve(&renamed.to);
            if self.get(&to).is_some() {
                then.given(&to, renamed.seq);
            }
        }
        then
    }

    fn walk(&self, path: &[u8], last_too: bool) -> Vec<u8> {
        if self.by_path.is_empty() {
            return path.to_vec();
        }
        walk(path, last_too, &self.room, &|here| self.get(here))
    }
}

/// The symlinks of the image's tree, and those that were there at some time before.
struct Then<'l> {
    now: &'l Links,
    below: &'l Below,
    made: Links,
    /// When the steps first gave these names to a symlink, or to what had been one under another name.
    first: HashMap<Vec<u8>, u64>,
}

impl Then<'_> {
    fn given(&mut self, path: &[u8], seq: u64) {
        let first = self.first.entry(path.to_vec()).or_insert(seq);
        *first = seq.min(*first);
    }

    /// The symlink that was there at `at`, by the image; or by one that the steps made, where `made` asks for that.
    fn link(&self, here: &[u8], at: u64, made: bool) -> Option<&[u8]> {
        if self.first.get(here).is_some_and(|first| at < *first) {
            let lower = self.below.get(here).filter(|lower| lower.kind == Kind::Symlink);
            return lower.and_then(|lower| lower.link.as_deref());
        }
        self.made.get(here).filter(|_| made).or_else(|| self.now.get(here))
    }

    /// What a caller's `path` meant at `at`.
    fn resolve(&self, path: &[u8], at: u64) -> Vec<u8> {
        if self.first.is_empty() {
            return self.now.resolve(path);
        }
        walk(path, false, &self.now.room, &|here| self.link(here, at, false))
    }

    /// What it may have meant then, where that is not what `now` makes of it.
    fn other(&self, path: &[u8], at: u64, now: &[u8]) -> Option<Vec<u8>> {
        if self.made.by_path.is_empty() {
            return None;
        }
        let then = walk(path, false, &self.now.room, &|here| self.link(here, at, true));
        (then != now).then_some(then)
    }

    /// What the name of a trail meant: several names where it can't be told which.
    fn meant(&self, path: &[u8], trail: &Trail) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if trail.real {
            all.push(path.to_vec());
        }
        let (first, last) = trail.spelled.unzip();
        for at in first.into_iter().chain(last.filter(|_| first != last)) {
            let now = self.resolve(path, at);
            all.extend(self.other(path, at, &now));
            all.push(now);
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// `path` with symlinks followed; of its last name only where `last_too` says so. Takes what the targets are long from `room`.
fn walk<'a>(
    path: &'a [u8],
    last_too: bool,
    room: &Cell<usize>,
    link: &dyn Fn(&[u8]) -> Option<&'a [u8]>,
) -> Vec<u8> {
    let mut left: Vec<&[u8]> = parts(path).collect();
    let (mut out, mut followed) = (Vec::new(), 0);
    while let Some(name) = left.pop() {
        match name {
            b"." => continue,
            b".." => {
                let cut = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(cut);
                continue;
            }
            _ => {}
        }
        let dir = out.len();
        out.push(b'/');
        out.extend_from_slice(name);
        let follows = (last_too || !left.is_empty()) && followed < LINKS_FOLLOWED_MAX;
        let Some(target) = link(&out).filter(|_| follows) else { continue };
        let Some(rest) = room.get().checked_sub(target.len() + LINK_BYTES) else {
            room.set(0);
            return path.to_vec();
        };
        room.set(rest);
        followed += 1;
        out.truncate(if target.first() == Some(&b'/') { 0 } else { dir });
        left.extend(parts(target));
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}

/// The names of a path, the last first.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty())
}

/// Who changed a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The step; `None` for the engine around a container, and for strangers.
    pub(super) slot: Option<Slot>,
    /// The process.
    pub(super) by: ProcessKey,
    seq: u64,
    /// When it came to this name: with a directory above, or by the change itself.
    since: u64,
    /// When it last left nothing of what was there before.
    anew: u64,
    gone: bool,
    /// The name was given to something at some time.
    given: bool,
    /// It was taken away at some time.
    taken: bool,
    expected: bool,
    /// Where the name is gone, nothing of a lower layer may be left of it.
    removed: bool,
    engine: bool,
    /// By a process that is no part of the build: it says who, and explains nothing.
    pub(super) foreign: bool,
}

impl Hit {
    /// Whether this change says more of a path than `other`: a step's or a stranger's more than the engine's work around a
    /// container, and of two such the later. But what a stranger wrote stays his until nothing is left of it.
    fn outranks(&self, other: &Hit) -> bool {
        match (self.engine, other.engine) {
            (true, false) => false,
            (false, true) => true,
            _ if self.foreign && !other.foreign => self.is_upon(other),
            _ if !self.foreign && other.foreign => !other.is_upon(self),
            _ => self.when() >= other.when(),
        }
    }

    /// When it came to this name, and when it was done.
    fn when(&self) -> (u64, u64) {
        (self.since, self.seq)
    }

    /// Whether something is left of this stranger's change after a step's.
    fn is_upon(&self, own: &Hit) -> bool {
        if self.came() == own.came() {
            return self.seq >= own.replaced();
        }
        self.since >= own.replaced().max(own.came())
    }

    /// When it came to this name with a directory above; 0 if it didn't.
    fn came(&self) -> u64 {
        if self.since > self.seq { self.since } else { 0 }
    }

    /// When what was there before was last gone.
    fn replaced(&self) -> u64 {
        if self.gone { self.seq.max(self.anew) } else { self.anew }
    }

    /// With what another change of the name, which says less of it, did to the name.
    fn with(self, other: &Hit) -> Self {
        let same = self.foreign == other.foreign;
        let (given, taken) = (same && other.given, same && other.taken);
        let anew = if same { self.anew.max(other.anew) } else { self.anew };
        let removed = self.removed && (other.gone || other.when() < self.when());
        Self { given: self.given || given, taken: self.taken || taken, anew, removed, ..self }
    }
}

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

    /// Why an entry of a layer is there: `None` when nothing explains it, `Some(None)` when it is by being a directory above
    /// a change or a mount point.
    pub(super) fn explain(
        &self,
        path: &[u8],
        kind: Kind,
        size: u64,
        below: &Below,
    ) -> Option<Option<Hit>> {
        match kind {
            // What hides a lower layer's names needs an event that took them away: of that very name, or of a directory above
            // it, which is none of the lower layer's then.
            Kind::Whiteout => {
                let own = self.hits.get(path).filter(|hit| hit.taken);
                return own.or_else(|| self.replaced_above(path)).map(|hit| Some(*hit));
            }
            Kind::Opaque => {
                let own = self.hits.get(path).filter(|hit| hit.given || hit.taken);
                return own.or_else(|| self.replaced_above(path)).map(|hit| Some(*hit));
            }
            _ => {}
        }
        let at_mount =
            self.leads_to_mount(path) && (kind == Kind::Dir || self.is_stub(path, kind, size));
        // What was taken away last explains nothing that is there.
        let own = self.hits.get(path);
        if let Some(hit) = own.filter(|hit| !hit.removed) {
            // What the engine does to a mount point makes no more of it.
            let fits = !hit.engine || at_mount || !self.leads_to_mount(path);
            return fits.then_some(Some(*hit));
        }
        let came_along = upwards(path).skip(1).find_map(|dir| {
            let hit = self.hits.get(dir)?;
            let fits = self.put_there.contains(dir)
                || self.from_below.contains(dir) && self.has_below(path, below);
            fits.then_some(hit)
        });
        if let Some(hit) =
            came_along.filter(|_| own.is_none_or(|own| self.brought_anew(path, own.since)))
        {
            return Some(Some(*hit));
        }
        // Of what is in a directory something must be there; or have been, if the directory was below already.
        let was_below = || own.is_none() && below.may_have(path);
        let is_above = || {
            kind == Kind::Dir
                && is_above(path, |from| self.hits.range(from).next())
                && (was_below() || self.holds_any(path))
        };
        let is_root = path == b"/" && kind == Kind::Dir;
        (is_root || is_above() || at_mount).then_some(None)
    }

    /// Whether a directory above got its name by a rename after `path` was taken away (`since`): it may have brought another of that name.
    fn brought_anew(&self, path: &[u8], since: u64) -> bool {
        let put_later = |dir: &[u8]| {
            self.put_there.contains(dir) && self.hits.get(dir).is_some_and(|above| above.seq > since)
        };
        upwards(path).skip(1).any(|dir| self.renames.gives(dir, since) || put_later(dir))
    }

    /// Whether something below a directory was changed and not taken away last.
    fn holds_any(&self, dir: &[u8]) -> bool {
        let mut empty = self.empty.borrow_mut();
        if empty.as_ref().is_some_and(|empty| upwards(dir).any(|above| above == empty)) {
            return false;
        }
        let below = [dir, b"/"].concat();
        let inside = self.hits.range(below.clone()..).take_while(|(name, _)| name.starts_with(&below));
        let holds = inside.into_iter().any(|(_, hit)| !hit.gone);
        if !holds {
            *empty = Some(dir.to_vec());
        }
        holds
    }

    /// A directory above whose name was given to something or taken away.
    fn replaced_above(&self, path: &[u8]) -> Option<&Hit> {
        upwards(path).skip(1).find_map(|dir| self.hits.get(dir).filter(|hit| hit.given || hit.taken))
    }

    /// Whether an entry is a mount point as runtimes make them for what is no directory: an empty file.
    fn is_stub(&self, path: &[u8], kind: Kind, size: u64) -> bool {
        kind == Kind::File && size == 0 && self.mounts.contains(path)
    }

    /// Who changed the file of this very name, if that is still there.
    pub(super) fn changed_by(&self, path: &[u8]) -> Option<Hit> {
        self.hits.get(path).filter(|hit| !hit.gone).copied()
    }

    /// Whether it is a mount point of a container, or above one.
    fn leads_to_mount(&self, path: &[u8]) -> bool {
        self.mounts.contains(path) || is_above(path, |from| Some((self.mounts.range(from).next()?, ())))
    }

    /// The paths that a step changed last, and that its layer must have.
    pub(super) fn expected(&self) -> impl Iterator<Item = (&[u8], Slot)> {
        self.hits.iter().filter(|(_, hit)| hit.expected).filter_map(|(path, hit)| {
            let gone_with = upwards(path)
                .skip(1)
                .any(|dir| self.hits.get(dir).is_some_and(|above| above.gone && above.seq > hit.seq));
            let at_mount = self.leads_to_mount(path);
            hit.slot.filter(|_| !gone_with && !at_mount).map(|slot| (path.as_slice(), slot))
        })
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

/// Whether something lies below a directory, by the first name that is not before the one given.
fn is_above<'n, V>(
    dir: &[u8],
    first: impl FnOnce(std::ops::RangeFrom<Vec<u8>>) -> Option<(&'n Vec<u8>, V)>,
) -> bool {
    let below = [dir, b"/"].concat();
    first(below.clone()..).is_some_and(|(name, _)| name.starts_with(&below))
}

/// `path` and the directories above it, without the root.
pub(super) fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let here = rest.filter(|here| here.len() > 1)?;
        let slash = here.iter().rposition(|byte| *byte == b'/')?;
        rest = here.get(..slash);
        Some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::super::below::Attributes;
    use super::*;
    use crate::assemble_parts::Budget;

    #[test]
    fn symlinks_of_directories_are_followed_and_the_last_name_is_not() {
        let mut links = Links::default();
        for (path, target) in
            [("/bin", "usr/bin"), ("/a", "/b/../c"), ("/loop", "loop"), ("/usr/bin/sh", "busybox")]
        {
            links.put(path.into(), target.into());
        }
        for (path, wanted) in [
            ("/bin/sh", "/usr/bin/sh"),
            ("/bin", "/bin"),
            ("/a/x/../y", "/c/y"),
            ("/loop/x", "/loop/x"),
            ("/", "/"),
            ("/plain/file", "/plain/file"),
        ] {
            assert_eq!(String::from_utf8(links.resolve(path.as_bytes())).unwrap(), wanted);
        }
    }

    #[test]
    fn symlinks_are_not_followed_for_ever() {
        let mut links = Links::default();
        let way = [b"x/../".repeat(800), b"l".to_vec()].concat();
        for at in 0..39 {
            links.put(format!("/l{at}").into(), [way.clone(), format!("{}", at + 1).into()].concat());
        }
        links.put(b"/slashes".to_vec(), [b"l39".to_vec(), b"/".repeat(4_000)].concat());
        assert_eq!(links.resolve(b"/l0/x"), b"/l39/x");
        assert_eq!(links.through(b"/slashes"), Some(b"/l39".to_vec()));
        links.room.set(39 * 4_100);
        assert!(links.resolve(b"/l0/x") == b"/l39/x" && !links.lost_track());
        assert!(links.resolve(b"/l0/x") == b"/l0/x" && links.lost_track());
    }

    #[test]
    fn a_link_that_is_gone_still_says_what_paths_meant() {
        let links = Links::default();
        let mut doing = Doing::default();
        doing.symlink(b"/way".to_vec(), b"real".to_vec(), 5, &mut Budget::new(false));
        let below = Below::default();
        let then = links.then(&[&doing], &below);
        assert_eq!(then.other(b"/way/x", 6, b"/way/x"), Some(b"/real/x".to_vec()));
        assert_eq!(then.other(b"/way/x", 4, b"/way/x"), None, "there was none yet");
        assert_eq!(then.other(b"/way", 6, b"/way"), None, "the last name is left as it is");
        assert_eq!(then.other(b"/elsewhere/x", 6, b"/elsewhere/x"), None);
    }

    #[test]
    fn a_name_means_what_it_did_when_it_was_used() {
        let mut links = Links::default();
        links.put(b"/a".to_vec(), b"/etc".to_vec());
        let mut doing = Doing::default();
        doing.symlink(b"/a".to_vec(), b"/etc".to_vec(), 5, &mut Budget::new(false));
        let mut below = Below::default();
        let meant = |below: &Below, real, spelled| {
            let mut trail = Trail::default();
            (trail.real, trail.spelled) = (real, spelled);
            let all = links.then(&[&doing], below).meant(b"/a/x", &trail);
            all.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(meant(&below, true, None), ["/a/x"], "no directory was a symlink");
        assert_eq!(meant(&below, true, Some((2, 4))), ["/a/x"], "nor was one yet");
        assert_eq!(meant(&below, false, Some((6, 6))), ["/etc/x"]);
        assert_eq!(meant(&below, true, Some((2, 6))), ["/a/x", "/etc/x"]);
        let link = Some(b"/old".as_slice().into());
        below.lay(b"/a".to_vec(), Attributes { link, ..lower(Kind::Symlink) });
        assert_eq!(meant(&below, false, Some((2, 2))), ["/old/x"], "another stood there before");
    }

    fn hit(seq: u64, gone: bool) -> Hit {
        let by = ProcessKey { pid: 1, start: 1 };
        Hit {
            slot: Some(Slot::Step(0)),
            by,
            seq,
            since: seq,
            anew: seq,
            gone,
            given: !gone,
            taken: gone,
            expected: !gone,
            removed: gone,
            engine: false,
            foreign: false,
        }
    }

    fn lower(kind: Kind) -> Attributes {
        let xattrs = BTreeMap::new();
        Attributes { kind, mode: 0o755, uid: 0, gid: 0, size: 0, link: None, xattrs }
    }

    #[test]
    fn only_events_explain() {
        let mut trails = Trails::default();
        trails.add(b"/d/made".to_vec(), hit(1, false));
        trails.add(b"/moved".to_vec(), hit(2, false));
        trails.renames.add(b"/before".to_vec(), b"/moved".to_vec(), 2);
        let mut below = Below::default();
        below.lay(b"/before/below/x".to_vec(), lower(Kind::File));
        trails.add(b"/old".to_vec(), hit(3, true));
        trails.mounts.extend([b"/proc".to_vec()]);
        trails.from_below.extend([b"/moved".to_vec()]);
        assert!(trails.explain(b"/d/made", Kind::File, 1, &Below::default()).is_some());
        assert!(trails.explain(b"/d", Kind::Dir, 1, &Below::default()).is_some());
        assert!(trails.explain(b"/d", Kind::File, 1, &Below::default()).is_none());
        assert!(trails.explain(b"/d/made/below", Kind::File, 1, &Below::default()).is_none());
        assert!(trails.explain(b"/moved/below/x", Kind::File, 1, &below).is_some());
        assert!(trails.explain(b"/moved/below/y", Kind::File, 1, &below).is_none());
        assert!(trails.explain(b"/old/x", Kind::Whiteout, 1, &Below::default()).is_some());
        assert!(trails.explain(b"/proc", Kind::Dir, 1, &Below::default()).is_some());
        assert!(trails.explain(b"/etc/passwd", Kind::File, 1, &Below::default()).is_none());
    }

    #[test]
    fn only_what_was_taken_away_is_hidden() {
        let mut trails = Trails::default();
        trails.add(b"/etc/shadow".to_vec(), Hit { given: false, ..hit(1, false) });
        trails.add(b"/opt".to_vec(), Hit { given: false, ..hit(2, false) });
        trails.add(b"/made".to_vec(), hit(3, false));
        trails.add(b"/old".to_vec(), hit(4, true));
        trails.add(b"/anew".to_vec(), hit(5, true));
        trails.add(b"/anew".to_vec(), hit(6, false));
        trails.mounts.extend([b"/proc/sys".to_vec()]);
        for (path, kind) in [
            ("/etc/shadow", Kind::Whiteout),
            ("/opt", Kind::Opaque),
            ("/opt/k", Kind::Whiteout),
            ("/etc", Kind::Whiteout),
            ("/etc", Kind::Opaque),
            ("/made", Kind::Whiteout),
            ("/proc", Kind::Whiteout),
            ("/proc/sys", Kind::Opaque),
        ] {
            assert!(
                trails.explain(path.as_bytes(), kind, 0, &Below::default()).is_none(),
                "{path} {kind:?}"
            );
        }
        for (path, kind) in [
            ("/old", Kind::Whiteout),
            ("/old/x", Kind::Whiteout),
            ("/made", Kind::Opaque),
            ("/made/sub", Kind::Opaque),
            ("/anew", Kind::Opaque),
            ("/anew/x", Kind::Whiteout),
        ] {
            assert!(
                trails.explain(path.as_bytes(), kind, 0, &Below::default()).is_some(),
                "{path} {kind:?}"
            );
        }
    }

    #[test]
    fn what_was_taken_away_last_explains_nothing_that_is_there() {
        let mut trails = Trails::default();
        for path in ["/w", "/d/w", "/m"] {
            trails.add(path.into(), hit(1, false));
            trails.add(path.into(), hit(2, true));
        }
        let engine = Hit { slot: None, engine: true, ..hit(4, false) };
        trails.add(b"/m".to_vec(), engine);
        let mut below = Below::default();
        below.lay(b"/c/w".to_vec(), lower(Kind::File));
        let explains = |trails: &Trails, path: &str| {
            trails.explain(path.as_bytes(), Kind::File, 7, &below).is_some()
        };
        assert!(!explains(&trails, "/w"));
        assert!(explains(&trails, "/m"), "the engine made it again");
        for (seq, later) in [(1, false), (3, true)] {
            trails.add(b"/d".to_vec(), hit(seq, false));
            assert!(!explains(&trails, "/d/w"), "its directory was made at {seq}");
            trails.renames.add(b"/c".to_vec(), b"/d".to_vec(), seq);
            trails.from_below.insert(b"/d".to_vec());
            assert_eq!(explains(&trails, "/d/w"), later, "its directory came at {seq}");
            trails.renames = Renames::default();
            trails.from_below.clear();
        }
    }

    #[test]
    fn what_goes_with_a_directory_is_judged_by_when_it_came() {
        let mut renames = Renames::default();
        renames.add(b"/c".to_vec(), b"/d".to_vec(), 5);
        let mut trails = Trails::default();
        // Made in a directory that then takes the place of another, of which that name was taken away meanwhile.
        for (path, hit) in [
            ("/c/w", hit(1, false)),
            ("/d/w", hit(3, true)),
            ("/c/v", hit(2, true)),
            ("/d", hit(5, false)),
        ] {
            trails.moved(path.into(), hit, &renames);
        }
        trails.renames = renames;
        let explains =
            |path: &str| trails.explain(path.as_bytes(), Kind::File, 7, &Below::default()).is_some();
        assert!(explains("/d/w"));
        assert!(!explains("/d/v"), "it was gone before its directory came");
    }

    #[test]
    fn a_directory_is_explained_by_what_it_holds() {
        let mut trails = Trails::default();
        trails.add(b"/t".to_vec(), hit(1, false));
        for path in ["/t/a/x", "/t/a", "/t", "/old/x"] {
            trails.add(path.into(), hit(2, true));
        }
        let mut below = Below::default();
        let explains = |trails: &Trails, below: &Below, path: &str| {
            trails.explain(path.as_bytes(), Kind::Dir, 0, below).is_some()
        };
        for path in ["/t", "/t/a", "/old"] {
            assert!(!explains(&trails, &below, path), "{path}");
        }
        below.lay(b"/old".to_vec(), lower(Kind::Dir));
        below.lay(b"/t".to_vec(), lower(Kind::Dir));
        assert!(explains(&trails, &below, "/old") && !explains(&trails, &below, "/t"));
        trails.add(b"/t/a/b/c".to_vec(), Hit { slot: None, engine: true, ..hit(3, false) });
        assert!(explains(&trails, &below, "/t/a") && explains(&trails, &below, "/t/a/b"));
    }

    #[test]
    fn a_mount_point_is_empty_and_lies_in_directories() {
        let mut trails = Trails::default();
        trails.mounts.extend([b"/etc/hosts".to_vec()]);
        let stub = |trails: &Trails, path: &str, kind, size| {
            trails.explain(path.as_bytes(), kind, size, &Below::default()).is_some()
        };
        for _ in 0..2 {
            assert!(stub(&trails, "/etc/hosts", Kind::File, 0));
            assert!(stub(&trails, "/etc/hosts", Kind::Dir, 0));
            assert!(!stub(&trails, "/etc/hosts", Kind::File, 7));
            assert!(!stub(&trails, "/etc/hosts", Kind::Symlink, 0));
            assert!(stub(&trails, "/etc", Kind::Dir, 0));
            assert!(!stub(&trails, "/etc", Kind::File, 0) && !stub(&trails, "/etc", Kind::Symlink, 0));
            // The runtime makes them; a second time with that seen.
            for path in ["/etc", "/etc/hosts"] {
                trails.add(path.into(), Hit { slot: None, engine: true, ..hit(1, false) });
            }
        }
        trails.add(b"/etc/hosts".to_vec(), hit(2, false));
        assert!(stub(&trails, "/etc/hosts", Kind::File, 7), "a step wrote it");
    }

    #[test]
    fn what_a_stranger_wrote_is_his_until_nothing_is_left_of_it() {
        let stranger = |seq| Hit { slot: None, foreign: true, anew: 0, ..hit(seq, false) };
        for (own, is_foreign) in [
            (Hit { anew: 1, ..hit(9, false) }, true),
            (Hit { anew: 6, ..hit(9, false) }, false),
            (hit(3, false), true),
            (hit(9, true), false),
            (Hit { anew: 1, ..hit(9, true) }, false),
        ] {
            for turned in [false, true] {
                let mut trails = Trails::default();
                let mut both = [own, stranger(5)];
                if turned {
                    both.reverse();
                }
                both.into_iter().for_each(|hit| trails.add(b"/w".to_vec(), hit));
                assert_eq!(trails.hits[b"/w".as_slice()].foreign, is_foreign, "{own:?} {turned}");
            }
        }
    }

    #[test]
    fn what_a_stranger_wrote_goes_along_with_its_name() {
        let mut renames = Renames::default();
        renames.add(b"/t".to_vec(), b"/w".to_vec(), 7);
        let stranger = Hit { slot: None, foreign: true, anew: 0, ..hit(5, false) };
        for (made, is_foreign) in [(1, true), (6, false)] {
            let mut trails = Trails::default();
            trails.add(b"/t".to_vec(), Hit { anew: made, ..hit(7, true) });
            trails.add(b"/w".to_vec(), hit(7, false));
            trails.renamed(b"/t", stranger, &renames);
            assert_eq!(trails.hits[b"/w".as_slice()].foreign, is_foreign, "{made}");
        }
    }

    #[test]
    fn what_lies_below_and_was_taken_away_last_is_removed() {
        let mut trails = Trails::default();
        let mut below = Below::default();
        for (path, last) in
            [("/d/x", 1), ("/d", 2), ("/f", 3), ("/made/x", 4), ("/at", 5), ("/back/x", 6), ("/own", 7)]
        {
            trails.add(path.into(), hit(last, true));
            if path != "/own" {
                below.lay(path.into(), lower(Kind::File));
            }
        }
        for (path, last) in [("/made", 8), ("/f", 9), ("/back", 10)] {
            trails.add(path.into(), hit(last, false));
        }
        trails.mounts.extend([b"/at".to_vec()]);
        trails.renames.add(b"/other".to_vec(), b"/back".to_vec(), 10);
        below.lay(b"/other/x".to_vec(), lower(Kind::File));
        let removed: Vec<Vec<u8>> = trails.removed(&below).into_iter().map(|(path, _)| path).collect();
        assert_eq!(removed, [b"/d".as_slice(), b"/d/x", b"/made/x"]);
    }

    #[test]
    fn what_went_with_its_directory_is_not_expected() {
        let mut trails = Trails::default();
        trails.add(b"/t/x".to_vec(), hit(1, false));
        trails.add(b"/t".to_vec(), hit(2, true));
        trails.add(b"/kept".to_vec(), hit(3, false));
        let expected: Vec<&[u8]> = trails.expected().map(|(path, _)| path).collect();
        assert_eq!(expected, [b"/kept"]);
    }
}
