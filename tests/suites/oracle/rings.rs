//! What goes through a ring, which strace does not see. Two others judge: the program that asked, by its own words, and the
//! kernel's tracing, which has each request's operation and result. And the file system's state, before and after.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blubr_tests::require;
use serde_json::Value;

use crate::run::folder;
use crate::workloads::Program;

/// What happened how often.
type Counts = BTreeMap<String, i64>;

/// Records a command in a folder; gives what it wrote and the log's lines.
#[track_caller]
fn recorded(cwd: &Path, command: &Command) -> (String, Vec<Value>) {
    let aside = folder();
    let log = aside.path().join("log.ndjson");
    let mut recorder = blubr_tests::bins::command("blubr-record");
    recorder.args(["--quiet", "-o"]).arg(&log).arg("--");
    recorder.arg(command.get_program()).args(command.get_args()).current_dir(cwd);
    let output = recorder.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["lost"], 0, "events were lost");
    (said, lines)
}

/// What rings of programs of this name did.
fn by_ring<'l>(lines: &'l [Value], comm: &str) -> Vec<&'l Value> {
    lines
        .iter()
        .filter(|e| {
            e["via"] == "io_uring" && e["comm"].as_str().is_some_and(|name| name.starts_with(comm))
        })
        .collect()
}

#[track_caller]
fn must_agree(name: &str, judge: &str, theirs: &Counts, ours: &Counts) {
    let keys: std::collections::BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    let of = |counts: &Counts, key: &str| counts.get(key).copied().unwrap_or(0);
    let wrong: Vec<String> = keys
        .into_iter()
        .filter(|key| of(theirs, key) != of(ours, key))
        .map(|key| format!("{key}: {} by {judge}, {} in the log", of(theirs, key), of(ours, key)))
        .collect();
    let compared: i64 = theirs.values().sum();
    let told = format!(
        "oracle {name}: {compared} operations of a ring compared with {judge}, {} differences\n",
        wrong.len()
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A line of storm.c, as the log has it.
fn said_by_storm(cwd: &str, line: &str) -> String {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (word, ret, name, other) = (next(), next(), next(), next());
    let path = format!("{cwd}/{name}");
    match word {
        "open" => format!("file.open {path} rw true {ret}"),
        "open-read" => format!("file.open {path} r null {ret}"),
        // By then the file may have another name.
        "close-written" => "file.close".to_owned(),
        "mkdir" => format!("file.mkdir {path} {ret}"),
        "unlink" => format!("file.unlink {path} null {ret}"),
        "rmdir" => format!("file.unlink {path} true {ret}"),
        "link" | "rename" => format!("file.{word} {path} {cwd}/{other} {ret}"),
        "symlink" => format!("file.symlink {path} {other} {ret}"),
        "setxattr" => format!("file.setxattr {path} {other} {ret}"),
        _ => panic!("storm.c says {line}"),
    }
}

fn in_the_log(e: &Value) -> String {
    let text = |key: &str| e[key].as_str().unwrap_or_default().to_owned();
    let (kind, path, ret) = (text("type"), text("path"), &e["ret"]);
    match &*kind {
        "file.close" => kind,
        "file.open" => format!("{kind} {path} {} {} {ret}", text("mode"), e["create"]),
        "file.unlink" => format!("{kind} {path} {} {ret}", e["directory"]),
        "file.link" | "file.rename" => format!("{kind} {path} {} {ret}", text("to")),
        "file.symlink" => format!("{kind} {path} {} {ret}", text("target")),
        "file.setxattr" => format!("{kind} {path} {} {ret}", text("name")),
        _ => format!("{kind} {path} {ret}"),
    }
}

fn counts(all: impl Iterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// What lies in a folder, all the way down.
fn tree(at: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(tree(&entry.path()));
        }
        all.push(entry.path());
    }
    all
}

/// By the log alone each name that is there has been made, and each that was made and is not there has gone.
fn against_the_tree(cwd: &Path, lines: &[Value]) -> Vec<String> {
    let (mut made, mut gone) = (Counts::new(), Counts::new());
    for e in lines.iter().filter(|e| e["comm"] == "program" && e["ret"].as_i64() >= Some(0)) {
        let name = |key: &str| e[key].as_str().unwrap_or_default().to_owned();
        match e["type"].as_str().unwrap_or_default() {
            "file.mkdir" | "file.symlink" => *made.entry(name("path")).or_default() += 1,
            "file.open" if e["create"] == true => {
                *made.entry(name("path")).or_default() += 1;
                // An open of a ring that followed a link is told by the link's name, and says so.
                if e["path_from"] == "user" {
                    *made
                        .entry(name("path").rsplit_once('/').unwrap().0.to_owned() + "/nowhere")
                        .or_default() += 1;
                }
            }
            "file.link" => *made.entry(name("to")).or_default() += 1,
            "file.rename" => {
                *made.entry(name("to")).or_default() += 1;
                *gone.entry(name("path")).or_default() += 1;
            }
            "file.unlink" => *gone.entry(name("path")).or_default() += 1,
            _ => {}
        }
    }
    let there: Vec<String> = tree(cwd).iter().map(|path| path.display().to_string()).collect();
    let unmade = there.iter().filter(|path| !made.contains_key(*path));
    let mut wrong: Vec<String> = unmade.map(|path| format!("{path} is there: not made")).collect();
    let left = made.keys().filter(|path| !there.contains(path) && !gone.contains_key(*path));
    wrong.extend(left.map(|path| format!("{path} was made and is not there: nothing removed it")));
    wrong
}

#[test]
fn what_a_program_asked_of_its_ring() {
    require!(Root, Compiler, Rings);
    let program = Program::compiled("storm.c");
    for seed in ["1", "2", "3"] {
        let folder = folder();
        let cwd = std::fs::canonicalize(folder.path()).unwrap();
        let (said, lines) = recorded(&cwd, Command::new(program.path()).args([seed, "200"]));
        let at = cwd.display().to_string();
        // A close of what was only read has no event.
        let told = said.lines().filter(|line| !line.starts_with("close "));
        let theirs = counts(told.map(|line| said_by_storm(&at, line)));
        let ours = counts(by_ring(&lines, "program").into_iter().map(in_the_log));
        assert!(theirs.values().sum::<i64>() > 1_500, "{}", theirs.len());
        must_agree(&format!("storm {seed}"), "the program", &theirs, &ours);
        let wrong = against_the_tree(&cwd, &lines);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Requests as the kernel's tracing tells them (trace/events/io_uring.h), in an instance of our own.
struct Tracing {
    mounted: tempfile::TempDir,
    instance: PathBuf,
}

impl Tracing {
    /// Begins to trace; `None` where the kernel has none of it.
    fn begin() -> Option<Self> {
        let mounted = folder();
        let mount = Command::new("mount").args(["-t", "tracefs", "none"]).arg(mounted.path()).status();
        if !mount.is_ok_and(|status| status.success()) {
            return None;
        }
        let instance = mounted.path().join(format!("instances/blubr-oracle.{}", std::process::id()));
        let tracing = Tracing { mounted, instance };
        std::fs::create_dir(&tracing.instance).ok()?;
        tracing.set("buffer_size_kb", "65536")?;
        for event in ["io_uring_submit_req", "io_uring_complete"] {
            tracing.set(&format!("events/io_uring/{event}/enable"), "1")?;
        }
        Some(tracing)
    }

    fn set(&self, file: &str, value: &str) -> Option<()> {
        std::fs::write(self.instance.join(file), value).ok()
    }

    /// What was asked by processes of this name, each as its operation and its result.
    fn requests(&self, comm: &str) -> Counts {
        let text = std::fs::read_to_string(self.instance.join("trace")).unwrap();
        let entries =
            text.lines().find_map(|line| line.strip_prefix("# entries-in-buffer/entries-written: "));
        let (kept, written) = entries.unwrap().split(' ').next().unwrap().split_once('/').unwrap();
        assert_eq!(kept, written, "the kernel's tracing lost some");
        let word = |rest: &str, key: &str| {
            let (_, behind) = rest.split_once(key).unwrap();
            behind.split([' ', ',']).next().unwrap().to_owned()
        };
        let (mut asked, mut counts) = (BTreeMap::new(), Counts::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((who, rest)) = line.split_once(" io_uring_submit_req: ") {
                if who.trim_start().starts_with(comm) {
                    asked.insert(word(rest, "req "), word(rest, "opcode "));
                }
            } else if let Some((_, rest)) = line.split_once(" io_uring_complete: ")
                && let Some(op) = asked.remove(&word(rest, "req "))
            {
                *counts.entry(format!("{op} {}", word(rest, "result "))).or_default() += 1;
            }
        }
        assert!(asked.is_empty(), "never answered: {asked:?}");
        counts
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.instance);
        let _ = Command::new("umount").arg(self.mounted.path()).status();
    }
}

/// Operations whose events are compared, each with its event's type.
const TOLD: [(&str, &str); 12] = [
    ("OPENAT", "file.open"),
    ("OPENAT2", "file.open"),
    ("FALLOCATE", "file.truncate"),
    ("FTRUNCATE", "file.truncate"),
    ("UNLINKAT", "file.unlink"),
    ("RENAMEAT", "file.rename"),
    ("MKDIRAT", "file.mkdir"),
    ("SYMLINKAT", "file.symlink"),
    ("LINKAT", "file.link"),
    ("SETXATTR", "file.setxattr"),
    ("FSETXATTR", "file.setxattr"),
    ("CONNECT", "net.connect"),
];

/// Operations that have no event, and why: printed with how often each was met.
const WITHOUT_EVENT: [(&str, &[&str]); 3] = [
    ("a close: of files for writing what closes is told, with no result", &["CLOSE"]),
    (
        "of what is open already: the contract has no event for single reads and writes",
        &["READ", "WRITE", "READV", "WRITEV", "READ_FIXED", "WRITE_FIXED", "SPLICE", "TEE"],
    ),
    (
        "changes nothing and opens nothing",
        &[
            "NOP",
            "FSYNC",
            "FADVISE",
            "MADVISE",
            "SYNC_FILE_RANGE",
            "STATX",
            "TIMEOUT",
            "POLL_ADD",
            "FGETXATTR",
            "GETXATTR",
        ],
    ),
];

/// The kernel's requests as types of the log and results, and what was passed over.
fn told_of(requests: &Counts) -> (Counts, Counts) {
    let (mut told, mut passed) = (Counts::new(), Counts::new());
    for (request, count) in requests {
        let (op, result) = request.split_once(' ').unwrap();
        match TOLD.iter().find(|(name, _)| *name == op) {
            Some((_, kind)) => *told.entry(format!("{kind} {result}")).or_default() += count,
            None => *passed.entry(op.to_owned()).or_default() += count,
        }
    }
    (told, passed)
}

/// Runs a command under the recorder and the kernel's tracing; both must agree on what rings of `comm` did.
#[track_caller]
fn agrees_with_tracing(name: &str, comm: &str, command: &Command) -> i64 {
    let Some(tracing) = Tracing::begin() else {
        eprintln!("SKIPPED: {name}: no tracefs");
        return 0;
    };
    let folder = folder();
    let (_, lines) = recorded(&std::fs::canonicalize(folder.path()).unwrap(), command);
    let (theirs, passed) = told_of(&tracing.requests(comm));
    let unknown: Vec<_> = passed
        .keys()
        .filter(|op| !WITHOUT_EVENT.iter().any(|(_, ops)| ops.contains(&op.as_str())))
        .collect();
    assert!(unknown.is_empty(), "the oracle does not know {unknown:?}");
    for (reason, ops) in WITHOUT_EVENT {
        let met = ops.iter().filter_map(|op| Some(format!("{op} {}", passed.get(*op)?)));
        let met = met.collect::<Vec<_>>().join(", ");
        if !met.is_empty() {
            std::io::stderr().write_all(format!("  {met}: {reason}\n").as_bytes()).unwrap();
        }
    }
    let events = by_ring(&lines, comm).into_iter().filter(|e| e["type"] != "file.close");
    let ours = counts(events.map(|e| format!("{} {}", e["type"].as_str().unwrap(), e["ret"])));
    must_agree(name, "the kernel's tracing", &theirs, &ours);
    theirs.values().sum()
}

#[test]
fn what_the_kernel_traced_of_a_ring() {
    require!(Root, Compiler, Rings);
    let program = Program::compiled("storm.c");
    let compared =
        agrees_with_tracing("storm", "program", Command::new(program.path()).args(["4", "200"]));
    assert!(compared == 0 || compared > 1_500, "{compared}");
}

#[cfg(feature = "all")]
#[test]
fn stressors_of_rings() {
    require!(Root, StressNg, Rings);
    let mut stress = Command::new("stress-ng");
    stress.args("--io-uring 2 --io-uring-ops 20000 --timeout 20 --temp-path .".split(' '));
    let compared = agrees_with_tracing("stress-ng rings", "stress-ng", &stress);
    assert!(compared == 0 || compared > 100, "{compared}");
}
