//! Files: opened, closed after writing, and every call that names a path.

use std::io::Write;

use blubr_log::event::{
    Dev, FileChmod, FileChown, FileClose, FileLink, FileMkdir, FileMknod, FileOpen, FileRename,
    FileSetxattr, FileSymlink, FileTruncate, FileUnlink, FileUtimes, Flag, FsChroot, MountPivotRoot,
    MountUmount, OpenMode, Perm,
};
use blubr_log::{Body, Name, Seen, Time, behind_descriptor};
use blubr_probes::wire::wire_kind::{self, *};
use blubr_probes::wire::{WIRE_BY_CALL, WIRE_BY_RING, wire_call, wire_field_id::*, wire_file};

use super::mount::names;
use super::{DecodeError, Decoder, Origin, Paths, USER};
use crate::log::{Cut, Log, seen};
use crate::path::{Told, absolute, walked};
use crate::record::{Field, Record};

const AT_REMOVEDIR: u64 = libc::AT_REMOVEDIR as u64;
pub(super) const PERM_BITS: u32 = 0o7777;
/// This open made the file: FMODE_CREATED, include/linux/fs.h, set by lookup_open (fs/namei.c).
const FMODE_CREATED: u32 = 1 << 20;

/// A device number as `struct inode` has it: include/linux/kdev_t.h, MINORBITS.
fn kernel_dev(dev: u32) -> Dev {
    Dev { major: dev >> 20, minor: dev & 0xf_ffff }
}

/// A device number as mknod(2) takes it: include/linux/kdev_t.h, new_decode_dev.
fn user_dev(dev: u64) -> Dev {
    let dev = dev as u32;
    Dev { major: (dev & 0xf_ff00) >> 8, minor: (dev & 0xff) | ((dev >> 12) & 0xf_ff00) }
}

fn mtime(file: &wire_file) -> Option<Time> {
    let seconds = u64::try_from(file.mtime_s).ok()?;
    Some(Time(seconds.checked_mul(1_000_000_000)?.checked_add(u64::from(file.mtime_ns))?))
}

/// include/linux/fs.h: what the kernel opened it for.
const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;

/// What a file is open for: the caller's own word may stand in its memory (openat2), where it can be another by now.
fn mode_of(file: &wire_file) -> OpenMode {
    let is_open = file.mode != 0;
    match (file.fmode & FMODE_READ != 0, file.fmode & FMODE_WRITE != 0) {
        (true, false) if is_open => OpenMode::Read,
        (false, true) if is_open => OpenMode::Write,
        (true, true) if is_open => OpenMode::ReadWrite,
        _ => mode(file.flags),
    }
}

fn mode(flags: u32) -> OpenMode {
    if flags & libc::O_PATH as u32 != 0 {
        return OpenMode::Path;
    }
    match flags & libc::O_ACCMODE as u32 {
        0 => OpenMode::Read,
        1 => OpenMode::Write,
        // 3 asks for both permissions and gives neither (open(2), NOTES).
        _ => OpenMode::ReadWrite,
    }
}

/// What was told of a file's path, but of a file that lies nowhere and has no name either (a pidfd, a namespace's file):
/// of these the kernel says `/`, which no other file than a directory can be.
fn of_inode(file: &wire_file, told: Told, path: &[u8]) -> Told {
    let nameless = told.outside && path == b"/" && file.mode & libc::S_IFMT != libc::S_IFDIR;
    Told { known: told.known && !nameless, ..told }
}

