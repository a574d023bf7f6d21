//! Why an entry of a layer is there, and which entries it must have.

use blubr_image::layer::Kind;

use super::super::below::Below;
use super::super::paths::{is_above, upwards};
use super::{Hit, Slot, Trails};

impl Trails {
    /// Why an entry of a layer is there: `None` when nothing explains it, `Some(None)` when it is by being a directory above
    /// a change or a mount point.
    pub(in super::super) fn explain(
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
    pub(super) fn brought_anew(&self, path: &[u8], since: u64) -> bool {
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
    pub(in super::super) fn changed_by(&self, path: &[u8]) -> Option<Hit> {
        self.hits.get(path).filter(|hit| !hit.gone).copied()
    }

    /// Whether it is a mount point of a container, or above one.
    pub(super) fn leads_to_mount(&self, path: &[u8]) -> bool {
        self.mounts.contains(path) || is_above(path, |from| Some((self.mounts.range(from).next()?, ())))
    }

    /// The paths that a step changed last, and that its layer must have.
    pub(in super::super) fn expected(&self) -> impl Iterator<Item = (&[u8], Slot)> {
        self.hits.iter().filter(|(_, hit)| hit.expected).filter_map(|(path, hit)| {
            let gone_with = upwards(path)
                .skip(1)
                .any(|dir| self.hits.get(dir).is_some_and(|above| above.gone && above.seq > hit.seq));
            let at_mount = self.leads_to_mount(path);
            hit.slot.filter(|_| !gone_with && !at_mount).map(|slot| (path.as_slice(), slot))
        })
    }
}
