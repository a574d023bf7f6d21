//! Reads events in order and keeps what builds are made of: overlays, layers, contexts, containers, clients.
//!
//! What an engine does for one step, and why these traces of it are enough, stands with each kind of trace.

mod claims;
mod copies;
mod files;
mod heredocs;
mod layers;
mod masters;
mod mounting;
mod parts;
mod places;
mod prepared;
mod processes;
mod registered;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use blubr_dockerfile::Dockerfile;
use blubr_log::event::OpenMode;
use blubr_log::{Body, Event, Header, Lost, Name};

use crate::build::{Builds, Ended, Moment, MountPoint, OtherName, ProcessKey};
use crate::context::Clients;
use crate::gaps::Gaps;
use crate::membership::names_outside;
use crate::mounts::Mounts;
use crate::nearest::Dirs;
use crate::process::{Tree, key_of, moment_of};
use crate::shared::shared_before;
use crate::traces::{Container, Dir, Entered, Maker, Overlay, Reads};
use copies::Copies;
use files::{LastRead, Made};
use places::Places;
use registered::Held;

/// Overlays, layers and containers of one log that are remembered: some fifty thousand steps.
pub(crate) const TRACES_MAX: usize = 1 << 17;
/// Overlays and layers of what runs in containers: an engine may, and any step can do what makes one look like it. What a
/// step makes more of is not known, and takes no room from the engine's.
const OF_CONTAINERS_MAX: usize = 1 << 14;
/// Bytes of names that are remembered of them.
const NAMES_BYTES_MAX: usize = 192 << 20;
/// What a name takes besides its characters, in bytes: its place in a list, and an allocation.
const NAME_BYTES: usize = 48;
/// Mounts that are in containers, each counted in each container that has it: what is made of steps holds them so often.
const MOUNTED_MAX: usize = 1 << 18;
/// Pairs of a step and one below it.
const BELOW_MAX: usize = 1 << 24;
/// Mount points of one container.
const MOUNT_POINTS_MAX: usize = 4096;
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
    /// Overlays by the name that the control group has of a container in it, which is the container's id.
    by_group: HashMap<Vec<u8>, usize>,
    entered: HashMap<ProcessKey, Entered>,
    pub(crate) makers: HashMap<ProcessKey, Maker>,
    /// For each process that made directories: the engines that mounted them, and whether one of both began the other.
    masters: BTreeMap<ProcessKey, BTreeMap<ProcessKey, bool>>,
    /// Children of engines that have put their root into a directory of it.
    helpers: HashMap<ProcessKey, ProcessKey>,
    /// Processes of containers, each first one and whatever descends from it, by container.
    inside: HashMap<ProcessKey, usize>,
    pub(crate) clients: Clients,
    /// What the short names of layers stand for.
    short_names: HashMap<Vec<u8>, Vec<u8>>,
    /// What else engines called layers, before or after.
    pub(crate) renamed: HashMap<Vec<u8>, Vec<OtherName>>,
    /// Directories that engines made for inline files, by the folder they lie in.
    heredocs: HashMap<Vec<u8>, Vec<(ProcessKey, Vec<u8>)>>,
    /// Read-only overlays (COPY --from): the topmost lower of each.
    views: Dirs<Vec<u8>>,
    /// What each thread of an engine read last.
    reads: HashMap<u32, LastRead>,
    /// What descriptors of a process that only name a file (O_PATH) were opened on: runtimes mount upon those.
    named: HashMap<ProcessKey, Vec<(i64, Vec<u8>)>>,
    copies: Copies,
    pub(crate) read_as: Reads,
    /// How many reads are remembered.
    exports: usize,
    command_pid: Option<u32>,
    pub(crate) command: Option<ProcessKey>,
    pub(crate) last: Option<Moment>,
    /// First events of steps that a filter found to be shared with a build that it left out.
    pub(crate) shared: HashSet<u64>,
    /// What a client's Dockerfile is, where the user says it.
    pub(crate) dockerfile: Option<(ProcessKey, Dockerfile)>,
    /// Where events are missing: there, that something was not seen says nothing.
    pub(crate) gaps: Gaps,
    /// Each container has a control group of its own that the log can tell: where the host has but cgroup v2.
    has_groups: bool,
    full: bool,
    /// How many overlays and layers are of processes of containers.
    of_containers: usize,
    /// Bytes of names that are remembered.
    kept: usize,
    /// More was mounted in a tree than is remembered.
    mounts_full: bool,
    places: Places,
    held: Held,
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
            inside: HashMap::new(),
            clients: Clients::default(),
            short_names: HashMap::new(),
            renamed: HashMap::new(),
            heredocs: HashMap::new(),
            views: Dirs::default(),
            reads: HashMap::new(),
            named: HashMap::new(),
            copies: Copies::default(),
            read_as: Reads::default(),
            exports: 0,
            command_pid: header.command_pid,
            command: None,
            last: None,
            shared: shared_before(header),
            dockerfile: None,
            gaps: Gaps::of(header),
            has_groups: header.host.cgroup == "v2",
            full: false,
            of_containers: 0,
            kept: 0,
            mounts_full: false,
            places: Places::default(),
            held: Held::default(),
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
        if let (Body::FileUnlink(_), Some(entered)) = (&event.body, self.entered.get_mut(&key)) {
            entered.removed = true;
        }
        match &event.body {
            Body::ProcessExists(_) => {
                if let Some(process) = self.tree.get(key) {
                    self.clients.existed(key, process, now);
                }
            }
            Body::ProcessFork(fork) => {
                if let Some(&container) = self.inside.get(&key) {
                    let child = ProcessKey { pid: fork.child_pid, start: fork.child_start };
                    self.inside.insert(child, container);
                }
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
            Body::FsChroot(chroot) if names_outside(event) => self.leave(key, chroot.path.get()),
            Body::FsChroot(chroot) => {
                self.enter(key, now, event.head.tid, chroot.path.get(), false);
                self.note_entry(key, now);
            }
            Body::UnixConnect(connect) => self.connect(key, now, connect.path.get()),
            Body::FileSymlink(link) => {
                if let (Some(path), Some(target)) = (link.path.get(), link.target.get()) {
                    self.layer_link(key, now, path.bytes(), target.bytes());
                }
                self.touched(key, now, event.head.tid, link.path.get(), Made::Other);
            }
            Body::FileMkdir(mkdir) => {
                if let Some(path) = mkdir.path.get() {
                    self.snapshot_made(key, now, path.bytes());
                    self.whole_made(key, now, path.bytes());
                    self.heredoc_made(key, path.bytes());
                    if let Some(maker) = self.makers.get_mut(&key) {
                        maker.export.made(event.head.tid, path.bytes());
                    }
                }
                self.touched(key, now, event.head.tid, mkdir.path.get(), Made::Folder);
            }
            Body::FileRename(rename) => {
                if let (Some(from), Some(to)) = (rename.path.get(), rename.to.get()) {
                    self.snapshot_renamed(key, from.bytes(), to.bytes());
                    self.layer_renamed(key, from.bytes(), to.bytes());
                    if let Some(maker) = self.makers.get_mut(&key) {
                        maker.export.renamed(to.bytes(), now.seq);
                    }
                }
                self.touched(key, now, event.head.tid, rename.to.get(), Made::Other);
            }
            Body::FileOpen(open) => {
                if open.mode == OpenMode::Path || self.opens_layers(key) {
                    self.named(key, event.tail.ret, open);
                }
                self.open(key, now, event.head.tid, open);
            }
            Body::FileClose(close) => self.close(key, now, close),
            Body::FileChmod(chmod) => self.copy_begins(key, now, event.head.tid, chmod.path.get()),
            Body::FileChown(chown) => self.copy_begins(key, now, event.head.tid, chown.path.get()),
            Body::FileUtimes(times) => {
                self.copy_ends(key, now, times.path.get());
                self.note_times(key, now, times.path.get());
            }
            Body::FileUnlink(unlink) if unlink.directory.0 => {
                self.taken_away(key, unlink.path.get());
                self.removed(key, now, unlink.path.get());
            }
            Body::FileMknod(mknod) => {
                self.touched(key, now, event.head.tid, mknod.path.get(), Made::Other)
            }
            Body::FileLink(link) => {
                self.touched(key, now, event.head.tid, link.to.get(), Made::Other);
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
        self.overlays.iter_mut().for_each(Overlay::not_prepared);
        Ok(crate::owner::assign(self))
    }

    /// The mounts of all containers together.
    fn mounted(&self) -> usize {
        let of_overlay = |overlay: &Overlay| {
            let mut in_namespace: HashMap<u32, usize> = HashMap::new();
            for MountPoint { mntns, .. } in &overlay.mounts {
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
        // Between two containers the client may have written, and each helper of its; a directory without an overlay is one step.
        let steps = |overlay: &Overlay| 2 * overlay.containers.len() + 1 + overlay.parts.len();
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

    /// Room for an overlay or a layer that the process makes.
    fn room_for(&mut self, key: ProcessKey) -> bool {
        if self.is_inside(key) {
            if self.of_containers >= OF_CONTAINERS_MAX {
                return false;
            }
            self.of_containers += 1;
        }
        self.room()
    }

    /// Takes room for names; `false` when there is none.
    fn keep(&mut self, bytes: usize) -> bool {
        self.kept += bytes + NAME_BYTES;
        self.full |= self.kept > NAMES_BYTES_MAX;
        !self.full
    }
}
