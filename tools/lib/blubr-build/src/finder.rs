//! Reads events in order and keeps what builds are made of: overlays, layers, contexts, containers, clients.
//!
//! What an engine does for one step, and why these traces of it are enough, stands with each kind of trace.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use blubr_dockerfile::Dockerfile;
use blubr_log::event::{FileClose, FileOpen, MountMount, MountUmount, OpenMode};
use blubr_log::{Body, Event, Header, Lost, Name};

use crate::build::{Builds, Ended, FirstExec, Moment, MountPoint, ProcessKey};
use crate::context::{Clients, ContextFile};
use crate::export::Export;
use crate::gaps::Gaps;
use crate::mounts::Mounts;
use crate::nearest::Dirs;
use crate::path::{base, parent};
use crate::process::{Tree, key_of, moment_of};

/// Overlays, layers and containers of one log that are remembered: some fifty thousand steps.
const TRACES_MAX: usize = 1 << 17;
/// Bytes of names that are remembered of them.
const NAMES_BYTES_MAX: usize = 192 << 20;
/// What a name takes besides its characters, in bytes: its place in a list, and an allocation.
const NAME_BYTES: usize = 48;
/// Mounts that are in containers, each counted in each container that has it: what is made of steps holds them so often.
const MOUNTED_MAX: usize = 1 << 18;
/// Pairs of a step and one below it.
const BELOW_MAX: usize = 1 << 24;
/// Files of one context that are remembered by name.
const CONTEXT_FILES_MAX: usize = 1 << 16;
/// Reads of a context's files that are remembered.
const CONTEXT_READS_MAX: usize = 1 << 12;
/// Files of one step's copy that are compared with contexts.
const COPIED_MAX: usize = 64;
/// Files read out of one overlay that are remembered.
const EXPORTS_MAX: usize = 1 << 10;
/// Stretches of work of an engine that are remembered.
const SEEN_MAX: usize = 1 << 16;
/// Further names of one directory.
const BINDS_MAX: usize = 256;
/// Helper processes of one step.
const HELPERS_MAX: usize = 1 << 12;
/// Layers that are put together in one.
const MERGED_MAX: usize = 256;
/// Mount points of one container.
const MOUNT_POINTS_MAX: usize = 4096;
/// Descriptors of one process that only name a file.
const NAMED_MAX: usize = 64;
/// The shortest name of a control group that counts as a container's id; Docker's have 64 digits.
const CONTAINER_ID_MIN: usize = 12;
/// Threads whose latest read is remembered.
const READS_MAX: usize = 1 << 14;

/// Why the builds of a log can't be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// More processes live at once than any host has.
    #[error(
        "more than {} processes at once, or {} MiB of their arguments, which no build host has",
        crate::PROCESSES_MAX,
        crate::process::NAMES_BYTES_MAX >> 20
    )]
    Processes,
    /// More steps than are remembered.
    #[error(
        "more than {TRACES_MAX} overlays, layers and containers in one log, or more than {} MiB of their names: cut it into shorter recordings",
        NAMES_BYTES_MAX >> 20
    )]
    Traces,
    /// More mounts than are remembered.
    #[error(
        "more than {MOUNT_POINTS_MAX} mounts in one container's tree, or more than {MOUNTED_MAX} in the containers of one log, which no build has"
    )]
    Mounts,
    /// More steps upon steps than are remembered.
    #[error(
        "its steps stand upon one another more than {BELOW_MAX} times: cut it into shorter recordings"
    )]
    Below,
}

/// An overlay mount of an engine: the tree of one step.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) maker: ProcessKey,
    pub(crate) upper: Vec<u8>,
    pub(crate) work: Option<Vec<u8>>,
    pub(crate) lowers: Vec<Vec<u8>>,
    pub(crate) target: Vec<u8>,
    pub(crate) binds: Vec<Vec<u8>>,
    pub(crate) began: Moment,
    pub(crate) last: Moment,
    /// Mounted again later: the classic builder does so to read what a step changed.
    pub(crate) mounted_again: Option<u64>,
    /// When its mount was last undone, since it was last made.
    pub(crate) unmounted: Option<u64>,
    /// When the engine last removed something of it: its upper directory, or notes on its container. The classic
    /// builder does so before it begins the next step.
    pub(crate) removed: Option<u64>,
    /// Writes into it by the engine and its helpers: first and last, by the gaps between containers.
    pub(crate) writes: Vec<Span>,
    pub(crate) containers: Vec<usize>,
    pub(crate) mounts: Vec<(u32, MountPoint)>,
    pub(crate) sources: HashSet<Source>,
    pub(crate) exported: Vec<u64>,
    /// As of [`Dir`].
    pub(crate) read_back: Option<u64>,
    /// When it was registered as a layer of an image.
    pub(crate) registered: Option<u64>,
    /// What was mounted into its containers (RUN --mount=from).
    pub(crate) mounted: HashSet<Source>,
    /// Names (below it) and sizes of the files that the engine read out of it.
    pub(crate) export_names: Vec<(Vec<u8>, u64)>,
    /// As of [`Dir`].
    pub(crate) copied: Vec<(usize, Vec<u8>)>,
    /// As of [`Dir`].
    pub(crate) written: Vec<(Vec<u8>, u64)>,
    /// Processes of the engine that put their root directory into it.
    pub(crate) helpers: Vec<ProcessKey>,
    /// As of [`Dir`].
    pub(crate) unpacked: bool,
}

impl Overlay {
    fn wrote(&mut self, span: Span) {
        self.read_back = None;
        self.last = self.last.max(span.last);
        match self.writes.last_mut().filter(|known| known.after == span.after) {
            Some(known) => {
                known.last = known.last.max(span.last);
                known.content |= span.content;
            }
            None => self.writes.push(span),
        }
    }
}

/// A stretch of writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: Moment,
    pub(crate) last: Moment,
    /// How many containers had been in the overlay when it began.
    pub(crate) after: usize,
    /// Something other than directories was made.
    pub(crate) content: bool,
}

