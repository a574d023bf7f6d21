//! The recorded changes of some steps, by path, with symlinks in the paths' directories followed over the image's own tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blubr_attestation::trace::Place;
use blubr_build::{Build, ProcessKey};
use blubr_image::layer::{Entry, Kind};

use crate::assemble_parts::{Gathered, Slot, Slots};

/// How many symlinks are followed in one path, as the kernel does (MAXSYMLINKS, include/linux/namei.h).
const LINKS_FOLLOWED_MAX: usize = 40;
/// Symlinks that are remembered; a count.
const LINKS_MAX: usize = 200_000;

/// Symlinks of the image's tree.
#[derive(Default)]
pub(super) struct Links(HashMap<Vec<u8>, Vec<u8>>);

impl Links {
    /// Remembers a symlink, or that something else is there now.
    pub(super) fn learn(&mut self, entry: &Entry) {
        let path = [b"/".as_slice(), &entry.path].concat();
        match (entry.kind, &entry.link) {
            (Kind::Symlink, Some(target)) if self.0.len() < LINKS_MAX => {
                drop(self.0.insert(path, target.clone()))
            }
            (Kind::Opaque, _) => {}
            _ => drop(self.0.remove(&path)),
        }
    }

    /// `path` with the symlinks in its directories followed; its last name is left as it is.
    fn resolve(&self, path: &[u8]) -> Vec<u8> {
        if self.0.is_empty() {
            return path.to_vec();
        }
        let mut left: Vec<Vec<u8>> =
            path.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec).collect();
        let (mut out, mut followed) = (Vec::new(), 0);
        while let Some(name) = left.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    let cut = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    out.truncate(cut);
                    continue;
                }
                _ => {}
            }
            let here = [out.as_slice(), b"/", &name].concat();
            let is_last = left.iter().all(|rest| rest.is_empty());
            match self.0.get(&here).filter(|_| !is_last) {
                Some(target) if followed < LINKS_FOLLOWED_MAX => {
                    followed += 1;
                    if target.first() == Some(&b'/') {
                        out.clear();
                    }
                    left.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => out = here,
            }
        }
        if out.is_empty() { b"/".to_vec() } else { out }
    }
}

/// Who changed a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The step; `None` for the engine around a container, and for strangers.
    pub(super) slot: Option<Slot>,
    /// The process.
    pub(super) by: ProcessKey,
    seq: u64,
    gone: bool,
    renamed: bool,
    expected: bool,
    engine: bool,
    /// By a process that is no part of the build: it says who, and explains nothing.
    pub(super) foreign: bool,
}

impl Hit {
    /// Whether this change says more of a path than `other`: a step's or a stranger's more than the engine's work around a
    /// container, and of two such the later.
    fn outranks(&self, other: &Hit) -> bool {
        match (self.engine, other.engine) {
            (true, false) => false,
            (false, true) => true,
            _ => self.seq >= other.seq,
        }
    }
}

/// The changes of some slots.
pub(super) struct Trails {
    hits: BTreeMap<Vec<u8>, Hit>,
    /// Directories that something below was changed in.
    above: BTreeSet<Vec<u8>>,
    /// Mount points of containers, and the directories above them.
    mounts: BTreeSet<Vec<u8>>,
}

impl Trails {
    /// Of the slots given, or of all; and always of what belongs to no step.
    pub(super) fn new(
        build: &Build,
        slots: &Slots,
        gathered: &Gathered,
        of: &Option<Vec<Slot>>,
        links: &Links,
    ) -> Self {
        // What may be another build's explains nothing here.
        let counts = |slot: Slot| {
            slot == Slot::None || slot != Slot::Shared && of.as_ref().is_none_or(|of| of.contains(&slot))
        };
        let mut trails = Self { hits: BTreeMap::new(), above: BTreeSet::new(), mounts: BTreeSet::new() };
        for (slot, doing) in gathered.doing.iter().filter(|(slot, _)| counts(**slot)) {
            for ((place, path), trail) in &doing.paths {
                let (Place::Container, true, Some(by)) = (*place, trail.is_change(), trail.writer())
                else {
                    continue;
                };
                let hit = Hit {
                    slot: Some(*slot),
                    by,
                    seq: trail.changed,
                    gone: trail.gone,
                    renamed: trail.is_renamed(),
                    expected: matches!(slot, Slot::Step(_))
                        && trail.certain
                        && !trail.gone
                        && !trail.mounted,
                    engine: false,
                    foreign: false,
                };
                trails.add(links.resolve(path), hit);
            }
        }
        let runs: BTreeSet<u32> =
            build.runs.iter().filter(|run| counts(slots.of(run.id))).map(|run| run.id).collect();
        for ((_, path), one) in gathered.explaining.iter().filter(|((run, _), _)| runs.contains(run)) {
            let (gone, renamed) = (one.gone, one.renamed);
            let hit = Hit {
                slot: None,
                by: one.by,
                seq: one.seq,
                gone,
                renamed,
                expected: false,
                engine: !one.foreign,
                foreign: one.foreign,
            };
            trails.add(links.resolve(path), hit);
        }
        for run in build.runs.iter().filter(|run| runs.contains(&run.id)) {
            for mount in &run.mounts {
                let path = links.resolve(&mount.path);
                trails.mounts.extend(upwards(&path).map(<[u8]>::to_vec));
            }
        }
        trails
    }

