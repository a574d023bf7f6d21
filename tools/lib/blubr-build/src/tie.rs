//! From which instruction of a Dockerfile each step came: by text, order and kind, each as far as it proves.
//!
//! The steps of a chain are laid along the instructions of each stage that they can belong to, in order and without
//! a gap, because an engine that could not use its cache for one step can't for the next. An instruction that a step
//! has in every such layout is its instruction; where layouts differ the step has candidates.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blubr_dockerfile::{Dockerfile, Instruction, Origin, default_shell};

use crate::build::{Build, Engine, Made, RunKind, StepRun};
use crate::layout::{Rule, Step};
use crate::parts::spans;
use crate::places::{Named, by_time};

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
pub(crate) enum Fit {
    Yes,
    /// It names what was made.
    Path,
    /// Only behind another shell.
    OtherShell,
}

/// What an engine makes of each RUN of a Dockerfile: with thousands of steps it is made once, and found by the arguments.
struct Texts {
    /// All that are RUNs.
    runs: Vec<usize>,
    /// Arguments of the first program, and of which instruction.
    commands: Vec<(Vec<String>, usize)>,
    by_argv: HashMap<Vec<Vec<u8>>, Vec<usize>>,
    /// By the last argument where the Dockerfile names no shell.
    by_text: HashMap<Vec<u8>, Vec<usize>>,
}

impl Texts {
    fn new(dockerfile: &Dockerfile, engine: Engine) -> Self {
        use blubr_dockerfile::Engine as Of;
        let mine = |of: &Of| match engine {
            Engine::Classic => *of == Of::Classic,
            Engine::BuildKit => *of == Of::BuildKit,
            Engine::Buildah => matches!(of, Of::BuildahOci | Of::BuildahDocker),
        };
        let mut texts = Texts {
            runs: Vec::new(),
            commands: Vec::new(),
            by_argv: HashMap::new(),
            by_text: HashMap::new(),
        };
        let default = default_shell();
        let shells = shells(dockerfile);
        for ((at, instruction), shell) in dockerfile.instructions.iter().enumerate().zip(shells) {
            if instruction.keyword != "run" || instruction.stage.is_none() {
                continue;
            }
            texts.runs.push(at);
            for command in instruction.shell_commands(shell.unwrap_or(&default)) {
                if !command.engines.iter().any(mine) {
                    continue;
                }
                let argv: Vec<Vec<u8>> =
                    command.argv.iter().map(|word| word.as_bytes().to_vec()).collect();
                let text = argv.last().filter(|_| !instruction.json_form && shell.is_none());
                if let Some(text) = text {
                    texts.by_text.entry(text.clone()).or_default().push(at);
                }
                texts.by_argv.entry(argv).or_default().push(at);
                texts.commands.push((command.argv, at));
            }
        }
        texts
    }

    /// The RUNs that give this container's first program its arguments.
    fn fits(&self, run: &StepRun) -> BTreeMap<usize, Fit> {
        // A container whose program was not seen to start may be any RUN.
        let Some(exec) = &run.first_exec else {
            return self.runs.iter().map(|at| (*at, Fit::Yes)).collect();
        };
        let of_text = exec.argv.last().and_then(|text| self.by_text.get(text)).into_iter().flatten();
        let mut fits: BTreeMap<usize, Fit> = of_text.map(|at| (*at, Fit::OtherShell)).collect();
        if exec.truncated {
            let same = |argv: &[String]| begins_as(&exec.argv, argv);
            fits.extend(
                self.commands.iter().filter(|(argv, _)| same(argv)).map(|(_, at)| (*at, Fit::Yes)),
            );
        } else {
            let same = self.by_argv.get(&exec.argv).into_iter().flatten();
            fits.extend(same.map(|at| (*at, Fit::Yes)));
        }
        fits
    }
}

/// The SHELL in force at each instruction, as [`Dockerfile::shell_at`] has it.
fn shells(dockerfile: &Dockerfile) -> Vec<Option<&[String]>> {
    let mut all = vec![None; dockerfile.instructions.len()];
    let mut last: Vec<Option<&[String]>> = Vec::new();
    for (stage, base) in dockerfile.stages.iter().zip(bases(dockerfile)) {
        let mut shell = base.and_then(|base| last.get(base).copied().flatten());
        let (first, count) = stage.instructions;
        for at in first..first.saturating_add(count) {
            let (Some(here), Some(instruction)) = (all.get_mut(at), dockerfile.instructions.get(at))
            else {
                break;
            };
            *here = shell;
            if instruction.keyword == "shell" {
                shell = Some(&instruction.args);
            }
        }
        last.push(shell);
    }
    all
}

