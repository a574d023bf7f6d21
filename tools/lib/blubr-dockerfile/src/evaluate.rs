//! What `docker build` makes of a file: which stages a target needs, and each of their instructions with its variables
//! replaced (BuildKit's `dockerfile2llb`).
//!
//! Base images aren't looked at. What one may set is taken as not set, PATH as BuildKit's default, the builder's platform as
//! the host's; where a value rests on that, [`Evaluated::assumed`] has the names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ParseError, excerpt};
use crate::expand::{ExpandError, expand, expand_body, expand_words};
use crate::flags::fields;
use crate::gotext::lower;
use crate::heredoc::heredoc_of;
use crate::instruction::Instruction;
use crate::limits::TRIGGERS_MAX;
use crate::mount::check_mount;
use crate::parser::Dockerfile;
use crate::platform::Platform;
use crate::ports::{is_port, is_signal};
use crate::reference::is_reference;
use crate::triggers::cut_trigger;
use crate::variables::{Assumed, Variables};

/// `system.DefaultPathEnvUnix`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments that a stage sees and its commands don't.
const NO_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Bytes that all replaced words of a file may have together, and the variables that its stages hand on.
const EVALUATED_BYTES_MAX: usize = 64 * 1024 * 1024;
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

/// An instruction with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluated {
    /// As [`Instruction::flags`].
    pub flags: Vec<String>,
    /// As [`Instruction::args`]; of an ARG `name=value`, or the name alone where it stays unset.
    pub args: Vec<String>,
    /// The contents of the files that COPY and ADD make of heredocs, in the order of the words.
    pub heredocs: Vec<String>,
    /// Names of variables whose values rest on what the file doesn't say, sorted.
    pub assumed: Vec<String>,
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

/// An error at a byte of an instruction's joined line.
fn error(i: &Instruction, at: usize, what: impl Into<String>, advice: &'static str) -> ParseError {
    let (line, column) = i.place(at);
    ParseError::new(line, column, what, advice)
}

fn expansion(i: &Instruction, at: usize, e: &ExpandError) -> ParseError {
    let what: String = e.to_string().escape_debug().to_string().replace("\\'", "'");
    error(i, at, what, "mend the variable, or give it by --build-arg")
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
            let evaluated = self.arg(i, &mut variables, None);
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
                    let fields = fields(mount).unwrap_or_default();
                    let from = fields.iter().rev().find_map(|field| {
                        let (key, from) = field.split_once('=')?;
                        key.eq_ignore_ascii_case("from").then_some(from)
                    });
                    let from = from.filter(|from| !from.is_empty()).unwrap_or("scratch");
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
            state.image.set("PATH", PATH.to_owned(), assumed);
        }
        state.variables.extend(&state.image);
    }

    /// One ARG. `global`: the values that an ARG without one takes over.
    fn arg(
        &self,
        i: &Instruction,
        variables: &mut Variables,
        global: Option<&Variables>,
    ) -> Result<Evaluated, ParseError> {
        let all: RefCell<Assumed> = RefCell::default();
        let mut args = Vec::new();
        for (index, word) in i.args.iter().enumerate() {
            let assumed = RefCell::default();
            let (name, default) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let value = match (self.options.build_args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let replaced = expand(default, self.file.escape, &|n| variables.get(n, &assumed));
                    Some(replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?)
                }
                (None, None) => global.and_then(|global| global.get(name, &assumed)),
            };
            args.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => word.clone(),
            });
            let assumed = assumed.into_inner();
            all.borrow_mut().extend(assumed.iter().cloned());
            if let Some(value) = value.filter(|_| !NO_ENV.contains(&name)) {
                variables.set(name, value, assumed);
            }
        }
        Ok(finish(i.flags.clone(), args, Vec::new(), all))
    }

    /// One instruction, and what it does to the variables.
    fn step(&self, i: &Instruction, state: &mut State) -> Result<Evaluated, ParseError> {
        match i.keyword.as_str() {
            "arg" => self.arg(i, &mut state.variables, Some(&self.global)),
            "env" => self.env(i, state),
            _ => self.replace(i, &state.variables),
        }
    }

    fn env(&self, i: &Instruction, state: &mut State) -> Result<Evaluated, ParseError> {
        let all: RefCell<Assumed> = RefCell::default();
        let mut args = Vec::new();
        let mut set = Vec::new();
        for (index, pair) in i.args.chunks_exact(2).enumerate() {
            let [name, value] = pair else { continue };
            let assumed = RefCell::default();
            let word = |word: &str, at: usize| {
                expand(word, self.file.escape, &|n| state.variables.get(n, &assumed))
                    .map_err(|e| expansion(i, i.arg_at(at), &e))
            };
            let name = word(name, index * 2)?;
            let value = word(value, index * 2 + 1)?;
            args.extend([name.clone(), value.clone()]);
            let assumed = assumed.into_inner();
            all.borrow_mut().extend(assumed.iter().cloned());
            set.push((name, value, assumed));
        }
        for (name, value, assumed) in set {
            state.variables.set(&name, value.clone(), assumed.clone());
            state.image.set(&name, value, assumed);
        }
        Ok(finish(i.flags.clone(), args, Vec::new(), all))
    }

    fn replace(&self, i: &Instruction, variables: &Variables) -> Result<Evaluated, ParseError> {
        let assumed = RefCell::default();
        let lookup = |name: &str| variables.get(name, &assumed);
        let escape = self.file.escape;
        let mut args = i.args.clone();
        let mut flags = i.flags.clone();
        let mut heredocs = Vec::new();
        match i.keyword.as_str() {
            "label" | "workdir" | "user" | "volume" | "stopsignal" => {
                for (index, word) in args.iter_mut().enumerate() {
                    let text = if i.keyword == "volume" { word.trim() } else { word.as_str() };
                    let replaced = expand(text, escape, &lookup);
                    *word = replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?;
                }
            }
            "expose" => {
                args.clear();
                for (index, word) in i.args.iter().enumerate() {
                    let words = expand_words(word, escape, &lookup);
                    args.extend(words.map_err(|e| expansion(i, i.arg_at(index), &e))?);
                }
            }
            "copy" | "add" => {
                for (index, word) in args.iter_mut().enumerate() {
                    if matches!(heredoc_of(word), Ok(Some(_))) {
                        continue;
                    }
                    let replaced = expand(word, escape, &lookup);
                    *word = replaced.map_err(|e| expansion(i, i.arg_at(index), &e))?;
                }
                heredocs = contents(i, &lookup)?;
            }
            _ => {}
        }
        for (flag, at) in flags.iter_mut().zip(&i.flags_at) {
            if let Some(replaced) = replaced_flag(&i.keyword, flag, escape, &lookup) {
                *flag = replaced.map_err(|e| match e {
                    FlagError::Expansion(e) => expansion(i, *at, &e),
                    FlagError::Mount(what) => {
                        error(i, *at, what, "write it as the reference of RUN --mount does")
                    }
                })?;
            }
        }
        refuse(i, &args)?;
        Ok(finish(flags, args, heredocs, assumed))
    }
}

