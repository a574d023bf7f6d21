//! What a step is tied to where events were lost: what is not in the log says nothing any more.

use blubr_dockerfile::Dockerfile;
use blubr_log::{Lost, Time};

use crate::tests::{CLIENT, DAEMON, Log, Who};
use crate::{Build, Tied, tie};

fn lost(when: u64, kinds: &[(&str, u64)], lost_outside: u64) -> Lost {
    Lost {
        r#type: "lost".to_owned(),
        after: Time(when),
        before: Time(when),
        lost: kinds.iter().map(|(_, count)| count).sum(),
        lost_outside,
        by_type: kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
    }
}

/// A build of two equal RUNs, another one, and what the engine itself did upon them.
fn log(uid: u32) -> Log {
    let client = Who(CLIENT.0, CLIENT.1, uid, CLIENT.3, CLIENT.4);
    let mut log = Log::begun_by(client);
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 43, &[42, 41, 40], &["/bin/sh", "-c", "check"]);
    log.overlay(DAEMON, 44, &[43, 42, 41, 40]);
    let own = r#""path":"/s/overlay2/44/merged/work","mode":"0755","ret":0"#;
    log.add(DAEMON, "file.mkdir", own);
    log.end(client);
    log
}

fn tied(build: &Build, text: &str) -> Vec<Tied> {
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    tie(build, &file).into_iter().map(|tie| tie.instruction).collect()
}

const FILE: &str = "FROM base\nRUN make\nRUN make\nRUN check\nWORKDIR /work\n";

#[test]
fn where_events_were_lost_a_step_is_what_itself_was_seen_to_be() {
    let log = log(1000);
    let ties = |lost: &[Lost]| {
        let builds = log.builds_with(lost);
        let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
        tied(build, FILE)
    };
    let whole = [1, 2, 3, 4].map(Tied::One);
    assert_eq!(ties(&[]), whole);
    let within = log.builds().builds[0].runs[1].began.time.0;
    let either = Tied::Candidates(vec![1, 2]);
    let any = Tied::Candidates(vec![0, 1, 2, 3, 4]);
    let alone = [either.clone(), either, Tied::One(3), any];
    assert_eq!(ties(&[lost(within, &[("file.open", 1)], 0)]), alone);
    assert_eq!(ties(&[lost(within, &[("net.close", 1), ("process.exec", 1)], 0)]), alone);
    assert_eq!(ties(&[lost(within, &[("net.connect", 1)], 0)]), alone, "or unix.connect");
    // No step is known by these, nor by what was lost at another time.
    assert_eq!(ties(&[lost(within, &[("net.close", 3), ("watch.bpf", 2)], 0)]), whole);
    assert_eq!(ties(&[lost(1, &[("process.fork", 9)], 0)]), whole);
}

#[test]
fn what_tasks_outside_lost_is_none_of_a_build_of_root_s() {
    for (uid, is_whole) in [(0, true), (1000, false)] {
        let log = log(uid);
        let within = log.builds().builds[0].runs[1].began.time.0;
        for (outside, is_whole) in [(5, is_whole), (4, false)] {
            let builds = log.builds_with(&[lost(within, &[("file.open", 5)], outside)]);
            let is_one = tied(&builds.builds[0], FILE)[0] == Tied::One(1);
            assert_eq!(is_one, is_whole, "{uid} {outside}");
        }
    }
}

#[test]
fn one_of_very_many_is_no_candidate() {
    let log = log(1000);
    let within = log.builds().builds[0].runs[1].began.time.0;
    let builds = log.builds_with(&[lost(within, &[("file.open", 1)], 0)]);
    let text = format!("{FILE}{}", "RUN more\n".repeat(60));
    assert_eq!(tied(&builds.builds[0], &text)[2..], [Tied::One(3), Tied::None]);
}
