//! Mounts by the new interface (fsopen, fsconfig, fsmount, open_tree, move_mount): put together out of its calls.

use std::collections::HashMap;
use std::io::Write;

use blubr_log::event::MountMount;
use blubr_log::{Name, NameList, Seen};
use blubr_probes::wire::{self, wire_call, wire_field_id::*};

use super::mount::{AT_RECURSIVE, ATTRIBUTES, attribute_flags, attributes, resolve};
use super::{DecodeError, Decoder, Origin, USER, tail};
use crate::log::{Cut, Log, seen};
use crate::overlay::{Options, Overlay};
use crate::path::{absolute, walked};
use crate::record::{Field, Malformed, Record};

/// Descriptors of file-system contexts and detached mounts that are remembered; they live for microseconds.
const CONTEXTS_MAX: usize = 4096;
/// Bytes of options that are kept of one context.
const OPTIONS_MAX: usize = 65_536;
/// Bytes that are kept of all contexts: whoever can make them never need use or close them.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// fsconfig(2) commands that make or change a file system, include/uapi/linux/mount.h.
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
const FSCONFIG_CMD_CREATE_EXCL: u32 = 8;

/// open_tree(2): a copy, and not the mount itself, include/uapi/linux/mount.h.
const OPEN_TREE_CLONE: u64 = 1;

/// move_mount(2): the target comes to have the source's peers, and nothing is moved, include/uapi/linux/mount.h.
const MOVE_MOUNT_SET_GROUP: u64 = 0x100;
/// Its flags that say more than where names are looked up.
const MOVES: [(u64, &str); 2] = [(MOVE_MOUNT_SET_GROUP, "set_group"), (0x200, "beneath")];

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
    /// What of this is not whole.
    cut: Cut,
    /// Bytes of what it was set to.
    bytes: usize,
}

impl Context {
    /// The event of its mount, put there.
    fn mount<'c>(&'c self, target: Seen<Name<'c>>, overlay: &'c Overlay) -> MountMount<'c> {
        let some = |bytes: &'c [u8]| (!bytes.is_empty()).then(|| Name::from(bytes));
        MountMount {
            source: Seen(self.source.as_deref().map(Name::from)),
            target,
            cwd: some(&self.cwd),
            fstype: self.fstype.as_deref().map(Name::from),
            flags: NameList::from_names(&self.flags),
            options: some(&self.options),
            lower: overlay.lower.as_deref().map(NameList::from_block),
            upper: overlay.upper.as_deref().map(Name::from),
            work: overlay.work.as_deref().map(Name::from),
        }
    }
}

/// Whose, and which file-system context or mount: 0 is none.
type Key = (u32, u64);

/// File-system contexts and detached mounts, by what the kernel tells them apart by, with the process that made each: what is at
/// an address is told of who made it last, and of one that came from another process nothing is.
#[derive(Default)]
pub(super) struct Calls {
    contexts: HashMap<u64, (u32, Context)>,
    /// Bytes of what all were set to.
    kept: usize,
}

impl Calls {
    fn keep(&mut self, (pid, id): Key, context: Context) {
        if let Some((_, old)) = self.contexts.remove(&id) {
            self.kept = self.kept.saturating_sub(old.bytes);
        }
        if id == 0 {
            return;
        }
        if self.contexts.len() >= CONTEXTS_MAX || self.kept > KEPT_BYTES_MAX {
            self.contexts.clear();
            self.kept = 0;
        }
        self.kept += context.bytes;
        self.contexts.insert(id, (pid, context));
    }

    fn get(&self, (pid, id): Key) -> Option<&Context> {
        self.contexts.get(&id).filter(|(whose, _)| *whose == pid).map(|(_, context)| context)
    }

    fn take(&mut self, key: Key) -> Option<Context> {
        self.get(key)?;
        let (_, taken) = self.contexts.remove(&key.1)?;
        self.kept = self.kept.saturating_sub(taken.bytes);
        Some(taken)
    }