/// The stage that each stage begins from.
pub(crate) fn bases(dockerfile: &Dockerfile) -> Vec<Option<usize>> {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut bases = Vec::new();
    for (at, stage) in dockerfile.stages.iter().enumerate() {
        bases.push(by_name.get(stage.base.to_lowercase().as_str()).copied());
        if let Some(name) = &stage.name {
            by_name.insert(name, at);
        }
    }
    bases
}

/// Whether some RUN of the Dockerfile gives this container's first program its arguments.
pub(crate) fn can_give(dockerfile: &Dockerfile, engine: Engine, run: &StepRun) -> bool {
    !Texts::new(dockerfile, engine).fits(run).is_empty()
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

/// Which instruction can be which run.
pub(crate) struct Table<'d> {
    pub(crate) dockerfile: &'d Dockerfile,
    engine: Engine,
    /// The stage that each stage begins from.
    pub(crate) bases: Vec<Option<usize>>,
    pub(crate) fits: BTreeMap<u32, BTreeMap<usize, Fit>>,
    succeeded: bool,
    /// Each stage has one tree, and nothing of it came from a cache.
    pub(crate) flat: bool,
    /// When the first step began: a base is there before it.
    first_step: u64,
    /// One overlay of buildah may hold several steps, and what is written between containers be of several.
    spans: bool,
}

