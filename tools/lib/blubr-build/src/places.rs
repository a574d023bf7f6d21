//! Where WORKDIR and VOLUME put a directory, and which of them named the directories that buildah made.

use std::collections::BTreeMap;

use blubr_dockerfile::{Dockerfile, Instruction};

use crate::build::{Build, Made, Moment};
use crate::path::upwards;
use crate::tie::{Tie, TieEvidence, Tied};

/// The paths that each WORKDIR and VOLUME of a file names, where the file says what they are.
pub(crate) struct Named {
    /// By instruction.
    paths: Vec<Vec<Vec<u8>>>,
}

impl Named {
    /// `bases` has the stage that each stage begins from.
    pub(crate) fn new(dockerfile: &Dockerfile, bases: &[Option<usize>]) -> Self {
        let mut named = Named { paths: vec![Vec::new(); dockerfile.instructions.len()] };
        let mut ends: Vec<Setting> = Vec::new();
        for (at, stage) in dockerfile.stages.iter().enumerate() {
            let base = bases.get(at).copied().flatten().and_then(|base| ends.get(base)).cloned();
            let mut here = base.unwrap_or_else(|| Setting::of_base(&stage.base));
            let (first, count) = stage.instructions;
            for at in first..first.saturating_add(count) {
                let Some(instruction) = dockerfile.instructions.get(at) else { break };
                named.paths[at] = here.step(instruction, dockerfile.escape);
            }
            ends.push(here);
        }
        named
    }

    /// Whether an instruction names one of the directories, and all others lie above that.
    pub(crate) fn has(&self, made: &[Vec<u8>]) -> bool {
        let names =
            |path: &Vec<u8>| made.contains(path) && made.iter().all(|dir| is_at_or_above(dir, path));
        self.paths.iter().flatten().any(names)
    }

    /// Which instructions of a stage, given in order, named what was made: one of the paths that it names was, and all else lies
    /// above that or is of one before it, which buildah may make anew.
    pub(crate) fn who_named(&self, made: &[Vec<u8>], line: &[usize]) -> Vec<usize> {
        let mut before: Vec<&[u8]> = Vec::new();
        let mut found = Vec::new();
        for at in line {
            let own = self.paths.get(*at).map(Vec::as_slice).unwrap_or_default();
            before.extend(own.iter().map(Vec::as_slice));
            let lies_above = |dir: &Vec<u8>| before.iter().any(|path| is_at_or_above(dir, path));
            if own.iter().any(|path| made.contains(path)) && made.iter().all(lies_above) {
                found.push(*at);
            }
        }
        found
    }

    /// Whether what was made is not this instruction's work: a WORKDIR makes no files, and beside the directory that it names
    /// no other. (One that it does not name it may name by a symlink.)
    pub(crate) fn rules_out(&self, at: usize, instruction: &Instruction, made: &Made) -> bool {
        if instruction.keyword != "workdir" {
            return false;
        }
        match made {
            Made::Unknown => false,
            Made::More => true,
            Made::Directories(made) => {
                let own = self.paths.get(at).map(Vec::as_slice).unwrap_or_default();
                own.iter().any(|path| made.contains(path))
            }
        }
    }
}

/// Narrows down what a run may be by when it began: buildah carries out a stage's instructions one after the other. (One may
/// have several runs: for ENV and the like a WORKDIR's directory is made anew.)
pub(crate) fn by_time(build: &Build, dockerfile: &Dockerfile, ties: &mut [Tie]) {
    let stage = |at: usize| dockerfile.instructions.get(at).and_then(|of| of.stage);
    let mut sure: BTreeMap<Option<usize>, Vec<(Moment, usize)>> = BTreeMap::new();
    for (run, tie) in build.runs.iter().zip(ties.iter()) {
        if let Tied::One(at) = tie.instruction {
            sure.entry(stage(at)).or_default().push((run.began, at));
        }
    }
    let sure: BTreeMap<Option<usize>, Order> =
        sure.into_iter().map(|(stage, began)| (stage, Order::new(began))).collect();
    for (run, tie) in build.runs.iter().zip(ties) {
        let Tied::Candidates(several) = &tie.instruction else { continue };
        let fits =
            |at: &&usize| sure.get(&stage(**at)).is_none_or(|order| order.allows(run.began, **at));
        let left: Vec<usize> = several.iter().filter(fits).copied().collect();
        if left.is_empty() || left.len() == several.len() {
            continue;
        }
        tie.instruction = match left.as_slice() {
            [one] => Tied::One(*one),
            _ => Tied::Candidates(left),
        };
        tie.evidence.push(TieEvidence::Order);
        tie.evidence.sort_unstable();
        tie.evidence.dedup();
    }
}

