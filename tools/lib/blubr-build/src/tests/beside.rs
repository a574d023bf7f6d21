//! Two engines that do something for one client: as `docker buildx` has it, which begins a BuildKit in a container, asks that for
//! the build, and hands the image to Docker.

use crate::tests::{DAEMON, Log, Who, unpack};
use crate::{Build, RunKind};

const CLIENT: Who = Who(20, 5, 1000, 1, 1);
const MAKE: [&str; 3] = ["/bin/sh", "-c", "make"];

/// The processes of the engines that built, each with how many steps it ran in containers and did itself.
fn engines(log: &mut Log) -> Vec<(u32, usize, usize)> {
    log.end(CLIENT);
    let of_kind = |build: &Build, kind| build.runs.iter().filter(|run| run.kind == kind).count();
    let of = |build: &Build| {
        (build.engine_process.pid, of_kind(build, RunKind::Run), of_kind(build, RunKind::Daemon))
    };
    log.builds().builds.iter().map(of).collect()
}

/// Docker has begun a container that goes on, as `docker run` would have it.
fn in_container() -> Log {
    let mut log = Log::begun();
    log.run_going_on(DAEMON, 30, &[29], &["buildkitd"]);
    log.rename("overlay2/29/diff", "overlay2/29-init/diff");
    log
}

#[test]
fn the_container_of_an_engine_that_builds_is_no_step_and_those_in_it_are() {
    let mut log = in_container();
    let inner = Who(301, 300, 0, 30, 30);
    log.run(inner, 43, &[40], &MAKE);
    log.end(CLIENT);
    let builds = log.builds();
    let [build] = builds.builds.as_slice() else { panic!("{builds:?}") };
    let [run] = build.runs.as_slice() else { panic!("{build:?}") };
    let first = run.first_exec.as_ref().map(|exec| exec.argv.clone());
    assert_eq!((build.engine_process.pid, first), (301, Some(MAKE.map(|word| word.into()).into())));
    assert_eq!((run.cgroup_id, run.init.map(|init| init.pid)), (Some(43), Some(431)));
    // Without a build in it it is a container like any other.
    let mut log = in_container();
    assert_eq!(engines(&mut log), [(DAEMON.0, 1, 0)]);
}

#[test]
fn an_engine_that_is_only_given_the_image_has_not_built_it() {
    let load = |log: &mut Log| {
        let link = r#""path":"/s/overlay2/l/L50","target":"../50/diff","ret":0"#;
        log.add(DAEMON, "file.symlink", link);
        unpack(log, 101, "/s/overlay2/50/diff", &["/a"]);
    };
    let builder = Who(12, 1, 0, 1, 1);
    let mut log = Log::begun();
    log.run(builder, 43, &[40], &MAKE);
    load(&mut log);
    assert_eq!(engines(&mut log), [(builder.0, 1, 0)]);
    // Where nobody else built it may be an ADD upon nothing.
    let mut log = Log::begun();
    load(&mut log);
    assert_eq!(engines(&mut log), [(DAEMON.0, 0, 1)]);
}
