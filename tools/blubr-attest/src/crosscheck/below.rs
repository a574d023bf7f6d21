//! What the layers below one hold: the attributes of each name, of which a copy-up keeps those that nothing changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blubr_image::layer::{Entry, Kind};

/// Names that are remembered; a count. What is beyond is not known.
const NAMES_MAX: usize = 400_000;

/// What an entry of a layer says of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Bytes; of files only.
    pub(super) size: u64,
    /// A symlink's target, or a hard link's.
    pub(super) link: Option<Box<[u8]>>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Attributes {
    /// Of an entry.
    pub(super) fn of(entry: &Entry) -> Self {
        Attributes {
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            link: entry.link.as_deref().map(Into::into),
            xattrs: entry.xattrs.clone(),
        }
    }
}

/// The layers so far, one upon the other.
#[derive(Default)]
pub(super) struct Below {
    names: BTreeMap<Vec<u8>, Attributes>,
    peers: Peers,
    /// A directory has, or had, an access list that it hands on to what is made in it.
    hands_on: bool,
}

/// The access list that a directory hands on (acl(5)).
pub(super) const DEFAULT_LIST: &[u8] = b"system.posix_acl_default";

/// Names of one file.
#[derive(Default)]
struct Peers {
    group: HashMap<Vec<u8>, usize>,
    /// Sets: an image may have any number of names of one file, and lay each anew.
    groups: Vec<BTreeSet<Vec<u8>>>,
}

impl Peers {
    fn link(&mut self, path: &[u8], target: &[u8]) {
        self.part(path);
        let group = *self.group.entry(target.to_vec()).or_insert_with(|| {
            self.groups.push(BTreeSet::from([target.to_vec()]));
            self.groups.len() - 1
        });
        self.group.insert(path.to_vec(), group);
        self.groups[group].insert(path.to_vec());
    }

    /// The name is another file's from now on, or nobody's.
    fn part(&mut self, path: &[u8]) {
        if let Some(group) = self.group.remove(path) {
            self.groups[group].remove(path);
        }
    }
}

impl Below {
    /// Puts an entry of the next layer on top.
    pub(super) fn put(&mut self, entry: &Entry) {
        self.lay([b"/".as_slice(), &entry.path].concat(), Attributes::of(entry));
    }

    pub(super) fn lay(&mut self, path: Vec<u8>, attributes: Attributes) {
        match attributes.kind {
            Kind::Whiteout => {
                self.remove(&path);
                self.clear(&path);
            }
            Kind::Opaque => self.clear(&path),
            // What its target holds later may be another file. Where that comes later in the layer the link is not known.
            Kind::Hardlink => {
                let target = [b"/".as_slice(), attributes.link.as_deref().unwrap_or_default()].concat();
                let file = self.names.get(&target).cloned();
                self.replace(&path);
                self.remove(&path);
                if let Some(file) = file
                    && self.names.len() < NAMES_MAX
                {
                    self.peers.link(&path, &target);
                    self.names.insert(path, file);
                }
            }
            kind => {
                if kind != Kind::Dir {
                    self.replace(&path);
                }
                self.keep(path, attributes);
            }
        }
    }

    /// Something else takes a directory's place, and with that all that is in it.
    fn replace(&mut self, path: &[u8]) {
        if self.names.get(path).is_some_and(|before| before.kind == Kind::Dir) {
            self.clear(path);
        }
    }

    /// Whether a directory's access list may be on what was made in it.
    pub(super) fn hands_on(&self) -> bool {
        self.hands_on
    }

    fn keep(&mut self, path: Vec<u8>, attributes: Attributes) {
        self.hands_on |= attributes.xattrs.contains_key(DEFAULT_LIST);
        self.peers.part(&path);
        if self.names.len() < NAMES_MAX || self.names.contains_key(&path) {
            self.names.insert(path, attributes);
        }
    }

    fn clear(&mut self, dir: &[u8]) {
        let inside: Vec<Vec<u8>> = self.inside(dir).map(<[u8]>::to_vec).collect();
        for path in inside {
            self.remove(&path);
        }
    }

    /// The names in a directory.
    pub(super) fn inside(&self, dir: &[u8]) -> impl Iterator<Item = &[u8]> {
        let from = [dir, b"/"].concat();
        let names = self.names.range(from.clone()..).map(|(path, _)| path.as_slice());
        names.take_while(move |path| path.starts_with(&from))
    }

    fn remove(&mut self, path: &[u8]) {
        self.names.remove(path);
        self.peers.part(path);
    }

