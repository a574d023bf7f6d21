//! Mounts by both interfaces, and namespaces.

use std::collections::HashMap;
use std::io::Write;

use blubr_log::event::{MountMount, NsSetns, NsUnshare};
use blubr_log::{Name, NameList, Seen};
use blubr_probes::wire::{wire_call, wire_field_id::*};

use super::{DecodeError, Decoder, Origin, USER, tail};
use crate::log::{Cut, Log, seen};
use crate::overlay::{Known, Options, Overlay, View};
use crate::path::{absolute, walked};
use crate::record::{Malformed, Record};

/// Descriptors of file-system contexts and detached mounts that are remembered; they live for microseconds.
const CONTEXTS_MAX: usize = 4096;
/// Bytes of options that are kept of one context.
const OPTIONS_MAX: usize = 65_536;

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
const ATTRIBUTES: [(u64, &str); 9] = [
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

/// What clearing an attribute by mount_setattr gives.
const CLEARED: [(u64, &str); 5] =
    [(1, "rw"), (2, "suid"), (4, "dev"), (8, "exec"), (0x0020_0000, "symfollow")];
/// MOUNT_ATTR__ATIME: of mount_setattr these three bits are one value.
const ATIME_MASK: u64 = 0x70;

/// fsconfig(2) commands that make or change a file system, include/uapi/linux/mount.h.
const FSCONFIG_CMD_CREATE: u64 = 6;
const FSCONFIG_CMD_RECONFIGURE: u64 = 7;
const FSCONFIG_CMD_CREATE_EXCL: u64 = 8;

const OPEN_TREE_CLONE: u64 = 1;
const AT_RECURSIVE: u64 = 0x8000;

fn names(bits: u64, table: &[(u64, &str)]) -> NameList<'static> {
    NameList::from_names(table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name))
}

fn owned(list: &[u8]) -> NameList<'_> {
    NameList::from_block(list)
}

/// A mount on its way through the new interface.
#[derive(Debug, Default, Clone)]
struct Context {
    fstype: Option<Vec<u8>>,
    source: Option<Vec<u8>>,
    options: Vec<u8>,
    overlay: Options,
    flags: Vec<&'static str>,
    cwd: Vec<u8>,
    /// Of a mount that is there already (fspick): where.
    target: Option<Vec<u8>>,
}

/// File-system contexts and detached mounts by process and descriptor.
#[derive(Default)]
pub(super) struct Calls {
    contexts: HashMap<(u32, i64), Context>,
}

impl Calls {
    fn keep(&mut self, pid: u32, fd: i64, context: Context) {
        if self.contexts.len() >= CONTEXTS_MAX {
            self.contexts.clear();
        }
        self.contexts.insert((pid, fd), context);
    }

    pub(super) fn fspick(&mut self, r: &Record<'_>) -> Result<(), Malformed> {
        if r.head.ret >= 0 {
            let mut target = Vec::new();
            let told = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut target);
            let target = told.known.then_some(target);
            self.keep(r.head.pid, r.head.ret, Context { target, ..Context::default() });
        }
        Ok(())
    }

    fn set(&mut self, r: &Record<'_>) -> Result<(), Malformed> {
        let call: &wire_call = r.body()?;
        let fd = i64::from(call.args[0] as i32);
        let (Some(context), Some(key)) = (self.contexts.get_mut(&(r.head.pid, fd)), r.text(WIRE_F_KEY))
        else {
            return Ok(());
        };
        let mut buffer = Vec::new();
        let value = match r.text(WIRE_F_VALUE) {
            Some(field) if field.has(blubr_probes::wire::WIRE_WALKED) => {
                walked(Some(field), &mut buffer);
                Some(buffer)
            }
            Some(field) if r.field(WIRE_F_BASE).is_some() => {
                absolute(Some(field), r.field(WIRE_F_BASE), &mut buffer);
                Some(buffer)
            }
            Some(field) => Some(field.bytes.to_vec()),
            None => None,
        };
        walked(r.field(WIRE_F_CWD), &mut context.cwd);
        if let Some(value) = &value {
            context.overlay.set(key.bytes, value);
        }
        if key.bytes == b"source" {
            context.source = value;
            return Ok(());
        }
        if context.options.len() + key.bytes.len() < OPTIONS_MAX {
            if !context.options.is_empty() {
                context.options.push(b',');
            }
            context.options.extend_from_slice(key.bytes);
            if let Some(value) = value {
                context.options.push(b'=');
                context.options.extend_from_slice(&value);
            }
        }
        Ok(())
    }
}

fn resolve(r: &Record<'_>, options: &Options, cwd: &[u8], known: &mut Known) -> Overlay {
    known.mntns = r.head.mntns;
    View::of(r.head.pid, r.head.ppid, r.head.mntns)
        .map(|view| options.resolve(&view, cwd, known))
        .unwrap_or_default()
}

