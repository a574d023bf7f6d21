//! Mounts by mount(2), what mount_setattr changes of them, and what flags and attributes are called.

use std::io::Write;

use blubr_log::event::MountMount;
use blubr_log::{Name, NameList, Seen};
use blubr_probes::wire::{wire_call, wire_field_id::*};

use super::{DecodeError, Decoder, Origin, tail};
use crate::log::{Cut, Log, seen};
use crate::overlay::{Known, Options, Overlay, View};
use crate::path::{absolute, walked};
use crate::record::Record;

/// The flags of mount(2), include/uapi/linux/mount.h, as mount(8) names them.
const MOUNT_FLAGS: [(u64, &str); 23] = [
    (1, "ro"),
    (1 << 1, "nosuid"),
    (1 << 2, "nodev"),
    (1 << 3, "noexec"),
    (1 << 4, "sync"),
    (1 << 5, "remount"),
    (1 << 6, "mand"),
    (1 << 7, "dirsync"),
    (1 << 8, "nosymfollow"),
    (1 << 10, "noatime"),
    (1 << 11, "nodiratime"),
    (1 << 12, "bind"),
    (1 << 13, "move"),
    (1 << 14, "rec"),
    (1 << 15, "silent"),
    (1 << 16, "acl"),
    (1 << 17, "unbindable"),
    (1 << 18, "private"),
    (1 << 19, "slave"),
    (1 << 20, "shared"),
    (1 << 21, "relatime"),
    (1 << 24, "strictatime"),
    (1 << 25, "lazytime"),
];
/// MS_MGC_VAL and its mask: old programs put it into the upper half.
const MAGIC: u64 = 0xc0ed_0000;
const MAGIC_MASK: u64 = 0xffff_0000;

/// MOUNT_ATTR_* of fsmount(2).
pub(super) const ATTRIBUTES: [(u64, &str); 9] = [
    (1, "ro"),
    (2, "nosuid"),
    (4, "nodev"),
    (8, "noexec"),
    (0x10, "noatime"),
    (0x20, "strictatime"),
    (0x80, "nodiratime"),
    (0x0010_0000, "idmap"),
    (0x0020_0000, "nosymfollow"),
];

/// What clearing an attribute by mount_setattr gives.
const CLEARED: [(u64, &str); 5] =
    [(1, "rw"), (2, "suid"), (4, "dev"), (8, "exec"), (0x0020_0000, "symfollow")];
/// MOUNT_ATTR__ATIME: of mount_setattr these three bits are one value.
const ATIME_MASK: u64 = 0x70;

/// Also what is mounted below, include/uapi/linux/fcntl.h.
pub(super) const AT_RECURSIVE: u64 = 0x8000;

/// What the bits that are set are called, in the order of the table.
pub(super) fn names(bits: u64, table: &[(u64, &str)]) -> NameList<'static> {
    NameList::from_names(table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name))
}

/// The directories of an overlay, as the caller's names lead there now.
pub(super) fn resolve(r: &Record<'_>, options: &Options, cwd: &[u8], known: &mut Known) -> Overlay {
    View::of(r.head.pid, r.head.ppid, r.head.mntns)
        .map(|view| options.resolve(&view, cwd, known))
        .unwrap_or_default()
}

/// The words of a caller's struct mount_attr: set, cleared, propagation, user namespace.
pub(super) fn attributes(r: &Record<'_>) -> Option<[u64; 4]> {
    let bytes: &[u8; 32] = r.text(WIRE_F_VALUE)?.bytes.first_chunk()?;
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |sum, b| sum << 8 | u64::from(*b));
    }
    Some(words)
}

/// As mount(8) would name what mount_setattr was asked for.
fn setattr_flags(words: [u64; 4], at_flags: u64) -> Vec<&'static str> {
    let mut flags = vec!["remount", "bind"];
    if at_flags & AT_RECURSIVE != 0 {
        flags.push("rec");
    }
    flags.extend(attribute_flags(words));
    flags
}

/// The same of the attributes alone.
pub(super) fn attribute_flags([set, cleared, propagation, _]: [u64; 4]) -> Vec<&'static str> {
    let mut flags = Vec::new();
    let given = |bits: u64, table: &[(u64, &'static str)]| {
        table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>()
    };
    if cleared & ATIME_MASK != 0 && set & ATIME_MASK == 0 {
        flags.push("relatime");
    }
    flags.extend(given(set, &ATTRIBUTES));
    flags.extend(given(cleared & !set, &CLEARED));
    let kinds = MOUNT_FLAGS.iter().filter(|(bit, _)| (1 << 17..=1 << 20).contains(bit));
    flags.extend(kinds.filter(|(bit, _)| propagation & bit != 0).map(|(_, name)| *name));
    flags
}

impl Decoder {
    pub(super) fn mount_setattr<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let from = Origin::User { raced: self.raced(r) };
        let mut cut = Cut::none();
        let target = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut self.path);
        cut.note("target", target.cut);
        let flags = attributes(r).map(|words| setattr_flags(words, call.args[2]));
        let mount = MountMount {
            source: Seen(None),
            target: seen(target.known, &self.path),
            cwd: None,
            fstype: None,
            flags: NameList::from_names(flags.unwrap_or_else(|| vec!["remount", "bind"])),
            options: None,
            lower: None,
            upper: None,
            work: None,
        };
        Ok(log.event(r.head, mount.into(), tail(r, from, &[target], &cut))?)
    }

    pub(super) fn mount<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let from = Origin::User { raced: self.raced(r) };
        let mut cut = Cut::none();
        let target = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_CWD), &mut self.path);
        let cwd = walked(r.field(WIRE_F_CWD), &mut self.to);
        cut.note("target", target.cut);
        cut.note("cwd", cwd.cut);
        cut.note("source", r.is_cut(WIRE_F_SOURCE));
        cut.note("fstype", r.is_cut(WIRE_F_FSTYPE));
        cut.note("options", r.is_cut(WIRE_F_OPTIONS));
        let string = |id| r.text(id).map(|field| field.bytes);
        let fstype = string(WIRE_F_FSTYPE).filter(|fstype| !fstype.is_empty());
        let options = string(WIRE_F_OPTIONS).filter(|options| !options.is_empty());
        let mut flags = call.args[3];
        if flags & MAGIC_MASK == MAGIC {
            flags &= !MAGIC_MASK;
        }
        let overlay = match (fstype, options) {
            (Some(b"overlay"), Some(options)) if r.head.ret >= 0 && !r.is_cut(WIRE_F_OPTIONS) => {
                resolve(r, &Options::parse(options), &self.to, &mut self.known)
            }
            _ => Overlay::default(),
        };
        let source = string(WIRE_F_SOURCE);
        let mount = MountMount {
            source: seen(source.is_some(), source.unwrap_or_default()),
            target: seen(target.known, &self.path),
            cwd: cwd.known.then(|| Name::from(self.to.as_slice())),
            fstype: fstype.map(Name::from),
            flags: names(flags, &MOUNT_FLAGS),
            options: options.map(Name::from),
            lower: overlay.lower.as_deref().map(NameList::from_block),
            upper: overlay.upper.as_deref().map(Name::from),
            work: overlay.work.as_deref().map(Name::from),
        };
        Ok(log.event(r.head, mount.into(), tail(r, from, &[target], &cut))?)
    }
}