/// A directory of an engine's store (or, of the classic builder, a temporary one for the context).
#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) maker: ProcessKey,
    pub(crate) path: Vec<u8>,
    /// In an engine's store; otherwise a place that a helper entered.
    pub(crate) in_store: bool,
    pub(crate) began: Moment,
    pub(crate) first_write: Option<Moment>,
    pub(crate) last_write: Option<Moment>,
    /// A helper process (docker-untar, storage-untar) wrote it, with this as its root directory.
    pub(crate) by_helper: bool,
    pub(crate) files: HashMap<Vec<u8>, ContextFile>,
    /// Its files that the engine read again, to copy them, and when.
    pub(crate) reads: Vec<(u64, Vec<u8>, u64)>,
    /// Files that were copied into it, each read by the thread that then wrote.
    pub(crate) copied: Vec<(usize, Vec<u8>)>,
    /// Names (below it) and sizes of files that a helper wrote into it.
    pub(crate) written: Vec<(Vec<u8>, u64)>,
    pub(crate) file_count: u64,
    /// A file of it was made, closed and then opened again to be filled: BuildKit does so with what a client sends, and a
    /// copy fills what it makes at once.
    pub(crate) received: bool,
    /// Where else it was mounted, read only, to be copied from.
    pub(crate) binds: Vec<Vec<u8>>,
    pub(crate) sources: HashSet<Source>,
    pub(crate) exported: Vec<u64>,
    /// When the engine first read in it after whoever made it what it is was done: an engine reads so what it puts
    /// into an image, or looks for in its cache.
    pub(crate) read_back: Option<u64>,
    /// When the engine removed it.
    pub(crate) removed: Option<u64>,
    pub(crate) votes: HashMap<ProcessKey, u64>,
    /// Processes of the engine that put their root directory into it.
    pub(crate) helpers: Vec<ProcessKey>,
    /// The name it had before the engine renamed it.
    pub(crate) former: Option<Vec<u8>>,
    /// An engine has mounted it.
    pub(crate) mounted: bool,
    /// A snapshotter unpacked a finished layer into it.
    pub(crate) unpacked: bool,
    /// What the engine put together in it by further links (BuildKit for COPY --link), in that order: it is the result of
    /// those, and no step.
    pub(crate) merged: Vec<Source>,
}

/// Where a copy was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Dir(usize),
    Overlay(usize),
}

/// A process that entered an overlay and ran a program there.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) overlay: usize,
    pub(crate) init: ProcessKey,
    pub(crate) root: Vec<u8>,
    pub(crate) setup: Vec<ProcessKey>,
    pub(crate) setup_began: Moment,
    pub(crate) by_maker: bool,
    pub(crate) mntns: u32,
    /// That and those that its runtime made on the way.
    pub(crate) namespaces: Vec<u32>,
    pub(crate) cgroup: Option<(u64, Vec<u8>)>,
    pub(crate) first_exec: Option<FirstExec>,
    pub(crate) ended: Option<(Moment, Ended)>,
}

/// A process whose root directory lies in an engine's tree, before it has run a program there.
struct Entered {
    overlay: usize,
    root: Vec<u8>,
    at: Moment,
    whole_tree: bool,
    /// What it wrote since: a runtime's own doings if it then runs a program, else a helper's.
    wrote: Option<Span>,
}

/// An engine, as far as it is one: a process that made layers or mounted overlays.
pub(crate) struct Maker {
    pub(crate) uid: u32,
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) began: Moment,
    pub(crate) ended: Option<(Moment, Ended)>,
    /// Its ancestors that run the same program with the same arguments (a rootless engine starts itself again).
    pub(crate) outer: Vec<(ProcessKey, Moment)>,
    pub(crate) store: Store,
    pub(crate) of_command: bool,
    /// It has only started itself again in a directory of its own, as the classic builder does to unpack a context;
    /// so do others.
    pub(crate) provisional: bool,
    /// What it puts into images.
    pub(crate) export: Export,
    /// Events that show it at work, such as a bind of a layer: the first of each stretch.
    pub(crate) seen: Vec<u64>,
    /// Processes that make directories for it.
    pub(crate) servants: Vec<ProcessKey>,
}

/// Whose layout the directories have that it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// `overlay2/<id>/diff` of Docker, `snapshots/<n>/fs` of containerd.
    Daemon,
    /// `overlay/<id>/diff` of containers/storage.
    Containers,
}

/// Finds the builds of a log.
pub struct Finder {
    pub(crate) tree: Tree,
    mounts: Mounts,
    pub(crate) overlays: Vec<Overlay>,
    by_upper: Dirs<usize>,
    pub(crate) dirs: Vec<Dir>,
    by_dir: Dirs<usize>,
    pub(crate) containers: Vec<Container>,
    by_init: HashMap<ProcessKey, usize>,
    /// Overlays by the name of the control group of a container in it, which is the container's id.
    by_group: HashMap<Vec<u8>, usize>,
    entered: HashMap<ProcessKey, Entered>,
    pub(crate) makers: HashMap<ProcessKey, Maker>,
    /// For each process that made directories: the engines that mounted them.
    masters: BTreeMap<ProcessKey, BTreeSet<ProcessKey>>,
    /// Children of engines that have put their root into a directory of it.
    helpers: HashMap<ProcessKey, ProcessKey>,
    /// Processes of containers: each first one and whatever descends from it.
    inside: HashSet<ProcessKey>,
    pub(crate) clients: Clients,
    /// What the short names of layers stand for.
    short_names: HashMap<Vec<u8>, Vec<u8>>,
    /// Read-only overlays (COPY --from): the topmost lower of each.
    views: Dirs<Vec<u8>>,
    /// What each thread of an engine read last.
    reads: HashMap<u32, (u64, Source, Vec<u8>)>,
    /// What descriptors of a process that only name a file (O_PATH) were opened on: runtimes mount upon those.
    named: HashMap<ProcessKey, Vec<(i64, Vec<u8>)>>,
    command_pid: Option<u32>,
    pub(crate) command: Option<ProcessKey>,
    pub(crate) last: Option<Moment>,
    /// First events of steps that a filter found to be shared with a build that it left out.
    pub(crate) shared: HashSet<u64>,
    /// What a client's Dockerfile is, where the user says it.
    pub(crate) dockerfile: Option<(ProcessKey, Dockerfile)>,
    /// Where events are missing: there, that something was not seen says nothing.
    pub(crate) gaps: Gaps,
    full: bool,
    /// Bytes of names that are remembered.
    kept: usize,
    /// More was mounted in a tree than is remembered.
    mounts_full: bool,
}

impl Finder {
    /// Begins with the header of the log.
    pub fn new(header: &Header) -> Self {
        Finder {
            tree: Tree::default(),
            mounts: Mounts::default(),
            overlays: Vec::new(),
            by_upper: Dirs::default(),
            dirs: Vec::new(),
            by_dir: Dirs::default(),
            containers: Vec::new(),
            by_init: HashMap::new(),
            by_group: HashMap::new(),
            entered: HashMap::new(),
            makers: HashMap::new(),
            masters: BTreeMap::new(),
            helpers: HashMap::new(),
            inside: HashSet::new(),
            clients: Clients::default(),
            short_names: HashMap::new(),
            views: Dirs::default(),
            reads: HashMap::new(),
            named: HashMap::new(),
            command_pid: header.command_pid,
            command: None,
            last: None,
            shared: shared_before(header),
            dockerfile: None,
            gaps: Gaps::of(header),
            full: false,
            kept: 0,
            mounts_full: false,
        }
    }