impl Decoder {
    pub(super) fn open<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let file: &wire_file = r.body()?;
        // Every file has an inode with a type; none means that the call failed.
        let found = if file.mode != 0 { r.field(WIRE_F_PATH) } else { None };
        self.opened(r, found, file, log)
    }

    /// An open whose file the kernel has told (`found`: its path), or of which only the caller's string is known.
    pub(super) fn opened<W: Write>(
        &mut self,
        r: &Record<'_>,
        found: Option<Field<'_>>,
        file: &wire_file,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let opened = file.mode != 0;
        let mut cut = Cut::none();
        let (path, tail);
        if opened {
            path = of_inode(file, walked(found, &mut self.path), &self.path);
            // A pipe or another thing without a name that somebody passed on.
            if !path.known && r.head.via != WIRE_BY_CALL {
                return Ok(());
            }
            cut.note("path", path.cut);
            tail = super::tail(r, Origin::Kernel, &[path], &cut);
        } else {
            path = absolute(r.field(WIRE_F_PATH), r.field(WIRE_F_BASE), &mut self.path);
            cut.note("path", path.cut);
            tail = super::tail(r, USER, &[path], &cut);
        }
        let flag = |bit: i32| Flag(file.flags & bit as u32 == bit as u32);
        // A descriptor that was passed on says nothing of who made its file.
        let made = opened
            && matches!(r.head.via, WIRE_BY_CALL | WIRE_BY_RING)
            && file.fmode & FMODE_CREATED != 0;
        let open = FileOpen {
            path: seen(path.known, &self.path),
            mode: mode_of(file),
            create: flag(libc::O_CREAT),
            truncate: flag(libc::O_TRUNC),
            tmpfile: flag(libc::O_TMPFILE),
            dev: opened.then(|| kernel_dev(file.dev)),
            ino: opened.then_some(file.ino),
            size: opened.then_some(file.size),
            mtime: mtime(file).filter(|_| opened),
            perm: made.then_some(Perm(file.mode & PERM_BITS)),
        };
        Ok(log.event(r.head, open.into(), tail)?)
    }

    pub(super) fn close<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let file: &wire_file = r.body()?;
        let mut cut = Cut::none();
        let path = of_inode(file, walked(r.field(WIRE_F_PATH), &mut self.path), &self.path);
        cut.note("path", path.cut);
        // A ring may come to it later than it was asked to: what the file is then is not seen.
        let now = r.head.via != WIRE_BY_RING;
        let close = FileClose {
            path: seen(path.known, &self.path),
            dev: Some(kernel_dev(file.dev)),
            ino: Some(file.ino),
            size: now.then_some(file.size),
            mtime: mtime(file).filter(|_| now),
        };
        Ok(log.event(r.head, close.into(), super::tail(r, Origin::Kernel, &[path], &cut))?)
    }

    /// A call that is told by its paths (in the buffers) and its plain arguments.
    pub(super) fn path_call<W: Write>(
        &mut self,
        r: &Record<'_>,
        paths: Paths,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let call: &wire_call = r.body()?;
        // A descriptor's path is the kernel's.
        let by_fd = r.field(WIRE_F_PATH).is_some_and(|f| f.has(blubr_probes::wire::WIRE_WALKED));
        let mut cut = Cut::none();
        let told = if by_fd { walked(r.field(WIRE_F_PATH), &mut self.path) } else { paths.path };
        let (path_key, second_key) = keys(r.kind);
        cut.note(path_key, told.cut);
        let is_text = matches!(r.kind, WIRE_FILE_SYMLINK | WIRE_FILE_SETXATTR);
        cut.note(second_key, if is_text { r.is_cut(WIRE_F_TO) } else { paths.to.cut });
        cut.note("value", r.kind == WIRE_FILE_SETXATTR && r.is_cut(WIRE_F_VALUE));
        let path = seen(told.known, &self.path);
        let to = seen(paths.to.known, &self.to);
        let text = r.text(WIRE_F_TO).map(|field| Name::from(field.bytes));
        let now = log.time(r.head.time_ns);
        let Some(body) = body(r, call, path, to, text, now) else { return Ok(()) };
        let from =
            if by_fd && !paths.raced { Origin::Kernel } else { Origin::User { raced: paths.raced } };
        let link = walked(r.field(WIRE_F_FD_PATH), &mut self.more);
        let is_followed = link.known && !link.outside && goes_through(r, call);
        cut.note("fd_path", is_followed && link.cut);
        let mut tail = super::tail(r, from, &[told, paths.to], &cut);
        tail.fd_path = is_followed.then(|| Name::from(self.more.as_slice()));
        Ok(log.event(r.head, body, tail)?)
    }
}