impl<'d> Table<'d> {
    fn new(build: &Build, dockerfile: &'d Dockerfile) -> Self {
        let mut table = Table {
            dockerfile,
            engine: build.engine,
            bases: bases(dockerfile),
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
                    fits_engines_work(run, instruction)
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

    /// What each run of a chain can be, by the layouts of the chain.
    fn lay(&self, chain: &[usize], build: &Build) -> Vec<(u32, BTreeSet<usize>)> {
        let runs: Vec<&StepRun> = chain.iter().map(|at| &build.runs[*at]).collect();
        // A base that was unpacked comes before all steps.
        let base = runs.iter().take_while(|run| self.is_base(run)).count();
        let steps = &runs[base..];
        // A directory that was removed may be made anew, for another instruction than the one that names it.
        let sure: Vec<&StepRun> = steps.iter().copied().filter(|run| !run.made_directories()).collect();
        let to_end = Rule { to_end: self.succeeded && !self.may_be_linked(steps), ..Rule::default() };
        let gaps = Rule { gaps: true, ..Rule::default() };
        let mut ways = vec![(steps, to_end), (steps, Rule::default()), (steps, gaps)];
        if sure.len() < steps.len() {
            ways.splice(2..2, [(sure.as_slice(), to_end), (sure.as_slice(), Rule::default())]);
        }
        for (these, rule) in ways {
            if let Some(all) = self.lay_by(these, rule) {
                let left_out =
                    steps.iter().filter(|run| these.len() < steps.len() && run.made_directories());
                let named = left_out.map(|run| (run.id, self.named(run)));
                return these.iter().map(|run| run.id).zip(all).chain(named).collect();
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

    /// The instructions that name what a run made.
    fn named(&self, run: &StepRun) -> BTreeSet<usize> {
        self.fits[&run.id].iter().filter(|(_, fit)| **fit == Fit::Path).map(|(at, _)| *at).collect()
    }

    /// What each run can be by the layouts along all stages that keep to the rule; nothing of a run that may be none of the
    /// file's. `None` if there is no layout.
    fn lay_by(&self, runs: &[&StepRun], rule: Rule) -> Option<Vec<BTreeSet<usize>>> {
        let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); runs.len()];
        let mut outside = 0;
        let mut any = false;
        let can_end = self.stages_of(runs);
        for stage in (0..self.dockerfile.stages.len()).filter(|stage| can_end[*stage]) {
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

    /// Which stages, those below them included, have an instruction that the last run can be: no other has a layout.
    fn stages_of(&self, runs: &[&StepRun]) -> Vec<bool> {
        let mut all = vec![false; self.dockerfile.stages.len()];
        let fits = runs.last().into_iter().flat_map(|last| self.fits[&last.id].keys());
        for stage in fits.filter_map(|at| self.dockerfile.instructions.get(*at)?.stage) {
            if let Some(here) = all.get_mut(stage) {
                *here = true;
            }
        }
        // A stage begins from an earlier one.
        for stage in 0..all.len() {
            all[stage] |= self.bases[stage].is_some_and(|base| all[base]);
        }
        all
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
        while let Some(base) = order.last().and_then(|last| self.bases.get(*last).copied().flatten()) {
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

    /// Whether these may be of a COPY --link, which BuildKit makes upon nothing: then others come behind it in other chains.
    fn may_be_linked(&self, runs: &[&StepRun]) -> bool {
        runs.first().is_some_and(|run| run.kind == RunKind::Daemon && run.lowers.is_empty())
            && self.dockerfile.instructions.iter().any(|of| self.is_linked(of))
    }

    pub(crate) fn is_linked(&self, instruction: &Instruction) -> bool {
        self.engine == Engine::BuildKit && instruction.is_linked()
    }

    /// Whether several instructions of this kind may have left one run.
    pub(crate) fn spans_over(&self, at: usize) -> bool {
        self.spans && self.dockerfile.instructions[at].keyword != "run"
    }

    /// A daemon runs an instruction once upon one base (for each platform there is another): where two containers are said
    /// to be of one, either is of any whose text it has.
    fn tell_twins_apart(&self, build: &Build, ties: &mut [Tie]) {
        if self.engine == Engine::Buildah {
            return;
        }
        let mut of_one: BTreeMap<(usize, Option<&[u8]>), Vec<usize>> = BTreeMap::new();
        for (at, (run, tie)) in build.runs.iter().zip(&*ties).enumerate() {
            if let (RunKind::Run, Tied::One(instruction)) = (run.kind, &tie.instruction) {
                let base = run.lowers.last().map(Vec::as_slice);
                of_one.entry((*instruction, base)).or_default().push(at);
            }
        }
        for at in of_one.into_values().filter(|several| several.len() > 1).flatten() {
            let fits = &self.fits[&build.runs[at].id];
            if fits.len() > 1 {
                ties[at].instruction = Tied::Candidates(fits.keys().copied().collect());
                ties[at].evidence.retain(|evidence| *evidence != TieEvidence::Order);
            }
        }
    }

    /// Whether an instruction is no more than what the order leaves of a part that made directories which nothing in the file
    /// names: it may have been made because the base's configuration does.
    fn is_only_left(&self, run: &StepRun, at: usize) -> bool {
        run.made_directories()
            && self.fits[&run.id].get(&at) == Some(&Fit::Yes)
            && !is_copy(&self.dockerfile.instructions[at])
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
                (RunKind::Daemon, Some(Fit::Path)) => evidence.push(TieEvidence::Path),
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
            1 if self.is_only_left(run, list[0]) => Tied::Candidates(list),
            1 => Tied::One(list.remove(0)),
            _ => Tied::Candidates(list),
        };
        Tie { run: run.id, instruction, evidence }
    }
}

fn is_copy(instruction: &Instruction) -> bool {
    matches!(instruction.keyword.as_str(), "copy" | "add")
}

/// Whether an ADD may fetch all that it adds: then nothing is looked at before the directory is made for it.
fn is_fetched(instruction: &Instruction) -> bool {
    let is_remote = |word: &String| ["$", "://", "git@"].iter().any(|sign| word.contains(sign));
    instruction.keyword == "add" && instruction.args.iter().any(is_remote)
}

/// Whether an instruction can be what the engine itself did.
fn fits_engines_work(run: &StepRun, instruction: &Instruction) -> bool {
    instruction.stage.is_some()
        && match instruction.keyword.as_str() {
            "copy" | "add" if run.part.is_some_and(|part| !part.looked) && run.made_directories() => {
                is_fetched(instruction)
            }
            "copy" | "add" => {
                let from = instruction.flag("from").is_some();
                // A copy that was seen to read from the context is no COPY --from, and the other way round.
                (run.reads_context.is_empty() || !from) && (run.reads_runs.is_empty() || from)
            }
            "workdir" => run.reads_context.is_empty() && run.reads_runs.is_empty(),
            "volume" => run.made_directories(),
            _ => false,
        }
}

/// Whether arguments that were cut at the recorder's limit begin as these do.
fn begins_as(ran: &[Vec<u8>], made: &[String]) -> bool {
    let Some((last, whole)) = ran.split_last() else { return false };
    whole.len() < made.len()
        && whole.iter().zip(made).all(|(a, b)| a == b.as_bytes())
        && made[whole.len()].as_bytes().starts_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_and_bases_of_all_are_those_of_each() {
        let file = Dockerfile::parse(
            b"ARG A\nFROM base AS one\nRUN a\nSHELL [\"/bin/bash\", \"-c\"]\nRUN b\nFROM One AS two\nRUN c\n\
              SHELL [\"/bin/zsh\"]\nFROM two\nRUN d\nFROM three AS one\nRUN e\nFROM one\nRUN f\n",
        )
        .unwrap();
        let each: Vec<_> = (0..file.instructions.len()).map(|at| file.shell_at(at)).collect();
        assert!(each.iter().flatten().count() > 3);
        assert_eq!(shells(&file), each);
        let named = |(at, stage): (usize, &blubr_dockerfile::Stage)| file.stage_named(&stage.base, at);
        let each: Vec<_> = file.stages.iter().enumerate().map(named).collect();
        assert_eq!(bases(&file), each);
    }
}
