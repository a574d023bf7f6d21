//! The directories of a build, and what is mounted in them.

use std::collections::HashSet;

use super::{Area, Place};
use crate::build::{Build, MountPoint, OtherName};
use crate::nearest::Dirs;
use crate::path::parent;
use crate::traces::store_of;

#[derive(Debug, Clone, Copy)]
pub(super) struct Owned {
    pub(super) run: Option<u32>,
    pub(super) area: Area,
    /// It is a tree too (see [`StepRun::whole`](crate::StepRun::whole)).
    pub(super) whole: bool,
    /// Until when it was filled with what was below, by `seq`.
    pub(super) copied_until: Option<u64>,
}

impl Owned {
    pub(super) fn new(run: Option<u32>, area: Area) -> Self {
        Owned { run, area, whole: false, copied_until: None }
    }

    /// The engine's work in it. What fills it with what was below is no step's.
    pub(super) fn by_engine(self, seq: u64) -> Place {
        let copying = self.copied_until.is_some_and(|until| seq <= until);
        Place::Engine { run: self.run.filter(|_| !copying) }
    }
}

/// The build's directories. The engine's notes lie beside each upper directory, in the directory above it.
pub(super) fn directories(build: &Build) -> Dirs<Owned> {
    let mut dirs = Dirs::default();
    let notes = |dirs: &mut Dirs<Owned>, layer: &[u8], run: Option<u32>| {
        if store_of(layer).is_some()
            && let Some(above) = parent(layer)
        {
            dirs.insert_new(above, Owned::new(run, Area::Work));
        }
    };
    for run in &build.runs {
        let of = Some(run.id);
        for root in &run.roots {
            dirs.insert(root.clone(), Owned::new(of, Area::Tree));
        }
        let (whole, copied_until) = (run.whole, run.copied_until);
        dirs.insert(run.upper.clone(), Owned { whole, copied_until, ..Owned::new(of, Area::Upper) });
        notes(&mut dirs, &run.upper, of);
        // Who goes over what is kept must see it too.
        for mounted in &run.copied_older {
            dirs.insert_new(mounted, Owned::new(None, Area::Work));
        }
        if let Some(work) = &run.work {
            dirs.insert(work.clone(), Owned::new(of, Area::Work));
        }
    }
    for layer in &build.layers {
        dirs.insert_new(&layer.dir, Owned::new(layer.of, Area::Layer));
        if let Some(tree) = &layer.tree {
            dirs.insert_new(tree, Owned::new(layer.of, Area::Layer));
        }
        notes(&mut dirs, &layer.dir, layer.of);
    }
    for context in &build.contexts {
        for name in std::iter::once(&context.dir).chain(&context.binds) {
            dirs.insert_new(name, Owned::new(None, Area::Context));
        }
        notes(&mut dirs, &context.dir, None);
    }
    for OtherName { other, own } in &build.renamed {
        if let Some(&owned) = dirs.get(own) {
            dirs.insert_new(other, owned);
        }
    }
    dirs
}

pub(super) fn bases(build: &Build) -> HashSet<Vec<u8>> {
    build.runs.iter().filter(|run| run.whole).flat_map(|run| run.lowers.iter().cloned()).collect()
}

/// Something mounted in a place.
pub(super) struct Upon {
    /// Its index in the run's `mounts`: of several the last, which covers the others.
    pub(super) at: usize,
    /// When (`seq`) the first was.
    pub(super) since: u64,
}

/// What is mounted where.
pub(super) fn mounts(points: &[MountPoint]) -> Dirs<Upon> {
    let mut mounts: Dirs<Upon> = Dirs::default();
    for (at, point) in points.iter().enumerate() {
        let since = mounts.get(&point.path).map_or(point.seq, |before| before.since);
        mounts.insert(point.path.clone(), Upon { at, since });
    }
    mounts
}

pub(super) fn common_prefix<'d>(dirs: impl Iterator<Item = &'d Vec<u8>>) -> Vec<u8> {
    let mut prefix: Option<Vec<u8>> = None;
    for dir in dirs {
        match &mut prefix {
            None => prefix = Some(dir.clone()),
            Some(prefix) => {
                let same = prefix.iter().zip(dir).take_while(|(a, b)| a == b).count();
                prefix.truncate(same);
            }
        }
    }
    // Nothing lies in no directory.
    prefix.unwrap_or_else(|| vec![0])
}
