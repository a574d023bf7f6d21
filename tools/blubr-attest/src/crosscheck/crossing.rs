//! What all layers together gave so far: their entries, what nothing explains, and what could not be checked.

use std::collections::BTreeMap;

use blubr_attestation::build::{File, Unexplained, What};
use blubr_attestation::path;
use blubr_cli::Failure;
use blubr_image::layer::{Entry, Kind};

use super::attributes::Deviation;
use super::links::Links;
use super::trails::Hit;
use super::{
    Crossed, DETAIL_ENTRIES_MAX, DEVIATIONS_MAX, ENTRIES_MAX, Ground, Listed, Odd, UNEXPLAINED_MAX,
    Unchecked,
};
use crate::assemble_parts::{Gathered, Slot};
use crate::picture::Picture;

#[derive(Default)]
pub(super) struct Crossing {
    /// The lists go into a file of their own.
    pub(super) has_detail: bool,
    pub(super) files: Vec<Listed>,
    pub(super) inherited: Vec<String>,
    pub(super) empty: Vec<String>,
    pub(super) hollow: Vec<String>,
    pub(super) odd: Vec<Odd>,
    pub(super) too_many: bool,
    pub(super) lost_track: bool,
    pub(super) lost_links: bool,
    pub(super) visible: BTreeMap<Vec<u8>, usize>,
    pub(super) unchecked: Unchecked,
    pub(super) deviations: usize,
    pub(super) unexplained: usize,
}

impl Crossing {
    fn entries_max(&self) -> usize {
        if self.has_detail { DETAIL_ENTRIES_MAX } else { ENTRIES_MAX }
    }

    /// Why entries of so many are not listed.
    pub(super) fn too_many(&self) -> String {
        let elsewhere = if self.has_detail { "" } else { " (--detail-to makes room for more)" };
        format!("the new layers have more than {} entries{elsewhere}", self.entries_max())
    }

    /// A layer that was there before.
    pub(super) fn inherited(
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
    pub(super) fn entries(
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

    /// What a later layer's entry takes out of view.
    pub(super) fn hide(&mut self, path: &[u8], kind: Kind) {
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

    pub(super) fn odd(&mut self, what: What, at: &[u8], layer: Option<&str>, slot: Option<Slot>) {
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

    pub(super) fn deviates(&mut self, one: Deviation, at: &[u8], layer: &str, slot: Option<Slot>) {
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

    pub(super) fn end(self, gathered: &Gathered) -> Crossed {
        let left_out = gathered.doing.values().any(|doing| doing.counts.left_out > 0);
        let unchecked = if self.too_many {
            Some(self.too_many())
        } else if self.lost_track {
            Some("directories got other names more often than is followed".to_owned())
        } else if self.lost_links {
            Some("symlinks lead on for longer than is followed".to_owned())
        } else if left_out || gathered.explaining_left_out {
            Some("the build touched more paths than are kept".to_owned())
        } else if gathered.lost_roots {
            Some("a process of the build has a root directory that is not known".to_owned())
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

pub(super) fn listed(entry: &Entry, at: &[u8], diff_id: &str, hit: Option<Hit>) -> Listed {
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
