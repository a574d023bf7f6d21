//! One run under both.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{expected, facts, strace};

/// The calls that strace is asked for: its classes of files, processes and networks, and what works on descriptors and
/// has an event. A `?` before a name lets strace pass over one that it does not know.
const CALLS: &str = "trace=%file,%process,%network,close,?close_range,dup,dup2,dup3,fcntl,?fcntl64,fchdir,fchmod,fchown,\
                     ?fchown32,ftruncate,?ftruncate64,fallocate,fsetxattr,fremovexattr,open_by_handle_at,memfd_create,\
                     mount,umount2,pivot_root,chroot,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,fspick,\
                     unshare,setns,?io_uring_setup,?io_uring_enter,?io_uring_register";

/// What came of it.
pub struct Outcome {
    /// What one has and the other hasn't.
    pub differences: Vec<String>,
    /// Facts compared.
    pub compared: usize,
    /// The log's lines.
    pub lines: Vec<Value>,
}

impl Outcome {
    /// The test's verdict.
    #[track_caller]
    pub fn must_agree(&self) {
        const SHOWN: usize = 40;
        let shown = self.differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.differences.is_empty(), "{} differences:\n{shown}", self.differences.len());
    }
}

/// A folder on a disk.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("blubr-oracle.").tempdir_in("/var/tmp").unwrap()
}

/// Runs a command in a folder, under strace and under a recorder with these flags.
#[track_caller]
pub fn both(name: &str, folder: tempfile::TempDir, flags: &[&str], command: &Command) -> Outcome {
    let aside = self::folder();
    let log = aside.path().join("log.ndjson");
    let mut traced = Command::new("strace");
    traced.args(strace::FLAGS).args(["-e", CALLS, "-o"]).arg(aside.path().join("calls"));
    traced.arg("--").arg(command.get_program()).args(command.get_args());
    let mut recorder = blubr_tests::bins::command("blubr-record");
    recorder.args(flags).arg("-o").arg(&log).arg("--");
    recorder.arg(traced.get_program()).args(traced.get_args());
    let cwd = std::fs::canonicalize(folder.path()).unwrap();
    let output = recorder.current_dir(&cwd).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["lost"], 0, "events were lost");
    let calls = strace::read(aside.path(), "calls");
    let root = root(&lines, &calls);
    let mut expected = expected::of_strace(&calls, root, &cwd);
    let (mut told, not_compared) = facts::of_log(&lines, &expected.threads, root);
    facts::join_closes(&mut expected.facts, &expected.threads);
    facts::join_closes(&mut told, &expected.threads);
    let compared = expected.facts.values().map(Vec::len).sum();
    let differences = facts::differences(&expected.facts, &told);
    report(name, &expected, &not_compared, compared, &differences);
    Outcome { differences, compared, lines }
}

/// The first traced process: the child of the recorded strace whose file begins with the command's execve.
fn root(lines: &[Value], calls: &BTreeMap<i64, Vec<strace::Line>>) -> i64 {
    let begun = |thread: &i64| {
        calls.values().flatten().any(|line| match line {
            strace::Line::Call(call) => call.done() == Some(*thread) || call.global_pid == Some(*thread),
            strace::Line::Ended { .. } => false,
        })
    };
    let roots: Vec<_> = calls.keys().filter(|thread| !begun(thread)).collect();
    assert_eq!(roots.len(), 1, "{roots:?} of {}", lines.len());
    *roots[0]
}

/// Past the capture of the test runner: what was not compared, and why.
fn report(
    name: &str,
    expected: &expected::Expected,
    not_compared: &BTreeMap<&str, u64>,
    compared: usize,
    differences: &[String],
) {
    let mut text = format!(
        "oracle {name}: {compared} calls and events of {} threads compared, {} differences; calls without an event:\n",
        expected.threads.len(),
        differences.len()
    );
    for (reason, names) in expected::WITHOUT_EVENT {
        let met = names.iter().filter_map(|name| Some((name, expected.passed_over.get(*name)?)));
        let met: Vec<_> = met.map(|(name, count)| format!("{name} {count}")).collect();
        if !met.is_empty() {
            text += &format!("  {}: {reason}\n", met.join(", "));
        }
    }
    for (reason, calls) in &expected.told_otherwise {
        let calls: Vec<_> = calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
        text += &format!("  {}: {reason}\n", calls.join(", "));
    }
    for (kind, reason) in facts::NOT_COMPARED {
        if let Some(count) = not_compared.get(kind).filter(|count| **count > 0) {
            text += &format!("  events not compared: {kind} {count}: {reason}\n");
        }
    }
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
