//! What may come from an engine's cache: nothing that stands upon what this build made.

use blubr_build::{Build, Engine, Made, StepRun};
use blubr_dockerfile::Dockerfile;

use super::history::Alignment;
use super::slots::{Slot, Slots};

/// Which instructions of the image may have been carried out before.
pub struct Reuse {
    /// The lowest instruction whose result this build made and kept.
    made: Option<usize>,
    /// Instructions above it that stand upon nothing (COPY --link).
    alone: Vec<usize>,
}

impl Reuse {
    /// By what ran.
    pub fn new(
        build: &Build,
        slots: &Slots,
        alignment: &Alignment,
        dockerfile: Option<&Dockerfile>,
    ) -> Self {
        let ran = |at: usize| slots.runs(build, Slot::Step(at)).any(|(run, _)| is_kept(build, run));
        let made = alignment.lines.iter().find(|(at, line)| line.works && ran(**at)).map(|(at, _)| *at);
        let instructions = dockerfile.map(|file| file.instructions.as_slice()).unwrap_or_default();
        let alone = instructions.iter().enumerate().filter(|(_, one)| one.is_linked());
        let alone = alone.filter(|_| build.engine == Engine::BuildKit).map(|(at, _)| at).collect();
        Self { made, alone }
    }

    /// Whether an instruction may have been. An engine that carries one out has for none above it what it made before.
    pub fn allows(&self, at: usize) -> bool {
        self.made.is_none_or(|made| at < made) || self.alone.contains(&at)
    }

    /// Whether an instruction's layer stands upon nothing.
    pub fn is_alone(&self, at: usize) -> bool {
        self.alone.contains(&at)
    }
}

/// Whether what a run left was kept: buildah copies anew what it then finds in its cache, and throws it away.
pub fn is_kept(build: &Build, run: &StepRun) -> bool {
    build.engine != Engine::Buildah || build.layers.iter().any(|layer| layer.of == Some(run.id))
}

/// Whether a run made no more than directories, in a tree of which nothing was kept: buildah throws that of a WORKDIR or a VOLUME
/// away, and makes the directory anew for the next step where that needs it.
pub fn is_thrown_away(build: &Build, run: &StepRun) -> bool {
    let is_kept = |other: &StepRun| other.upper == run.upper && is_kept(build, other);
    matches!(run.made, Made::Directories(_))
        && !build.runs.iter().any(|other| is_kept(other) || other.lowers.contains(&run.upper))
}
