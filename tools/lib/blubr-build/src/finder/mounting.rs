//! What engines and runtimes mount where: the trees of steps, and what lies in them.

use std::collections::HashSet;

use blubr_log::Name;
use blubr_log::event::{FileOpen, MountMount, MountUmount};

use crate::build::{Moment, MountPoint, ProcessKey};
use crate::path::{base, parent};
use crate::traces::{Overlay, Source, store_of};

use super::{Finder, MOUNT_POINTS_MAX, NAME_BYTES, READS_MAX, TRACES_MAX};

/// Stretches of work of an engine that are remembered.
const SEEN_MAX: usize = 1 << 16;
/// Further names of one directory.
const BINDS_MAX: usize = 256;
/// Descriptors of one process that only name a file.
const NAMED_MAX: usize = 64;
/// Directories that a helper opens to mount them: OVL_MAX_STACK (fs/overlayfs/params.h), and some more.
const LAYERS_NAMED_MAX: usize = 512;

/// Processes that serve one tree, and that mount it anew.
const SERVERS_MAX: usize = 1 << 8;

/// What an overlay is made of, as the host names it.
struct Layers {
    /// The topmost first.
    lowers: Vec<Vec<u8>>,
    upper: Option<Vec<u8>>,
    work: Option<Vec<u8>>,
}

impl Finder {
    /// Keeps what a descriptor names.
    pub(super) fn named(&mut self, key: ProcessKey, ret: Option<i64>, open: &FileOpen<'_>) {
        let (Some(fd), Some(path)) = (ret, self.host(key, open.path.get())) else { return };
        if self.named.len() >= READS_MAX && !self.named.contains_key(&key) {
            return;
        }
        let max = if self.opens_layers(key) { LAYERS_NAMED_MAX } else { NAMED_MAX };
        let named = self.named.entry(key).or_default();
        named.retain(|(known, _)| *known != fd);
        if named.len() >= max {
            named.remove(0);
        }
        named.push((fd, path));
    }

    /// Whether it is the helper of containers/storage (`mountOverlayFrom`) that opens layers whose names are longer than a page, and
    /// mounts them by its descriptors.
    pub(super) fn opens_layers(&self, key: ProcessKey) -> bool {
        let argv = self.tree.get(key).map(|process| process.argv.as_slice());
        argv.and_then(<[Vec<u8>]>::first).is_some_and(|name| name == b"storage-mountfrom")
    }

    /// Where something is mounted. runc opens the place inside the container's tree and mounts upon the descriptor, by a
    /// name below /proc.
    fn mount_target(&self, key: ProcessKey, target: &[u8]) -> Vec<u8> {
        let fd = [&b"/proc/self/fd/"[..], b"/proc/thread-self/fd/"]
            .into_iter()
            .find_map(|proc| std::str::from_utf8(target.strip_prefix(proc)?).ok()?.parse::<i64>().ok());
        let named = fd.and_then(|fd| self.named.get(&key)?.iter().find(|(known, _)| *known == fd));
        named.map_or_else(|| self.tree.host_path(key, target), |(_, path)| path.clone())
    }

    pub(super) fn mount(&mut self, key: ProcessKey, now: Moment, mntns: u32, mount: &MountMount<'_>) {
        let has = |flag: &[u8]| mount.flags.iter().any(|given| given == flag);
        let Some(target) = mount.target.get().map(|target| self.mount_target(key, target.bytes()))
        else {
            return;
        };
        if has(b"remount") {
            return;
        }
        // What is there goes on being what is seen, until it is unmounted.
        if has(b"beneath") {
            self.gaps.unclear(now.time);
            return;
        }
        // Below what, the recorder was too late to see; the log's own links may not say it all.
        if is_overlay(mount) && mount.lower.is_none() {
            self.gaps.unclear(now.time);
        }
        if let Some(layers) = self.served(key, mount, &target) {
            self.mount_served(key, now, mntns, target, layers);
            return;
        }
        if let Some(layers) = self.layers(key, mount, &target) {
            self.mount_overlay(self.mounts_for(key), now, mntns, target, layers);
            return;
        }
        let bind = has(b"bind");
        let changes_propagation =
            [&b"private"[..], b"slave", b"shared", b"unbindable"].into_iter().any(has);
        // Of a mount that another process made and handed over (crun's parent, in a user namespace), move_mount says where it is now.
        let handed_over = mount.flags.is_empty() && mount.fstype.is_none();
        if !bind && !handed_over && (changes_propagation || mount.fstype.is_none()) && !has(b"move") {
            return;
        }
        let source = self.host(key, mount.source.get()).filter(|_| bind);
        if target.starts_with(b"/proc/self/fd/") {
            // runc names by descriptor where it mounts; it stands in the container's tree then.
            if let Some(cwd) = self.host(key, mount.cwd.as_ref())
                && let Some(within) = self.mounts.within(&cwd)
            {
                self.mounted_into(within.overlay, source.as_deref());
            }
            return;
        }
        if let Some(within) = self.mounts.within(&target)
            && !within.rest.is_empty()
        {
            let (overlay, path) = (within.overlay, within.rest.to_vec());
            self.mount_into_tree(overlay, path, now, mntns, mount, source.as_deref());
            // An engine in a container has all its places in that container's tree.
            if self.makers.contains_key(&key)
                && let Some(source) = source
            {
                self.bind(key, now, mntns, source, target, has(b"ro"));
            }
        } else if let Some(source) = source {
            self.bind(key, now, mntns, source, target, has(b"ro"));
        }
    }

