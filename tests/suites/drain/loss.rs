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

#[test]
fn a_loss_that_nobody_hears_of_is_in_the_log_all_the_same() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash(&format!(
        "$RECORD --ring-size 512K --spill-max 0 -- sh -c '\"$CALLS\" setxattr {COUNT} 4 2>/dev/null; touch made' 2> >(exec true) |
         {{ while [ ! -e made ]; do sleep 0.1; done; cat > log; }}; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!(text(&output.stdout).trim(), "0", "{}", text(&output.stderr));
    let (_, _, lost) = counted(KIND, &folder.file("log"));
    assert!(lost > 10_000, "{lost} lost");
    assert_eq!(jq("select(.type == \"trailer\") | .exit", &folder.file("log")), "0");
}

/// Calls of the command that the free half of the ring has room for.
const FEW: u64 = 400;

/// Has `user`, a command that runs another, flood the ring while the log's reader is stalled, and then the recorded command
/// make a few calls. Gives the log.
fn flooded(folder: &Folder, user: &str) -> PathBuf {
    let output = folder.bash(&format!(
        "cp \"$CALLS\" flood; chmod 755 . flood
         await() {{ while [ ! -e $1 ]; do sleep 0.1; done; }}
         command='touch begun; while [ ! -e filled ]; do sleep 0.1; done; \"$CALLS\" setxattr {FEW}; touch made'
         $RECORD --spill-max 0 -- sh -c \"$command\" | {{ await made; cat > log; }} &
         await begun
         {user} ./flood setxattr {COUNT} 2 > flooded
         touch filled
         wait; cat flooded"
    ));
    let told = text(&output.stdout);
    assert!(told.contains(&COUNT.to_string()), "the flood did not end: {told}");
    folder.file("log")
}

const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

/// That all of the command's calls are told, and of the flood's each is or was counted.
fn assert_gave_way(log: &Path) {
    let (ours, flood, lost) = counted(KIND, log);
    assert_eq!(ours, FEW, "of the command's own calls");
    assert_eq!(flood + lost, COUNT, "{flood} recorded, {lost} lost");
    let sum = |filter: &str| -> u64 { jq(filter, log).lines().map(|n| n.parse::<u64>().unwrap()).sum() };
    let outside = sum("select(.type == \"lost\") | .lost_outside // 0");
    let all = sum("select(.type == \"lost\") | .lost");
    assert!(lost > 10_000 && outside >= lost && all >= outside, "{lost}, {outside} of {all}");
    assert_eq!(sum("select(.type == \"trailer\") | .lost_outside"), outside);
    assert_eq!(sum("select(.type == \"trailer\") | .lost"), all);
}

#[test]
fn a_flood_from_outside_gives_way_to_the_command_and_is_counted_apart() {
    require!(Root);
    let folder = Folder::new();
    assert_gave_way(&flooded(&folder, NOBODY));
}

#[test]
fn namespaces_that_anybody_can_make_are_no_container() {
    require!(Root);
    let folder = Folder::new();
    assert_gave_way(&flooded(&folder, &format!("{NOBODY} unshare --user --map-root-user --mount")));
}

#[test]
fn what_the_command_runs_as_another_user_does_not_give_way() {
    require!(Root);
    let folder = Folder::new();
    let output = folder.bash(&format!(
        "cp \"$CALLS\" flood; chmod 755 . flood
         $RECORD --ring-size 512K --spill-max 0 -- sh -c '{NOBODY} ./flood setxattr {COUNT} 4 && touch made' |
         {{ while [ ! -e made ]; do sleep 0.1; done; cat > log; }}"
    ));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let log = folder.file("log");
    let (_, flood, lost) = counted(KIND, &log);
    assert!(lost > 10_000, "{lost} lost");
    assert_eq!(flood + lost, COUNT, "{flood} recorded, {lost} lost");
    let outside = jq("select(.type == \"lost\") | .lost_outside // 0", &log);
    assert!(outside.lines().all(|n| n == "0"), "{outside}");
}
