//! What an engine unpacks and puts together by links, and what it did so without a step.

use blubr_dockerfile::Dockerfile;
use blubr_log::Body;

use crate::tests::{CLIENT, DAEMON, Log, Who, unpack};
use crate::{Membership, Place, Tied, tie};

#[test]
fn a_thread_that_unpacks_a_layer_leaves_the_engine_where_it_is() {
    let mut log = Log::begun();
    // The context comes before anything else shows that it is an engine.
    unpack(&mut log, 101, "/s/tmp/docker-builder1", &["/Dockerfile", "/note"]);
    let layer = |log: &mut Log, n: u32| {
        let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &link);
    };
    let read = |log: &mut Log, path: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"r","size":7,"ret":3"#));
    };
    layer(&mut log, 50);
    read(&mut log, "/s/tmp/docker-builder1/note");
    let copied = unpack(&mut log, 102, "/s/overlay2/50/diff", &["/note"]);
    read(&mut log, "/s/overlay2/50/diff/note");
    // What it read it registers, and the next step stands on that.
    layer(&mut log, 51);
    unpack(&mut log, 103, "/s/overlay2/51/diff", &["/note"]);
    log.run(DAEMON, 42, &[51], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let [copy, run] = build.runs.as_slice() else { panic!("{:?}", build.runs) };
    assert_eq!(
        (copy.upper.as_slice(), run.below.as_slice()),
        (&b"/s/overlay2/50/diff"[..], &[copy.id][..])
    );
    assert_eq!(build.contexts.len(), 1);
    assert_eq!(copy.reads_context, [b"/s/tmp/docker-builder1".to_vec()]);
    let mut membership = Membership::new(&builds, 1).unwrap();
    log.each(|event| {
        let place = membership.classify(event);
        if event.head.seq == copied[0] {
            assert_eq!(place, Place::Engine { run: Some(copy.id) });
            let spot = membership.spot(event, b"/note").unwrap();
            assert_eq!((spot.run, spot.path.as_slice()), (Some(copy.id), &b"/note"[..]));
        }
        if matches!(event.body, Body::NsUnshare(_)) {
            assert_ne!(place, Place::Outside, "a filtered log needs it to tell the threads apart");
        }
    });
}

#[test]
fn what_an_engine_puts_together_by_links_is_the_result_of_what_it_linked() {
    assert_eq!(linked(false), 1);
    // The context is one that the engine has kept from before the log: what was copied of it is none.
    assert_eq!(linked(true), 0);
}

