//! Trees in which several instructions were carried out, as in those of buildah without layers: what each helper did is a run of its
//! own then, because a helper works for one instruction.
//!
//! buildah begins a helper for each source that it copies, one before those for the directory that it copies to, and one for each
//! directory of a WORKDIR or VOLUME. It looks at what it is to copy before it makes the directory for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use blubr_dockerfile::Dockerfile;

use crate::build::{Build, Builds, Engine, Made, Moment, RunKind, StepRun};
use crate::places::Named;

/// What was done in a tree by one helper, or by the engine itself.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// When the helper began, or the first write.
    pub(crate) began: Moment,
    /// The last write.
    pub(crate) ended: Moment,
    /// How many containers had been in the tree before.
    pub(crate) after: usize,
    pub(crate) made: Made,
    /// A helper may have looked elsewhere, at what is to be copied, since the part before.
    pub(crate) looked: bool,
    /// One helper did it, and so it is one instruction's.
    pub(crate) by_helper: bool,
    /// It may be what was prepared for the container that came next, whose runtime began then.
    pub(crate) prepares: Option<Moment>,
}

/// What a run is that was such a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) looked: bool,
    pub(crate) by_helper: bool,
}

impl StepRun {
    /// It is of one helper, which made nothing but directories.
    pub(crate) fn made_directories(&self) -> bool {
        self.part.is_some_and(|part| part.by_helper) && self.made != Made::More
    }

    /// It is of one helper, which copied.
    fn copied(&self) -> bool {
        self.part.is_some_and(|part| part.by_helper) && self.made == Made::More
    }

    /// Whether it and the run behind it in the same tree may be of one instruction.
    pub(crate) fn goes_on(&self, next: &StepRun, keyword: &str) -> bool {
        self.upper == next.upper
            && match keyword {
                "copy" | "add" => next.copied() && (self.copied() || self.made_directories()),
                "volume" => self.made_directories() && next.made_directories(),
                _ => false,
            }
    }

    /// Whether one instruction, of this kind, can't have done it and no more: the directory to copy to is made first.
    pub(crate) fn must_go_on(&self, keyword: &str) -> bool {
        self.made_directories() && matches!(keyword, "copy" | "add")
    }
}

impl Builds {
    /// Tells apart what was done in trees of the build that several instructions may have shared. By layers each step has a tree
    /// of its own, and so there are more of these than stages.
    ///
    /// Gives the build of that number, if there is one.
    pub fn tell_apart(&mut self, number: u32, dockerfile: &Dockerfile) -> Option<&Build> {
        let ids = self.builds.iter().flat_map(|build| build.runs.iter().map(|run| run.id));
        let free = ids.max().and_then(|id| id.checked_add(1));
        let build = self.builds.iter_mut().find(|build| build.number == number)?;
        if let Some(free) = free {
            let named = Named::new(dockerfile, &dockerfile.bases());
            tell_apart(build, free, dockerfile.stages.len(), &named);
        }
        Some(build)
    }
}

/// The runs of one upper directory.
struct Tree {
    /// In the order in which they began.
    runs: Vec<StepRun>,
    /// The runs below the whole tree.
    below: Vec<u32>,
    /// It is as it was.
    is_same: bool,
}

impl Tree {
    fn containers(&self) -> usize {
        self.runs.iter().filter(|run| run.kind == RunKind::Run).count()
    }

