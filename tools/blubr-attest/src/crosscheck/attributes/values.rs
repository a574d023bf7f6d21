//! Kind, mode, owners, length and target of an entry: which of them no event gave it.

use blubr_image::layer::Kind;

use super::super::below::Attributes;
use super::known::Known;
use super::words::{deviation, kind_name, made_name, octal, text};
use super::xattrs::ACCESS_LIST;
use super::{Deviation, Judge};
use crate::assemble_parts::{Fact, Made};

/// Bits that the kernel takes away when a file's owner or content changes (setattr_prepare, file_remove_privs).
const PRIVILEGE_BITS: u32 = 0o6000;
const SETGID: u32 = 0o2000;

impl Judge<'_> {
    pub(super) fn kind(&self, known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
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

    pub(super) fn mode(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
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

    pub(super) fn owners(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Vec<Deviation> {
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

    pub(super) fn size(&self, path: &[u8], known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
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
}

pub(super) fn target(known: &Known<'_>, entry: &Attributes) -> Option<Deviation> {
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
