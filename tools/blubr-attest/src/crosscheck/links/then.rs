//! What paths meant at the time when the steps used them, where the symlinks were others than the image has.

use std::collections::HashMap;

use blubr_image::layer::Kind;

use super::super::below::Below;
use super::{Links, walk};
use crate::assemble_parts::{Doing, Trail};

impl Links {
    /// With links that some steps made: what their paths meant then, where the image shows others or none any more.
    pub(in super::super) fn then<'l>(&'l self, doing: &[&Doing], below: &'l Below) -> Then<'l> {
        let mut then = Then { now: self, below, made: Links::default(), first: HashMap::new() };
        for (path, link) in doing.iter().flat_map(|doing| &doing.symlinks) {
            let path = self.resolve(path);
            then.given(&path, link.first);
            if self.get(&path) != Some(&link.target) {
                then.made.put(path, link.target.clone());
            }
        }
        for renamed in doing.iter().flat_map(|doing| &doing.renames) {
            let to = self.resolve(&renamed.to);
            if self.get(&to).is_some() {
                then.given(&to, renamed.seq);
            }
        }
        then
    }
}

/// The symlinks of the image's tree, and those that were there at some time before.
pub(in super::super) struct Then<'l> {
    now: &'l Links,
    below: &'l Below,
    made: Links,
    /// When the steps first gave these names to a symlink, or to what had been one under another name.
    first: HashMap<Vec<u8>, u64>,
}

impl Then<'_> {
    fn given(&mut self, path: &[u8], seq: u64) {
        let first = self.first.entry(path.to_vec()).or_insert(seq);
        *first = seq.min(*first);
    }

    /// The symlink that was there at `at`, by the image; or by one that the steps made, where `made` asks for that.
    fn link(&self, here: &[u8], at: u64, made: bool) -> Option<&[u8]> {
        if self.first.get(here).is_some_and(|first| at < *first) {
            let lower = self.below.get(here).filter(|lower| lower.kind == Kind::Symlink);
            return lower.and_then(|lower| lower.link.as_deref());
        }
        self.made.get(here).filter(|_| made).or_else(|| self.now.get(here))
    }

    /// What a caller's `path` meant at `at`.
    pub(in super::super) fn resolve(&self, path: &[u8], at: u64) -> Vec<u8> {
        if self.first.is_empty() {
            return self.now.resolve(path);
        }
        walk(path, false, &self.now.room, &|here| self.link(here, at, false))
    }

    /// What it may have meant then, where that is not what `now` makes of it.
    pub(in super::super) fn other(&self, path: &[u8], at: u64, now: &[u8]) -> Option<Vec<u8>> {
        if self.made.by_path.is_empty() {
            return None;
        }
        let then = walk(path, false, &self.now.room, &|here| self.link(here, at, true));
        (then != now).then_some(then)
    }

    /// What the name of a trail meant: several names where it can't be told which.
    pub(in super::super) fn meant(&self, path: &[u8], trail: &Trail) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if trail.real {
            all.push(path.to_vec());
        }
        let (first, last) = trail.spelled.unzip();
        for at in first.into_iter().chain(last.filter(|_| first != last)) {
            let now = self.resolve(path, at);
            all.extend(self.other(path, at, &now));
            all.push(now);
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::below::Attributes;
    use super::*;
    use crate::assemble_parts::Budget;

    #[test]
    fn a_link_that_is_gone_still_says_what_paths_meant() {
        let links = Links::default();
        let mut doing = Doing::default();
        doing.symlink(b"/way".to_vec(), b"real".to_vec(), 5, &mut Budget::new(false));
        let below = Below::default();
        let then = links.then(&[&doing], &below);
        assert_eq!(then.other(b"/way/x", 6, b"/way/x"), Some(b"/real/x".to_vec()));
        assert_eq!(then.other(b"/way/x", 4, b"/way/x"), None, "there was none yet");
        assert_eq!(then.other(b"/way", 6, b"/way"), None, "the last name is left as it is");
        assert_eq!(then.other(b"/elsewhere/x", 6, b"/elsewhere/x"), None);
    }

    #[test]
    fn a_name_means_what_it_did_when_it_was_used() {
        let mut links = Links::default();
        links.put(b"/a".to_vec(), b"/etc".to_vec());
        let mut doing = Doing::default();
        doing.symlink(b"/a".to_vec(), b"/etc".to_vec(), 5, &mut Budget::new(false));
        let mut below = Below::default();
        let meant = |below: &Below, real, spelled| {
            let mut trail = Trail::default();
            (trail.real, trail.spelled) = (real, spelled);
            let all = links.then(&[&doing], below).meant(b"/a/x", &trail);
            all.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(meant(&below, true, None), ["/a/x"], "no directory was a symlink");
        assert_eq!(meant(&below, true, Some((2, 4))), ["/a/x"], "nor was one yet");
        assert_eq!(meant(&below, false, Some((6, 6))), ["/etc/x"]);
        assert_eq!(meant(&below, true, Some((2, 6))), ["/a/x", "/etc/x"]);
        let symlink = Attributes {
            kind: Kind::Symlink,
            mode: 0o777,
            uid: 0,
            gid: 0,
            size: 0,
            link: Some(b"/old".as_slice().into()),
            xattrs: BTreeMap::new(),
        };
        below.lay(b"/a".to_vec(), symlink);
        assert_eq!(meant(&below, false, Some((2, 2))), ["/old/x"], "another stood there before");
    }
}