    /// Something is mounted into a step's tree, a directory of the host's or what has a source of its own.
    fn mount_into_tree(
        &mut self,
        overlay: usize,
        path: Vec<u8>,
        now: Moment,
        mntns: u32,
        mount: &MountMount<'_>,
        source: Option<&[u8]>,
    ) {
        let point = MountPoint {
            seq: now.seq,
            mntns,
            path,
            fstype: mount.fstype.as_ref().map(|fstype| fstype.bytes().to_vec()),
            source: mount.source.get().map(|source| source.bytes().to_vec()),
        };
        self.mounted_into(overlay, source);
        let names = [point.source.as_ref(), point.fstype.as_ref()].into_iter().flatten();
        if !self.keep(names.map(Vec::len).sum::<usize>() + point.path.len() + 2 * NAME_BYTES) {
            return;
        }
        let of = &mut self.overlays[overlay];
        self.mounts_full |= of.mounts.len() >= MOUNT_POINTS_MAX;
        if !self.mounts_full {
            of.mounts.push(point);
        }
    }

    /// A directory of the host's gets a further name there: a tree, a store's directory, or a context.
    fn bind(
        &mut self,
        key: ProcessKey,
        now: Moment,
        mntns: u32,
        source: Vec<u8>,
        target: Vec<u8>,
        read_only: bool,
    ) {
        // What is mounted read-only is copied from: it may be a context.
        self.confirm(&source, now);
        let is_other = source != target;
        if is_other && !read_only {
            self.used_as_tree(now, &source);
        }
        if let Some(within) = self.mounts.within(&source)
            && within.rest.is_empty()
            && is_other
        {
            let overlay = within.overlay;
            add_bind(&mut self.overlays[overlay].binds, &target);
            self.overlays[overlay].last = now;
        }
        if is_other
            && let Some(store) = store_of(&source)
            && self.tree.get(key).is_some_and(|process| process.root().is_none())
        {
            self.make(key, now, store);
            if let Some(maker) = self.makers.get_mut(&key)
                && maker.seen.len() < SEEN_MAX
            {
                maker.seen.push(now.seq);
            }
        }
        if let Some(&dir) = self.by_dir.get(&source)
            && is_other
        {
            add_bind(&mut self.dirs[dir].binds, &target);
            self.serves(dir, key);
        }
        self.mounts.bind(source, target, mntns);
    }

    /// What an overlay is made of that is a step's tree. In a container's tree one that lies in no store is a volume (of buildah).
    fn layers(&self, key: ProcessKey, mount: &MountMount<'_>, target: &[u8]) -> Option<Layers> {
        let upper = self.named_by(key, mount, mount.upper.as_ref(), b"upperdir=");
        let of_store = upper.as_ref().is_none_or(|upper| store_of(upper).is_some());
        let inside = self.mounts.within(target).is_some_and(|within| !within.rest.is_empty());
        if !of_store && inside {
            return None;
        }
        let work = self.named_by(key, mount, mount.work.as_ref(), b"workdir=");
        Some(Layers { lowers: self.lowers(key, mount)?, upper, work })
    }

    /// The engine for which a process mounts: one whose options are more than a page begins itself again for that
    /// (`storage-mountfrom`, `docker-mountfrom`).
    fn mounts_for(&self, key: ProcessKey) -> ProcessKey {
        let engine = || {
            let process = self.tree.get(key)?;
            let parent = process.parent.filter(|parent| self.makers.contains_key(parent))?;
            let again = process.exe.is_some() && self.tree.get(parent)?.exe == process.exe;
            (again && !self.is_of_step(key)).then_some(parent)
        };
        engine().unwrap_or(key)
    }

    /// A directory of an overlay: as the recorder resolved it, else, where it was too late for that, as the engine named it.
    fn named_by(
        &self,
        key: ProcessKey,
        mount: &MountMount<'_>,
        resolved: Option<&Name<'_>>,
        name: &[u8],
    ) -> Option<Vec<u8>> {
        let given = || option(mount, name).filter(|dir| dir.starts_with(b"/"));
        self.host(key, resolved).or_else(|| Some(self.tree.host_path(key, given()?)))
    }

