//! From the ring to the disk: nothing is lost unsaid, whatever the reader of the log, the disk or a SIGKILL does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checkpoints;
mod compressed;
mod loss;
mod parts;
mod spill;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use blubr_tests::bins;
use blubr_tests::calls::calls;
use blubr_tests::program::{jq, run, text_of};

/// A folder on a disk, for one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::Builder::new().prefix("blubr-drain.").tempdir_in("/var/tmp").unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What bash says of a script that is run here. $RECORD is the recorder, $FILTER blubr-filter, $CALLS the generator.
    fn bash(&self, script: &str) -> Output {
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).current_dir(self.0.path());
        run(bash
            .env("RECORD", bins::path("blubr-record"))
            .env("FILTER", bins::path("blubr-filter"))
            .env("CALLS", calls()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many events of `kind` the log has, those of other programs than the generator, and how many were lost.
fn counted(kind: &str, log: &Path) -> (u64, u64, u64) {
    let number = |filter: String| -> u64 {
        let numbers = jq(&filter, log);
        numbers.lines().map(|line| line.parse::<u64>().unwrap()).sum()
    };
    let ours = number(format!("select(.type == \"{kind}\" and .comm == \"calls\") | 1"));
    let others = number(format!("select(.type == \"{kind}\" and .comm != \"calls\") | 1"));
    (ours, others, number(format!("select(.type == \"lost\") | .by_type[\"{kind}\"] // 0")))
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it took too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sum_before_trailer(text_command: &str, log: &Path) -> String {
    let script = format!("{text_command} '{}' | head -n -1 | sha256sum | cut -d' ' -f1", log.display());
    text_of(Command::new("sh").args(["-c", &script]))
}
