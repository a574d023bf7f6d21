//! What BuildKit unpacks beside the steps, and what copies from it.

use blubr_dockerfile::Dockerfile;

use crate::tests::{CLIENT, DAEMON, Log, unpack};
use crate::{TieEvidence, Tied, tie};

/// An archive is unpacked into a directory, from which a step copies; another runs upon that.
fn copied_from_what_was_unpacked() -> Log {
    let mut log = Log::begun();
    let link = r#""path":"/s/overlay2/l/L50","target":"../50/diff","ret":0"#;
    log.add(DAEMON, "file.symlink", link);
    unpack(&mut log, 102, "/s/overlay2/50/diff", &["/Dockerfile", "/a"]);
    let bind = r#""source":"/s/overlay2/50/diff","target":"/x/c","flags":["ro","bind"],"ret":0"#;
    log.add(DAEMON, "mount.mount", bind);
    log.overlay(DAEMON, 41, &[1]);
    log.add(DAEMON, "file.open", r#""path":"/x/c/a","mode":"r","size":7,"ret":3"#);
    let path = "/s/overlay2/41/merged/all/a";
    let open = format!(r#""path":"{path}","mode":"w","create":true,"size":0,"ret":3"#);
    log.add(DAEMON, "file.open", &open);
    log.add(DAEMON, "file.close", &format!(r#""path":"{path}","size":7"#));
    log.add(DAEMON, "mount.umount", r#""target":"/s/overlay2/41/merged","flags":[],"ret":0"#);
    log.run(DAEMON, 42, &[41, 1], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    log
}

fn tied(log: &Log, text: &str) -> Vec<Tied> {
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    let ties = tie(build, &file);
    let copied = ties.iter().any(|tie| tie.evidence.contains(&TieEvidence::CopyFrom));
    // (Of the step that begins with nothing.)
    assert_eq!(copied, text.starts_with("FROM scratch"), "{text}");
    ties.into_iter().map(|tie| tie.instruction).collect()
}

#[test]
fn a_context_that_came_as_an_archive_is_no_base() {
    let log = copied_from_what_was_unpacked();
    let steps = [Tied::None, Tied::One(1), Tied::One(2)];
    assert_eq!(tied(&log, "FROM base\nCOPY . /all/\nRUN make\n"), steps);
    // Nor is an image that was fetched for what a step takes from it.
    assert_eq!(tied(&log, "FROM base\nCOPY --from=other / /all/\nRUN make\n"), steps);
}

#[test]
fn a_stage_that_begins_with_nothing_leaves_the_same() {
    let log = copied_from_what_was_unpacked();
    let file = "FROM scratch AS x\nADD a.tar /\nFROM base\nCOPY --from=x / /all/\nRUN make\n";
    assert_eq!(tied(&log, file), [1, 3, 4].map(Tied::One));
    // But for one that nothing is taken from.
    let file = "FROM base AS x\nCOPY . /all/\nRUN make\nFROM scratch\nCOPY --from=x /m /m\n";
    assert_eq!(tied(&log, file), [Tied::None, Tied::One(1), Tied::One(2)]);
}

#[test]
fn a_heredoc_s_file_is_no_copy_of_a_context_that_the_same_thread_receives() {
    // BuildKit 0.26, one goroutine after another on thread 7: it lists the directory that a context comes into, then makes the
    // file of `COPY <<two.txt` in a directory of its own.
    let mut log = Log::begun();
    let file = |log: &mut Log, path: &str, own: &str| {
        log.add_by(DAEMON, 7, "file.open", &format!(r#""path":"{path}",{own},"ret":3"#));
    };
    for n in [50, 51] {
        let link = format!(r#""path":"/s/overlay2/l/L{n}","target":"../{n}/diff","ret":0"#);
        log.add(DAEMON, "file.symlink", &link);
    }
    file(&mut log, "/s/overlay2/50/diff", r#""mode":"r","size":4096"#);
    file(&mut log, "/s/overlay2/51/diff/two.txt", r#""mode":"w","create":true,"size":0"#);
    log.add_by(DAEMON, 8, "file.close", r#""path":"/s/overlay2/51/diff/two.txt","size":7"#);
    file(&mut log, "/s/overlay2/50/diff/a", r#""mode":"w","create":true,"size":0"#);
    log.add_by(DAEMON, 8, "file.close", r#""path":"/s/overlay2/50/diff/a","size":9"#);
    for (n, below, from, name, size) in [(41, 1, 50, "a", 9), (42, 41, 51, "two.txt", 7)] {
        let bind = format!(
            r#""source":"/s/overlay2/{from}/diff","target":"/x/{from}","flags":["ro","bind"],"ret":0"#
        );
        log.add(DAEMON, "mount.mount", &bind);
        log.overlay(DAEMON, n, &[below]);
        file(&mut log, &format!("/x/{from}/{name}"), &format!(r#""mode":"r","size":{size}"#));
        let path = format!("/s/overlay2/{n}/merged/{name}");
        file(&mut log, &path, r#""mode":"w","create":true,"size":0"#);
        log.add_by(DAEMON, 7, "file.close", &format!(r#""path":"{path}","size":{size}"#));
        let umount = format!(r#""target":"/s/overlay2/{n}/merged","flags":[],"ret":0"#);
        log.add(DAEMON, "mount.umount", &umount);
    }
    log.run(DAEMON, 43, &[42, 41, 1], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let text = "FROM base\nCOPY a /\nCOPY <<two.txt /\nsecond\ntwo.txt\nRUN make\n";
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let ties: Vec<Tied> = tie(build, &Dockerfile::parse(text.as_bytes()).unwrap())
        .into_iter()
        .map(|tie| tie.instruction)
        .collect();
    assert_eq!(ties, [1, 2, 3].map(Tied::One), "{:?}", build.runs);
}
