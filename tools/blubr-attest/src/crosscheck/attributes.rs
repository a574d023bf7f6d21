//! Modes, owners, lengths, targets and extended attributes of a layer's entries against what the record gave them.
//!
//! An attribute is found wanting only if all that ever gave its file a value is known, and nothing gave it this one.

mod lasting;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use blubr_build::{Build, StepRun};
use blubr_image::layer::Kind;
use sha2::{Digest as _, Sha256};

use super::below::{Attributes, Below, DEFAULT_LIST};
use super::links::Links;
use super::paths::upwards;
use super::trails::Trails;
use crate::assemble_parts::{Fact, Gathered, Given, Made, Said, Slots, Xattr};
use lasting::Lasting;

/// Names that one file had or has, which are looked at; a count.
const NAMES_MAX: usize = 64;
/// Different values that calls by names which may mean any file gave: of one last name, and of all of which nothing is known.
/// Each entry is held against all of them; with more, entries are not judged.
const LOOSE_MAX: usize = 1_000;
/// Directories of which it is remembered whether they changed; a count.
const DIRS_MAX: usize = 4_096;
/// Bits that the kernel takes away when a file's owner or content changes (setattr_prepare, file_remove_privs).
const PRIVILEGE_BITS: u32 = 0o6000;
const SETGID: u32 = 0o2000;

/// Something that no event gave to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deviation {
    /// `kind`, `mode`, `owner`, `group`, `size`, `target` or `xattr NAME`.
    pub(super) attribute: String,
    /// What the layer has; `None` for nothing.
    pub(super) image: Option<String>,
    /// What the record gave, in order of size.
    pub(super) recorded: Vec<String>,
}

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

