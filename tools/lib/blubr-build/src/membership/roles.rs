//! What each process is to the build: known of some, and handed on from parent to child.

use std::collections::HashMap;

use blubr_log::{Body, Event};

use super::Membership;
use crate::build::{Build, ProcessKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Engine,
    /// A runtime that sets a container up, or a helper of the engine.
    Work(Option<u32>),
    /// Serves the engine's trees: what it does there others have asked for, whose own events tell it.
    Server,
    Container(u32),
    /// Was put into a container after that was set up, and stays a stranger wherever it goes then.
    Entered(u32),
}

impl Membership {
    /// Hands roles on from parent to child.
    pub(super) fn follow(&mut self, key: ProcessKey, event: &Event<'_>) {
        if !self.roles.contains_key(&key)
            && let Some(role) = self.marked(key, self.inherited(key))
        {
            self.roles.insert(key, role);
        }
        if let Body::ProcessFork(fork) = &event.body {
            let child = ProcessKey { pid: fork.child_pid, start: fork.child_start };
            // An engine's children work for many builds: only those that were seen to work for this one count.
            let handed = self.roles.get(&key).copied().filter(|role| *role != Role::Engine);
            if let Some(role) = self.marked(child, handed) {
                self.roles.insert(child, role);
            }
        }
    }

    /// What a process is, with the role that it has of its parent. A container's processes stay that: one of them may do all
    /// that tells an engine, a helper or a server of trees, and what it writes would be called the engine's.
    fn marked(&self, key: ProcessKey, handed: Option<Role>) -> Option<Role> {
        let mark = self.marks.get(&key).copied();
        match handed {
            Some(Role::Container(_)) => mark.filter(|mark| matches!(mark, Role::Container(_))),
            _ => mark,
        }
        .or(handed)
    }

    /// The role of the nearest ancestor that has one, for a process whose fork was not seen.
    fn inherited(&self, key: ProcessKey) -> Option<Role> {
        let unseen = self.tree.get(key).is_some_and(|process| process.forked.is_none());
        if !unseen {
            return None;
        }
        let role = self
            .tree
            .lineage(key)
            .skip(1)
            .find_map(|(ancestor, _)| self.roles.get(&ancestor).copied())?;
        (role != Role::Engine).then_some(role)
    }

    pub(super) fn is_below_engine(&self, key: ProcessKey) -> bool {
        let mut lineage = self.tree.lineage(key);
        lineage.any(|(ancestor, _)| self.roles.get(&ancestor) == Some(&Role::Engine))
    }
}

pub(super) fn marks(build: &Build) -> HashMap<ProcessKey, Role> {
    let mut marks = HashMap::new();
    for engine in &build.engine_pids {
        marks.insert(*engine, Role::Engine);
    }
    marks.insert(build.client, Role::Client);
    if build.engine == crate::Engine::Buildah {
        for engine in &build.engine_pids {
            marks.insert(*engine, Role::Client);
        }
    }
    for server in &build.servers {
        marks.insert(*server, Role::Server);
    }
    for (helper, run) in &build.helpers {
        marks.insert(*helper, Role::Work(*run));
    }
    for run in &build.runs {
        for setup in &run.setup {
            marks.insert(*setup, Role::Work(Some(run.id)));
        }
    }
    for run in &build.runs {
        if let Some(init) = run.init {
            marks.insert(init, Role::Container(run.id));
        }
    }
    marks
}

/// Control groups that are one run's own.
pub(super) fn cgroups(build: &Build) -> HashMap<u64, u32> {
    let mut cgroups: HashMap<u64, Option<u32>> = HashMap::new();
    for run in &build.runs {
        if let Some(id) = run.cgroup_id {
            cgroups.entry(id).and_modify(|of| *of = None).or_insert(Some(run.id));
        }
    }
    cgroups.into_iter().filter_map(|(id, of)| of.map(|of| (id, of))).collect()
}
