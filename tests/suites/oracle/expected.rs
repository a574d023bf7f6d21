//! What the log must say of the calls that strace saw.

mod file;
mod mount;
mod net;
mod without;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::program::{run_on, text_of};

use crate::facts::{CUT, Fact, Facts, list};
use crate::files::Files;
use crate::strace::{Call, Line, Ret, bytes, inside, number, tag, tag_path, value};

pub use without::WITHOUT_EVENT;

/// What the calls are, and the threads that made them: thread to process.
pub struct Expected {
    pub facts: Facts,
    pub threads: BTreeMap<i64, i64>,
    /// Calls without an event, counted.
    pub passed_over: BTreeMap<String, u64>,
    /// Calls that have one in other cases, counted, by the reason why not in these.
    pub told_otherwise: BTreeMap<&'static str, BTreeMap<String, u64>>,
    errnos: BTreeMap<String, i64>,
}

/// What a process takes from its parent.
#[derive(Clone)]
struct Process {
    pid: i64,
    cwd: Vec<u8>,
    /// Where its root lies for strace.
    root: Vec<u8>,
    files: Files,
    /// File systems on their way by the new calls: descriptor to type.
    mounts: BTreeMap<i64, mount::Pending>,
    told: BTreeSet<(i64, String)>,
}

/// What the calls of `root` and its descendants, begun in `cwd`, must be in the log.
pub fn of_strace(lines: &BTreeMap<i64, Vec<Line>>, root: i64, cwd: &Path) -> Expected {
    let mut expected = Expected {
        facts: Facts::new(),
        threads: BTreeMap::new(),
        passed_over: BTreeMap::new(),
        told_otherwise: BTreeMap::new(),
        errnos: errnos(),
    };
    let first = Process {
        pid: root,
        cwd: cwd.as_os_str().as_bytes().to_vec(),
        root: Vec::new(),
        files: Files::default(),
        mounts: BTreeMap::new(),
        told: BTreeSet::new(),
    };
    let mut waiting = vec![(root, first)];
    while let Some((thread, process)) = waiting.pop() {
        waiting.extend(expected.thread(lines, thread, process));
    }
    let known: BTreeSet<_> = expected.threads.keys().copied().collect();
    let written: BTreeSet<_> = lines.keys().copied().collect();
    assert_eq!(known, written, "strace wrote of threads that no call began");
    expected
}

/// errno's names, as the C compiler has them, and those that only the kernel and strace know (include/linux/errno.h).
fn errnos() -> BTreeMap<String, i64> {
    let mut compiler = Command::new("cc");
    compiler.args(["-E", "-dM", "-x", "c", "-"]);
    let text = run_on(&mut compiler, b"#include <errno.h>\n").stdout;
    let text = String::from_utf8(text).unwrap();
    let defined = text.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define ")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    let own = [("ERESTARTSYS", 512), ("ERESTARTNOINTR", 513), ("ERESTARTNOHAND", 514)];
    defined.chain(own.map(|(name, number)| (name.to_owned(), number))).collect()
}

impl Expected {
    fn fact(&mut self, thread: i64, fact: Fact) {
        self.facts.entry(thread).or_default().push(fact.text());
    }

    fn thread(
        &mut self,
        lines: &BTreeMap<i64, Vec<Line>>,
        thread: i64,
        mut process: Process,
    ) -> Vec<(i64, Process)> {
        assert!(self.threads.insert(thread, process.pid).is_none(), "{thread} was begun twice");
        let mut children = Vec::new();
        for line in lines.get(&thread).into_iter().flatten() {
            match line {
                Line::Call(call) => children.extend(self.call(thread, &mut process, call)),
                Line::Ended { code, signal } if thread == process.pid => {
                    self.closed(thread, &process, process.files.all());
                    let signal = signal.as_ref().map(|name| {
                        text_of(Command::new("bash").args(["-c", &format!("kill -l {name}")]))
                    });
                    let exit = Fact::new("process.exit").maybe("code", *code).maybe("signal", signal);
                    self.fact(thread, exit);
                }
                Line::Ended { .. } => {}
            }
        }
        children
    }

    fn closed(&mut self, thread: i64, p: &Process, paths: Vec<Vec<u8>>) {
        for path in paths {
            self.fact(thread, Fact::new("file.close").bytes("path", &p.inner(path)));
        }
    }

