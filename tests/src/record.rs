//! Recordings made by the blubr-record under test.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use crate::bins;
use crate::program::{describe, run};

/// How long the recorder may take to attach.
const ATTACH_SECONDS_MAX: u64 = 30;

/// `blubr-record -o LOG -- COMMAND`, with the command's environment and folder.
#[must_use]
pub fn recorder(log: &Path, command: &Command) -> Command {
    recorder_with(&[], log, command)
}

/// The same with flags before.
#[must_use]
pub fn recorder_with(flags: &[&str], log: &Path, command: &Command) -> Command {
    let mut recorder = bins::command("blubr-record");
    recorder
        .args(flags)
        .arg("-o")
        .arg(log)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => recorder.env(key, value),
            None => recorder.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        recorder.current_dir(folder);
    }
    recorder
}

/// Records a command that must succeed.
///
/// # Panics
/// When the command or its recording fails.
pub fn record(log: &Path, command: &Command) -> Output {
    let mut recorder = recorder(log, command);
    let output = run(&mut recorder);
    assert!(output.status.success(), "{}", describe(&recorder, &output));
    output
}

/// Waits for the recorder's first lines: what happens from now on is recorded.
///
/// # Panics
/// When there are none for long.
pub fn wait_until_attached(log: &Path, recorder: &Child) {
    let mut partial = log.as_os_str().to_owned();
    partial.push(".partial");
    let deadline = Instant::now() + Duration::from_secs(ATTACH_SECONDS_MAX);
    let wrote = |path: &OsStr| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    while !wrote(&partial) && !wrote(log.as_os_str()) {
        assert!(Instant::now() < deadline, "blubr-record ({}) writes nothing", recorder.id());
        std::thread::sleep(Duration::from_millis(20));
    }
}