/// Two copies that link from a context, and a RUN upon both; gives the number of contexts that are known.
fn linked(kept: bool) -> usize {
    let snapshotter = Who(12, 1, 0, 1, 1);
    let mut log = Log::new();
    for who in [DAEMON, snapshotter] {
        log.add(who, "process.exists", r#""exe":"/usr/sbin/anything","argv":["anything"],"cwd":"/""#);
    }
    log.client();
    let snapshot = |log: &mut Log, n: u32| {
        let made = format!(r#""path":"/s/snapshots/new-{n}/fs","mode":"0700","ret":0"#);
        log.add(snapshotter, "file.mkdir", &made);
        let named = format!(r#""path":"/s/snapshots/new-{n}","to":"/s/snapshots/{n}","ret":0"#);
        log.add(snapshotter, "file.rename", &named);
    };
    let bind = |log: &mut Log, n: u32, at: &str| {
        let own = format!(r#""source":"/s/snapshots/{n}/fs","target":"{at}","flags":["bind"],"ret":0"#);
        log.add(DAEMON, "mount.mount", &own);
    };
    let write = |log: &mut Log, path: &str| {
        let open = format!(r#""path":"{path}","mode":"w","create":true,"size":0,"ret":3"#);
        log.add(DAEMON, "file.open", &open);
        log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":7"#));
    };
    let read = |log: &mut Log, path: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}","mode":"r","size":7,"ret":3"#));
    };
    if !kept {
        snapshot(&mut log, 30);
    }
    bind(&mut log, 30, "/t/context");
    write(&mut log, "/s/snapshots/30/fs/note");
    // Two copies, each into a layer of its own that lies on nothing.
    for n in [41, 42] {
        snapshot(&mut log, n);
        read(&mut log, "/t/context/note");
        write(&mut log, &format!("/s/snapshots/{n}/fs/note{n}"));
    }
    // And both in one.
    snapshot(&mut log, 43);
    for n in [41, 42] {
        bind(&mut log, n, &format!("/t/{n}"));
        read(&mut log, &format!("/t/{n}/note{n}"));
        let link =
            format!(r#""path":"/s/snapshots/{n}/fs/note{n}","to":"/s/snapshots/43/fs/note{n}","ret":0"#);
        log.add(DAEMON, "file.link", &link);
    }
    snapshot(&mut log, 44);
    log.run(DAEMON, 44, &[43, 40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    for n in [40, 43, 44] {
        log.rename(&format!("/s/overlay2/{n}/diff"), &format!("/s/snapshots/{n}/fs"));
    }
    let builds = log.kept().builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let text = b"FROM base\nCOPY --link note /note41\nCOPY --link note /note42\nRUN make\n";
    let file = Dockerfile::parse(text).unwrap();
    let tied: Vec<Tied> = tie(build, &file).into_iter().map(|tie| tie.instruction).collect();
    assert_eq!(tied, [1, 2, 3].map(Tied::One));
    build.contexts.len()
}

#[test]
fn what_a_client_sent_is_no_step_where_its_events_were_left_out() {
    let mut log = Log::begun();
    let layer = |log: &mut Log, n: u32| {
        let made = format!(r#""path":"/s/overlay2/l/S{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &made);
    };
    let open = |log: &mut Log, path: &str, own: &str| {
        log.add(DAEMON, "file.open", &format!(r#""path":"{path}",{own},"ret":3"#));
    };
    let close = |log: &mut Log, path: &str, size: u32| {
        log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":{size}"#));
    };
    layer(&mut log, 30);
    layer(&mut log, 31);
    for n in [30, 31] {
        let bind =
            format!(r#""source":"/s/overlay2/{n}/diff","target":"/t/{n}","flags":["bind"],"ret":0"#);
        log.add(DAEMON, "mount.mount", &bind);
        // The thread happens to have read the other context's file last.
        let file = format!("/s/overlay2/{n}/diff/note");
        open(&mut log, &file, r#""mode":"w","create":true,"size":0"#);
        close(&mut log, &file, 0);
        open(&mut log, &file, r#""mode":"w","size":0"#);
        close(&mut log, &file, 7);
        open(&mut log, &format!("/t/{n}/note"), r#""mode":"r","size":7"#);
    }
    log.run(DAEMON, 44, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!(build.runs.len(), 1, "{:?}", build.runs);
}

#[test]
fn copies_that_link_stand_upon_nothing_and_may_each_be_any() {
    let mut log = Log::begun();
    for n in [41, 42] {
        log.overlay(DAEMON, n, &[]);
        let own = format!(r#""path":"/s/overlay2/{n}/merged/{n}","mode":"w","create":true,"ret":3"#);
        log.add(DAEMON, "file.open", &own);
        log.add(
            DAEMON,
            "mount.umount",
            &format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#),
        );
    }
    // It is this that shows the engine to be BuildKit.
    log.run(DAEMON, 43, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let tied = |text: &str| -> Vec<Tied> {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        tie(&builds.builds[0], &file).into_iter().map(|tie| tie.instruction).collect()
    };
    let either = Tied::Candidates(vec![4, 5]);
    let two = "FROM base AS one\nRUN make\nFROM base\nLABEL a=b\n";
    let linked = format!("{two}COPY --link a /a\nCOPY --link b /b\n");
    assert_eq!(tied(&linked), [either.clone(), either, Tied::One(1)]);
    // Without --link what is upon nothing is of a stage from scratch, and the last is the last.
    let unlinked = format!("{two}COPY --link=false a /a\nCOPY b /b\n");
    assert_eq!(tied(&unlinked), [Tied::One(5), Tied::One(5), Tied::One(1)]);
}

/// Two containers of equal arguments upon one base, and a copy upon nothing of what the first made.
#[test]
fn equal_runs_of_two_stages_are_not_both_of_one_where_a_linked_copy_ends_the_second() {
    let mut log = Log::begun();
    log.run(DAEMON, 41, &[40], &["/bin/sh", "-c", "make"]);
    log.run(DAEMON, 42, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let tied = |last: &str| -> Vec<Tied> {
        let text = format!(
            "FROM base AS one\nRUN --mount=type=cache,target=/c make\nFROM base\nRUN make\n{last}"
        );
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        tie(&builds.builds[0], &file).into_iter().map(|tie| tie.instruction).collect()
    };
    let either = Tied::Candidates(vec![1, 3]);
    for last in ["", "COPY --link --from=one /v /v\n", "COPY --from=one /v /v\n"] {
        assert_eq!(tied(last), [either.clone(), either.clone()], "{last}");
    }
}
