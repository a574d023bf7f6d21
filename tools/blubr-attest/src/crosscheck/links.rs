//! The symlinks of the image's tree: what a path means that leads through them.

mod then;

use std::cell::Cell;
use std::collections::HashMap;

use blubr_image::layer::{Entry, Kind};

use super::lengths::Lengths;

/// How many symlinks are followed in one path, as the kernel does (MAXSYMLINKS, include/linux/namei.h).
const LINKS_FOLLOWED_MAX: usize = 40;
/// Symlinks that are remembered; a count.
const LINKS_MAX: usize = 200_000;

/// Bytes of symlinks' targets that are followed for all paths of an image together, and of each target something more: some
/// seconds. Where they lead on for longer the image is not checked.
const TARGETS_BYTES_MAX: usize = 1 << 29;
/// What following a symlink takes besides, as bytes.
const LINK_BYTES: usize = 32;

/// Symlinks of the image's tree.
pub(super) struct Links {
    by_path: HashMap<Vec<u8>, Vec<u8>>,
    /// Of the symlinks' paths.
    lengths: Lengths,
    /// What may still be followed; of that nothing is left where it was too little.
    room: Cell<usize>,
}

impl Default for Links {
    fn default() -> Self {
        let room = Cell::new(TARGETS_BYTES_MAX);
        Self { by_path: HashMap::new(), lengths: Lengths::default(), room }
    }
}

impl Links {
    /// Remembers a symlink, or that something else is there now.
    pub(super) fn learn(&mut self, entry: &Entry) {
        let path = [b"/".as_slice(), &entry.path].concat();
        match (entry.kind, &entry.link) {
            (Kind::Symlink, Some(target)) if self.by_path.len() < LINKS_MAX => {
                self.put(path, target.clone());
            }
            (Kind::Opaque, _) => {}
            _ => drop(self.by_path.remove(&path)),
        }
    }

    fn put(&mut self, path: Vec<u8>, target: Vec<u8>) {
        self.lengths.note(path.len());
        self.by_path.insert(path, target);
    }

    fn get(&self, path: &[u8]) -> Option<&[u8]> {
        let target = self.lengths.has(path.len()).then(|| self.by_path.get(path)).flatten();
        target.map(Vec::as_slice)
    }

    /// Whether symlinks led on for longer than is followed.
    pub(super) fn lost_track(&self) -> bool {
        self.room.get() == 0
    }

    /// What a symlink's own path leads to; `None` if it is none.
    pub(super) fn through(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.get(path).is_some().then(|| self.walk(path, true))
    }

    /// `path` with the symlinks in its directories followed; its last name is left as it is.
    pub(super) fn resolve(&self, path: &[u8]) -> Vec<u8> {
        self.walk(path, false)
    }

    fn walk(&self, path: &[u8], last_too: bool) -> Vec<u8> {
        if self.by_path.is_empty() {
            return path.to_vec();
        }
        walk(path, last_too, &self.room, &|here| self.get(here))
    }
}

/// `path` with symlinks followed; of its last name only where `last_too` says so. Takes what the targets are long from `room`.
fn walk<'a>(
    path: &'a [u8],
    last_too: bool,
    room: &Cell<usize>,
    link: &dyn Fn(&[u8]) -> Option<&'a [u8]>,
) -> Vec<u8> {
    let mut left: Vec<&[u8]> = parts(path).collect();
    let (mut out, mut followed) = (Vec::new(), 0);
    while let Some(name) = left.pop() {
        match name {
            b"." => continue,
            b".." => {
                let cut = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(cut);
                continue;
            }
            _ => {}
        }
        let dir = out.len();
        out.push(b'/');
        out.extend_from_slice(name);
        let follows = (last_too || !left.is_empty()) && followed < LINKS_FOLLOWED_MAX;
        let Some(target) = link(&out).filter(|_| follows) else { continue };
        let Some(rest) = room.get().checked_sub(target.len() + LINK_BYTES) else {
            room.set(0);
            return path.to_vec();
        };
        room.set(rest);
        followed += 1;
        out.truncate(if target.first() == Some(&b'/') { 0 } else { dir });
        left.extend(parts(target));
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}

/// The names of a path, the last first.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symlinks_of_directories_are_followed_and_the_last_name_is_not() {
        let mut links = Links::default();
        for (path, target) in
            [("/bin", "usr/bin"), ("/a", "/b/../c"), ("/loop", "loop"), ("/usr/bin/sh", "busybox")]
        {
            links.put(path.into(), target.into());
        }
        for (path, wanted) in [
            ("/bin/sh", "/usr/bin/sh"),
            ("/bin", "/bin"),
            ("/a/x/../y", "/c/y"),
            ("/loop/x", "/loop/x"),
            ("/", "/"),
            ("/plain/file", "/plain/file"),
        ] {
            assert_eq!(String::from_utf8(links.resolve(path.as_bytes())).unwrap(), wanted);
        }
    }

    #[test]
    fn symlinks_are_not_followed_for_ever() {
        let mut links = Links::default();
        let way = [b"x/../".repeat(800), b"l".to_vec()].concat();
        for at in 0..39 {
            links.put(format!("/l{at}").into(), [way.clone(), format!("{}", at + 1).into()].concat());
        }
        links.put(b"/slashes".to_vec(), [b"l39".to_vec(), b"/".repeat(4_000)].concat());
        assert_eq!(links.resolve(b"/l0/x"), b"/l39/x");
        assert_eq!(links.through(b"/slashes"), Some(b"/l39".to_vec()));
        links.room.set(39 * 4_100);
        assert!(links.resolve(b"/l0/x") == b"/l39/x" && !links.lost_track());
        assert!(links.resolve(b"/l0/x") == b"/l0/x" && links.lost_track());
    }
}
