//! What one step did, as it is gathered event by event.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blubr_attestation::path;
use blubr_attestation::trace::{
    Access, Counts, InvokingProcess, Network, Part, Place, Process, Touched,
};
use blubr_build::ProcessKey;
use blubr_log::event::{Addr, ProcessExec, ProcessExit};
use blubr_log::{Event, Head};

use super::apart::Lies;
use super::connections::{Bytes, Claim, Connections, Reached};

/// Paths, programs and connections that are kept over all steps; what is beyond is counted. A path makes five of the objects and
/// arrays that a statement may have (STATEMENT_NODES_MAX: itself and its accesses with its step, and those and its annotations in
/// fileAccess), a program four: from some 80,000 paths on it is the statement that is full, and says what to do.
pub const KEPT_MAX: usize = 120_000;
/// Bytes of paths and arguments that are kept over all steps.
pub const KEPT_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The same where the lists go into a file of their own, whose readers keep a gigabyte at most.
pub const DETAIL_KEPT_MAX: usize = 500_000;
/// Bytes of paths and arguments that are kept for such a file.
pub const DETAIL_KEPT_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Arguments of programs that are kept over all steps: each takes memory by itself, however short it is.
pub const ARGUMENTS_MAX: usize = 500_000;
/// The same where the lists go into a file of their own.
pub const DETAIL_ARGUMENTS_MAX: usize = 2_000_000;

/// Connections of all steps that are there at the same time and may still be named.
pub const LIVE_MAX: usize = 50_000;

/// What may still be kept.
pub struct Budget {
    entries: usize,
    bytes: usize,
    arguments: usize,
    live: usize,
}

impl Budget {
    /// What a statement has room for; or, where its lists go into a file of their own, that.
    pub fn new(has_detail: bool) -> Self {
        let (entries, bytes, arguments) = if has_detail {
            (DETAIL_KEPT_MAX, DETAIL_KEPT_BYTES_MAX, DETAIL_ARGUMENTS_MAX)
        } else {
            (KEPT_MAX, KEPT_BYTES_MAX, ARGUMENTS_MAX)
        };
        Self { entries, bytes, arguments, live: LIVE_MAX }
    }

    /// Takes room for a program with so many arguments; `false` when there is none.
    fn take_program(&mut self, arguments: usize, bytes: usize) -> bool {
        let there = self.arguments >= arguments && self.take(bytes);
        if there {
            self.arguments -= arguments;
        }
        there
    }

    /// Takes room for an entry; `false` when there is none.
    pub fn take(&mut self, bytes: usize) -> bool {
        if self.entries == 0 || self.bytes < bytes {
            return false;
        }
        self.entries -= 1;
        self.bytes -= bytes;
        true
    }

    /// Takes room for a connection or a look-up, which takes as much memory as two paths; `false` when there is none.
    pub fn take_connection(&mut self, bytes: usize) -> bool {
        self.entries >= 2 && self.take(bytes) && self.take(0)
    }

    /// Takes room for a connection that is waited for; `false` when there is none.
    pub fn take_live(&mut self) -> bool {
        let there = self.live > 0;
        self.live = self.live.saturating_sub(1);
        there
    }

    /// Gives it back.
    pub fn give_live(&mut self) {
        self.live += 1;
    }
}