/// Whether a call whose path begins with the link of a descriptor goes where that leads: there is more of the path (then `path`
/// says what is behind the link), or the call follows a link that a path ends in (path_resolution(7)).
fn goes_through(r: &Record<'_>, call: &wire_call) -> bool {
    let behind = r.text(WIRE_F_PATH).and_then(|field| behind_descriptor(field.bytes));
    let Some(behind) = behind else { return false };
    let names = behind.split(|byte| *byte == b'/');
    let mut behind = names.filter(|name| !name.is_empty() && *name != b".").peekable();
    if behind.peek().is_some() {
        // What `..` undoes is the link, in `path`, and not where it leads.
        return behind.all(|name| name != b"..");
    }
    let flag = |at: usize, flag: i32| call.args.get(at).is_some_and(|word| word & flag as u64 != 0);
    let follows = |at: usize| !flag(at, libc::AT_SYMLINK_NOFOLLOW);
    match (r.kind, i64::from(r.head.nr)) {
        (WIRE_FILE_CHMOD, SYS_FCHMODAT2) => follows(3),
        (WIRE_FILE_CHOWN, libc::SYS_lchown) => false,
        (WIRE_FILE_CHOWN, libc::SYS_fchownat) => follows(4),
        (WIRE_FILE_SETXATTR, libc::SYS_lsetxattr | libc::SYS_lremovexattr) => false,
        (WIRE_FILE_SETXATTR, SYS_SETXATTRAT | SYS_REMOVEXATTRAT) => follows(2),
        (WIRE_FILE_UTIMES, libc::SYS_utimensat) => follows(3),
        (WIRE_FILE_LINK, libc::SYS_linkat) => flag(4, libc::AT_SYMLINK_FOLLOW),
        (WIRE_MOUNT_UMOUNT, _) => !flag(1, libc::UMOUNT_NOFOLLOW),
        (kind, _) => matches!(
            kind,
            WIRE_FILE_CHMOD
                | WIRE_FILE_CHOWN
                | WIRE_FILE_SETXATTR
                | WIRE_FILE_UTIMES
                | WIRE_FILE_TRUNCATE
                | WIRE_MOUNT_PIVOT_ROOT
                | WIRE_FS_CHROOT
        ),
    }
}

/// By which keys an event has a call's path, and the second path or text of a call that has one.
fn keys(kind: wire_kind) -> (&'static str, &'static str) {
    match kind {
        WIRE_FILE_SYMLINK => ("path", "target"),
        WIRE_FILE_SETXATTR => ("path", "name"),
        WIRE_MOUNT_UMOUNT => ("target", "to"),
        WIRE_MOUNT_PIVOT_ROOT => ("path", "put_old"),
        _ => ("path", "to"),
    }
}

type Path<'p> = Seen<Name<'p>>;

/// MNT_* and UMOUNT_NOFOLLOW of umount2(2), include/linux/fs.h.
const UMOUNT_FLAGS: [(u64, &str); 4] = [(1, "force"), (2, "detach"), (4, "expire"), (8, "nofollow")];

