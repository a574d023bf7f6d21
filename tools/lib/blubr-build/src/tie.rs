//! From which instruction of a Dockerfile each step came: by text, order and kind, each as far as it proves.
//!
//! The steps of a chain are laid along the instructions of each stage that they can belong to, in order and without
//! a gap, because an engine that could not use its cache for one step can't for the next. An instruction that a step
//! has in every such layout is its instruction; where layouts differ the step has candidates.

use std::collections::{BTreeMap, BTreeSet};

use blubr_dockerfile::{Dockerfile, Instruction, Origin, default_shell};

use crate::build::{Build, Engine, RunKind, StepRun};

/// Steps of one chain times instructions of one stage that are laid out; more are left without a tie.
const LAYOUT_MAX: usize = 1 << 22;

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
    build.runs.iter().map(tie_one).collect()
}

/// The chains of a build, each from the lowest step to a topmost.
fn chains(build: &Build) -> Vec<Vec<usize>> {
    let at: BTreeMap<u32, usize> = build.runs.iter().enumerate().map(|(at, run)| (run.id, at)).collect();
    let used: BTreeSet<u32> = build.runs.iter().flat_map(|run| run.below.iter().copied()).collect();
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

/// How well an instruction fits a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    No,
    Yes,
    /// Only behind another shell.
    OtherShell,
}

fn fit_text(
    dockerfile: &Dockerfile,
    engine: Engine,
    run: &StepRun,
    at: usize,
    instruction: &Instruction,
) -> Fit {
    use blubr_dockerfile::Engine as Of;
    // A container whose program was not seen to start may be any RUN.
    let Some(exec) = &run.first_exec else { return Fit::Yes };
    let shell = dockerfile.shell_at(at).map_or_else(default_shell, <[String]>::to_vec);
    let mine = |of: &Of| match engine {
        Engine::Classic => *of == Of::Classic,
        Engine::BuildKit => *of == Of::BuildKit,
        Engine::Buildah => matches!(of, Of::BuildahOci | Of::BuildahDocker),
    };
    let mut fit = Fit::No;
    for command in instruction.shell_commands(&shell) {
        if !command.engines.iter().any(mine) {
            continue;
        }
        if same_argv(&exec.argv, &command.argv, exec.truncated) {
            return Fit::Yes;
        }
        let texts = (exec.argv.last(), command.argv.last());
        if let (Some(ran), Some(text)) = texts
            && !instruction.json_form
            && dockerfile.shell_at(at).is_none()
            && ran == text.as_bytes()
        {
            fit = Fit::OtherShell;
        }
    }
    fit
}

/// Whether some RUN of the Dockerfile gives this container's first program its arguments.
pub(crate) fn can_give(dockerfile: &Dockerfile, engine: Engine, run: &StepRun) -> bool {
    dockerfile.instructions.iter().enumerate().any(|(at, instruction)| {
        instruction.keyword == "run"
            && instruction.stage.is_some()
            && fit_text(dockerfile, engine, run, at, instruction) != Fit::No
    })
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

/// Which instruction can be which run.
struct Table<'d> {
    dockerfile: &'d Dockerfile,
    engine: Engine,
    fits: BTreeMap<u32, BTreeMap<usize, Fit>>,
    succeeded: bool,
    /// When the first step began: a base is there before it.
    first_step: u64,
    /// One overlay of buildah may hold several steps, and what is written between containers be of several.
    spans: bool,
}

impl<'d> Table<'d> {
    fn new(build: &Build, dockerfile: &'d Dockerfile) -> Self {
        let uppers: BTreeSet<&[u8]> = build.runs.iter().map(|run| run.upper.as_slice()).collect();
        let mut table = Table {
            dockerfile,
            engine: build.engine,
            fits: BTreeMap::new(),
            succeeded: build.exit.is_some_and(|exit| exit.code == Some(0)),
            first_step: build
                .runs
                .iter()
                .filter(|run| run.target.is_some())
                .map(|run| run.began.seq)
                .min()
                .unwrap_or(u64::MAX),
            spans: uppers.len() < build.runs.len(),
        };
        for run in &build.runs {
            let all = dockerfile.instructions.iter().enumerate();
            let fits = all
                .map(|(at, instruction)| (at, table.fit(run, at, instruction)))
                .filter(|(_, fit)| *fit != Fit::No)
                .collect();
            table.fits.insert(run.id, fits);
        }
        table
    }

    fn fit(&self, run: &StepRun, at: usize, instruction: &Instruction) -> Fit {
        if instruction.stage.is_none() {
            return Fit::No;
        }
        let fits = match (run.kind, instruction.keyword.as_str()) {
            (RunKind::Run, "run") => return self.fit_text(run, at, instruction),
            (RunKind::Daemon, "copy" | "add") => {
                let from = instruction.flag("from").is_some();
                // A copy that was seen to read from the context is no COPY --from, and the other way round.
                (run.reads_context.is_empty() || !from) && (run.reads_runs.is_empty() || from)
            }
            (RunKind::Daemon, "workdir") => run.reads_context.is_empty() && run.reads_runs.is_empty(),
            _ => false,
        };
        if fits { Fit::Yes } else { Fit::No }
    }