/// What happened to one path.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    reads: Vec<Access>,
    writes: Vec<Access>,
    read_by: Option<Mark>,
    written_by: Option<Mark>,
    /// The last change took the name away.
    pub gone: bool,
    /// `seq` of the last change; 0 for none.
    pub changed: u64,
    /// `seq` of the first that made it, or may have; 0 for none.
    pub made: u64,
    /// `seq` of the last one that left nothing of what the name held before; 0 for none.
    pub anew: u64,
    /// Who wrote to it, made it or gave it the name last.
    filled_by: Option<ProcessKey>,
    /// It lies on something that is mounted there, not in the step's layer.
    pub mounted: bool,
    /// A change of it may be in the step's layer: not all were upon what the runtime mounts for the step's time only.
    pub laid: bool,
    /// A change is certain to leave something in the layer, if the name is no symlink (an open with O_CREAT for reading
    /// may find the file there).
    pub certain: bool,
    /// A change is certain to leave something even if the name is a symlink.
    pub certain_of_name: bool,
    /// A change was, or may have been, of the name itself.
    pub of_name: bool,
    /// A change went, or may have gone, through the name if that is a symlink.
    pub through: bool,
    /// The run whose container changed it last.
    pub run: Option<u32>,
    /// What got the name last is a socket: no layer holds one, whatever is done to it.
    pub socket: bool,
    /// A change was by a name that the kernel had resolved: no directory in it was a symlink then.
    pub real: bool,
    /// `seq` of the first and of the last change by a name as its caller spelled it.
    pub spelled: Option<(u64, u64)>,
    /// The last change was by a process with mounts of its own, and may be of no layer.
    pub apart: bool,
    /// Something was done to what has another name, of which this is the end. It counts as no change of this one.
    cut: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    process: ProcessKey,
    seq: u64,
    count: u64,
}

impl Trail {
    /// Whether it was changed at all.
    pub fn is_change(&self) -> bool {
        self.changed > 0
    }

    /// Whether the name was given to something: to what was, or may have been, made, or to what had another name.
    pub fn is_given(&self) -> bool {
        self.writes.iter().any(|access| matches!(access, Access::Create | Access::RenameTo))
    }

    /// Whether the name was taken away at some time.
    pub fn is_taken(&self) -> bool {
        self.writes.iter().any(|access| matches!(access, Access::Delete | Access::RenameFrom))
    }

    /// Who changed it last: its content, where that was changed and is still there.
    pub fn writer(&self) -> Option<ProcessKey> {
        let last = self.written_by.map(|mark| mark.process);
        self.filled_by.filter(|_| !self.gone).or(last)
    }
}

/// An access to a path.
pub struct Touch<'a> {
    pub path: &'a [u8],
    pub place: Place,
    pub run: Option<u32>,
    pub access: Access,
    pub mounted: bool,
    /// It may be of the step's layer.
    pub laid: bool,
    pub certain: bool,
    /// It leaves nothing of what the name held before.
    pub anew: bool,
    pub follows: Follows,
    /// It is of the open file only: a close, which may come after the name was taken away.
    pub of_file: bool,
    /// What is made there is a socket.
    pub socket: bool,
    /// The kernel resolved the name.
    pub real: bool,
    /// It is the end of a longer one: it says nothing of what has this name.
    pub cut: bool,
    /// Where it lies for a process with mounts of its own.
    pub lies: Lies,
}

/// Whether a call follows a symlink that the path ends in. What was opened has its name from the kernel, so that there is
/// nothing left to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// The log does not say.
    Unknown,
}

/// A name that was given to what had another one.
#[derive(Debug, Clone)]
pub struct Renamed {
    /// The old name.
    pub from: Vec<u8>,
    /// The new name.
    pub to: Vec<u8>,
    /// When.
    pub seq: u64,
    /// In which run's container.
    pub run: u32,
    /// The kernel resolved the names.
    pub real: bool,
}

/// A symlink that was made.
#[derive(Debug, Clone)]
pub struct Symlink {
    /// What it holds.
    pub target: Vec<u8>,
    /// When the first of that name was made.
    pub first: u64,
}

/// Who did something, and when.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    pub key: ProcessKey,
    pub head: &'a Head<'a>,
    pub part: Part,
}

