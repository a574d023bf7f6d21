//! Processes: born, running another program, ended, there before us.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write};

use blubr_log::event::{ProcessExec, ProcessExists, ProcessExit, ProcessFork};
use blubr_log::{Name, NameList, Seen};
use blubr_probes::wire::{
    self, wire_call, wire_exec, wire_exists, wire_exit, wire_field_id::*, wire_fork,
};

use super::{DecodeError, Decoder, Origin, USER, plain, tail};
use crate::log::{Cut, Log, seen};
use crate::path::{absolute, walked};
use crate::record::Record;

/// Bytes of paths of files open for writing that are kept of one process: with the longest argv they still fit a line
/// when every byte is escaped to six.
const OPEN_BYTES_MAX: usize = 24_576;
/// Processes whose files wait for the record of the process itself; it follows at once.
const WAITING_MAX: usize = 64;

const EXECVEAT: u32 = libc::SYS_execveat as u32;
/// include/uapi/linux/fcntl.h, since 6.14.
const AT_EXECVE_CHECK: u64 = 0x10000;

/// Files open for writing of processes that were there before us.
#[derive(Default)]
pub(super) struct Existing {
    files: HashMap<u32, (Vec<u8>, bool)>,
}

impl Decoder {
    /// One process of each mount namespace there was; asked for once.
    pub fn namespaces(&mut self) -> crate::mounts::Namespaces {
        std::mem::take(&mut self.namespaces)
    }

    /// A program that could not be started.
    pub(super) fn exec_failed<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_call = r.body()?;
        // Asked whether it may be executed: nobody tried to.
        if r.head.nr == EXECVEAT && body.args[4] & AT_EXECVE_CHECK != 0 {
            return Ok(());
        }
        let mut cut = Cut::none();
        let exe = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut self.path);
        let cwd = walked(r.field(WIRE_F_CWD), &mut self.to);
        cut.note("exe", exe.cut);
        cut.note("cwd", cwd.cut);
        cut.note("argv", r.is_cut(WIRE_F_ARGV));
        let exec = ProcessExec {
            exe: seen(exe.known, &self.path),
            argv: argv(r),
            cwd: seen(cwd.known, &self.to),
            gid: body.args[5] as u32,
            uid_before: None,
            gid_before: None,
            script: None,
            interpreter: None,
        };
        Ok(log.event(r.head, exec.into(), tail(r, USER, &[exe], &cut))?)
    }

    pub(super) fn fork<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_fork = r.body()?;
        let fork = ProcessFork { child_pid: body.child_pid, child_start: body.child_start_ns };
        Ok(log.event(r.head, fork.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn exec<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_exec = r.body()?;
        let mut cut = Cut::none();
        let exe = walked(r.field(WIRE_F_EXE), &mut self.path);
        let cwd = walked(r.field(WIRE_F_CWD), &mut self.to);
        cut.note("exe", exe.cut);
        cut.note("cwd", cwd.cut);
        cut.note("argv", r.is_cut(WIRE_F_ARGV));
        let string = |id| r.text(id).map(|field| Name::from(field.bytes));
        let exec = ProcessExec {
            exe: seen(exe.known, &self.path),
            argv: argv(r),
            cwd: seen(cwd.known, &self.to),
            gid: body.egid,
            uid_before: (body.changed != 0).then_some(body.euid_before),
            gid_before: (body.changed != 0).then_some(body.egid_before),
            script: string(WIRE_F_SCRIPT),
            interpreter: string(WIRE_F_INTERPRETER),
        };
        Ok(log.event(r.head, exec.into(), tail(r, Origin::Kernel, &[exe], &cut))?)
    }

    pub(super) fn exit<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_exit = r.body()?;
        // As wait(2) gives it: WTERMSIG in the low seven bits, else WEXITSTATUS.
        let signal = body.status & 0x7f;
        let exit = ProcessExit {
            code: (signal == 0).then_some((body.status >> 8) & 0xff),
            signal: (signal != 0).then_some(signal),
        };
        Ok(log.event(r.head, exit.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn exists_file(&mut self, r: &Record<'_>) -> Result<(), DecodeError> {
        let path = walked(r.field(WIRE_F_PATH), &mut self.path);
        if !path.known {
            return Ok(());
        }
        if self.existing.files.len() >= WAITING_MAX {
            self.existing.files.clear();
        }
        let (list, cut) = self.existing.files.entry(r.head.pid).or_default();
        *cut |= path.cut;
        if list.len() + self.path.len() >= OPEN_BYTES_MAX {
            *cut = true;
        } else {
            list.extend_from_slice(&self.path);
            list.push(0);
        }
        Ok(())
    }

    pub(super) fn exists<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_exists = r.body()?;
        let mut cut = Cut::none();
        // Kernel threads see no more than the first process does.
        if body.kthread == 0 {
            self.namespaces.entry(r.head.mntns).or_insert(*r.head);
        }
        let (files, files_cut) = self.existing.files.remove(&r.head.pid).unwrap_or_default();
        let exe = walked(r.field(WIRE_F_EXE), &mut self.path);
        let cwd = walked(r.field(WIRE_F_CWD), &mut self.to);
        cut.note("exe", exe.cut);
        cut.note("cwd", cwd.cut);
        cut.note("open_for_writing", files_cut);
        let argv = if body.kthread != 0 { Some(false) } else { self.read_argv(r) };
        if body.kthread != 0 {
            self.more.clear();
        }
        cut.note("argv", argv == Some(true));
        let exists = ProcessExists {
            exe: seen(exe.known, &self.path),
            argv: Seen(argv.map(|_| NameList::from_block(&self.more))),
            cwd: seen(cwd.known, &self.to),
            open_for_writing: (!files.is_empty()).then(|| NameList::from_block(&files)),
        };
        Ok(log.event(r.head, exists.into(), tail(r, Origin::Kernel, &[exe], &cut))?)
    }

    /// argv of a process out of /proc into `self.more`, if it is still the same process; whether it was cut.
    fn read_argv(&mut self, r: &Record<'_>) -> Option<bool> {
        self.more.clear();
        let limit = u64::from(wire::WIRE_ARGV_MAX);
        let read = File::open(format!("/proc/{}/cmdline", r.head.pid))
            .and_then(|file| file.take(limit + 1).read_to_end(&mut self.more));
        if read.is_err() || !is_same(r.head.pid, r.head.start_ns) {
            return None;
        }
        let cut = self.more.len() as u64 > limit;
        self.more.truncate(limit as usize);
        Some(cut)
    }
}

/// A program's arguments, where they could be read.
fn argv<'r>(r: &Record<'r>) -> Seen<NameList<'r>> {
    Seen(r.text(WIRE_F_ARGV).map(|argv| NameList::from_block(argv.bytes)))
}

/// Whether the process of that number is still the one that began then: /proc/PID/stat counts in ticks of 10 ms.
fn is_same(pid: u32, start_ns: u64) -> bool {
    const NS_A_TICK: u64 = 10_000_000;
    start_ticks(pid).is_ok_and(|ticks| ticks.is_some_and(|t| t.abs_diff(start_ns / NS_A_TICK) <= 1))
}

fn start_ticks(pid: u32) -> io::Result<Option<u64>> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    let text = String::from_utf8_lossy(&stat);
    // The name in parentheses may hold anything; starttime is field 22, the 20th behind it.
    let after = text.rsplit_once(')').map(|(_, after)| after);
    Ok(after.and_then(|after| after.split_whitespace().nth(19)).and_then(|field| field.parse().ok()))
}
