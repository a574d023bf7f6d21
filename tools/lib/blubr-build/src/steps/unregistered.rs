//! The steps whose results no layer is known to hold yet: from which of them an engine may have registered one.
//!
//! A log may have tens of thousands of either. So that not each is held against each, steps are kept by what they were made upon, and
//! by what was read of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Piece;
use super::register::{MAYBE_MAX, base_of, holds, same_base, without_init};
use crate::build::{Engine, ProcessKey};
use crate::finder::Finder;
use crate::traces::Dir;

/// Steps by when the engine had read them (`seq`), and by their place.
type ByRead = BTreeSet<(u64, usize)>;

/// Those that certainly have a layer of their own, and the others.
#[derive(Default)]
struct Steps([ByRead; 2]);

impl Steps {
    fn of(&mut self, piece: &Piece) -> &mut ByRead {
        &mut self.0[usize::from(!piece.committed)]
    }
}

pub(super) struct Unregistered<'p> {
    finder: &'p Finder,
    pieces: &'p [Piece],
    by_maker: HashMap<ProcessKey, Steps>,
    by_base: HashMap<(ProcessKey, Vec<&'p [u8]>), Steps>,
    /// By each file that was read in a tree, by name and size.
    by_file: HashMap<u64, Steps>,
    by_upper: HashMap<&'p [u8], Vec<usize>>,
    taken: HashSet<&'p [u8]>,
}

impl<'p> Unregistered<'p> {
    pub(super) fn new(finder: &'p Finder, pieces: &'p [Piece]) -> Self {
        let mut all = Unregistered {
            finder,
            pieces,
            by_maker: HashMap::new(),
            by_base: HashMap::new(),
            by_file: HashMap::new(),
            by_upper: HashMap::new(),
            taken: HashSet::new(),
        };
        for (at, piece) in pieces.iter().enumerate() {
            all.by_upper.entry(&piece.run.upper).or_default().push(at);
            all.each(at, |steps, read| _ = steps.of(piece).insert(read));
        }
        all
    }

    /// Does something with each list that a step is, or may be, in.
    fn each(&mut self, at: usize, mut with: impl FnMut(&mut Steps, (u64, usize))) {
        let (finder, piece) = (self.finder, &self.pieces[at]);
        let Some(seq) = read_of(piece) else { return };
        let mut put = |steps: &mut Steps| with(steps, (seq, at));
        put(self.by_maker.entry(piece.maker).or_default());
        let base = base_of(without_init(&piece.run.lowers)).collect();
        put(self.by_base.entry((piece.maker, base)).or_default());
        for file in read_in(finder, &piece.run.upper) {
            put(self.by_file.entry(file).or_default());
        }
    }

    /// A layer is the result of a step: no other is that of one in the same tree.
    pub(super) fn take(&mut self, at: usize) {
        let upper = self.pieces[at].run.upper.as_slice();
        self.taken.insert(upper);
        for at in self.by_upper.remove(upper).unwrap_or_default() {
            let piece = &self.pieces[at];
            self.each(at, |steps, read| _ = steps.of(piece).remove(&read));
        }
    }

    /// The trees of the steps that were taken.
    pub(super) fn taken(self) -> HashSet<Vec<u8>> {
        self.taken.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// The steps that an engine may have registered a layer from, in their order: where that was made upon these layers, and from
    /// one of these trees. Of several those from which it read all that it then wrote, by name and size, and of these such as
    /// were mounted again when they had ended, which is done to read them. Of more trees than `MAYBE_MAX` some more than that.
    pub(super) fn fitting(
        &self,
        maker: ProcessKey,
        dir: &Dir,
        lowers: Option<&'p [Vec<u8>]>,
        uppers: Option<Vec<&[u8]>>,
    ) -> Vec<usize> {
        let written = dir.last_write.unwrap_or(dir.began).seq;
        let fits = |at: usize| {
            let piece = &self.pieces[at];
            piece.maker == maker
                && piece.done.is_some_and(|done| done.seq < dir.began.seq)
                && piece
                    .registering
                    .is_none_or(|(from, to)| from < dir.began.seq && to.is_none_or(|to| to > written))
                && lowers.is_none_or(|lowers| same_base(&piece.run.lowers, lowers))
        };
        let own = uppers.map(|uppers| self.in_trees(&uppers));
        let all = own.as_ref().or_else(|| match lowers {
            Some(lowers) => self.by_base.get(&(maker, base_of(lowers).collect())),
            None => self.by_maker.get(&maker),
        });
        if dir.written.is_empty() {
            // Nothing tells them apart.
            return self.few(all.into_iter().flat_map(|steps| &steps.0), written, fits);
        }
        // The file that the fewest were read with.
        let files = dir.written.iter().filter(|(_, size)| *size > 0);
        let lists = files.map(|(name, size)| self.by_file.get(&self.finder.read_as.number(name, *size)));
        let with_file =
            lists.min_by_key(|steps| steps.map_or(0, |steps| steps.0.iter().map(ByRead::len).sum()));
        let same = |at: usize| fits(at) && holds(self.finder, &self.pieces[at].run.upper, dir);
        let holding = with_file.filter(|_| own.is_none()).unwrap_or(all);
        let sure = |steps: Option<&Steps>, fits: &dyn Fn(usize) -> bool| {
            let mut kinds = steps.into_iter().flat_map(|steps| &steps.0);
            kinds.find_map(|one| Some(self.few([one], written, fits)).filter(|few| !few.is_empty()))
        };
        sure(holding, &same).or_else(|| sure(all, &fits)).unwrap_or_default()
    }

    /// The steps in some trees.
    fn in_trees(&self, uppers: &[&[u8]]) -> Steps {
        let mut steps = Steps::default();
        for &at in uppers.iter().filter_map(|upper| self.by_upper.get(upper)).flatten() {
            let piece = &self.pieces[at];
            if let Some(seq) = read_of(piece) {
                steps.of(piece).insert((seq, at));
            }
        }
        steps
    }

    /// The steps read before `written` that fit, in their order, until they are of too many trees.
    fn few<'s>(
        &self,
        lists: impl IntoIterator<Item = &'s ByRead>,
        written: u64,
        fits: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let (mut few, mut uppers) = (Vec::new(), HashSet::new());
        let read = lists.into_iter().flat_map(|list| list.range(..(written, 0)));
        for at in read.map(|(_, at)| *at).filter(|at| fits(*at)) {
            uppers.insert(self.pieces[at].run.upper.as_slice());
            few.push(at);
            if uppers.len() > MAYBE_MAX {
                break;
            }
        }
        few.sort_unstable();
        few
    }
}

/// When the engine had read what a step left. BuildKit's steps are layers themselves.
fn read_of(piece: &Piece) -> Option<u64> {
    piece.exported.filter(|_| piece.shape != Some(Engine::BuildKit))
}

/// What was read in a tree, by name and size, as numbers.
fn read_in<'f>(finder: &'f Finder, upper: &[u8]) -> impl Iterator<Item = u64> + use<'f> {
    let overlay = finder.overlay_of(upper).map(|overlay| &finder.overlays[overlay].exports);
    let dir = finder.dir_of(upper).map(|dir| &dir.reads);
    let reads = dir.into_iter().flatten().map(|(_, name, size)| finder.read_as.number(name, *size));
    overlay.into_iter().flatten().copied().chain(reads)
}
