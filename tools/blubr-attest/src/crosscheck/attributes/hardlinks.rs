//! What a hard link is a name of.

use blubr_image::layer::Kind;

use super::super::below::Attributes;
use super::known::Known;
use super::words::{deviation, text};
use super::{Deviation, Judge};

impl Judge<'_> {
    /// Whether there is, or may be, what a hard link is a name of.
    pub(super) fn has_target(
        &self,
        entry: &Attributes,
        in_layer: &dyn Fn(&[u8]) -> Option<Kind>,
    ) -> bool {
        let target = target_of(entry);
        let resolved = self.links.resolve(&target);
        [target, resolved].iter().any(|target| in_layer(target).is_some() || self.below.may_have(target))
    }

    pub(super) fn hardlink(&self, known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
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
}

/// The path that a hard link names.
pub(super) fn target_of(entry: &Attributes) -> Vec<u8> {
    [b"/".as_slice(), entry.link.as_deref().unwrap_or_default()].concat()
}
