//! `--build [N]`: the log is read twice, once to find its builds, once to pass on the events of one. With a Dockerfile it
//! is read once more, to find them again with what that says of the one that is meant.

use std::io::Read;

use blubr_build::{
    Build, Builds, FindError, Finder, Membership, Place, ProcessKey, shared_argument, steps_at,
};
use blubr_cli::Failure;
use blubr_log::{Event, LineKind, Reader, Summary};

use super::Selector;
use crate::dockerfile::Told;
use crate::plan::What;
use crate::stream::{Rewind, unreadable};

/// The builds of a log.
pub(crate) fn find(log: impl Read + Send, name: &str) -> Result<(Builds, Summary), Failure> {
    find_told(log, name, None)
}

fn find_told(
    log: impl Read + Send,
    name: &str,
    told: Option<(ProcessKey, &Told)>,
) -> Result<(Builds, Summary), Failure> {
    let mut reader = Reader::new(log).map_err(|e| unreadable(name, &e))?;
    let mut finder = Finder::new(reader.header());
    if let Some((client, told)) = told {
        finder.told(client, told.dockerfile.clone());
    }
    let read = reader.for_each(|line| match &line.kind {
        LineKind::Event(event) => finder.observe(event),
        LineKind::Lost(lost) => finder.lost(lost),
        LineKind::Checkpoint(_) | LineKind::Trailer(_) => {}
    });
    read.map_err(|e| unreadable(name, &e))?;
    let builds = finder.finish().map_err(|e: FindError| Failure::new(e).at(name))?;
    Ok((builds, reader.summary()))
}

/// Chooses what `what` says from a log that can be read again and again.
pub(crate) fn choose(
    asked: Option<u32>,
    what: &What,
    name: &str,
    log: &mut impl Rewind,
) -> Result<Chosen, Failure> {
    let none = |why: &dyn std::fmt::Display| Failure::no(why).at(name);
    let (builds, _) = find(log.rewind()?, name)?;
    let Some(told) = &what.dockerfile else {
        let build = builds.pick(asked).map_err(|e| none(&e))?;
        return Chosen::new(&builds, build, None, name);
    };
    let meant = builds.pick(asked).map_err(|e| none(&e))?;
    let (client, engine) = (meant.client, meant.engine_process);
    let (mut builds, _) = find_told(log.rewind()?, name, Some((client, told)))?;
    let same = |build: &&Build| build.client == client && build.engine_process == engine;
    let number = builds.builds.iter().find(same).map(|build| build.number);
    if let Some(number) = number {
        builds.tell_apart(number, &told.dockerfile);
    }
    let build = builds.builds.iter().find(same).ok_or_else(|| none(&"there is no such build"))?;
    let runs = what.step.map(|line| step(build, told, line, name)).transpose()?;
    Chosen::new(&builds, build, runs, name)
}

/// The runs of the step at a line.
fn step(build: &Build, told: &Told, line: usize, name: &str) -> Result<Vec<u32>, Failure> {
    let place = format!("{}:{line}", told.path.display());
    match steps_at(build, &told.dockerfile, line) {
        Ok(runs) if runs.is_empty() => {
            let what = format!("no step that was recorded in {name} is of this line");
            Err(Failure::no(what).at(place).advise("it may have been cached, or make no step"))
        }
        Ok(runs) => Ok(runs),
        Err(maybe) => {
            let what = format!("{} steps in {name} may be of this line, or of another", maybe.len());
            Err(Failure::no(what).at(place).advise("blubr-attest lists them as candidates"))
        }
    }
}

/// Events of one build, or of one step of it.
pub(crate) struct Chosen {
    membership: Membership,
    /// The runs of the step, where only one is asked for.
    runs: Option<Vec<u32>>,
    /// What the header must say of steps that are shared with the builds that are left out.
    pub(crate) shared: Option<String>,
}

impl Chosen {
    fn new(builds: &Builds, build: &Build, runs: Option<Vec<u32>>, name: &str) -> Result<Self, Failure> {
        let membership = Membership::new(builds, build.number);
        let membership = membership.ok_or_else(|| Failure::no("there is no such build").at(name))?;
        Ok(Chosen { membership, runs, shared: shared_argument(build) })
    }
}

impl Selector for Chosen {
    fn select(&mut self, event: &Event<'_>) -> bool {
        let place = self.membership.classify(event);
        let Some(runs) = &self.runs else { return place != Place::Outside };
        match place {
            Place::Container { run } => runs.contains(&run),
            Place::Engine { run } | Place::Foreign { run } => run.is_some_and(|run| runs.contains(&run)),
            Place::Outside | Place::Client => false,
        }
    }
}