    /// The directories below an overlay: as the recorder found them, or, where the engine had removed the short names
    /// before the recorder could look, as the log says what those stood for.
    fn lowers(&self, key: ProcessKey, mount: &MountMount<'_>) -> Option<Vec<Vec<u8>>> {
        if let Some(lowers) = &mount.lower {
            return Some(lowers.iter().map(|lower| self.tree.host_path(key, lower)).collect());
        }
        let given = option(mount, b"lowerdir=")?;
        let cwd = mount.cwd.as_ref().map(Name::bytes).unwrap_or_default();
        if cwd.starts_with(b"/proc/") && base(cwd) == b"fd" {
            let named = self.named.get(&key)?;
            let of = |fd: &[u8]| {
                let fd: i64 = std::str::from_utf8(fd).ok()?.parse().ok()?;
                named.iter().find(|(known, _)| *known == fd).map(|(_, path)| path.clone())
            };
            return given.split(|byte| *byte == b':').map(of).collect();
        }
        Some(given.split(|byte| *byte == b':').map(|lower| self.layer_named(key, cwd, lower)).collect())
    }

    /// A layer by the name that a mount has for it.
    fn layer_named(&self, key: ProcessKey, cwd: &[u8], name: &[u8]) -> Vec<u8> {
        let whole = if name.first() == Some(&b'/') { name.to_vec() } else { [cwd, b"/", name].concat() };
        let path = self.tree.host_path(key, &whole);
        self.short_names.get(&path).cloned().unwrap_or(path)
    }

    /// The layers of a tree that a process serves (FUSE), as fuse-overlayfs does: the kernel is told none, the process that
    /// mounts it has them among its arguments. Only a mount beside the upper directory, as engines lay it out, is believed.
    fn served(&self, key: ProcessKey, mount: &MountMount<'_>, target: &[u8]) -> Option<Layers> {
        mount.fstype.as_ref().filter(|fstype| fstype.bytes().starts_with(b"fuse"))?;
        let cwd = mount.cwd.as_ref().map(Name::bytes).unwrap_or_default();
        let process = self.tree.get(key)?;
        let given = |name: &[u8]| option_of(&process.argv, name);
        let upper = self.layer_named(key, cwd, given(b"upperdir=")?);
        let lowers = given(b"lowerdir=")?.split(|byte| *byte == b':');
        let layers = Layers {
            lowers: lowers.map(|lower| self.layer_named(key, cwd, lower)).collect(),
            work: given(b"workdir=").map(|work| self.layer_named(key, cwd, work)),
            upper: Some(upper.clone()),
        };
        (store_of(&upper).is_some() && parent(&upper) == parent(target)).then_some(layers)
    }

    /// What a process serves it does for the engine that began it; a step's own program may claim to, and so may one that is
    /// nothing of whose tree it names.
    fn mount_served(
        &mut self,
        key: ProcessKey,
        now: Moment,
        mntns: u32,
        target: Vec<u8>,
        layers: Layers,
    ) {
        let engine = self.tree.lineage(key).skip(1).map(|(ancestor, _)| ancestor);
        let Some(engine) = engine.into_iter().find(|ancestor| self.makers.contains_key(ancestor)) else {
            return;
        };
        let upper = layers.upper.clone().unwrap_or_default();
        let known = self.by_upper.get(&upper).map(|&overlay| self.overlays[overlay].maker);
        if self.is_of_step(key) || known.is_some_and(|maker| maker != engine) {
            return;
        }
        self.mount_overlay(engine, now, mntns, target, layers);
        if let Some(&overlay) = self.by_upper.get(&upper)
            && self.overlays[overlay].servers.len() < SERVERS_MAX
        {
            self.overlays[overlay].servers.push(key);
        }
    }

    /// What another step left is mounted into a container.
    fn mounted_into(&mut self, overlay: usize, source: Option<&[u8]>) {
        let from = source.and_then(|source| self.source_at(source));
        let from = from.filter(|from| *from != Source::Overlay(overlay));
        self.overlays[overlay].mounted.extend(from);
    }