    fn ret(&self, call: &Call) -> Option<i64> {
        match &call.ret {
            Ret::Number(number, _) => Some(*number),
            Ret::Failed(name) => {
                Some(-*self.errnos.get(name).unwrap_or_else(|| panic!("no errno {name}")))
            }
            Ret::None => None,
        }
    }

    /// Adds what a call must be in the log; gives the thread that it began.
    fn call(&mut self, thread: i64, p: &mut Process, call: &Call) -> Option<(i64, Process)> {
        p.see(call);
        if matches!(call.name.as_str(), "clone" | "clone3" | "fork" | "vfork") {
            return self.clone(thread, p, call);
        }
        let ret = self.ret(call);
        self.descriptors(thread, p, call);
        if WITHOUT_EVENT.iter().any(|(_, names)| names.contains(&&*call.name)) {
            p.moved(call);
            *self.passed_over.entry(call.name.clone()).or_default() += 1;
            return None;
        }
        // What never came back has no event: at the kernel's exit nothing passes by.
        let ret = ret?;
        if matches!(call.name.as_str(), "execve" | "execveat") {
            self.exec(thread, p, call, ret);
            return None;
        }
        let facts = p.file(call, ret).or_else(|| p.mount(call, ret)).or_else(|| p.network(call, ret));
        let facts = facts.unwrap_or_else(|| panic!("the oracle does not know {call:?}"));
        if facts.is_empty() {
            let calls = self.told_otherwise.entry(net::why_no_event(call)).or_default();
            *calls.entry(call.name.clone()).or_default() += 1;
        }
        for fact in facts {
            self.fact(thread, fact);
        }
        None
    }

    fn clone(&mut self, thread: i64, p: &Process, call: &Call) -> Option<(i64, Process)> {
        const CLONE_THREAD: i64 = 0x10000;
        const CLONE_FS: i64 = 0x200;
        const CLONE_FILES: i64 = 0x400;
        let child = call.global_pid.or(call.done())?;
        let flags = call.args.iter().find_map(|arg| value(arg, "flags")).map_or(0, number);
        let mut process = p.clone();
        if flags & CLONE_FILES == 0 {
            process.files = p.files.copy();
        }
        assert!(flags & CLONE_THREAD != 0 || flags & (CLONE_FS | CLONE_FILES) == 0, "{call:?}");
        if flags & CLONE_THREAD == 0 {
            process.pid = child;
            self.fact(thread, Fact::new("process.fork").with("child_pid", child));
            let names = namespaces(flags & !0xff);
            if !names.is_empty() {
                self.fact(child, Fact::new("ns.unshare").with("namespaces", names));
            }
        }
        Some((child, process))
    }

    fn exec(&mut self, thread: i64, p: &mut Process, call: &Call, ret: i64) {
        let at = usize::from(call.name == "execveat");
        let dir = (at == 1).then(|| call.arg(0));
        let mut argv: Vec<Vec<u8>> = inside(call.arg(at + 1)).iter().filter_map(|w| bytes(w)).collect();
        let Some(name) = p.path(dir, call.arg(at)) else { return };
        if ret < 0 {
            let exec = Fact::new("process.exec").bytes("exe", &name).with("argv", list(argv));
            self.fact(thread, exec.bytes("cwd", &p.cwd).with("ret", ret));
            return;
        }
        let closed = p.files.exec();
        self.closed(thread, p, closed);
        // What strace can't see is asked of the file system: where links lead, and what a script begins with.
        let given = bytes(call.arg(at)).unwrap_or_default();
        let (mut named, mut exe) = (given.clone(), p.real(&name));
        let mut script = None;
        while let Some(words) = interpreter(&p.outside(&exe)) {
            script = Some(given.as_slice());
            argv.splice(..argv.len().min(1), words.iter().cloned().chain([named]));
            exe = p.real(&join(&p.cwd, &words[0]));
            named = words[0].clone();
        }
        let exec = Fact::new("process.exec").bytes("exe", &exe).with("argv", list(argv));
        self.fact(thread, exec.bytes("cwd", &p.cwd).maybe_bytes("script", script));
    }

