//! What an attestation says of a log that lost events, wherever the log tells of it.

use std::path::{Path, PathBuf};

use blubr_tests::bins;
use blubr_tests::program::{jq, run, stdout_of, text_of};
use blubr_tests::supervise::process_folder;

use super::log::{Log, STEP, STRANGER};

/// A log as `write` makes it, and what blubr-attest makes of that.
struct Attested {
    folder: tempfile::TempDir,
}

impl Attested {
    fn of(write: impl FnOnce(Log)) -> Self {
        let folder = tempfile::Builder::new().prefix("loss.").tempdir_in(process_folder()).unwrap();
        let attested = Self { folder };
        write(Log::new(&attested.log()));
        let mut attest = bins::command("blubr-attest");
        drop(stdout_of(attest.arg("-o").arg(attested.statement()).arg(attested.log())));
        attested
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log.ndjson")
    }

    fn statement(&self) -> PathBuf {
        self.folder.path().join("statement.json")
    }

    /// `recording`, `lost` and `lost_outside`, which may be absent.
    fn completeness(&self) -> String {
        let filter = ".predicate.blubr_build.completeness | [.recording, .lost, .lost_outside] | tojson";
        jq(filter, &self.statement())
    }

    fn evidence(&self) -> String {
        let filter =
            ".predicate.blubr_build.checks[] | select(.id == \"recording-complete\") | .evidence[0]";
        jq(filter, &self.statement())
    }

    fn shown(&self) -> String {
        let page = text_of(bins::command("blubr-attest").arg("show").arg(self.statement()));
        let line = page.lines().find(|line| line.trim_start().starts_with("recording "));
        line.unwrap_or_else(|| panic!("{page}")).trim().to_owned()
    }

    fn is_complete(log: &Path) -> bool {
        let mut attest = bins::command("blubr-attest");
        let status = run(attest.args(["--require", "complete"]).arg(log)).status.code();
        assert!(matches!(status, Some(0 | 1)), "{status:?}");
        status == Some(0)
    }
}

/// What a stranger does.
const ELSEWHERE: &str = r#""path":"/x","mode":"0755","ret":0"#;

/// Some of the build's own work.
fn work(log: &mut Log) {
    for n in 0..10 {
        log.add(STEP, "file.mkdir", &format!(r#""path":"/d{n}","mode":"0755","ret":0"#));
    }
}

#[test]
fn what_tasks_outside_lost_is_told_apart_and_the_recording_is_lossy_all_the_same() {
    const WHOSE: &str = "of them of users' tasks that were neither known as the recorded command's nor in a mount \
                         namespace that root had made";
    for (lost, outside, says) in [
        (7, 7, format!("7 events were lost while the build ran, all {WHOSE}")),
        (7, 4, format!("7 events were lost while the build ran, 4 {WHOSE}")),
        (7, 0, "7 events were lost while the build ran".to_owned()),
    ] {
        let attested = Attested::of(|mut log| {
            log.begin();
            work(&mut log);
            log.lost(0..=0, lost, outside);
            work(&mut log);
            log.end();
        });
        let told = if outside == 0 { "null".to_owned() } else { outside.to_string() };
        assert_eq!(attested.completeness(), format!("[\"lossy\",{lost},{told}]"));
        assert_eq!(attested.shown().split_once("LOSSY: ").map(|(_, text)| text), Some(&*says));
        assert_eq!(attested.evidence().contains(WHOSE), outside > 0, "{}", attested.evidence());
        assert!(!Attested::is_complete(&attested.log()));
    }
}

#[test]
fn a_loss_that_is_told_before_the_build_s_checkpoint_and_is_of_its_time_counts() {
    // The ring was full of older events when the loss was counted: the build's own come behind it.
    let attested = Attested::of(|mut log| {
        log.add(STRANGER, "file.mkdir", ELSEWHERE);
        log.lost(0..=30, 3, 0);
        log.checkpoint();
        log.begin();
        work(&mut log);
        log.end();
    });
    assert_eq!(attested.completeness(), "[\"lossy\",3,null]");
    assert!(!Attested::is_complete(&attested.log()));
}

#[test]
fn a_loss_of_the_whole_recording_that_is_told_at_its_end_counts() {
    let attested = Attested::of(|mut log| {
        log.begin();
        log.end_of_build();
        log.add(STRANGER, "file.mkdir", ELSEWHERE);
        log.checkpoint();
        log.lost(-40..=0, 2, 0);
        log.finish();
    });
    assert_eq!(attested.completeness(), "[\"lossy\",2,null]");
}

#[test]
fn a_loss_before_or_after_the_build_is_not_its_own() {
    let attested = Attested::of(|mut log| {
        log.add(STRANGER, "file.mkdir", ELSEWHERE);
        log.lost(-1..=0, 3, 0);
        log.checkpoint();
        log.add(STRANGER, "file.mkdir", ELSEWHERE);
        log.begin();
        log.end_of_build();
        log.add(STRANGER, "file.mkdir", ELSEWHERE);
        log.checkpoint();
        log.lost(0..=10, 2, 1);
        log.finish();
    });
    assert_eq!(attested.completeness(), "[\"complete\",0,null]");
    assert!(attested.shown().ends_with("complete: nothing was lost while the build ran"));
    assert!(Attested::is_complete(&attested.log()));
}

#[test]
fn nobody_is_a_stranger_for_certain_where_events_were_lost() {
    let result = |lost: u64| {
        let attested = Attested::of(|mut log| {
            log.begin();
            work(&mut log);
            log.add(STRANGER, "file.mkdir", r#""path":"/s/overlay2/41/diff/x","mode":"0755","ret":0"#);
            if lost > 0 {
                log.lost(0..=0, lost, 0);
            }
            work(&mut log);
            log.end();
        });
        let filter = ".predicate.blubr_build.checks[] | select(.id == \"no-foreign-access\") | .result";
        jq(filter, &attested.statement())
    };
    assert_eq!([result(0), result(1)], ["fail", "unknown"]);
}
