//! `--pid-tree PID[:START]`.

use std::collections::{HashMap, HashSet};

use blubr_cli::Failure;
use blubr_log::{Body, Event};

use super::Selector;

/// Processes that are remembered: what Linux allows at once (`PID_MAX_LIMIT`).
const LIVING_MAX: usize = 1 << 22;

type Key = (u32, u64);

/// Events of some processes and their descendants.
pub(crate) struct PidTree {
    roots: Vec<(u32, Option<u64>)>,
    within: HashSet<Key>,
    /// The members by pid, for children that were there before the recording.
    living: HashMap<u32, Key>,
    ending: Option<Key>,
}

impl PidTree {
    pub(crate) fn new(words: &[String]) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for word in words {
            let (pid, start) = match word.split_once(':') {
                Some((pid, start)) => (pid.parse().ok(), start.parse().ok().map(Some)),
                None => (word.parse().ok(), Some(None)),
            };
            let (Some(pid), Some(start)) = (pid, start) else {
                let what = format!("--pid-tree takes PID or PID:START, not `{word}`");
                return Err(Failure::new(what).advise("see `pid` and `start` of an event"));
            };
            roots.push((pid, start));
        }
        Ok(PidTree { roots, within: HashSet::new(), living: HashMap::new(), ending: None })
    }

    fn add(&mut self, key: Key) {
        if self.within.len() < LIVING_MAX {
            self.within.insert(key);
            self.living.insert(key.0, key);
        }
    }
}

impl Selector for PidTree {
    fn select(&mut self, event: &Event<'_>) -> bool {
        if let Some(ended) = self.ending.take() {
            self.within.remove(&ended);
            if self.living.get(&ended.0) == Some(&ended) {
                self.living.remove(&ended.0);
            }
        }
        let key = (event.head.pid, event.head.start);
        if !self.within.contains(&key) {
            let named = |(pid, start): &(u32, Option<u64>)| {
                *pid == key.0 && start.is_none_or(|start| start == key.1)
            };
            // A child whose fork was not seen: its parent must be older than it.
            let parent = self.living.get(&event.head.ppid);
            let of_member = matches!(event.body, Body::ProcessExists(_))
                && parent.is_some_and(|parent| parent.1 <= key.1);
            if self.roots.iter().any(named) || of_member {
                self.add(key);
            }
        }
        let selected = self.within.contains(&key);
        match &event.body {
            Body::ProcessFork(fork) if selected => self.add((fork.child_pid, fork.child_start)),
            Body::ProcessExit(_) if selected => self.ending = Some(key),
            _ => {}
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use blubr_log::event::{ProcessExit, ProcessFork};
    use blubr_log::{Head, Name, Seen, Tail, Time};

    use super::*;

    fn event(pid: u32, start: u64, body: Body<'static>) -> Event<'static> {
        let head = Head {
            seq: 1,
            time: Time(0),
            r#type: Name::from(body.type_name()),
            pid,
            tid: pid,
            start,
            ppid: 1,
            comm: Name::from("x"),
            uid: 0,
            cgroup: Seen(None),
            cgroup_id: 1,
            mntns: 1,
        };
        Event { head, body, tail: Tail::default() }
    }

    fn fork(child_pid: u32, child_start: u64) -> Body<'static> {
        ProcessFork { child_pid, child_start }.into()
    }

    fn exit() -> Body<'static> {
        ProcessExit { code: Some(0), signal: None }.into()
    }

    #[test]
    fn descendants_and_no_one_with_a_reused_pid() {
        let mut tree = PidTree::new(&["7:70".to_owned()]).unwrap();
        assert!(!tree.select(&event(7, 60, exit())), "an earlier process with this pid");
        assert!(tree.select(&event(7, 70, fork(8, 80))));
        assert!(tree.select(&event(8, 80, fork(9, 90))));
        assert!(tree.select(&event(8, 80, exit())));
        assert!(tree.select(&event(9, 90, exit())), "it outlives its parent");
        assert!(!tree.select(&event(8, 99, exit())), "the pid of one that has ended");
        assert!(!tree.select(&event(10, 95, fork(7, 100))));
        assert!(!tree.select(&event(7, 100, exit())));
    }
}