    /// Takes in the next event.
    pub fn observe(&mut self, event: &Event<'_>) {
        self.tree.observe(event);
        let key = key_of(&event.head);
        let now = moment_of(&event.head);
        self.last = Some(now);
        if self.command.is_none()
            && Some(key.pid) == self.command_pid
            && !matches!(event.body, Body::ProcessExists(_))
        {
            self.command = Some(key);
        }
        if let Body::ProcessExec(_) = event.body {
            self.exec(key, now, event);
        }
        if event.failed() {
            return;
        }
        if let Body::ProcessExec(_) = event.body {
            self.clients.execed(key);
        }
        match &event.body {
            Body::ProcessExists(_) => {
                if let Some(process) = self.tree.get(key) {
                    self.clients.existed(key, process, now);
                }
            }
            Body::ProcessFork(fork) if self.inside.contains(&key) => {
                self.inside.insert(ProcessKey { pid: fork.child_pid, start: fork.child_start });
            }
            Body::ProcessExit(exit) => {
                self.exit(key, now, Ended { code: exit.code, signal: exit.signal })
            }
            Body::MountMount(mount) => self.mount(key, now, event.head.mntns, mount),
            Body::MountUmount(umount) => self.umount(key, now, event.head.mntns, umount),
            Body::MountPivotRoot(pivot) => {
                self.set_aside(key, pivot.put_old.get());
                self.enter(key, now, event.head.tid, pivot.path.get(), true);
            }
            Body::FsChroot(chroot) => self.enter(key, now, event.head.tid, chroot.path.get(), false),
            Body::UnixConnect(connect) => self.connect(key, now, connect.path.get()),
            Body::FileSymlink(link) => {
                if let (Some(path), Some(target)) = (link.path.get(), link.target.get()) {
                    self.layer_link(key, now, path.bytes(), target.bytes());
                }
                self.touched(key, now, event.head.tid, link.path.get(), true);
            }
            Body::FileMkdir(mkdir) => {
                if let Some(path) = mkdir.path.get() {
                    self.snapshot_made(key, now, path.bytes());
                    if let Some(maker) = self.makers.get_mut(&key) {
                        maker.export.made(event.head.tid, path.bytes());
                    }
                }
                self.touched(key, now, event.head.tid, mkdir.path.get(), false);
            }
            Body::FileRename(rename) => {
                if let (Some(from), Some(to)) = (rename.path.get(), rename.to.get()) {
                    self.snapshot_renamed(key, from.bytes(), to.bytes());
                    if let Some(maker) = self.makers.get_mut(&key) {
                        maker.export.renamed(to.bytes(), now.seq);
                    }
                }
                self.touched(key, now, event.head.tid, rename.to.get(), true);
            }
            Body::FileOpen(open) => {
                if open.mode == OpenMode::Path {
                    self.named(key, event.tail.ret, open);
                }
                self.open(key, now, event.head.tid, open);
            }
            Body::FileClose(close) => self.close(key, now, close),
            Body::FileUnlink(unlink) if unlink.directory.0 => self.removed(key, now, unlink.path.get()),
            Body::FileMknod(mknod) => self.touched(key, now, event.head.tid, mknod.path.get(), true),
            Body::FileLink(link) => {
                self.touched(key, now, event.head.tid, link.to.get(), true);
                self.merged(key, link.path.get(), link.to.get());
            }
            _ => {}
        }
    }

    /// Takes it from the user what the Dockerfile of this client's build is.
    pub fn told(&mut self, client: ProcessKey, dockerfile: Dockerfile) {
        self.dockerfile = Some((client, dockerfile));
    }

    /// Takes note that events were lost.
    pub fn lost(&mut self, lost: &Lost) {
        self.gaps.add(lost);
    }

    /// The builds, once every event has been taken in.
    ///
    /// # Errors
    /// When the log holds more than can be held in memory.
    pub fn finish(mut self) -> Result<Builds, FindError> {
        if self.tree.overflowed {
            return Err(FindError::Processes);
        }
        if self.full {
            return Err(FindError::Traces);
        }
        if self.mounts_full || self.mounts.overflowed || self.mounted() > MOUNTED_MAX {
            return Err(FindError::Mounts);
        }
        if self.upon_one_another() > BELOW_MAX {
            return Err(FindError::Below);
        }
        self.adopt();
        Ok(crate::owner::assign(self))
    }

    /// The mounts of all containers together.
    fn mounted(&self) -> usize {
        let of_overlay = |overlay: &Overlay| {
            let mut in_namespace: HashMap<u32, usize> = HashMap::new();
            for (mntns, _) in &overlay.mounts {
                *in_namespace.entry(*mntns).or_default() += 1;
            }
            let of_container = |at: &usize| {
                let namespaces: BTreeSet<u32> =
                    self.containers[*at].namespaces.iter().copied().collect();
                namespaces.iter().filter_map(|mntns| in_namespace.get(mntns)).sum::<usize>()
            };
            overlay.containers.iter().map(of_container).sum::<usize>()
        };
        self.overlays.iter().filter(|overlay| !overlay.mounts.is_empty()).map(of_overlay).sum()
    }

    /// How many pairs there are, at most, of a step and one below it: steps in one tree, and those of the trees below.
    fn upon_one_another(&self) -> usize {
        // Between two containers the client may have written; a directory without an overlay is one step.
        let steps = |overlay: &Overlay| 2 * overlay.containers.len() + 1;
        let below = |lower: &Vec<u8>| {
            self.by_upper.get(lower).map_or(1, |at| self.overlays.get(*at).map_or(1, steps))
        };
        let of_overlay = |overlay: &Overlay| {
            let lowers = overlay.lowers.iter().map(below).fold(0_usize, usize::saturating_add);
            steps(overlay).saturating_mul(steps(overlay).saturating_add(lowers))
        };
        self.overlays.iter().map(of_overlay).fold(0, usize::saturating_add)
    }

    /// The index of an upper directory's overlay.
    pub(crate) fn overlay_of(&self, upper: &[u8]) -> Option<usize> {
        self.by_upper.get(upper).copied()
    }

    /// A directory of an engine's store.
    pub(crate) fn dir_of(&self, path: &[u8]) -> Option<&Dir> {
        self.by_dir.get(path).map(|dir| &self.dirs[*dir])
    }

