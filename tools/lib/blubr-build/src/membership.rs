//! Where each event of a log belongs, once its builds are known: the second time over the same events.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use blubr_log::event::{Dev, OpenMode};
use blubr_log::{Body, Event, Name};

use crate::build::{Build, Builds, MountPoint, OtherName, ProcessKey, RunKind, StepRun};
use crate::nearest::Dirs;
use crate::path::{base, parent};
use crate::process::{ENDED_KEPT, Tree, key_of};
use crate::traces::{is_init_layer, link_names, store_of};
use crate::trees::Trees;

/// Where an event belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Not to this build.
    Outside,
    /// To the client, or a process that it began.
    Client,
    /// To the engine's work for the build: for one run, or for the build as a whole.
    Engine {
        /// `id` of the run.
        run: Option<u32>,
    },
    /// To a process of a run's container.
    Container {
        /// `id` of the run.
        run: u32,
    },
    /// To someone else who touched the build: wrote or read in its directories, or entered a container of it. What the
    /// engine changes in a container's tree while it runs is such too, and what a helper or thread that it sends there changes
    /// before or after: it does so for no step, but when somebody asks it to. And where two entered of whom either may be the
    /// step's container, it is what both do.
    Foreign {
        /// `id` of the run, where it is known which.
        run: Option<u32>,
    },
}

/// Which of a build's directories a path lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// The mounted tree of a run: what its container sees.
    Tree,
    /// The upper directory of a run: what it changes.
    Upper,
    /// The overlay's work directory, or the engine's notes beside the upper directory.
    Work,
    /// A layer that the engine registered from what a run changed.
    Layer,
    /// What the client sent.
    Context,
}

/// A path within a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// `id` of the run whose directory it is; none for a context.
    pub run: Option<u32>,
    /// Which directory.
    pub area: Area,
    /// The path below that directory; of a tree, an upper directory and a layer: as the container sees it. `/` for
    /// the directory itself.
    pub path: Vec<u8>,
    /// Index of what is mounted there, in the `mounts` of the run whose process it is (else of `run`): then the path is not in
    /// the step's layer.
    pub mounted: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Owned {
    run: Option<u32>,
    area: Area,
    /// It is a tree too (see [`StepRun::whole`](crate::StepRun::whole)).
    whole: bool,
    /// Until when it was filled with what was below, by `seq`.
    copied_until: Option<u64>,
}

impl Owned {
    fn new(run: Option<u32>, area: Area) -> Self {
        Owned { run, area, whole: false, copied_until: None }
    }

