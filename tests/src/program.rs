//! Runs programs: the tools under test and the oracles that judge them.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a program that must succeed wrote to standard output.
///
/// # Panics
/// When it cannot be started or fails; the message holds the command and what it wrote to standard error.
#[must_use]
pub fn stdout_of(command: &mut Command) -> Vec<u8> {
    let output = run(command);
    assert!(output.status.success(), "{}", describe(command, &output));
    output.stdout
}

/// [`stdout_of`] as text, without the newline at its end.
///
/// # Panics
/// As [`stdout_of`]; and when the text is not UTF-8.
#[must_use]
pub fn text_of(command: &mut Command) -> String {
    let text = String::from_utf8(stdout_of(command)).expect("the program writes UTF-8");
    text.trim_end_matches('\n').to_owned()
}

/// Runs a program to its end, which must be with `status`: its standard output and error.
///
/// # Panics
/// When it can't be started, ends otherwise, or writes what is not UTF-8.
pub fn ends(status: i32, command: &mut Command) -> (String, String) {
    let output = run(command);
    assert_eq!(output.status.code(), Some(status), "{}", describe(command, &output));
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    (text(output.stdout), text(output.stderr))
}

/// Runs a program to its end, with no standard input, whatever its status.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a program to its end on the given standard input, whatever its status.
///
/// # Panics
/// When it cannot be started.
pub fn run_on(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    // The program may stop reading early: a closed pipe is its right.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the child can be waited for");
    writer.join().expect("the writer does not panic");
    output
}

/// One paragraph on how a program ended, for a failed assertion.
#[must_use]
pub fn describe(command: &Command, output: &Output) -> String {
    format!(
        "{command:?} ended with {}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// jq's answer (`-r`) about a file of JSON or NDJSON.
///
/// # Panics
/// When jq fails.
#[must_use]
pub fn jq(filter: &str, file: &Path) -> String {
    text_of(Command::new("jq").arg("-r").arg(filter).arg(file))
}

/// What sha256sum says of a file, in lower-case hex.
///
/// # Panics
/// When sha256sum fails.
#[must_use]
pub fn sha256sum(file: &Path) -> String {
    let line = text_of(Command::new("sha256sum").arg("-b").arg(file));
    line.split([' ', '\\']).find(|word| word.len() == 64).expect("sha256sum prints a digest").to_owned()
}

/// Whether a program lies on `PATH` or where Debian keeps those for root.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program lies, on `PATH` or where Debian keeps those for root.
#[must_use]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(OsStr::new(program)))
        .find(|candidate| candidate.is_file())
}