    /// What is open for writing, and closes.
    fn descriptors(&mut self, thread: i64, p: &mut Process, call: &Call) {
        let closed = p.files.call(call);
        self.closed(thread, p, closed);
    }
}

/// The words of a `#!` line.
fn interpreter(path: &Path) -> Option<Vec<Vec<u8>>> {
    let text = std::fs::read(path).ok()?;
    let line = text.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let line = line.trim_ascii();
    let space = line.iter().position(|b| *b == b' ' || *b == b'\t');
    let words = match space {
        Some(at) => vec![line[..at].to_vec(), line[at..].trim_ascii().to_vec()],
        None => vec![line.to_vec()],
    };
    Some(words)
}

/// CLONE_NEW* (include/uapi/linux/sched.h), in the order in which the log names them.
pub fn namespaces(flags: i64) -> String {
    const NAMES: [(i64, &str); 8] = [
        (0x0002_0000, "mnt"),
        (0x4000_0000, "net"),
        (0x2000_0000, "pid"),
        (0x1000_0000, "user"),
        (0x0400_0000, "uts"),
        (0x0800_0000, "ipc"),
        (0x0200_0000, "cgroup"),
        (0x80, "time"),
    ];
    names(flags, &NAMES)
}

fn names(bits: i64, table: &[(i64, &str)]) -> String {
    let set: Vec<_> = table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    set.join(",")
}

/// Appends a name to a folder as text.
fn join(base: &[u8], name: &[u8]) -> Vec<u8> {
    let whole = if name.starts_with(b"/") { name.to_vec() } else { [base, b"/", name].concat() };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in whole.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", &parts.join(&b'/')[..]].concat()
}

impl Process {
    /// Takes the working directory from any call where strace says it.
    fn see(&mut self, call: &Call) {
        let said = call.args.iter().filter_map(|arg| arg.strip_prefix("-100<"));
        if let Some(path) = said.filter_map(|rest| tag_path(rest.strip_suffix('>')?)).next() {
            self.cwd = self.inner(path);
        }
        if let ("socket", Some(fd)) = (call.name.as_str(), call.done()) {
            self.told.retain(|(of, _)| *of != fd);
        }
    }

    /// A path that strace saw, as the process does.
    fn inner(&self, path: Vec<u8>) -> Vec<u8> {
        match path.strip_prefix(&self.root[..]) {
            Some([]) => b"/".to_vec(),
            Some(rest) if rest.starts_with(b"/") => rest.to_vec(),
            _ => path,
        }
    }

    /// A path of the process's, as the test sees it.
    fn outside(&self, path: &[u8]) -> PathBuf {
        PathBuf::from(std::ffi::OsString::from_vec([&self.root, path].concat()))
    }

    /// Where the links of a path lead, in the process's root.
    fn real(&self, path: &[u8]) -> Vec<u8> {
        match std::fs::canonicalize(self.outside(path)) {
            Ok(real) => self.inner(real.into_os_string().into_vec()),
            Err(_) => path.to_vec(),
        }
    }

    /// The directory of an at-call, or the working one.
    fn base(&self, dir: Option<&str>) -> Option<Vec<u8>> {
        match dir.map(tag) {
            None => Some(self.cwd.clone()),
            Some(tag) => tag.and_then(tag_path).map(|path| self.inner(path)),
        }
    }

    /// A name that the caller gave, made absolute as text.
    fn path(&self, dir: Option<&str>, name: &str) -> Option<Vec<u8>> {
        if name.ends_with("\"...") {
            return Some(CUT.to_vec());
        }
        let name = bytes(name)?;
        if name.starts_with(b"/") {
            return Some(join(b"", &name));
        }
        Some(join(&self.base(dir)?, &name))
    }

    fn moved(&mut self, call: &Call) {
        if call.done() != Some(0) {
            return;
        }
        let to = match call.name.as_str() {
            "chdir" => self.path(None, call.arg(0)).map(|path| self.real(&path)),
            "fchdir" => tag(call.arg(0)).and_then(tag_path).map(|path| self.inner(path)),
            _ => None,
        };
        self.cwd = to.unwrap_or_else(|| std::mem::take(&mut self.cwd));
    }

    fn fd_path(&self, arg: &str) -> Option<Vec<u8>> {
        tag(arg).and_then(tag_path).map(|path| self.inner(path))
    }
}