/// What mknod(2) was asked for by this mode.
fn mknod(path: Path<'_>, mode: u64, device: u64) -> FileMknod<'_> {
    let (kind, has_device) = match mode as u32 & libc::S_IFMT {
        libc::S_IFIFO => ("fifo", false),
        libc::S_IFCHR => ("char", true),
        libc::S_IFBLK => ("block", true),
        libc::S_IFSOCK => ("socket", false),
        _ => ("file", false),
    };
    let rdev = has_device.then(|| user_dev(device));
    FileMknod { path, kind: Name::from(kind), mode: Perm(mode as u32 & PERM_BITS), rdev }
}

/// What a call's event says, by its plain arguments and by these names.
fn body<'p>(
    r: &Record<'p>,
    call: &wire_call,
    path: Path<'p>,
    to: Path<'p>,
    text: Option<Name<'p>>,
    now: Time,
) -> Option<Body<'p>> {
    let nr = i64::from(r.head.nr);
    let arg = |at: usize| call.args.get(at).copied().unwrap_or(0);
    // The *at calls have their directory before the path.
    let at = |with: &[i64]| usize::from(with.contains(&nr));
    let perm = |at: usize| Perm(arg(at) as u32 & PERM_BITS);
    Some(match r.kind {
        WIRE_FILE_MKDIR => FileMkdir { path, mode: perm(1 + at(&[libc::SYS_mkdirat])) }.into(),
        WIRE_FILE_MKNOD => {
            let first = 1 + at(&[libc::SYS_mknodat]);
            mknod(path, arg(first), arg(first + 1)).into()
        }
        WIRE_FILE_UNLINK => {
            let by_flag = nr == libc::SYS_unlinkat && arg(2) & AT_REMOVEDIR != 0;
            FileUnlink { path, directory: Flag(nr == libc::SYS_rmdir || by_flag) }.into()
        }
        WIRE_FILE_RENAME => {
            let flags = if nr == libc::SYS_renameat2 { arg(4) as u32 } else { 0 };
            let flag = |bit: u32| Flag(flags & bit != 0);
            let (exchange, whiteout) = (flag(libc::RENAME_EXCHANGE), flag(libc::RENAME_WHITEOUT));
            FileRename { path, to, exchange, whiteout }.into()
        }
        WIRE_FILE_LINK => FileLink { path, to }.into(),
        WIRE_FILE_SYMLINK => FileSymlink { path, target: Seen(text) }.into(),
        WIRE_FILE_CHMOD => {
            let with = [libc::SYS_fchmodat, SYS_FCHMODAT2];
            FileChmod { path, mode: perm(1 + at(&with)) }.into()
        }
        WIRE_FILE_CHOWN => {
            let first = 1 + at(&[libc::SYS_fchownat]);
            // -1 leaves it as it is (chown(2)).
            let id = |at: usize| Some(arg(at) as u32).filter(|id| *id != u32::MAX);
            FileChown { path, owner: id(first), group: id(first + 1) }.into()
        }
        WIRE_FILE_TRUNCATE if nr == libc::SYS_fallocate => {
            FileTruncate { path, size: arg(2).saturating_add(arg(3)) }.into()
        }
        WIRE_FILE_TRUNCATE => FileTruncate { path, size: arg(1) }.into(),
        WIRE_FILE_SETXATTR => {
            let value = r.text(WIRE_F_VALUE).map(|field| Name::from(field.bytes));
            let remove = Flag(XATTR_REMOVALS.contains(&nr));
            FileSetxattr { path, name: Seen(text), value, remove }.into()
        }
        WIRE_FILE_UTIMES => {
            let (atime, mtime) = times(r, nr, now);
            FileUtimes { path, atime, mtime }.into()
        }
        WIRE_MOUNT_UMOUNT => MountUmount { target: path, flags: names(arg(1), &UMOUNT_FLAGS) }.into(),
        WIRE_MOUNT_PIVOT_ROOT => MountPivotRoot { path, put_old: to }.into(),
        WIRE_FS_CHROOT => {
            let word = r.field(WIRE_F_VALUE).and_then(|field| field.bytes.try_into().ok());
            FsChroot { path, apart: Flag(word.map(u64::from_ne_bytes).is_some_and(|word| word != 0)) }
                .into()
        }
        _ => return None,
    })
}

/// Newer than the libc crate's table.
const SYS_FCHMODAT2: i64 = 452;
const SYS_SETXATTRAT: i64 = 463;
const SYS_REMOVEXATTRAT: i64 = 466;

/// The calls that take an attribute away.
const XATTR_REMOVALS: [i64; 4] =
    [libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr, SYS_REMOVEXATTRAT];

const NS_A_SECOND: i128 = 1_000_000_000;
/// utimensat(2)
const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

/// The times that a call sets; none given, or UTIME_NOW, is the time of the event.
fn times(r: &Record<'_>, nr: i64, now: Time) -> (Option<Time>, Option<Time>) {
    let Some(words) = r.text(WIRE_F_TIMES).map(|field| field.bytes) else {
        let unread = r.field(WIRE_F_TIMES).is_some();
        return if unread { (None, None) } else { (Some(now), Some(now)) };
    };
    let word = |at: usize| -> Option<i64> {
        words.get(at * 8..at * 8 + 8).and_then(|b| b.try_into().ok()).map(i64::from_ne_bytes)
    };
    let time = |at: usize, ns: i64| {
        let total = i128::from(word(at)?) * NS_A_SECOND + i128::from(ns);
        u64::try_from(total).ok().map(Time)
    };
    let one = |at: usize| match (nr, word(at + 1)?) {
        (libc::SYS_utimensat, UTIME_OMIT) => None,
        (libc::SYS_utimensat, UTIME_NOW) => Some(now),
        (libc::SYS_utimensat, ns) => time(at, ns),
        // utimes, futimesat: microseconds.
        (_, us) => time(at, us.saturating_mul(1000)),
    };
    match nr {
        libc::SYS_utime => (time(0, 0), time(1, 0)),
        _ => (one(0), one(2)),
    }
}
