//! What BuildKit fills and no step stands on: the tree of a context that came as an archive (`docker build -`, a URL), or of an image
//! that a COPY --from takes from. The log shows both as it shows an ADD upon nothing.

use std::collections::BTreeSet;

use blubr_dockerfile::{Dockerfile, Instruction};

use crate::build::{Build, Engine, RunKind, StepRun};

/// Trees that may be no step's.
pub(crate) struct Aside {
    /// Those that others were seen to read, by the ids of their runs.
    read: BTreeSet<u32>,
    /// Of those the ones that can be no step of this file either.
    foreign: BTreeSet<u32>,
}

impl Aside {
    pub(crate) fn new(build: &Build, dockerfile: &Dockerfile) -> Self {
        let read: BTreeSet<u32> =
            build.runs.iter().flat_map(|run| run.reads_runs.iter().copied()).collect();
        let below: BTreeSet<u32> = build.runs.iter().flat_map(|run| run.below.iter().copied()).collect();
        let may_be = |run: &&StepRun| {
            build.engine == Engine::BuildKit
                && run.kind == RunKind::Daemon
                && run.target.is_none()
                && run.lowers.is_empty()
                && run.reads_context.is_empty()
                && run.reads_runs.is_empty()
                && read.contains(&run.id)
                && !below.contains(&run.id)
        };
        let read: BTreeSet<u32> = build.runs.iter().filter(may_be).map(|run| run.id).collect();
        // A step upon nothing leaves the same.
        let linked = dockerfile.instructions.iter().any(Instruction::is_linked);
        let from_nothing = |(at, stage): (usize, &blubr_dockerfile::Stage)| {
            stage.base.eq_ignore_ascii_case("scratch") && is_taken_from(dockerfile, at)
        };
        let can_be_step = linked || dockerfile.stages.iter().enumerate().any(from_nothing);
        let foreign = if can_be_step { BTreeSet::new() } else { read.clone() };
        Self { read, foreign }
    }

    /// Whether others were seen to read what this run left, which nothing stands on.
    pub(crate) fn is_read(&self, run: &StepRun) -> bool {
        self.read.contains(&run.id)
    }

    /// Whether it can be no step of the file.
    pub(crate) fn is_foreign(&self, run: &StepRun) -> bool {
        self.foreign.contains(&run.id)
    }

    /// Whether a run copied from what may be a step's: who reads none reads the context, or an image.
    pub(crate) fn reads_step(&self, run: &StepRun) -> bool {
        run.reads_runs.iter().any(|read| !self.foreign.contains(read))
    }
}

/// Whether some instruction takes files from a stage (its index).
fn is_taken_from(dockerfile: &Dockerfile, stage: usize) -> bool {
    let value = |flag: &String| -> Option<String> {
        let mount = |rest: &str| {
            rest.split(',').find_map(|option| option.strip_prefix("from=").map(str::to_owned))
        };
        flag.strip_prefix("--from=").map(str::to_owned).or_else(|| mount(flag.strip_prefix("--mount=")?))
    };
    let named = |instruction: &Instruction, value: &str| {
        let before = instruction.stage.unwrap_or(0);
        let number = value.parse().ok().filter(|number| *number < before);
        // What a variable names may be any.
        value.contains('$') || dockerfile.stage_named(value, before).or(number) == Some(stage)
    };
    let takes = |instruction: &Instruction| {
        instruction.flags.iter().filter_map(value).any(|value| named(instruction, &value))
    };
    dockerfile.instructions.iter().any(takes)
}