    fn mount_overlay(
        &mut self,
        key: ProcessKey,
        now: Moment,
        mntns: u32,
        target: Vec<u8>,
        Layers { lowers, upper, work }: Layers,
    ) {
        let Some(upper) = upper else {
            if let Some(top) = lowers.into_iter().next()
                && self.views.len() < TRACES_MAX
            {
                if let Some(&overlay) = self.by_upper.get(&top) {
                    add_bind(&mut self.overlays[overlay].binds, &target);
                } else if let Some(&dir) = self.by_dir.get(&top) {
                    add_bind(&mut self.dirs[dir].binds, &target);
                }
                if self.keep(target.len() + top.len()) {
                    self.views.insert(target, top);
                }
            }
            return;
        };
        let Some(store) = store_of(&upper) else { return };
        if let Some(&known) = self.by_upper.get(&upper) {
            // Somebody else had mounted it before who made it did, and no more than that.
            let dir = self.by_dir.get(&upper).copied().filter(|dir| self.dirs[*dir].maker == key);
            if let Some(dir) = dir
                && self.overlays[known].maker != key
                && self.overlays[known].containers.is_empty()
                && self.overlays[known].writes.is_empty()
            {
                self.serves(dir, key);
                let before = &self.overlays[known].target;
                let binds = if *before == target { Vec::new() } else { vec![before.clone()] };
                self.mounts.overlay(target.clone(), known, mntns);
                let layers = Layers { lowers, upper: None, work };
                self.overlays[known] = Overlay { binds, ..mounted(key, now, target, upper, layers) };
                return;
            }
            let overlay = &mut self.overlays[known];
            if overlay.mounters.len() < SERVERS_MAX && !overlay.mounters.contains(&key) {
                overlay.mounters.push(key);
            }
            overlay.mounted_again = Some(now.seq);
            overlay.unmounted = None;
            overlay.last = now;
            if overlay.target != target {
                add_bind(&mut overlay.binds, &target);
            }
            self.mounts.overlay(target, known, mntns);
            self.hold(known);
            self.clients.engine_active(now);
            return;
        }
        // The steps have copies of these.
        let names = lowers.iter().chain([&upper, &target]).map(|name| 2 * (name.len() + NAME_BYTES));
        let names: usize = names.sum();
        if !self.room_for(key) || !self.keep(names) {
            return;
        }
        self.make(key, now, store);
        if let Some(&dir) = self.by_dir.get(&upper) {
            self.serves(dir, key);
        }
        let index = self.overlays.len();
        self.mounts.overlay(target.clone(), index, mntns);
        self.by_upper.insert(upper.clone(), index);
        let layers = Layers { lowers, upper: None, work };
        self.overlays.push(mounted(key, now, target, upper, layers));
        self.hold(index);
    }

    pub(super) fn umount(&mut self, key: ProcessKey, now: Moment, mntns: u32, umount: &MountUmount<'_>) {
        let Some(target) = self.host(key, umount.target.get()) else { return };
        self.views.remove(&target);
        if let Some(at) = self.mounts.umount(&target, mntns) {
            let overlay = &mut self.overlays[at];
            overlay.last = overlay.last.max(now);
            overlay.unmounted = Some(now.seq);
            self.let_go(at);
        }
    }
}

/// An overlay that has just been mounted.
fn mounted(maker: ProcessKey, now: Moment, target: Vec<u8>, upper: Vec<u8>, layers: Layers) -> Overlay {
    Overlay {
        maker,
        mounters: Vec::new(),
        work: layers.work,
        upper,
        lowers: layers.lowers,
        target,
        binds: Vec::new(),
        began: now,
        last: now,
        mounted_again: None,
        unmounted: None,
        removed: None,
        writes: Vec::new(),
        only_made: None,
        parts: Vec::new(),
        prepared: None,
        containers: Vec::new(),
        disputed: false,
        mounts: Vec::new(),
        sources: HashSet::new(),
        exported: Vec::new(),
        read_back: None,
        registered: None,
        mounted: HashSet::new(),
        exports: HashSet::new(),
        copied: Vec::new(),
        written: Vec::new(),
        helpers: Vec::new(),
        servers: Vec::new(),
        unpacked: false,
        whole: None,
        looked_into: None,
        entered: false,
        registers: Vec::new(),
    }
}

/// An option of an overlay, as its engine gave it.
fn option<'m>(mount: &'m MountMount<'_>, name: &[u8]) -> Option<&'m [u8]> {
    let options = mount.options.as_ref().filter(|_| is_overlay(mount))?.bytes();
    options.split(|byte| *byte == b',').find_map(|one| one.strip_prefix(name))
}

fn is_overlay(mount: &MountMount<'_>) -> bool {
    mount.fstype.as_ref().is_some_and(|fstype| fstype.bytes() == b"overlay")
}

/// What a mount option has among a program's arguments: in a list, behind `-o`.
fn option_of<'a>(argv: &'a [Vec<u8>], name: &[u8]) -> Option<&'a [u8]> {
    let options = argv.iter().flat_map(|word| {
        let list: &'a [u8] = word.strip_prefix(b"-o").unwrap_or(word);
        list.split(|byte| *byte == b',')
    });
    options.into_iter().find_map(|option| option.strip_prefix(name))
}

fn add_bind(binds: &mut Vec<Vec<u8>>, target: &[u8]) {
    if binds.len() < BINDS_MAX && !binds.iter().any(|known| known == target) {
        binds.push(target.to_vec());
    }
}
