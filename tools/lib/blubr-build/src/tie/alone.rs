//! Steps of a record that lacks events: each is what itself was seen to be, whatever stands around it.

use blubr_dockerfile::Dockerfile;

use super::table::Fit;
use super::texts::Texts;
use super::{Tie, TieEvidence, Tied};
use crate::build::{Build, RunKind, StepRun};

/// Instructions of which one is told as a candidate, at most: that a step may be any of more says nothing.
const CANDIDATES_MAX: usize = 64;

/// Ties each run of the build, in the order of `build.runs`: a container by the text of its first program. Of what was done
/// without one it may be that its container was lost, and of an order, that there was a step between.
pub(super) fn tie(build: &Build, dockerfile: &Dockerfile) -> Vec<Tie> {
    let texts = Texts::new(dockerfile, build.engine);
    let any: Vec<usize> = dockerfile
        .instructions
        .iter()
        .enumerate()
        .filter(|(_, of)| {
            matches!(of.keyword.as_str(), "from" | "run" | "copy" | "add" | "workdir" | "volume")
        })
        .map(|(at, _)| at)
        .collect();
    let any = if any.len() > CANDIDATES_MAX { Tied::None } else { Tied::Candidates(any) };
    build
        .runs
        .iter()
        .map(|run| {
            by_text(run, &texts).unwrap_or_else(|| Tie {
                run: run.id,
                instruction: any.clone(),
                evidence: Vec::new(),
            })
        })
        .collect()
}

/// The tie of a container whose first program was seen to start.
fn by_text(run: &StepRun, texts: &Texts) -> Option<Tie> {
    if run.kind != RunKind::Run || run.first_exec.is_none() {
        return None;
    }
    let fits = texts.fits(run);
    let evidence = match fits.values().any(|fit| *fit == Fit::OtherShell) {
        true => TieEvidence::TextOfOtherShell,
        false => TieEvidence::Text,
    };
    let evidence = if fits.is_empty() { Vec::new() } else { vec![evidence] };
    let list: Vec<usize> = fits.into_keys().collect();
    let instruction = match list.as_slice() {
        [] => Tied::None,
        [one] => Tied::One(*one),
        _ => Tied::Candidates(list),
    };
    Some(Tie { run: run.id, instruction, evidence })
}