    fn host(&self, key: ProcessKey, path: Option<&Name<'_>>) -> Option<Vec<u8>> {
        path.map(|path| self.tree.host_path(key, path.bytes()))
    }

    fn room(&mut self) -> bool {
        self.full |= self.overlays.len() + self.dirs.len() + self.containers.len() >= TRACES_MAX;
        !self.full
    }

    /// Takes room for names; `false` when there is none.
    fn keep(&mut self, bytes: usize) -> bool {
        self.kept += bytes + NAME_BYTES;
        self.full |= self.kept > NAMES_BYTES_MAX;
        !self.full
    }

    // ---- processes

    fn exec(&mut self, key: ProcessKey, now: Moment, event: &Event<'_>) {
        if let Some(&container) = self.by_init.get(&key) {
            let container = &mut self.containers[container];
            if container.first_exec.is_none() && !event.failed() {
                container.first_exec = first_exec(event);
            }
            return;
        }
        let Some(entered) = self.entered_by(key) else { return };
        if !entered.whole_tree {
            return;
        }
        let (overlay, root, at) = (entered.overlay, entered.root.clone(), entered.at);
        if !self.room() {
            return;
        }
        self.entered.remove(&key);
        self.helpers.remove(&key);
        self.overlays[overlay].helpers.retain(|helper| *helper != key);
        let container = self.contained(key, event, overlay, root, at);
        let argv = container.first_exec.iter().flat_map(|exec| &exec.argv);
        if !self.keep(argv.map(|one| one.len() + NAME_BYTES).sum::<usize>() + container.root.len()) {
            return;
        }
        let index = self.containers.len();
        self.containers.push(container);
        self.by_init.insert(key, index);
        self.inside.insert(key);
        let overlay = &mut self.overlays[overlay];
        overlay.containers.push(index);
        overlay.read_back = None;
        overlay.last = now;
    }

    /// The entry into a tree whose first program a process is about to run: its own; or its parent's that had entered it
    /// before, as buildah's chroot isolation does. A helper (docker-untar, buildah's copier) enters and runs none.
    fn entered_by(&self, key: ProcessKey) -> Option<&Entered> {
        if let Some(own) = self.entered.get(&key) {
            return Some(own);
        }
        let process = self.tree.get(key)?;
        let of_parent = self.entered.get(&process.parent?)?;
        (process.forked?.seq > of_parent.at.seq).then_some(of_parent)
    }