    pub(super) fn fspick(&mut self, r: &Record<'_>) -> Result<(), Malformed> {
        let call: &wire_call = r.body()?;
        if r.head.ret >= 0 {
            let mut target = Vec::new();
            let told = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut target);
            let target = told.known.then_some(target);
            let mut context = Context { target, ..Context::default() };
            context.cut.note("target", told.cut);
            self.keep((r.head.pid, call.args[5]), context);
        }
        Ok(())
    }

    fn set(&mut self, r: &Record<'_>) -> Result<(), Malformed> {
        let call: &wire_call = r.body()?;
        let at = (r.head.pid, call.args[5]);
        if self.kept > KEPT_BYTES_MAX {
            self.contexts.clear();
            self.kept = 0;
        }
        let context = self.contexts.get_mut(&at.1).filter(|(whose, _)| *whose == at.0);
        let (Some((_, context)), Some(key)) = (context, r.text(WIRE_F_KEY)) else { return Ok(()) };
        let mut buffer = Vec::new();
        let (value, is_cut) = match r.text(WIRE_F_VALUE) {
            Some(field) if field.has(wire::WIRE_WALKED) => {
                let told = walked(Some(field), &mut buffer);
                (Some(buffer), told.cut)
            }
            Some(field) if r.field(WIRE_F_BASE).is_some() => {
                let told = absolute(Some(field), r.field(WIRE_F_BASE), &mut buffer);
                (Some(buffer), told.cut)
            }
            Some(field) => (Some(field.bytes.to_vec()), field.has(wire::WIRE_CUT)),
            None => (None, false),
        };
        let bytes = key.bytes.len() + value.as_ref().map_or(0, Vec::len);
        context.bytes += bytes;
        self.kept += bytes;
        let cwd = walked(r.field(WIRE_F_CWD), &mut context.cwd);
        context.cut.note("cwd", cwd.cut);
        if let Some(value) = &value {
            context.overlay.set(key.bytes, value);
        }
        if key.bytes == b"source" {
            context.source = value;
            context.cut.note("source", is_cut);
            return Ok(());
        }
        let has_room = context.options.len() + bytes < OPTIONS_MAX;
        context.cut.note("options", is_cut || !has_room);
        if has_room {
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

impl Decoder {
    /// A mount of the new interface that did not come about, or one that was changed.
    fn unplaced<W: Write>(
        &mut self,
        r: &Record<'_>,
        context: &Context,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let from = if context.target.is_some() { USER } else { Origin::Kernel };
        let target = Seen(context.target.as_deref().map(Name::from));
        let overlay = Overlay::default();
        let mount = context.mount(target, &overlay);
        Ok(log.event(r.head, mount.into(), tail(r, from, &[], &context.cut))?)
    }

    pub(super) fn fsopen<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let fstype = r.text(WIRE_F_FSTYPE).map(|field| field.bytes.to_vec());
        let mut context = Context { fstype, ..Context::default() };
        context.cut.note("fstype", r.is_cut(WIRE_F_FSTYPE));
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        self.mounts.keep((r.head.pid, call.args[5]), context);
        Ok(())
    }

    pub(super) fn fsconfig<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let at = (r.head.pid, call.args[5]);
        // The kernel takes an unsigned int.
        let command = call.args[1] as u32;
        let ends = match command {
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
        let mut context = self.mounts.get(at).cloned().unwrap_or_default();
        if command == FSCONFIG_CMD_RECONFIGURE {
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
        let at = (r.head.pid, call.args[4]);
        let mut context = self.mounts.get(at).cloned().unwrap_or_default();
        let given = ATTRIBUTES.iter().filter(|(bit, _)| call.args[2] & bit != 0);
        context.flags = given.map(|(_, name)| *name).collect();
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        self.mounts.take(at);
        // The kernel's name of it: what fsopen was given may have been changed since, or be another name (fuse.x, cpuset).
        if let Some(fstype) = r.text(WIRE_F_FSTYPE) {
            context.fstype = Some(fstype.bytes.to_vec());
        }
        self.mounts.keep((r.head.pid, call.args[5]), context);
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
        let mut context = Context { source, flags, ..Context::default() };
        context.cut.note("source", told.cut);
        if r.head.ret < 0 {
            return self.unplaced(r, &context, log);
        }
        self.mounts.keep((r.head.pid, call.args[5]), context);
        Ok(())
    }

    pub(super) fn move_mount<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        let from = Origin::User { raced: self.raced(r) };
        let joins = call.args[4] & MOVE_MOUNT_SET_GROUP != 0;
        let target = absolute(r.field(WIRE_F_TO), r.field(WIRE_F_TO_BASE), &mut self.to);
        let at = (r.head.pid, call.args[5]);
        let path = r.text(WIRE_F_PATH);
        let detached = path.is_some_and(|path| {
            is_empty(&path) || is_descriptor(&path) && self.mounts.get(at).is_some()
        });
        let context = match detached {
            true if r.head.ret >= 0 && !joins => self.mounts.take(at),
            // It may be tried again.
            true => self.mounts.get(at).cloned(),
            false => None,
        };
        // What is told of a file system must be of this one: before 6.8 another mount may have come to the same address.
        let fstype = r.text(WIRE_F_FSTYPE).map(|field| field.bytes);
        let context =
            context.filter(|context| context.fstype.is_none() || context.fstype.as_deref() == fstype);
        let mut context = match context {
            Some(context) if !joins => context,
            // An attached mount goes elsewhere, or one whose beginning we did not see.
            _ => {
                let told = match path {
                    Some(path) if path.has(wire::WIRE_WALKED) => walked(Some(path), &mut self.path),
                    _ => absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut self.path),
                };
                let source = (told.known && !detached).then(|| self.path.clone());
                let flags = if detached || joins { Vec::new() } else { vec!["move"] };
                let mut context = Context { source, flags, ..Context::default() };
                context.cut.note("source", told.cut && !detached);
                context
            }
        };
        let how = MOVES.iter().filter(|(bit, _)| call.args[4] & bit != 0);
        context.flags.extend(how.map(|(_, name)| *name));
        let mut cut = context.cut.clone();
        cut.note("target", target.cut);
        let is_overlay = context.fstype.as_deref() == Some(b"overlay") && r.head.ret >= 0;
        let overlay = if is_overlay {
            resolve(r, &context.overlay, &context.cwd, &mut self.known)
        } else {
            Overlay::default()
        };
        let mount = context.mount(seen(target.known, &self.to), &overlay);
        Ok(log.event(r.head, mount.into(), tail(r, from, &[target], &cut))?)
    }
}

