//! From which instruction of a Dockerfile each step came: by text, order and kind, each as far as it proves.
//!
//! The steps of a chain are laid along the instructions of each stage that they can belong to, in order and without
//! a gap, because an engine that could not use its cache for one step can't for the next. An instruction that a step
//! has in every such layout is its instruction; where layouts differ the step has candidates. In a record that lacks events
//! nothing follows from what is not there: each step stands alone.

mod alone;
mod conclude;
mod lay;
mod table;
mod texts;

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::Dockerfile;

use crate::build::{Build, Engine, StepRun};
use crate::places::by_time;
pub(crate) use table::{Fit, Table};
pub(crate) use texts::can_give;

/// What a step is tied to. Numbers are indices into [`Dockerfile::instructions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tied {
    /// To one instruction.
    One(usize),
    /// To one of several, or to all of them (equal steps of two stages are one step to BuildKit).
    Candidates(Vec<usize>),
    /// To none.
    None,
}

/// Why a step is tied to an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TieEvidence {
    /// The container's first program had exactly the arguments that the engine makes of the instruction.
    Text,
    /// Its last argument was the instruction's text, behind a shell that the Dockerfile does not name.
    TextOfOtherShell,
    /// It stands where the chain of steps (each one's upper directory below the next) has it.
    Order,
    /// It copied from the build's context.
    Context,
    /// It copied from another step's result.
    CopyFrom,
    /// It made the directory that this WORKDIR or VOLUME names, and nothing else.
    Path,
    /// No container ran, and the instruction is one that the engine carries out itself.
    Kind,
    /// The layer was unpacked, not made: it is the base.
    Base,
}

impl TieEvidence {
    /// As attestations spell it.
    pub fn name(self) -> &'static str {
        match self {
            TieEvidence::Text => "text",
            TieEvidence::TextOfOtherShell => "text-other-shell",
            TieEvidence::Order => "order",
            TieEvidence::Context => "context",
            TieEvidence::CopyFrom => "copy-from",
            TieEvidence::Path => "path",
            TieEvidence::Kind => "kind",
            TieEvidence::Base => "base",
        }
    }
}

/// The tie of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// `id` of the run.
    pub run: u32,
    /// What it is tied to.
    pub instruction: Tied,
    /// Why.
    pub evidence: Vec<TieEvidence>,
}

/// Ties each run of the build, in the order of `build.runs`.
pub fn tie(build: &Build, dockerfile: &Dockerfile) -> Vec<Tie> {
    if build.has_losses {
        return alone::tie(build, dockerfile);
    }
    let table = Table::new(build, dockerfile);
    let mut found: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for chain in chains(build) {
        for (run, instructions) in table.lay(&chain, build) {
            match found.get_mut(&run) {
                None => {
                    found.insert(run, instructions);
                }
                // One of them says that it is none of the file.
                Some(known) if known.is_empty() || instructions.is_empty() => known.clear(),
                // Two chains that begin with the same steps: what both allow, if there is such.
                Some(known) => {
                    let both: BTreeSet<usize> = known.intersection(&instructions).copied().collect();
                    if both.is_empty() {
                        known.extend(instructions);
                    } else {
                        *known = both;
                    }
                }
            }
        }
    }
    let tie_one = |run: &StepRun| {
        let instructions = found.remove(&run.id).unwrap_or_default();
        table.conclude(run, instructions)
    };
    let mut ties: Vec<Tie> = build.runs.iter().map(tie_one).collect();
    table.tell_twins_apart(build, &mut ties);
    let has_parts = build.runs.iter().any(|run| run.part.is_some());
    if has_parts {
        table.made_anew(build, &mut ties);
    } else if build.engine == Engine::Buildah && !table.spans {
        by_time(build, dockerfile, &mut ties);
    }
    ties
}

/// The chains of a build, each from the lowest step to a topmost.
fn chains(build: &Build) -> Vec<Vec<usize>> {
    let at: BTreeMap<u32, usize> = build.runs.iter().enumerate().map(|(at, run)| (run.id, at)).collect();
    let used = stood_upon(build);
    let tops = build.runs.iter().enumerate().filter(|(_, run)| !used.contains(&run.id));
    tops.map(|(top, run)| {
        // `below` has the nearest first.
        let mut chain: Vec<usize> = run.below.iter().filter_map(|id| at.get(id).copied()).collect();
        chain.reverse();
        chain.push(top);
        chain
    })
    .collect()
}

/// The runs that others stand on.
fn stood_upon(build: &Build) -> BTreeSet<u32> {
    build.runs.iter().flat_map(|run| run.below.iter().copied()).collect()
}

/// The steps of the build whose instruction, and no other, is at this line (from 1) of the Dockerfile; `Err` with those
/// that may be of it, where there are only such.
pub fn steps_at(build: &Build, dockerfile: &Dockerfile, line: usize) -> Result<Vec<u32>, Vec<u32>> {
    let at_line = |at: &usize| {
        dockerfile.instructions.get(*at).is_some_and(|of| of.lines.0 <= line && line <= of.lines.1)
    };
    let (mut sure, mut maybe) = (Vec::new(), Vec::new());
    for tie in tie(build, dockerfile) {
        match &tie.instruction {
            Tied::One(at) if at_line(at) => sure.push(tie.run),
            Tied::Candidates(several) if several.iter().any(at_line) => maybe.push(tie.run),
            _ => {}
        }
    }
    if sure.is_empty() && !maybe.is_empty() { Err(maybe) } else { Ok(sure) }
}
