//! The selectors: a file each.

mod build;
mod cgroup;
mod pid_tree;
mod types;

use blubr_cli::Failure;
use blubr_log::{Body, Event};
use globset::{Glob, GlobSet, GlobSetBuilder};

pub(crate) use build::{Chosen, choose, find};

use crate::cli::Selectors;

/// Decides over each event of a log, in order.
pub(crate) trait Selector {
    /// Whether to pass the event on. Every selector is asked about every event, also when another has said no.
    fn select(&mut self, event: &Event<'_>) -> bool;
}

/// Those that need no second look at the log.
pub(crate) fn all(flags: &Selectors) -> Result<Vec<Box<dyn Selector>>, Failure> {
    let mut all: Vec<Box<dyn Selector>> = Vec::new();
    if !flags.types.is_empty() {
        all.push(Box::new(types::Types(globs("--type", &flags.types)?)));
    }
    if !flags.cgroup.is_empty() {
        all.push(Box::new(cgroup::Cgroups(globs("--cgroup", &flags.cgroup)?)));
    }
    if !flags.pid_tree.is_empty() {
        all.push(Box::new(pid_tree::PidTree::new(&flags.pid_tree)?));
    }
    Ok(all)
}

/// The globs of `--type` that fit no type of event which this version knows. A newer recorder's log may have such.
pub(crate) fn unknown_types(patterns: &[String]) -> Result<Vec<&str>, Failure> {
    let mut unknown = Vec::new();
    for pattern in patterns {
        let set = globs("--type", std::slice::from_ref(pattern))?;
        if !Body::TYPES.iter().any(|kind| set.is_match(kind.name)) {
            unknown.push(pattern.as_str());
        }
    }
    Ok(unknown)
}

fn globs(flag: &str, patterns: &[String]) -> Result<GlobSet, Failure> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern);
        set.add(glob.map_err(|e| Failure::new(format!("{flag} `{pattern}`: {}", e.kind())))?);
    }
    set.build().map_err(|e| Failure::new(format!("{flag}: {}", e.kind())))
}