    fn fit_text(&self, run: &StepRun, at: usize, instruction: &Instruction) -> Fit {
        fit_text(self.dockerfile, self.engine, run, at, instruction)
    }

    /// What each run of a chain can be, by the layouts of the chain.
    fn lay(&self, chain: &[usize], build: &Build) -> Vec<(u32, BTreeSet<usize>)> {
        let runs: Vec<&StepRun> = chain.iter().map(|at| &build.runs[*at]).collect();
        // A base that was unpacked comes before all steps.
        let base = runs.iter().take_while(|run| self.is_base(run)).count();
        let steps = &runs[base..];
        for rule in [
            Rule { to_end: self.succeeded, ..Rule::default() },
            Rule::default(),
            Rule { gaps: true, ..Rule::default() },
        ] {
            if let Some(all) = self.lay_by(steps, rule) {
                return steps.iter().map(|run| run.id).zip(all).collect();
            }
        }
        // No layout: the record has a gap that the rules do not allow for. Each run by its own text only.
        let alone = |run: &&StepRun| (run.id, self.fits[&run.id].keys().copied().collect());
        steps
            .iter()
            .filter(|run| run.kind == RunKind::Run && run.first_exec.is_some())
            .map(alone)
            .collect()
    }

    /// What each run can be by the layouts along all stages that keep to the rule; nothing of a run that may be none of the
    /// file's. `None` if there is no layout.
    fn lay_by(&self, runs: &[&StepRun], rule: Rule) -> Option<Vec<BTreeSet<usize>>> {
        let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); runs.len()];
        let mut outside = 0;
        let mut any = false;
        for stage in 0..self.dockerfile.stages.len() {
            let line = self.steps_of(stage);
            let own = self.layouts(runs, &line, rule);
            let ours = own.is_some();
            for (all, here) in all.iter_mut().zip(own.into_iter().flatten()) {
                all.extend(here);
            }
            any |= ours;
            // A build that failed may have ended among the triggers of its base.
            if (ours && self.succeeded) || rule.gaps || !self.may_have_triggers(stage) {
                continue;
            }
            let behind = Rule { from_start: true, ..rule };
            for triggers in 1..runs.len() {
                let Some(layout) = self.layouts(&runs[triggers..], &line, behind) else { continue };
                for (all, here) in all[triggers..].iter_mut().zip(layout) {
                    all.extend(here);
                }
                outside = outside.max(triggers);
                any = true;
            }
        }
        all[..outside].iter_mut().for_each(BTreeSet::clear);
        any.then_some(all)
    }

    /// Whether a stage begins from an image of whose ONBUILD triggers nothing is known. An engine runs them before the
    /// stage's own instructions, and where one of them was not in its cache, none of those was.
    fn may_have_triggers(&self, stage: usize) -> bool {
        let order = self.bases_of(stage);
        let Some(lowest) = order.last() else { return false };
        let known =
            |at: usize| self.dockerfile.instructions.get(at).is_some_and(|of| of.origin == Origin::Base);
        let (first, count) = self.dockerfile.stages[*lowest].instructions;
        self.dockerfile.stages[*lowest].base != "scratch" && !(first..first + count).any(known)
    }

    fn is_base(&self, run: &StepRun) -> bool {
        // A layer that is written later is some step's, also where that was not seen.
        run.kind == RunKind::Daemon
            && run.target.is_none()
            && run.began.seq < self.first_step
            && run.reads_context.is_empty()
            && run.reads_runs.is_empty()
            && self.engine != Engine::Buildah
            && self.dockerfile.stages.iter().any(|stage| {
                stage.base != "scratch" && self.dockerfile.stage_named(&stage.base, usize::MAX).is_none()
            })
    }

    /// A stage and those that it begins from, the lowest last.
    fn bases_of(&self, stage: usize) -> Vec<usize> {
        let mut order = vec![stage];
        while let Some(base) = order
            .last()
            .and_then(|last| self.dockerfile.stage_named(&self.dockerfile.stages[*last].base, *last))
        {
            order.push(base);
        }
        order
    }

    /// The instructions of a stage that make steps, those of the stages that it begins from first.
    fn steps_of(&self, stage: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for stage in self.bases_of(stage).into_iter().rev() {
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
                    _ => {}
                }
            }
        }
        steps
    }

    /// For each run the instructions that it has in some layout; `None` if there is no layout.
    fn layouts(&self, runs: &[&StepRun], line: &[Step], rule: Rule) -> Option<Vec<BTreeSet<usize>>> {
        if runs.is_empty() || runs.len().saturating_mul(line.len()) > LAYOUT_MAX {
            return None;
        }
        let from_start = rule.from_start || self.stands_on_nothing(runs[0]);
        // What may stand between two runs, or behind the last.
        let skips =
            |between: &[Step]| between.iter().all(|step| step.optional || self.spans_over(step.at));
        let can = |run: usize, at: usize| self.fits[&runs[run].id].contains_key(&line[at].at);
        let mut forward = vec![vec![false; line.len()]; runs.len()];
        let begins = |at: usize| !from_start || skips(&line[..at]);
        forward[0] = (0..line.len()).map(|at| can(0, at) && begins(at)).collect();
        for run in 1..runs.len() {
            let mut reach = false;
            for at in 0..line.len() {
                if at > 0 {
                    let keeps = rule.gaps || skips(&line[at - 1..at]);
                    reach = (reach && keeps) || forward[run - 1][at - 1];
                }
                forward[run][at] = reach && can(run, at);
            }
        }
        let mut layout = vec![BTreeSet::new(); runs.len()];
        // From the end back: where the run above can stand.
        let mut above: Vec<bool> = Vec::new();
        for run in (0..runs.len()).rev() {
            let mut here = vec![false; line.len()];
            let mut reach = false;
            for at in (0..line.len()).rev() {
                if run + 1 == runs.len() {
                    reach = !rule.to_end || skips(&line[at + 1..]);
                } else if at + 1 < line.len() {
                    let keeps = rule.gaps || skips(&line[at + 1..at + 2]);
                    reach = (reach && keeps) || above[at + 1];
                }
                here[at] = reach && forward[run][at];
                if here[at] {
                    layout[run].insert(line[at].at);
                }
            }
            above = here;
        }
        layout.iter().all(|here| !here.is_empty()).then_some(layout)
    }

    /// Whether nothing lies below a run: buildah puts an empty directory there. (BuildKit copies upon nothing in any place,
    /// where it links.)
    fn stands_on_nothing(&self, run: &StepRun) -> bool {
        self.engine == Engine::Buildah
            && run.lowers.iter().all(|lower| crate::path::base(lower) == b"empty")
            && run.target.is_some()
    }

    /// Whether several instructions of this kind may have left one run.
    fn spans_over(&self, at: usize) -> bool {
        self.spans && self.dockerfile.instructions[at].keyword != "run"
    }

    fn conclude(&self, run: &StepRun, instructions: BTreeSet<usize>) -> Tie {
        let mut evidence = Vec::new();
        if instructions.is_empty() && self.is_base(run) {
            let froms = self.dockerfile.instructions.iter().enumerate();
            let froms: Vec<usize> =
                froms.filter(|(_, from)| from.keyword == "from").map(|(at, _)| at).collect();
            let instruction = match froms.as_slice() {
                [only] => Tied::One(*only),
                _ => Tied::Candidates(froms),
            };
            return Tie { run: run.id, instruction, evidence: vec![TieEvidence::Base] };
        }
        let fits = &self.fits[&run.id];
        for at in &instructions {
            match (run.kind, fits.get(at)) {
                (RunKind::Run, Some(Fit::Yes)) if run.first_exec.is_some() => {
                    evidence.push(TieEvidence::Text)
                }
                (RunKind::Run, Some(Fit::OtherShell)) => evidence.push(TieEvidence::TextOfOtherShell),
                (RunKind::Daemon, Some(_)) => evidence.push(TieEvidence::Kind),
                _ => {}
            }
        }
        if !run.reads_context.is_empty() && !instructions.is_empty() {
            evidence.push(TieEvidence::Context);
        }
        if !run.reads_runs.is_empty() && !instructions.is_empty() {
            evidence.push(TieEvidence::CopyFrom);
        }
        // Text alone would have left more.
        if !instructions.is_empty() && fits.len() > instructions.len() {
            evidence.push(TieEvidence::Order);
        }
        evidence.sort_unstable();
        evidence.dedup();
        let mut list: Vec<usize> = instructions.into_iter().collect();
        let instruction = match list.len() {
            0 => Tied::None,
            1 => Tied::One(list.remove(0)),
            _ => Tied::Candidates(list),
        };
        Tie { run: run.id, instruction, evidence }
    }
}

/// An instruction in the line of those that make steps.
#[derive(Clone, Copy)]
struct Step {
    at: usize,
    optional: bool,
}

/// What a layout must keep to.
#[derive(Clone, Copy, Default)]
struct Rule {
    /// The first run is the stage's first step.
    from_start: bool,
    /// Instructions may be left out between two runs.
    gaps: bool,
    /// The last run is the stage's last step.
    to_end: bool,
}

fn same_argv(ran: &[Vec<u8>], made: &[String], truncated: bool) -> bool {
    let made: Vec<&[u8]> = made.iter().map(String::as_bytes).collect();
    if !truncated {
        return ran.len() == made.len() && ran.iter().zip(made).all(|(a, b)| a == b);
    }
    let Some((last, whole)) = ran.split_last() else { return false };
    whole.len() < made.len()
        && whole.iter().zip(&made).all(|(a, b)| a == b)
        && made[whole.len()].starts_with(last.as_slice())
}
