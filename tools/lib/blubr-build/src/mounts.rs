//! What is mounted where, as far as builds need it: overlays, and the binds that give them further names.

use crate::nearest::Dirs;

/// Mounts that are remembered; a host has some thousands.
const MOUNTS_MAX: usize = 1 << 17;

/// Bytes of their names.
const NAMES_BYTES_MAX: usize = 48 << 20;

/// Binds of binds that are followed.
const BINDS_MAX: usize = 16;

enum Mounted {
    /// Index of the overlay.
    Overlay(usize),
    /// What was bound, as the host names it.
    Bind(Vec<u8>),
}

/// Mount points by the name that the host has for them.
///
/// Mounts of other namespaces stand in it too: engines choose names that do not come twice.
#[derive(Default)]
pub(crate) struct Mounts {
    at: Dirs<(Mounted, u32)>,
    /// Bytes of all names.
    bytes: usize,
    /// There were more than are remembered.
    pub(crate) overflowed: bool,
}

/// Bytes of a mount's names.
fn cost(target: &[u8], mounted: &Mounted) -> usize {
    target.len() + if let Mounted::Bind(source) = mounted { source.len() } else { 0 }
}

/// The overlay that a path lies in.
pub(crate) struct Within<'p> {
    pub(crate) overlay: usize,
    /// The path in its tree; empty for the root.
    pub(crate) rest: std::borrow::Cow<'p, [u8]>,
}

impl Mounts {
    pub(crate) fn overlay(&mut self, target: Vec<u8>, overlay: usize, mntns: u32) {
        self.put(target, Mounted::Overlay(overlay), mntns);
    }

    /// A bind on itself changes no name.
    pub(crate) fn bind(&mut self, source: Vec<u8>, target: Vec<u8>, mntns: u32) {
        if source != target {
            self.put(target, Mounted::Bind(source), mntns);
        }
    }

    fn put(&mut self, target: Vec<u8>, mounted: Mounted, mntns: u32) {
        self.forget(&target);
        let bytes = self.bytes + cost(&target, &mounted);
        if self.at.len() >= MOUNTS_MAX || bytes > NAMES_BYTES_MAX {
            self.overflowed = true;
            return;
        }
        self.bytes = bytes;
        self.at.insert(target, (mounted, mntns));
    }

    fn forget(&mut self, target: &[u8]) -> Option<Mounted> {
        let (mounted, _) = self.at.remove(target)?;
        self.bytes -= cost(target, &mounted);
        Some(mounted)
    }

    pub(crate) fn umount(&mut self, target: &[u8], mntns: u32) -> Option<usize> {
        if self.at.get(target).is_none_or(|(_, at)| *at != mntns) {
            return None;
        }
        match self.forget(target) {
            Some(Mounted::Overlay(overlay)) => Some(overlay),
            _ => None,
        }
    }

    /// The overlay in whose tree the path lies, through binds.
    pub(crate) fn within<'p>(&self, path: &'p [u8]) -> Option<Within<'p>> {
        let mut rest = std::borrow::Cow::Borrowed(path);
        for _ in 0..BINDS_MAX {
            let (dir, mounted) = self.at.nearest(&rest, |(mounted, _)| Some(mounted))?;
            match mounted {
                Mounted::Overlay(overlay) => {
                    let rest = match rest {
                        std::borrow::Cow::Borrowed(path) => std::borrow::Cow::Borrowed(&path[dir..]),
                        std::borrow::Cow::Owned(path) => std::borrow::Cow::Owned(path[dir..].to_vec()),
                    };
                    return Some(Within { overlay: *overlay, rest });
                }
                Mounted::Bind(source) => {
                    let mut moved = source.clone();
                    moved.extend_from_slice(&rest[dir..]);
                    rest = std::borrow::Cow::Owned(moved);
                }
            }
        }
        None
    }

    /// The bind that the path lies in.
    pub(crate) fn bind_above<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let is_bind = |(mounted, _): &(Mounted, u32)| matches!(mounted, Mounted::Bind(_)).then_some(());
        self.at.nearest(path, is_bind).map(|(length, ())| &path[..length])
    }

    /// Where the path lies when binds are followed; `None` when none has part in it.
    pub(crate) fn unbound(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut moved: Option<Vec<u8>> = None;
        for _ in 0..BINDS_MAX {
            let here = moved.as_deref().unwrap_or(path);
            let found = self.at.nearest(here, |(mounted, _)| match mounted {
                Mounted::Bind(source) => Some(source),
                Mounted::Overlay(_) => None,
            });
            let Some((dir, source)) = found else { break };
            let mut next = source.clone();
            next.extend_from_slice(&here[dir..]);
            moved = Some(next);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_found_through_binds() {
        let mut mounts = Mounts::default();
        mounts.overlay(b"/l/1/merged".to_vec(), 7, 1);
        mounts.bind(b"/l/1/merged".to_vec(), b"/x/rootfs".to_vec(), 1);
        mounts.bind(b"/x/rootfs".to_vec(), b"/x/rootfs".to_vec(), 2);
        let within = mounts.within(b"/x/rootfs/bin/sh").unwrap();
        assert_eq!((within.overlay, within.rest.as_ref()), (7, &b"/bin/sh"[..]));
        assert!(mounts.within(b"/l/1/merged2").is_none());
        assert_eq!(mounts.unbound(b"/x/rootfs/a"), Some(b"/l/1/merged/a".to_vec()));
        assert_eq!(mounts.bind_above(b"/x/rootfs/a"), Some(&b"/x/rootfs"[..]));
        assert_eq!(mounts.bind_above(b"/l/1/merged/a"), None, "an overlay is no bind");
        assert_eq!(mounts.umount(b"/l/1/merged", 2), None, "a copy of the mount, in another namespace");
        assert_eq!(mounts.umount(b"/l/1/merged", 1), Some(7));
        assert!(mounts.within(b"/x/rootfs").is_none());
    }

    #[test]
    fn binds_in_a_circle_end() {
        let mut mounts = Mounts::default();
        mounts.bind(b"/a".to_vec(), b"/b".to_vec(), 1);
        mounts.bind(b"/b".to_vec(), b"/a".to_vec(), 1);
        assert!(mounts.within(b"/a/x").is_none());
    }
}
