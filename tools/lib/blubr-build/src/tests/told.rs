//! Engines that are told at which sockets to answer, as dockerd's and buildkitd's command lines do.

use crate::NoBuild;
use crate::tests::{DAEMON, Log};

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
