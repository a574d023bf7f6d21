//! What the ring had no room for: counted exactly, told with its interval, and a failure where that is asked for.

use blubr_tests::require;

use super::*;

/// Calls that hardly anyone else on a host makes.
const KIND: &str = "file.setxattr";
const COUNT: u64 = 200_000;

#[test]
fn with_the_default_ring_each_call_is_an_event_or_counted() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash(&format!("$RECORD -o log -- $CALLS setxattr {COUNT} 4"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (ours, _, lost) = counted(KIND, &folder.file("log"));
    assert_eq!(ours + lost, COUNT, "{ours} recorded, {lost} lost");
}

#[test]
fn with_a_tiny_ring_and_a_stalled_reader_recorded_and_lost_are_all() {
    require!(Root);
    let folder = Folder::new();
    // The reader takes nothing before the calls are made, and there is no spill: memory and ring fill, the rest is lost.
    let output = folder.bash(&format!(
        "$RECORD --ring-size 512K --spill-max 0 --fail-on-loss -- sh -c '\"$CALLS\" setxattr {COUNT} 4 && touch made' |
         {{ while [ ! -e made ]; do sleep 0.1; done; cat > log; }}; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(text(&output.stdout).trim(), "125", "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("events were lost"), "{told}");
    let log = folder.file("log");
    let (ours, others, lost) = counted(KIND, &log);
    assert!(lost > 10_000 && ours > 1000, "{ours} recorded, {lost} lost");
    assert_eq!(ours + lost, COUNT, "{ours} recorded, {lost} lost ({others} of other programs)");
    // The sum that the trailer has, and each interval.
    let sums = jq("select(.type == \"lost\") | .lost", &log);
    let sum: u64 = sums.lines().map(|line| line.parse::<u64>().unwrap()).sum();
    assert_eq!(jq("select(.type == \"trailer\") | .lost", &log), sum.to_string());
    let backwards = jq("select(.type == \"lost\" and .after > .before) | 1", &log);
    assert_eq!(backwards, "", "an interval ends before it begins");
    let numbers = jq("select(.seq != null) | .seq", &log);
    assert!(numbers.lines().map(|n| n.parse::<u64>().unwrap()).eq(1..=numbers.lines().count() as u64));
}