    fn add(&mut self, path: Vec<u8>, hit: Hit) {
        self.above.extend(upwards(&path).skip(1).map(<[u8]>::to_vec));
        self.above.insert(b"/".to_vec());
        match self.hits.get_mut(&path) {
            Some(known) if known.outranks(&hit) => known.renamed |= hit.renamed,
            Some(known) => *known = Hit { renamed: known.renamed || hit.renamed, ..hit },
            None => drop(self.hits.insert(path, hit)),
        }
    }

    /// Why an entry of a layer is there: `None` when nothing explains it, `Some(None)` when it is by being a directory above
    /// a change or a mount point.
    pub(super) fn explain(&self, path: &[u8], kind: Kind) -> Option<Option<Hit>> {
        if let Some(hit) = self.hits.get(path) {
            return Some(Some(*hit));
        }
        let came_along = upwards(path).skip(1).find_map(|dir| {
            let hit = self.hits.get(dir)?;
            let fits = if kind == Kind::Whiteout { hit.gone } else { hit.renamed };
            fits.then_some(*hit)
        });
        if came_along.is_some() {
            return Some(came_along);
        }
        let is_above = kind == Kind::Dir && self.above.contains(path) || path == b"/";
        (is_above || self.mounts.contains(path)).then_some(None)
    }

    /// The paths that a step changed last, and that its layer must have.
    pub(super) fn expected(&self) -> impl Iterator<Item = (&[u8], Slot)> {
        self.hits.iter().filter(|(_, hit)| hit.expected).filter_map(|(path, hit)| {
            let gone_with = upwards(path)
                .skip(1)
                .any(|dir| self.hits.get(dir).is_some_and(|above| above.gone && above.seq > hit.seq));
            let at_mount = self.mounts.contains(path);
            hit.slot.filter(|_| !gone_with && !at_mount).map(|slot| (path.as_slice(), slot))
        })
    }
}

/// `path` and the directories above it, without the root.
fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
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
    use super::*;

    #[test]
    fn symlinks_of_directories_are_followed_and_the_last_name_is_not() {
        let mut links = Links::default();
        for (path, target) in
            [("/bin", "usr/bin"), ("/a", "/b/../c"), ("/loop", "loop"), ("/usr/bin/sh", "busybox")]
        {
            links.0.insert(path.into(), target.into());
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

    fn hit(seq: u64, gone: bool, renamed: bool) -> Hit {
        let by = ProcessKey { pid: 1, start: 1 };
        let slot = Some(Slot::Step(0));
        Hit { slot, by, seq, gone, renamed, expected: !gone, engine: false, foreign: false }
    }

    #[test]
    fn only_events_explain() {
        let mut trails =
            Trails { hits: BTreeMap::new(), above: BTreeSet::new(), mounts: BTreeSet::new() };
        trails.add(b"/d/made".to_vec(), hit(1, false, false));
        trails.add(b"/moved".to_vec(), hit(2, false, true));
        trails.add(b"/old".to_vec(), hit(3, true, false));
        trails.mounts.extend([b"/proc".to_vec()]);
        assert!(trails.explain(b"/d/made", Kind::File).is_some());
        assert!(trails.explain(b"/d", Kind::Dir).is_some());
        assert!(trails.explain(b"/d", Kind::File).is_none());
        assert!(trails.explain(b"/d/made/below", Kind::File).is_none());
        assert!(trails.explain(b"/moved/below/x", Kind::File).is_some());
        assert!(trails.explain(b"/old/x", Kind::Whiteout).is_some());
        assert!(trails.explain(b"/proc", Kind::Dir).is_some());
        assert!(trails.explain(b"/etc/passwd", Kind::File).is_none());
    }

    #[test]
    fn what_went_with_its_directory_is_not_expected() {
        let mut trails =
            Trails { hits: BTreeMap::new(), above: BTreeSet::new(), mounts: BTreeSet::new() };
        trails.add(b"/t/x".to_vec(), hit(1, false, false));
        trails.add(b"/t".to_vec(), hit(2, true, false));
        trails.add(b"/kept".to_vec(), hit(3, false, false));
        let expected: Vec<&[u8]> = trails.expected().map(|(path, _)| path).collect();
        assert_eq!(expected, [b"/kept"]);
    }
}
