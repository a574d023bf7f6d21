//! Directories by name, and the nearest of them above a path: found in one go over the path, however deep that is.
//!
//! To look up each directory above a path by itself takes time with the square of its length, and paths come from builds.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::path::upwards;

/// A prime, 2^61 - 1: names are hashed as polynomials modulo it at a secret point, so that a prefix's hash is on the way to
/// that of the whole and nobody can choose names that collide.
const PRIME: u64 = (1 << 61) - 1;

/// Values by directory.
pub(crate) struct Dirs<V> {
    point: u64,
    by_hash: HashMap<u64, Vec<(Vec<u8>, V)>>,
    /// How many names have each length: only those need be looked up.
    lengths: Vec<u32>,
    count: usize,
}

impl<V> Default for Dirs<V> {
    fn default() -> Self {
        let point = RandomState::new().hash_one(0) % (PRIME - 256) + 256;
        Dirs { point, by_hash: HashMap::new(), lengths: Vec::new(), count: 0 }
    }
}

impl<V> Dirs<V> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The names, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.by_hash.values().flatten().map(|(name, _)| name)
    }

    /// The value of this very name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&V> {
        let bucket = self.by_hash.get(&self.hash(name))?;
        bucket.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Gives a name a value; the value that it had is gone.
    pub(crate) fn insert(&mut self, name: Vec<u8>, value: V) {
        let bucket = self.by_hash.entry(self.hash(&name)).or_default();
        if let Some((_, known)) = bucket.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
            return;
        }
        if self.lengths.len() <= name.len() {
            self.lengths.resize(name.len() + 1, 0);
        }
        self.lengths[name.len()] += 1;
        self.count += 1;
        bucket.push((name, value));
    }

    /// Gives a name a value unless it has one.
    pub(crate) fn insert_new(&mut self, name: &[u8], value: V) {
        if self.get(name).is_none() {
            self.insert(name.to_vec(), value);
        }
    }

    /// Takes a name away.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let hash = self.hash(name);
        let bucket = self.by_hash.get_mut(&hash)?;
        let at = bucket.iter().position(|(known, _)| known == name)?;
        let (name, value) = bucket.swap_remove(at);
        if bucket.is_empty() {
            self.by_hash.remove(&hash);
        }
        self.lengths[name.len()] -= 1;
        self.count -= 1;
        Some(value)
    }

    /// Of `path` and the directories above it (without the root) the nearest for whose value `take` has an answer: the
    /// length of its name, and that answer.
    pub(crate) fn nearest<'s, T>(
        &'s self,
        path: &[u8],
        take: impl Fn(&'s V) -> Option<T>,
    ) -> Option<(usize, T)> {
        let mut hash = 1;
        let mut last: Option<(&[u8], T)> = None;
        for (at, &known) in self.lengths.iter().enumerate().take(path.len() + 1) {
            let byte = path.get(at);
            if known > 0 && at > 1 && byte.is_none_or(|byte| *byte == b'/') {
                let bucket = self.by_hash.get(&hash).map(Vec::as_slice).unwrap_or_default();
                let fits = bucket.iter().filter(|(name, _)| name.len() == at);
                last = fits.filter_map(|(name, value)| Some((&name[..], take(value)?))).last().or(last);
            }
            hash = self.next(hash, byte.copied().unwrap_or_default());
        }
        let (name, answer) = last?;
        if path.starts_with(name) {
            return Some((name.len(), answer));
        }
        // Two names with one hash, which is not to be expected.
        upwards(path).find_map(|dir| Some((dir.len(), take(self.get(dir)?)?)))
    }

    fn hash(&self, name: &[u8]) -> u64 {
        name.iter().fold(1, |hash, byte| self.next(hash, *byte))
    }

    fn next(&self, hash: u64, byte: u8) -> u64 {
        let product = u128::from(hash) * u128::from(self.point) + u128::from(byte);
        let (low, high) = (product as u64 & PRIME, (product >> 61) as u64);
        let sum = low + high;
        if sum >= PRIME { sum - PRIME } else { sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(dirs: &Dirs<u32>, path: &str) -> Option<(usize, u32)> {
        dirs.nearest(path.as_bytes(), |value| Some(*value))
    }

    #[test]
    fn the_nearest_is_found_and_only_whole_components_count() {
        let mut dirs = Dirs::default();
        for (name, value) in [("/a", 1), ("/a/b/c", 2), ("x/y", 3), ("/", 4)] {
            dirs.insert(name.as_bytes().to_vec(), value);
        }
        assert_eq!(nearest(&dirs, "/a/b/c"), Some((6, 2)));
        assert_eq!(nearest(&dirs, "/a/b/c/d/e"), Some((6, 2)));
        assert_eq!(nearest(&dirs, "/a/b/cd"), Some((2, 1)));
        assert_eq!(nearest(&dirs, "/a//b/c"), Some((2, 1)));
        assert_eq!(nearest(&dirs, "/ab"), None);
        assert_eq!(nearest(&dirs, "x/y/z"), Some((3, 3)));
        assert_eq!(nearest(&dirs, "/"), None, "the root is above everything, and never asked for");
        assert_eq!(nearest(&dirs, ""), None);
        assert_eq!(dirs.nearest(b"/a/b/c/d", |value| (*value == 1).then_some(())), Some((2, ())));
    }

    #[test]
    fn what_was_taken_away_is_not_found() {
        let mut dirs = Dirs::default();
        dirs.insert(b"/a/b".to_vec(), 1);
        dirs.insert(b"/a/b".to_vec(), 2);
        dirs.insert_new(b"/a/b", 3);
        assert_eq!((dirs.len(), dirs.get(b"/a/b")), (1, Some(&2)));
        assert_eq!(dirs.remove(b"/a/b"), Some(2));
        assert_eq!(dirs.remove(b"/a/b"), None);
        assert_eq!((dirs.len(), nearest(&dirs, "/a/b/c")), (0, None));
    }

    #[test]
    fn it_says_what_looking_up_each_directory_says() {
        let mut dirs = Dirs::default();
        let paths: Vec<String> = (0..3_000_u32)
            .map(|n| (0..n % 7).map(|level| format!("/{}", n.rotate_right(level * 3) % 3)).collect())
            .collect();
        for (path, value) in paths.iter().step_by(5).zip(0..) {
            dirs.insert(path.as_bytes().to_vec(), value);
        }
        for path in &paths {
            let each = upwards(path.as_bytes()).find_map(|dir| Some((dir.len(), *dirs.get(dir)?)));
            assert_eq!(nearest(&dirs, path), each, "{path}");
        }
    }
}
