//! `--rotate` and `--keep`: parts that follow one another, each a log that can be read alone.

use blubr_tests::program::{describe, jq, run, run_on, sha256sum, stdout_of};
use blubr_tests::{bins, require};

use super::*;

/// The parts of a recording, oldest first, decompressed where they are compressed.
fn parts(folder: &Folder) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.to_string_lossy().contains("day.0"));
    names.sort();
    names
}

/// Four times more than a checkpoint's 10,000 lines, with time for a part's list between.
fn record(folder: &Folder, flags: &str, log: &str) -> Output {
    let output = folder.bash(&format!(
        "$RECORD {flags} -o {log} -- sh -c 'for i in 1 2 3 4; do $CALLS open 11250 1 5000; sleep 1; done'"
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

#[test]
fn each_part_names_the_digest_of_the_one_before() {
    require!(Root);
    let folder = Folder::new();
    record(&folder, "--rotate 64K", "day.ndjson");
    let parts = parts(&folder);
    assert!(parts.len() >= 3, "{parts:?}");
    assert!(parts[0].ends_with("day.000001.ndjson"), "{parts:?}");
    let (mut events, mut before) = (0, "null".to_owned());
    for (at, part) in parts.iter().enumerate() {
        let header = |key: &str| jq(&format!("select(.type == \"header\") | .part.{key}"), part);
        assert_eq!(header("number"), (at + 1).to_string());
        assert_eq!(header("previous"), before);
        assert_eq!(header("events"), events.to_string());
        let trailer = jq(
            "select(.type == \"trailer\") | [.sha256, .continued == true, ([.events[]] | add)] | @tsv",
            part,
        );
        let trailer: Vec<&str> = trailer.split('\t').collect();
        assert_eq!(trailer[0], sum_before_trailer("cat", part));
        assert_eq!(trailer[1], (at + 1 < parts.len()).to_string());
        let numbers = jq("select(.seq != null) | .seq", part);
        let count = trailer[2].parse::<u64>().unwrap();
        assert!(numbers.lines().map(|n| n.parse::<u64>().unwrap()).eq(events + 1..=events + count));
        events += count;
        before = sha256sum(part);
    }
}

#[test]
fn a_part_lists_what_is_there_so_that_it_can_be_read_alone() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD --rotate 64K -o day.ndjson -- sh -c 'for i in 1 2 3; do $CALLS open 12000 1 5000; sleep 1; done'");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let parts = parts(&folder);
    assert!(parts.len() >= 3, "{parts:?}");
    for part in &parts[1..parts.len() - 1] {
        let pid = jq("select(.type == \"header\") | .command_pid", part);
        let listed =
            jq(&format!("select(.type == \"process.exists\" and .pid == {pid}) | .argv[0]"), part);
        assert_eq!(listed, "sh", "{}", part.display());
        assert!(
            !jq("select(.type == \"mount.exists\" and .target == \"/proc\") | .seq", part).is_empty()
        );
        let mut filter = bins::command("blubr-filter");
        let output = run(filter.args(["--type", "none"]).arg(part));
        assert!(output.status.success(), "{}", describe(&filter, &output));
        assert!(text(&output.stderr).contains("goes on in another part"), "{}", text(&output.stderr));
    }
}

#[test]
fn parts_are_read_one_behind_the_other_and_a_missing_one_is_found() {
    require!(Root);
    let folder = Folder::new();
    record(&folder, "--rotate 64K", "day.ndjson.zst");
    let parts = parts(&folder);
    assert!(parts.len() >= 3 && parts[0].ends_with("day.000001.ndjson.zst"), "{parts:?}");
    let together = |parts: &[&PathBuf]| -> Vec<u8> {
        parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect()
    };
    let all: Vec<&PathBuf> = parts.iter().collect();
    let filter =
        |input: &[u8]| run_on(bins::command("blubr-filter").args(["--type", "file.open"]), input);
    let output = filter(&together(&all));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let filtered = folder.file("filtered");
    std::fs::write(&filtered, &output.stdout).unwrap();
    let opened = jq("select(.comm == \"calls\" and .path == \"/dev/null\") | .seq", &filtered);
    let opened = u64::try_from(opened.lines().count()).unwrap();
    let lost = jq("select(.type == \"lost\") | .by_type[\"file.open\"] // 0", &filtered);
    let lost: u64 = lost.lines().map(|line| line.parse::<u64>().unwrap()).sum();
    // Others open files too.
    assert!(opened <= 45_000 && opened + lost >= 45_000, "{opened} recorded, {lost} lost");
    let source =
        jq("select(.type == \"trailer\") | .sources[0] | \"\\(.complete) \\(.sha256)\"", &filtered);
    let whole = folder.file("whole");
    std::fs::write(&whole, stdout_of(Command::new("zstdcat").args(&all))).unwrap();
    assert_eq!(source, format!("true {}", sha256sum(&whole)));
    assert_eq!(jq("select(.type == \"header\") | .part", &filtered), "null", "it is one log now");
    let mut verify = bins::command("blubr-filter");
    let output = run(verify.args(["verify", "--source"]).arg(&whole).arg(&filtered));
    assert!(output.status.success(), "{}", describe(&verify, &output));

    let output = filter(&together(&[all[0], all[2]]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("part 1 is not part 2"), "{}", text(&output.stderr));
}

#[test]
fn the_oldest_parts_go_and_another_recording_goes_on_behind_them() {
    require!(Root);
    let folder = Folder::new();
    record(&folder, "--rotate 64K --keep 7M", "day.ndjson");
    let kept = parts(&folder);
    // The last was being written: it stays, however large.
    let before: u64 = kept.iter().rev().skip(1).map(|part| part.metadata().unwrap().len()).sum();
    assert!(!kept[0].ends_with("day.000001.ndjson") && before <= 7 << 20, "{before} bytes in {kept:?}");
    let last = kept.last().unwrap().clone();
    let output = folder.bash(
        "SUDO_UID=1234 SUDO_GID=1235 $RECORD --rotate 64K -o day.ndjson -- $CALLS open 25000 1 5000",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let more = parts(&folder);
    assert!(more.starts_with(&kept), "{kept:?} {more:?}");
    let first = &more[kept.len()];
    assert!(first > &last);
    assert_eq!(jq("select(.type == \"header\") | .part | .previous", first), "null");
    for part in &more[kept.len()..] {
        let owner = stdout_of(Command::new("stat").args(["-c", "%u:%g %a"]).arg(part));
        assert_eq!(text(&owner).trim(), "1234:1235 600");
    }
    assert!(!folder.bash("ls").stdout.windows(8).any(|name| name == b".partial"));
    // Read together the second is named for what it is.
    let both = folder.bash("cat day.*.ndjson | $FILTER '--type=*' -o both");
    let told = text(&both.stderr);
    assert_eq!(
        (both.status.code(), told.contains("another recording begins here")),
        (Some(2), true),
        "{told}"
    );
}

#[test]
fn what_has_no_parts_is_refused() {
    let refused = |args: &[&str]| {
        let output = run(bins::command("blubr-record").args(args).args(["--", "true"]));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        text(&output.stderr)
    };
    assert!(refused(&["--rotate", "1M", "-o", "-"]).contains("standard output has no parts"));
    assert!(refused(&["--rotate", "1K", "-o", "x"]).contains("not a size of a part"));
    assert!(
        refused(&["--rotate", "1M", "--keep", "often", "-o", "x"]).contains("neither a size nor an age")
    );
    assert!(refused(&["--keep", "1G", "-o", "x"]).contains("--rotate"));
}
