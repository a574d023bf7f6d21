//! A reader of the log that stalls costs disk, not events and not memory; a full disk is said.

use blubr_tests::require;

use super::*;

/// A file system of a few bytes, unmounted with this value.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "blubr-test"]).arg(&at);
        assert!(run(&mut mount).status.success());
        Small(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Busy only when the test has failed already.
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// Their lines are twice what memory takes. They come so slowly (20,000 a second) that a recorder built without
/// optimisation follows.
const COUNT: u64 = 50_000;

#[test]
fn a_stalled_reader_loses_nothing() {
    require!(Root);
    let folder = Folder::new();
    std::fs::create_dir(folder.file("spill")).unwrap();
    let output = folder.bash(&format!(
        "/usr/bin/time -o rss -f %M $RECORD --ring-size 16M --spill spill --fail-on-loss -- \
           sh -c '\"$CALLS\" setxattr {COUNT} 1 5000; ls -A spill > names; touch made' |
         {{ while [ ! -e made ]; do sleep 0.1; done; cat > log; }}; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
    let log = folder.file("log");
    let (ours, _, lost) = counted("file.setxattr", &log);
    assert_eq!((ours, lost), (COUNT, 0));
    assert_eq!(jq("select(.type == \"trailer\") | .sha256", &log), sum_before_trailer("cat", &log));
    assert_eq!(std::fs::read_to_string(folder.file("names")).unwrap(), "", "the spill has no name");
    // The ring is mapped twice: 32 MiB of this are its.
    let kilobytes: u64 = std::fs::read_to_string(folder.file("rss")).unwrap().trim().parse().unwrap();
    assert!(kilobytes < 90_000, "{kilobytes} kB for a log of {} bytes", log.metadata().unwrap().len());
}

#[test]
fn a_spill_on_a_full_disk_is_said_and_the_rest_counted() {
    require!(Root);
    let folder = Folder::new();
    let _small = Small::mount(folder.file("small"), "2m");
    let output = folder.bash(&format!(
        "$RECORD --ring-size 512K --spill small -- sh -c '\"$CALLS\" setxattr {COUNT} 1 5000; touch made' |
         {{ while [ ! -e made ]; do sleep 0.1; done; cat > log; }}; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert_eq!(told.matches("the spill file: No space left").count(), 1, "{told}");
    let (ours, _, lost) = counted("file.setxattr", &folder.file("log"));
    assert!(lost > 0);
    assert_eq!(ours + lost, COUNT);
}

#[test]
fn a_log_on_a_full_disk_goes_on_where_there_is_room_again() {
    require!(Root);
    let folder = Folder::new();
    let _small = Small::mount(folder.file("small"), "4m");
    // The lines are four times the disk, which is made larger once the calls are made.
    let output = folder.bash(&format!(
        "$RECORD -o small/log -- sh -c '\"$CALLS\" setxattr {COUNT} 1 5000; mount -o remount,size=512m small' 2> told; echo $?"
    ));
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
    let told = std::fs::read_to_string(folder.file("told")).unwrap();
    assert_eq!(told.matches("the log: No space left on device").count(), 1, "{told}");
    let (ours, _, lost) = counted("file.setxattr", &folder.file("small/log"));
    assert_eq!(ours + lost, COUNT);
}

#[test]
fn a_part_that_finds_no_room_is_waited_for() {
    require!(Root);
    let folder = Folder::new();
    let _small = Small::mount(folder.file("small"), "256m,nr_inodes=10");
    // There is room for two files, and for more once the calls are made: several parts' worth.
    let output = folder.bash(
        "i=0; while { : > small/fill$i; } 2>/dev/null; do i=$((i+1)); done; rm small/fill0 small/fill1
         $RECORD --rotate 64K -o small/day.ndjson -- sh -c 'for i in 1 2 3 4; do $CALLS open 11250 1 5000; sleep 1; done; \
           ls small > names; mount -o remount,nr_inodes=1000 small; sleep 1' 2> told; echo $?",
    );
    let told = std::fs::read_to_string(folder.file("told")).unwrap();
    assert_eq!(text(&output.stdout).trim(), "0", "{told}");
    assert_eq!(told.matches("the log: No space left on device").count(), 1, "{told}");
    let names = std::fs::read_to_string(folder.file("names")).unwrap();
    let waiting: Vec<_> = names.lines().filter(|name| name.starts_with("day")).collect();
    assert_eq!(waiting, ["day.000001.ndjson", "day.000002.ndjson"]);
    assert!(folder.bash("cat small/day.0* > all; ls small/day.000003.ndjson").status.success());
    let (ours, _, lost) = counted("file.open", &folder.file("all"));
    assert!(ours + lost >= 45_000, "{ours} recorded, {lost} lost");
}

#[test]
fn a_disk_that_stays_full_fails_the_recording_and_leaves_what_was_written() {
    require!(Root);
    let folder = Folder::new();
    let _small = Small::mount(folder.file("small"), "4m");
    let output =
        folder.bash(&format!("$RECORD -o small/log -- \"$CALLS\" setxattr {COUNT} 1 5000; echo $?"));
    assert!(text(&output.stdout).ends_with("125\n"), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(told.contains("small/log: No space left on device"), "{told}");
    assert!(!folder.file("small/log").exists());
    let mut filter = bins::command("blubr-filter");
    let output = run(filter.args(["--type", "none"]).arg(folder.file("small/log.partial")));
    assert!(output.status.success() && text(&output.stderr).contains("was cut off"));
}

#[test]
fn a_folder_that_cannot_take_it_is_refused_when_it_was_asked_for() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash("$RECORD --spill nowhere -o log -- true; echo $?; ls");
    assert_eq!(text(&output.stdout), "125\n");
    assert!(text(&output.stderr).contains("nowhere: No such file"), "{}", text(&output.stderr));
    let output = folder.bash("TMPDIR=/nowhere $RECORD -o log -- true; echo $?; ls");
    assert_eq!(text(&output.stdout), "0\nlog\n", "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/nowhere: No such file"), "{}", text(&output.stderr));
}
