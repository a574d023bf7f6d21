//! Overlay's directories out of its options, resolved: engines pass symlinks and relative names.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Symlinks that one name may go through: MAXSYMLINKS, include/linux/namei.h.
const SYMLINKS_MAX: usize = 40;
/// Lower directories of one mount: OVL_MAX_STACK, fs/overlayfs/params.h.
const LOWER_MAX: usize = 500;

/// Bytes of the lower directories of one mount: each may go through symlinks to a name of 4 KiB, and a line holds 1 MiB.
const LOWER_BYTES_MAX: usize = 65_536;

/// Names that are remembered; all are forgotten when there are more. A build has a few for each step.
const KNOWN_MAX: usize = 16_384;

/// The directories of one overlay mount. What could not be resolved is absent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Topmost first, as NUL-ended names; `None` where one of them could not be resolved, or all are too long.
    pub lower: Option<Vec<u8>>,
    /// The upper directory.
    pub upper: Option<Vec<u8>>,
    /// The work directory.
    pub work: Option<Vec<u8>>,
}

/// The options of an overlay mount, as their text or as fsconfig(2) gives them.
#[derive(Debug, Default, Clone)]
pub struct Options {
    lower: Vec<Vec<u8>>,
    upper: Option<Vec<u8>>,
    work: Option<Vec<u8>>,
}

impl Options {
    /// Out of the text that mount(2) takes: `lowerdir=a:b,upperdir=c`, where a backslash protects.
    pub fn parse(text: &[u8]) -> Self {
        let mut options = Options::default();
        for option in split(text, b',') {
            if let Some(at) = option.iter().position(|b| *b == b'=') {
                let (key, value) = option.split_at(at);
                options.set(key, value.get(1..).unwrap_or_default());
            }
        }
        options
    }

    /// One option.
    pub fn set(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"lowerdir" => {
                // `::` sets data-only layers apart (Documentation/filesystems/overlayfs.rst).
                let layers = split(value, b':').into_iter().filter(|layer| !layer.is_empty());
                self.lower = layers.map(|layer| unescape(&layer)).take(LOWER_MAX).collect();
            }
            b"lowerdir+" | b"datadir+" if self.lower.len() < LOWER_MAX => {
                self.lower.push(value.to_vec());
            }
            b"upperdir" => self.upper = Some(unescape(value)),
            b"workdir" => self.work = Some(unescape(value)),
            _ => {}
        }
    }

    /// Without the names that count from a directory: where one is among the lower, there is no list.
    #[must_use]
    pub fn absolute_only(mut self) -> Self {
        let absolute = |name: &Vec<u8>| name.first() == Some(&b'/');
        if !self.lower.iter().all(absolute) {
            self.lower.clear();
        }
        self.upper = self.upper.filter(absolute);
        self.work = self.work.filter(absolute);
        self
    }

    /// The directories, through symlinks, as the process whose view this is names them.
    pub fn resolve(&self, view: &View, cwd: &[u8], known: &mut Known) -> Overlay {
        let mut lower = Some(Vec::new());
        for layer in &self.lower {
            match (&mut lower, known.resolve(view, cwd, layer)) {
                (Some(list), Some(path)) if list.len() + path.len() < LOWER_BYTES_MAX => {
                    list.extend_from_slice(&path);
                    list.push(0);
                }
                _ => lower = None,
            }
        }
        Overlay {
            lower: lower.filter(|list| !list.is_empty()),
            upper: self.upper.as_deref().and_then(|name| known.resolve_or_gone(view, cwd, name)),
            work: self.work.as_deref().and_then(|name| known.resolve_or_gone(view, cwd, name)),
        }
    }
}

/// Names of directories that were resolved before. An engine mounts a directory more than once and then removes it,
/// which on a loaded host may be over before the mount's event is read.
#[derive(Debug, Default)]
pub struct Known {
    /// Mount namespace and absolute name, to the directory it meant.
    names: HashMap<(u32, Vec<u8>), Vec<u8>>,
}

