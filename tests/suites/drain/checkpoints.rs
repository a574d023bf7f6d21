//! `--checkpoints-to`: what is kept elsewhere, and what it finds.

use std::os::unix::process::ExitStatusExt as _;

use blubr_tests::program::{describe, run};
use blubr_tests::{bins, require};

use super::*;

fn lines_of(kind: &str, log: &Path) -> String {
    let begin = format!("{{\"type\":\"{kind}\"");
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().filter(|line| line.starts_with(&begin)).map(|line| format!("{line}\n")).collect()
}

const SIGTERM: i32 = 15;

#[test]
fn each_checkpoint_is_copied_to_a_file() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD --checkpoints-to kept -o log -- $CALLS open 25000");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (kept, log) = (folder.file("kept"), folder.file("log"));
    let copied = std::fs::read_to_string(&kept).unwrap();
    assert!(copied.lines().count() >= 4);
    assert_eq!(copied, lines_of("checkpoint", &log));
    // The last stands before the trailer: all events are held.
    let text_of_log = std::fs::read_to_string(&log).unwrap();
    let last = text_of_log.lines().rev().nth(1).unwrap();
    assert_eq!(copied.lines().last(), Some(last));
    let again = folder.bash("$RECORD --checkpoints-to kept -o log2 -- true; echo $?; ls log2*");
    assert_eq!(text(&again.stdout), "125\n", "it holds another log's");
    assert!(text(&again.stderr).contains("kept: holds something already"));
}

#[test]
fn a_descriptor_does_for_a_pipe_and_the_command_does_not_get_it() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash(
        "exec 3> >(cat > kept); readlink /proc/self/fd/3 > pipe; \
         $RECORD --checkpoints-to 3 -o log -- sh -c 'ls -l /proc/self/fd > fds; $CALLS open 15000'; \
         status=$?; exec 3>&-; wait; exit $status",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    // The reader of the pipe ends after its last byte.
    let kept = folder.file("kept");
    let copied = lines_of("checkpoint", &folder.file("log"));
    wait_until(|| std::fs::read_to_string(&kept).is_ok_and(|text| text == copied));
    let fds = std::fs::read_to_string(folder.file("fds")).unwrap();
    let pipe = std::fs::read_to_string(folder.file("pipe")).unwrap();
    assert!(pipe.starts_with("pipe:[") && !fds.contains(pipe.trim()), "{pipe} in {fds}");
    let output = folder.bash("$RECORD --checkpoints-to 77 -o log2 -- true; echo $?");
    assert_eq!(text(&output.stdout), "125\n");
    assert!(text(&output.stderr).contains("descriptor 77: Bad file descriptor"));
}

#[test]
fn a_pipe_that_closes_is_said_and_fails_the_recording_but_not_the_log() {
    require!(Root);
    let folder = Folder::new();
    let output =
        folder.bash("$RECORD --checkpoints-to 3 -o log -- $CALLS open 15000 3> >(true); echo $?");
    assert!(text(&output.stdout).ends_with("125\n"), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(told.contains("descriptor 3: Broken pipe"), "{told}");
    assert!(told.contains("the log is whole, but not every checkpoint was copied"), "{told}");
    assert!(folder.file("log").exists());
}

#[test]
fn who_waits_for_the_reader_of_a_fifo_can_be_interrupted() {
    require!(Root);
    let folder = Folder::new();
    assert!(folder.bash("mkfifo fifo").status.success());
    for flags in [&["--checkpoints-to", "fifo", "-o", "log"][..], &["-o", "fifo"]] {
        let mut recorder = bins::command("blubr-record");
        recorder.args(flags).args(["--", "true"]).current_dir(folder.file(""));
        let mut recorder = recorder.spawn().unwrap();
        // It sleeps in openat(2), which is call 257.
        let call = format!("/proc/{}/syscall", recorder.id());
        wait_until(|| std::fs::read_to_string(&call).is_ok_and(|text| text.starts_with("257 ")));
        // SIGTERM: shells start what goes on in the background with SIGINT ignored.
        let kill = run(Command::new("kill").arg("-TERM").arg(recorder.id().to_string()));
        assert!(kill.status.success());
        let deadline = Instant::now() + Duration::from_secs(60);
        while recorder.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        // One that can't be interrupted must not stay.
        let _ = recorder.kill();
        assert_eq!(recorder.wait().unwrap().signal(), Some(SIGTERM), "{flags:?}");
        assert_eq!(text(&folder.bash("ls").stdout), "fifo\n");
    }
}

/// The log with its chain computed anew from the line `from` on: what one can do who may write it.
fn forge(text: &str, from: usize, line: Option<&str>) -> String {
    let mut out = String::new();
    for (at, old) in text.lines().enumerate() {
        let new = if at == from { line.unwrap_or_default().to_owned() } else { old.to_owned() };
        if new.is_empty() {
            continue;
        }
        if at > from
            && (old.starts_with("{\"type\":\"checkpoint\"") || old.starts_with("{\"type\":\"trailer\""))
        {
            let (head, _) = old.rsplit_once("\"sha256\":\"").unwrap();
            out.push_str(&format!("{head}\"sha256\":\"{}\"}}", sha256(&out)));
        } else {
            out.push_str(&new);
        }
        out.push('\n');
    }
    out
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A statement that speaks of this very log, as far as verify looks at it.
fn statement_of(log: &Path) -> String {
    let sum = sha256(&std::fs::read_to_string(log).unwrap());
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [],
        "predicateType": "https://in-toto.io/attestation/runtime-trace/v0.1",
        "predicate": {
            "monitor": {"type": "x"},
            "monitoredProcess": {"hostID": "h", "type": "t", "event": "e"},
            "monitorLog": {},
            "metadata": {},
            "blubr_build": {
                "build": {"number": 1, "engine": "buildkit", "client": "1:1", "exit": 0, "command_exit": 0},
                "dockerfile": null,
                "context": null,
                "image": null,
                "log": {"schema": "blubr.log/1", "sha256": sum, "events": 5, "complete": true},
                "completeness": {
                    "recording": "complete",
                    "lost": 0,
                    "from_event": 0,
                    "to_event": 5,
                    "hooks_missing": [],
                    "steps": {"observed": 1, "cached": 0, "daemon": 0, "not_observed": 0, "candidates": 0},
                },
                "unattributed": {},
                "unexplained": null,
            },
        },
    });
    format!("{statement}\n")
}

