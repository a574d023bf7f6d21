//! The image's history against the recorded instructions.
//!
//! Both are walked with variables replaced and turned into plain keys ([`shape`]); what has no partner is missing, extra or
//! changed. A history keeps less than a Dockerfile (no sources with the classic builder, no flags of COPY), so a key holds
//! what both sides tell.

mod given;
mod shape;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::Origin;
use blubr_dockerfile::{Dockerfile, Instruction, chain};
use blubr_image::Config;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::cli::Subject::History as Subject;
use crate::compare::{Difference, Found, base};
use crate::reverse::{Entry, Reversed, parse_one};
use crate::severity::Severity::{Alert, Warning};
use shape::{Shape, Start, shapes};

/// Lines without a layer behind the base image's last layer that may still be the base image's: each is tried.
const BASE_TAIL_LINES_MAX: usize = 64;

/// What laying the history against the stages may cost: the squares of the lines that each time are laid against each other, and
/// the bytes that are looked at; some seconds.
const FITTING_MAX: u64 = 1 << 33;

/// An instruction of the record, and where it stands.
#[derive(Debug, Clone)]
pub struct Recorded {
    instruction: Instruction,
    lines: Option<[u32; 2]>,
    step: Option<String>,
}

/// The recorded side.
#[derive(Debug)]
pub struct History {
    file: Dockerfile,
    recorded: Vec<Recorded>,
}

impl History {
    /// From the Dockerfile itself, or from the instructions that the record repeats.
    ///
    /// # Errors
    /// Why these can't be read as a Dockerfile, for people.
    pub fn new(build: &BlubrBuild, file: Option<&[u8]>) -> Result<Self, String> {
        if let Some(bytes) = file {
            let file = Dockerfile::parse_any(bytes).map_err(|e| e.to_string())?;
            let mut steps = HashMap::new();
            for step in &build.steps {
                if let Some(lines) = step.lines {
                    steps.entry(lines[0] as usize).or_insert(&step.id);
                }
            }
            let recorded = file.instructions.iter().map(|i| Recorded {
                instruction: i.clone(),
                lines: u32::try_from(i.lines.0)
                    .ok()
                    .zip(u32::try_from(i.lines.1).ok())
                    .map(|(a, b)| [a, b]),
                step: steps.get(&i.lines.0).map(|id| (*id).clone()),
            });
            return Ok(Self { recorded: recorded.collect(), file });
        }
        // In the record's order, which is the Dockerfile's, a base image's ONBUILDs behind their FROM.
        let steps: Vec<_> = build.steps.iter().filter(|s| s.origin != Origin::Inherited).collect();
        if steps.is_empty() {
            return Err(
                "the record repeats no instructions; give the Dockerfile by --dockerfile".to_owned()
            );
        }
        let mut last = None;
        for escape in ["", "# escape=`\n"] {
            let mut text = escape.to_owned();
            let begins = steps.iter().any(|s| s.instruction.eq_ignore_ascii_case("from"));
            if !begins {
                text.push_str("FROM scratch\n");
            }
            steps.iter().for_each(|s| text.extend([s.text.as_str(), "\n"]));
            match Dockerfile::parse_any(text.as_bytes()) {
                Ok(file) if file.instructions.len() == steps.len() + usize::from(!begins) => {
                    let skip = usize::from(!begins);
                    let pairs = file.instructions.iter().skip(skip).zip(&steps);
                    let recorded = pairs.map(|(i, s)| Recorded {
                        instruction: i.clone(),
                        lines: s.lines,
                        step: Some(s.id.clone()),
                    });
                    return Ok(Self { recorded: recorded.collect(), file });
                }
                Ok(_) => last = Some("they don't read back as they were recorded".to_owned()),
                Err(e) => last = Some(e.to_string()),
            }
        }
        let why = last.unwrap_or_default();
        Err(format!(
            "the recorded instructions can't be read again ({why}); give the Dockerfile by --dockerfile"
        ))
    }
}

/// The instructions of the stages, without FROM.
struct Chains<'a> {
    of_stage: Vec<Vec<&'a Recorded>>,
    bases: Vec<Option<usize>>,
    /// How many instructions make the image of each stage, ONBUILDs left out.
    lengths: Vec<usize>,
}

