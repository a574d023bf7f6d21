//! Which layer came from which instruction: the image's history laid against the Dockerfile, from the end backwards.

use std::collections::{BTreeMap, BTreeSet};

use blubr_build::Build;
use blubr_dockerfile::{Dockerfile, Instruction, StageNames, asked, chain};
use blubr_image::{Config, History};
use blubr_log::Time;

use super::run_line::{self, Fronts};

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
    let target = dockerfile.target(asked::target(&words));
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
    let squashed = asked::squashes(&words);
    let mut alignment =
        Alignment { stages, needed, from_nothing, lowest, chain, squashed, ..Alignment::default() };
    let Ok(layers) = config.layers_of_history() else { return alignment };
    let fronts = Fronts::new(dockerfile, config, &build.argv, &alignment.chain);
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
                let text = config.history.get(line).map(History::instruction);
                if let Some(text) =
                    text.filter(|text| super::contradicted::contradicts(instruction, text))
                {
                    alignment.contradicted.insert(at, bare_line(text).to_owned());
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
    let mine = config.history.get(..alignment.above)?.iter().rev();
    let made = |created: &Option<String>| created.as_deref().and_then(when);
    let mine = mine.take_while(|line| made(&line.created).is_some_and(|at| is_made_in(build, at)));
    let mut texts = Vec::new();
    for line in mine {
        match keyword(line.instruction()).as_str() {
            "run" => texts.push(shell_form(line.instruction())?),
            "copy" | "add" | "workdir" => texts.push(bare_line(line.instruction()).to_owned()),
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

/// A line without what engines write around an instruction.
pub(super) fn bare_line(created_by: &str) -> &str {
    let text = created_by.trim_end().trim_end_matches("# buildkit");
    let nop = text.find("#(nop)").and_then(|at| text.get(at + 6..));
    nop.unwrap_or(text).trim()
}

/// The RUN of a line, where the default shell stands in front of it. (Whether the text is right the container's first
/// program shows.)
fn shell_form(created_by: &str) -> Option<String> {
    const SHELL: &str = "/bin/sh -c ";
    let text = bare_line(created_by);
    let text = text.strip_prefix("RUN ").unwrap_or(text);
    // Build arguments come first: `|1 NAME=value /bin/sh -c ...`.
    let at = if text.starts_with('|') { text.find(SHELL)? } else { 0 };
    Some(format!("RUN {}", text.get(at..)?.strip_prefix(SHELL)?))
}

/// The lines of a history, by what they begin with.
struct Lines<'c> {
    all: Vec<(String, &'c str)>,
    /// For each line the last one up to it that sets no label.
    no_label: Vec<Option<usize>>,
}

impl<'c> Lines<'c> {
    fn new(config: &'c Config) -> Self {
        let texts = config.history.iter().map(History::instruction);
        let all: Vec<(String, &str)> = texts.map(|text| (keyword(text), text)).collect();
        let mut last = None;
        let no_label = all.iter().enumerate().map(|(at, (keyword, _))| {
            last = if keyword == "label" { last } else { Some(at) };
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
        let (keyword, text) = self.all.get(line)?;
        let is_own = *keyword == instruction.keyword
            && (keyword != "run" || run_line::is_of(at, instruction, text, fronts));
        is_own.then_some(line)
    }
}

/// The keyword of a line of history, lower case; a line without one is a RUN of the classic builder or of buildah.
fn keyword(created_by: &str) -> String {
    let text = created_by.trim_start();
    let nop = text.find("#(nop)").map(|at| text.get(at + 6..).unwrap_or_default());
    let first = nop.unwrap_or(text).split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    // FROM makes no line.
    let is_keyword = first != "from" && blubr_dockerfile::is_keyword(&first);
    let is_named = is_keyword && text.starts_with(|c: char| c.is_ascii_uppercase());
    if nop.is_some() || is_named { first } else { "run".to_owned() }
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
    fn lines_of_every_builder_have_a_keyword() {
        for (line, wanted) in [
            ("RUN /bin/sh -c echo hi > /m3 # buildkit", "run"),
            ("COPY a /b # buildkit", "copy"),
            ("WORKDIR /x", "workdir"),
            ("CMD [\"sh\"]", "cmd"),
            ("/bin/sh -c echo copy", "run"),
            ("/bin/sh -c #(nop) COPY file:0123 in /b ", "copy"),
            ("/bin/sh -c #(nop)  ENV A=b", "env"),
            ("|1 K=V /bin/sh -c make", "run"),
            ("copy /a /b", "run"),
        ] {
            assert_eq!(keyword(line), wanted, "{line}");
        }
    }

    #[test]
    fn triggers_are_taken_from_lines_of_every_builder() {
        for (line, wanted) in [
            ("RUN /bin/sh -c echo hi > /m # buildkit", Some("RUN echo hi > /m")),
            ("/bin/sh -c echo hi > /m", Some("RUN echo hi > /m")),
            ("|1 A=b c /bin/sh -c echo hi", Some("RUN echo hi")),
            ("RUN |1 A=b /bin/sh -c echo hi # buildkit", Some("RUN echo hi")),
            ("RUN /bin/bash -c echo hi # buildkit", None),
            ("/bin/busybox touch /m", None),
        ] {
            assert_eq!(shell_form(line).as_deref(), wanted, "{line}");
        }
        for (line, wanted) in [
            ("COPY a /b # buildkit", "COPY a /b"),
            ("/bin/sh -c #(nop) COPY file:01 in /b ", "COPY file:01 in /b"),
            ("/bin/sh -c #(nop) WORKDIR /x", "WORKDIR /x"),
        ] {
            assert_eq!(bare_line(line), wanted);
        }
    }

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
        assert!(!super::super::contradicted::contradicts(copy, config.history[0].instruction()));
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
