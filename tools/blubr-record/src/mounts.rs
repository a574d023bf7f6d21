//! `mount.exists`: the mounts of every mount namespace that was there before the recording.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};

use blubr_log::event::MountExists;
use blubr_log::{Name, NameList, Tail};
use blubr_probes::wire::wire_head;

use crate::log::{Cut, Log, seen};
use crate::overlay::{Known, Options, Overlay, View, ns_of};

/// Bytes of a mount's options that are written: an overlay may have 2 MB of them.
const OPTIONS_MAX: usize = 65_536;

/// One process of each mount namespace.
pub type Namespaces = BTreeMap<u32, wire_head>;

/// Writes the mounts that each namespace's process sees, at `now_ns`.
///
/// # Errors
/// What the log returns. A process that has ended meanwhile is passed over.
pub fn write<W: Write>(namespaces: &Namespaces, now_ns: u64, log: &mut Log<W>) -> io::Result<()> {
    for (mntns, head) in namespaces {
        // The process may have gone to another namespace since, or its number to another process; and where we may not
        // look at it, having fewer capabilities, we ourselves see what it sees if we share its namespace.
        let table = table_of(&head.pid.to_string(), *mntns).or_else(|| table_of("self", *mntns));
        let Some(table) = table else { continue };
        let view = View::of(head.pid, head.ppid, *mntns);
        let head = wire_head { time_ns: now_ns, tid: head.pid, flags: 0, ..*head };
        for line in table.split(b'\n').map_while(Result::ok) {
            if let Some(mount) = Mount::parse(&line) {
                mount.write(&head, view.as_ref(), log)?;
            }
        }
    }
    Ok(())
}

/// The mount table that a process sees; `None` where it is gone or not known to be in this namespace.
fn table_of(pid: &str, mntns: u32) -> Option<BufReader<File>> {
    let table = File::open(format!("/proc/{pid}/mountinfo")).ok()?;
    // An open table stays that of the namespace in which the process was then (mounts_open_common, fs/proc_namespace.c).
    (ns_of(pid) == Some(mntns)).then(|| BufReader::new(table))
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    root: Vec<u8>,
    target: Vec<u8>,
    fstype: Vec<u8>,
    source: Vec<u8>,
    options: Vec<u8>,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|b| *b == b' ');
        let root = fields.nth(3)?;
        let target = fields.next()?;
        // Optional fields, up to a single dash.
        fields.by_ref().find(|field| *field == b"-")?;
        let (fstype, source, options) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount {
            root: plain(root),
            target: plain(target),
            fstype: plain(fstype),
            source: plain(source),
            options: plain(options),
        })
    }

    fn write<W: Write>(
        &self,
        head: &wire_head,
        view: Option<&View>,
        log: &mut Log<W>,
    ) -> io::Result<()> {
        let overlay = match (self.fstype.as_slice(), view) {
            // The directory that relative names counted from is not known any more.
            (b"overlay", Some(view)) => {
                Options::parse(&self.options).absolute_only().resolve(view, b"/", &mut Known::default())
            }
            _ => Overlay::default(),
        };
        let options = self.options.get(..OPTIONS_MAX).unwrap_or(&self.options);
        let mut cut = Cut::none();
        cut.note("options", options.len() < self.options.len());
        let mount = MountExists {
            source: seen(true, &self.source),
            target: seen(true, &self.target),
            fstype: seen(true, &self.fstype),
            root: seen(true, &self.root),
            options: Some(Name::from(options)),
            lower: overlay.lower.as_deref().map(NameList::from_block),
            upper: overlay.upper.as_deref().map(Name::from),
            work: overlay.work.as_deref().map(Name::from),
        };
        log.event(head, mount.into(), Tail { truncated: cut.list(), ..Tail::default() })
    }
}

/// Undoes the octal escapes of mountinfo: `\040` is a space.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((b, after)) = rest.split_first() {
        if *b == b'\\'
            && let Some(code) = after.get(..3).and_then(octal)
        {
            out.push(code);
            rest = after.get(3..).unwrap_or_default();
        } else {
            out.push(*b);
            rest = after;
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,lowerdir=a\134:b";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.root, b"/mnt1");
        assert_eq!(mount.target, b"/mnt 2");
        assert_eq!(mount.fstype, b"ext3");
        assert_eq!(mount.source, b"/dev/root");
        assert_eq!(mount.options, br"rw,lowerdir=a\:b");
        assert_eq!(Mount::parse(b"36 35 98:0 /"), None);
        assert_eq!(Mount::parse(b""), None);
    }
}
