//! The files that a process has open for writing, out of the calls that strace saw: who closes the last descriptor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::strace::{Call, Ret, number, tag, tag_path, value};

/// An open file, of which several descriptors may be.
#[derive(Clone)]
struct Open {
    number: u64,
    path: Vec<u8>,
    ends_at_exec: bool,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<i64, Open>,
    next: u64,
}

/// A table of descriptors, which threads share.
#[derive(Clone, Default)]
pub struct Files(Rc<RefCell<Table>>);

const O_CLOEXEC: i64 = 0o2_000_000;
const O_PATH: i64 = 0o10_000_000;
const F_DUPFD: i64 = 0;
const F_SETFD: i64 = 2;
const F_DUPFD_CLOEXEC: i64 = 1030;

impl Files {
    /// As a child gets it.
    pub fn copy(&self) -> Files {
        let table = self.0.borrow();
        Files(Rc::new(RefCell::new(Table { open: table.open.clone(), next: table.next })))
    }

    /// What a program that begins no longer has.
    pub fn exec(&mut self) -> Vec<Vec<u8>> {
        // Its table is its own from here on.
        *self = self.copy();
        let ends: Vec<_> = {
            let table = self.0.borrow();
            table.open.iter().filter(|(_, open)| open.ends_at_exec).map(|(fd, _)| *fd).collect()
        };
        ends.into_iter().filter_map(|fd| self.close(fd)).collect()
    }

    /// What ends with the process: of several descriptors for one open file the last.
    pub fn all(&self) -> Vec<Vec<u8>> {
        let fds: Vec<_> = self.0.borrow().open.keys().copied().collect();
        fds.into_iter().filter_map(|fd| self.close(fd)).collect()
    }

    fn close(&self, fd: i64) -> Option<Vec<u8>> {
        let mut table = self.0.borrow_mut();
        let gone = table.open.remove(&fd)?;
        let held = table.open.values().any(|open| open.number == gone.number);
        (!held).then_some(gone.path)
    }

    fn opened(&self, fd: i64, path: Vec<u8>, ends_at_exec: bool) {
        let mut table = self.0.borrow_mut();
        table.next += 1;
        let number = table.next;
        table.open.insert(fd, Open { number, path, ends_at_exec });
    }

    fn doubled(&self, from: i64, to: i64, ends_at_exec: bool) {
        let mut table = self.0.borrow_mut();
        if let Some(open) = table.open.get(&from).cloned() {
            table.open.insert(to, Open { ends_at_exec, ..open });
        }
    }

    /// Follows a call; gives the paths of the files that it closes.
    pub fn call(&self, call: &Call) -> Vec<Vec<u8>> {
        let arg = |at| number(call.arg(at));
        let flags = match call.name.as_str() {
            "open" => Some(arg(1)),
            "openat" | "open_by_handle_at" => Some(arg(2)),
            "openat2" => value(call.arg(2), "flags").map(number),
            "creat" => Some(1),
            // MFD_CLOEXEC is 1.
            "memfd_create" => Some(2 | if arg(1) & 1 != 0 { O_CLOEXEC } else { 0 }),
            _ => None,
        };
        if let (Some(flags), Ret::Number(fd, Some(of))) = (flags, &call.ret) {
            let regular = !of.contains('<') && is_regular(of);
            // 3 asks for both permissions and gives neither (open(2), NOTES).
            if matches!(flags & 3, 1 | 2) && flags & O_PATH == 0 && regular {
                self.opened(*fd, tag_path(of).unwrap_or_default(), flags & O_CLOEXEC != 0);
            }
            return Vec::new();
        }
        // The descriptor goes at the call's beginning, whatever comes of it.
        match call.name.as_str() {
            "close" => self.named(arg(0), call.arg(0)),
            "dup2" | "dup3" if arg(0) != arg(1) => {
                let closed = self.named(arg(1), call.arg(1));
                let marked = call.name == "dup3" && arg(2) & O_CLOEXEC != 0;
                if call.done().is_some() {
                    self.doubled(arg(0), arg(1), marked);
                }
                closed
            }
            "dup" => {
                call.done().into_iter().for_each(|to| self.doubled(arg(0), to, false));
                Vec::new()
            }
            "fcntl" | "fcntl64" => {
                self.fcntl(call, arg(0), arg(1));
                Vec::new()
            }
            "close_range" if arg(2) & 4 == 0 => {
                let (first, last) = (arg(0), arg(1));
                let fds: Vec<_> = self.0.borrow().open.keys().copied().collect();
                let fds = fds.into_iter().filter(|fd| (first..=last).contains(fd));
                fds.filter_map(|fd| self.close(fd)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A descriptor that closes, by the name that strace has for it at that moment.
    fn named(&self, fd: i64, arg: &str) -> Vec<Vec<u8>> {
        let now = tag(arg).and_then(tag_path);
        self.close(fd).map(|path| now.unwrap_or(path)).into_iter().collect()
    }

    fn fcntl(&self, call: &Call, fd: i64, what: i64) {
        match (what, call.done()) {
            (F_DUPFD | F_DUPFD_CLOEXEC, Some(to)) => self.doubled(fd, to, what == F_DUPFD_CLOEXEC),
            (F_SETFD, Some(_)) => {
                let mut table = self.0.borrow_mut();
                if let Some(open) = table.open.get_mut(&fd) {
                    open.ends_at_exec = number(call.arg(2)) & 1 != 0;
                }
            }
            _ => {}
        }
    }
}

/// What is neither pipe, device nor folder. A FIFO by its name is asked of the file system.
fn is_regular(of: &str) -> bool {
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::FileTypeExt as _;
    let Some(path) = tag_path(of) else { return false };
    let path = std::ffi::OsString::from_vec(path);
    !std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}