    /// Two names are of one file, as an event said: layers do not, where each was in one of its own.
    pub(super) fn link(&mut self, path: &[u8], other: &[u8]) {
        if self.names.contains_key(path) && self.names.contains_key(other) && path != other {
            self.peers.link(path, other);
        }
    }

    /// The number of a file that has several names.
    pub(super) fn file(&self, path: &[u8]) -> Option<usize> {
        self.peers.group.get(path).copied().filter(|file| self.peers.groups[*file].len() > 1)
    }

    /// Whether two names are of one file.
    pub(super) fn are_one_file(&self, path: &[u8], other: &[u8]) -> bool {
        self.file(path).is_some_and(|file| self.file(other) == Some(file))
    }

    /// Its names.
    pub(super) fn names(&self, file: usize) -> impl Iterator<Item = &[u8]> {
        self.peers.groups.get(file).into_iter().flatten().map(Vec::as_slice)
    }

    /// Whether there is such a name, or may be.
    pub(super) fn may_have(&self, path: &[u8]) -> bool {
        self.names.contains_key(path) || self.names.len() >= NAMES_MAX
    }

    /// What a name is; of a hard link the file that it was made of.
    pub(super) fn get(&self, path: &[u8]) -> Option<&Attributes> {
        self.names.get(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(below: &mut Below, path: &str, kind: Kind, mode: u32, link: Option<&str>) {
        let link = link.map(|link| link.as_bytes().into());
        let attributes =
            Attributes { kind, mode, uid: 0, gid: 0, size: 0, link, xattrs: BTreeMap::new() };
        below.lay(path.into(), attributes);
    }

    #[test]
    fn layers_lie_upon_each_other() {
        let mut below = Below::default();
        lay(&mut below, "/d", Kind::Dir, 0o755, None);
        lay(&mut below, "/d/f", Kind::File, 0o644, None);
        lay(&mut below, "/h", Kind::Hardlink, 0o600, Some("d/f"));
        assert_eq!(below.get(b"/h").unwrap().mode, 0o644, "a hard link is its file");
        lay(&mut below, "/d/f", Kind::File, 0o700, None);
        assert_eq!(below.get(b"/h").unwrap().mode, 0o644, "and stays that");
        lay(&mut below, "/d", Kind::Opaque, 0, None);
        assert!(below.get(b"/d").is_some() && below.get(b"/d/f").is_none());
        lay(&mut below, "/d", Kind::Whiteout, 0, None);
        assert!(below.get(b"/d").is_none());
        lay(&mut below, "/h", Kind::Hardlink, 0o600, Some("later"));
        assert!(below.get(b"/h").is_none(), "what it is a link of is not known");
    }

    #[test]
    fn what_takes_a_directorys_place_takes_all_that_is_in_it() {
        for (kind, link) in [(Kind::File, None), (Kind::Symlink, Some("e")), (Kind::Hardlink, Some("f"))]
        {
            let mut below = Below::default();
            for (path, kind) in [("/f", Kind::File), ("/d", Kind::Dir), ("/d/x", Kind::File)] {
                lay(&mut below, path, kind, 0o755, None);
            }
            lay(&mut below, "/d", Kind::Dir, 0o700, None);
            assert!(below.get(b"/d/x").is_some(), "a directory upon a directory");
            lay(&mut below, "/d", kind, 0o755, link);
            assert!(below.get(b"/d").is_some() && below.get(b"/d/x").is_none(), "{kind:?}");
        }
    }

    #[test]
    fn names_of_one_file_are_known_until_one_is_another_files() {
        let mut below = Below::default();
        for name in ["/a", "/z"] {
            lay(&mut below, name, Kind::File, 0o644, None);
        }
        lay(&mut below, "/b", Kind::Hardlink, 0o644, Some("a"));
        lay(&mut below, "/c", Kind::Hardlink, 0o644, Some("b"));
        let names = |below: &Below, path: &str| {
            let names = below.file(path.as_bytes()).into_iter().flat_map(|file| below.names(file));
            names.map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&below, "/b"), ["/a", "/b", "/c"]);
        assert!(below.are_one_file(b"/a", b"/c") && !below.are_one_file(b"/a", b"/z"));
        assert!(!below.are_one_file(b"/z", b"/z"), "it has one name");
        assert!(names(&below, "/z").is_empty());
        lay(&mut below, "/a", Kind::File, 0o644, None);
        assert_eq!(names(&below, "/b"), ["/b", "/c"]);
        lay(&mut below, "/c", Kind::Whiteout, 0, None);
        assert!(names(&below, "/b").is_empty(), "it is the only one");
        below.link(b"/z", b"/b");
        assert_eq!(names(&below, "/b"), ["/b", "/z"]);
    }
}
