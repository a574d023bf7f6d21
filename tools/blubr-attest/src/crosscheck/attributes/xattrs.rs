//! Extended attributes of an entry: which of them no event gave it.

use super::super::below::Attributes;
use super::known::Known;
use super::words::{deviation, text};
use super::{Deviation, Judge};
use crate::assemble_parts::{Fact, Xattr};

pub(super) const CAPABILITY: &[u8] = b"security.capability";
pub(super) const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

impl Judge<'_> {
    pub(super) fn xattrs(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Vec<Deviation> {
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

/// What overlayfs notes on a directory or file in its upper directory. No engine puts it into a layer, and no step can set it: where
/// such a layer is unpacked into another's lower directory it hides what lies below, or shows other files.
pub(super) fn notes_of_kernel(entry: &Attributes) -> Vec<Deviation> {
    let notes = entry.xattrs.iter().filter(|(name, _)| name.starts_with(b"trusted.overlay."));
    notes
        .map(|(name, value)| deviation(&format!("xattr {}", text(name)), text(value), Vec::new()))
        .collect()
}
