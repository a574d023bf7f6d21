//! `--build [N]`: the log is read twice, once to find its builds, once to pass on the events of one.

use std::io::Read;

use blubr_build::{Builds, FindError, Finder, Membership, Place, shared_argument};
use blubr_cli::Failure;
use blubr_log::{Event, LineKind, Reader};

use super::Selector;
use crate::stream::unreadable;

/// The builds of a log.
pub(crate) fn find(log: impl Read, name: &str) -> Result<Builds, Failure> {
    let mut reader = Reader::new(log).map_err(|e| unreadable(name, &e))?;
    let mut finder = Finder::new(reader.header());
    while let Some(line) = reader.next_line().map_err(|e| unreadable(name, &e))? {
        match &line.kind {
            LineKind::Event(event) => finder.observe(event),
            LineKind::Lost(lost) => finder.lost(lost),
            LineKind::Checkpoint(_) | LineKind::Trailer(_) => {}
        }
    }
    finder.finish().map_err(|e: FindError| Failure::new(e).at(name))
}

/// Events of one build.
pub(crate) struct Chosen {
    membership: Membership,
    /// What the header must say of steps that are shared with the builds that are left out.
    pub(crate) shared: Option<String>,
}

impl Chosen {
    /// Build `asked` of those found, else the one that is meant.
    pub(crate) fn new(builds: &Builds, asked: Option<u32>, name: &str) -> Result<Self, Failure> {
        let none = |why: &dyn std::fmt::Display| Failure::no(why).at(name);
        let build = builds.pick(asked).map_err(|e| none(&e))?;
        let membership = Membership::new(builds, build.number);
        let membership = membership.ok_or_else(|| none(&"there is no such build"))?;
        Ok(Chosen { membership, shared: shared_argument(build) })
    }
}

impl Selector for Chosen {
    fn select(&mut self, event: &Event<'_>) -> bool {
        self.membership.classify(event) != Place::Outside
    }
}
