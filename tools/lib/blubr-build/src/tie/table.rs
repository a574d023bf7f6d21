//! Which instruction can be which step, by its kind and by what it names.

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::{Dockerfile, Instruction, Origin, chain};

use super::stood_upon;
use super::texts::Texts;
use crate::aside::Aside;
use crate::build::{Build, Engine, Made, RunKind, StepRun};
use crate::layout::Step;
use crate::parts::spans;
use crate::places::Named;
use crate::traces::is_init_layer;

/// How well an instruction fits a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    /// It names what was made.
    Path,
    /// Only behind another shell.
    OtherShell,
}

/// Which instruction can be which run.
pub(crate) struct Table<'d> {
    pub(crate) dockerfile: &'d Dockerfile,
    pub(super) engine: Engine,
    /// The stage that each stage begins from.
    pub(crate) bases: Vec<Option<usize>>,
    /// Some stage begins from an image.
    has_base_image: bool,
    pub(crate) fits: BTreeMap<u32, BTreeMap<usize, Fit>>,
    pub(super) succeeded: bool,
    /// Each stage has one tree, and nothing of it came from a cache.
    pub(crate) flat: bool,
    /// When the first step began: a base is there before it.
    first_step: u64,
    /// One overlay of buildah may hold several steps, and what is written between containers be of several.
    pub(super) spans: bool,
    /// Runs that another one stands on.
    stood_upon: BTreeSet<u32>,
    /// Trees that may be no step's.
    pub(super) aside: Aside,
}

impl<'d> Table<'d> {
    pub(super) fn new(build: &Build, dockerfile: &'d Dockerfile) -> Self {
        let bases = dockerfile.bases();
        let mut of_stages = dockerfile.stages.iter().zip(&bases);
        let mut table = Table {
            dockerfile,
            engine: build.engine,
            has_base_image: of_stages.any(|(stage, base)| base.is_none() && stage.base != "scratch"),
            bases,
            fits: BTreeMap::new(),
            succeeded: build.exit.is_some_and(|exit| exit.code == Some(0)),
            first_step: build
                .runs
                .iter()
                .filter(|run| run.target.is_some())
                .map(|run| run.began.seq)
                .min()
                .unwrap_or(u64::MAX),
            flat: build.flat,
            spans: spans(build),
            stood_upon: stood_upon(build),
            aside: Aside::new(build, dockerfile),
        };
        let texts = Texts::new(dockerfile, build.engine);
        let named = Named::new(dockerfile, &table.bases);
        let lines: Vec<Vec<usize>> = (0..dockerfile.stages.len())
            .filter(|_| build.engine == Engine::Buildah)
            .map(|stage| table.steps_of(stage).iter().map(|step| step.at).collect())
            .collect();
        for run in &build.runs {
            let mut fits = match run.kind {
                RunKind::Run => texts.fits(run),
                RunKind::Daemon => who_named(&named, &lines, run),
            };
            if run.kind == RunKind::Daemon && (fits.is_empty() || run.made_directories()) {
                let is_named = !fits.is_empty();
                let all = dockerfile.instructions.iter().enumerate();
                let can = all.filter(|(at, instruction)| {
                    fits_engines_work(run, instruction, build.engine, &table.aside)
                        && (!is_named || is_copy(instruction))
                        && !named.rules_out(*at, instruction, &run.made)
                });
                for (at, _) in can {
                    fits.entry(at).or_insert(Fit::Yes);
                }
            }
            table.fits.insert(run.id, fits);
        }
        table
    }

    pub(super) fn is_base(&self, run: &StepRun) -> bool {
        // A layer that is written later is some step's, also where that was not seen.
        run.kind == RunKind::Daemon
            && run.target.is_none()
            && run.began.seq < self.first_step
            && run.reads_context.is_empty()
            && run.reads_runs.is_empty()
            && run.copied_older.is_empty()
            && self.engine != Engine::Buildah
            // What nothing stands on may be a context, or what was copied from.
            && (self.stood_upon.contains(&run.id) || self.first_step == u64::MAX && !self.aside.is_read(run))
            && self.has_base_image
    }

