//! Paths of control groups by their id, kept after the group is gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::mountinfo::Mount;

/// Removed groups whose path is kept: a connection's last event may come minutes after its group went.
const REMOVED_KEPT: usize = 4096;
/// Folders of the tree that are looked at in one scan.
const TREE_MAX: usize = 100_000;
/// Ids that no scan has found and that are not looked for again.
const UNKNOWN_MAX: usize = 4096;

/// How this host lays out its control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One tree.
    V2,
    /// Controllers in v1 hierarchies, processes in a v2 tree too.
    Hybrid,
    /// No v2 tree is mounted.
    V1,
}

impl Layout {
    /// As the header spells it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::V2 => "v2",
            Layout::Hybrid => "hybrid",
            Layout::V1 => "v1",
        }
    }
}

/// Finds the layout and where the v2 tree is mounted, in the bytes of /proc/self/mountinfo.
pub fn layout(mountinfo: &[u8]) -> (Layout, Option<PathBuf>) {
    let mut v1 = false;
    let mut v2 = None;
    for mount in mountinfo.split(|b| *b == b'\n').filter_map(Mount::parse) {
        match mount.fstype.as_slice() {
            // The whole tree, not a part of it bound elsewhere.
            b"cgroup2" if mount.root == b"/" && v2.is_none() => {
                v2 = Some(PathBuf::from(OsString::from_vec(mount.target)));
            }
            b"cgroup" => v1 = true,
            _ => {}
        }
    }
    match (&v2, v1) {
        (Some(_), false) => (Layout::V2, v2),
        (Some(_), true) => (Layout::Hybrid, v2),
        (None, _) => (Layout::V1, None),
    }
}

/// A hash of an id: asked for at every event. The kernel counts ids up; nobody chooses one.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // Fibonacci hashing: the golden ratio of 2^64 spreads ids that lie side by side; the table looks at both ends.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Paths by id. Told by the probes of every group that is made; what was there before is scanned.
#[derive(Default)]
pub struct Cgroups {
    tree: Option<PathBuf>,
    paths: HashMap<u64, Vec<u8>, BuildHasherDefault<IdHasher>>,
    removed: VecDeque<u64>,
    unknown: HashSet<u64>,
}

impl Cgroups {
    /// Knows the groups of the v2 tree mounted at `tree`; scan it after the probes are attached.
    pub fn new(tree: Option<PathBuf>) -> Self {
        Cgroups { tree, ..Cgroups::default() }
    }

    /// Reads the tree. A group's id is the inode number of its folder (kernfs).
    pub fn scan(&mut self) {
        let Some(tree) = self.tree.clone() else { return };
        let mut waiting = vec![tree.clone()];
        let mut seen = 0;
        while let Some(folder) = waiting.pop() {
            seen += 1;
            if seen > TREE_MAX {
                return;
            }
            let Ok(meta) = fs::symlink_metadata(&folder) else { continue };
            let path = folder.strip_prefix(&tree).unwrap_or(Path::new(""));
            let mut bytes = vec![b'/'];
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            self.paths.entry(meta.ino()).or_insert(bytes);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            let folders = entries.filter_map(Result::ok);
            let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(folders.map(|entry| entry.path()));
        }
    }

    /// A group was made, or has another path now.
    pub fn made(&mut self, id: u64, path: &[u8]) {
        if self.tree.is_some() {
            self.paths.insert(id, path.to_vec());
            self.unknown.remove(&id);
        }
    }

    /// A group was removed; its path is kept for a while.
    pub fn removed(&mut self, id: u64) {
        self.removed.push_back(id);
        if self.removed.len() > REMOVED_KEPT
            && let Some(oldest) = self.removed.pop_front()
        {
            self.paths.remove(&oldest);
        }
    }

    /// Makes sure that `id` is known if it can be: an id never seen is looked for once.
    pub fn look_for(&mut self, id: u64) {
        if id == 0 || self.paths.contains_key(&id) || self.unknown.contains(&id) {
            return;
        }
        self.scan();
        if !self.paths.contains_key(&id) {
            if self.unknown.len() >= UNKNOWN_MAX {
                self.unknown.clear();
            }
            self.unknown.insert(id);
        }
    }

    /// The path, or `None` where it is not known.
    pub fn path(&self, id: u64) -> Option<&[u8]> {
        self.paths.get(&id).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_apart() {
        let v2 = b"30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";
        assert_eq!(layout(v2), (Layout::V2, Some(PathBuf::from("/sys/fs/cgroup"))));
        let hybrid = b"31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(layout(hybrid), (Layout::Hybrid, Some(PathBuf::from("/sys/fs/cgroup/unified"))));
        let v1 = b"32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(layout(v1), (Layout::V1, None));
        let part = b"30 24 0:26 /docker/x /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";
        assert_eq!(layout(part), (Layout::V1, None));
        // Whoever may mount by fusermount chooses such a name.
        let bytes = b"33 30 0:29 / /home/u/\xff rw - fuse.x x rw\n30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(layout(bytes), (Layout::V2, Some(PathBuf::from("/sys/fs/cgroup"))));
    }

    #[test]
    fn a_removed_group_is_kept_for_a_while_and_then_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut cgroups = Cgroups::new(Some(dir.path().to_owned()));
        for id in 1..=(REMOVED_KEPT as u64 + 1) {
            cgroups.made(id << 40, b"/x");
            cgroups.removed(id << 40);
        }
        assert_eq!(cgroups.path(1 << 40), None);
        assert_eq!(cgroups.path(2 << 40), Some(&b"/x"[..]));
    }

    #[test]
    fn the_tree_is_scanned_once_for_an_id_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let id = fs::metadata(dir.path().join("a/b")).unwrap().ino();
        let mut cgroups = Cgroups::new(Some(dir.path().to_owned()));
        cgroups.look_for(id);
        assert_eq!(cgroups.path(id), Some(&b"/a/b"[..]));
        cgroups.look_for(u64::MAX);
        assert_eq!(cgroups.path(u64::MAX), None);
    }
}
