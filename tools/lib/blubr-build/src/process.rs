//! The processes that live at a point of the log: who began whom, and where the paths of each begin.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use blubr_log::{Body, Event, Head, NameList};

use crate::build::{Moment, ProcessKey};
use crate::context::says_build;
use crate::{PROCESSES_MAX, path};

/// Bytes of argv that are kept of a living process, and how many arguments: enough to list it.
const KEPT: (usize, usize) = (4096, 256);

/// The same of one that may ask for a build: its options are looked at.
const KEPT_OF_CLIENT: (usize, usize) = (32 * 1024, 4096);

/// Bytes of the names and arguments that are kept of all of them: of as many as a build host has that is some hundred bytes each.
pub(crate) const NAMES_BYTES_MAX: usize = 96 << 20;

/// Processes that have ended and are still known: the kernel closes what they had open after it has said that they end, and
/// others' events come between.
pub(crate) const ENDED_KEPT: usize = 4096;

/// Bytes of a root directory's name as the host has it: two of the longest paths (PATH_MAX, limits.h), one below the other.
/// A process may put its root deeper and deeper; where it is then is not known.
const ROOT_BYTES_MAX: usize = 2 * 4096;

/// Stands for a root that is not known: no path begins so.
const NOWHERE: &[u8] = b"\0";

/// Ancestors that are followed; deeper trees do not occur (a shell needs one level a nesting).
pub(crate) const ANCESTORS_MAX: usize = 256;

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) parent: Option<ProcessKey>,
    pub(crate) exe: Option<Arc<[u8]>>,
    pub(crate) argv: Vec<Vec<u8>>,
    /// It has more arguments.
    pub(crate) argv_cut: bool,
    pub(crate) cwd: Option<Vec<u8>>,
    pub(crate) uid: u32,
    mntns: u32,
    /// Its control group (v2), as of its latest event.
    pub(crate) cgroup_id: u64,
    /// Where its paths begin, as the host names it; `None` for the host's own root.
    root: Option<Arc<[u8]>>,
    /// The mount namespace and the root of the thread of it whose event was looked at last, where that thread has others:
    /// Docker 24 and later unpacks so, in threads of its own.
    away: Option<(u32, Option<Arc<[u8]>>)>,
    /// When it was forked; `None` where that was not seen.
    pub(crate) forked: Option<Moment>,
    /// Its latest exec, else its first event.
    pub(crate) began: Moment,
    children: u32,
    ended: bool,
}

impl Process {
    /// Bytes of its names and arguments.
    fn names(&self) -> usize {
        let argv = self.argv.iter().map(|one| one.len() + size_of::<Vec<u8>>()).sum::<usize>();
        let exe = self.exe.as_ref().map_or(0, |exe| exe.len());
        argv + exe + self.cwd.as_ref().map_or(0, Vec::len)
    }

    /// Takes its arguments; `is_cut`: the recorder had more.
    fn take_argv(&mut self, argv: Option<&NameList<'_>>, is_cut: bool) {
        let all = || argv.into_iter().flat_map(|argv| argv.iter());
        let room = if says_build(all()) { KEPT_OF_CLIENT } else { KEPT };
        self.argv = keep(all(), room);
        self.argv_cut = is_cut || all().nth(self.argv.len()).is_some();
    }

    /// Its mount namespace; 0 where that is not known.
    pub(crate) fn mntns(&self) -> u32 {
        self.mntns
    }

    /// Where the paths of the latest event begin, as the host names it; `None` for the host's own root.
    pub(crate) fn root(&self) -> Option<&Arc<[u8]>> {
        match &self.away {
            Some((_, root)) => root.as_ref(),
            None => self.root.as_ref(),
        }
    }
}

/// The root of a mount namespace that was given one of its own.
struct Namespace {
    root: Option<Arc<[u8]>>,
    /// What was put at its top by pivot_root(2), in it or in the one that it is a copy of.
    top: Option<Arc<[u8]>>,
    living: u32,
}

/// Processes by key, as far as the log has been read.
#[derive(Default)]
pub(crate) struct Tree {
    all: HashMap<ProcessKey, Process>,
    /// The living process of each pid.
    living: HashMap<u32, ProcessKey>,
    namespaces: HashMap<u32, Namespace>,
    /// When a process was first seen in each control group, by `seq`; of more groups than there may be processes it is not kept.
    groups: HashMap<u64, u64>,
    /// What an ended process is to be forgotten by, once the event that ended it has been looked at.
    ending: Option<ProcessKey>,
    /// Those that ended last.
    ended: VecDeque<ProcessKey>,
    /// Bytes of all processes' names and arguments.
    names: usize,
    pub(crate) overflowed: bool,
}

