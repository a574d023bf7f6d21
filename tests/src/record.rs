//! Recordings made by the blubr-record under test.

use std::path::Path;
use std::process::{Command, Output};

use crate::bins;
use crate::program::{describe, run};

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