    fn ids(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator {
        self.runs.iter().map(|run| run.id)
    }
}

fn tell_apart(build: &mut Build, mut free: u32, stages: usize, named: &Named) {
    if build.engine != Engine::Buildah || build.runs.iter().any(|run| run.part.is_some()) {
        return;
    }
    let mut trees: BTreeMap<&[u8], Tree> = BTreeMap::new();
    for run in &build.runs {
        // Its first run stands on nothing of its own tree.
        let new = || Tree { runs: Vec::new(), below: run.below.clone(), is_same: true };
        trees.entry(&run.upper).or_insert_with(new).runs.push(run.clone());
    }
    let several = trees.values().any(|tree| tree.containers() > 1);
    if !several && trees.len() > stages {
        return;
    }
    let mut copied_first = false;
    let mut tree_of: HashMap<u32, usize> = HashMap::new();
    for (at, (upper, tree)) in trees.iter_mut().enumerate() {
        tree_of.extend(tree.ids().map(|id| (id, at)));
        // What the engine itself made, and is no more than directories, it made for a container; so may a helper have, unless it is
        // what the file names.
        let is_own = |part: &&Part| match (&part.made, part.prepares) {
            (Made::Directories(made), Some(_)) => named.has(made),
            (_, Some(_)) => false,
            _ => part.by_helper || part.made == Made::More,
        };
        let parts: Vec<&Part> = build.parts.get(*upper).into_iter().flatten().filter(is_own).collect();
        let copies = |part: &&Part| part.by_helper && part.after == 0 && part.made == Made::More;
        copied_first |= tree.containers() > 0 && parts.iter().any(copies);
        if parts.len() + tree.containers() > 1 {
            (tree.runs, tree.is_same) = (split(&tree.runs, &parts, &mut free), false);
        }
    }
    build.flat = several || copied_first;
    let trees: Vec<Tree> = trees.into_values().collect();
    let now = Renumbered { tree_of, trees: &trees };
    for of in build.layers.iter_mut().map(|layer| &mut layer.of) {
        *of = of.map(|id| now.result(id));
    }
    for (_, of) in &mut build.helpers {
        *of = of.map(|id| now.result(id));
    }
    let mut all = Vec::new();
    for tree in &trees {
        let base = now.below(&tree.below);
        for (nth, run) in tree.runs.iter().enumerate() {
            let mut run = run.clone();
            run.reads_runs = run.reads_runs.iter().map(|id| now.result(*id)).collect();
            run.below = tree.ids().take(nth).rev().chain(base.iter().copied()).collect();
            all.push(run);
        }
    }
    all.sort_by_key(|run| (run.began, run.id));
    build.runs = all;
}

/// What stands for the runs that there were.
struct Renumbered<'t> {
    tree_of: HashMap<u32, usize>,
    trees: &'t [Tree],
}

impl Renumbered<'_> {
    /// The tree that a run was in, where that has other runs now.
    fn tree(&self, id: u32) -> Option<(usize, &Tree)> {
        let at = *self.tree_of.get(&id)?;
        self.trees.get(at).filter(|tree| !tree.is_same).map(|tree| (at, tree))
    }

    /// The last run in a tree has made it what it is.
    fn result(&self, id: u32) -> u32 {
        self.tree(id).and_then(|(_, tree)| tree.ids().next_back()).unwrap_or(id)
    }

    /// Who stands upon a tree stands upon all that was done there.
    fn below(&self, below: &[u32]) -> Vec<u32> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for id in below {
            match self.tree(*id) {
                Some((at, tree)) if seen.insert(at) => found.extend(tree.ids().rev()),
                Some(_) => {}
                None => found.push(*id),
            }
        }
        found
    }
}

/// The containers of a tree and, for what was done around them, a run of each part.
fn split(runs: &[StepRun], parts: &[&Part], free: &mut u32) -> Vec<StepRun> {
    let Some(like) = runs.first() else { return Vec::new() };
    let mut split: Vec<StepRun> = runs.iter().filter(|run| run.kind == RunKind::Run).cloned().collect();
    for (nth, run) in split.iter_mut().enumerate() {
        let before = parts.iter().rev().find(|part| part.after == nth);
        if let Some(began) = before.and_then(|part| part.prepares.or(run.setup_began)) {
            (run.began, run.first_seq) = (began, began.seq);
        }
    }
    for part in parts {
        let Some(next) = free.checked_add(1) else { break };
        let id = std::mem::replace(free, next);
        split.push(run_of(part, id, like));
    }
    split.sort_by_key(|run| (run.began, run.id));
    split
}

fn run_of(part: &Part, id: u32, like: &StepRun) -> StepRun {
    StepRun {
        id,
        kind: RunKind::Daemon,
        cgroup: None,
        cgroup_id: None,
        mntns: None,
        init: None,
        first_exec: None,
        mounts: Vec::new(),
        exit: None,
        began: part.began,
        ended: Some(part.ended),
        first_seq: part.began.seq,
        last_seq: part.ended.seq,
        made: part.made.clone(),
        // What was copied into the tree is not known of each part.
        reads_context: Vec::new(),
        reads_runs: Vec::new(),
        setup: Vec::new(),
        setup_began: None,
        part: Some(Share { looked: part.looked, by_helper: part.by_helper }),
        ..like.clone()
    }
}

/// Whether what was written between containers in one tree may be of several instructions.
pub(crate) fn spans(build: &Build) -> bool {
    let mut runs: HashMap<&[u8], (usize, bool)> = HashMap::new();
    for run in &build.runs {
        let here = runs.entry(&run.upper).or_default();
        here.0 += 1;
        here.1 |= run.kind == RunKind::Daemon && run.part.is_none_or(|part| !part.by_helper);
    }
    runs.into_values().any(|(runs, of_several)| runs > 1 && of_several)
}
