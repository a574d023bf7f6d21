//! Who works in which tree: containers, helpers, and the engines themselves.

use std::sync::Arc;

use blubr_log::{Body, Event, Name};

use crate::build::{Ended, FirstExec, Moment, ProcessKey};
use crate::export::Export;
use crate::groups::container_of;
use crate::traces::{Claim, Container, Entered, Maker, Source, Store};

use super::{Finder, NAME_BYTES, TRACES_MAX};

/// Helper processes of one step.
const HELPERS_MAX: usize = 1 << 12;
/// The shortest name in a control group's that counts as a container's id; Docker's have 64 digits.
const CONTAINER_ID_MIN: usize = 12;

impl Finder {
    pub(super) fn exec(&mut self, key: ProcessKey, now: Moment, event: &Event<'_>) {
        if let Some(&container) = self.by_init.get(&key) {
            let container = &mut self.containers[container];
            if container.first_exec.is_none() && !event.failed() {
                container.first_exec = first_exec(event);
            }
            return;
        }
        let Some(entered) = self.entered_by(key) else { return };
        let Some(claim) = self.claim(key, entered, event).filter(|_| entered.whole_tree) else { return };
        let (overlay, root, at) = (entered.overlay, entered.root.clone(), entered.at);
        if !self.room() || !self.prevails(key, overlay, claim) {
            return;
        }
        self.entered.remove(&key);
        self.helpers.remove(&key);
        self.overlays[overlay].helpers.retain(|helper| *helper != key);
        let container = self.contained(key, event, overlay, root, at, claim);
        let argv = container.first_exec.iter().flat_map(|exec| &exec.argv);
        if !self.keep(argv.map(|one| one.len() + NAME_BYTES).sum::<usize>() + container.root.len()) {
            return;
        }
        let container = self.with_preparation(container);
        let index = self.containers.len();
        self.containers.push(container);
        self.by_init.insert(key, index);
        self.inside.insert(key, index);
        let overlay = &mut self.overlays[overlay];
        overlay.containers.push(index);
        overlay.read_back = None;
        overlay.last = now;
    }

    /// The container that the process begins with the first program in its tree.
    fn contained(
        &mut self,
        key: ProcessKey,
        event: &Event<'_>,
        of: usize,
        root: Vec<u8>,
        at: Moment,
        claim: Claim,
    ) -> Container {
        let overlay = &self.overlays[of];
        let mut setup = Vec::new();
        let mut namespaces = vec![event.head.mntns];
        let mut setup_began = at;
        let mut by_maker = false;
        for (ancestor, process) in self.tree.lineage(key).skip(1) {
            if ancestor == overlay.maker || self.makers.contains_key(&ancestor) {
                by_maker = self.works_in(ancestor, of);
                break;
            }
            // What began before the overlay was mounted is no part of this step: containerd, an init.
            match process.forked {
                Some(forked) if forked.seq > overlay.began.seq => {
                    namespaces.push(process.mntns());
                    setup.push(ancestor);
                    setup_began = setup_began.min(forked);
                }
                _ => break,
            }
        }
        if let Some(forked) = self.tree.get(key).and_then(|process| process.forked)
            && forked.seq > overlay.began.seq
        {
            setup_began = setup_began.min(forked);
        }
        // What is mounted in the engine's own namespace is mounted for others too; and what runs in its control group has
        // none of its own.
        let engine = self.tree.get(overlay.maker);
        let outside = engine.map(|engine| engine.mntns());
        namespaces.retain(|mntns| Some(*mntns) != outside || *mntns == event.head.mntns);
        let own_group = engine.is_none_or(|engine| engine.cgroup_id != event.head.cgroup_id);
        let cgroup = event.head.cgroup.get().filter(|_| own_group);
        let cgroup = cgroup.map(|path| (event.head.cgroup_id, path.bytes().to_vec()));
        if let Some((_, path)) = &cgroup
            && let name = container_of(path)
            && name.len() >= CONTAINER_ID_MIN
        {
            self.by_group.insert(name.to_vec(), of);
        }
        Container {
            overlay: of,
            init: key,
            root,
            setup,
            setup_began,
            by_maker,
            claim,
            masked: false,
            mntns: event.head.mntns,
            namespaces,
            cgroup,
            first_exec: (!event.failed()).then(|| first_exec(event)).flatten(),
            ended: None,
        }
    }

    pub(super) fn exit(&mut self, key: ProcessKey, now: Moment, ended: Ended) {
        if let Some(container) = self.by_init.get(&key).map(|at| &mut self.containers[*at])
            && !container.masked
        {
            container.ended = Some((now, ended));
            let overlay = &mut self.overlays[container.overlay];
            overlay.read_back = None;
            overlay.last = overlay.last.max(now);
            if overlay.whole.is_some() {
                overlay.mounted_again = None;
            }
        }
        self.by_init.remove(&key);
        self.inside.remove(&key);
        self.named.remove(&key);
        if let Some(entered) = self.entered.remove(&key) {
            self.helper_ended(key, &entered);
        }
        self.helpers.remove(&key);
        if let Some(maker) = self.makers.get_mut(&key) {
            maker.ended = Some((now, ended));
        }
        self.clients.ended(key, now, ended);
    }

