//! Namespaces: left, entered, made with a process.

use std::io::Write;

use blubr_log::event::{NsSetns, NsUnshare};
use blubr_probes::wire::wire_call;

use super::mount::names;
use super::{DecodeError, Decoder, plain};
use crate::log::{Cut, Log};
use crate::record::Record;

/// CLONE_NEW*, include/uapi/linux/sched.h.
const NAMESPACES: [(u64, &str); 8] = [
    (0x0002_0000, "mnt"),
    (0x4000_0000, "net"),
    (0x2000_0000, "pid"),
    (0x1000_0000, "user"),
    (0x0400_0000, "uts"),
    (0x0800_0000, "ipc"),
    (0x0200_0000, "cgroup"),
    (0x80, "time"),
];

impl Decoder {
    pub(super) fn unshare<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let namespaces = names(call.args[0], &NAMESPACES);
        // unshare(CLONE_FILES) and its like change no namespace.
        if namespaces.is_empty() {
            return Ok(());
        }
        let body = NsUnshare { namespaces };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn setns<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let body = NsSetns { namespaces: names(call.args[1], &NAMESPACES) };
        Ok(log.event(r.head, body.into(), plain(r, &Cut::none()))?)
    }
}
