//! `-o FILE.zst`: what zstd and the readers make of it, whole and cut.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use blubr_tests::bins;
use blubr_tests::program::{describe, jq, run, run_on, stdout_of, text_of};
use blubr_tests::require;

use super::*;

/// Frames as `zstd -l` counts them.
fn frames(log: &Path) -> usize {
    let list = text_of(Command::new("zstd").args(["-l", "-v"]).arg(log));
    let line = list.lines().find_map(|line| line.trim().strip_prefix("# Zstandard Frames:"));
    line.unwrap_or_else(|| panic!("{list}")).trim().parse().unwrap()
}

fn plain(log: &Path, to: &Path) {
    std::fs::write(to, stdout_of(Command::new("zstdcat").arg(log))).unwrap();
}

#[test]
fn each_frame_ends_at_a_checkpoint_and_the_sum_is_of_the_lines() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD -o log.zst -- $CALLS open 35000");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (log, lines) = (folder.file("log.zst"), folder.file("lines"));
    assert!(run(Command::new("zstd").arg("-t").arg(&log)).status.success());
    plain(&log, &lines);
    let trailer = jq("select(.type == \"trailer\") | .sha256", &lines);
    assert_eq!(trailer, sum_before_trailer("zstdcat", &log));
    let checkpoints = jq("select(.type == \"checkpoint\") | .type", &lines).lines().count();
    assert!(checkpoints >= 4);
    assert_eq!(frames(&log), checkpoints + 1, "one up to each checkpoint, one for the trailer");
    assert!(log.metadata().unwrap().len() * 4 < lines.metadata().unwrap().len());
}

#[test]
fn every_reader_takes_it_under_any_name_and_from_a_pipe() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD -o log.zst -- $CALLS open 100");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = folder.file("lines");
    plain(&folder.file("log.zst"), &lines);
    let named = folder.file("without-suffix");
    std::fs::rename(folder.file("log.zst"), &named).unwrap();
    let filter =
        |log: &Path| stdout_of(bins::command("blubr-filter").args(["--type", "process.*"]).arg(log));
    let expected = filter(&lines);
    assert!(!expected.is_empty());
    assert!(filter(&named) == expected);
    let mut piped = bins::command("blubr-filter");
    let output = run_on(piped.args(["--type", "process.*"]), &std::fs::read(&named).unwrap());
    assert!(output.stdout == expected);

    // A filtered log may be compressed too, and is replayed all the same.
    let packed = folder.file("filtered.zst");
    let mut command = bins::command("blubr-filter");
    command.args(["--type", "process.*", "-o"]).arg(&packed).arg(&named);
    assert!(run(&mut command).status.success());
    assert!(stdout_of(Command::new("zstdcat").arg(&packed)) == expected);
    for source in [&named, &lines] {
        let mut verify = bins::command("blubr-filter");
        verify.args(["verify", "--source"]).arg(source).arg(&packed);
        let output = run(&mut verify);
        assert!(output.status.success(), "{}", describe(&verify, &output));
    }
}

#[test]
fn a_killed_recorder_leaves_frames_up_to_the_last_checkpoint() {
    require!(Root);
    let folder = Folder::new();
    let partial = folder.file("log.zst.partial");
    let mut recorder = bins::command("blubr-record")
        .args(["-o", "log.zst", "--", "sh", "-c", "while [ ! -e stop ]; do : < /dev/null; done"])
        .current_dir(folder.0.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Frames of noise of a busy host are some hundred kilobytes.
    wait_until(|| std::fs::metadata(&partial).is_ok_and(|file| file.len() > 1 << 20));
    recorder.kill().unwrap();
    assert_eq!(recorder.wait().unwrap().signal(), Some(9));
    std::fs::write(folder.file("stop"), "").unwrap();
    let mut filter = bins::command("blubr-filter");
    let output = run(filter.args(["--type", "none", "-o"]).arg(folder.file("none")).arg(&partial));
    assert!(output.status.success(), "{}", describe(&filter, &output));
    let told = text(&output.stderr);
    assert!(told.contains("was cut off") && told.contains("its chain holds up to event"), "{told}");
    let source = jq(
        "select(.type == \"trailer\") | .sources[0] | \"\\(.complete) \\(.cut_at)\"",
        &folder.file("none"),
    );
    let (complete, held) = source.split_once(' ').unwrap();
    assert_eq!(complete, "false");
    assert!(held.parse::<u64>().unwrap() >= 10_000, "{held}");
}

#[test]
fn a_log_cut_at_any_byte_reads_up_to_the_checkpoint_before() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD -o log.zst -- $CALLS open 25000");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let whole = std::fs::read(folder.file("log.zst")).unwrap();
    let lines = folder.file("lines");
    plain(&folder.file("log.zst"), &lines);
    let checkpoints = jq("select(.type == \"checkpoint\") | .events", &lines);
    let checkpoints: Vec<u64> = checkpoints.lines().map(|line| line.parse().unwrap()).collect();
    let cut = folder.file("cut");
    let mut held_before = 0;
    for at in (1..20).map(|n| whole.len() * n / 20).chain([whole.len() - 40]) {
        std::fs::write(&cut, &whole[..at]).unwrap();
        let output = run(bins::command("blubr-filter").args(["--type", "none"]).arg(&cut));
        if held_before == 0 && text(&output.stderr).contains("cut off within its first zstd frame") {
            // In the first frame, before zstd gives anything out.
            continue;
        }
        assert!(output.status.success(), "cut at {at}: {}", text(&output.stderr));
        std::fs::write(folder.file("out"), &output.stdout).unwrap();
        let held = jq("select(.type == \"trailer\") | .sources[0].cut_at", &folder.file("out"));
        let held: u64 = held.parse().unwrap();
        assert!(held == 0 || checkpoints.contains(&held), "cut at {at}: {held} of {checkpoints:?}");
        assert!(held >= held_before, "cut at {at}");
        held_before = held;
    }
    assert_eq!(Some(&held_before), checkpoints.last(), "only the trailer was cut");
}