/// The words of a caller's struct mount_attr: set, cleared, propagation, user namespace.
fn attributes(r: &Record<'_>) -> Option<[u64; 4]> {
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
fn attribute_flags([set, cleared, propagation, _]: [u64; 4]) -> Vec<&'static str> {
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

    /// A mount of the new interface that did not come about, or one that was changed.
    fn unplaced<W: Write>(
        &mut self,
        r: &Record<'_>,
        context: &Context,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let from = if context.target.is_some() { USER } else { Origin::Kernel };
        let mount = MountMount {
            source: seen(context.source.is_some(), context.source.as_deref().unwrap_or_default()),
            target: seen(context.target.is_some(), context.target.as_deref().unwrap_or_default()),
            cwd: (!context.cwd.is_empty()).then(|| Name::from(context.cwd.as_slice())),
            fstype: context.fstype.as_deref().map(Name::from),
            flags: NameList::from_names(&context.flags),
            options: (!context.options.is_empty()).then(|| Name::from(context.options.as_slice())),
            lower: None,
            upper: None,
            work: None,
        };
        Ok(log.event(r.head, mount.into(), tail(r, from, &[], &Cut::none()))?)
    }

    pub(super) fn fsopen<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let fstype = r.text(WIRE_F_FSTYPE).map(|field| field.bytes.to_vec());
        let context = Context { fstype, ..Context::default() };
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        self.mounts.keep(r.head.pid, r.head.ret, context);
        Ok(())
    }

    pub(super) fn fsconfig<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let at = (r.head.pid, i64::from(call.args[0] as i32));
        let ends = match call.args[1] as u32 as u64 {
            FSCONFIG_CMD_RECONFIGURE => true,
            FSCONFIG_CMD_CREATE | FSCONFIG_CMD_CREATE_EXCL => r.head.ret < 0,
            _ if r.head.ret < 0 => return Ok(()),
            _ => {
                self.mounts.set(r)?;
                false
            }
        };
        if !ends {
            return Ok(());
        }
        // One whose beginning we did not see is told with what is known: that it was asked for.
        let mut context = self.mounts.contexts.get(&at).cloned().unwrap_or_default();
        if call.args[1] == FSCONFIG_CMD_RECONFIGURE {
            context.flags = vec!["remount"];
        }
        self.unplaced(r, &context, log)
    }

    pub(super) fn fsmount<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let at = (r.head.pid, i64::from(call.args[0] as i32));
        let mut context = self.mounts.contexts.get(&at).cloned().unwrap_or_default();
        let given = ATTRIBUTES.iter().filter(|(bit, _)| call.args[2] & bit != 0);
        context.flags = given.map(|(_, name)| *name).collect();
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        if self.mounts.contexts.remove(&at).is_some() {
            self.mounts.keep(r.head.pid, r.head.ret, context);
        }
        Ok(())
    }

    pub(super) fn open_tree<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        // Of open_tree_attr. All 0 changes nothing.
        let given = attributes(r).filter(|words| *words != [0; 4]);
        if call.args[2] & OPEN_TREE_CLONE == 0 {
            // It changes the mount that is there (do_mount_setattr).
            return if given.is_some() { self.mount_setattr(r, log) } else { Ok(()) };
        }
        let mut source = Vec::new();
        let told = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut source);
        let mut flags = vec!["bind"];
        if call.args[2] & AT_RECURSIVE != 0 {
            flags.push("rec");
        }
        flags.extend(given.map(attribute_flags).unwrap_or_default());
        let source = told.known.then_some(source);
        let context = Context { source, flags, ..Context::default() };
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        self.mounts.keep(r.head.pid, r.head.ret, context);
        Ok(())
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
        let string = |id| r.text(id).map(|field| field.bytes);
        let fstype = string(WIRE_F_FSTYPE).filter(|fstype| !fstype.is_empty());
        let options = string(WIRE_F_OPTIONS).filter(|options| !options.is_empty());
        let mut flags = call.args[3];
        if flags & MAGIC_MASK == MAGIC {
            flags &= !MAGIC_MASK;
        }
        let overlay = match (fstype, options) {
            (Some(b"overlay"), Some(options)) if r.head.ret >= 0 => {
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
            lower: overlay.lower.as_deref().map(owned),
            upper: overlay.upper.as_deref().map(Name::from),
            work: overlay.work.as_deref().map(Name::from),
        };
        Ok(log.event(r.head, mount.into(), tail(r, from, &[target], &cut))?)
    }

    pub(super) fn move_mount<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let from = Origin::User { raced: self.raced(r) };
        let mut cut = Cut::none();
        let target = absolute(r.field(WIRE_F_TO), r.field(WIRE_F_TO_BASE), &mut self.to);
        cut.note("target", target.cut);
        let fd = i64::from(call.args[0] as i32);
        let detached = r.text(WIRE_F_PATH).is_some_and(|path| path.bytes.is_empty());
        let context = if detached { self.mounts.contexts.remove(&(r.head.pid, fd)) } else { None };
        let context = match context {
            Some(context) => context,
            // An attached mount goes elsewhere, or one whose beginning we did not see.
            None => {
                let source = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut self.path);
                let source = (source.known && !detached).then(|| self.path.clone());
                let flags = if detached { Vec::new() } else { vec!["move"] };
                Context { source, flags, ..Context::default() }
            }
        };
        let is_overlay = context.fstype.as_deref() == Some(b"overlay") && r.head.ret >= 0;
        let overlay = if is_overlay {
            resolve(r, &context.overlay, &context.cwd, &mut self.known)
        } else {
            Overlay::default()
        };
        let mount = MountMount {
            source: seen(context.source.is_some(), context.source.as_deref().unwrap_or_default()),
            target: seen(target.known, &self.to),
            cwd: (!context.cwd.is_empty()).then(|| Name::from(context.cwd.as_slice())),
            fstype: context.fstype.as_deref().map(Name::from),
            flags: NameList::from_names(&context.flags),
            options: (!context.options.is_empty()).then(|| Name::from(context.options.as_slice())),
            lower: overlay.lower.as_deref().map(owned),
            upper: overlay.upper.as_deref().map(Name::from),
            work: overlay.work.as_deref().map(Name::from),
        };
        Ok(log.event(r.head, mount.into(), tail(r, from, &[target], &cut))?)
    }

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
        Ok(log.event(r.head, body.into(), super::plain(r, &Cut::none()))?)
    }

    pub(super) fn setns<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let body = NsSetns { namespaces: names(call.args[1], &NAMESPACES) };
        Ok(log.event(r.head, body.into(), super::plain(r, &Cut::none()))?)
    }
}
