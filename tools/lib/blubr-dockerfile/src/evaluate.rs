//! What `docker build` makes of a file: which stages a target needs, and each of their instructions with its variables
//! replaced (BuildKit's `dockerfile2llb`).
//!
//! Base images aren't looked at. What one may set is taken as not set, PATH as BuildKit's default, the builder's platform as
//! the host's; where a value rests on that, [`Evaluated::assumed`] has the names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ParseError, excerpt};
use crate::expand::expand;
use crate::gotext::lower;
use crate::instruction::Instruction;
use crate::limits::TRIGGERS_MAX;
use crate::mount::mounted_from;
use crate::parser::Dockerfile;
use crate::platform::Platform;
use crate::reference::is_reference;
use crate::step::{Evaluated, Stepper, error, expansion, finish};
use crate::triggers::cut_trigger;
use crate::variables::{Assumed, Variables};

/// The PATH that engines give an image without one, before its first instruction (BuildKit's `system.DefaultPathEnvUnix`,
/// Docker's and buildah's too).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes that all replaced words of a file may have together, and the variables that its stages hand on.
pub(crate) const EVALUATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a word takes beside its bytes.
const WORD_BYTES: usize = 24;
/// The same of the name of a variable that a value rests on.
const ASSUMED_BYTES: usize = 128;

/// What is asked of docker build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`; the last stage if none.
    pub target: Option<String>,
    /// `--platform`; the host's if none.
    pub platform: Option<Platform>,
    /// What the build is taken to run on.
    pub host: Platform,
}

/// Evaluates each instruction of the file, in order; `None` for those of stages that the target doesn't need.
///
/// # Errors
/// What docker build would refuse before it runs anything, with line and column.
pub fn evaluate(
    file: &Dockerfile,
    options: &BuildOptions,
) -> Result<Vec<Option<Evaluated>>, ParseError> {
    let mut evaluator = Evaluator::new(file, options);
    evaluator.global_args()?;
    evaluator.froms()?;
    let target = evaluator.target()?;
    evaluator.needs()?;
    evaluator.no_circle()?;
    let wanted = evaluator.wanted(target)?;
    for stage in wanted {
        evaluator.dispatch(stage)?;
    }
    Ok(evaluator.done)
}

/// A stage while it is evaluated.
#[derive(Debug, Default)]
struct State {
    /// What stands behind FROM, replaced.
    base_name: String,
    /// The stage that it begins from.
    base: Option<usize>,
    /// The operating system of its platform.
    os: String,
    /// Stages that its COPY --from and RUN --mount=from name.
    needs: Vec<usize>,
    /// ARG and ENV behind its last instruction.
    variables: Variables,
    /// What the image's ENV has.
    image: Variables,
    dispatched: bool,
    /// ONBUILD triggers of its base stage, already cut.
    triggers: Vec<Instruction>,
}

struct Evaluator<'f> {
    file: &'f Dockerfile,
    options: &'f BuildOptions,
    global: Variables,
    /// The last stage of each name.
    by_name: BTreeMap<String, usize>,
    states: Vec<State>,
    done: Vec<Option<Evaluated>>,
    spent: usize,
    triggers: usize,
}

fn at_from(file: &Dockerfile, stage: usize) -> Option<&Instruction> {
    file.stages.get(stage).and_then(|s| file.instructions.get(s.instructions.0))
}

impl<'f> Evaluator<'f> {
    fn new(file: &'f Dockerfile, options: &'f BuildOptions) -> Self {
        let mut global = Variables::default();
        let target = options.platform.as_ref().unwrap_or(&options.host);
        let last = file.stages.last().and_then(|s| s.name.clone()).unwrap_or_default();
        let stage = options.target.clone().filter(|t| !t.is_empty()).unwrap_or(last);
        let stage = if stage.is_empty() { "default".to_owned() } else { stage };
        let of = |prefix: &str, p: &Platform| {
            [
                (format!("{prefix}PLATFORM"), p.to_string()),
                (format!("{prefix}OS"), p.os.clone()),
                (format!("{prefix}OSVERSION"), p.os_version.clone()),
                (format!("{prefix}ARCH"), p.architecture.clone()),
                (format!("{prefix}VARIANT"), p.variant.clone()),
            ]
        };
        for (name, value) in of("BUILD", &options.host).into_iter().chain(of("TARGET", target)) {
            let given = options.build_args.get(&name);
            let said = given.is_some() || (options.platform.is_some() && name.starts_with("TARGET"));
            let assumed = if said { Assumed::new() } else { [name.clone()].into() };
            global.set(&name, given.cloned().unwrap_or(value), assumed);
        }
        let stage = options.build_args.get("TARGETSTAGE").cloned().unwrap_or(stage);
        global.set("TARGETSTAGE", stage, Assumed::new());
        let states = file.stages.iter().map(|_| State::default()).collect();
        let done = vec![None; file.instructions.len()];
        let names = file.stages.iter().enumerate();
        let by_name = names.filter_map(|(at, s)| Some((s.name.clone()?, at))).collect();
        Self { file, options, global, by_name, states, done, spent: 0, triggers: 0 }
    }