    pub(super) fn connect(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        let Some(path) = path else { return };
        if self.by_init.contains_key(&key)
            || self.helpers.contains_key(&key)
            || self.makers.contains_key(&key)
        {
            return;
        }
        let of_command = self.under_command(key);
        if let Some(process) = self.tree.get(key) {
            let inside = self.container_of(key);
            self.clients.connected(key, process, path.bytes(), now, of_command, inside);
        }
    }

    fn under_command(&self, key: ProcessKey) -> bool {
        self.command
            .is_some_and(|command| self.tree.lineage(key).any(|(ancestor, _)| ancestor == command))
    }

    /// Takes note that the process does what engines do.
    pub(super) fn make(&mut self, key: ProcessKey, now: Moment, store: Store) {
        self.clients.engine_active(now);
        if let Some(maker) = self.makers.get_mut(&key) {
            if maker.provisional {
                (maker.provisional, maker.store) = (false, store);
            }
            return;
        }
        if self.makers.len() >= TRACES_MAX {
            return;
        }
        let of_command = self.under_command(key);
        let Some(process) = self.tree.get(key) else { return };
        let mut outer = Vec::new();
        for (ancestor, other) in self.tree.lineage(key).skip(1) {
            let same = other.exe.is_some()
                && other.exe == process.exe
                && other.argv.get(1..) == process.argv.get(1..);
            if !same {
                break;
            }
            outer.push((ancestor, other.began));
        }
        let maker = Maker {
            uid: process.uid,
            argv: process.argv.clone(),
            argv_cut: process.argv_cut,
            cwd: process.cwd.clone(),
            began: process.began,
            ended: None,
            outer,
            store,
            of_command,
            provisional: false,
            export: Export::default(),
            seen: Vec::new(),
            servants: Vec::new(),
            inside: self.container_of(key),
        };
        self.makers.insert(key, maker);
    }

    /// The process put its root directory elsewhere: a runtime into a container's tree, or a helper of an engine
    /// into the directory that it is to read or write. Docker 24 and later has no helpers but threads for that.
    pub(super) fn enter(
        &mut self,
        key: ProcessKey,
        now: Moment,
        tid: u32,
        path: Option<&Name<'_>>,
        whole_namespace: bool,
    ) {
        let Some(root) = self.host(key, path) else { return };
        self.tree.set_root(key, Arc::from(root.as_slice()), whole_namespace);
        if self.is_of_step(key) {
            return;
        }
        let whole = self.used_as_tree(now, &root);
        let within = self.mounts.within(&root).map(|within| (within.overlay, within.rest.is_empty()));
        if within.is_some_and(|(overlay, _)| !self.may_work_in(key, Source::Overlay(overlay))) {
            return;
        }
        let is_thread = tid != key.pid && whole_namespace;
        let above = self.tree.lineage(key).skip(usize::from(!is_thread));
        let makers: Vec<ProcessKey> =
            above.map(|(ancestor, _)| ancestor).filter(|of| self.makers.contains_key(of)).collect();
        let maker = makers.first().copied();
        let of_tree = |overlay| makers.iter().copied().find(|maker| self.works_in(*maker, overlay));
        if let Some(overlay) = whole.filter(|overlay| of_tree(*overlay).is_some())
            && let Some(whole) = &mut self.overlays[overlay].whole
        {
            whole.entered = true;
        }
        if let Some((overlay, whole_tree)) = within {
            let maker = makers.into_iter().find(|maker| self.works_in(*maker, overlay));
            self.overlays[overlay].entered |= maker.is_some() && whole_tree;
            // What its own threads write is the engine's work like any other.
            if maker == Some(key) {
                return;
            }
            if let Some(maker) = maker {
                self.helpers.insert(key, maker);
                add_helper(&mut self.overlays[overlay].helpers, key);
            }
            let by_engine = maker.is_some();
            let entered = Entered {
                overlay,
                root,
                at: now,
                whole_tree,
                by_engine,
                wrote: None,
                only_made: None,
                places: Some(Vec::new()),
                removed: false,
                dated: None,
            };
            self.entered.insert(key, entered);
            return;
        }
        let maker = maker.or_else(|| match is_thread {
            true => self.thread_of_maker_to_be(key, now),
            false => self.maker_to_be(key, now, whole_namespace),
        });
        let Some(maker) = maker else { return };
        if maker != key {
            self.helpers.insert(key, maker);
        }
        let entered = match self.dir_above(&root) {
            Some(dir) => dir,
            None if self.heredocs_entered(maker, &root, now) => return,
            None if root != b"/" && self.room() => {
                self.add_dir(maker, root, now, false);
                self.dirs.len() - 1
            }
            None => return,
        };
        let path = self.dirs[entered].path.clone();
        self.confirm(&path, now);
        self.dirs[entered].by_helper = true;
        if maker != key {
            add_helper(&mut self.dirs[entered].helpers, key);
        }
    }

