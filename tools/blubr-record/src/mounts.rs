//! `mount.exists`: the mounts of every mount namespace that was there before the recording.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};

use blubr_log::event::MountExists;
use blubr_log::{Name, NameList, Tail};
use blubr_probes::wire::wire_head;

use crate::log::{Cut, Log, seen};
use crate::mountinfo::Mount;
use crate::overlay::{Known, Options, Overlay, View, ns_of};

/// Bytes of a mount's options that are written: an overlay may have 2 MB of them.
const OPTIONS_MAX: usize = 65_536;

/// One process of each mount namespace.
pub type Namespaces = BTreeMap<u32, wire_head>;

/// Writes the mounts that each namespace's process sees, at `now_ns`.
///
/// # Errors
/// What the log returns, or a mount table that can't be read to its end. A process that has ended meanwhile is passed over.
pub fn write<W: Write>(namespaces: &Namespaces, now_ns: u64, log: &mut Log<W>) -> io::Result<()> {
    for (mntns, head) in namespaces {
        // The process may have gone to another namespace since, or its number to another process; and where we may not
        // look at it, having fewer capabilities, we ourselves see what it sees if we share its namespace.
        let table = table_of(&head.pid.to_string(), *mntns).or_else(|| table_of("self", *mntns));
        let Some(table) = table else { continue };
        let view = View::of(head.pid, head.ppid, *mntns);
        let head = wire_head { time_ns: now_ns, tid: head.pid, flags: 0, ..*head };
        for line in table.split(b'\n') {
            if let Some(mount) = Mount::parse(&line?) {
                write_mount(&mount, &head, view.as_ref(), log)?;
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

/// Writes one of them.
fn write_mount<W: Write>(
    mount: &Mount,
    head: &wire_head,
    view: Option<&View>,
    log: &mut Log<W>,
) -> io::Result<()> {
    let overlay = match (mount.fstype.as_slice(), view) {
        // The directory that relative names counted from is not known any more.
        (b"overlay", Some(view)) => {
            Options::parse(&mount.options).absolute_only().resolve(view, b"/", &mut Known::default())
        }
        _ => Overlay::default(),
    };
    let options = mount.options.get(..OPTIONS_MAX).unwrap_or(&mount.options);
    let mut cut = Cut::none();
    cut.note("options", options.len() < mount.options.len());
    let body = MountExists {
        source: seen(true, &mount.source),
        target: seen(true, &mount.target),
        fstype: seen(true, &mount.fstype),
        root: seen(true, &mount.root),
        options: Some(Name::from(options)),
        lower: overlay.lower.as_deref().map(NameList::from_block),
        upper: overlay.upper.as_deref().map(Name::from),
        work: overlay.work.as_deref().map(Name::from),
    };
    log.event(head, body.into(), Tail { truncated: cut.list(), ..Tail::default() })
}