impl<'a> Chains<'a> {
    fn new(history: &'a History) -> Self {
        let bases = history.file.bases();
        let mut of_stage = vec![Vec::new(); bases.len()];
        for recorded in history.recorded.iter().filter(|r| r.instruction.keyword != "from") {
            if let Some(own) = recorded.instruction.stage.and_then(|stage| of_stage.get_mut(stage)) {
                own.push(recorded);
            }
        }
        let mut lengths: Vec<usize> = Vec::new();
        for (own, base) in of_stage.iter().zip(&bases) {
            let own = own.iter().filter(|r| r.instruction.keyword != "onbuild").count();
            lengths.push(own + base.and_then(|base| lengths.get(base).copied()).unwrap_or(0));
        }
        Self { of_stage, bases, lengths }
    }

    fn count(&self) -> usize {
        self.of_stage.len()
    }

    fn is_empty(&self) -> bool {
        self.of_stage.is_empty()
    }

    fn len(&self, stage: usize) -> usize {
        self.lengths.get(stage).copied().unwrap_or(0)
    }

    /// The instructions that make the image of one stage: those of the stages that it begins from, then its own.
    fn all(&self, stage: usize) -> impl Iterator<Item = &'a Recorded> {
        let own = |stage: usize| self.of_stage.get(stage).into_iter().flatten().copied();
        chain(&self.bases, stage).into_iter().flat_map(own)
    }

    /// The same without ONBUILDs.
    fn of(&self, stage: usize) -> Vec<&'a Recorded> {
        self.all(stage).filter(|r| r.instruction.keyword != "onbuild").collect()
    }
}

/// A line of the image's side.
struct Told {
    instruction: Instruction,
    history: usize,
}

/// How one stage and one length of the base's history fit.
struct Fit<'a> {
    stage: usize,
    /// How many history lines are taken for the base image's.
    end: usize,
    told: Vec<(&'a Told, Shape)>,
    recorded: Vec<(&'a Recorded, Shape)>,
    ops: Vec<DiffOp>,
    /// ARGs that the history does not name: they may be recorded ones that no line names.
    nameless: usize,
}

/// Compares them.
pub fn compare(
    build: &BlubrBuild,
    history: &History,
    config: &Config,
    reversed: &Reversed,
    found: &mut Found,
) {
    if config.history.is_empty() {
        let difference = Difference::new(
            Subject,
            Warning,
            "the image has no history to compare the instructions with",
        );
        return found.add(difference);
    }
    let told: Vec<Told> = reversed
        .entries
        .iter()
        .filter_map(|e| {
            Some(Told { instruction: parse_one(e.source.as_deref()?)?, history: e.history? })
        })
        .filter(|t| t.instruction.keyword != "onbuild")
        .collect();
    unreadable(build, reversed, found);
    let fit = match fit_best(build, history, reversed, &told) {
        Ok(fit) => fit,
        Err(why) => {
            let what = format!("the image's history can't be compared with the instructions: {why}");
            return found.add(Difference::new(Subject, Warning, what));
        }
    };
    if fit.stage + 1 != history.file.stages.len() {
        let name = history
            .file
            .stages
            .get(fit.stage)
            .and_then(|s| s.name.clone())
            .unwrap_or_else(|| fit.stage.to_string());
        found.add(Difference::new(
            Subject,
            Warning,
            format!("the image is of stage {name}, not of the last one"),
        ));
    }
    if fit.end > 0 {
        let without = fit.end - inherited_lines(build, reversed);
        let why = match without {
            0 => "by their layers".to_owned(),
            n => format!("the last {n} of them made no layer: nothing but their place says so"),
        };
        found.notes.push(format!("history lines 1-{} are taken for the base image's, {why}", fit.end));
    }
    report(&fit, config, found);
    onbuild(history, fit.stage, config, found);
}

/// How many history lines belong to the base image's layers.
fn inherited_lines(build: &BlubrBuild, reversed: &Reversed) -> usize {
    let layer = |e: &'_ Entry| Some((e.history?, e.layer.as_ref()?.as_str().to_owned()));
    let (lines, layers): (Vec<usize>, Vec<String>) = reversed.entries.iter().filter_map(layer).unzip();
    lines[..base::count(build, &layers)].iter().max().map_or(0, |at| at + 1)
}

/// A line behind the base image that is no instruction.
fn unreadable(build: &BlubrBuild, reversed: &Reversed, found: &mut Found) {
    let base = inherited_lines(build, reversed);
    let unread = |e: &&Entry| e.source.is_none() && !e.nameless_arg;
    for entry in reversed.entries.iter().filter(unread).filter(|e| e.history.is_some_and(|h| h >= base))
    {
        let at = entry.history.unwrap_or(0) + 1;
        let what = format!("history line {at} is no instruction");
        found.add(Difference::new(Subject, Alert, what).detail(entry.unknown.clone()));
    }
}

/// The stage, and the length of the base's history, that fit best; `Err` with why nothing can be said.
fn fit_best<'a>(
    build: &BlubrBuild,
    history: &'a History,
    reversed: &Reversed,
    told: &'a [Told],
) -> Result<Fit<'a>, &'static str> {
    let base = inherited_lines(build, reversed);
    let layers: BTreeSet<usize> =
        reversed.entries.iter().filter(|e| e.layer.is_some()).filter_map(|e| e.history).collect();
    let lines = reversed.entries.iter().filter_map(|e| e.history).max().map_or(0, |h| h + 1);
    let ends = (base..=lines).take(BASE_TAIL_LINES_MAX + 1);
    let ends: Vec<usize> = ends.take_while(|at| *at == base || !layers.contains(&(at - 1))).collect();
    let fitting = Fitting::new(build, history, reversed, told);
    if fitting.chains.is_empty() {
        return Err("the Dockerfile has no stage");
    }
    // Where each would be too much, those lines that hold no layer are taken for the image's own.
    let best = fitting.best(&ends).or_else(|| fitting.best(&[base]));
    best.ok_or("its lines and the Dockerfile's stages are too many to be laid against each other")
}

