//! Which layers this build made, and which were there before.

use blubr_build::{Build, StepRun};
use blubr_cli::Failure;

use super::Record;
use crate::assemble_parts::{Alignment, Slot, Slots, is_made_in, when};
use crate::picture::Picture;

/// How a layer came to be.
pub(super) enum Made {
    /// By this build; by the steps in these slots, or by steps that aren't known.
    New {
        /// The slots.
        slots: Option<Vec<Slot>>,
        /// It holds what the build began from, too: the image was squashed.
        with_base: bool,
    },
    /// It was there before.
    Before,
}

/// One answer for each layer of the image, lowest first.
pub(super) fn made(picture: &mut Picture, record: &Record<'_>) -> Result<Vec<Made>, Failure> {
    let Record { build, slots, alignment, reuse, .. } = *record;
    let new = |slots| Made::New { slots, with_base: false };
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
        let made = created.get(index).and_then(Option::as_deref);
        made.is_some_and(|made| reuse.before(made).is_some())
    };
    let meanwhile = |index: usize| {
        let made = created.get(index).and_then(Option::as_deref).and_then(when);
        made.is_some_and(|made| is_made_in(build, made))
    };
    if alignment.squashed && picture.image.layers.len() == 1 && !older(0) {
        let slots = Some(slots_of(&alignment.chain, slots));
        return Ok(vec![Made::New { slots, with_base: !alignment.from_nothing }]);
    }
    let mut base = Base::new(build, slots, alignment, &of_layer);
    let mut found = Vec::with_capacity(of_layer.len());
    let mut is_new_below = false;
    for (index, instructions) in of_layer.into_iter().enumerate() {
        let one = match instructions {
            Some(instructions) => {
                let of: Vec<Slot> = slots_of(&instructions, slots);
                let mut runs = of.iter().flat_map(|slot| slots.runs(build, *slot));
                let ran = runs.any(|(run, _)| reuse.is_kept(run));
                let works = |at: &&usize| alignment.lines.get(*at).is_some_and(|line| line.works);
                let working: Vec<usize> = instructions.iter().filter(works).copied().collect();
                if !older(index) || ran {
                    new(Some(of))
                } else if working.is_empty() {
                    // What only sets the configuration has no layer, or an empty one.
                    if is_hollow(picture, index)? { Made::Before } else { new(Some(Vec::new())) }
                } else if working.iter().all(|at| reuse.is_alone(*at))
                    || working.iter().all(|at| reuse.allows(*at)) && base.holds(picture, index)?
                {
                    Made::Before
                } else {
                    new(Some(of))
                }
            }
            // Of a base: but what its triggers made is new.
            None if (older(index) || alignment.whole && !meanwhile(index))
                && !is_new_below
                && base.has(index) =>
            {
                Made::Before
            }
            // Every instruction has its line, and this is none's: nobody made it.
            None if alignment.whole && base.is_above(index) => new(Some(Vec::new())),
            None => new(None),
        };
        is_new_below |= matches!(one, Made::New { .. });
        found.push(one);
    }
    Ok(found)
}

/// Whether a layer holds nothing; the root stands in some engines' layers whether or not it changed.
fn is_hollow(picture: &mut Picture, index: usize) -> Result<bool, Failure> {
    let mut hollow = true;
    picture.layer(index, &mut |entry| hollow &= entry.path.is_empty())?;
    Ok(hollow)
}

/// How far up the layers of the image go that the build begins from.
struct Base {
    /// It begins with nothing.
    is_nothing: bool,
    /// The lowest layer of an instruction.
    lowest: Option<usize>,
    /// How many directories the steps stand on that none of them made, where one was seen.
    directories: Option<usize>,
    /// Layers, from the lowest, that were looked at for whether they hold something.
    looked_at: usize,
    /// How many of those do.
    full: usize,
}

impl Base {
    fn new(
        build: &Build,
        slots: &Slots,
        alignment: &Alignment,
        of_layer: &[Option<Vec<usize>>],
    ) -> Self {
        let lowest = of_layer.iter().position(Option::is_some);
        let is_nothing = alignment.from_nothing;
        let directories = directories(build, slots, alignment);
        Self { is_nothing, lowest, directories, looked_at: 0, full: 0 }
    }

    fn has(&self, index: usize) -> bool {
        !self.is_nothing && !self.is_above(index) && self.directories.is_none_or(|count| index < count)
    }

    /// Whether the steps stand on as many directories as there are layers up to this one. Not every engine has one for a layer
    /// that holds nothing.
    fn holds(&mut self, picture: &mut Picture, index: usize) -> Result<bool, Failure> {
        let Some(count) = self.directories.filter(|count| index >= *count) else { return Ok(true) };
        while self.looked_at <= index {
            self.full += usize::from(!is_hollow(picture, self.looked_at)?);
            self.looked_at += 1;
        }
        Ok(self.full <= count)
    }

    fn is_above(&self, index: usize) -> bool {
        self.lowest.is_some_and(|lowest| index > lowest)
    }
}

/// How many directories the steps of the lowest stage, or else of all that the image is made of, stand on that none of them made.
/// Of a step that stands on nothing (COPY --link), or has a whole tree, nothing is known.
fn directories(build: &Build, slots: &Slots, alignment: &Alignment) -> Option<usize> {
    let (begin, count) = alignment.lowest?;
    let is_own = |run: &&StepRun| match slots.of(run.id) {
        Slot::Step(at) => alignment.lines.get(&at).is_some_and(|line| line.works),
        _ => false,
    };
    let is_lowest = |run: &&StepRun| match slots.of(run.id) {
        Slot::Step(at) => (begin..begin + count).contains(&at),
        _ => false,
    };
    let own: Vec<&StepRun> = build.runs.iter().filter(is_own).collect();
    let made = |dir: &[u8]| {
        own.iter().any(|run| run.upper == dir)
            || build.layers.iter().any(|layer| {
                layer.dir == dir && layer.of.is_some_and(|of| own.iter().any(|run| run.id == of))
            })
    };
    let older = |run: &&StepRun| {
        // Docker puts a directory with the runtime's mount points below each container's own.
        let is_init = |dir: &[u8]| dir.strip_suffix(b"/diff").is_some_and(|dir| dir.ends_with(b"-init"));
        run.lowers.iter().filter(|dir| !made(dir) && !is_init(dir)).count()
    };
    let count = |runs: &mut dyn Iterator<Item = &StepRun>| {
        let counts = runs.filter(|run| !run.whole).map(|run| older(&run));
        counts.max().filter(|count| *count > 0)
    };
    count(&mut own.iter().copied().filter(is_lowest)).or_else(|| count(&mut own.iter().copied()))
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
fn created(picture: &Picture) -> Vec<Option<String>> {
    let config = &picture.image.config;
    let mut times = vec![None; picture.image.layers.len()];
    let lines = config.layers_of_history().unwrap_or_default();
    for (layer, line) in lines.iter().zip(&config.history) {
        if let Some(time) = layer.and_then(|layer| times.get_mut(layer)) {
            time.clone_from(&line.created);
        }
    }
    times
}