/// What one step did.
#[derive(Default)]
pub struct Doing {
    /// Programs, in the log's order.
    pub processes: Vec<Process>,
    running: HashMap<ProcessKey, usize>,
    /// Connections and look-ups.
    pub connections: Connections,
    /// Paths.
    pub paths: BTreeMap<(Place, Vec<u8>), Trail>,
    /// Renames within containers, in the log's order.
    pub renames: Vec<Renamed>,
    /// Symlinks that were made within containers: the last of each name.
    pub symlinks: BTreeMap<Vec<u8>, Symlink>,
    /// In numbers.
    pub counts: Counts,
    /// Something was left out.
    pub shared: bool,
}

impl Doing {
    /// A path was touched.
    pub fn touch(&mut self, actor: Actor<'_>, touch: &Touch<'_>, budget: &mut Budget) {
        let key = (touch.place, touch.path.to_vec());
        if !self.paths.contains_key(&key) && !budget.take(touch.path.len()) {
            self.counts.left_out += 1;
            return;
        }
        let trail = self.paths.entry(key).or_default();
        trail.cut |= touch.cut;
        if !touch.cut {
            trail.mounted = touch.mounted || matches!(touch.lies, Lies::Below | Lies::Elsewhere);
        }
        let is_elsewhere = touch.cut || touch.lies == Lies::Elsewhere;
        let is_change = !is_elsewhere && !matches!(touch.access, Access::Read | Access::Execute);
        trail.laid |= is_change && touch.laid;
        let is_certain = is_change && touch.certain && touch.lies == Lies::InTree;
        trail.certain |= is_certain;
        trail.certain_of_name |= is_certain && touch.follows == Follows::No;
        trail.of_name |= is_change && touch.follows != Follows::Yes;
        trail.through |= is_change && touch.follows != Follows::No;
        let seq = actor.head.seq;
        if is_change && touch.access == Access::Create {
            trail.socket = touch.socket;
            if trail.made == 0 {
                trail.made = seq;
            }
        }
        let (list, by) = match touch.access {
            Access::Read | Access::Execute => (&mut trail.reads, &mut trail.read_by),
            _ if is_elsewhere => (&mut trail.writes, &mut trail.written_by),
            _ => {
                let takes = matches!(touch.access, Access::Delete | Access::RenameFrom);
                trail.gone = takes || touch.of_file && trail.gone;
                trail.changed = seq;
                trail.apart = touch.lies != Lies::InTree;
                trail.run = touch.run;
                if touch.anew {
                    trail.anew = seq;
                }
                trail.real |= touch.real;
                if !touch.real {
                    trail.spelled = Some((trail.spelled.map_or(seq, |(first, _)| first), seq));
                }
                if matches!(touch.access, Access::Create | Access::Write | Access::RenameTo) {
                    trail.filled_by = Some(actor.key);
                }
                (&mut trail.writes, &mut trail.written_by)
            }
        };
        if let Err(at) = list.binary_search(&touch.access) {
            list.insert(at, touch.access);
        }
        let count = by.map_or(0, |mark| mark.count) + 1;
        *by = Some(Mark { process: actor.key, seq, count });
    }

    /// Something got another name.
    pub fn rename(&mut self, renamed: Renamed, budget: &mut Budget) {
        if budget.take(renamed.from.len() + renamed.to.len()) {
            self.renames.push(renamed);
        } else {
            self.counts.left_out += 1;
        }
    }

    /// In a container, what has the name `from` got the name `to` too, or instead.
    pub fn named_anew(&mut self, from: &[u8], to: &[u8], exchange: bool) {
        let is_socket = |name: &[u8]| {
            self.paths.get(&(Place::Container, name.to_vec())).is_some_and(|trail| trail.socket)
        };
        let mut sockets = vec![(to, is_socket(from))];
        if exchange {
            sockets.push((from, is_socket(to)));
        }
        for (name, socket) in sockets {
            if let Some(trail) = self.paths.get_mut(&(Place::Container, name.to_vec())) {
                trail.socket = socket;
            }
        }
    }