#[test]
fn a_log_that_was_written_anew_is_found_and_the_change_placed() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD --checkpoints-to kept -o log -- $CALLS open 35000");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (kept, log) = (folder.file("kept"), folder.file("log"));
    let verify = |log: &Path| {
        let mut command = bins::command("blubr-filter");
        command.args(["verify", "--checkpoints"]).arg(&kept).arg(log);
        let output = run(&mut command);
        (output.status.code(), describe(&command, &output))
    };
    assert_eq!(verify(&log).0, Some(0));
    let attested = |log: &Path| {
        let statement = folder.file("statement");
        std::fs::write(&statement, statement_of(log)).unwrap();
        let mut command = bins::command("blubr-attest");
        command.args(["verify", "--unsigned", "--checkpoints"]).arg(&kept).arg("--log").arg(log);
        let output = run(command.arg(statement));
        (output.status.code(), describe(&command, &output))
    };
    let (status, told) = attested(&log);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("kept apart are in the log"), "{told}");
    let whole = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let events = |line: &str| -> u64 {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["events"].as_u64().unwrap()
    };
    let checkpoints: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].starts_with("{\"type\":\"checkpoint\"")).collect();
    let forged = folder.file("forged");
    for nth in 1..checkpoints.len() - 1 {
        // An event between two checkpoints gets another name; the chain is computed anew.
        let at = checkpoints[nth] + 1;
        let changed = lines[at].replacen("\"comm\":\"", "\"comm\":\"x", 1);
        std::fs::write(&forged, forge(&whole, at, Some(&changed))).unwrap();
        assert!(
            run(bins::command("blubr-filter").args(["--type", "none"]).arg(&forged)).status.success()
        );
        let (status, told) = verify(&forged);
        assert_eq!(status, Some(1), "{told}");
        let (before, after) = (events(lines[checkpoints[nth]]), events(lines[checkpoints[nth + 1]]));
        assert!(told.contains(&format!("between its events {before} and {after}")), "{told}");
        let (status, told) = attested(&forged);
        assert_eq!(status, Some(1), "{told}");
        let what = format!("after event {after} is not in the log: it was changed after event {before}");
        assert!(told.contains(&what), "{told}");
    }
    // A log that ends early, with a trailer of its own.
    let cut = checkpoints[1];
    std::fs::write(&forged, lines[..=cut].join("\n") + "\n").unwrap();
    let (status, told) = verify(&forged);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains(&format!("after event {}", events(lines[cut]))), "{told}");
    let (status, told) = attested(&forged);
    assert_eq!(status, Some(1), "{told}");
    let what = format!("up to event {} are in the log, which ends before", events(lines[cut]));
    assert!(told.contains(&what), "{told}");
}
