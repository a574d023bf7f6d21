//! Ring records to events of the log: one match over every kind there is.

mod file;
mod kind;
mod mount;
mod namespace;
mod net;
mod new_mount;
mod process;
mod ring;
mod stream;
mod watch;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use blubr_log::{Name, Tail};
use blubr_probes::wire::wire_kind::*;
use blubr_probes::wire::{self, wire_cgroup, wire_field_id, wire_field_id::*};

use crate::log::{Cut, Log};
use crate::path::{Told, absolute};
use crate::record::{Malformed, Record};

pub use kind::type_of;

/// Threads whose call has begun and not ended, that are remembered: they are far fewer than there are threads.
const ENTRIES_MAX: usize = 65_536;
/// Words that are kept of them: whoever hangs in a file system of their own keeps a call waiting as long as they like.
const ENTRIES_WORDS_MAX: usize = (32 << 20) / size_of::<u64>();

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record does not hold together.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The log could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Which bytes of datagram and raw sockets the probes count.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counted {
    /// Those that are sent.
    pub sent: bool,
    /// Those that are received.
    pub received: bool,
}

/// What must be remembered from one record to the next, and buffers that are used again.
#[derive(Default)]
pub struct Decoder {
    entries: Entries,
    mounts: new_mount::Calls,
    existing: process::Existing,
    requests: ring::Requests,
    namespaces: crate::mounts::Namespaces,
    known: crate::overlay::Known,
    streams: crate::payload::stream::Streams,
    path: Vec<u8>,
    to: Vec<u8>,
    more: Vec<u8>,
    counted: Counted,
}

/// A copy of a record, aligned as the ring's are.
fn words_of(bytes: &[u8]) -> Vec<u64> {
    let mut copy = Vec::with_capacity(bytes.len().div_ceil(8));
    copy_words(bytes, &mut copy);
    copy
}

