//! What one step did, as it is gathered event by event.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blubr_attestation::path;
use blubr_attestation::trace::{
    Access, Counts, Direction, HostnameFrom, InvokingProcess, Network, Part, Place, Process, Touched,
};
use blubr_build::ProcessKey;
use blubr_log::event::{Addr, ProcessExec, ProcessExit, Proto};
use blubr_log::{Event, Head};

/// Paths, programs and connections that are kept over all steps; what is beyond is counted. A statement may have 400,000
/// objects, and each of these makes up to three.
pub const KEPT_MAX: usize = 120_000;
/// Bytes of paths and arguments that are kept over all steps.
pub const KEPT_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The same where the lists go into a file of their own, whose readers keep a gigabyte at most.
pub const DETAIL_KEPT_MAX: usize = 1_000_000;
/// Bytes of paths and arguments that are kept for such a file.
pub const DETAIL_KEPT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What may still be kept.
pub struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    /// What a statement has room for; or, where its lists go into a file of their own, that.
    pub fn new(has_detail: bool) -> Self {
        if has_detail {
            Self { entries: DETAIL_KEPT_MAX, bytes: DETAIL_KEPT_BYTES_MAX }
        } else {
            Self { entries: KEPT_MAX, bytes: KEPT_BYTES_MAX }
        }
    }

    /// Takes room for an entry; `false` when there is none.
    fn take(&mut self, bytes: usize) -> bool {
        if self.entries == 0 || self.bytes < bytes {
            return false;
        }
        self.entries -= 1;
        self.bytes -= bytes;
        true
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
    /// It lies on something that is mounted there, not in the step's layer.
    pub mounted: bool,
    /// A change is certain to leave something in the layer, if the name is no symlink (an open with O_CREAT for reading
    /// may find the file there).
    pub certain: bool,
    /// A change is certain to leave something even if the name is a symlink.
    pub certain_of_name: bool,
    /// A change was, or may have been, of the name itself.
    pub of_name: bool,
    /// A change went, or may have gone, through the name if that is a symlink.
    pub through: bool,
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
        !self.writes.is_empty()
    }

    /// Whether it was made, or may have been.
    pub fn is_made(&self) -> bool {
        self.writes.contains(&Access::Create)
    }

    /// Who changed it last.
    pub fn writer(&self) -> Option<ProcessKey> {
        self.written_by.map(|mark| mark.process)
    }
}

