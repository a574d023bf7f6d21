//! Modes, owners, lengths, targets and extended attributes of a layer's entries against what the record gave them.
//!
//! An attribute is found wanting only if all that ever gave its file a value is known, and nothing gave it this one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blubr_build::{Build, StepRun};
use blubr_image::layer::Kind;

use super::below::{Attributes, Below};
use super::trails::{Links, Trails, upwards};
use crate::assemble_parts::{Fact, Gathered, Given, Made, Said, Slots, Xattr};

/// Names that one file had or has, which are looked at; a count.
const NAMES_MAX: usize = 64;
/// Bits that the kernel takes away when a file's owner or content changes (setattr_prepare, file_remove_privs).
const PRIVILEGE_BITS: u32 = 0o6000;
const SETGID: u32 = 0o2000;

/// Something that no event gave to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deviation {
    /// `kind`, `mode`, `owner`, `group`, `size`, `target` or `xattr NAME`.
    pub(super) attribute: String,
    /// What the layer has.
    pub(super) image: String,
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
    /// By names that the layer does not have.
    anywhere: Vec<&'a Fact>,
    has_rings: bool,
}

/// What was said of a name, or of a symlink that leads to it.
#[derive(Clone, Copy)]
struct By<'a> {
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
    /// Of the runs whose changes the layer holds. `present` says what names the layer has.
    pub(super) fn new(
        (build, slots): (&Build, &Slots),
        gathered: &'a Gathered,
        below: &'a Below,
        links: &'a Links,
        trails: &'a Trails,
        present: &BTreeSet<Vec<u8>>,
    ) -> Self {
        let counted: Vec<_> = build.runs.iter().filter(|run| trails.counts(slots.of(run.id))).collect();
        // buildah without --layers: one tree for several steps.
        let same = |one: &StepRun| counted.iter().any(|run| run.upper == one.upper);
        let runs: BTreeSet<u32> = build.runs.iter().filter(|run| same(run)).map(|run| run.id).collect();
        let mut judge = Self::of_runs(&runs, &gathered.given, below, links, trails, present);
        judge.has_rings = gathered.has_rings;
        judge
    }

    fn of_runs(
        runs: &BTreeSet<u32>,
        given: &'a Given,
        below: &'a Below,
        links: &'a Links,
        trails: &'a Trails,
        present: &BTreeSet<Vec<u8>>,
    ) -> Self {
        let mut said: BTreeMap<Vec<u8>, Vec<By<'_>>> = BTreeMap::new();
        let mut at = |path: Vec<u8>, said_of, through| {
            said.entry(path).or_default().push(By { said: said_of, through });
        };
        for ((_, path), one) in given.said.iter().filter(|((run, _), _)| runs.contains(run)) {
            let resolved = links.resolve(path);
            if let Some(target) = links.through(&resolved) {
                at(target, one, true);
            }
            let moved: BTreeSet<Vec<u8>> = [one.first, one.last]
                .into_iter()
                .filter_map(|seq| trails.now(&resolved, seq))
                .filter(|now| *now != resolved)
                .collect();
            for now in moved {
                at(now, one, false);
            }
            at(resolved, one, false);
        }
        let (mut loose, mut anywhere): (HashMap<_, Vec<&Fact>>, _) = (HashMap::new(), Vec::new());
        for one in runs.iter().filter_map(|run| given.loose.get(run)).flatten() {
            if !present.contains(&links.resolve(&one.path)) {
                anywhere.push(&one.fact);
            }
            loose.entry(last_name(&one.path).to_vec()).or_default().push(&one.fact);
        }
        for list in loose.values_mut().chain([&mut anywhere]) {
            list.sort_unstable();
            list.dedup();
        }
        Judge { given, below, links, trails, said, loose, anywhere, has_rings: false }
    }

    /// What of an entry no event gave; nothing where that can't be said.
    pub(super) fn judge(&self, path: &[u8], entry: &Attributes) -> Vec<Deviation> {
        let known = self.known(path);
        let exists =
            !known.lower.is_empty() || known.facts.iter().any(|fact| matches!(fact, Fact::Made(_)));
        if known.incomplete || !exists {
            return Vec::new();
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
                if entry.kind == Kind::File {
                    found.extend(self.size(path, &known, entry));
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
            let own = name == path;
            let facts = || self.facts(&name);
            let made = facts().any(|fact| matches!(fact, Fact::Made(_)));
            let gone = facts().any(|fact| *fact == Fact::Gone);
            let others = facts().any(|fact| matches!(fact, Fact::Other(_)));
            let lower = self.below.get(&name).filter(|_| !(own && gone || self.above_changed(&name)));
            known.lower.extend(lower);
            known.incomplete |= !made && !others && lower.is_none();
            known.incomplete |= facts().any(|fact| *fact == Fact::Anything);
            for fact in facts() {
                if let Fact::Other(other) = fact {
                    waiting.push(self.links.resolve(other));
                }
                known.facts.push(fact);
            }
            known.names.insert(name);
        }
        known
    }

    /// Whether a directory above got another name, or was taken away: what lies below by this name may be another's.
    fn above_changed(&self, path: &[u8]) -> bool {
        upwards(path).skip(1).any(|dir| {
            self.trails.came_from_below(dir)
                || self.facts(dir).any(|fact| matches!(fact, Fact::Gone | Fact::Other(_)))
        })
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
        // What recorders before `perm` made by an open may have any bits.
        let untold = !self.given.tells_perm
            && known.facts.iter().any(|fact| matches!(fact, Fact::Made(Made::File) | Fact::Gone));
        let fits = |fact: &Fact| match fact {
            Fact::Perm(perm) => is_of(entry.mode, *perm),
            // A directory gets setgid from the one that it is made in.
            Fact::Asked(asked) => entry.mode & !(asked | SETGID) == 0,
            _ => false,
        };
        let below = known.lower.iter().any(|lower| is_of(entry.mode, lower.mode));
        if untold || below || known.facts.iter().any(|fact| fits(fact)) || self.loosely(path, &fits) {
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
        if self.has_rings || known.facts.iter().any(|fact| **fact == Fact::AnySize) {
            return None;
        }
        let size = |fact: &Fact| match fact {
            Fact::Size(size) => Some(*size),
            _ => None,
        };
        self.number("size", entry.size, path, known, &size, &|lower| lower.size)
    }

    fn hardlink(&self, known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
        let target = [b"/".as_slice(), entry.link.as_deref().unwrap_or_default()].concat();
        let other = self.known(&target);
        // Two names of a lower layer may have been one file there.
        let unsure = other.incomplete || !known.lower.is_empty() || !other.lower.is_empty();
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
        all.filter(|(name, value)| !given_by_kernel(name) && !fits(name, value))
            .map(|(name, value)| deviation(&format!("xattr {}", text(name)), text(value), of_name(name)))
            .collect()
    }

    fn is_value(&self, xattr: &Xattr, name: &[u8], value: &[u8]) -> bool {
        // In a user namespace the kernel writes a capability anew, with its root's number (cap_convert_nscap).
        let rewritten = self.given.own_numbers && name == CAPABILITY;
        xattr.name == name
            && (rewritten || xattr.value.as_ref().is_none_or(|set| set.as_slice() == value))
    }
}

const CAPABILITY: &[u8] = b"security.capability";

/// Whether the kernel gives a file such an attribute by itself: labels of security modules, access lists that a directory
/// hands on. A capability is none.
fn given_by_kernel(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_") || name.starts_with(b"security.") && name != CAPABILITY
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
    Deviation { attribute: attribute.to_owned(), image, recorded }
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Bytes as text that loses nothing: what is not printable ASCII as `\xNN`.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
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
    struct Scene {
        given: Given,
        below: Below,
        trails: Trails,
        links: Links,
        present: BTreeSet<Vec<u8>>,
    }

    impl Scene {
        fn said(mut self, path: &str, facts: &[Fact]) -> Self {
            let said = Said { facts: facts.to_vec(), first: 1, last: 9 };
            self.given.said.insert((0, path.into()), said);
            self.given.tells_perm = true;
            self
        }

        fn lower(mut self, path: &str, attributes: Attributes) -> Self {
            self.below.lay(path.into(), attributes);
            self
        }

        fn loosely(mut self, path: &str, fact: Fact) -> Self {
            let path = path.into();
            self.given.loose.entry(0).or_default().push(crate::assemble_parts::Loose { path, fact });
            self
        }

        /// What is wrong with an entry, as `attribute image`.
        fn judge(&self, path: &str, entry: &Attributes) -> String {
            let mut present = self.present.clone();
            present.insert(path.into());
            let judge = Judge::of_runs(
                &[0].into(),
                &self.given,
                &self.below,
                &self.links,
                &self.trails,
                &present,
            );
            let found = judge.judge(path.as_bytes(), entry);
            let said: Vec<String> =
                found.into_iter().map(|one| format!("{} {}", one.attribute, one.image)).collect();
            said.join(", ")
        }
    }

    fn file(mode: u32, size: u64) -> Attributes {
        Attributes { kind: Kind::File, mode, uid: 0, gid: 0, size, link: None, xattrs: BTreeMap::new() }
    }

    fn made(perm: u32) -> [Fact; 4] {
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
        assert_eq!(scene.judge("/f", &file(0o777, 1)), "mode 0777, size 1", "what was below is gone");
    }

    #[test]
    fn a_call_by_a_name_that_leads_elsewhere_may_have_meant_it() {
        let with = |path| Scene::default().said("/d/f", &made(0o600)).loosely(path, Fact::Perm(0o755));
        assert_eq!(with("/link/f").judge("/d/f", &file(0o755, 0)), "", "the same last name");
        assert_eq!(with("/proc/self/fd/3").judge("/d/f", &file(0o755, 0)), "", "no name of the layer");
        let mut scene = with("/other");
        scene.present.insert(b"/other".to_vec());
        assert_eq!(scene.judge("/d/f", &file(0o755, 0)), "mode 0755", "it was another file's");
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

        let other = |path: &str| Fact::Other(path.as_bytes().into());
        let scene = Scene::default()
            .said("/a", &[&made(0o600)[..], &[other("/b")]].concat())
            .said("/b", &[other("/a")])
            .said("/c", &made(0o600));
        let hard = |to: &str| Attributes {
            kind: Kind::Hardlink,
            link: Some(to.as_bytes().into()),
            ..file(0o600, 0)
        };
        assert_eq!(scene.judge("/b", &hard("a")), "");
        assert_eq!(scene.judge("/b", &hard("c")), "target /c");
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
        let scene = Scene::default().said("/f", &[&made(0o600)[..], &[set(None)]].concat());
        assert_eq!(scene.judge("/f", &with("user.x", "2")), "", "what it was set to is not known");
    }
}
