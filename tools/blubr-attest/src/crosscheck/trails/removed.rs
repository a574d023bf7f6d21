//! What a step's container took away of the layers below: its own layer must leave nothing of it.

use std::collections::BTreeMap;

use super::super::below::Below;
use super::{Hit, Slot, Trails};

/// Names that are looked at in directories which were moved away; a count. A build that moves more is not checked.
const MOVED_NAMES_MAX: usize = 1_000_000;

impl Trails {
    /// The paths that lie `below`, and that a step's container took away, in their order.
    pub(in super::super) fn removed(&self, below: &Below) -> Vec<(Vec<u8>, Slot)> {
        let mut removed = self.moved_away(below);
        for (path, hit) in self.hits.iter().filter(|(_, hit)| hit.removed) {
            let there = below.get(path).is_some();
            let Some(slot) = hit.slot.filter(|_| there) else { continue };
            // rename(2) does nothing where both names are of one file.
            let other = self.renames.at(path, hit.seq);
            let is_same = other.is_some_and(|other| below.are_one_file(path, other));
            if !is_same && !self.stays(path, hit.since, below) {
                removed.insert(path.clone(), slot);
            }
        }
        removed.into_iter().collect()
    }

    /// What was in a directory that was moved away, and did not come to that name again.
    fn moved_away(&self, below: &Below) -> BTreeMap<Vec<u8>, Slot> {
        let mut removed = BTreeMap::new();
        let mut room = MOVED_NAMES_MAX;
        for moved in &self.moved_away {
            for name in below.inside(&moved.from) {
                let Some(left) = room.checked_sub(1) else {
                    self.lost_track.set(true);
                    return removed;
                };
                room = left;
                // What was said of a name before went along with the directory.
                let is_later = |hit: &Hit| !hit.removed;
                if !self.hits.get(name).is_some_and(is_later) && !self.stays(name, moved.seq, below) {
                    removed.insert(name.to_vec(), moved.slot);
                }
            }
        }
        removed
    }

    /// Whether a name that was taken away at `since` may be there all the same: below a mount, or with a directory that was moved there.
    fn stays(&self, path: &[u8], since: u64, below: &Below) -> bool {
        self.leads_to_mount(path) || self.brought_anew(path, since) && self.has_below(path, below)
    }
}