/// What is laid against each other.
struct Fitting<'a> {
    told: &'a [Told],
    /// For each stage the instructions that make its image.
    chains: Chains<'a>,
    global: Vec<&'a Instruction>,
    /// Values of build arguments.
    given: Vec<(String, String)>,
    /// The lines of ARGs that the history does not name.
    nameless: Vec<usize>,
}

impl<'a> Fitting<'a> {
    fn new(build: &BlubrBuild, history: &'a History, reversed: &Reversed, told: &'a [Told]) -> Self {
        // The classic builder tells of none that ENV has too. What a line says of itself comes last, and counts.
        let mut given = given::by_command(&build.build.argv);
        given.extend(reversed.entries.iter().flat_map(|entry| entry.build_args.iter().cloned()));
        let nameless = reversed.entries.iter().filter(|entry| entry.nameless_arg);
        let global = history.recorded.iter().map(|r| &r.instruction).filter(|i| i.stage.is_none());
        Self {
            told,
            chains: Chains::new(history),
            global: global.collect(),
            given,
            nameless: nameless.filter_map(|entry| entry.history).collect(),
        }
    }

    /// Of all stages and these lengths; `None` where that is too much work.
    fn best(&self, ends: &[usize]) -> Option<Fit<'a>> {
        let lines = |stage| (self.chains.len(stage) + self.told.len() + 1) as u64;
        let squares = (0..self.chains.count()).map(|stage| lines(stage).saturating_mul(lines(stage)));
        let one = squares.fold(0, u64::saturating_add);
        let mut work = one.saturating_mul(ends.len() as u64);
        let mut best: Option<(Fit<'a>, _)> = None;
        for &end in ends {
            let (before, after): (Vec<&Told>, Vec<&Told>) =
                self.told.iter().partition(|t| t.history < end);
            let before: Vec<&Instruction> = before.iter().map(|t| &t.instruction).collect();
            let nameless = self.nameless.iter().filter(|at| **at >= end).count();
            let start = Start::after(&before);
            let sums = after.iter().any(|t| shape::has_sum(&t.instruction));
            let mine: Vec<&Instruction> = after.iter().map(|t| &t.instruction).collect();
            let (told_shapes, bytes) = shapes(&mine, &start, &[], &self.given, sums);
            work = work.saturating_add(bytes);
            let told_keys: Vec<&str> = told_shapes.iter().map(|s| s.key.as_str()).collect();
            for stage in 0..self.chains.count() {
                if work > FITTING_MAX {
                    return None;
                }
                let kept = self.chains.of(stage);
                let theirs: Vec<&Instruction> = kept.iter().map(|r| &r.instruction).collect();
                let (shapes, bytes) = shapes(&theirs, &start, &self.global, &self.given, sums);
                work = work.saturating_add(bytes);
                let keys: Vec<&str> = shapes.iter().map(|s| s.key.as_str()).collect();
                let ops = capture_diff_slices(Algorithm::Myers, &keys, &told_keys);
                let equal =
                    ops.iter().map(|op| if let DiffOp::Equal { len, .. } = op { *len } else { 0 });
                let unmatched = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
                let unnamed = unmatched.flat_map(|op| theirs.get(op.old_range()).unwrap_or_default());
                let unnamed = unnamed.filter(|i| i.keyword == "arg").count();
                let matched = equal.sum::<usize>() + nameless.min(unnamed);
                let rank = (matched, Reverse(after.len() + kept.len() + nameless), stage, end);
                if best.as_ref().is_none_or(|(_, known)| *known < rank) {
                    let told = after.iter().copied().zip(told_shapes.iter().cloned()).collect();
                    let recorded = kept.into_iter().zip(shapes).collect();
                    best = Some((Fit { stage, end, told, recorded, ops, nameless }, rank));
                }
            }
        }
        best.map(|(fit, _)| fit)
    }
}

