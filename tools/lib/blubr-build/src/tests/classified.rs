//! Whose each event of a build is: the container's, the engine's, the client's, a stranger's.

use blubr_log::Body;

use crate::tests::{CLIENT, DAEMON, Log, STRANGER, Who, two_runs};
use crate::{Area, Membership, Place};

#[test]
fn every_event_has_its_place() {
    let mut log = two_runs();
    let end = log.text.clone();
    // Someone who writes into a step's upper directory while the build goes on, and does other things.
    log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let foreign = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/evil","mode":"w","create":true,"ret":3"#,
    );
    let outside = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/410/diff/x","mode":"w","create":true,"ret":3"#,
    );
    let entered =
        log.add(Who(31, 5, 0, 41, 1), "file.open", r#""path":"/etc/passwd","mode":"r","ret":3"#);
    log.end(CLIENT);
    let later = log.add(
        STRANGER,
        "file.open",
        r#""path":"/s/overlay2/41/diff/later","mode":"w","create":true,"ret":3"#,
    );
    assert!(end.len() > log.text.len());
    let builds = log.builds();
    let run = builds.builds[0].runs[0].id;
    let mut membership = Membership::new(&builds, 1).unwrap();
    assert!(Membership::new(&builds, 2).is_none());
    let mut places = Vec::new();
    log.each(|event| {
        let place = membership.classify(event);
        let writes = matches!(&event.body, Body::FileOpen(open) if open.mode.writes());
        if event.head.pid == 411 && writes {
            let spot = membership.spot(event, b"/m").unwrap();
            assert_eq!(
                (spot.run, spot.area, spot.path.as_slice(), spot.mounted),
                (Some(run), Area::Tree, &b"/m"[..], None)
            );
        }
        if event.head.seq == foreign {
            let inside = membership.container_path(event, b"/s/overlay2/41/diff/evil", run);
            assert_eq!(inside.as_deref(), Some(&b"/evil"[..]));
        }
        places.push((event.head.seq, event.head.pid, place));
    });
    let of = |seq: u64| places.iter().find(|(known, ..)| *known == seq).unwrap().2;
    assert_eq!(of(foreign), Place::Foreign { run: Some(run) });
    assert_eq!(
        of(entered),
        Place::Foreign { run: Some(run) },
        "in the container's group without descending from it"
    );
    assert_eq!((of(outside), of(later)), (Place::Outside, Place::Outside));
    for (seq, pid, place) in places.iter().copied() {
        match pid {
            20 => assert_eq!(place, Place::Client),
            411 => assert_eq!(place, Place::Container { run }, "event {seq}"),
            410 => assert_eq!(place, Place::Engine { run: Some(run) }, "event {seq}"),
            10 => assert!(matches!(place, Place::Engine { .. }), "event {seq}"),
            _ => {}
        }
    }
}

#[test]
fn what_comes_of_a_process_after_its_end_is_still_its_own() {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    // The kernel says that a process ends before it closes its sockets.
    let close = r#""proto":"tcp","family":"inet","saddr":"127.0.0.1","sport":1,"daddr":"127.0.0.1","dport":9,"bytes_sent":0,"bytes_received":0,"duration_ns":1"#;
    let late = log.add(Who(411, 410, 0, 41, 41), "net.close", close);
    // The number of its namespace is given to the next container's, whose root is another.
    log.run_in(DAEMON, 42, &[41, 40], &["/bin/sh", "-c", "make"], 41);
    log.end(CLIENT);
    let builds = log.builds();
    let runs = &builds.builds[0].runs;
    assert_eq!(runs.iter().filter(|run| run.first_exec.is_some()).count(), 2);
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut place = None;
    log.each(|event| {
        let found = membership.classify(event);
        place = if event.head.seq == late { Some(found) } else { place };
    });
    assert_eq!(place, Some(Place::Container { run: runs[0].id }));
}

#[test]
fn a_root_that_is_put_deeper_and_deeper_is_not_known_any_more() {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    let step = Who(411, 410, 0, 41, 41);
    let deeper = format!(r#""path":"/{}","ret":0"#, "d".repeat(1_000));
    for _ in 0..7 {
        log.add(step, "fs.chroot", &deeper);
    }
    let known = log.add(step, "file.open", r#""path":"/x","mode":"w","create":true,"ret":3"#);
    log.add(step, "fs.chroot", &deeper);
    log.add(step, "fs.chroot", &deeper);
    let lost = log.add(step, "file.open", r#""path":"/x","mode":"w","create":true,"ret":3"#);
    log.end(step);
    log.end(CLIENT);
    let builds = log.builds();
    let mut membership = Membership::new(&builds, 1).unwrap();
    let mut spots = Vec::new();
    log.each(|event| {
        membership.classify(event);
        if [known, lost].contains(&event.head.seq) {
            spots.push((membership.spot(event, b"/x").is_some(), membership.lost_roots()));
        }
    });
    assert_eq!(spots, [(true, false), (false, true)]);
}
