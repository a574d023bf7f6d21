//! Which layer came from which instruction: the image's history laid against the Dockerfile, from the end backwards.

use std::collections::{BTreeMap, BTreeSet};

use blubr_build::Build;
use blubr_dockerfile::{Dockerfile, Instruction, StageNames, asked, chain};
use blubr_image::Config;
use blubr_log::Time;

use super::run_line::{self, Fronts};
use super::written::Written;

/// What the history says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alignment {
    /// For each instruction (index in the Dockerfile) its line of the history.
    pub lines: BTreeMap<usize, Line>,
    /// All instructions that make the final stage were found.
    pub whole: bool,
    /// Stages that the target is made from, the lowest first; the target itself last.
    pub stages: Vec<usize>,
    /// Stages that the target needs at all.
    pub needed: BTreeSet<usize>,
    /// The lowest of them begins with nothing.
    pub from_nothing: bool,
    /// The first of its instructions in the Dockerfile, and how many it has.
    pub lowest: Option<(usize, usize)>,
    /// Instructions whose line says something else than they do, and what it says.
    pub contradicted: BTreeMap<usize, String>,
    /// All instructions of these stages but FROM.
    pub chain: Vec<usize>,
    /// The build was asked to make one layer of all: what each of them did lies in that, whatever the history tells.
    pub squashed: bool,
    /// The lines above those of the instructions.
    above: usize,
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The layer's index, where it has one.
    pub layer: Option<usize>,
    /// When it was made, as written.
    pub created: Option<String>,
    /// The instruction may change files, and not the configuration alone.
    pub works: bool,
}

/// Lays the history against the stages that the build's target is made of.
pub fn align(dockerfile: &Dockerfile, build: &Build, config: &Config) -> Alignment {
    let words: Vec<_> = build.argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    // What is behind a cut may name another.
    let target = if build.argv_cut { None } else { dockerfile.target(asked::target(&words)) };
    let stages = target.map(|stage| chain(&dockerfile.bases(), stage)).unwrap_or_default();
    let needed = target.map(|stage| needed(dockerfile, stage)).unwrap_or_default();
    let lowest = stages.first().and_then(|stage| dockerfile.stages.get(*stage));
    let from_nothing = lowest.is_some_and(|stage| stage.base.eq_ignore_ascii_case("scratch"));
    let lowest = lowest.map(|stage| stage.instructions);
    let chain: Vec<usize> = stages
        .iter()
        .filter_map(|stage| dockerfile.stages.get(*stage))
        .flat_map(|stage| stage.instructions.0..stage.instructions.0 + stage.instructions.1)
        .filter(|at| dockerfile.instructions.get(*at).is_some_and(|one| one.keyword != "from"))
        .collect();
    let squashed = asked::squashes(&words) || build.argv_cut;
    let mut alignment =
        Alignment { stages, needed, from_nothing, lowest, chain, squashed, ..Alignment::default() };
    let Ok(layers) = config.layers_of_history() else { return alignment };
    let fronts = Fronts::new(dockerfile, config, build.all_argv(), &alignment.chain);
    let lines = Lines::new(config);
    let mut next = config.history.len();
    let mut left = false;
    for &at in alignment.chain.iter().rev() {
        let Some(instruction) = dockerfile.instructions.get(at) else { continue };
        match lines.find(at, instruction, next, &fronts) {
            Some(line) => {
                let created = config.history.get(line).and_then(|line| line.created.clone());
                let layer = layers.get(line).copied().flatten();
                let works = matches!(instruction.keyword.as_str(), "run" | "copy" | "add" | "workdir");
                alignment.lines.insert(at, Line { layer, created, works });
                let written = lines.all.get(line);
                let other = written.filter(|line| super::contradicted::contradicts(instruction, line));
                if let Some(other) = other {
                    alignment.contradicted.insert(at, other.text.to_owned());
                }
                next = line;
            }
            // Not every engine writes a line for what changes nothing.
            None if matches!(
                instruction.keyword.as_str(),
                "arg" | "onbuild" | "shell" | "maintainer"
            ) => {}
            None => {
                left = true;
                break;
            }
        }
    }
    alignment.whole = !left && !config.history.is_empty();
    alignment.above = next;
    alignment
}

/// What the ONBUILD triggers of a base image did in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers {
    /// The stage that begins from the image.
    pub stage: usize,
    /// The triggers, as the history of what was built has them.
    pub texts: Vec<String>,
}

/// The lines between those of the base and those of the instructions, made while the build went on. `None` where there are
/// none, or where a line does not say what its instruction was.
pub fn triggers(dockerfile: &Dockerfile, build: &Build, config: &Config) -> Option<Triggers> {
    let alignment = align(dockerfile, build, config);
    let stage = *alignment.stages.first()?;
    if !alignment.whole || dockerfile.stages.get(stage)?.base.eq_ignore_ascii_case("scratch") {
        return None;
    }
    let mine = config.history.iter().zip(Written::all(config)).take(alignment.above);
    let made = |created: &Option<String>| created.as_deref().and_then(when);
    let is_mine = |created| made(created).is_some_and(|at| is_made_in(build, at));
    let mut texts = Vec::new();
    for (_, line) in mine.rev().take_while(|(line, _)| is_mine(&line.created)) {
        match line.keyword.as_str() {
            "run" => texts.push(line.shell_form()?),
            "copy" | "add" | "workdir" => texts.push(line.text.to_owned()),
            // They set the configuration only.
            _ => {}
        }
    }
    texts.reverse();
    (!texts.is_empty()).then_some(Triggers { stage, texts })
}

