//! Recordings that the tests of this suite look into: of a shell script, or of what the test itself does.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use blubr_tests::bins;
use blubr_tests::program::run;
use serde_json::Value;

/// A log that was read whole, and the folder that the script ran in.
pub struct Recording {
    pub lines: Vec<Value>,
    pub log: PathBuf,
    pub folder: tempfile::TempDir,
}

impl Recording {
    fn read(folder: tempfile::TempDir, log: PathBuf) -> Self {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let recording = Recording { lines, log, folder };
        assert_eq!(recording.lines.last().unwrap()["lost"], 0, "events were lost");
        recording
    }

    /// Events of one type.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["type"] == kind).collect()
    }

    /// The one event of this type whose field is this path below the folder.
    #[track_caller]
    pub fn one(&self, kind: &str, field: &str, name: &str) -> &Value {
        let path = self.path(name);
        let found: Vec<_> = self.of(kind).into_iter().filter(|e| e[field] == path).collect();
        assert_eq!(found.len(), 1, "{kind} of {path}: {found:#?}");
        found[0]
    }

    /// All events of this type whose path is this below the folder.
    pub fn all(&self, kind: &str, name: &str) -> Vec<&Value> {
        let path = self.path(name);
        self.of(kind).into_iter().filter(|e| e["path"] == path).collect()
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Records a script that sh runs with `set -e` in a fresh folder; it must succeed.
#[track_caller]
pub fn script(text: &str) -> Recording {
    script_with(&[], text)
}

/// The same by a recorder with these flags.
#[track_caller]
pub fn script_with(flags: &[&str], text: &str) -> Recording {
    let mut shell = Command::new("sh");
    shell.args(["-ec", text]);
    command_with(flags, &shell)
}

/// The same by a recorder that another program starts.
#[track_caller]
pub fn script_under(starter: &[&str], flags: &[&str], text: &str) -> Recording {
    let mut shell = Command::new("sh");
    shell.args(["-ec", text]);
    recorded(starter, flags, &shell)
}

/// Records a command that runs in a fresh folder; it must succeed.
#[track_caller]
pub fn command(command: &Command) -> Recording {
    command_with(&[], command)
}

#[track_caller]
fn command_with(flags: &[&str], command: &Command) -> Recording {
    recorded(&[], flags, command)
}

#[track_caller]
fn recorded(starter: &[&str], flags: &[&str], command: &Command) -> Recording {
    let folder = folder();
    let log = folder.path().join("log.ndjson");
    let mut recorder = blubr_tests::record::recorder_with(flags, &log, command);
    if let Some((program, arguments)) = starter.split_first() {
        let mut started = Command::new(program);
        started.args(arguments).arg(recorder.get_program()).args(recorder.get_args());
        started.envs(recorder.get_envs().filter_map(|(key, value)| Some((key, value?))));
        recorder = started;
    }
    recorder.current_dir(folder.path());
    let output = recorder.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Recording::read(folder, log)
}

/// A folder on a disk: paths of /tmp may be a tmpfs, where some calls are refused.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("blubr-events.").tempdir_in("/var/tmp").unwrap()
}

/// A recorder that runs beside the test and records what the test does itself.
pub struct Monitor {
    child: Child,
    log: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl Monitor {
    /// Starts it and waits until it records.
    pub fn start() -> Self {
        let folder = folder();
        let log = folder.path().join("log.ndjson");
        let mut child = bins::command("blubr-record")
            .arg("-o")
            .arg(&log)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.contains("recording"), "{told}");
        Monitor { child, log, folder: Some(folder) }
    }

    /// The folder that it writes to, for the test to use too.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGINT and reads what it wrote.
    pub fn stop(mut self) -> Recording {
        let pid = self.child.id().to_string();
        assert!(run(Command::new("kill").args(["-INT", &pid])).status.success());
        assert!(self.child.wait().unwrap().success());
        Recording::read(self.folder.take().unwrap(), self.log.clone())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.folder.is_some() {
            // The test has failed already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
