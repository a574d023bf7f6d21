//! The image's history against the recorded instructions.
//!
//! Both are walked with variables replaced and turned into plain keys ([`shape`]); what has no partner is missing, extra or
//! changed. A history keeps less than a Dockerfile (no sources with the classic builder, no flags of COPY), so a key holds
//! what both sides tell.

pub mod asked;
mod chains;
mod fit;
mod shape;

use std::collections::HashMap;

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::Origin;
use blubr_dockerfile::{Dockerfile, Instruction};
use blubr_image::Config;
use similar::DiffOp;

use crate::cli::Subject::History as Subject;
use crate::compare::{Difference, Found};
use crate::reverse::{Engine, Entry, Reversed, parse_one};
use crate::severity::Severity::{Alert, Warning};
use chains::Chains;
use fit::{Fit, Told, fit_best, inherited_lines};

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
            let by_buildah = e.engine == Some(Engine::Buildah.name());
            Some(Told { instruction: parse_one(e.source.as_deref()?)?, history: e.history?, by_buildah })
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
    let wanted = asked::stage(build, &history.file);
    let is_cut = build.build.argv_truncated;
    if is_cut {
        let what = "which stage and which build arguments the recorded command asked for beyond its \
                    first ones: the recorder cut its command line";
        found.not_compared.push(what.to_owned());
    } else if wanted != Some(fit.stage) {
        let name = |at: usize| {
            let named = history.file.stages.get(at).and_then(|stage| stage.name.clone());
            named.unwrap_or_else(|| at.to_string())
        };
        let instead = match wanted {
            Some(asked) if asked + 1 != history.file.stages.len() => {
                format!("the recorded command asked for {}", name(asked))
            }
            _ => "not of the last one".to_owned(),
        };
        let what = format!("the image is of stage {}, {instead}", name(fit.stage));
        found.add(Difference::new(Subject, Warning, what));
    }
    if fit.end > 0 {
        let without = fit.end - inherited_lines(build, reversed);
        let why = match without {
            0 => "by their layers".to_owned(),
            n => format!("the last {n} of them made no layer: nothing but their place says so"),
        };
        found.notes.push(format!("history lines 1-{} are taken for the base image's, {why}", fit.end));
    }
    let before = found.differences.len();
    report(&fit, config, found);
    for difference in found.differences.iter_mut().skip(before).filter(|_| is_cut) {
        difference.severity = difference.severity.min(Warning);
        difference.detail.push("a build argument that the record lacks may be why".to_owned());
    }
    onbuild(history, fit.stage, config, found);
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