/// Whether something was made (in ns since 1970) while the build went on.
pub fn is_made_in(build: &Build, made: u64) -> bool {
    build.began.time.0 <= made && build.ended.is_none_or(|ended| made <= ended.time.0)
}

/// The lines of a history.
struct Lines<'c> {
    all: Vec<Written<'c>>,
    /// For each line the last one up to it that sets no label.
    no_label: Vec<Option<usize>>,
}

impl<'c> Lines<'c> {
    fn new(config: &'c Config) -> Self {
        let all = Written::all(config);
        let mut last = None;
        let no_label = all.iter().enumerate().map(|(at, line)| {
            last = if line.keyword == "label" { last } else { Some(at) };
            last
        });
        Self { no_label: no_label.collect(), all }
    }

    /// The line below `below` that is the instruction's: the next one, or one behind labels that the client added. (What
    /// holds a layer behind such a line no instruction made.)
    fn find(
        &self,
        at: usize,
        instruction: &Instruction,
        below: usize,
        fronts: &Fronts,
    ) -> Option<usize> {
        let next = below.checked_sub(1)?;
        let line = if instruction.keyword == "label" { next } else { (*self.no_label.get(next)?)? };
        let written = self.all.get(line)?;
        let is_own = written.keyword == instruction.keyword
            && (written.keyword != "run" || run_line::is_of(at, instruction, written.text, fronts));
        is_own.then_some(line)
    }
}

/// The stages that `stage` needs: bases, COPY --from, RUN --mount=from=.
fn needed(dockerfile: &Dockerfile, stage: usize) -> BTreeSet<usize> {
    let names = StageNames::new(dockerfile);
    let mut waiting = vec![stage];
    let mut seen = BTreeSet::from([stage]);
    while let Some(here) = waiting.pop() {
        let base = dockerfile.stages.get(here).and_then(|one| names.find(&one.base, here));
        let sources = dockerfile.stage(here).iter().flat_map(Instruction::sources);
        let sources = sources.filter_map(|name| names.source(&name, here));
        for one in base.into_iter().chain(sources) {
            if seen.insert(one) {
                waiting.push(one);
            }
        }
    }
    seen
}

/// A time of an image (RFC 3339) in ns since 1970.
pub fn when(text: &str) -> Option<u64> {
    let (date, rest) = (text.get(..19)?, text.get(19..)?);
    let end = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(end);
    let digits = fraction.strip_prefix('.').unwrap_or_default();
    let padded = format!("{digits:0<9}");
    let time = Time::parse(&format!("{date}.{}Z", padded.get(..9)?))?.0;
    if matches!(zone, "Z" | "z") {
        return Some(time);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let shift = minutes.checked_mul(60_000_000_000)?;
    if zone.starts_with('+') { time.checked_sub(shift) } else { time.checked_add(shift) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_buildah_notes_of_a_build_s_options_is_no_part_of_a_line() {
        // buildah 1.43 with --timestamp 0.
        let history = r#"{"history":[
            {"created_by":"/bin/sh -c #(nop) COPY file:07 in /b     |force-mtime=0 "},
            {"created_by":"/bin/sh -c make|force-mtime=0"},
            {"created_by":"/bin/sh -c make|evil"}]}"#;
        let config = Config::parse(history.as_bytes()).unwrap();
        let file = Dockerfile::parse(b"FROM scratch\nCOPY a /b\nRUN make\n").unwrap();
        let (lines, fronts) = (Lines::new(&config), Fronts::new(&file, &config, &[], &[1, 2]));
        let found = |at: usize, below| lines.find(at, &file.instructions[at], below, &fronts);
        assert_eq!([found(1, 1), found(2, 2), found(2, 3)], [Some(0), Some(1), None]);
        let copy = &file.instructions[1];
        assert!(!super::super::contradicted::contradicts(copy, &lines.all[0]));
    }

    #[test]
    fn times_are_read_with_any_zone_and_fraction() {
        let noon = Time::parse("2026-11-24T12:00:00.000000000Z").unwrap().0;
        assert_eq!(when("2026-11-24T12:00:00Z"), Some(noon));
        assert_eq!(when("2026-11-24T12:00:00.5Z"), Some(noon + 500_000_000));
        assert_eq!(when("2026-11-24T14:00:00+02:00"), Some(noon));
        assert_eq!(when("2026-11-24T11:30:00.000-00:30"), Some(noon));
        for bad in ["", "yesterday", "2026-11-24", "2026-11-24T12:00:00", "2026-11-24T12:00:00+aa:bb"] {
            assert_eq!(when(bad), None, "{bad}");
        }
    }

    #[test]
    fn stages_are_followed() {
        let text = "FROM scratch AS a\nRUN x\nFROM b AS c\nFROM a AS d\nCOPY --from=c /x /y\nRUN --mount=type=bind,From=0 z\n";
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        assert_eq!(needed(&file, 2), [0, 1, 2].into());
        assert_eq!(needed(&file, 0), [0].into());
    }
}
