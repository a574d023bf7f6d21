//! Where each event of a log belongs, once its builds are known: the second time over the same events.

mod dirs;
mod paths;
mod roles;
mod strangers;

use std::collections::{HashMap, HashSet, VecDeque};

use blubr_log::{Body, Event};

use crate::build::{Builds, ProcessKey};
use crate::nearest::Dirs;
use crate::path::base;
use crate::process::{ENDED_KEPT, Tree, key_of};
use crate::trees::Trees;
use dirs::{Owned, Upon, bases, common_prefix, directories, mounts};
pub use paths::names_outside;
use roles::{Role, cgroups, marks};
use strangers::is_classic;

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
}

/// Whether a name is a sha256 in hexadecimal.
pub(crate) fn is_digest(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