impl Known {
    /// What a name means now; where it is gone, what it meant when it was last looked at.
    fn resolve(&mut self, view: &View, cwd: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        let absolute =
            if name.first() == Some(&b'/') { name.to_vec() } else { [cwd, b"/", name].concat() };
        let key = (view.mntns, absolute);
        let Some(path) = view.resolve(cwd, name) else { return self.names.get(&key).cloned() };
        if self.names.len() >= KNOWN_MAX {
            self.names.clear();
        }
        self.names.insert(key, path.clone());
        Some(path)
    }

    /// [`Self::resolve`]; a directory that was gone before it was ever looked at keeps its name below the deepest
    /// parent that is still there. The kernel refuses a name that leads nowhere, so it was there when it was mounted.
    fn resolve_or_gone(&mut self, view: &View, cwd: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        if let Some(path) = self.resolve(view, cwd, name) {
            return Some(path);
        }
        let is_plain = |part: &[u8]| part != b"." && part != b"..";
        let mut parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
        let mut gone: Vec<&[u8]> = Vec::new();
        while let Some(part) = parts.pop().filter(|part| is_plain(part)) {
            gone.push(part);
            let mut parent = if name.first() == Some(&b'/') { b"/".to_vec() } else { Vec::new() };
            parent.extend_from_slice(&parts.join(&b'/'));
            if let Some(mut path) = view.resolve(cwd, &parent) {
                for part in gone.iter().rev() {
                    if path.last() != Some(&b'/') {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
                return Some(path);
            }
        }
        None
    }
}

/// Splits at `separator` where no backslash stands before it; the backslashes stay.
fn split(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        let last = parts.len() - 1;
        if *b == separator {
            parts.push(Vec::new());
            continue;
        }
        if let Some(part) = parts.get_mut(last) {
            part.push(*b);
            if *b == b'\\'
                && let Some(next) = bytes.next()
            {
                part.push(*next);
            }
        }
    }
    parts
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => out.extend(bytes.next()),
            b => out.push(*b),
        }
    }
    out
}

/// A process's view of the file system: a folder that stands for its root, and the mount namespace that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    root: PathBuf,
    mntns: u32,
}

impl View {
    /// The view of `pid`; if it is gone, of a process that shares its mount namespace. `None` where
    /// nobody is left to look through.
    pub fn of(pid: u32, ppid: u32, mntns: u32) -> Option<View> {
        // Who mounts is often gone before it is looked at. Two stay: we and, where we have a mount namespace of our own (as a
        // unit of systemd's), the host's first process.
        for (stays, root) in [("self", "/"), ("1", "/proc/1/root/")] {
            if ns_of(stays) == Some(mntns) && is_root_of(root, pid) != Some(false) {
                return Some(View { root: PathBuf::from(root), mntns });
            }
        }
        [pid, ppid].iter().find_map(|pid| {
            (ns_of(&pid.to_string()) == Some(mntns))
                .then(|| View { root: PathBuf::from(format!("/proc/{pid}/root")), mntns })
        })
    }

    fn outside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The directory that `name`, from `cwd`, means in this view, if it is there.
    pub fn resolve(&self, cwd: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        let mut done = PathBuf::from("/");
        let mut left: Vec<Vec<u8>> = Vec::new();
        push_names(&mut left, name);
        if name.first() != Some(&b'/') {
            push_names(&mut left, cwd);
        }
        let mut links = 0;
        while let Some(next) = left.pop() {
            match next.as_slice() {
                b"." => continue,
                b".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let step = done.join(std::ffi::OsStr::from_bytes(&next));
            let meta = fs::symlink_metadata(self.outside(&step)).ok()?;
            if !meta.is_symlink() {
                done = step;
                continue;
            }
            links += 1;
            if links > SYMLINKS_MAX {
                return None;
            }
            let target = fs::read_link(self.outside(&step)).ok()?;
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            push_names(&mut left, target.as_os_str().as_bytes());
        }
        let meta = fs::metadata(self.outside(&done)).ok()?;
        meta.is_dir().then(|| done.into_os_string().into_vec())
    }
}

/// Puts the names of `path` on the stack so that the first is popped first.
fn push_names(stack: &mut Vec<Vec<u8>>, path: &[u8]) {
    stack.extend(path.split(|b| *b == b'/').rev().filter(|n| !n.is_empty()).map(<[u8]>::to_vec));
}

/// Inode number of the mount namespace of a process.
pub fn ns_of(pid: &str) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().and_then(|meta| u32::try_from(meta.ino()).ok())
}