pub(crate) fn key_of(head: &Head<'_>) -> ProcessKey {
    ProcessKey { pid: head.pid, start: head.start }
}

pub(crate) fn moment_of(head: &Head<'_>) -> Moment {
    Moment { seq: head.seq, time: head.time }
}

impl Tree {
    pub(crate) fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.all.get(&key)
    }

    /// The process of the event, then its ancestors, nearest first, as far as they are known.
    pub(crate) fn lineage(&self, key: ProcessKey) -> impl Iterator<Item = (ProcessKey, &Process)> {
        let mut next = Some(key);
        std::iter::from_fn(move || {
            let key = next?;
            let process = self.all.get(&key)?;
            next = process.parent;
            Some((key, process))
        })
        .take(ANCESTORS_MAX)
    }

    /// A path of the event's process, as the host names it.
    pub(crate) fn host_path(&self, key: ProcessKey, path: &[u8]) -> Vec<u8> {
        path::join(self.all.get(&key).and_then(|process| process.root()).map(|root| &**root), path)
    }

    /// Whether the event's thread is in another mount namespace than its process.
    pub(crate) fn is_away(&self, key: ProcessKey) -> bool {
        self.all.get(&key).is_some_and(|process| process.away.is_some())
    }

    /// When a control group was first seen with a process in it, by `seq`; none where that was not kept.
    pub(crate) fn group_since(&self, cgroup_id: u64) -> Option<u64> {
        self.groups.get(&cgroup_id).copied()
    }

    /// What a name that begins with /proc/PID/root stands for: it leads into that process's root directory.
    pub(crate) fn behind_proc(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.strip_prefix(b"/proc/")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (pid, rest) = rest.split_at_checked(digits)?;
        let rest =
            rest.strip_prefix(b"/root").filter(|rest| matches!(rest.first(), None | Some(b'/')))?;
        let pid = std::str::from_utf8(pid).ok()?.parse::<u32>().ok()?;
        let root = self.all.get(self.living.get(&pid)?)?.root()?;
        Some(path::join(Some(root), rest))
    }

    /// Takes in what the event says of processes. Roots are changed by the caller ([`Tree::set_root`]), which
    /// knows what the new root's name means.
    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        // Whoever reads the log is told that, and nothing more is needed.
        if self.overflowed {
            return;
        }
        self.forget_ended();
        let key = key_of(&event.head);
        if let Body::NsUnshare(unshare) = &event.body
            && !event.failed()
            && unshare.namespaces.iter().any(|namespace| namespace == b"mnt")
        {
            self.forget_namespace(event.head.mntns);
        }
        self.meet(key, &event.head);
        match &event.body {
            Body::ProcessFork(fork) => {
                let child = ProcessKey { pid: fork.child_pid, start: fork.child_start };
                self.fork(key, child, moment_of(&event.head));
            }
            // What could not be seen of it does not undo what is known.
            Body::ProcessExec(exec)
                if !event.failed() && (exec.exe.0.is_some() || exec.argv.0.is_some()) =>
            {
                if let Some(process) = self.all.get_mut(&key) {
                    self.names -= process.names();
                    process.exe = exec.exe.get().map(|exe| Arc::from(exe.bytes()));
                    process.take_argv(exec.argv.get(), event.tail.is_cut("argv"));
                    process.cwd = exec.cwd.get().map(|cwd| cwd.bytes().to_vec());
                    self.names += process.names();
                    process.began = moment_of(&event.head);
                }
            }
            Body::ProcessExists(exists) => {
                if let Some(process) = self.all.get_mut(&key) {
                    self.names -= process.names();
                    process.exe = exists.exe.get().map(|exe| Arc::from(exe.bytes()));
                    process.take_argv(exists.argv.get(), event.tail.is_cut("argv"));
                    process.cwd = exists.cwd.get().map(|cwd| cwd.bytes().to_vec());
                    self.names += process.names();
                }
            }
            Body::ProcessExit(_) => self.ending = Some(key),
            _ => {}
        }
        self.overflowed |= self.names > NAMES_BYTES_MAX;
    }

    /// The event's process entered a tree whose root the host names `root`: it alone (chroot), or with it all
    /// that live in its mount namespace (pivot_root). The answer is whether it is known where that is.
    pub(crate) fn set_root(&mut self, key: ProcessKey, root: Arc<[u8]>, whole_namespace: bool) -> bool {
        let known = root.len() <= ROOT_BYTES_MAX && root.first() != NOWHERE.first();
        let root = if known { root } else { Arc::from(NOWHERE) };
        self.move_root(key, root, whole_namespace);
        known
    }

    /// The event's process put its root to a name outside of the one that it had, as who leaves a chroot does (rpm --root).
    /// Such names begin at the top of its namespace; what is below that may also be of a mount that is in none.
    pub(crate) fn root_outside(&self, key: ProcessKey, path: &[u8]) -> Arc<[u8]> {
        let process = self.all.get(&key).filter(|_| path == b"/");
        let mntns = process.map(|of| of.away.as_ref().map_or(of.mntns, |(mntns, _)| *mntns));
        let top = mntns.and_then(|mntns| self.namespaces.get(&mntns)?.top.clone());
        top.unwrap_or_else(|| Arc::from(NOWHERE))
    }

    fn move_root(&mut self, key: ProcessKey, root: Arc<[u8]>, whole_namespace: bool) {
        let Some(process) = self.all.get_mut(&key) else { return };
        let (mntns, here) = match &mut process.away {
            Some((mntns, here)) => (*mntns, here),
            None => (process.mntns, &mut process.root),
        };
        let before = here.replace(Arc::clone(&root));
        if !whole_namespace || mntns == 0 {
            return;
        }
        // pivot_root(2) moves every process of the namespace whose root was the old one.
        for other in self.all.values_mut() {
            if other.mntns == mntns && !other.ended && other.root == before {
                other.root = Some(Arc::clone(&root));
            }
        }
        if let Some(namespace) = self.namespaces.get_mut(&mntns) {
            namespace.root = Some(Arc::clone(&root));
            namespace.top = Some(root);
        }
    }

    /// Makes sure that the process is known, and where its paths begin.
    fn meet(&mut self, key: ProcessKey, head: &Head<'_>) {
        let group = self.all.get(&key).map(|process| process.cgroup_id);
        if group != Some(head.cgroup_id) && self.groups.len() < PROCESSES_MAX {
            self.groups.entry(head.cgroup_id).or_insert(head.seq);
        }
        if group.is_none() {
            if self.all.len() >= PROCESSES_MAX {
                self.overflowed = true;
                return;
            }
            let parent = self.living.get(&head.ppid).copied().filter(|parent| parent.start <= key.start);
            let process = Process {
                parent,
                exe: None,
                argv: Vec::new(),
                argv_cut: false,
                cwd: None,
                uid: head.uid,
                mntns: 0,
                cgroup_id: head.cgroup_id,
                root: None,
                away: None,
                forked: None,
                began: moment_of(head),
                children: 0,
                ended: false,
            };
            self.add(key, process);
        }
        // What comes of an ended one changes nothing any more: it has left its namespace.
        let Some(process) = self.all.get_mut(&key).filter(|process| !process.ended) else { return };
        process.uid = head.uid;
        process.cgroup_id = head.cgroup_id;
        process.away = None;
        // A task in its last moments has no namespaces left.
        if head.mntns == 0 || process.mntns == head.mntns {
            return;
        }
        if head.tid != head.pid && process.mntns != 0 {
            self.stray(key, head.mntns);
        } else {
            self.move_to(key, head.mntns);
        }
    }

    /// The process is in another mount namespace than before.
    fn move_to(&mut self, key: ProcessKey, mntns: u32) {
        let Some(process) = self.all.get_mut(&key) else { return };
        let left = std::mem::replace(&mut process.mntns, mntns);
        let inherited = process.root.clone();
        let top = self.namespaces.get(&left).and_then(|of| of.top.clone());
        self.leave(left);
        let namespace = self.namespaces.entry(mntns).or_insert_with(|| Namespace {
            root: inherited.clone(),
            top,
            living: 0,
        });
        namespace.living += 1;
        // Into a namespace that others live in, its root is theirs; a new one begins as a copy.
        let root = namespace.root.clone();
        if let Some(process) = self.all.get_mut(&key) {
            process.root = root;
        }
    }

    /// One thread of the process is in another mount namespace than the rest, which stays where it is.
    fn stray(&mut self, key: ProcessKey, mntns: u32) {
        if self.namespaces.len() >= PROCESSES_MAX && !self.namespaces.contains_key(&mntns) {
            self.overflowed = true;
            return;
        }
        let Some(process) = self.all.get_mut(&key) else { return };
        let top = self.namespaces.get(&process.mntns).and_then(|of| of.top.clone());
        // The thread's end is not told: its namespace counts until the number comes again.
        let namespace = self.namespaces.entry(mntns).or_insert_with(|| Namespace {
            root: process.root.clone(),
            top,
            living: 1,
        });
        process.away = Some((mntns, namespace.root.clone()));
    }

    fn fork(&mut self, parent: ProcessKey, child: ProcessKey, at: Moment) {
        if self.all.len() >= PROCESSES_MAX {
            self.overflowed = true;
            return;
        }
        let Some(of) = self.all.get(&parent) else { return };
        let process = Process {
            parent: Some(parent),
            exe: of.exe.clone(),
            argv: of.argv.clone(),
            argv_cut: of.argv_cut,
            cwd: of.cwd.clone(),
            uid: of.uid,
            mntns: of.away.as_ref().map_or(of.mntns, |(mntns, _)| *mntns),
            cgroup_id: of.cgroup_id,
            root: of.root().cloned(),
            away: None,
            forked: Some(at),
            began: at,
            children: 0,
            ended: false,
        };
        if let Some(namespace) = self.namespaces.get_mut(&process.mntns) {
            namespace.living += 1;
        }
        self.add(child, process);
    }

    fn add(&mut self, key: ProcessKey, process: Process) {
        if let Some(parent) = process.parent
            && let Some(parent) = self.all.get_mut(&parent)
        {
            parent.children += 1;
        }
        // A pid that comes again: the one before has ended, whether or not its exit was seen.
        if let Some(before) = self.living.insert(key.pid, key)
            && before != key
        {
            self.end(before);
        }
        self.names += process.names();
        if let Some(before) = self.all.insert(key, process) {
            self.names -= before.names();
        }
    }

    /// A namespace with this number has just been made: whatever had the number before is gone, though a process may
    /// still live that had a thread in it (unshare(2) moves one thread, and that one may have ended).
    fn forget_namespace(&mut self, mntns: u32) {
        if self.namespaces.remove(&mntns).is_some() {
            for process in self.all.values_mut().filter(|process| process.mntns == mntns) {
                process.mntns = 0;
            }
        }
    }

    fn leave(&mut self, mntns: u32) {
        if let Some(namespace) = self.namespaces.get_mut(&mntns) {
            namespace.living = namespace.living.saturating_sub(1);
            if namespace.living == 0 {
                // The kernel gives the number to the next namespace that is made.
                self.namespaces.remove(&mntns);
            }
        }
    }

    fn forget_ended(&mut self) {
        if let Some(key) = self.ending.take() {
            self.end(key);
        }
    }

    fn end(&mut self, key: ProcessKey) {
        if self.living.get(&key.pid) == Some(&key) {
            self.living.remove(&key.pid);
        }
        let Some(process) = self.all.get_mut(&key) else { return };
        if process.ended {
            return;
        }
        process.ended = true;
        self.names -= process.names();
        process.argv = Vec::new();
        self.names += process.names();
        let mntns = process.mntns;
        self.leave(mntns);
        self.ended.push_back(key);
        if self.ended.len() > ENDED_KEPT
            && let Some(oldest) = self.ended.pop_front()
        {
            self.prune(oldest);
        }
    }

    /// An ended process is remembered for as long as a child of it is.
    fn prune(&mut self, key: ProcessKey) {
        let mut at = Some(key);
        while let Some(key) = at.take() {
            let Some(process) = self.all.get(&key) else { return };
            if !process.ended || process.children > 0 {
                return;
            }
            let parent = process.parent;
            self.names -= process.names();
            self.all.remove(&key);
            if let Some(parent) = parent
                && let Some(process) = self.all.get_mut(&parent)
            {
                process.children = process.children.saturating_sub(1);
                at = Some(parent);
            }
        }
    }
}

fn keep<'n>(names: impl Iterator<Item = &'n [u8]>, (mut room, count): (usize, usize)) -> Vec<Vec<u8>> {
    let mut kept = Vec::new();
    for name in names.take(count) {
        if name.len() > room {
            break;
        }
        room -= name.len() + 1.min(room - name.len());
        kept.push(name.to_vec());
    }
    kept
}
