//! Where in the build the paths of an event lie.

use std::sync::Arc;

use blubr_log::event::Dev;
use blubr_log::{Body, Event, Name};

use super::dirs::{Owned, Upon};
use super::roles::Role;
use super::{Area, Membership, Spot};
use crate::build::ProcessKey;
use crate::process::key_of;
use crate::traces::link_names;

impl Membership {
    /// Where in the build a path of the event lies that was classified last.
    pub fn spot(&self, event: &Event<'_>, path: &[u8]) -> Option<Spot> {
        let host = match names_outside(event) {
            true => path.to_vec(),
            false => self.resolved(event, path),
        };
        if names_outside(event) && self.owned(&host).is_none() {
            let run = Some(self.by_device(event)?);
            return Some(Spot { run, area: Area::Tree, path: host, mounted: None });
        }
        let (dir, mut owned) = self.owned(&host)?;
        // Who has its root in it sees the tree, with what is mounted there.
        if owned.whole && host != path {
            owned.area = Area::Tree;
        }
        let rest = host.get(dir..)?;
        let path = if rest.is_empty() { b"/".to_vec() } else { rest.to_vec() };
        // Several steps may share a tree (buildah): a process sees what is mounted in its own.
        let own = match self.roles.get(&key_of(&event.head)) {
            Some(Role::Container(run) | Role::Work(Some(run))) => Some(*run),
            _ => None,
        };
        let run =
            own.filter(|run| owned.run.is_some_and(|of| self.trees.is_same(*run, of))).or(owned.run);
        let points = run.and_then(|run| self.mounts.get(&run)).filter(|_| owned.area == Area::Tree);
        // Before it was mounted it is not there.
        let take = |upon: &Upon| (upon.since <= event.head.seq).then_some(upon.at);
        let mounted = points.and_then(|points| points.nearest(&path, take)).map(|(_, at)| at);
        let run = owned.run.map(|run| self.trees.settle(run, event.head.seq));
        Some(Spot { run, area: owned.area, path, mounted })
    }

    /// A path of the event that was classified last as the host names it. Of one that lies outside the process's root it is what
    /// the event has: it begins at the root of another's namespace, the host's or a container's. None where the file is in a
    /// step's tree and the path is none that leads there.
    pub fn host_path(&self, event: &Event<'_>, path: &[u8]) -> Option<Vec<u8>> {
        let outside = names_outside(event);
        let host = if outside { path.to_vec() } else { self.resolved(event, path) };
        let Some(run) = self.by_device(event).filter(|_| self.owned(&host).is_none()) else {
            return Some(host);
        };
        outside.then(|| crate::path::join(self.trees.root(run), path))
    }

    /// A path of the event as the container of `run` sees it, where it lies in that run's tree, upper directory or
    /// layer.
    pub fn container_path(&self, event: &Event<'_>, path: &[u8], run: u32) -> Option<Vec<u8>> {
        let spot = self.spot(event, path)?;
        let inside = matches!(spot.area, Area::Tree | Area::Upper | Area::Layer);
        (inside && spot.run == Some(run)).then_some(spot.path)
    }

    fn resolved(&self, event: &Event<'_>, path: &[u8]) -> Vec<u8> {
        let host = self.tree.host_path(key_of(&event.head), path);
        self.behind_proc(event, &host).unwrap_or(host)
    }

    /// What a name below another process's /proc/PID/root names. Only where the engine runs are processes numbered as in the
    /// log.
    fn behind_proc(&self, event: &Event<'_>, host: &[u8]) -> Option<Vec<u8>> {
        if !host.starts_with(b"/proc/") {
            return None;
        }
        self.at_home(event).then(|| self.tree.behind_proc(host)).flatten()
    }

    /// Whether an event happened in the mount namespace that the engine runs in.
    pub fn at_home(&self, event: &Event<'_>) -> bool {
        self.tree.get(self.engine).is_some_and(|engine| engine.mntns() == event.head.mntns)
    }

    /// The first of the build's directories that a path of the event lies in.
    pub(super) fn hit(&self, key: ProcessKey, event: &Event<'_>) -> Option<Owned> {
        let mut found = None;
        self.each_path(key, event, &mut |path| {
            if found.is_none() {
                found = self.owned(path).map(|(_, owned)| owned);
            }
        });
        found
    }

