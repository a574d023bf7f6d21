//! What was kept of a build, and what may come from an engine's cache: nothing that stands upon what this build made.

use std::collections::HashSet;

use blubr_build::{Build, Engine, Made, StepRun};
use blubr_dockerfile::Dockerfile;

use super::history::Alignment;
use super::slots::{Slot, Slots};

/// What was kept, and which instructions of the image may have been carried out before.
pub struct Reuse {
    /// Of buildah: what the engine kept.
    kept: Option<Kept>,
    /// The lowest instruction whose result this build made and kept.
    made: Option<usize>,
    /// Instructions that stand upon nothing (COPY --link).
    alone: HashSet<usize>,
}

/// What buildah kept: it copies anew what it then finds in its cache, and throws it away.
struct Kept {
    /// Runs that left a layer, by their ids.
    runs: HashSet<u32>,
    /// Upper directories of those, and what other steps stand upon.
    trees: HashSet<Vec<u8>>,
}

impl Kept {
    fn new(build: &Build) -> Self {
        let runs: HashSet<u32> = build.layers.iter().filter_map(|layer| layer.of).collect();
        let left = build.runs.iter().filter(|run| runs.contains(&run.id)).map(|run| &run.upper);
        let below = build.runs.iter().flat_map(|run| &run.lowers);
        let trees = left.chain(below).cloned().collect();
        Self { runs, trees }
    }
}

impl Reuse {
    /// By what ran.
    pub fn new(
        build: &Build,
        slots: &Slots,
        alignment: &Alignment,
        dockerfile: Option<&Dockerfile>,
    ) -> Self {
        let instructions = dockerfile.map(|file| file.instructions.as_slice()).unwrap_or_default();
        let alone = instructions.iter().enumerate().filter(|(_, one)| one.is_linked());
        let alone = alone.filter(|_| build.engine == Engine::BuildKit).map(|(at, _)| at).collect();
        let kept = (build.engine == Engine::Buildah).then(|| Kept::new(build));
        let mut reuse = Self { kept, made: None, alone };
        let ran = |at: usize| slots.runs(build, Slot::Step(at)).any(|(run, _)| reuse.is_kept(run));
        let lowest = alignment.lines.iter().find(|(at, line)| line.works && ran(**at));
        reuse.made = lowest.map(|(at, _)| *at);
        reuse
    }

    /// Whether an instruction may have been. An engine that carries one out has for none above it what it made before.
    pub fn allows(&self, at: usize) -> bool {
        self.made.is_none_or(|made| at < made) || self.is_alone(at)
    }

    /// Whether an instruction's layer stands upon nothing.
    pub fn is_alone(&self, at: usize) -> bool {
        self.alone.contains(&at)
    }

    /// Whether what a run left was kept.
    pub fn is_kept(&self, run: &StepRun) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.runs.contains(&run.id))
    }

    /// Whether a run made no more than directories, in a tree of which nothing was kept: buildah throws that of a WORKDIR or a
    /// VOLUME away, and makes the directory anew for the next step where that needs it.
    pub fn is_thrown_away(&self, run: &StepRun) -> bool {
        let kept = self.kept.as_ref().is_none_or(|kept| kept.trees.contains(&run.upper));
        matches!(run.made, Made::Directories(_)) && !kept
    }
}