fn finish(
    flags: Vec<String>,
    args: Vec<String>,
    heredocs: Vec<String>,
    assumed: RefCell<Assumed>,
) -> Evaluated {
    Evaluated { flags, args, heredocs, assumed: assumed.into_inner().into_iter().collect() }
}

fn flag_at(i: &Instruction, name: &str) -> usize {
    let named = |flag: &String| {
        flag.strip_prefix("--").and_then(|f| f.strip_prefix(name)).is_some_and(|f| f.starts_with('='))
    };
    let index = i.flags.iter().position(named);
    index.and_then(|index| i.flags_at.get(index)).copied().unwrap_or(0)
}

/// The files that COPY and ADD make of heredocs: the last of a name counts for all words that name it.
fn contents(
    i: &Instruction,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ParseError> {
    let mut contents = Vec::new();
    let sources = i.args.iter().take(i.args.len().saturating_sub(1)).enumerate();
    for (index, word) in sources {
        let Ok(Some(named)) = heredoc_of(word) else { continue };
        let body = i.heredocs.iter().rev().find(|h| h.name == named.name).map(|h| h.body.clone());
        let content = crate::Heredoc { body: body.unwrap_or_default(), ..named };
        let text = content.content();
        contents.push(if content.expand {
            expand_body(&text, lookup).map_err(|e| expansion(i, i.arg_at(index), &e))?
        } else {
            text
        });
    }
    Ok(contents)
}

enum FlagError {
    Expansion(ExpandError),
    Mount(String),
}

/// A flag in which variables are replaced; nothing for the others.
fn replaced_flag(
    keyword: &str,
    flag: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Option<Result<String, FlagError>> {
    let (name, value) = flag.split_once('=')?;
    let one = || match expand(value, escape, lookup) {
        Ok(value) => Ok(format!("{name}={value}")),
        Err(e) => Err(FlagError::Expansion(e)),
    };
    match (keyword, name) {
        ("copy" | "add", "--chown" | "--chmod") | ("add", "--checksum") => Some(one()),
        ("run", "--mount") => Some(replaced_mount(value, escape, lookup)),
        _ => None,
    }
}

fn replaced_mount(
    value: &str,
    escape: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, FlagError> {
    let mut replaced = Vec::new();
    for field in fields(value).unwrap_or_default() {
        replaced.push(match field.split_once('=') {
            Some((key, value)) => {
                let value = expand(value, escape, lookup).map_err(FlagError::Expansion)?;
                format!("{key}={value}")
            }
            None => field,
        });
    }
    check_mount(&replaced).map_err(FlagError::Mount)?;
    let quoted = replaced.iter().map(|field| {
        if field.contains([',', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.clone()
        }
    });
    Ok(format!("--mount={}", quoted.collect::<Vec<_>>().join(",")))
}

/// What is refused once the words are known.
fn refuse(i: &Instruction, args: &[String]) -> Result<(), ParseError> {
    let advice;
    let wrong = match i.keyword.as_str() {
        "volume" => {
            advice = "give the variable a value by --build-arg, or a default";
            args.iter().find(|word| word.is_empty())
        }
        "stopsignal" => {
            advice = "take a number or a name, as SIGTERM";
            args.iter().find(|word| !is_signal(word))
        }
        "expose" => {
            advice = "write it as 80, 8000-8010 or 53/udp";
            args.iter().find(|word| !is_port(word))
        }
        "copy" => {
            advice = "take ADD";
            let sources = args.get(..args.len().saturating_sub(1)).unwrap_or(&[]);
            sources.iter().find(|word| word.starts_with("http://") || word.starts_with("https://"))
        }
        _ => return Ok(()),
    };
    match wrong {
        None => Ok(()),
        Some(word) => {
            let what = format!("{} can't take \"{}\"", i.keyword.to_uppercase(), excerpt(word));
            Err(error(i, i.rest_at, what, advice))
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