/// All that is known of one file.
#[derive(Default)]
struct Known<'a> {
    facts: Vec<&'a Fact>,
    lower: Vec<&'a Attributes>,
    names: BTreeSet<Vec<u8>>,
    incomplete: bool,
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

    /// Goes through the names that the file had or has.
    fn known(&self, path: &[u8]) -> Known<'a> {
        let mut known = Known::default();
        let mut waiting = vec![path.to_vec()];
        while let Some(name) = waiting.pop() {
            if known.names.contains(&name) {
                continue;
            }
            if known.names.len() >= NAMES_MAX {
                known.incomplete = true;
                break;
            }
            self.look_at(&name, name == path, &mut known, &mut waiting);
            known.names.insert(name);
        }
        known
    }

    /// Takes in what was said of one name, and which others to look at.
    fn look_at(&self, name: &[u8], own: bool, known: &mut Known<'a>, waiting: &mut Vec<Vec<u8>>) {
        let has = |wanted: fn(&Fact) -> bool| self.facts(name).any(wanted);
        let made = has(|fact| matches!(fact, Fact::Made(_)));
        let came = has(|fact| matches!(fact, Fact::Other(_) | Fact::Linked(_)));
        let gone = has(|fact| *fact == Fact::Gone);
        // A value that a lower layer's file has counts even where the name was given to another one: the event that took it
        // may be of a name that only looks like this one.
        let lower = self.below.get(name);
        known.lower.extend(lower);
        known.incomplete |= !made && !came && (lower.is_none() || own && gone);
        known.incomplete |= has(|fact| *fact == Fact::Anything);
        known.incomplete |= self.doubtful.contains(last_name(name)) || self.above_changed(name);
        for fact in self.facts(name) {
            match fact {
                Fact::Other(other) | Fact::Also(other) => {
                    waiting.extend(self.trails.meanings(other, self.links));
                }
                // linkat(2) may have followed it.
                Fact::Linked(other) => {
                    for other in self.trails.meanings(other, self.links) {
                        known.incomplete |= self.may_be_symlink(&other);
                        waiting.push(other);
                    }
                }
                _ => {}
            }
            known.facts.push(fact);
        }
    }

    fn may_be_symlink(&self, name: &[u8]) -> bool {
        self.links.through(name).is_some()
            || self.below.get(name).is_some_and(|lower| lower.kind == Kind::Symlink)
            || self.facts(name).any(|fact| *fact == Fact::Made(Made::Symlink))
    }

    /// Whether a directory above got its name from another, or was taken away and not made again: what was said of this name
    /// may have been of another file.
    fn above_changed(&self, path: &[u8]) -> bool {
        let Some(parent) = upwards(path).nth(1) else { return false };
        if let Some(known) = self.changed.borrow().get(parent) {
            return *known;
        }
        let changed = upwards(parent).any(|dir| {
            let has = |wanted: fn(&Fact) -> bool| self.facts(dir).any(wanted);
            self.trails.came_from_below(dir)
                || has(|fact| matches!(fact, Fact::Other(_)))
                || has(|fact| *fact == Fact::Gone) && !has(|fact| *fact == Fact::Made(Made::Dir))
        });
        let mut all = self.changed.borrow_mut();
        if all.len() >= DIRS_MAX {
            all.clear();
        }
        all.insert(parent.to_vec(), changed);
        changed
    }

    fn facts(&self, name: &[u8]) -> impl Iterator<Item = &'a Fact> {
        self.said.get(name).into_iter().flatten().flat_map(|by| by.facts())
    }

    /// Whether a call that named its file loosely gave such a value to this one, or may have.
    fn loosely(&self, path: &[u8], fits: &dyn Fn(&Fact) -> bool) -> bool {
        let by_name = self.loose.get(last_name(path)).into_iter().flatten();
        by_name.chain(&self.anywhere).any(|fact| fits(fact))
    }

    fn kind(&self, known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
        let made = known.facts.iter().filter_map(|fact| match fact {
            Fact::Made(made) => Some(*made),
            _ => None,
        });
        let mut recorded: Vec<String> = made.clone().map(made_name).collect();
        recorded.extend(known.lower.iter().map(|lower| kind_name(lower.kind)));
        let fits = match entry.kind {
            // Any file but a directory has as many names as it is given.
            Kind::Hardlink => {
                made.clone().any(|made| made != Made::Dir)
                    || known.lower.iter().any(|lower| lower.kind != Kind::Dir)
            }
            kind => recorded.contains(&kind_name(kind)),
        };
        (!fits).then(|| deviation("kind", kind_name(entry.kind), recorded))
    }

    fn mode(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
        // An access list sets the group's bits too (posix_acl_update_mode).
        let is_acl = |fact: &Fact| matches!(fact, Fact::Xattr(xattr) if xattr.name == ACCESS_LIST);
        if known.facts.iter().any(|fact| is_acl(fact)) || self.loosely(path, &is_acl) {
            return None;
        }
        let fits = |fact: &Fact| match fact {
            Fact::Perm(perm) => is_of(entry.mode, *perm),
            // A directory gets setgid from the one that it is made in.
            Fact::Asked(asked) => entry.mode & !(asked | SETGID) == 0,
            _ => false,
        };
        let below = known.lower.iter().any(|lower| is_of(entry.mode, lower.mode));
        if below || known.facts.iter().any(|fact| fits(fact)) || self.loosely(path, &fits) {
            return None;
        }
        let mut recorded: Vec<String> = known.lower.iter().map(|lower| octal(lower.mode)).collect();
        recorded.extend(known.facts.iter().filter_map(|fact| match fact {
            Fact::Perm(perm) | Fact::Asked(perm) => Some(octal(*perm)),
            _ => None,
        }));
        (!recorded.is_empty()).then(|| deviation("mode", octal(entry.mode), recorded))
    }

    fn owners(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Vec<Deviation> {
        // Numbers of a user namespace are not those of the layer.
        if self.given.own_numbers {
            return Vec::new();
        }
        let owner = |fact: &Fact| match fact {
            Fact::Owner(id) | Fact::Maker(id) => Some(u64::from(*id)),
            _ => None,
        };
        let group = |fact: &Fact| match fact {
            Fact::Group(id) => Some(u64::from(*id)),
            _ => None,
        };
        let mut found = Vec::new();
        found.extend(self.number("owner", entry.uid, path, known, &owner, &|lower| lower.uid));
        // Of what was made the group is not told.
        if !known.facts.iter().any(|fact| matches!(fact, Fact::Made(_))) {
            found.extend(self.number("group", entry.gid, path, known, &group, &|lower| lower.gid));
        }
        found
    }

    fn number(
        &self,
        attribute: &str,
        image: u64,
        path: &[u8],
        known: &Known<'_>,
        of_fact: &dyn Fn(&Fact) -> Option<u64>,
        of_lower: &dyn Fn(&Attributes) -> u64,
    ) -> Option<Deviation> {
        let mut recorded: Vec<u64> = known.facts.iter().filter_map(|fact| of_fact(fact)).collect();
        recorded.extend(known.lower.iter().map(|lower| of_lower(lower)));
        let fits = recorded.contains(&image) || self.loosely(path, &|fact| of_fact(fact) == Some(image));
        if fits || recorded.is_empty() {
            return None;
        }
        recorded.sort_unstable();
        let recorded = recorded.iter().map(u64::to_string).collect();
        Some(deviation(attribute, image.to_string(), recorded))
    }

    fn size(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
        // A ring's files are closed without a word of their length.
        if known.facts.iter().any(|fact| **fact == Fact::AnySize) {
            return None;
        }
        let size = |fact: &Fact| match fact {
            Fact::Size(size) => Some(*size),
            _ => None,
        };
        self.number("size", entry.size, path, known, &size, &|lower| lower.size)
    }

    /// Whether there is, or may be, what a hard link is a name of.
    fn has_target(&self, entry: &Attributes, in_layer: &dyn Fn(&[u8]) -> Option<Kind>) -> bool {
        let target = target_of(entry);
        let resolved = self.links.resolve(&target);
        [target, resolved].iter().any(|target| in_layer(target).is_some() || self.below.may_have(target))
    }

    fn hardlink(&self, known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
        // Whoever unpacks the layer follows the symlinks in its directories.
        let target = self.links.resolve(&target_of(entry));
        let other = self.known(&target);
        // Two names of a lower layer may have been one file there.
        let unsure = other.incomplete || !known.lower.is_empty() && !other.lower.is_empty();
        if unsure || !known.names.is_disjoint(&other.names) {
            return None;
        }
        let names = known.names.iter().map(|name| text(name)).collect();
        Some(deviation("target", text(&target), names))
    }

    fn xattrs(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Vec<Deviation> {
        let fits = |name: &[u8], value: &[u8]| {
            let set = |fact: &Fact| match fact {
                Fact::Xattr(xattr) => self.is_value(xattr, name, value),
                _ => false,
            };
            let below = |lower: &&Attributes| lower.xattrs.get(name).is_some_and(|old| old == value);
            known.facts.iter().any(|fact| set(fact))
                || known.lower.iter().any(below)
                || self.loosely(path, &set)
        };
        let of_name = |name: &[u8]| -> Vec<String> {
            let values = known.facts.iter().filter_map(|fact| match fact {
                Fact::Xattr(xattr) if xattr.name == name => xattr.value.as_deref(),
                _ => None,
            });
            let below = known.lower.iter().filter_map(|lower| lower.xattrs.get(name));
            values.chain(below.map(Vec::as_slice)).map(text).collect()
        };
        let all = entry.xattrs.iter();
        all.filter(|(name, value)| !self.given_by_kernel(name, value) && !fits(name, value))
            .map(|(name, value)| deviation(&format!("xattr {}", text(name)), text(value), of_name(name)))
            .collect()
    }

    /// Whether the kernel gives a file such an attribute by itself: labels of security modules, access lists that a directory hands
    /// on, an overlay's notes on what it copied up (ovl_set_impure, ovl_set_origin_fh). A capability is none.
    fn given_by_kernel(&self, name: &[u8], value: &[u8]) -> bool {
        let is_note =
            || name == b"user.overlay.origin" || name == b"user.overlay.impure" && value == b"y";
        self.given.kernel_notes && is_note()
            || self.hands_on && name.starts_with(b"system.posix_acl_")
            || name.starts_with(b"security.") && name != CAPABILITY
    }

    fn is_value(&self, xattr: &Xattr, name: &[u8], value: &[u8]) -> bool {
        // In a user namespace the kernel writes a capability anew, with its root's number (cap_convert_nscap).
        let rewritten = self.given.own_numbers && name == CAPABILITY;
        xattr.name == name
            && (rewritten || xattr.value.as_ref().is_none_or(|set| set.as_slice() == value))
    }
}

const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

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

/// What overlayfs notes on a directory or file in its upper directory. No engine puts it into a layer, and no step can set it: where
/// such a layer is unpacked into another's lower directory it hides what lies below, or shows other files.
fn notes_of_kernel(entry: &Attributes) -> Vec<Deviation> {
    let notes = entry.xattrs.iter().filter(|(name, _)| name.starts_with(b"trusted.overlay."));
    notes
        .map(|(name, value)| deviation(&format!("xattr {}", text(name)), text(value), Vec::new()))
        .collect()
}

/// The path that a hard link names.
fn target_of(entry: &Attributes) -> Vec<u8> {
    [b"/".as_slice(), entry.link.as_deref().unwrap_or_default()].concat()
}

fn target(known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
    let image = entry.link.as_deref().unwrap_or_default();
    let made = known.facts.iter().filter_map(|fact| match fact {
        Fact::Target(target) => Some(&**target),
        _ => None,
    });
    let below = known.lower.iter().filter_map(|lower| lower.link.as_deref());
    let recorded: Vec<&[u8]> = made.chain(below).collect();
    (!recorded.is_empty() && !recorded.contains(&image))
        .then(|| deviation("target", text(image), recorded.into_iter().map(text).collect()))
}

/// Whether a file that had `given` may have `mode`: setuid and setgid go when its owner or content changes.
fn is_of(mode: u32, given: u32) -> bool {
    mode & !PRIVILEGE_BITS == given & !PRIVILEGE_BITS && mode & PRIVILEGE_BITS & !given == 0
}

fn deviation(attribute: &str, image: String, mut recorded: Vec<String>) -> Deviation {
    recorded.sort_unstable();
    recorded.dedup();
    Deviation { attribute: attribute.to_owned(), image: Some(image), recorded }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Bytes of a value that are shown; of a longer one its sum.
const SHOWN_BYTES_MAX: usize = 256;

/// Bytes as text that loses nothing: what is not printable ASCII as `\xNN`.
fn text(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_BYTES_MAX {
        return format!("{} bytes, sha256 {}", bytes.len(), hex(&Sha256::digest(bytes)));
    }
    bytes.escape_ascii().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind_name(kind: Kind) -> String {
    match kind {
        Kind::CharDevice { major, minor } => format!("device c {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("device b {major}:{minor}"),
        kind => kind.name().to_owned(),
    }
}

fn made_name(made: Made) -> String {
    match made {
        Made::File => kind_name(Kind::File),
        Made::Dir => kind_name(Kind::Dir),
        Made::Symlink => kind_name(Kind::Symlink),
        Made::Fifo => kind_name(Kind::Fifo),
        Made::Socket => "socket".to_owned(),
        Made::Device { letter, dev } => {
            format!("device {} {}:{}", char::from(letter), dev.major, dev.minor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of one run's tree, what was said of them, and a layer below.
    #[derive(Default)]
    pub(super) struct Scene {
        given: Given,
        below: Below,
        trails: Trails,
        links: Links,
        /// The engine puts attributes of users into layers.
        pub(super) shows_user: bool,
    }

    impl Scene {
        pub(super) fn said(mut self, path: &str, facts: &[Fact]) -> Self {
            let said = Said { facts: facts.to_vec(), first: 1, last: 9, ..Said::default() };
            self.given.said.insert((0, path.into()), said);
            self.given.tells_perm = true;
            self
        }

        /// Changes what was said of a name.
        pub(super) fn with(mut self, path: &str, change: impl FnOnce(&mut Said)) -> Self {
            change(self.given.said.get_mut(&(0, path.into())).unwrap());
            self
        }

        pub(super) fn lower(mut self, path: &str, attributes: Attributes) -> Self {
            self.below.lay(path.into(), attributes);
            self
        }

        pub(super) fn loosely(mut self, path: &str, fact: Fact) -> Self {
            let path = path.into();
            let loose = crate::assemble_parts::Loose { path, fact, unsure: false, seq: 5 };
            self.given.loose.entry(0).or_default().push(loose);
            self
        }

        fn judging(&self) -> Judge<'_> {
            let runs = (&[0].into(), Lasting::of_run(0, self.shows_user));
            Judge::of_runs(runs, &self.given, &self.below, &self.links, &self.trails)
        }

        /// What is wrong with an entry, as `attribute image`.
        pub(super) fn judge(&self, path: &str, entry: &Attributes) -> String {
            let judge = self.judging();
            let in_layer = |path: &[u8]| (path != b"/nowhere").then_some(Kind::File);
            let found = judge.judge(path.as_bytes(), entry, &in_layer);
            let said: Vec<String> = found
                .into_iter()
                .map(|one| format!("{} {}", one.attribute, one.image.as_deref().unwrap_or("none")))
                .collect();
            said.join(", ")
        }
    }

    pub(super) fn file(mode: u32, size: u64) -> Attributes {
        Attributes { kind: Kind::File, mode, uid: 0, gid: 0, size, link: None, xattrs: BTreeMap::new() }
    }

    pub(super) fn made(perm: u32) -> [Fact; 4] {
        [Fact::Gone, Fact::Made(Made::File), Fact::Perm(perm), Fact::Maker(0)]
    }

    #[test]
    fn what_was_made_has_the_bits_that_it_was_given() {
        let scene = Scene::default()
            .said("/f", &[&made(0o640)[..], &[Fact::Size(7), Fact::Perm(0o6755)]].concat());
        for mode in [0o640, 0o6755, 0o755, 0o2755] {
            assert_eq!(scene.judge("/f", &file(mode, 7)), "", "{mode:o}");
        }
        assert_eq!(scene.judge("/f", &file(0o4640, 7)), "mode 4640");
        assert_eq!(scene.judge("/f", &file(0o777, 8)), "mode 0777, size 8");
        let other = Attributes { uid: 7, ..file(0o640, 7) };
        assert_eq!(scene.judge("/f", &other), "owner 7", "the group of what was made is not told");
    }

    #[test]
    fn what_was_copied_up_is_as_it_was_below() {
        let scene = Scene::default().lower("/f", file(0o644, 3)).said("/f", &[Fact::Perm(0o600)]);
        assert_eq!(scene.judge("/f", &file(0o600, 3)), "");
        assert_eq!(scene.judge("/f", &file(0o644, 3)), "");
        let changed = Attributes { gid: 5, ..file(0o666, 4) };
        assert_eq!(scene.judge("/f", &changed), "mode 0666, group 5, size 4");
    }

    #[test]
    fn a_name_that_came_back_by_an_unknown_way_is_not_judged() {
        let scene = Scene::default().lower("/f", file(0o644, 3)).said("/f", &[Fact::Gone]);
        assert_eq!(scene.judge("/f", &file(0o777, 9)), "");
        let scene = Scene::default().said("/g", &[Fact::Perm(0o600)]);
        assert_eq!(scene.judge("/g", &file(0o777, 9)), "", "what made it is not known");
        let scene = Scene::default().said("/h", &[&made(0o600)[..], &[Fact::Anything]].concat());
        assert_eq!(scene.judge("/h", &file(0o777, 9)), "");
    }

    #[test]
    fn a_file_keeps_its_attributes_under_another_name() {
        let scene = Scene::default()
            .said("/new", &[&made(0o600)[..], &[Fact::Size(5), Fact::Gone]].concat())
            .said("/f", &[Fact::Gone, Fact::Other(b"/new".as_slice().into())])
            .lower("/f", file(0o777, 1));
        assert_eq!(scene.judge("/f", &file(0o600, 5)), "");
        assert_eq!(scene.judge("/f", &file(0o755, 2)), "mode 0755, size 2");
    }

    #[test]
    fn a_call_by_a_name_that_leads_elsewhere_may_have_meant_it() {
        let with = |path| Scene::default().said("/d/f", &made(0o600)).loosely(path, Fact::Perm(0o755));
        assert_eq!(with("/link/f").judge("/d/f", &file(0o755, 0)), "", "the same last name");
        assert_eq!(
            with("/proc/self/fd/3").judge("/d/f", &file(0o755, 0)),
            "",
            "a name of nothing known"
        );
        let scene = with("/other").said("/other", &made(0o600));
        assert_eq!(scene.judge("/d/f", &file(0o755, 0)), "mode 0755", "it was another file's");
        let symlink = [Fact::Gone, Fact::Made(Made::Symlink)];
        let scene = with("/cur").said("/cur", &[&symlink[..], &made(0o600)].concat());
        assert_eq!(scene.judge("/d/f", &file(0o755, 0)), "", "it was a symlink for some of the time");
    }

    #[test]
    fn more_values_by_loose_names_than_are_compared_leave_all_open() {
        let with = |path: &str, count| {
            let mut scene = Scene::default().said("/d/f", &made(0o600)).said("/d/g", &made(0o600));
            for uid in 1..=count {
                scene = scene.loosely(path, Fact::Owner(uid));
            }
            scene
        };
        let judge = |scene: &Scene| scene.judging().too_loose().is_some();
        let (few, many) = (1_000, 1_001);
        assert!(!judge(&with("/proc/self/fd/3", few)) && judge(&with("/proc/self/fd/3", many)));
        assert_eq!(with("/d/f", few).judge("/d/f", &file(0o640, 0)), "mode 0640");
        assert_eq!(with("/d/f", many).judge("/d/f", &file(0o640, 0)), "", "one name alone");
        assert_eq!(with("/d/f", many).judge("/d/g", &file(0o640, 0)), "mode 0640");
    }

    #[test]
    fn names_by_way_of_a_symlink_that_changed_are_doubtful() {
        let symlink = [Fact::Gone, Fact::Made(Made::Symlink)];
        let scene = Scene::default()
            .said("/cur", &symlink)
            .said("/cur/conf", &[Fact::Gone])
            .said("/v1/conf", &[&made(0o600)[..], &[Fact::Size(1)]].concat());
        assert_eq!(scene.judge("/v1/conf", &file(0o644, 9)), "");
    }

    #[test]
    fn an_access_list_changes_the_bits() {
        let acl = Xattr { name: ACCESS_LIST.to_vec(), value: None };
        let scene =
            Scene::default().said("/f", &[&made(0o644)[..], &[Fact::Xattr(Box::new(acl))]].concat());
        assert_eq!(scene.judge("/f", &file(0o674, 0)), "");
    }

    #[test]
    fn two_names_do_not_make_a_file() {
        let name = |path: &str| path.as_bytes().into();
        let scene = Scene::default()
            .said("/t/#12", &[Fact::Size(4), Fact::Also(name("/f"))])
            .said("/f", &[&made(0o600)[..], &[Fact::Gone, Fact::Linked(name("/t/#12"))]].concat());
        assert_eq!(scene.judge("/f", &file(0o640, 4)), "", "what made the other is not known");
        let scene = Scene::default()
            .said("/s", &[Fact::Gone, Fact::Made(Made::Symlink), Fact::Also(name("/f"))])
            .said("/f", &[Fact::Gone, Fact::Linked(name("/s"))]);
        assert_eq!(scene.judge("/f", &file(0o640, 4)), "", "the link may have followed the symlink");
    }

    #[test]
    fn below_a_directory_that_was_renamed_the_lower_layer_says_nothing() {
        let scene = Scene::default()
            .lower("/d/f", file(0o644, 3))
            .said("/d", &[Fact::Gone, Fact::Other(b"/e".as_slice().into())])
            .said("/d/f", &[Fact::Perm(0o600)]);
        assert_eq!(scene.judge("/d/f", &file(0o777, 9)), "");
    }

    #[test]
    fn numbers_of_a_user_namespace_are_not_compared() {
        let mut scene = Scene::default().said("/f", &made(0o600));
        let other = Attributes { uid: 7, ..file(0o600, 0) };
        assert_eq!(scene.judge("/f", &other), "owner 7");
        scene.given.own_numbers = true;
        assert_eq!(scene.judge("/f", &other), "");
    }

    #[test]
    fn a_recorder_that_does_not_tell_bits_leaves_them_open() {
        let mut scene = Scene::default().lower("/f", file(0o644, 0)).said("/f", &[Fact::Gone]);
        scene.given.tells_perm = false;
        assert_eq!(scene.judge("/f", &file(0o4755, 0)), "");
        let directory = Attributes { kind: Kind::Dir, ..file(0o755, 0) };
        assert_eq!(scene.judge("/f", &directory), "");
    }

    #[test]
    fn kinds_targets_devices_and_links() {
        let link = |target: &str| Attributes {
            kind: Kind::Symlink,
            link: Some(target.as_bytes().into()),
            ..file(0o777, 0)
        };
        let scene = Scene::default().said(
            "/l",
            &[
                Fact::Gone,
                Fact::Made(Made::Symlink),
                Fact::Target(b"to".as_slice().into()),
                Fact::Maker(0),
            ],
        );
        assert_eq!(scene.judge("/l", &link("to")), "");
        assert_eq!(scene.judge("/l", &link("/etc")), "target /etc");
        assert_eq!(scene.judge("/l", &file(0o777, 0)), "kind file");

        let dev = blubr_log::event::Dev { major: 1, minor: 3 };
        let null = Made::Device { letter: b'c', dev };
        let scene = Scene::default().said("/n", &[Fact::Gone, Fact::Made(null), Fact::Asked(0o666)]);
        let device = |minor| Attributes { kind: Kind::CharDevice { major: 1, minor }, ..file(0o644, 0) };
        assert_eq!(scene.judge("/n", &device(3)), "", "the umask takes bits away");
        assert_eq!(scene.judge("/n", &device(5)), "kind device c 1:5");

        let other = |path: &str| Fact::Linked(path.as_bytes().into());
        let scene = Scene::default()
            .said("/a", &[&made(0o600)[..], &[Fact::Also(b"/b".as_slice().into())]].concat())
            .said("/b", &[Fact::Gone, other("/a")])
            .said("/c", &made(0o600));
        let hard = |to: &str| Attributes {
            kind: Kind::Hardlink,
            link: Some(to.as_bytes().into()),
            ..file(0o600, 0)
        };
        assert_eq!(scene.judge("/b", &hard("a")), "");
        assert_eq!(scene.judge("/b", &hard("c")), "target /c");
        assert_eq!(scene.judge("/b", &hard("nowhere")), "target /nowhere");
        let scene = scene.lower("/old", file(0o600, 0)).lower("/older", file(0o600, 0));
        assert_eq!(
            scene.judge("/b", &hard("old")),
            "target /old",
            "a new file is none of a lower layer's"
        );
        assert_eq!(scene.judge("/older", &hard("c")), "target /c");
        assert_eq!(scene.judge("/older", &hard("old")), "", "they may have been one file");
    }

    #[test]
    fn extended_attributes_are_set_by_someone() {
        let with = |name: &str, value: &str| Attributes {
            xattrs: [(name.into(), value.into())].into(),
            ..file(0o600, 0)
        };
        let set = |value: Option<&str>| {
            Fact::Xattr(Box::new(Xattr { name: "user.x".into(), value: value.map(Into::into) }))
        };
        let scene = Scene::default().said("/f", &[&made(0o600)[..], &[set(Some("1"))]].concat());
        assert_eq!(scene.judge("/f", &with("user.x", "1")), "");
        assert_eq!(scene.judge("/f", &with("user.x", "2")), "xattr user.x 2");
        assert_eq!(scene.judge("/f", &with("security.capability", "c")), "xattr security.capability c");
        assert_eq!(scene.judge("/f", &with("security.selinux", "c")), "", "the kernel labels by itself");
        let list = with("system.posix_acl_access", "l");
        assert_eq!(scene.judge("/f", &list), "xattr system.posix_acl_access l");
        assert_eq!(scene.judge("/f", &with("user.overlay.opaque", "y")), "xattr user.overlay.opaque y");
        let mut rootless = Scene::default().said("/f", &made(0o600));
        rootless.given.kernel_notes = true;
        assert_eq!(rootless.judge("/f", &with("user.overlay.impure", "y")), "");
        assert_eq!(rootless.judge("/f", &with("user.overlay.origin", "")), "");
        assert_eq!(
            rootless.judge("/f", &with("user.overlay.impure", "n")),
            "xattr user.overlay.impure n"
        );
        assert_eq!(
            rootless.judge("/f", &with("user.overlay.redirect", "/x")),
            "xattr user.overlay.redirect /x",
            "with userxattr the kernel follows none and makes none"
        );
        let handed = Xattr { name: DEFAULT_LIST.to_vec(), value: Some(b"l".to_vec()) };
        let scene = scene.said("/d", &[Fact::Xattr(Box::new(handed))]);
        assert_eq!(scene.judge("/f", &list), "", "a directory hands its list on");
        let note = with("trusted.overlay.redirect", "/x");
        assert_eq!(
            Scene::default().judge("/f", &note),
            "xattr trusted.overlay.redirect /x",
            "nothing is known of it"
        );
        let scene = Scene::default().said("/f", &[&made(0o600)[..], &[set(None)]].concat());
        assert_eq!(scene.judge("/f", &with("user.x", "2")), "", "what it was set to is not known");
    }
}