/// Whether a process has this root directory; `None` if it is gone.
fn is_root_of(root: &str, pid: u32) -> Option<bool> {
    let theirs = fs::metadata(format!("/proc/{pid}/root/")).ok()?;
    let ours = fs::metadata(root).ok()?;
    Some(theirs.dev() == ours.dev() && theirs.ino() == ours.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_apart_as_the_kernel_does() {
        let options =
            Options::parse(br"index=off,lowerdir=l/A:l/B\:c,upperdir=u\,p,workdir=w,userxattr");
        assert_eq!(options.lower, [b"l/A".to_vec(), b"l/B:c".to_vec()]);
        assert_eq!(options.upper.as_deref(), Some(&b"u,p"[..]));
        assert_eq!(options.work.as_deref(), Some(&b"w"[..]));
    }

    #[test]
    fn names_are_followed_through_symlinks_within_the_view() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["data/1/diff", "data/2/diff", "data/l"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let link = |target, name| std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        link("../1/diff", "data/l/AAA");
        link("/data/2/diff", "data/l/BBB");
        link("CCC", "data/l/CCC");
        let view = View { root: dir.path().to_owned(), mntns: 1 };
        let options = Options::parse(b"lowerdir=l/AAA:l/BBB,upperdir=/data/1/diff,workdir=gone");
        let mut known = Known::default();
        let overlay = options.resolve(&view, b"/data", &mut known);
        assert_eq!(overlay.lower.as_deref(), Some(&b"/data/1/diff\0/data/2/diff\0"[..]));
        assert_eq!(overlay.upper.as_deref(), Some(&b"/data/1/diff"[..]));
        assert_eq!(overlay.work.as_deref(), Some(&b"/data/gone"[..]));
        assert_eq!(view.resolve(b"/data/l", b"CCC"), None);
        let half = Options::parse(b"lowerdir=l/AAA:gone").resolve(&view, b"/data", &mut known);
        assert_eq!(half.lower, None);
    }

    #[test]
    fn a_directory_that_is_gone_keeps_the_name_it_had() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/1/diff")).unwrap();
        fs::create_dir_all(dir.path().join("data/l")).unwrap();
        std::os::unix::fs::symlink("../1/diff", dir.path().join("data/l/AAA")).unwrap();
        let view = View { root: dir.path().to_owned(), mntns: 1 };
        let options = Options::parse(b"lowerdir=/data/l/AAA,upperdir=/data/2/diff,workdir=/data/../x");
        let mut known = Known::default();
        let before = options.resolve(&view, b"/", &mut known);
        fs::remove_dir_all(dir.path().join("data/1")).unwrap();
        fs::remove_dir_all(dir.path().join("data/l")).unwrap();
        let after = options.resolve(&view, b"/", &mut known);
        assert_eq!(before.lower.as_deref(), Some(&b"/data/1/diff\0"[..]));
        assert_eq!(after.lower, before.lower);
        assert_eq!(after.upper.as_deref(), Some(&b"/data/2/diff"[..]));
        // Nothing is made of a name of a lower directory that was never seen: engines use symlinks there.
        assert_eq!(options.resolve(&view, b"/", &mut Known::default()).lower, None);
        // The same name in another mount namespace is another one.
        let elsewhere = View { mntns: 7, ..view };
        assert_eq!(options.resolve(&elsewhere, b"/", &mut known).lower, None);
    }
}
