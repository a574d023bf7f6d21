//! The image's history against the recorded instructions.
//!
//! Both are walked with variables replaced and turned into plain keys ([`shape`]); what has no partner is missing, extra or
//! changed. A history keeps less than a Dockerfile (no sources with the classic builder, no flags of COPY), so a key holds
//! what both sides tell.

mod given;
mod shape;

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::Origin;
use blubr_dockerfile::{Dockerfile, Instruction};
use blubr_image::Config;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::cli::Subject::History as Subject;
use crate::compare::{Difference, Found};
use crate::reverse::{Reversed, parse_one};
use crate::severity::Severity::{Alert, Warning};
use shape::{Shape, Start, shapes};

/// Lines without a layer behind the base image's last layer that may still be the base image's: each is tried.
const BASE_TAIL_LINES_MAX: usize = 64;

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
            let step_at = |line: usize| {
                build.steps.iter().find(|s| s.lines.is_some_and(|l| l[0] as usize == line))
            };
            let recorded = file.instructions.iter().map(|i| Recorded {
                instruction: i.clone(),
                lines: u32::try_from(i.lines.0)
                    .ok()
                    .zip(u32::try_from(i.lines.1).ok())
                    .map(|(a, b)| [a, b]),
                step: step_at(i.lines.0).map(|s| s.id.clone()),
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

    /// The instructions that make the image of one stage: those of the stages that it begins from, then its own.
    fn chain(&self, stage: usize) -> Vec<&Recorded> {
        let mut stages = vec![stage];
        while let Some(base) = stages.last().and_then(|s| self.file.stages.get(*s)) {
            match self.file.stage_named(&base.base, *stages.last().unwrap_or(&0)) {
                Some(earlier) => stages.push(earlier),
                None => break,
            }
        }
        let of = |stage: usize| {
            self.recorded
                .iter()
                .filter(move |r| r.instruction.stage == Some(stage) && r.instruction.keyword != "from")
        };
        stages.into_iter().rev().flat_map(of).collect()
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
    matched: usize,
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
    let fits = fit_all(build, history, reversed, &told);
    let Some(fit) = fits
        .into_iter()
        .max_by_key(|f| (f.matched, std::cmp::Reverse(f.told.len() + f.recorded.len()), f.stage))
    else {
        return found.not_compared.push("the history: the Dockerfile has no stage".to_owned());
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

/// How many history lines belong to layers that were there before the build.
fn inherited_lines(build: &BlubrBuild, reversed: &Reversed) -> usize {
    let last = reversed
        .entries
        .iter()
        .filter(|e| e.layer.as_ref().is_some_and(|l| build.inherited.iter().any(|i| i == l.as_str())));
    last.filter_map(|e| e.history).max().map_or(0, |at| at + 1)
}

/// A line behind the base image that is no instruction.
fn unreadable(build: &BlubrBuild, reversed: &Reversed, found: &mut Found) {
    let base = inherited_lines(build, reversed);
    for entry in
        reversed.entries.iter().filter(|e| e.source.is_none() && e.history.is_some_and(|h| h >= base))
    {
        let at = entry.history.unwrap_or(0) + 1;
        let what = format!("history line {at} is no instruction");
        found.add(Difference::new(Subject, Alert, what).detail(entry.unknown.clone()));
    }
}

fn fit_all<'a>(
    build: &BlubrBuild,
    history: &'a History,
    reversed: &Reversed,
    told: &'a [Told],
) -> Vec<Fit<'a>> {
    let base = inherited_lines(build, reversed);
    let with_layer =
        |at: usize| reversed.entries.iter().any(|e| e.history == Some(at) && e.layer.is_some());
    let lines = reversed.entries.iter().filter_map(|e| e.history).max().map_or(0, |h| h + 1);
    let mut ends = vec![base];
    while let Some(&at) = ends.last() {
        if at >= lines || with_layer(at) || ends.len() > BASE_TAIL_LINES_MAX {
            break;
        }
        ends.push(at + 1);
    }
    // The classic builder tells of none that ENV has too. What a line says of itself comes last, and counts.
    let mut given = given::by_command(&build.build.argv);
    for entry in &reversed.entries {
        given.extend(entry.build_args.iter().cloned());
    }
    let global: Vec<&Instruction> =
        history.recorded.iter().map(|r| &r.instruction).filter(|i| i.stage.is_none()).collect();
    let mut fits = Vec::new();
    for stage in 0..history.file.stages.len() {
        let chain = history.chain(stage);
        for end in &ends {
            let before: Vec<&Instruction> =
                told.iter().filter(|t| t.history < *end).map(|t| &t.instruction).collect();
            let after: Vec<&Told> = told.iter().filter(|t| t.history >= *end).collect();
            let start = Start::after(&before);
            let sums = after.iter().any(|t| shape::has_sum(&t.instruction));
            let mine: Vec<&Instruction> = after.iter().map(|t| &t.instruction).collect();
            let told_shapes = shapes(&mine, &start, &[], &given, sums);
            let theirs: Vec<&Instruction> =
                chain.iter().map(|r| &r.instruction).filter(|i| i.keyword != "onbuild").collect();
            let kept: Vec<&Recorded> =
                chain.iter().copied().filter(|r| r.instruction.keyword != "onbuild").collect();
            let recorded_shapes = shapes(&theirs, &start, &global, &given, sums);
            let keys = |shapes: &[Shape]| shapes.iter().map(|s| s.key.clone()).collect::<Vec<_>>();
            let ops =
                capture_diff_slices(Algorithm::Myers, &keys(&recorded_shapes), &keys(&told_shapes));
            let matched =
                ops.iter().map(|op| if let DiffOp::Equal { len, .. } = op { *len } else { 0 }).sum();
            fits.push(Fit {
                stage,
                end: *end,
                told: after.into_iter().zip(told_shapes).collect(),
                recorded: kept.into_iter().zip(recorded_shapes).collect(),
                ops,
                matched,
            });
        }
    }
    fits
}

fn report(fit: &Fit<'_>, config: &Config, found: &mut Found) {
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
            let what = format!("{} has no line in the image's history", place(r));
            let severity = if r.instruction.keyword == "arg" { Warning } else { Alert };
            let first = r.instruction.text.lines().next().unwrap_or("").to_owned();
            let difference = Difference::new(Subject, severity, what).detail(vec![format!("- {first}")]);
            found.add(at(difference, r).values(r.instruction.text.clone(), None));
        }
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
    let chain = history.chain(stage);
    let triggers: Vec<(&Recorded, String)> = chain
        .iter()
        .filter(|r| r.instruction.keyword == "onbuild")
        .map(|r| {
            (
                *r,
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
