//! Recordings that were killed, and builds that failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, text_of};
use blubr_tests::record::{recorder, wait_until_attached};
use blubr_tests::require;
use blubr_tests::workload::Context;

use crate::stage::folder;

/// How long until a step's end has a checkpoint after it: those come every 5 s at least.
const CHECKPOINT_SECONDS_MAX: u64 = 60;

#[test]
fn a_killed_recorder_leaves_what_it_had_and_every_reader_says_so() {
    require!(Root, Docker);
    let folder = folder("killed");
    let context = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/m3\"]\n\
         RUN [\"/bin/busybox\", \"sleep\", \"60\"]\n",
    );
    let log = folder.join("killed.ndjson");
    let partial = PathBuf::from(format!("{}.partial", log.display()));
    let build = Engine::shared().build_command(Builder::BuildKit, context.path(), "blubr-killed", &[]);
    let mut recording = recorder(&log, &build);
    let mut child =
        recording.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until_attached(&log, &child);
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    wait_for_checkpoint_after(&partial, "\"/bin/busybox\",\"sleep\",\"60\"");
    let client = std::fs::read_to_string(children).unwrap_or_default();
    child.kill().unwrap();
    drop(child.wait());
    for pid in client.split_whitespace() {
        drop(run(Command::new("kill").arg(pid)));
    }
    assert!(partial.exists() && !log.exists(), "a killed recorder leaves LOG.partial and no LOG");
    its_last_checkpoint_holds(&partial);

    let filtered = folder.join("filtered.ndjson");
    let mut filter = bins::command("blubr-filter");
    let answer = run(filter.args(["--build", "-o"]).arg(&filtered).arg(&partial));
    assert!(answer.status.success(), "{}", describe(&filter, &answer));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("cut"), "{}", describe(&filter, &answer));
    assert_eq!(jq("select(.type == \"trailer\") | .sources[0].complete", &filtered), "false");
    for source in [&filtered, &partial] {
        let mut attest = bins::command("blubr-attest");
        let statement = folder.join("statement.json");
        attest.arg("--dockerfile").arg(context.file("Dockerfile")).arg("-o").arg(&statement).arg(source);
        let answer = run(&mut attest);
        assert!(answer.status.success(), "{}", describe(&attest, &answer));
        let says = String::from_utf8_lossy(&answer.stderr).contains("was cut off");
        assert_eq!(says, *source == partial, "{}", describe(&attest, &answer));
        assert_eq!(jq(".predicate.blubr_build.completeness.recording", &statement), "cut");
        let line = "[.predicate.blubr_build.steps[] | select(any(.writes[]; .path == \"/m3\")) | .lines[0]] | @csv";
        assert_eq!(jq(line, &statement), "3");
    }
}

fn wait_for_checkpoint_after(partial: &Path, words: &str) {
    let deadline = Instant::now() + Duration::from_secs(CHECKPOINT_SECONDS_MAX);
    loop {
        let text = String::from_utf8_lossy(&std::fs::read(partial).unwrap()).into_owned();
        let seen =
            text.split_once(words).is_some_and(|(_, rest)| rest.contains("\"type\":\"checkpoint\""));
        if seen {
            return;
        }
        assert!(Instant::now() < deadline, "no checkpoint after {words}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// sha256sum's own answer about the bytes before the last checkpoint.
fn its_last_checkpoint_holds(partial: &Path) {
    let script = "line=$(grep -n '\"type\":\"checkpoint\"' \"$1\" | tail -n 1 | cut -d : -f 1); \
                  head -n $((line - 1)) \"$1\" | sha256sum | cut -d ' ' -f 1; \
                  sed -n \"${line}p\" \"$1\" | jq -r .sha256";
    let answer = text_of(Command::new("bash").args(["-c", script, "bash"]).arg(partial));
    let (ours, theirs) = answer.split_once('\n').unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn a_build_that_failed_is_not_attested_though_an_older_image_has_its_name() {
    require!(Root, Docker);
    let folder = folder("failed");
    let good = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/m3\"]\n",
    );
    let bad = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"false\"]\n",
    );
    let engine = Engine::shared();
    for builder in [Builder::Classic, Builder::BuildKit] {
        drop(engine.build(builder, good.path(), "blubr-failed", &[]));
        let log = folder.join(format!("{builder:?}.ndjson"));
        let mut recording =
            recorder(&log, &engine.build_command(builder, bad.path(), "blubr-failed", &[]));
        let answer = run(&mut recording);
        assert_eq!(
            answer.status.code(),
            Some(1),
            "docker's own status: {}",
            describe(&recording, &answer)
        );
        let outcome = folder.join(format!("{builder:?}"));
        std::fs::create_dir(&outcome).unwrap();
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &engine.host).arg("--dockerfile").arg(bad.file("Dockerfile"));
        attest.args(["--image", "docker:blubr-failed", "-o"]).arg(outcome.join("app.att"));
        attest.arg("--statement").arg(outcome.join("app.json")).arg(&log);
        let answer = run(&mut attest);
        assert_eq!(answer.status.code(), Some(1), "{}", describe(&attest, &answer));
        assert!(!answer.stderr.is_empty(), "it says why");
        assert_eq!(std::fs::read_dir(&outcome).unwrap().count(), 0, "nothing is written");
    }
}

#[test]
fn a_log_without_a_build_is_answered_with_no() {
    require!(Root);
    let folder = folder("nobuild");
    let log = folder.join("log.ndjson");
    drop(blubr_tests::record::record(&log, &Command::new("true")));
    let mut filter = bins::command("blubr-filter");
    let answer = run(filter.arg("--build").arg(&log));
    assert_eq!(answer.status.code(), Some(1), "{}", describe(&filter, &answer));
    let hint = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(hint.starts_with("blubr-filter: "), "{hint}");
}
