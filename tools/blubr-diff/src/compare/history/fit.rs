//! Which stage the image is of, and how far its base image's history goes: what fits best.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

use blubr_attestation::BlubrBuild;
use blubr_dockerfile::{Instruction, without_mounted};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::chains::Chains;
use super::shape::{self, LeftOut, Shape, Start, shapes};
use super::{History, Recorded, asked};
use crate::compare::base;
use crate::reverse::{Entry, Reversed};

/// Lines without a layer behind the base image's last layer that may still be the base image's: each is tried.
const BASE_TAIL_LINES_MAX: usize = 64;

/// What laying the history against the stages may cost: the squares of the lines that each time are laid against each other, and
/// the bytes that are looked at; some seconds.
const FITTING_MAX: u64 = 1 << 33;

/// A line of the image's side.
pub struct Told {
    pub instruction: Instruction,
    pub history: usize,
    pub by_buildah: bool,
}

/// How one stage and one length of the base's history fit.
pub struct Fit<'a> {
    pub stage: usize,
    /// How many history lines are taken for the base image's.
    pub end: usize,
    pub told: Vec<(&'a Told, Shape)>,
    pub recorded: Vec<(&'a Recorded, Shape)>,
    pub ops: Vec<DiffOp>,
    /// ARGs that the history does not name: they may be recorded ones that no line names.
    pub nameless: usize,
}

/// How many history lines belong to the base image's layers.
pub fn inherited_lines(build: &BlubrBuild, reversed: &Reversed) -> usize {
    let layer = |e: &'_ Entry| Some((e.history?, e.layer.as_ref()?.as_str().to_owned()));
    let (lines, layers): (Vec<usize>, Vec<String>) = reversed.entries.iter().filter_map(layer).unzip();
    lines[..base::count(build, &layers)].iter().max().map_or(0, |at| at + 1)
}

/// The stage, and the length of the base's history, that fit best; `Err` with why nothing can be said.
pub fn fit_best<'a>(
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
    /// The stage that was asked for: of several that fit alike it is taken.
    wanted: Option<usize>,
}

impl<'a> Fitting<'a> {
    fn new(build: &BlubrBuild, history: &'a History, reversed: &Reversed, told: &'a [Told]) -> Self {
        // The classic builder tells of none that ENV has too. What a line says of itself comes last, and counts.
        let mut given = asked::given(build);
        given.extend(reversed.entries.iter().flat_map(|entry| entry.build_args.iter().cloned()));
        let nameless = reversed.entries.iter().filter(|entry| entry.nameless_arg);
        let global = history.recorded.iter().map(|r| &r.instruction).filter(|i| i.stage.is_none());
        Self {
            told,
            chains: Chains::new(history),
            global: global.collect(),
            given,
            nameless: nameless.filter_map(|entry| entry.history).collect(),
            wanted: asked::stage(build, &history.file),
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
            let left_out = LeftOut {
                sources: after.iter().any(|t| shape::has_sum(&t.instruction)),
                heredoc_ends: after.iter().any(|t| t.by_buildah),
            };
            let mine: Vec<&Instruction> = after.iter().map(|t| &t.instruction).collect();
            let (told_shapes, bytes) = shapes(&mine, &start, &[], &self.given, left_out);
            work = work.saturating_add(bytes);
            let told_keys: Vec<&str> = told_shapes.iter().map(|s| s.key.as_str()).collect();
            let told_unmounted: Vec<_> = told_keys.iter().map(|key| without_mounted(key)).collect();
            for stage in 0..self.chains.count() {
                if work > FITTING_MAX {
                    return None;
                }
                let kept = self.chains.of(stage);
                let theirs: Vec<&Instruction> = kept.iter().map(|r| &r.instruction).collect();
                let (shapes, bytes) = shapes(&theirs, &start, &self.global, &self.given, left_out);
                work = work.saturating_add(bytes);
                let keys: Vec<&str> = shapes.iter().map(|s| s.key.as_str()).collect();
                // Without the digests of bind mounts where a recorded RUN has mounts and is otherwise the same.
                let mounting = theirs.iter().zip(&keys).filter(|(recorded, _)| recorded.mounts());
                let mounting: HashSet<&str> = mounting.map(|(_, key)| *key).collect();
                let told_keys = told_keys.iter().zip(&told_unmounted);
                let told_keys: Vec<&str> = told_keys
                    .map(|(key, without)| without.filter(|key| mounting.contains(key)).unwrap_or(key))
                    .collect();
                let ops = capture_diff_slices(Algorithm::Myers, &keys, &told_keys);
                let equal =
                    ops.iter().map(|op| if let DiffOp::Equal { len, .. } = op { *len } else { 0 });
                let unmatched = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
                let unnamed = unmatched.flat_map(|op| theirs.get(op.old_range()).unwrap_or_default());
                let unnamed = unnamed.filter(|i| i.keyword == "arg").count();
                let matched = equal.sum::<usize>() + nameless.min(unnamed);
                let length = Reverse(after.len() + kept.len() + nameless);
                let rank = (matched, length, self.wanted == Some(stage), stage, end);
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