    /// A stage and those that it begins from, the lowest last.
    pub(super) fn bases_of(&self, stage: usize) -> Vec<usize> {
        let mut order = chain(&self.bases, stage);
        order.reverse();
        order
    }

    /// The instructions of a stage that make steps, those of the stages that it begins from first.
    pub(super) fn steps_of(&self, stage: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for stage in chain(&self.bases, stage) {
            let (first, count) = self.dockerfile.stages[stage].instructions;
            for at in first..first + count {
                let instruction = &self.dockerfile.instructions[at];
                match instruction.keyword.as_str() {
                    // Not every engine runs a stage's ONBUILD in the same build.
                    "run" | "copy" | "add" => {
                        steps.push(Step { at, optional: instruction.origin != Origin::File });
                    }
                    // Where the directory is there already, not every engine makes a step of it.
                    "workdir" => steps.push(Step { at, optional: true }),
                    // Only buildah makes the directory.
                    "volume" if self.engine == Engine::Buildah => {
                        steps.push(Step { at, optional: true });
                    }
                    _ => {}
                }
            }
        }
        steps
    }

    /// Whether nothing lies below a run: buildah puts an empty directory there. (BuildKit copies upon nothing in any place,
    /// where it links.)
    pub(crate) fn stands_on_nothing(&self, run: &StepRun) -> bool {
        self.engine == Engine::Buildah
            && run.lowers.iter().all(|lower| crate::path::base(lower) == b"empty")
            && run.target.is_some()
    }

    pub(crate) fn is_linked(&self, instruction: &Instruction) -> bool {
        self.engine == Engine::BuildKit && instruction.is_linked()
    }

    /// Whether several instructions of this kind may have left one run.
    pub(crate) fn spans_over(&self, at: usize) -> bool {
        self.spans && self.dockerfile.instructions[at].keyword != "run"
    }
}

/// The WORKDIRs and VOLUMEs that named what a run made, where it made nothing else and read nothing; `lines` has the steps of
/// each stage.
fn who_named(named: &Named, lines: &[Vec<usize>], run: &StepRun) -> BTreeMap<usize, Fit> {
    let Made::Directories(made) = &run.made else { return BTreeMap::new() };
    if !(run.reads_context.is_empty() && run.reads_runs.is_empty()) {
        return BTreeMap::new();
    }
    let found = lines.iter().flat_map(|line| named.who_named(made, line));
    found.map(|at| (at, Fit::Path)).collect()
}

pub(super) fn is_copy(instruction: &Instruction) -> bool {
    matches!(instruction.keyword.as_str(), "copy" | "add")
}

/// Whether an ADD may fetch all that it adds: then nothing is looked at before the directory is made for it.
fn is_fetched(instruction: &Instruction) -> bool {
    let is_remote = |word: &String| ["$", "://", "git@"].iter().any(|sign| word.contains(sign));
    instruction.keyword == "add" && instruction.args.iter().any(is_remote)
}

/// Whether an instruction can be what the engine itself did.
fn fits_engines_work(run: &StepRun, instruction: &Instruction, engine: Engine, aside: &Aside) -> bool {
    // The classic builder copies into a bare layer, and has a container made that never runs for a WORKDIR.
    let contained = run.lowers.first().is_some_and(|lower| is_init_layer(lower));
    let copied = engine == Engine::Classic && !contained && !run.lowers.is_empty();
    instruction.stage.is_some()
        && !aside.is_foreign(run)
        && match instruction.keyword.as_str() {
            "copy" | "add" if run.part.is_some_and(|part| !part.looked) && run.made_directories() => {
                is_fetched(instruction)
            }
            "copy" | "add" if contained => false,
            "copy" | "add" => {
                let from = instruction.flag("from").is_some();
                // A copy that was seen to read from the context is no COPY --from, and the other way round.
                (run.reads_context.is_empty() || !from) && (from || !aside.reads_step(run))
            }
            "workdir" => !copied && run.reads_context.is_empty() && run.reads_runs.is_empty(),
            "volume" => run.made_directories(),
            _ => false,
        }
}
