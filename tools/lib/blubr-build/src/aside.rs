//! What BuildKit fills and no step stands on: the tree of a context that came as an archive (`docker build -`, a URL), or of an image
//! that a COPY --from takes from. The log shows both as it shows an ADD upon nothing.

use std::collections::BTreeSet;

use blubr_dockerfile::{Dockerfile, Instruction, Stage, StageNames};

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
        let can_be_step = linked || takes_from_nothing(dockerfile);
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

/// Whether some instruction takes files from a stage that begins with nothing.
fn takes_from_nothing(dockerfile: &Dockerfile) -> bool {
    let names = StageNames::new(dockerfile);
    let is_nothing = |stage: &Stage| stage.base.eq_ignore_ascii_case("scratch");
    let any = dockerfile.stages.iter().any(is_nothing);
    let takes = |instruction: &Instruction| {
        let below = instruction.stage.unwrap_or(0);
        let is_from_nothing = |name: &String| {
            let stage = names.source(name, below).and_then(|stage| dockerfile.stages.get(stage));
            // What a variable names may be any.
            name.contains('$') && any || stage.is_some_and(is_nothing)
        };
        instruction.sources().iter().any(is_from_nothing)
    };
    dockerfile.instructions.iter().any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_nothing_is_taken_from_by_copies_and_by_mounts() {
        for (takes, line) in [
            (true, "COPY --from=X /a /"),
            (true, "COPY --from=0 /a /"),
            (true, "COPY --from=$ANY /a /"),
            (true, "RUN --mount=type=bind,From=x,target=/m a"),
            (true, "RUN --mount=type=cache,target=/c --mount=\"type=bind,from=x\" a"),
            (false, "RUN --mount=type=bind,from=y,target=/m a"),
            (false, "COPY --from=y /a /"),
            (false, "COPY --from=2 /a /"),
            (false, "COPY a /"),
        ] {
            let text = format!("FROM scratch AS x\nADD a /\nFROM base AS y\nFROM base\n{line}\n");
            let file = Dockerfile::parse(text.as_bytes()).unwrap();
            assert_eq!(takes_from_nothing(&file), takes, "{line}");
        }
    }
}
