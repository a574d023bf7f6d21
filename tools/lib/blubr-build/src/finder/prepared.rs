//! What buildah makes in a tree for a container that is to begin in it: newer ones make the places to mount upon themselves, by a
//! helper (`copier.Ensure`), where older ones leave that to the runtime. It is the container's, and no COPY.

use crate::build::ProcessKey;
use crate::parts::Part;
use crate::traces::{Container, Entered, Overlay, Prepared, Store};

use super::{Finder, MOUNT_POINTS_MAX};

impl Finder {
    /// A helper made something in a tree: a directory or an empty file (`is_place`), or something else.
    pub(super) fn may_prepare(&mut self, key: ProcessKey, path: &[u8], is_place: bool) {
        let Some(entered) = self.entered.get(&key) else { return };
        let Some(places) = &entered.places else { return };
        if !is_place || places.len() >= MOUNT_POINTS_MAX || !self.keep(path.len()) {
            return self.prepares_nothing(key);
        }
        if let Some(places) = self.entered.get_mut(&key).and_then(|entered| entered.places.as_mut()) {
            places.push(path.to_vec());
        }
    }

    /// A helper wrote something that is no place to mount upon.
    pub(super) fn prepares_nothing(&mut self, key: ProcessKey) {
        if let Some(entered) = self.entered.get_mut(&key) {
            entered.places = None;
        }
    }

    /// A helper has ended that may have written into a tree.
    pub(super) fn helper_ended(&mut self, by: ProcessKey, entered: &Entered) {
        let Some(part) = self.part_of(by, entered) else { return };
        let store = self.makers.get(&self.overlays[entered.overlay].maker).map(|maker| maker.store);
        let overlay = &mut self.overlays[entered.overlay];
        let Some(span) = entered.wrote else { return overlay.add_part(part) };
        match &entered.places {
            Some(paths) if store == Some(Store::Containers) => {
                overlay.not_prepared();
                (overlay.read_back, overlay.last) = (None, overlay.last.max(span.last));
                overlay.prepared = Some(Prepared { by, span, part, paths: paths.clone() });
            }
            _ => overlay.wrote(span, part),
        }
    }

    /// The container, with what was prepared for it: all that the helper made lies where something was mounted in the container
    /// before its program began, or above such a place.
    pub(super) fn with_preparation(&mut self, mut container: Container) -> Container {
        let overlay = &mut self.overlays[container.overlay];
        let Some(prepared) = overlay.prepared.take() else { return container };
        let mut points: Vec<&[u8]> = overlay
            .mounts
            .iter()
            .filter(|point| container.namespaces.contains(&point.mntns))
            .map(|point| point.path.as_slice())
            .collect();
        points.sort_unstable();
        if prepared.paths.iter().all(|path| is_at_or_above(path, &points)) {
            let part = Part { prepares: Some(container.setup_began), ..prepared.part };
            overlay.add_part(part);
            container.setup.push(prepared.by);
            container.setup_began = container.setup_began.min(prepared.span.first);
        } else {
            overlay.wrote(prepared.span, prepared.part);
        }
        container
    }
}

impl Overlay {
    /// What a helper made was not for a container.
    pub(crate) fn not_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.wrote(prepared.span, prepared.part);
        }
    }
}

/// Whether a path is one of the sorted points, or one of them lies below it.
fn is_at_or_above(path: &[u8], points: &[&[u8]]) -> bool {
    let below = [path, b"/"].concat();
    let at = points.partition_point(|point| *point < below.as_slice());
    points.binary_search(&path).is_ok() || points.get(at).is_some_and(|point| point.starts_with(&below))
}
