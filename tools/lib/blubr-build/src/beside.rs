//! What an engine does for a client besides the build that another engine does for it: it runs the container in which
//! that one works, and it is given the image.

use std::collections::{HashMap, HashSet};

use crate::build::{Build, ProcessKey, RunKind};

/// Takes away what is no build by itself: of an engine's steps for a client the container in which another builds for the same
/// client, and then the builds that hold nothing of one. `hosts` has the first processes of the containers in
/// which engines run.
pub(crate) fn settle<T>(builds: &mut Vec<(Build, T)>, hosts: &HashMap<ProcessKey, ProcessKey>) {
    let in_containers: HashSet<(ProcessKey, ProcessKey)> = builds
        .iter()
        .filter(|(build, _)| is_work(build))
        .filter_map(|(build, _)| Some((build.client, *hosts.get(&build.engine_process)?)))
        .collect();
    for (build, _) in builds.iter_mut() {
        let client = build.client;
        let is_host = |init: ProcessKey| in_containers.contains(&(client, init));
        build.runs.retain(|run| !run.init.is_some_and(is_host));
    }
    // Anyone does what shows an engine at work, while a client is there that asked another.
    let served: HashSet<ProcessKey> = builds
        .iter()
        .map(|(build, _)| build)
        .filter(|build| is_work(build))
        .map(|build| build.client)
        .collect();
    builds.retain(|(build, _)| is_work(build) || !served.contains(&build.client));
}

/// Whether the engine did more than to unpack layers, as it does for an image that it is given: it got a context, mounted a
/// tree to write in, or ran a container.
fn is_work(build: &Build) -> bool {
    let unpacked = |run: &crate::StepRun| run.kind == RunKind::Daemon && run.target.is_none();
    !build.contexts.is_empty() || !build.runs.iter().all(unpacked)
}