/// An access to a path.
pub struct Touch<'a> {
    pub path: &'a [u8],
    pub place: Place,
    pub access: Access,
    pub mounted: bool,
    pub certain: bool,
    pub follows: Follows,
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
    /// Connections, in the log's order of the first of each kind.
    pub network: Vec<Network>,
    connections: HashMap<Connection, usize>,
    /// Paths.
    pub paths: BTreeMap<(Place, Vec<u8>), Trail>,
    /// Renames within containers, in the log's order.
    pub renames: Vec<Renamed>,
    /// Symlinks that were made within containers, with what they led to.
    pub symlinks: BTreeMap<Vec<u8>, Vec<u8>>,
    /// In numbers.
    pub counts: Counts,
    /// Something was left out.
    pub shared: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Connection {
    process: ProcessKey,
    proto: u16,
    ip: Option<IpAddr>,
    port: u16,
    inwards: bool,
    failed: bool,
    name: Option<String>,
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
        trail.mounted = touch.mounted;
        let is_change = !matches!(touch.access, Access::Read | Access::Execute);
        trail.certain |= touch.certain;
        trail.certain_of_name |= touch.certain && touch.follows == Follows::No;
        trail.of_name |= is_change && touch.follows != Follows::Yes;
        trail.through |= is_change && touch.follows != Follows::No;
        let seq = actor.head.seq;
        let (list, by) = match touch.access {
            Access::Read | Access::Execute => (&mut trail.reads, &mut trail.read_by),
            _ => {
                trail.gone = matches!(touch.access, Access::Delete | Access::RenameFrom);
                trail.changed = seq;
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

    /// A symlink was made.
    pub fn symlink(&mut self, path: Vec<u8>, target: Vec<u8>, budget: &mut Budget) {
        if self.symlinks.contains_key(&path) || budget.take(path.len() + target.len()) {
            self.symlinks.insert(path, target);
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
        if !budget.take(bytes) {
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
            argv_truncated: event
                .tail
                .truncated
                .as_ref()
                .is_some_and(|cut| cut.iter().any(|field| field == b"argv")),
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
        let failed = to.ret < 0 && to.ret != EINPROGRESS;
        let key = Connection {
            process: actor.key,
            proto: to.proto.0,
            ip: Some(to.ip),
            port: to.port,
            inwards: to.direction == Direction::In,
            failed,
            name: None,
        };
        let entry = Network {
            ip: to.ip.to_string(),
            port: to.port,
            protocol: to.proto.to_string(),
            direction: to.direction,
            loopback: is_loopback(to.ip),
            ret: to.ret,
            ..self.entry(actor)
        };
        self.note(key, entry, budget);
    }

    /// A name was asked for.
    pub fn lookup(&mut self, actor: Actor<'_>, name: &str, server: Option<Addr>, budget: &mut Budget) {
        self.counts.network += 1;
        let ip = server.map(|server| server.0);
        let key = Connection {
            process: actor.key,
            proto: u16::MAX,
            ip,
            port: 53,
            inwards: false,
            failed: false,
            name: Some(name.to_owned()),
        };
        let entry = Network {
            ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
            hostname: Some(name.to_owned()),
            hostname_from: Some(HostnameFrom::Dns),
            port: 53,
            protocol: "dns".to_owned(),
            loopback: ip.is_some_and(is_loopback),
            ..self.entry(actor)
        };
        self.note(key, entry, budget);
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

    fn note(&mut self, key: Connection, entry: Network, budget: &mut Budget) {
        if let Some(known) = self.connections.get(&key).and_then(|at| self.network.get_mut(*at)) {
            known.count += 1;
            return;
        }
        let name = entry.hostname.as_ref().map_or(0, String::len);
        if !budget.take(name + 16) {
            self.counts.left_out += 1;
            return;
        }
        self.connections.insert(key, self.network.len());
        self.network.push(entry);
    }

    /// A connection ended.
    pub fn close(
        &mut self,
        key: ProcessKey,
        proto: Proto,
        ip: IpAddr,
        port: u16,
        sent: Option<u64>,
        received: Option<u64>,
    ) {
        self.counts.bytes_sent = self.counts.bytes_sent.saturating_add(sent.unwrap_or(0));
        self.counts.bytes_received = self.counts.bytes_received.saturating_add(received.unwrap_or(0));
        let found = [false, true].into_iter().find_map(|inwards| {
            let known = Connection {
                process: key,
                proto: proto.0,
                ip: Some(ip),
                port,
                inwards,
                failed: false,
                name: None,
            };
            self.connections.get(&known).copied()
        });
        let Some(entry) = found.and_then(|at| self.network.get_mut(at)) else { return };
        for (sum, more) in [(&mut entry.bytes_sent, sent), (&mut entry.bytes_received, received)] {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// The paths that were read, as the statement lists them.
    pub fn reads(&self) -> Vec<Touched> {
        self.list(|trail| (&trail.reads, trail.read_by))
    }

    /// The paths that were changed, as the statement lists them.
    pub fn writes(&self) -> Vec<Touched> {
        self.list(|trail| (&trail.writes, trail.written_by))
    }

    fn list(&self, side: impl Fn(&Trail) -> (&Vec<Access>, Option<Mark>)) -> Vec<Touched> {
        let touched = |((place, bytes), trail): (&(Place, Vec<u8>), &Trail)| {
            let (access, mark) = side(trail);
            let mark = mark?;
            let (path, path_b64) = path::keys(bytes);
            Some(Touched {
                path,
                path_b64,
                place: *place,
                access: access.clone(),
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

/// The other side of a connection.
pub struct Reached {
    pub proto: Proto,
    pub ip: IpAddr,
    pub port: u16,
    pub direction: Direction,
    pub ret: i64,
}

/// What connect(2) returns for a socket that doesn't wait (errno.h).
const EINPROGRESS: i64 = -115;

/// Whether an address is this host itself: loopback, or "any", which connects to loopback.
fn is_loopback(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_many_forms() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(is_loopback(text.parse().unwrap()), "{text}");
        }
        for text in ["192.0.2.1", "2001:db8::1", "10.0.0.1", "169.254.1.1"] {
            assert!(!is_loopback(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget { entries: 2, bytes: 10 };
        assert!(budget.take(4) && !budget.take(7) && budget.take(6) && !budget.take(0));
    }
}