    /// A symlink was made.
    pub fn symlink(&mut self, path: Vec<u8>, target: Vec<u8>, seq: u64, budget: &mut Budget) {
        let first = self.symlinks.get(&path).map(|link| link.first);
        if first.is_some() || budget.take(path.len() + target.len()) {
            self.symlinks.insert(path, Symlink { target, first: first.unwrap_or(seq) });
        } else {
            self.counts.left_out += 1;
        }
    }

    /// A program was run.
    pub fn exec(
        &mut self,
        actor: Actor<'_>,
        event: &Event<'_>,
        exec: &ProcessExec<'_>,
        exe: Option<&[u8]>,
        budget: &mut Budget,
    ) {
        self.counts.processes += 1;
        let arguments: Vec<&[u8]> =
            exec.argv.get().map(|argv| argv.iter().collect()).unwrap_or_default();
        let bytes = arguments.iter().map(|argument| argument.len()).sum::<usize>();
        if !budget.take_program(arguments.len(), bytes) {
            self.counts.left_out += 1;
            return;
        }
        let odd = arguments.iter().any(|argument| std::str::from_utf8(argument).is_err());
        let (exe, exe_b64) = exe.map_or((None, None), path::keys);
        self.running.insert(actor.key, self.processes.len());
        self.processes.push(Process {
            id: actor.key.to_string(),
            ppid: actor.head.ppid,
            exe,
            exe_b64,
            argv: arguments
                .iter()
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect(),
            argv_b64: if odd {
                arguments.iter().map(|argument| STANDARD.encode(argument)).collect()
            } else {
                vec![]
            },
            argv_truncated: event.tail.is_cut("argv"),
            uid: actor.head.uid,
            time: actor.head.time.to_string(),
            seq: actor.head.seq,
            exit: None,
            signal: None,
            part: actor.part,
            step: None,
            shared: self.shared,
        });
    }

    /// A process ended.
    pub fn exit(&mut self, key: ProcessKey, exit: &ProcessExit) {
        if let Some(process) = self.running.remove(&key).and_then(|at| self.processes.get_mut(at)) {
            process.exit = exit.code.and_then(|code| i32::try_from(code).ok());
            process.signal = exit.signal.and_then(|signal| i32::try_from(signal).ok());
        }
    }

    /// A connection was begun, accepted, or a first datagram sent.
    pub fn connect(&mut self, actor: Actor<'_>, to: &Reached, budget: &mut Budget) {
        self.counts.network += 1;
        let entry = self.entry(actor);
        self.connections.begin(actor.key, to, entry, budget);
    }

    /// A name was asked for.
    pub fn lookup(&mut self, actor: Actor<'_>, name: &str, server: Option<Addr>, budget: &mut Budget) {
        self.counts.network += 1;
        let entry = self.entry(actor);
        self.connections.lookup(actor.key, name, server.map(|server| server.0), entry, budget);
    }

    /// A process said by what name it reaches the other side.
    pub fn name(&mut self, actor: Actor<'_>, to: &Reached, claim: Claim, budget: &mut Budget) {
        let entry = self.entry(actor);
        self.connections.name(actor.key, to, claim, entry, budget);
    }

    fn entry(&self, actor: Actor<'_>) -> Network {
        let exe = self
            .running
            .get(&actor.key)
            .and_then(|at| self.processes.get(*at))
            .and_then(|one| one.exe.clone());
        Network {
            invoking_process: InvokingProcess {
                id: actor.key.to_string(),
                comm: actor.head.comm.lossy().into_owned(),
                exe,
            },
            count: 1,
            time: actor.head.time.to_string(),
            seq: actor.head.seq,
            shared: self.shared,
            ..Network::default()
        }
    }

    /// A connection ended.
    pub fn close(&mut self, key: ProcessKey, to: &Reached, bytes: Bytes, budget: &mut Budget) {
        self.count_bytes(bytes);
        self.connections.close(key, to, bytes, budget);
    }