    /// ARG before the first FROM.
    fn global_args(&mut self) -> Result<(), ParseError> {
        let first = self.file.stages.first().map_or(0, |s| s.instructions.0);
        for (at, i) in self.file.instructions.iter().enumerate().take(first) {
            let mut variables = std::mem::take(&mut self.global);
            let evaluated = self.stepper().arg(i, &mut variables, None);
            self.global = variables;
            self.keep(at, i, evaluated?)?;
        }
        Ok(())
    }

    fn keep(&mut self, at: usize, i: &Instruction, evaluated: Evaluated) -> Result<(), ParseError> {
        let words = evaluated.args.iter().chain(&evaluated.flags).chain(&evaluated.heredocs);
        let words = words.map(|word| word.len() + WORD_BYTES).sum::<usize>();
        // Each variable that is set keeps them too.
        let assumed = evaluated.assumed.iter().map(|name| name.len() + ASSUMED_BYTES).sum::<usize>();
        self.spend(i, words + assumed)?;
        if let Some(done) = self.done.get_mut(at) {
            *done = Some(evaluated);
        }
        Ok(())
    }

    fn spend(&mut self, i: &Instruction, bytes: usize) -> Result<(), ParseError> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > EVALUATED_BYTES_MAX {
            let what = format!("replacing variables gives more than {EVALUATED_BYTES_MAX} bytes");
            return Err(error(i, i.keyword_at, what, "let fewer variables hold one another"));
        }
        Ok(())
    }

    /// What each stage begins from.
    fn froms(&mut self) -> Result<(), ParseError> {
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        for stage in 0..self.file.stages.len() {
            let Some(i) = at_from(self.file, stage) else { continue };
            let evaluated = self.from(i)?;
            let target = self.options.platform.as_ref().unwrap_or(&self.options.host);
            let platform = evaluated.flags.iter().find_map(|f| f.strip_prefix("--platform="));
            let platform = platform.and_then(|p| Platform::parse(p, &self.options.host));
            let name = evaluated.args.first().cloned().unwrap_or_default();
            // As BuildKit: names of stages are kept in lower case, and FROM's word is not lowered.
            let base = by_name.get(&name).copied();
            if base.is_none() && name != "scratch" && !is_reference(&name) {
                let what = format!("no image can be called \"{}\"", excerpt(&name));
                return Err(error(
                    i,
                    i.arg_at(0),
                    what,
                    "name an image, or a stage above in lower case",
                ));
            }
            let Some(state) = self.states.get_mut(stage) else { continue };
            state.base_name = name;
            state.base = base;
            // Scratch is of the target's platform whatever is said.
            let own = platform.filter(|_| base.is_some() || state.base_name != "scratch");
            state.os = own.map_or_else(|| target.os.clone(), |p| p.os);
            if let Some(name) = i.args.get(2) {
                by_name.insert(lower(name), stage);
            }
        }
        Ok(())
    }

    fn from(&self, i: &Instruction) -> Result<Evaluated, ParseError> {
        let assumed = RefCell::default();
        let words = |word: &str, at: usize| {
            expand(word, self.file.escape, &|name| self.global.get(name, &assumed))
                .map_err(|e| expansion(i, at, &e))
        };
        let mut args = i.args.clone();
        if let Some(base) = args.first_mut() {
            let at = i.arg_at(0);
            let replaced = words(base, at)?;
            if replaced.is_empty() {
                let what =
                    format!("nothing is left of \"{}\" once variables are replaced", excerpt(base));
                return Err(error(
                    i,
                    at,
                    what,
                    "give the variable a value by --build-arg, or a default",
                ));
            }
            *base = replaced;
        }
        let mut flags = i.flags.clone();
        for (flag, at) in flags.iter_mut().zip(&i.flags_at) {
            if let Some(platform) = flag.strip_prefix("--platform=").filter(|p| !p.is_empty()) {
                let replaced = words(platform, *at)?;
                if Platform::parse(&replaced, &self.options.host).is_none() {
                    let what = format!("no platform: \"{}\"", excerpt(&replaced));
                    return Err(error(i, *at, what, "write it as linux/arm64"));
                }
                *flag = format!("--platform={replaced}");
            }
        }
        Ok(finish(flags, args, Vec::new(), assumed))
    }

    fn stage_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(&lower(name)).copied()
    }

    fn target(&self) -> Result<usize, ParseError> {
        let last = self.file.stages.len().checked_sub(1);
        let Some(last) = last else {
            return Err(ParseError::new(1, 1, "a file without FROM", "begin a stage with FROM IMAGE"));
        };
        match self.options.target.as_deref().filter(|name| !name.is_empty()) {
            None => Ok(last),
            Some(name) => self.stage_named(name).ok_or_else(|| {
                let line = self.file.stages.get(last).map_or(1, |s| s.lines.0);
                let what = format!("no stage is called \"{}\"", excerpt(name));
                ParseError::new(line, 1, what, "name one that FROM ... AS names")
            }),
        }
    }

    /// The stages that each needs.
    fn needs(&mut self) -> Result<(), ParseError> {
        for stage in 0..self.file.stages.len() {
            let mut needs = Vec::new();
            for i in self.file.stage(stage) {
                self.named_by(i, i, &mut needs)?;
            }
            if let Some(state) = self.states.get_mut(stage) {
                state.needs = needs;
            }
        }
        Ok(())
    }

    /// The target and what it needs, ONBUILD triggers included, which may need more.
    fn wanted(&mut self, target: usize) -> Result<BTreeSet<usize>, ParseError> {
        let mut wanted = BTreeSet::new();
        let mut open = vec![target];
        while let Some(stage) = open.pop() {
            if !wanted.insert(stage) {
                continue;
            }
            let triggers = self.triggers(stage)?;
            if let Some(from) = at_from(self.file, stage) {
                for trigger in &triggers {
                    self.named_by(trigger, from, &mut open)?;
                }
            }
            if let Some(state) = self.states.get_mut(stage) {
                open.extend(state.base);
                open.extend(&state.needs);
                state.triggers = triggers;
            }
        }
        Ok(wanted)
    }

    /// A stage, or nothing where an image is named.
    fn source(&self, name: &str, i: &Instruction, at: usize) -> Result<Option<usize>, ParseError> {
        let stage = self.stage_named(name);
        if stage.is_none() && name != "scratch" && !is_reference(name) {
            let what = format!("neither a stage nor an image can be called \"{}\"", excerpt(name));
            return Err(error(i, at, what, "name a stage, its number, or an image"));
        }
        Ok(stage)
    }

    /// No stage may take files from itself, by whatever way. (What it begins from stands above it.)
    fn no_circle(&self) -> Result<(), ParseError> {
        // Stages are settled once all that they need are; what is never settled is in a circle, or needs one.
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); self.states.len()];
        let mut open: Vec<usize> = Vec::new();
        let mut missing: Vec<usize> = Vec::new();
        for (stage, state) in self.states.iter().enumerate() {
            missing.push(state.needs.len());
            if state.needs.is_empty() {
                open.push(stage);
            }
            for need in &state.needs {
                needed_by.get_mut(*need).into_iter().for_each(|by| by.push(stage));
            }
        }
        while let Some(settled) = open.pop() {
            for by in needed_by.get_mut(settled).map(std::mem::take).unwrap_or_default() {
                if let Some(missing) = missing.get_mut(by) {
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        open.push(by);
                    }
                }
            }
        }
        let stuck = missing.iter().position(|missing| *missing > 0);
        match stuck.and_then(|stage| at_from(self.file, stage)) {
            None => Ok(()),
            Some(i) => Err(error(i, i.keyword_at, "a stage that needs itself", "break the circle")),
        }
    }

    /// The stages that one instruction names; errors are said at `place`.
    fn named_by(
        &self,
        i: &Instruction,
        place: &Instruction,
        needs: &mut Vec<usize>,
    ) -> Result<(), ParseError> {
        match (i.keyword.as_str(), i.flag("from")) {
            ("copy", Some(from)) if !from.is_empty() => {
                let at = if std::ptr::eq(i, place) { flag_at(i, "from") } else { place.keyword_at };
                if expand(from, self.file.escape, &|_| None).as_deref() != Ok(from) {
                    let what = "--from takes no variable, quote or escape";
                    return Err(error(
                        place,
                        at,
                        what,
                        "give the image a stage of its own, and name that",
                    ));
                }
                match from.parse::<usize>() {
                    Ok(index) if index < self.file.stages.len() => needs.push(index),
                    Ok(index) => {
                        let what = format!("there is no stage number {index}");
                        return Err(error(place, at, what, "count stages from 0"));
                    }
                    Err(_) => needs.extend(self.source(from, place, at)?),
                }
            }
            ("run", _) => {
                for mount in i.flags.iter().filter_map(|f| f.strip_prefix("--mount=")) {
                    let from = mounted_from(mount);
                    let from = from.as_deref().unwrap_or("scratch");
                    needs.extend(self.source(from, place, place.keyword_at)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The triggers of the stage that this one begins from, cut as BuildKit cuts them: by default rules.
    fn triggers(&mut self, stage: usize) -> Result<Vec<Instruction>, ParseError> {
        let Some(base) = self.states.get(stage).and_then(|s| s.base) else { return Ok(Vec::new()) };
        let from = at_from(self.file, stage);
        let mut triggers = Vec::new();
        for i in self.file.stage(base).iter().filter(|i| i.keyword == "onbuild") {
            let place = from.unwrap_or(i);
            let failed = |what: String| {
                let what = format!("the ONBUILD of line {}: {what}", i.lines.0);
                error(place, place.keyword_at, what, "mend the trigger")
            };
            triggers.push(cut_trigger(&i.onbuild_expression()).map_err(failed)?);
            self.triggers += 1;
            if self.triggers > TRIGGERS_MAX {
                return Err(failed(format!("there are more than {TRIGGERS_MAX} in all")));
            }
        }
        Ok(triggers)
    }

    fn dispatch(&mut self, stage: usize) -> Result<(), ParseError> {
        let (Some(range), Some(from)) =
            (self.file.stages.get(stage).map(|s| s.instructions), at_from(self.file, stage))
        else {
            return Ok(());
        };
        let evaluated = self.from(from)?;
        self.keep(range.0, from, evaluated)?;
        let mut state = self.states.get_mut(stage).map(std::mem::take).unwrap_or_default();
        self.begin(&mut state);
        self.spend(from, state.variables.bytes().saturating_add(state.image.bytes()))?;
        for trigger in std::mem::take(&mut state.triggers) {
            let failed = |e: ParseError| error(from, from.keyword_at, e.what, e.advice);
            self.defined_before(&trigger, stage).map_err(failed)?;
            self.step(&trigger, &mut state).map_err(failed)?;
        }
        for at in range.0 + 1..range.0 + range.1 {
            let Some(i) = self.file.instructions.get(at) else { break };
            self.defined_before(i, stage)?;
            let evaluated = self.step(i, &mut state)?;
            self.keep(at, i, evaluated)?;
        }
        state.dispatched = true;
        if let Some(place) = self.states.get_mut(stage) {
            *place = state;
        }
        Ok(())
    }

    /// A stage may take files only from those that stand above it.
    fn defined_before(&self, i: &Instruction, stage: usize) -> Result<(), ParseError> {
        let mut needs = Vec::new();
        self.named_by(i, i, &mut needs)?;
        let later =
            |need: &usize| *need >= stage || !self.states.get(*need).is_some_and(|s| s.dispatched);
        if needs.iter().any(later) {
            let what = format!("{} takes from a stage that isn't above it", i.keyword.to_uppercase());
            return Err(error(i, i.flags_at.first().copied().unwrap_or(0), what, "move that stage up"));
        }
        Ok(())
    }

    fn step(&self, i: &Instruction, state: &mut State) -> Result<Evaluated, ParseError> {
        let State { variables, image, .. } = state;
        self.stepper().step(i, variables, image, &self.global)
    }

    fn stepper(&self) -> Stepper<'_> {
        Stepper { escape: self.file.escape, build_args: &self.options.build_args }
    }

    fn begin(&self, state: &mut State) {
        match state.base.and_then(|base| self.states.get(base)) {
            Some(base) => {
                state.variables = base.variables.clone();
                state.image = base.image.clone();
            }
            None => {
                state.variables.open = state.base_name != "scratch";
                state.image.open = state.variables.open;
            }
        }
        if !state.image.has("PATH") && state.os != "windows" {
            let assumed = if state.image.open { ["PATH".to_owned()].into() } else { Assumed::default() };
            state.image.set("PATH", DEFAULT_PATH.to_owned(), assumed);
        }
        state.variables.extend(&state.image);
    }
}

fn flag_at(i: &Instruction, name: &str) -> usize {
    let named = |flag: &String| {
        flag.strip_prefix("--").and_then(|f| f.strip_prefix(name)).is_some_and(|f| f.starts_with('='))
    };
    let index = i.flags.iter().position(named);
    index.and_then(|index| i.flags_at.get(index)).copied().unwrap_or(0)
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