    /// Whether a tree is this engine's: it made the tree, began who did or was begun by it, or makes directories for it.
    /// Others do what engines do too (any mount of a directory called `diff`), which gives them nothing to do here.
    fn works_in(&self, maker: ProcessKey, overlay: usize) -> bool {
        let owner = self.overlays[overlay].maker;
        let is_above = |above, below| self.tree.lineage(below).any(|(ancestor, _)| ancestor == above);
        // A further buildah of a script mounts what an earlier one left (buildah from, run, run ...).
        let of_containers = self.makers.get(&maker).is_some_and(|made| made.store == Store::Containers);
        maker == owner
            || of_containers && self.overlays[overlay].mounters.contains(&maker)
            || is_above(maker, owner)
            || is_above(owner, maker)
            || self.masters.get(&maker).is_some_and(|masters| masters.contains_key(&owner))
    }

    /// The process left its root directory by one outside.
    pub(super) fn leave(&mut self, key: ProcessKey, path: Option<&Name<'_>>) {
        let Some(path) = path else { return };
        let root = self.tree.root_outside(key, path.bytes());
        self.tree.set_root(key, root, false);
    }

    /// What an engine made for its pivot_root(2) to put the old root at is no content of the directory, or of the tree.
    pub(super) fn set_aside(&mut self, key: ProcessKey, put_old: Option<&Name<'_>>) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(put_old) = self.host(key, put_old) else { return };
        match self.workplace(key, &put_old) {
            Some((Source::Dir(dir), _)) => {
                let dir = &mut self.dirs[dir];
                if dir.file_count == 0 && dir.first_write.is_some() && dir.first_write == dir.last_write
                {
                    (dir.first_write, dir.last_write) = (None, None);
                }
            }
            Some((Source::Overlay(overlay), _)) => {
                let overlay = &mut self.overlays[overlay];
                if overlay.only_made.as_ref() == Some(&put_old) && overlay.wrote_once().is_some() {
                    (overlay.writes, overlay.only_made) = (Vec::new(), None);
                    if let Some(whole) = &overlay.whole {
                        let dir = &mut self.dirs[whole.dir];
                        (dir.first_write, dir.last_write) = (None, None);
                    }
                }
            }
            None => {}
        }
    }

    /// Whether it is a step's own program, which may call chroot as it likes: that makes no helper of it, and no
    /// container. An engine that runs in a container has processes of its own below it.
    pub(super) fn is_of_step(&self, key: ProcessKey) -> bool {
        let of_engine = |(ancestor, _)| self.is_inside(ancestor) && self.makers.contains_key(&ancestor);
        self.is_inside(key) && !self.tree.lineage(key).any(of_engine)
    }

    /// The parent that runs the same program, of a process that has put its root into a directory: Docker unpacks a
    /// context so before it has made anything that shows it to be an engine. In a user namespace it calls chroot(2)
    /// instead; so do buildah's helpers, which the command began, where there is no context to unpack.
    fn maker_to_be(
        &mut self,
        key: ProcessKey,
        now: Moment,
        whole_namespace: bool,
    ) -> Option<ProcessKey> {
        let process = self.tree.get(key)?;
        let parent = process.parent?;
        let begun_anew = process.forked.is_some_and(|forked| forked < process.began);
        if !whole_namespace && (!begun_anew || self.under_command(key)) {
            return None;
        }
        let of_same_program = process.exe.is_some() && self.tree.get(parent)?.exe == process.exe;
        if !of_same_program {
            return None;
        }
        self.make(parent, now, Store::Daemon);
        if let Some(maker) = self.makers.get_mut(&parent) {
            maker.provisional = true;
        }
        Some(parent)
    }

    /// The process whose thread has pivoted into a directory: newer Docker does so where older starts itself again.
    fn thread_of_maker_to_be(&mut self, key: ProcessKey, now: Moment) -> Option<ProcessKey> {
        self.make(key, now, Store::Daemon);
        self.makers.get_mut(&key)?.provisional = true;
        Some(key)
    }
}

fn add_helper(helpers: &mut Vec<ProcessKey>, key: ProcessKey) {
    if helpers.len() < HELPERS_MAX {
        helpers.push(key);
    }
}

fn first_exec(event: &Event<'_>) -> Option<FirstExec> {
    let Body::ProcessExec(exec) = &event.body else { return None };
    if exec.exe.0.is_none() && exec.argv.0.is_none() {
        return None;
    }
    Some(FirstExec {
        seq: event.head.seq,
        exe: exec.exe.get().map(|exe| exe.bytes().to_vec()),
        argv: exec.argv.get().map(|argv| argv.iter().map(<[u8]>::to_vec).collect()).unwrap_or_default(),
        truncated: event.tail.is_cut("argv"),
        cwd: exec.cwd.get().map(|cwd| cwd.bytes().to_vec()),
    })
}
