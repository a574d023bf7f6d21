//! What could blind or alter the record.

use std::io::Write;

use blubr_log::event::{WatchBpf, WatchIouring, WatchKill, WatchModule, WatchPtrace, WatchSocket};
use blubr_log::{Name, NameList};
use blubr_probes::wire::{wire_call, wire_field_id::*, wire_ring, wire_signal};

use super::{DecodeError, Decoder, Origin, plain, tail};
use crate::log::{Cut, Log, seen};
use crate::path::walked;
use crate::record::Record;

/// enum bpf_cmd, include/uapi/linux/bpf.h, in its order.
const BPF_COMMANDS: [&str; 39] = [
    "map_create",
    "map_lookup_elem",
    "map_update_elem",
    "map_delete_elem",
    "map_get_next_key",
    "prog_load",
    "obj_pin",
    "obj_get",
    "prog_attach",
    "prog_detach",
    "prog_test_run",
    "prog_get_next_id",
    "map_get_next_id",
    "prog_get_fd_by_id",
    "map_get_fd_by_id",
    "obj_get_info_by_fd",
    "prog_query",
    "raw_tracepoint_open",
    "btf_load",
    "btf_get_fd_by_id",
    "task_fd_query",
    "map_lookup_and_delete_elem",
    "map_freeze",
    "btf_get_next_id",
    "map_lookup_batch",
    "map_lookup_and_delete_batch",
    "map_update_batch",
    "map_delete_batch",
    "link_create",
    "link_update",
    "link_get_fd_by_id",
    "link_get_next_id",
    "enable_stats",
    "iter_create",
    "link_detach",
    "prog_bind_map",
    "token_create",
    "prog_stream_read_by_fd",
    "prog_assoc_struct_ops",
];

/// IORING_SETUP_*, include/uapi/linux/io_uring.h, by bit.
const RING_FLAGS: [&str; 19] = [
    "iopoll",
    "sqpoll",
    "sq_aff",
    "cqsize",
    "clamp",
    "attach_wq",
    "r_disabled",
    "submit_all",
    "coop_taskrun",
    "taskrun_flag",
    "sqe128",
    "cqe32",
    "single_issuer",
    "defer_taskrun",
    "no_mmap",
    "registered_fd_only",
    "no_sqarray",
    "hybrid_iopoll",
    "cqe_mixed",
];

/// AF_*, include/linux/socket.h, of those that are told.
const FAMILIES: [(u64, &str); 17] = [
    (2, "inet"),
    (3, "ax25"),
    (4, "ipx"),
    (5, "appletalk"),
    (10, "inet6"),
    (15, "key"),
    (17, "packet"),
    (21, "rds"),
    (24, "pppox"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (38, "alg"),
    (40, "vsock"),
    (42, "qipcrtr"),
    (43, "smc"),
    (44, "xdp"),
];
/// SOCK_*, include/linux/net.h.
const SOCKET_TYPES: [(u64, &str); 6] =
    [(1, "stream"), (2, "dgram"), (3, "raw"), (4, "rdm"), (5, "seqpacket"), (10, "packet")];
/// SOCK_TYPE_MASK: the rest of socket(2)'s type are flags.
const SOCKET_TYPE_MASK: u64 = 0xf;

fn named(number: u64, table: &[(u64, &str)]) -> Name<'static> {
    let known = table.iter().find(|(one, _)| *one == number).map(|(_, name)| (*name).to_owned());
    Name(known.unwrap_or_else(|| number.to_string()).into_bytes().into())
}

fn ring_flags(flags: u32) -> NameList<'static> {
    let given = (0..32usize).filter(|bit| flags >> bit & 1 == 1);
    let names = given.map(|bit| match RING_FLAGS.get(bit) {
        Some(name) => (*name).to_owned(),
        None => bit.to_string(),
    });
    NameList::from_names(names.collect::<Vec<String>>())
}

impl Decoder {
    pub(super) fn watch_bpf<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        // The kernel takes an int.
        let number = call.args[0] as u32;
        let command = match usize::try_from(number).ok().and_then(|at| BPF_COMMANDS.get(at)) {
            Some(name) => (*name).to_owned(),
            None => number.to_string(),
        };
        let body = WatchBpf { command: Name(command.into_bytes().into()) };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn watch_ptrace<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let (request, target) = match i64::from(r.head.nr) {
            libc::SYS_process_vm_writev => ("process_vm_writev", call.args[0]),
            _ if call.args[0] == libc::PTRACE_ATTACH as u64 => ("attach", call.args[1]),
            _ => ("seize", call.args[1]),
        };
        let body = WatchPtrace { request: Name::from(request), target: target as u32 };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn watch_module<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let mut cut = Cut::none();
        let path = walked(r.field(WIRE_F_PATH), &mut self.path);
        cut.note("path", path.cut);
        cut.note("name", r.is_cut(WIRE_F_KEY));
        let removes = i64::from(r.head.nr) == libc::SYS_delete_module;
        let body = WatchModule {
            action: Name::from(if removes { "remove" } else { "load" }),
            path: seen(path.known, &self.path),
            name: r.text(WIRE_F_KEY).map(|field| Name::from(field.bytes)),
        };
        Ok(log.event(r.head, body.into(), tail(r, Origin::Kernel, &[path], &cut))?)
    }

    pub(super) fn watch_kill<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let signal: &wire_signal = r.body()?;
        let body = WatchKill { signal: signal.signal, target: signal.target };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn watch_iouring<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let ring: &wire_ring = r.body()?;
        let body = WatchIouring { entries: ring.entries, flags: ring_flags(ring.flags) };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn watch_socket<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let body = WatchSocket {
            family: named(call.args[0] & 0xffff_ffff, &FAMILIES),
            socktype: named(call.args[1] & SOCKET_TYPE_MASK, &SOCKET_TYPES),
        };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }
}