    /// Bytes went over the network.
    pub fn count_bytes(&mut self, bytes: Bytes) {
        self.counts.bytes_sent = self.counts.bytes_sent.saturating_add(bytes.sent.unwrap_or(0));
        self.counts.bytes_received =
            self.counts.bytes_received.saturating_add(bytes.received.unwrap_or(0));
    }

    /// Nothing more comes.
    pub fn end(&mut self, budget: &mut Budget) {
        self.connections.end(budget);
        self.counts.left_out += self.connections.left_out;
    }

    /// The paths that were read, as the statement lists them.
    pub fn reads(&self) -> Vec<Touched> {
        self.list(|trail| (&trail.reads, trail.read_by), |_| None)
    }

    /// The paths that were changed, as the statement lists them.
    pub fn writes(&self) -> Vec<Touched> {
        // Of what only has the same end as a longer name the trail keeps no order.
        let gone = |trail: &Trail| (trail.is_taken() && !trail.cut).then_some(trail.gone);
        self.list(|trail| (&trail.writes, trail.written_by), gone)
    }

    fn list(
        &self,
        side: impl Fn(&Trail) -> (&Vec<Access>, Option<Mark>),
        gone: impl Fn(&Trail) -> Option<bool>,
    ) -> Vec<Touched> {
        let touched = |((place, bytes), trail): (&(Place, Vec<u8>), &Trail)| {
            let (access, mark) = side(trail);
            let mark = mark?;
            let (path, path_b64) = path::keys(bytes);
            Some(Touched {
                path,
                path_b64,
                path_truncated: trail.cut,
                place: *place,
                access: access.clone(),
                gone: gone(trail).filter(|_| trail.is_change()),
                process: mark.process.to_string(),
                count: mark.count,
                seq: mark.seq,
                mounted: *place == Place::Container && trail.mounted,
                shared: self.shared,
            })
        };
        self.paths.iter().filter_map(touched).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_after_the_name_was_taken_away_does_not_bring_it_back() {
        let mut doing = Doing::default();
        let mut budget = Budget::new(false);
        let head = Head {
            seq: 1,
            time: blubr_log::Time(0),
            r#type: "file.open".into(),
            pid: 1,
            tid: 1,
            start: 1,
            ppid: 0,
            comm: "x".into(),
            uid: 0,
            cgroup: blubr_log::Seen(None),
            cgroup_id: 1,
            mntns: 1,
        };
        let actor = Actor { key: ProcessKey { pid: 1, start: 1 }, head: &head, part: Part::Container };
        let mut touch = |access, of_file| {
            let touch = Touch {
                path: b"/t",
                place: Place::Container,
                run: None,
                access,
                mounted: false,
                laid: true,
                certain: true,
                anew: false,
                follows: Follows::No,
                of_file,
                socket: false,
                real: true,
                cut: false,
                lies: Lies::InTree,
            };
            doing.touch(actor, &touch, &mut budget);
            doing.writes().first().and_then(|touched| touched.gone)
        };
        assert_eq!(touch(Access::Create, false), None, "nothing took it away");
        assert_eq!(touch(Access::Delete, false), Some(true));
        assert_eq!(touch(Access::Write, true), Some(true), "a close");
        assert_eq!(touch(Access::Create, false), Some(false), "made anew");
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget { entries: 3, bytes: 11, arguments: 2, live: 1 };
        assert!(!budget.take_program(3, 1) && budget.take_program(2, 1), "three arguments are too many");
        assert!(budget.take(4) && !budget.take(7) && !budget.take_connection(1));
        assert!(budget.take(6) && !budget.take(0));
        let mut two = Budget { entries: 2, bytes: 1, arguments: 0, live: 0 };
        assert!(two.take_connection(1) && !two.take(0), "a connection takes two");
        assert!(budget.take_live() && !budget.take_live());
        budget.give_live();
        assert!(budget.take_live());
    }
}
