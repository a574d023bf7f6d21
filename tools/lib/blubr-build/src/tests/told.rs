//! Engines that are told at which sockets to answer, as dockerd's and buildkitd's command lines do.

use crate::NoBuild;
use crate::tests::{CLIENT, DAEMON, Log};

/// How many builds there are of a client at /run/docker.sock, of an engine with these arguments; or why there is none.
fn builds(arguments: &[&str]) -> Result<usize, Option<NoBuild>> {
    let mut log = Log::new();
    let argv = [&["engine"], arguments].concat();
    let exists = format!(r#""exe":"/usr/sbin/anything","argv":{argv:?},"cwd":"/""#);
    log.add(DAEMON, "process.exists", &exists);
    log.client();
    log.run(DAEMON, 43, &[40], &["/bin/sh", "-c", "make"]);
    let builds = log.builds();
    if builds.builds.is_empty() { Err(builds.pick(None).err()) } else { Ok(builds.builds.len()) }
}

#[test]
fn a_client_of_another_socket_is_none_of_its() {
    assert_eq!(builds(&[]), Ok(1), "nothing is said of where it answers");
    for own in [
        &["-H", "unix:///run/docker.sock"][..],
        &["--host=unix:///run/docker.sock"],
        &["--addr", "unix:///run/docker.sock"],
        &["--addr=unix:///run/other.sock", "--addr=unix:///run/docker.sock"],
    ] {
        assert_eq!(builds(own), Ok(1), "{own:?}");
    }
    for other in [
        &["-H", "unix:///run/other.sock"][..],
        &["--host=unix:///run/other.sock"],
        &["--addr", "unix:///run/other.sock"],
        &["--addr=unix:///run/other.sock"],
    ] {
        assert_eq!(builds(other), Err(Some(NoBuild::NoClient(1))), "{other:?}");
    }
}

/// How many arguments are known of a client of this command line, and whether it had more.
fn kept(argv: &[&str], more: &str) -> (usize, bool) {
    let mut log = Log::new();
    let own = format!(r#""exe":"/bin/x","argv":{argv:?},"cwd":"/","gid":0{more}"#);
    log.add(CLIENT, "process.exec", &own);
    log.add(CLIENT, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
    log.run(DAEMON, 43, &[40], &["/bin/sh", "-c", "make"]);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    assert_eq!(build.all_argv().len(), if build.argv_cut { 0 } else { build.argv.len() });
    (build.argv.len(), build.argv_cut)
}

#[test]
fn of_a_long_command_line_it_is_known_that_there_is_more() {
    let of = |count: usize, word: &'static str| [vec!["docker", "build"], vec![word; count]].concat();
    assert_eq!(kept(&of(600, "--build-arg=A=1"), ""), (602, false));
    assert_eq!(kept(&of(600, "--build-arg=A=1"), r#","truncated":["argv"]"#), (602, true));
    let (count, cut) = kept(&of(3000, "--build-arg=AAAA=1234567890"), "");
    assert!(cut && count > 600 && count < 3002, "{count} {cut}");
}