fn report(fit: &Fit<'_>, config: &Config, found: &mut Found) {
    let mut nameless = fit.nameless;
    for op in &fit.ops {
        let (old, new) = (op.old_range(), op.new_range());
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let mut recorded: Vec<_> = fit.recorded.iter().skip(old.start).take(old.len()).collect();
        for (told, told_shape) in fit.told.iter().skip(new.start).take(new.len()) {
            let partner =
                recorded.iter().position(|(r, _)| r.instruction.keyword == told.instruction.keyword);
            let line = config.history.get(told.history).map(|h| h.created_by.trim().to_owned());
            match partner.map(|at| recorded.remove(at)) {
                Some((r, shape)) if shape.redacted_fits(told_shape) => {
                    let what = "what was taken out of the record as a secret";
                    found.not_compared.push(format!("{}: {what}", place(r)));
                }
                Some((r, shape)) => {
                    let what = format!(
                        "{} is not what the image's history says (line {})",
                        place(r),
                        told.history + 1
                    );
                    let difference = Difference::new(Subject, Alert, what);
                    let detail = vec![format!("- {}", shape.text), format!("+ {}", told_shape.text)];
                    found.add(at(difference, r).values(r.instruction.text.clone(), line).detail(detail));
                }
                None => {
                    let what =
                        format!("history line {} has no instruction in the record", told.history + 1);
                    let severity = if told.instruction.keyword == "arg" { Warning } else { Alert };
                    let detail = vec![format!("+ {}", told_shape.text)];
                    found
                        .add(Difference::new(Subject, severity, what).values(None, line).detail(detail));
                }
            }
        }
        for (r, _) in recorded {
            if r.instruction.keyword == "arg" && nameless > 0 {
                nameless -= 1;
                continue;
            }
            let what = format!("{} has no line in the image's history", place(r));
            let severity = if r.instruction.keyword == "arg" { Warning } else { Alert };
            let first = r.instruction.text.lines().next().unwrap_or("").to_owned();
            let difference = Difference::new(Subject, severity, what).detail(vec![format!("- {first}")]);
            found.add(at(difference, r).values(r.instruction.text.clone(), None));
        }
    }
    if nameless > 0 {
        let what =
            format!("the history has {nameless} more ARG than the record, which it does not name");
        found.add(Difference::new(Subject, Warning, what));
    }
}

fn place(recorded: &Recorded) -> String {
    let keyword = recorded.instruction.keyword.to_uppercase();
    match recorded.lines {
        Some([first, last]) if first == last => format!("line {first}: {keyword}"),
        Some([first, last]) => format!("lines {first}-{last}: {keyword}"),
        None => keyword,
    }
}

fn at(mut difference: Difference, recorded: &Recorded) -> Difference {
    difference.lines = recorded.lines;
    difference.step.clone_from(&recorded.step);
    difference
}

/// BuildKit keeps ONBUILD in the config only, so both sides are compared there.
fn onbuild(history: &History, stage: usize, config: &Config, found: &mut Found) {
    let triggers: Vec<(&Recorded, String)> = Chains::new(history)
        .all(stage)
        .filter(|r| r.instruction.keyword == "onbuild")
        .map(|r| {
            (
                r,
                r.instruction
                    .line
                    .trim()
                    .split_once(char::is_whitespace)
                    .map_or("", |(_, t)| t)
                    .trim()
                    .to_owned(),
            )
        })
        .collect();
    let oci = config.config.on_build.is_empty() && !triggers.is_empty();
    if oci {
        return found
            .not_compared
            .push("ONBUILD: the image's config has none, as OCI images can't keep any".to_owned());
    }
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (r, text) in &triggers {
        if !config.config.on_build.iter().any(|t| squeeze(t) == squeeze(text)) {
            found.add(at(
                Difference::new(Subject, Alert, format!("{} is not in the image", place(r))),
                r,
            ));
        }
    }
    for trigger in &config.config.on_build {
        if !triggers.iter().any(|(_, t)| squeeze(t) == squeeze(trigger)) {
            let difference =
                Difference::new(Subject, Alert, "the image has an ONBUILD that the record hasn't");
            found.add(difference.values(None, trigger.clone()));
        }
    }
}