    pub(super) fn each_path(&self, key: ProcessKey, event: &Event<'_>, each: &mut dyn FnMut(&[u8])) {
        let process = self.tree.get(key).filter(|_| !names_outside(event));
        let root = process.and_then(|process| process.root()).map(|root| &**root);
        let mut one = |name: Option<&Name<'_>>| {
            if let Some(name) = name {
                match root {
                    None => match self.behind_proc(event, name.bytes()) {
                        None => each(name.bytes()),
                        Some(behind) => each(&behind),
                    },
                    Some(root) => each(&crate::path::join(Some(root), name.bytes())),
                }
            }
        };
        one(event.tail.fd_path.as_ref());
        match &event.body {
            Body::FileOpen(it) => one(it.path.get()),
            Body::FileClose(it) => one(it.path.get()),
            Body::FileMkdir(it) => one(it.path.get()),
            Body::FileMknod(it) => one(it.path.get()),
            Body::FileUnlink(it) => one(it.path.get()),
            Body::FileChmod(it) => one(it.path.get()),
            Body::FileChown(it) => one(it.path.get()),
            Body::FileTruncate(it) => one(it.path.get()),
            Body::FileSetxattr(it) => one(it.path.get()),
            Body::FileUtimes(it) => one(it.path.get()),
            Body::FileRename(it) => {
                one(it.path.get());
                one(it.to.get());
            }
            Body::FileLink(it) => {
                one(it.path.get());
                one(it.to.get());
            }
            Body::FileSymlink(it) => {
                one(it.path.get());
                if let (Some(path), Some(target)) = (it.path.get(), it.target.get())
                    && let Some(layer) = link_names(path.bytes(), target.bytes())
                {
                    one(Some(&Name::from(&layer[..])));
                }
            }
            Body::MountMount(it) => {
                one(it.target.get());
                one(it.source.get());
                one(it.upper.as_ref());
            }
            Body::MountUmount(it) => one(it.target.get()),
            Body::MountPivotRoot(it) => one(it.path.get()),
            Body::MountExists(it) => {
                one(it.target.get());
                one(it.upper.as_ref());
            }
            Body::FsChroot(it) => one(it.path.get()),
            _ => {}
        }
    }

    /// The length of the directory's name, and whose it is.
    pub(super) fn owned(&self, path: &[u8]) -> Option<(usize, Owned)> {
        if !path.starts_with(&self.prefix) {
            return None;
        }
        self.dirs.nearest(path, |owned| Some(*owned))
    }

    pub(super) fn move_root(&mut self, key: ProcessKey, event: &Event<'_>) {
        let (path, whole_namespace, apart) = match &event.body {
            Body::MountPivotRoot(pivot) => (pivot.path.get(), true, false),
            Body::FsChroot(chroot) => (chroot.path.get(), false, chroot.apart.0),
            _ => return,
        };
        // Whose root it is besides, or instead: some process or thread of the container's. One in a namespace of its own is told apart.
        let is_steps = matches!(self.roles.get(&key), Some(Role::Container(_)));
        self.lost_roots |= apart && is_steps && !self.tree.is_away(key);
        let Some(path) = path else { return };
        let root = match names_outside(event) && !whole_namespace {
            true => self.tree.root_outside(key, path.bytes()),
            false => Arc::from(self.resolved(event, path.bytes())),
        };
        let known = self.tree.set_root(key, root, whole_namespace);
        self.lost_roots |= !known && self.roles.contains_key(&key);
    }

    /// The run in whose tree a file is, by its device number, where the event has one: also where it was reached otherwise than
    /// by its name (through /proc/PID/root, say), or by a process of which it is not known where its names begin.
    pub(super) fn by_device(&self, event: &Event<'_>) -> Option<u32> {
        self.trees.with_device(device(event)?.1, event.head.seq).filter(|_| !event.failed())
    }

    /// Takes the device number of a container's tree from what its processes open in it.
    pub(super) fn learn_device(&mut self, event: &Event<'_>, run: u32) {
        if !self.trees.wants_device(run) || event.failed() || names_outside(event) {
            return;
        }
        let Some((path, dev)) = device(event) else { return };
        // overlayfs has no device of its own, and gets such a number.
        let in_tree = dev.major == 0
            && self.spot(event, path).is_some_and(|spot| {
                spot.run.is_some() && spot.area == Area::Tree && spot.mounted.is_none()
            });
        if in_tree {
            self.trees.is_device(run, dev);
        }
    }
}

/// Path and device number of a file that was opened, or closed after writing.
fn device<'e>(event: &'e Event<'_>) -> Option<(&'e [u8], Dev)> {
    match &event.body {
        Body::FileOpen(it) => Some((it.path.get()?.bytes(), it.dev?)),
        Body::FileClose(it) => Some((it.path.get()?.bytes(), it.dev?)),
        _ => None,
    }
}

/// Whether the event's paths lie outside its process's root directory (an inherited descriptor, a detached mount): they
/// begin at their file system's root, and are never the container's own.
pub fn names_outside(event: &Event<'_>) -> bool {
    event.tail.path_from.as_ref().is_some_and(|from| from.bytes() == b"outside")
}
