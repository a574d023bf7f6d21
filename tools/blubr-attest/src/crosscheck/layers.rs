//! Which layers this build made, and which were there before.

use blubr_build::{Build, Engine, StepRun};

use crate::assemble_parts::{Alignment, First, Slot, Slots, is_made_in, when};
use crate::picture::Picture;

/// How a layer came to be.
pub(super) enum Made {
    /// By this build; by the steps in these slots, or by steps that aren't known.
    New {
        /// The slots.
        slots: Option<Vec<Slot>>,
    },
    /// It was there before.
    Before,
}

/// One answer for each layer of the image, lowest first.
pub(super) fn made(
    picture: &Picture,
    build: &Build,
    slots: &Slots,
    alignment: &Alignment,
    first: &First,
) -> Vec<Made> {
    let mut of_layer: Vec<Option<Vec<usize>>> = vec![None; picture.image.layers.len()];
    let mut waiting = Vec::new();
    for (&at, line) in &alignment.lines {
        waiting.push(at);
        if let Some(layer) = line.layer.and_then(|layer| of_layer.get_mut(layer)) {
            // Where several instructions share a layer (buildah without --layers) the last has the line.
            *layer = Some(std::mem::take(&mut waiting));
        }
    }
    let created = created(picture);
    let older = |index: usize| {
        let made = created.get(index).copied().flatten();
        made.is_some_and(|made| made < first.header.started.0)
    };
    let meanwhile = |index: usize| {
        let made = created.get(index).copied().flatten();
        made.is_some_and(|made| is_made_in(build, made))
    };
    let one = |(index, instructions): (usize, Option<Vec<usize>>)| match instructions {
        Some(instructions) => {
            let of: Vec<Slot> = slots_of(&instructions, slots);
            let ran =
                of.iter().flat_map(|slot| slots.runs(build, *slot)).any(|(run, _)| kept(build, run));
            if older(index) && !ran { Made::Before } else { Made::New { slots: Some(of) } }
        }
        // Of a base: but what its triggers made is new.
        None if older(index) || alignment.whole && !meanwhile(index) => Made::Before,
        None => Made::New { slots: None },
    };
    of_layer.into_iter().enumerate().map(one).collect()
}

/// Whether what a run left was kept: buildah copies anew what it then finds in its cache, and throws it away.
fn kept(build: &Build, run: &StepRun) -> bool {
    build.engine != Engine::Buildah || build.layers.iter().any(|layer| layer.of == Some(run.id))
}

/// The slots of instructions, and of what may be theirs.
fn slots_of(instructions: &[usize], slots: &Slots) -> Vec<Slot> {
    let mut found: Vec<Slot> = instructions.iter().map(|at| Slot::Step(*at)).collect();
    for (index, several) in slots.candidates.iter().enumerate() {
        if several.iter().any(|at| instructions.contains(at)) {
            found.push(Slot::Candidate(index));
        }
    }
    found
}

/// When each layer was made, by the image's history.
fn created(picture: &Picture) -> Vec<Option<u64>> {
    let config = &picture.image.config;
    let mut times = vec![None; picture.image.layers.len()];
    let lines = config.layers_of_history().unwrap_or_default();
    for (layer, line) in lines.iter().zip(&config.history) {
        if let Some(time) = layer.and_then(|layer| times.get_mut(layer)) {
            *time = line.created.as_deref().and_then(when);
        }
    }
    times
}