    /// The container that the process begins with the first program in its tree.
    fn contained(
        &mut self,
        key: ProcessKey,
        event: &Event<'_>,
        of: usize,
        root: Vec<u8>,
        at: Moment,
    ) -> Container {
        let overlay = &self.overlays[of];
        let mut setup = Vec::new();
        let mut namespaces = vec![event.head.mntns];
        let mut setup_began = at;
        let mut by_maker = false;
        for (ancestor, process) in self.tree.lineage(key).skip(1) {
            if ancestor == overlay.maker || self.makers.contains_key(&ancestor) {
                by_maker = true;
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
            && base(path).len() >= CONTAINER_ID_MIN
        {
            self.by_group.insert(base(path).to_vec(), of);
        }
        Container {
            overlay: of,
            init: key,
            root,
            setup,
            setup_began,
            by_maker,
            mntns: event.head.mntns,
            namespaces,
            cgroup,
            first_exec: (!event.failed()).then(|| first_exec(event)).flatten(),
            ended: None,
        }
    }

    fn exit(&mut self, key: ProcessKey, now: Moment, ended: Ended) {
        if let Some(&container) = self.by_init.get(&key) {
            let container = &mut self.containers[container];
            container.ended = Some((now, ended));
            let overlay = &mut self.overlays[container.overlay];
            overlay.read_back = None;
            overlay.last = overlay.last.max(now);
        }
        self.by_init.remove(&key);
        self.inside.remove(&key);
        self.named.remove(&key);
        if let Some(entered) = self.entered.remove(&key)
            && let Some(span) = entered.wrote
        {
            self.overlays[entered.overlay].wrote(span);
        }
        self.helpers.remove(&key);
        if let Some(maker) = self.makers.get_mut(&key) {
            maker.ended = Some((now, ended));
        }
        self.clients.ended(key, now, ended);
    }

    fn connect(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        let Some(path) = path else { return };
        if self.by_init.contains_key(&key)
            || self.helpers.contains_key(&key)
            || self.makers.contains_key(&key)
        {
            return;
        }
        let of_command = self.under_command(key);
        if let Some(process) = self.tree.get(key) {
            self.clients.connected(key, process, path.bytes(), now, of_command);
        }
    }

    fn under_command(&self, key: ProcessKey) -> bool {
        self.command
            .is_some_and(|command| self.tree.lineage(key).any(|(ancestor, _)| ancestor == command))
    }

    /// Takes note that the process does what engines do.
    fn make(&mut self, key: ProcessKey, now: Moment, store: Store) {
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
        };
        self.makers.insert(key, maker);
    }

    // ---- engines in two processes

    /// Takes note that an engine mounts a directory which another process made for it: a snapshotter, as containerd is.
    fn serves(&mut self, dir: usize, engine: ProcessKey) {
        self.dirs[dir].mounted = true;
        let made_by = self.dirs[dir].maker;
        if made_by != engine && !self.helpers.contains_key(&engine) && self.makers.contains_key(&engine)
        {
            self.masters.entry(made_by).or_default().insert(engine);
        }
    }

    /// What a snapshotter made for one engine alone is that engine's. Where it serves two, whose a directory is that
    /// nobody mounted is not known, and it stays the snapshotter's.
    fn adopt(&mut self) {
        let mut adopted: Vec<(ProcessKey, ProcessKey)> = Vec::new();
        for (servant, masters) in &self.masters {
            let only = masters.iter().next().filter(|_| masters.len() == 1);
            let Some(&engine) = only.filter(|engine| !self.masters.contains_key(engine)) else {
                continue;
            };
            adopted.push((*servant, engine));
        }
        for (servant, engine) in adopted {
            // What it fills itself is a finished layer that it unpacks: the engine's steps are written by the engine.
            for dir in self.dirs.iter_mut().filter(|dir| dir.maker == servant) {
                (dir.maker, dir.unpacked) = (engine, !dir.mounted);
            }
            for overlay in self.overlays.iter_mut().filter(|overlay| overlay.maker == servant) {
                (overlay.maker, overlay.unpacked) = (engine, true);
            }
            self.makers.remove(&servant);
            if let Some(maker) = self.makers.get_mut(&engine) {
                maker.servants.push(servant);
            }
        }
    }

    // ---- mounts

    /// Keeps what a descriptor names.
    fn named(&mut self, key: ProcessKey, ret: Option<i64>, open: &FileOpen<'_>) {
        let (Some(fd), Some(path)) = (ret, self.host(key, open.path.get())) else { return };
        if self.named.len() >= READS_MAX && !self.named.contains_key(&key) {
            return;
        }
        let named = self.named.entry(key).or_default();
        named.retain(|(known, _)| *known != fd);
        if named.len() >= NAMED_MAX {
            named.remove(0);
        }
        named.push((fd, path));
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

    fn mount(&mut self, key: ProcessKey, now: Moment, mntns: u32, mount: &MountMount<'_>) {
        let has = |flag: &[u8]| mount.flags.iter().any(|given| given == flag);
        let Some(target) = mount.target.get().map(|target| self.mount_target(key, target.bytes()))
        else {
            return;
        };
        if has(b"remount") {
            return;
        }
        // Below what, the recorder was too late to see; the log's own links may not say it all.
        let overlay = mount.fstype.as_ref().is_some_and(|fstype| fstype.bytes() == b"overlay");
        if overlay && mount.lower.is_none() {
            self.gaps.unclear(now.time);
        }
        // In a container's tree one that lies in no store is a volume (of buildah).
        let of_store =
            self.host(key, mount.upper.as_ref()).is_none_or(|upper| store_of(&upper).is_some());
        let inside = self.mounts.within(&target).is_some_and(|within| !within.rest.is_empty());
        if (of_store || !inside)
            && let Some(lowers) = self.lowers(key, mount)
        {
            self.mount_overlay(key, now, mntns, target, mount, lowers);
            return;
        }
        let bind = has(b"bind");
        let changes_propagation =
            [&b"private"[..], b"slave", b"shared", b"unbindable"].into_iter().any(has);
        if !bind && (changes_propagation || mount.fstype.is_none()) && !has(b"move") {
            return;
        }
        let source = self.host(key, mount.source.get());
        if target.starts_with(b"/proc/self/fd/") {
            // runc names by descriptor where it mounts; it stands in the container's tree then.
            if let Some(cwd) = self.host(key, mount.cwd.as_ref())
                && let Some(within) = self.mounts.within(&cwd)
            {
                self.mounted_into(within.overlay, source.filter(|_| bind).as_deref());
            }
            return;
        }
        if let Some(within) = self.mounts.within(&target)
            && !within.rest.is_empty()
        {
            let (overlay, path) = (within.overlay, within.rest.to_vec());
            let point = MountPoint {
                path,
                fstype: mount.fstype.as_ref().map(|fstype| fstype.bytes().to_vec()),
                source: mount.source.get().map(|source| source.bytes().to_vec()),
            };
            self.mounted_into(overlay, source.filter(|_| bind).as_deref());
            let names = [point.source.as_ref(), point.fstype.as_ref()].into_iter().flatten();
            if !self.keep(names.map(Vec::len).sum::<usize>() + point.path.len() + 2 * NAME_BYTES) {
                return;
            }
            let of = &mut self.overlays[overlay];
            self.mounts_full |= of.mounts.len() >= MOUNT_POINTS_MAX;
            if !self.mounts_full {
                of.mounts.push((mntns, point));
            }
            return;
        }
        let Some(source) = source.filter(|_| bind) else { return };
        if let Some(within) = self.mounts.within(&source)
            && within.rest.is_empty()
            && source != target
        {
            let overlay = within.overlay;
            add_bind(&mut self.overlays[overlay].binds, &target);
            self.overlays[overlay].last = now;
        }
        if source != target
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
            && source != target
        {
            add_bind(&mut self.dirs[dir].binds, &target);
            self.serves(dir, key);
        }
        self.mounts.bind(source, target, mntns);
    }

    /// The directories below an overlay: as the recorder found them, or, where the engine had removed the short names
    /// before the recorder could look, as the log says what those stood for.
    fn lowers(&self, key: ProcessKey, mount: &MountMount<'_>) -> Option<Vec<Vec<u8>>> {
        if let Some(lowers) = &mount.lower {
            return Some(lowers.iter().map(|lower| self.tree.host_path(key, lower)).collect());
        }
        let is_overlay = mount.fstype.as_ref().is_some_and(|fstype| fstype.bytes() == b"overlay");
        let options = mount.options.as_ref().filter(|_| is_overlay)?.bytes();
        let given =
            options.split(|byte| *byte == b',').find_map(|one| one.strip_prefix(b"lowerdir="))?;
        let cwd = mount.cwd.as_ref().map(Name::bytes).unwrap_or_default();
        let named = given.split(|byte| *byte == b':').map(|lower| {
            let whole =
                if lower.first() == Some(&b'/') { lower.to_vec() } else { [cwd, b"/", lower].concat() };
            let path = self.tree.host_path(key, &whole);
            self.short_names.get(&path).cloned().unwrap_or(path)
        });
        Some(named.collect())
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
        mount: &MountMount<'_>,
        lowers: Vec<Vec<u8>>,
    ) {
        let Some(upper) = self.host(key, mount.upper.as_ref()) else {
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
            let overlay = &mut self.overlays[known];
            overlay.mounted_again = Some(now.seq);
            overlay.unmounted = None;
            overlay.last = now;
            if overlay.target != target {
                add_bind(&mut overlay.binds, &target);
            }
            self.mounts.overlay(target, known, mntns);
            self.clients.engine_active(now);
            return;
        }
        // The steps have copies of these.
        let names = lowers.iter().chain([&upper, &target]).map(|name| 2 * (name.len() + NAME_BYTES));
        if !self.room() || !self.keep(names.sum()) {
            return;
        }
        self.make(key, now, store);
        if let Some(&dir) = self.by_dir.get(&upper) {
            self.serves(dir, key);
        }
        let index = self.overlays.len();
        self.mounts.overlay(target.clone(), index, mntns);
        self.by_upper.insert(upper.clone(), index);
        self.overlays.push(Overlay {
            maker: key,
            work: self.host(key, mount.work.as_ref()),
            upper,
            lowers,
            target,
            binds: Vec::new(),
            began: now,
            last: now,
            mounted_again: None,
            unmounted: None,
            removed: None,
            writes: Vec::new(),
            containers: Vec::new(),
            mounts: Vec::new(),
            sources: HashSet::new(),
            exported: Vec::new(),
            read_back: None,
            registered: None,
            mounted: HashSet::new(),
            export_names: Vec::new(),
            copied: Vec::new(),
            written: Vec::new(),
            helpers: Vec::new(),
            unpacked: false,
        });
    }

    fn umount(&mut self, key: ProcessKey, now: Moment, mntns: u32, umount: &MountUmount<'_>) {
        let Some(target) = self.host(key, umount.target.get()) else { return };
        self.views.remove(&target);
        if let Some(overlay) = self.mounts.umount(&target, mntns) {
            let overlay = &mut self.overlays[overlay];
            overlay.last = overlay.last.max(now);
            overlay.unmounted = Some(now.seq);
        }
    }

    /// The process put its root directory elsewhere: a runtime into a container's tree, or a helper of an engine
    /// into the directory that it is to read or write. Docker 24 and later has no helpers but threads for that.
    fn enter(
        &mut self,
        key: ProcessKey,
        now: Moment,
        tid: u32,
        path: Option<&Name<'_>>,
        whole_namespace: bool,
    ) {
        let Some(root) = self.host(key, path) else { return };
        let within = self.mounts.within(&root).map(|within| (within.overlay, within.rest.is_empty()));
        self.tree.set_root(key, Arc::from(root.as_slice()), whole_namespace);
        if self.is_of_step(key) {
            return;
        }
        let is_thread = tid != key.pid && whole_namespace;
        let maker = self
            .tree
            .lineage(key)
            .skip(usize::from(!is_thread))
            .find_map(|(ancestor, _)| self.makers.contains_key(&ancestor).then_some(ancestor));
        if let Some((overlay, whole_tree)) = within {
            // What its own threads write is the engine's work like any other.
            if maker == Some(key) {
                return;
            }
            if let Some(maker) = maker {
                self.helpers.insert(key, maker);
                add_helper(&mut self.overlays[overlay].helpers, key);
            }
            self.entered.insert(key, Entered { overlay, root, at: now, whole_tree, wrote: None });
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
            None if root != b"/" && self.room() => {
                self.add_dir(maker, root, now, false);
                self.dirs.len() - 1
            }
            None => return,
        };
        self.dirs[entered].by_helper = true;
        if maker != key {
            add_helper(&mut self.dirs[entered].helpers, key);
        }
    }

    /// What was made for pivot_root(2) to put the old root at is no content of the directory.
    fn set_aside(&mut self, key: ProcessKey, put_old: Option<&Name<'_>>) {
        let Some(put_old) = self.host(key, put_old) else { return };
        let Some((Source::Dir(dir), _)) = self.place(&put_old) else { return };
        let dir = &mut self.dirs[dir];
        if dir.file_count == 0 && dir.first_write.is_some() && dir.first_write == dir.last_write {
            (dir.first_write, dir.last_write) = (None, None);
        }
    }

    /// Whether it is a step's own program, which may call chroot as it likes: that makes no helper of it, and no
    /// container. An engine that runs in a container has processes of its own below it.
    fn is_of_step(&self, key: ProcessKey) -> bool {
        let of_engine =
            |(ancestor, _)| self.inside.contains(&ancestor) && self.makers.contains_key(&ancestor);
        self.inside.contains(&key) && !self.tree.lineage(key).any(of_engine)
    }

    /// The parent that runs the same program, of a process that has pivoted into a directory: Docker unpacks a
    /// context so before it has made anything that shows it to be an engine.
    fn maker_to_be(
        &mut self,
        key: ProcessKey,
        now: Moment,
        whole_namespace: bool,
    ) -> Option<ProcessKey> {
        let process = self.tree.get(key).filter(|_| whole_namespace)?;
        let parent = process.parent?;
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

    // ---- directories of engines

    /// `<store>/l/<short name>` -> `../<id>/diff`: how Docker's overlay2 and containers/storage begin a layer.
    fn layer_link(&mut self, key: ProcessKey, now: Moment, path: &[u8], target: &[u8]) {
        if let Some(layer) = link_names(path, target) {
            let layer = self.tree.host_path(key, &layer);
            if self.short_names.len() < TRACES_MAX && self.keep(path.len() + layer.len()) {
                self.short_names.insert(self.tree.host_path(key, path), layer.clone());
            }
            self.layer_made(key, now, layer);
        }
    }

    /// `<root>/snapshots/new-<random>/fs`: how containerd's overlay snapshotter begins a layer.
    fn snapshot_made(&mut self, key: ProcessKey, now: Moment, path: &[u8]) {
        let store = parent(path).and_then(parent);
        if base(path) == b"fs" && store.is_some_and(|store| base(store) == b"snapshots") {
            self.layer_made(key, now, self.tree.host_path(key, path));
        }
    }

    /// `<root>/snapshots/new-<random>` becomes `<root>/snapshots/<n>`.
    fn snapshot_renamed(&mut self, key: ProcessKey, from: &[u8], to: &[u8]) {
        if !base(from).starts_with(b"new-") {
            return;
        }
        let before = [&self.tree.host_path(key, from)[..], b"/fs"].concat();
        if let Some(dir) = self.by_dir.remove(&before) {
            let path = [&self.tree.host_path(key, to)[..], b"/fs"].concat();
            self.dirs[dir].path.clone_from(&path);
            self.dirs[dir].former = parent(&before).map(<[u8]>::to_vec);
            self.by_dir.insert(path, dir);
        }
    }

    fn layer_made(&mut self, key: ProcessKey, now: Moment, path: Vec<u8>) {
        let Some(store) = store_of(&path) else { return };
        if self.by_dir.get(&path).is_some() || !self.room() {
            return;
        }
        self.make(key, now, store);
        self.add_dir(key, path, now, true);
    }

    fn add_dir(&mut self, maker: ProcessKey, path: Vec<u8>, now: Moment, in_store: bool) {
        self.clients.engine_active(now);
        self.by_dir.insert(path.clone(), self.dirs.len());
        self.dirs.push(Dir {
            maker,
            path,
            in_store,
            began: now,
            first_write: None,
            last_write: None,
            by_helper: !in_store,
            files: HashMap::new(),
            reads: Vec::new(),
            copied: Vec::new(),
            written: Vec::new(),
            file_count: 0,
            received: false,
            binds: Vec::new(),
            sources: HashSet::new(),
            exported: Vec::new(),
            read_back: None,
            removed: None,
            votes: HashMap::new(),
            helpers: Vec::new(),
            former: None,
            mounted: false,
            unpacked: false,
            merged: Vec::new(),
        });
    }

    /// The classic builder removes each step's container before it begins the next one, and the context after the
    /// last, before it names the image.
    fn removed(&mut self, key: ProcessKey, now: Moment, path: Option<&Name<'_>>) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        if let Some(layer) = self.makers.get_mut(&key).and_then(|maker| maker.export.removed(&path))
            && let Some(&overlay) = self.by_upper.get([&layer[..], b"/diff"].concat().as_slice())
        {
            self.overlays[overlay].registered.get_or_insert(now.seq);
        }
        if let Some(&dir) = self.by_dir.get(&path) {
            self.dirs[dir].removed = Some(now.seq);
        }
        if let Some(&overlay) = self.by_upper.get(&path).or_else(|| self.by_group.get(base(&path))) {
            self.overlays[overlay].removed = Some(now.seq);
        }
    }

    fn dir_above(&self, path: &[u8]) -> Option<usize> {
        self.by_dir.nearest(path, |dir| Some(*dir)).map(|(_, dir)| dir)
    }

    // ---- what engines read and write

    /// The engine whose work this process does.
    fn works_for(&self, key: ProcessKey) -> Option<ProcessKey> {
        if self.makers.contains_key(&key) { Some(key) } else { self.helpers.get(&key).copied() }
    }

    /// Where in an engine's trees a path lies: an overlay, or a directory of the store.
    fn place(&self, path: &[u8]) -> Option<(Source, usize)> {
        if let Some(within) = self.mounts.within(path) {
            return Some((Source::Overlay(within.overlay), path.len() - within.rest.len()));
        }
        let overlay = self.by_upper.nearest(path, |overlay| Some(Source::Overlay(*overlay)));
        let dir = self.by_dir.nearest(path, |dir| Some(Source::Dir(*dir)));
        let nearer = match (overlay, dir) {
            (Some(overlay), Some(dir)) if dir.0 > overlay.0 => Some(dir),
            (overlay, dir) => overlay.or(dir),
        };
        nearer.map(|(length, source)| (source, length))
    }

    fn touched(
        &mut self,
        key: ProcessKey,
        now: Moment,
        tid: u32,
        path: Option<&Name<'_>>,
        content: bool,
    ) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        if let Some((place, cut)) = self.place(&path)
            && path.len() > cut
        {
            self.wrote(key, now, tid, place, content);
        }
    }

    /// A file of one layer gets a further name in another.
    fn merged(&mut self, key: ProcessKey, from: Option<&Name<'_>>, to: Option<&Name<'_>>) {
        if self.works_for(key).is_none() {
            return;
        }
        let (Some(from), Some(to)) = (self.host(key, from), self.host(key, to)) else { return };
        if let (Some(from), Some((Source::Dir(dir), _))) = (self.source_at(&from), self.place(&to))
            && from != Source::Dir(dir)
            && !self.dirs[dir].merged.contains(&from)
            && self.dirs[dir].merged.len() < MERGED_MAX
        {
            self.dirs[dir].merged.push(from);
        }
    }

    fn wrote(&mut self, key: ProcessKey, now: Moment, tid: u32, place: Source, content: bool) {
        // Written to by an engine, it is none that the snapshotter filled itself.
        if let Source::Dir(dir) = place
            && self.dirs[dir].maker != key
            && self.makers.contains_key(&key)
        {
            self.serves(dir, key);
        }
        let read = self.reads.get(&tid).filter(|(_, source, _)| *source != place);
        match place {
            Source::Overlay(overlay) => {
                let overlay = &mut self.overlays[overlay];
                let span = Span { first: now, last: now, after: overlay.containers.len(), content };
                if let Some(entered) = self.entered.get_mut(&key) {
                    match &mut entered.wrote {
                        Some(known) => (known.last, known.content) = (now, known.content || content),
                        None => entered.wrote = Some(span),
                    }
                } else {
                    overlay.wrote(span);
                }
                if let Some((_, source, name)) = read.filter(|(seq, ..)| *seq > overlay.began.seq) {
                    overlay.sources.insert(*source);
                    note_copy(&mut overlay.copied, *source, name);
                }
            }
            Source::Dir(dir) => {
                let dir = &mut self.dirs[dir];
                dir.first_write.get_or_insert(now);
                dir.last_write = Some(now);
                dir.read_back = None;
                if let Some((_, source, name)) = read.filter(|(seq, ..)| *seq > dir.began.seq) {
                    dir.sources.insert(*source);
                    note_copy(&mut dir.copied, *source, name);
                }
            }
        }
    }

    fn open(&mut self, key: ProcessKey, now: Moment, tid: u32, open: &FileOpen<'_>) {
        if let Some(client) = self.clients.get_mut(key)
            && !open.mode.writes()
        {
            if let (Some(path), Some(size)) = (open.path.get(), open.size) {
                client.opened(path.bytes(), size, now.seq);
            }
            return;
        }
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, open.path.get()) else { return };
        if let Some(maker) = self.makers.get_mut(&key) {
            maker.export.opened(tid, &path);
        }
        if !(open.mode.writes() || open.create.0 || open.truncate.0) {
            self.engine_read(now, tid, &path, open.size);
            return;
        }
        let Some((place, cut)) = self.place(&path) else { return };
        self.wrote(key, now, tid, place, true);
        if let Source::Dir(dir) = place {
            let name = path[cut..].strip_prefix(b"/").unwrap_or_default();
            let known = &mut self.dirs[dir];
            let file = known.files.get(name);
            known.received |= !open.create.0 && file.is_some_and(|file| file.size == 0);
            let is_open = known.files.len() < CONTEXT_FILES_MAX && file.is_none();
            if is_open && self.keep(name.len()) {
                let dir = &mut self.dirs[dir];
                dir.files.insert(name.to_vec(), ContextFile { made: now.seq, size: 0 });
                dir.file_count += 1;
            }
        }
    }

    fn engine_read(&mut self, now: Moment, tid: u32, path: &[u8], size: Option<u64>) {
        let real = self.mounts.unbound(path);
        let path = real.as_deref().unwrap_or(path);
        let (source, name) = match self.place(path) {
            Some((place, cut)) => {
                let name = path[cut..].strip_prefix(b"/").unwrap_or_default().to_vec();
                match place {
                    Source::Overlay(at) => {
                        let overlay = &mut self.overlays[at];
                        note(&mut overlay.exported, now.seq);
                        overlay.read_back.get_or_insert(now.seq);
                        let is_open = overlay.export_names.len() < EXPORTS_MAX;
                        if let Some(size) = size.filter(|_| is_open)
                            && self.keep(name.len())
                        {
                            self.overlays[at].export_names.push((name.clone(), size));
                        }
                    }
                    Source::Dir(at) => {
                        let dir = &mut self.dirs[at];
                        note(&mut dir.exported, now.seq);
                        dir.read_back.get_or_insert(now.seq);
                        let is_open = dir.reads.len() < CONTEXT_READS_MAX && !name.is_empty();
                        if let Some(size) = size.filter(|_| is_open)
                            && self.keep(name.len())
                        {
                            self.dirs[at].reads.push((now.seq, name.clone(), size));
                        }
                    }
                }
                (place, name)
            }
            None => match self.viewed(path) {
                Some(source) => {
                    match source {
                        Source::Overlay(at) => self.overlays[at].read_back.get_or_insert(now.seq),
                        Source::Dir(at) => self.dirs[at].read_back.get_or_insert(now.seq),
                    };
                    (source, Vec::new())
                }
                None => return,
            },
        };
        if self.reads.len() < READS_MAX || self.reads.contains_key(&tid) {
            self.reads.insert(tid, (now.seq, source, name));
        }
    }

    /// Whose tree a path lies in, also through binds and read-only views.
    fn source_at(&self, path: &[u8]) -> Option<Source> {
        let real = self.mounts.unbound(path);
        let path = real.as_deref().unwrap_or(path);
        self.place(path).map(|(place, _)| place).or_else(|| self.viewed(path))
    }

    /// What lies behind a read-only view (COPY --from mounts a stage's layers so).
    fn viewed(&self, path: &[u8]) -> Option<Source> {
        let (_, dir) = self.views.nearest(path, |dir| Some(dir.as_slice()))?;
        match self.by_upper.get(dir) {
            Some(&overlay) => Some(Source::Overlay(overlay)),
            None => self.by_dir.get(dir).map(|&dir| Source::Dir(dir)),
        }
    }

    fn close(&mut self, key: ProcessKey, now: Moment, close: &FileClose<'_>) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, close.path.get()) else { return };
        let Some((place, cut)) = self.place(&path) else { return };
        let name = path[cut..].strip_prefix(b"/").unwrap_or_default();
        let is_open = match place {
            Source::Overlay(overlay) => self.overlays[overlay].written.len() < COPIED_MAX,
            Source::Dir(dir) => self.dirs[dir].written.len() < COPIED_MAX,
        };
        if let Some(size) = close.size.filter(|_| is_open)
            && self.keep(name.len())
        {
            let written = match place {
                Source::Overlay(overlay) => &mut self.overlays[overlay].written,
                Source::Dir(dir) => &mut self.dirs[dir].written,
            };
            written.push((name.to_vec(), size));
        }
        let Source::Dir(index) = place else { return };
        let dir = &mut self.dirs[index];
        dir.last_write = Some(now);
        dir.read_back = None;
        let (Some(file), Some(size)) = (dir.files.get_mut(name), close.size) else { return };
        file.size = size;
        // BuildKit makes the file and then asks the client for its content; the classic client sends without
        // being asked, and has read the file before.
        let after = if dir.in_store { file.made } else { 0 };
        self.clients.vote(name, size, after, now.seq, &mut dir.votes);
    }
}

fn note_copy(copied: &mut Vec<(usize, Vec<u8>)>, source: Source, name: &[u8]) {
    if let Source::Dir(dir) = source
        && copied.len() < COPIED_MAX
        && !copied.iter().any(|(of, known)| *of == dir && known == name)
    {
        copied.push((dir, name.to_vec()));
    }
}

fn add_bind(binds: &mut Vec<Vec<u8>>, target: &[u8]) {
    if binds.len() < BINDS_MAX && !binds.iter().any(|known| known == target) {
        binds.push(target.to_vec());
    }
}

fn add_helper(helpers: &mut Vec<ProcessKey>, key: ProcessKey) {
    if helpers.len() < HELPERS_MAX {
        helpers.push(key);
    }
}

/// What filters have put down of steps that the builds which they left out shared (see [`shared_argument`]).
fn shared_before(header: &Header) -> HashSet<u64> {
    let args = header.filters.iter().flat_map(|filter| &filter.args);
    let lists = args.filter_map(|arg| arg.strip_prefix(SHARED));
    lists.flat_map(|list| list.split(',').filter_map(|seq| seq.parse().ok())).take(TRACES_MAX).collect()
}

/// With what a filter says in its header's arguments that steps are shared.
const SHARED: &str = "--shared=";

/// What a filter that passes on one build alone must put down in its arguments: without the other builds nothing
/// would tell any more that they shared steps with it. `None` where no step is shared.
pub fn shared_argument(build: &crate::Build) -> Option<String> {
    let seqs: Vec<String> =
        build.runs.iter().filter(|run| run.shared).map(|run| run.first_seq.to_string()).collect();
    (!seqs.is_empty()).then(|| format!("{SHARED}{}", seqs.join(",")))
}

/// Whether an argument of a filter is one of [`shared_argument`], not of the command line.
pub fn is_shared_argument(argument: &str) -> bool {
    argument.starts_with(SHARED)
}

/// Keeps the first and the last of many.
fn note(seqs: &mut Vec<u64>, seq: u64) {
    if seqs.len() < 2 {
        seqs.push(seq);
    } else {
        seqs[1] = seq;
    }
}

/// The layer that a short name stands for: `<store>/l/<short name>` -> `../<id>/diff`.
pub(crate) fn link_names(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let store = parent(path).filter(|dir| base(dir) == b"l").and_then(parent)?;
    let id = target.strip_prefix(b"../")?.strip_suffix(b"/diff")?;
    if id.is_empty() || id.contains(&b'/') {
        return None;
    }
    Some([store, b"/", id, b"/diff"].concat())
}

/// Whose store a layer directory belongs to, by its layout.
pub(crate) fn store_of(layer: &[u8]) -> Option<Store> {
    let store = parent(layer).and_then(parent).map(base)?;
    match (base(layer), store) {
        (b"diff", b"overlay") => Some(Store::Containers),
        (b"diff", _) | (b"fs", b"snapshots") => Some(Store::Daemon),
        _ => None,
    }
}

/// Docker puts a layer `<id>-init` with the runtime's mount points below each container's own.
pub(crate) fn is_init_layer(layer: &[u8]) -> bool {
    parent(layer).is_some_and(|dir| dir.ends_with(b"-init"))
}

fn first_exec(event: &Event<'_>) -> Option<FirstExec> {
    let Body::ProcessExec(exec) = &event.body else { return None };
    if exec.exe.0.is_none() && exec.argv.0.is_none() {
        return None;
    }
    let truncated =
        event.tail.truncated.as_ref().is_some_and(|cut| cut.iter().any(|field| field == b"argv"));
    Some(FirstExec {
        seq: event.head.seq,
        exe: exec.exe.get().map(|exe| exe.bytes().to_vec()),
        argv: exec.argv.get().map(|argv| argv.iter().map(<[u8]>::to_vec).collect()).unwrap_or_default(),
        truncated,
        cwd: exec.cwd.get().map(|cwd| cwd.bytes().to_vec()),
    })
}