    /// The engine's work in it. What fills it with what was below is no step's.
    fn by_engine(self, seq: u64) -> Place {
        let copying = self.copied_until.is_some_and(|until| seq <= until);
        Place::Engine { run: self.run.filter(|_| !copying) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Engine,
    /// A runtime that sets a container up, or a helper of the engine.
    Work(Option<u32>),
    /// Serves the engine's trees: what it does there others have asked for, whose own events tell it.
    Server,
    Container(u32),
    /// Was put into a container after that was set up, and stays a stranger wherever it goes then.
    Entered(u32),
}

/// Says of each event, in the order of the log, where it belongs.
pub struct Membership {
    tree: Tree,
    dirs: Dirs<Owned>,
    /// What all directories begin with: most paths of a log don't.
    prefix: Vec<u8>,
    marks: HashMap<ProcessKey, Role>,
    roles: HashMap<ProcessKey, Role>,
    cgroups: HashMap<u64, u32>,
    /// When each run's first program began, by `seq`: from then on its container is set up.
    set_up: HashMap<u32, u64>,
    /// Mount namespace of each run's container.
    namespaces: HashMap<u32, u32>,
    trees: Trees,
    /// RUNs of the classic builder.
    classic: HashSet<u32>,
    engine: ProcessKey,
    /// By run the last of its mounts in each place.
    mounts: HashMap<u32, Dirs<Upon>>,
    /// Layers that whole trees of the build were copied from: of those that it did not make itself nothing else is kept.
    bases: HashSet<Vec<u8>>,
    /// Processes that ended last: their last files are closed after that.
    ended: VecDeque<ProcessKey>,
    /// Where the build begins.
    from: u64,
    /// Events on the build's directories after this one are no part of it: layers stay, others build upon them.
    until: u64,
    lost_roots: bool,
}

impl Membership {
    /// Of the build with this number; `None` if there is no such build.
    pub fn new(builds: &Builds, number: u32) -> Option<Self> {
        let build = builds.builds.iter().find(|build| build.number == number)?;
        let dirs = directories(build);
        let last_run =
            build.runs.iter().map(|run| run.ended.map_or(run.last_seq, |ended| ended.seq)).max();
        Some(Membership {
            tree: Tree::default(),
            prefix: common_prefix(dirs.names()),
            dirs,
            marks: marks(build),
            roles: HashMap::new(),
            cgroups: cgroups(build),
            set_up: build
                .runs
                .iter()
                .filter_map(|run| Some((run.id, run.first_exec.as_ref()?.seq)))
                .collect(),
            namespaces: build.runs.iter().filter_map(|run| Some((run.id, run.mntns?))).collect(),
            trees: Trees::new(build),
            classic: build.runs.iter().filter(|run| is_classic(run)).map(|run| run.id).collect(),
            engine: build.engine_process,
            mounts: build.runs.iter().map(|run| (run.id, mounts(&run.mounts))).collect(),
            bases: bases(build),
            ended: VecDeque::new(),
            from: build.began.seq,
            until: build.ended.map_or(u64::MAX, |ended| ended.seq.max(last_run.unwrap_or(0))),
            lost_roots: false,
        })
    }

    /// Where the next event belongs.
    pub fn classify(&mut self, event: &Event<'_>) -> Place {
        if self.ended.len() > ENDED_KEPT
            && let Some(key) = self.ended.pop_front()
        {
            self.roles.remove(&key);
        }
        let key = key_of(&event.head);
        self.tree.observe(event);
        self.follow(key, event);
        if let Some(Role::Work(_)) = self.roles.get(&key)
            && let Some(run) = self.entered_later(key, event)
        {
            self.roles.insert(key, Role::Entered(run));
        }
        let place = self.settled(self.unasked(self.place(key, event), key, event), event);
        if let Place::Container { run } = place {
            self.learn_device(event, run);
        }
        if !event.failed() {
            self.move_root(key, event);
        }
        if let Body::ProcessExit(_) = event.body {
            self.ended.push_back(key);
        }
        place
    }

    /// Several runs may share a tree (buildah without layers): which of them it is.
    fn settled(&self, place: Place, event: &Event<'_>) -> Place {
        let settle = |run: Option<u32>| run.map(|run| self.trees.settle(run, event.head.seq));
        match place {
            Place::Engine { run } => Place::Engine { run: settle(run) },
            Place::Foreign { run } => Place::Foreign { run: settle(run) },
            _ => place,
        }
    }

    /// Whether a process of the build has put its root directory where its paths can't be followed.
    pub fn lost_roots(&self) -> bool {
        self.lost_roots
    }

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

    fn resolved(&self, event: &Event<'_>, path: &[u8]) -> Vec<u8> {
        let host = self.tree.host_path(key_of(&event.head), path);
        self.behind_proc(event, &host).unwrap_or(host)
    }

    /// A path of the event as the container of `run` sees it, where it lies in that run's tree, upper directory or
    /// layer.
    pub fn container_path(&self, event: &Event<'_>, path: &[u8], run: u32) -> Option<Vec<u8>> {
        let spot = self.spot(event, path)?;
        let inside = matches!(spot.area, Area::Tree | Area::Upper | Area::Layer);
        (inside && spot.run == Some(run)).then_some(spot.path)
    }

    /// Hands roles on from parent to child.
    fn follow(&mut self, key: ProcessKey, event: &Event<'_>) {
        if !self.roles.contains_key(&key)
            && let Some(role) = self.marked(key, self.inherited(key))
        {
            self.roles.insert(key, role);
        }
        if let Body::ProcessFork(fork) = &event.body {
            let child = ProcessKey { pid: fork.child_pid, start: fork.child_start };
            // An engine's children work for many builds: only those that were seen to work for this one count.
            let handed = self.roles.get(&key).copied().filter(|role| *role != Role::Engine);
            if let Some(role) = self.marked(child, handed) {
                self.roles.insert(child, role);
            }
        }
    }

    /// What a process is, with the role that it has of its parent. A container's processes stay that: one of them may do all
    /// that tells an engine, a helper or a server of trees, and what it writes would be called the engine's.
    fn marked(&self, key: ProcessKey, handed: Option<Role>) -> Option<Role> {
        let mark = self.marks.get(&key).copied();
        match handed {
            Some(Role::Container(_)) => mark.filter(|mark| matches!(mark, Role::Container(_))),
            _ => mark,
        }
        .or(handed)
    }

    /// The role of the nearest ancestor that has one, for a process whose fork was not seen.
    fn inherited(&self, key: ProcessKey) -> Option<Role> {
        let unseen = self.tree.get(key).is_some_and(|process| process.forked.is_none());
        if !unseen {
            return None;
        }
        let role = self
            .tree
            .lineage(key)
            .skip(1)
            .find_map(|(ancestor, _)| self.roles.get(&ancestor).copied())?;
        (role != Role::Engine).then_some(role)
    }

    fn place(&self, key: ProcessKey, event: &Event<'_>) -> Place {
        let role = self.roles.get(&key).copied();
        match role {
            Some(Role::Container(run)) => return Place::Container { run },
            Some(Role::Entered(run)) => return Place::Foreign { run: Some(run) },
            Some(Role::Server) => return Place::Engine { run: None },
            Some(Role::Work(run)) => return Place::Engine { run },
            Some(Role::Client | Role::Engine) | None => {}
        }
        let in_time = event.head.seq <= self.until;
        let hit = if in_time { self.hit(key, event) } else { None };
        if role == Some(Role::Client) {
            // buildah is client and engine in one.
            return match hit {
                Some(owned) if owned.area != Area::Context => owned.by_engine(event.head.seq),
                _ => Place::Client,
            };
        }
        // In a container's control group or below its root directory without descending from it: entered.
        if let Some(&run) = self.cgroups.get(&event.head.cgroup_id) {
            return Place::Foreign { run: Some(run) };
        }
        let by_engine = role == Some(Role::Engine) || self.is_below_engine(key);
        let root = self.tree.get(key).and_then(|process| process.root()).filter(|_| in_time);
        let of_root = root.and_then(|root| self.owned(root)).map(|(_, owned)| owned);
        if let Some(owned) = of_root.or(hit) {
            return if by_engine {
                owned.by_engine(event.head.seq)
            } else {
                Place::Foreign { run: owned.run }
            };
        }
        if let Some(run) = self.by_device(event).map(Some) {
            return if by_engine { Place::Engine { run } } else { Place::Foreign { run } };
        }
        if let Body::ProcessFork(fork) = &event.body {
            return self.place_of_fork(ProcessKey { pid: fork.child_pid, start: fork.child_start });
        }
        if role == Some(Role::Engine) && self.is_engines_own(event) {
            return Place::Engine { run: None };
        }
        Place::Outside
    }

    fn is_below_engine(&self, key: ProcessKey) -> bool {
        let mut lineage = self.tree.lineage(key);
        lineage.any(|(ancestor, _)| self.roles.get(&ancestor) == Some(&Role::Engine))
    }

    /// Whose it is to make this process.
    fn place_of_fork(&self, child: ProcessKey) -> Place {
        match self.marks.get(&child) {
            Some(Role::Client) => Place::Client,
            Some(Role::Work(run)) => Place::Engine { run: *run },
            Some(Role::Container(run)) => Place::Engine { run: Some(*run) },
            Some(Role::Engine | Role::Server) => Place::Engine { run: None },
            Some(Role::Entered(run)) => Place::Foreign { run: Some(*run) },
            None => Place::Outside,
        }
    }

    /// Whether it is the build's what an engine, which works for others too, does there in no step's tree.
    fn is_engines_own(&self, event: &Event<'_>) -> bool {
        let in_time = (self.from..=self.until).contains(&event.head.seq);
        match &event.body {
            Body::ProcessExists(_) | Body::ProcessExec(_) | Body::ProcessExit(_) => true,
            // Without it, what its threads name after a pivot_root of theirs can't be told from another thread's.
            Body::NsUnshare(_) => in_time,
            // It is this that tells from what a layer was copied.
            Body::FileOpen(open) => {
                in_time && open.path.get().is_some_and(|path| self.bases.contains(path.bytes()))
            }
            // How an engine stores what it made: an image, a layer, a blob.
            Body::FileRename(rename) => {
                in_time && rename.to.get().is_some_and(|to| is_digest(base(to.bytes())))
            }
            _ => false,
        }
    }

    /// The run whose container this process was put into after that was set up (`docker exec`, `runc exec`): it
    /// descends from the runtime, and is neither the step's nor the engine's.
    fn entered_later(&self, key: ProcessKey, event: &Event<'_>) -> Option<u32> {
        let run = match self.cgroups.get(&event.head.cgroup_id) {
            Some(run) => *run,
            // Where the control group says nothing. The number of a namespace is another's once the container is gone.
            None => match self.roles.get(&key)? {
                Role::Work(Some(run)) if self.namespaces.get(run) == Some(&event.head.mntns) => {
                    self.trees.at_work(*run, event.head.seq).filter(|at_work| at_work == run)?
                }
                _ => return None,
            },
        };
        let set_up = *self.set_up.get(&run)?;
        let forked = self.tree.get(key)?.forked?;
        (forked.seq > set_up).then_some(run)
    }

    /// What the engine changes in the tree of a container that is at work it does for somebody else (`docker cp`); so does,
    /// before and after, a helper or thread with its root there: for a RUN the classic builder sends none into its tree.
    fn unasked(&self, place: Place, key: ProcessKey, event: &Event<'_>) -> Place {
        if !matches!(place, Place::Engine { run: Some(_) }) || !changes(event) {
            return place;
        }
        let sent_into = self.sent_into(key);
        let mut of = self.by_device(event);
        self.each_path(key, event, &mut |path| {
            if let Some((_, Owned { run: Some(run), area: Area::Tree | Area::Upper, .. })) =
                self.owned(path)
            {
                let sent = || sent_into.filter(|tree| *tree == run);
                of = of.or_else(|| self.trees.at_work(run, event.head.seq)).or_else(sent);
            }
        });
        of.map_or(place, |run| Place::Foreign { run: Some(run) })
    }

    /// The RUN of the classic builder in whose tree the engine's thread, or a helper that it began itself, has its root.
    fn sent_into(&self, key: ProcessKey) -> Option<u32> {
        let process = self.tree.get(key)?;
        let (_, owned) = self.owned(process.root()?)?;
        let run = owned.run.filter(|run| self.classic.contains(run))?;
        let engine = match self.roles.get(&key)? {
            Role::Engine => key,
            Role::Work(_) => process.parent?,
            _ => return None,
        };
        (self.roles.get(&engine) == Some(&Role::Engine)).then_some(run)
    }

    /// The run in whose tree a file is, by its device number, where the event has one: also where it was reached otherwise than
    /// by its name (through /proc/PID/root, say), or by a process of which it is not known where its names begin.
    fn by_device(&self, event: &Event<'_>) -> Option<u32> {
        self.trees.with_device(device(event)?.1, event.head.seq).filter(|_| !event.failed())
    }

    /// Takes the device number of a container's tree from what its processes open in it.
    fn learn_device(&mut self, event: &Event<'_>, run: u32) {
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

    /// What a name below another process's /proc/PID/root names. Only where the engine runs are processes numbered as in the
    /// log.
    fn behind_proc(&self, event: &Event<'_>, host: &[u8]) -> Option<Vec<u8>> {
        if !host.starts_with(b"/proc/") {
            return None;
        }
        let at_home = self.tree.get(self.engine)?.mntns() == event.head.mntns;
        at_home.then(|| self.tree.behind_proc(host)).flatten()
    }

    /// The first of the build's directories that a path of the event lies in.
    fn hit(&self, key: ProcessKey, event: &Event<'_>) -> Option<Owned> {
        let mut found = None;
        self.each_path(key, event, &mut |path| {
            if found.is_none() {
                found = self.owned(path).map(|(_, owned)| owned);
            }
        });
        found
    }

    fn each_path(&self, key: ProcessKey, event: &Event<'_>, each: &mut dyn FnMut(&[u8])) {
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
    fn owned(&self, path: &[u8]) -> Option<(usize, Owned)> {
        if !path.starts_with(&self.prefix) {
            return None;
        }
        self.dirs.nearest(path, |owned| Some(*owned))
    }

    fn move_root(&mut self, key: ProcessKey, event: &Event<'_>) {
        let (path, whole_namespace) = match &event.body {
            Body::MountPivotRoot(pivot) => (pivot.path.get(), true),
            Body::FsChroot(chroot) => (chroot.path.get(), false),
            _ => return,
        };
        let Some(path) = path else { return };
        let root = match names_outside(event) && !whole_namespace {
            true => self.tree.root_outside(key, path.bytes()),
            false => Arc::from(self.resolved(event, path.bytes())),
        };
        let known = self.tree.set_root(key, root, whole_namespace);
        self.lost_roots |= !known && self.roles.contains_key(&key);
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

/// Whether the event changes files.
fn changes(event: &Event<'_>) -> bool {
    !event.failed()
        && match &event.body {
            Body::FileOpen(open) => {
                open.mode != OpenMode::Path && (open.mode.writes() || open.create.0 || open.truncate.0)
            }
            Body::FileClose(_)
            | Body::FileMkdir(_)
            | Body::FileMknod(_)
            | Body::FileUnlink(_)
            | Body::FileRename(_)
            | Body::FileLink(_)
            | Body::FileSymlink(_)
            | Body::FileChmod(_)
            | Body::FileChown(_)
            | Body::FileTruncate(_)
            | Body::FileSetxattr(_)
            | Body::FileUtimes(_) => true,
            _ => false,
        }
}

/// Whether a name is a sha256 in hexadecimal.
pub(crate) fn is_digest(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether the event's paths lie outside its process's root directory (an inherited descriptor, a detached mount): they
/// begin at their file system's root, and are never the container's own.
pub fn names_outside(event: &Event<'_>) -> bool {
    event.tail.path_from.as_ref().is_some_and(|from| from.bytes() == b"outside")
}

/// The build's directories. The engine's notes lie beside each upper directory, in the directory above it.
fn directories(build: &Build) -> Dirs<Owned> {
    let mut dirs = Dirs::default();
    let notes = |dirs: &mut Dirs<Owned>, layer: &[u8], run: Option<u32>| {
        if store_of(layer).is_some()
            && let Some(above) = parent(layer)
        {
            dirs.insert_new(above, Owned::new(run, Area::Work));
        }
    };
    for run in &build.runs {
        let of = Some(run.id);
        for root in &run.roots {
            dirs.insert(root.clone(), Owned::new(of, Area::Tree));
        }
        let (whole, copied_until) = (run.whole, run.copied_until);
        dirs.insert(run.upper.clone(), Owned { whole, copied_until, ..Owned::new(of, Area::Upper) });
        notes(&mut dirs, &run.upper, of);
        if let Some(work) = &run.work {
            dirs.insert(work.clone(), Owned::new(of, Area::Work));
        }
    }
    for layer in &build.layers {
        dirs.insert_new(&layer.dir, Owned::new(layer.of, Area::Layer));
        notes(&mut dirs, &layer.dir, layer.of);
    }
    for context in &build.contexts {
        for name in std::iter::once(&context.dir).chain(&context.binds) {
            dirs.insert_new(name, Owned::new(None, Area::Context));
        }
        notes(&mut dirs, &context.dir, None);
    }
    for OtherName { other, own } in &build.renamed {
        if let Some(&owned) = dirs.get(own) {
            dirs.insert_new(other, owned);
        }
    }
    dirs
}

fn is_classic(run: &StepRun) -> bool {
    run.kind == RunKind::Run && run.lowers.first().is_some_and(|lower| is_init_layer(lower))
}

fn bases(build: &Build) -> HashSet<Vec<u8>> {
    build.runs.iter().filter(|run| run.whole).flat_map(|run| run.lowers.iter().cloned()).collect()
}

fn marks(build: &Build) -> HashMap<ProcessKey, Role> {
    let mut marks = HashMap::new();
    for engine in &build.engine_pids {
        marks.insert(*engine, Role::Engine);
    }
    marks.insert(build.client, Role::Client);
    if build.engine == crate::Engine::Buildah {
        for engine in &build.engine_pids {
            marks.insert(*engine, Role::Client);
        }
    }
    for server in &build.servers {
        marks.insert(*server, Role::Server);
    }
    for (helper, run) in &build.helpers {
        marks.insert(*helper, Role::Work(*run));
    }
    for run in &build.runs {
        for setup in &run.setup {
            marks.insert(*setup, Role::Work(Some(run.id)));
        }
    }
    for run in &build.runs {
        if let Some(init) = run.init {
            marks.insert(init, Role::Container(run.id));
        }
    }
    marks
}

/// Something mounted in a place.
struct Upon {
    /// Its index in the run's `mounts`: of several the last, which covers the others.
    at: usize,
    /// When (`seq`) the first was.
    since: u64,
}

/// What is mounted where.
fn mounts(points: &[MountPoint]) -> Dirs<Upon> {
    let mut mounts: Dirs<Upon> = Dirs::default();
    for (at, point) in points.iter().enumerate() {
        let since = mounts.get(&point.path).map_or(point.seq, |before| before.since);
        mounts.insert(point.path.clone(), Upon { at, since });
    }
    mounts
}

/// Control groups that are one run's own.
fn cgroups(build: &Build) -> HashMap<u64, u32> {
    let mut cgroups: HashMap<u64, Option<u32>> = HashMap::new();
    for run in &build.runs {
        if let Some(id) = run.cgroup_id {
            cgroups.entry(id).and_modify(|of| *of = None).or_insert(Some(run.id));
        }
    }
    cgroups.into_iter().filter_map(|(id, of)| of.map(|of| (id, of))).collect()
}

fn common_prefix<'d>(dirs: impl Iterator<Item = &'d Vec<u8>>) -> Vec<u8> {
    let mut prefix: Option<Vec<u8>> = None;
    for dir in dirs {
        match &mut prefix {
            None => prefix = Some(dir.clone()),
            Some(prefix) => {
                let same = prefix.iter().zip(dir).take_while(|(a, b)| a == b).count();
                prefix.truncate(same);
            }
        }
    }
    // Nothing lies in no directory.
    prefix.unwrap_or_else(|| vec![0])
}