fn copy_words(bytes: &[u8], into: &mut Vec<u64>) {
    into.extend(bytes.chunks(8).map(|chunk| {
        let mut word = [0u8; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u64::from_ne_bytes(word)
    }));
}

/// What path arguments held when a call began, by thread.
#[derive(Default)]
struct Entries {
    by_thread: HashMap<u32, Vec<u64>>,
    /// Words of all.
    kept: usize,
    /// Threads of whose call no more is known than that it was looked at: there were too many. No more than pid_max.
    forgotten: HashSet<u32>,
    spare: Vec<Vec<u64>>,
}

impl Entries {
    fn keep(&mut self, tid: u32, bytes: &[u8]) {
        if self.by_thread.len() >= ENTRIES_MAX || self.kept > ENTRIES_WORDS_MAX {
            self.forgotten.extend(self.by_thread.drain().map(|(tid, _)| tid));
            self.kept = 0;
        }
        self.forgotten.remove(&tid);
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy_words(bytes, &mut copy);
        // A buffer that was given back may be larger than what it holds.
        self.kept += copy.capacity();
        if let Some(old) = self.by_thread.insert(tid, copy) {
            self.kept -= old.capacity();
            self.give_back(old);
        }
    }

    fn take(&mut self, tid: u32) -> Option<Vec<u64>> {
        let taken = self.by_thread.remove(&tid)?;
        self.kept -= taken.capacity();
        Some(taken)
    }

    /// Whether what was kept of the call has been forgotten. A ring's request is not its thread's call.
    fn has_forgotten(&mut self, head: &wire::wire_head) -> bool {
        !self.forgotten.is_empty() && head.via == wire::WIRE_BY_CALL && self.forgotten.remove(&head.tid)
    }

    fn give_back(&mut self, used: Vec<u64>) {
        if self.spare.len() < 64 {
            self.spare.push(used);
        }
    }
}

impl Decoder {
    /// Nothing remembered yet.
    pub fn new(counted: Counted) -> Self {
        Decoder { counted, ..Decoder::default() }
    }

    /// Writes the event that a record tells of, if it is one, or remembers what it says for a later one.
    ///
    /// # Errors
    /// When the record does not hold together or the log can't be written.
    pub fn record<W: Write>(&mut self, bytes: &[u8], log: &mut Log<W>) -> Result<(), DecodeError> {
        let record = Record::parse(bytes)?;
        match record.kind {
            WIRE_ENTRY => {
                self.entries.keep(record.head.tid, bytes);
                Ok(())
            }
            WIRE_RING_DONE => self.answered(&record, log),
            _ if record.head.flags & wire::WIRE_PENDING != 0 => self.asked(&record, bytes, log),
            _ => self.event(&record, log),
        }
    }

    /// Writes the event of one record that needs no other, but for what was kept of the call's entry.
    fn event<W: Write>(&mut self, record: &Record<'_>, log: &mut Log<W>) -> Result<(), DecodeError> {
        match record.kind {
            WIRE_NONE | WIRE_ENTRY | WIRE_RING_DONE | WIRE_KIND_COUNT => {
                return Err(Malformed("kind").into());
            }
            WIRE_PROCESS_FORK => self.fork(record, log)?,
            WIRE_PROCESS_EXEC => self.exec(record, log)?,
            WIRE_EXEC_FAILED => self.exec_failed(record, log)?,
            WIRE_PROCESS_EXIT => self.exit(record, log)?,
            WIRE_PROCESS_EXISTS => self.exists(record, log)?,
            WIRE_EXISTS_FILE => self.exists_file(record)?,
            WIRE_FILE_OPEN => self.open(record, log)?,
            WIRE_FILE_CLOSE => self.close(record, log)?,
            WIRE_FILE_MKDIR
            | WIRE_FILE_MKNOD
            | WIRE_FILE_UNLINK
            | WIRE_FILE_RENAME
            | WIRE_FILE_LINK
            | WIRE_FILE_SYMLINK
            | WIRE_FILE_CHMOD
            | WIRE_FILE_CHOWN
            | WIRE_FILE_TRUNCATE
            | WIRE_FILE_SETXATTR
            | WIRE_FILE_UTIMES
            | WIRE_MOUNT_UMOUNT
            | WIRE_MOUNT_PIVOT_ROOT
            | WIRE_FS_CHROOT => self.with_entry(record, log)?,
            WIRE_MOUNT_MOUNT => self.mount(record, log)?,
            WIRE_MOUNT_SETATTR => self.mount_setattr(record, log)?,
            WIRE_FSOPEN => self.fsopen(record, log)?,
            WIRE_FSPICK => self.mounts.fspick(record)?,
            WIRE_FSCONFIG => self.fsconfig(record, log)?,
            WIRE_FSMOUNT => self.fsmount(record, log)?,
            WIRE_OPEN_TREE => self.open_tree(record, log)?,
            WIRE_MOVE_MOUNT => self.move_mount(record, log)?,
            WIRE_NS_UNSHARE => self.unshare(record, log)?,
            WIRE_NS_SETNS => self.setns(record, log)?,
            WIRE_CONNECT => self.connect(record, log)?,
            WIRE_NET_ACCEPT => self.accept(record, log)?,
            WIRE_NET_BIND => self.bind(record, log)?,
            WIRE_UNIX_BIND => self.unix_bind(record, log)?,
            WIRE_NET_LISTEN => self.listen(record, log)?,
            WIRE_NET_SEND => self.send(record, log)?,
            WIRE_NET_CLOSE => self.net_close(record, log)?,
            WIRE_DNS_PAYLOAD => self.dns(record, log)?,
            WIRE_TLS_PAYLOAD | WIRE_HTTP_PAYLOAD => self.beginning(record, log)?,
            WIRE_WATCH_BPF => self.watch_bpf(record, log)?,
            WIRE_WATCH_PTRACE => self.watch_ptrace(record, log)?,
            WIRE_WATCH_MODULE => self.watch_module(record, log)?,
            WIRE_WATCH_KILL => self.watch_kill(record, log)?,
            WIRE_WATCH_IOURING => self.watch_iouring(record, log)?,
            WIRE_WATCH_SOCKET => self.watch_socket(record, log)?,
            WIRE_CGROUP_MKDIR | WIRE_CGROUP_RENAME => {
                let body: &wire_cgroup = record.body()?;
                if let Some(path) = record.text(WIRE_F_PATH) {
                    log.cgroups.made(body.id, path.bytes);
                }
            }
            WIRE_CGROUP_RMDIR => {
                let body: &wire_cgroup = record.body()?;
                log.cgroups.removed(body.id);
            }
        }
        Ok(())
    }

    /// What was kept of the call's entry; `Entries::give_back` takes it again.
    fn kept(&mut self, record: &Record<'_>) -> Option<Vec<u64>> {
        // A ring's names are copies of the kernel's: they can't have changed.
        let by_call = record.head.via == wire::WIRE_BY_CALL;
        if by_call { self.entries.take(record.head.tid) } else { None }
    }

    /// Whether what the call names was other when it began, or nobody knows.
    fn raced(&mut self, record: &Record<'_>) -> bool {
        let Some(kept) = self.kept(record) else { return self.entries.has_forgotten(record.head) };
        let raced = entry(record, &kept).is_some_and(|entry| differ(record, &entry));
        self.entries.give_back(kept);
        raced
    }

    /// Puts the two paths of a call into the buffers, as they were named when it began where the call moves
    /// what names mean, and says whether two readings of them differ.
    fn with_entry<W: Write>(
        &mut self,
        record: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let kept = self.kept(record);
        let entry = kept.as_ref().and_then(|kept| entry(record, kept));
        let raced = match &entry {
            Some(entry) => differ(record, entry),
            None => self.entries.has_forgotten(record.head),
        };
        // What these calls move the names begin at: where the record of the entry was lost it is not known.
        let moves = matches!(record.kind, WIRE_MOUNT_UMOUNT | WIRE_MOUNT_PIVOT_ROOT | WIRE_FS_CHROOT);
        let now = |id| record.field(id).filter(|_| !moves || record.head.via != wire::WIRE_BY_CALL);
        let based = |id| entry.as_ref().and_then(|entry| entry.field(id)).or(now(id));
        let path = absolute(record.field(WIRE_F_PATH), based(WIRE_F_BASE), &mut self.path);
        let to = absolute(record.field(WIRE_F_TO), based(WIRE_F_TO_BASE), &mut self.to);
        self.path_call(record, Paths { path, to, raced }, log)?;
        if let Some(kept) = kept {
            self.entries.give_back(kept);
        }
        Ok(())
    }
}

/// The paths of a call, in the decoder's buffers.
#[derive(Clone, Copy)]
struct Paths {
    path: Told,
    to: Told,
    raced: bool,
}

/// The record of a call's entry, where it is of the same call.
fn entry<'k>(record: &Record<'_>, kept: &'k [u64]) -> Option<Record<'k>> {
    use zerocopy::IntoBytes as _;
    Record::parse(kept.as_bytes()).ok().filter(|entry| entry.head.nr == record.head.nr)
}

/// What a call names its files by, in the caller's memory.
const NAMING: [wire_field_id; 5] =
    [WIRE_F_PATH, WIRE_F_TO, WIRE_F_SOURCE, WIRE_F_FSTYPE, WIRE_F_OPTIONS];
/// What those names begin at, or the file itself: told where somebody else can change it.
const BEGINNING: [wire_field_id; 2] = [WIRE_F_PATH_AT, WIRE_F_TO_AT];

/// Whether what could be read both times was not the same. Who could change a beginning may have gone before the call came
/// back: then it was read once, and may have been another.
fn differ(record: &Record<'_>, entry: &Record<'_>) -> bool {
    let named = NAMING.into_iter().any(|id| match (record.text(id), entry.text(id)) {
        (Some(now), Some(then)) => now.bytes != then.bytes,
        _ => false,
    });
    let began = BEGINNING.into_iter().any(|id| {
        let then = entry.field(id);
        then.is_some_and(|then| record.field(id).is_none_or(|now| now.bytes != then.bytes))
    });
    named || began
}

/// How an event's paths came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The kernel resolved them.
    Kernel,
    /// The caller's string; whether two readings of it differ.
    User { raced: bool },
}

/// The tail of an event whose paths came from there, or of one without paths.
fn tail(record: &Record<'_>, from: Origin, told: &[Told], cut: &Cut) -> Tail<'static> {
    let outside = told.iter().any(|told| told.known && told.outside);
    let path_from = match from {
        Origin::User { raced: true } => Some("user-raced"),
        _ if outside => Some("outside"),
        Origin::User { raced: false } => Some("user"),
        Origin::Kernel => None,
    };
    let via = match record.head.via {
        wire::WIRE_BY_RING => Some("io_uring"),
        wire::WIRE_BY_SCM_RIGHTS => Some("scm_rights"),
        wire::WIRE_BY_PIDFD_GETFD => Some("pidfd_getfd"),
        _ => None,
    };
    Tail {
        path_from: path_from.map(Name::from),
        fd_path: None,
        via: via.map(Name::from),
        truncated: cut.list(),
        ret: record.ret(),
    }
}

/// The tail of an event without paths.
fn plain(record: &Record<'_>, cut: &Cut) -> Tail<'static> {
    tail(record, Origin::Kernel, &[], cut)
}

/// The caller's string, read once.
const USER: Origin = Origin::User { raced: false };

#[cfg(test)]
mod tests;
