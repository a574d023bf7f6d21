//! Names of changed files of which the log has the ends: they are too long for it, or begin where no name of the step's tree
//! leads. What they are as a whole is not known.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// Ends that are remembered, in bytes. Beyond, any name that is long enough may be one.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of an image's names that are looked up: a second. Beyond, any name that is long enough may be one.
const LOOKED_BYTES_MAX: u64 = 1 << 30;

/// What is known of an end.
#[derive(Clone, Copy, Debug)]
pub struct Of {
    /// Somebody outside the containers named it.
    pub outside: bool,
    /// It may be the whole name.
    pub whole: bool,
}

/// The ends, by their lengths.
#[derive(Debug)]
pub struct Tails {
    by_length: BTreeMap<usize, HashMap<Vec<u8>, Of>>,
    kept: usize,
    full: bool,
    looks: Cell<u64>,
}

impl Default for Tails {
    fn default() -> Self {
        Self { by_length: BTreeMap::new(), kept: 0, full: false, looks: Cell::new(LOOKED_BYTES_MAX) }
    }
}

impl Tails {
    /// Something was changed of whose name this is the end; it begins with a slash.
    pub fn note(&mut self, tail: &[u8], of: Of) {
        let same = self.by_length.entry(tail.len()).or_default();
        if let Some(known) = same.get_mut(tail) {
            known.outside |= of.outside;
            known.whole |= of.whole;
            return;
        }
        if self.kept + tail.len() > KEPT_BYTES_MAX {
            self.full = true;
            return;
        }
        self.kept += tail.len();
        same.insert(tail.to_vec(), of);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// Whether a path may be one of which this is the end, below one of these roots too where the engine named it.
    pub fn may_be<'p>(&self, roots: &[&[u8]], upwards: impl Iterator<Item = &'p [u8]>) -> bool {
        upwards
            .into_iter()
            .any(|path| self.is_end_of(b"", path) || roots.iter().any(|root| self.is_end_of(root, path)))
    }

    fn is_end_of(&self, root: &[u8], path: &[u8]) -> bool {
        let bytes = root.len() + path.len();
        // What is no longer than the path is looked up for that alone.
        let from = if root.is_empty() { 0 } else { path.len() };
        let mut ends = self.by_length.range(from..=bytes).peekable();
        if ends.peek().is_none() {
            return false;
        }
        let whole = [root, path].concat();
        self.full
            || ends.any(|(length, tails)| {
                let left = self.looks.get().checked_sub(bytes as u64);
                self.looks.set(left.unwrap_or(0));
                let end = whole.get(bytes - length..).unwrap_or_default();
                let fits = |of: &Of| (of.outside || root.is_empty()) && (of.whole || *length < bytes);
                left.is_none() || tails.get(end).is_some_and(fits)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Of = Of { outside: false, whole: false };

    fn may_be(tails: &Tails, path: &str) -> bool {
        let ends =
            path.char_indices().filter(|(at, letter)| *at > 0 && *letter == '/').map(|(at, _)| at);
        let ends = ends.chain([path.len()]);
        tails.may_be(&[b"/s/1/diff"], ends.filter_map(|end| Some(path.get(..end)?.as_bytes())))
    }

    #[test]
    fn a_longer_path_with_this_end_may_be_meant() {
        let mut tails = Tails::default();
        assert!(tails.is_empty() && !may_be(&tails, "/a/b/c"));
        tails.note(b"/b/c", CUT);
        assert!(!tails.is_empty() && may_be(&tails, "/a/b/c") && may_be(&tails, "/a/b/c/below/it"));
        for other in ["/b/c", "/ab/c", "/a/b", "/a/b/cc", "/b/c/b"] {
            assert!(!may_be(&tails, other), "{other}");
        }
        // As the engine names it, from outside.
        tails.note(b"/diff/x/y", Of { outside: true, ..CUT });
        assert!(may_be(&tails, "/x/y") && may_be(&tails, "/x/y/z") && !may_be(&tails, "/y"));
    }

    #[test]
    fn a_name_that_begins_elsewhere_may_be_the_whole() {
        let mut tails = Tails::default();
        tails.note(b"/b/c", Of { whole: true, ..CUT });
        assert!(["/b/c", "/a/b/c", "/b/c/d"].iter().all(|path| may_be(&tails, path)));
        assert!(["/b", "/c", "/bb/c"].iter().all(|path| !may_be(&tails, path)));
    }

    #[test]
    fn with_too_many_any_long_path_may_be_meant() {
        let mut tails = Tails::default();
        let long = "/".to_owned() + &"d".repeat(KEPT_BYTES_MAX / 2 - 1);
        tails.note(long.as_bytes(), CUT);
        tails.note(format!("{long}e").as_bytes(), CUT);
        assert!(!may_be(&tails, "/short") && may_be(&tails, &"/x".repeat(KEPT_BYTES_MAX / 2)));
        let mut tails = Tails::default();
        tails.note(b"/b/c", CUT);
        // 11 for "/x" below the root, 4 and 13 for "/x/y" as it is and there, 6 for the whole.
        tails.looks.set(34);
        assert!(!may_be(&tails, "/x/y/z") && may_be(&tails, "/x/y/z"), "no more is looked up");
    }
}
