//! What was kept of a build, and what may come from an engine's cache: nothing that stands upon what this build made.

use std::collections::HashSet;

use blubr_build::{Build, Engine, Made, StepRun};
use blubr_dockerfile::Dockerfile;
use blubr_log::Time;

use super::history::{Alignment, when};
use super::judge::is_before;
use super::slots::{Slot, Slots};

/// What was kept, and which instructions of the image may have been carried out before.
pub struct Reuse {
    /// Of buildah: what the engine kept.
    kept: Option<Kept>,
    /// The lowest instruction whose result this build made and kept.
    made: Option<usize>,
    /// Instructions that stand upon nothing (COPY --link).
    alone: HashSet<usize>,
    /// When the recording began.
    started: Time,
    /// When the build did, where the recording shows that.
    began: Option<Time>,
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
    /// By what ran. `late`: the build had begun when the recording did, or may have before its first event.
    pub fn new(
        (build, started, late): (&Build, Time, bool),
        slots: &Slots,
        alignment: &Alignment,
        dockerfile: Option<&Dockerfile>,
    ) -> Self {
        let instructions = dockerfile.map(|file| file.instructions.as_slice()).unwrap_or_default();
        let alone = instructions.iter().enumerate().filter(|(_, one)| one.is_linked());
        let alone = alone.filter(|_| build.engine == Engine::BuildKit).map(|(at, _)| at).collect();
        let kept = (build.engine == Engine::Buildah).then(|| Kept::new(build));
        let began = Some(build.began.time).filter(|_| !late);
        let mut reuse = Self { kept, made: None, alone, started, began };
        let ran = |at: usize| slots.runs(build, Slot::Step(at)).any(|(run, _)| reuse.is_kept(run));
        let lowest = alignment.lines.iter().find(|(at, line)| line.works && ran(**at));
        reuse.made = lowest.map(|(at, _)| *at);
        reuse
    }

    /// What began when this time, as the image's history writes it, was over already: the recording, or the build. What another
    /// build of the recording made is as little this one's as what was there before both.
    pub fn before(&self, created: &str) -> Option<String> {
        if when(created).is_some_and(|made| made < self.started.0) {
            return Some(format!("the recording began at {}", self.started));
        }
        let began = self.began.filter(|began| is_before(created, *began))?;
        Some(format!("the build began at {began}, after the recording"))
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