/// Whether move_mount was given no name, but its descriptor (AT_EMPTY_PATH).
fn is_empty(path: &Field<'_>) -> bool {
    path.bytes.is_empty() && !path.has(wire::WIRE_WALKED)
}

/// Whether its name stands for its descriptor, if that is one of a whole mount: none (then the field is where that file lies), or
/// only dots.
fn is_descriptor(path: &Field<'_>) -> bool {
    let mut parts = path.bytes.split(|b| *b == b'/');
    path.has(wire::WIRE_WALKED)
        || path.bytes.first() != Some(&b'/') && parts.all(|part| part.is_empty() || part == b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_contexts_has_an_end() {
        let mut calls = Calls::default();
        let context = |bytes| Context { bytes, ..Context::default() };
        for id in 1..=8 {
            calls.keep((1, id), context(KEPT_BYTES_MAX / 8));
        }
        assert_eq!((calls.contexts.len(), calls.kept), (8, KEPT_BYTES_MAX));
        // One that is used, or whose descriptor is another's now, counts no more.
        calls.keep((1, 8), context(5));
        assert_eq!(calls.take((1, 1)).map(|taken| taken.bytes), Some(KEPT_BYTES_MAX / 8));
        assert_eq!((calls.contexts.len(), calls.kept), (7, KEPT_BYTES_MAX / 8 * 6 + 5));
        calls.keep((1, 9), context(KEPT_BYTES_MAX));
        calls.keep((1, 10), context(7));
        assert_eq!((calls.contexts.len(), calls.kept), (1, 7));
        // What could not be told from others is nobody's.
        calls.keep((1, 0), context(7));
        assert_eq!((calls.contexts.len(), calls.kept), (1, 7));
    }
}