/// When the instructions of a stage began, of which that is known.
struct Order {
    /// Sorted. With each the highest instruction up to it, and the lowest from it on.
    began: Vec<(Moment, usize, usize)>,
}

impl Order {
    fn new(mut began: Vec<(Moment, usize)>) -> Self {
        began.sort_unstable();
        let mut began: Vec<_> = began.into_iter().map(|(at, one)| (at, one, one)).collect();
        let mut highest = 0;
        for (_, up_to, _) in &mut began {
            highest = highest.max(*up_to);
            *up_to = highest;
        }
        let mut lowest = usize::MAX;
        for (_, _, from) in began.iter_mut().rev() {
            lowest = lowest.min(*from);
            *from = lowest;
        }
        Order { began }
    }

    /// Whether an instruction may have begun then: none above it had, and none below it did later.
    fn allows(&self, when: Moment, at: usize) -> bool {
        let later = self.began.partition_point(|(began, ..)| *began < when);
        let (before, behind) = self.began.split_at(later);
        before.last().is_none_or(|(_, up_to, _)| *up_to <= at)
            && behind.first().is_none_or(|(_, _, from)| *from >= at)
    }
}

fn is_at_or_above(dir: &[u8], path: &[u8]) -> bool {
    upwards(path).any(|above| above == dir)
}

/// What is in force at an instruction.
#[derive(Clone)]
struct Setting {
    /// None where it isn't known.
    workdir: Option<String>,
    /// Variables that ENV has set, those with an unknown value as none.
    env: BTreeMap<String, Option<String>>,
}

impl Setting {
    fn of_base(base: &str) -> Self {
        let workdir = base.eq_ignore_ascii_case("scratch").then(|| "/".to_owned());
        Setting { workdir, env: BTreeMap::new() }
    }

    /// The paths that the instruction names.
    fn step(&mut self, instruction: &Instruction, escape: char) -> Vec<Vec<u8>> {
        match instruction.keyword.as_str() {
            "env" => {
                let pairs = instruction.pairs();
                let set: Vec<_> =
                    pairs.map(|(name, value)| (name.to_owned(), self.value(value, escape))).collect();
                self.env.extend(set);
                Vec::new()
            }
            "workdir" => {
                self.workdir = match instruction.args.as_slice() {
                    [path] => self.value(path, escape).and_then(|path| self.absolute(&path)),
                    _ => None,
                };
                self.workdir.iter().map(|path| path.clone().into_bytes()).collect()
            }
            "volume" => {
                let paths = instruction.args.iter().filter_map(|path| self.value(path, escape));
                paths.filter_map(|path| cleaned(&path)).map(String::into_bytes).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A word with its variables replaced; none where the file doesn't say the value of one. (What an ARG says, `--build-arg`
    /// may have said otherwise.)
    fn value(&self, word: &str, escape: char) -> Option<String> {
        let unknown = std::cell::Cell::new(false);
        let variable = |name: &str| {
            let known = self.env.get(name).cloned().flatten();
            unknown.set(unknown.get() || known.is_none());
            known
        };
        let value = blubr_dockerfile::expand(word, escape, &variable).ok()?;
        (!unknown.get()).then_some(value)
    }

    fn absolute(&self, path: &str) -> Option<String> {
        if path.starts_with('/') {
            return cleaned(path);
        }
        cleaned(&format!("{}/{path}", self.workdir.as_ref()?))
    }
}

/// An absolute path without `.`, `..` and empty components, as the engines clean it.
fn cleaned(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}
