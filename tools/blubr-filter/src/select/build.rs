//! `--build [N]`: the log is read twice, once to find its builds, once to pass on the events of one.

use std::io::Read;

use blubr_build::{Builds, FindError, Finder, Membership, Place};
use blubr_cli::Failure;
use blubr_log::{Event, LineKind, Reader};

use super::Selector;
use crate::stream::unreadable;

/// The builds of a log.
pub(crate) fn find(log: impl Read, name: &str) -> Result<Builds, Failure> {
    let mut reader = Reader::new(log).map_err(|e| unreadable(name, &e))?;
    let mut finder = Finder::new(reader.header());
    while let Some(line) = reader.next_line().map_err(|e| unreadable(name, &e))? {
        if let LineKind::Event(event) = &line.kind {
            finder.observe(event);
        }
    }
    finder.finish().map_err(|e: FindError| Failure::new(e).at(name))
}

/// Events of one build.
pub(crate) struct Chosen(Membership);

impl Chosen {
    /// Build `asked` of those found, else the one that is meant.
    pub(crate) fn new(builds: &Builds, asked: Option<u32>, name: &str) -> Result<Self, Failure> {
        let none = |why: &dyn std::fmt::Display| Failure::no(why).at(name);
        let build = builds.pick(asked).map_err(|e| none(&e))?;
        let membership = Membership::new(builds, build.number);
        membership.map(Chosen).ok_or_else(|| none(&"there is no such build"))
    }
}

impl Selector for Chosen {
    fn select(&mut self, event: &Event<'_>) -> bool {
        self.0.classify(event) != Place::Outside
    }
}
