//! Where a path went when a directory above it got another name.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::lengths::Lengths;
use super::paths::upwards;

/// How many renames one path is followed through; a build that moves a tree about more often is not checked.
const FOLLOWED_MAX: usize = 1_000;

/// Bytes of directories' names that are looked up for all paths of an image together, and of each look-up something more:
/// some seconds. Who moves deep trees about for long is not checked.
const LOOKED_BYTES_MAX: u64 = 1 << 33;
/// Names that are taken along with their directories, and their bytes; of what is beyond it is not known who made it.
const CARRIED_MAX: usize = 200_000;
const CARRIED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a look-up takes besides, as bytes.
const LOOK_BYTES: u64 = 32;

/// What may still be looked up.
pub(super) type Looks = Rc<Cell<u64>>;

/// All that may be looked up for an image.
pub(super) fn looks() -> Looks {
    Rc::new(Cell::new(LOOKED_BYTES_MAX))
}

/// The renames of some steps.
pub(super) struct Renames {
    by_old: HashMap<Vec<u8>, BTreeMap<u64, Vec<u8>>>,
    /// Of the old names.
    lengths: Lengths,
    /// By the new name; several where it is not known which of two names was meant.
    by_new: HashMap<Vec<u8>, BTreeMap<u64, BTreeSet<Vec<u8>>>>,
    /// Of the new names.
    new_lengths: Lengths,
    looks: Looks,
}

impl Default for Renames {
    fn default() -> Self {
        Self::new(looks())
    }
}

impl Renames {
    /// None yet.
    pub(super) fn new(looks: Looks) -> Self {
        Self {
            by_old: HashMap::new(),
            lengths: Lengths::default(),
            by_new: HashMap::new(),
            new_lengths: Lengths::default(),
            looks,
        }
    }

    /// Something got the name `to`.
    pub(super) fn add(&mut self, from: Vec<u8>, to: Vec<u8>, seq: u64) {
        self.lengths.note(from.len());
        self.new_lengths.note(to.len());
        self.by_new.entry(to.clone()).or_default().entry(seq).or_default().insert(from.clone());
        self.by_old.entry(from).or_default().insert(seq, to);
    }

    /// The name that what was called `path` got by the event `seq`.
    pub(super) fn at(&self, path: &[u8], seq: u64) -> Option<&[u8]> {
        Some(self.by_old.get(path)?.get(&seq)?)
    }

    /// The directories above that have been given other names at some time.
    fn renamed_above<'a>(
        &'a self,
        path: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a BTreeMap<u64, Vec<u8>>)> {
        let known = |dir: &&[u8]| self.lengths.has(dir.len());
        upwards(path).skip(1).filter(known).filter_map(|dir| {
            self.look(dir.len());
            Some((dir, self.by_old.get(dir)?))
        })
    }

    fn look(&self, bytes: usize) {
        self.looks.set(self.looks.get().saturating_sub(bytes as u64 + LOOK_BYTES));
    }

    /// The next name that what is called `path` got after `seq`, and when.
    pub(super) fn next(&self, path: &[u8], seq: u64) -> Option<(u64, &[u8])> {
        if !self.lengths.has(path.len()) || self.looks.get() == 0 {
            return None;
        }
        self.look(path.len());
        let (when, to) = self.by_old.get(path)?.range(seq.checked_add(1)?..).next()?;
        Some((*when, to))
    }

    /// What `path`, as it is at the end, was called before all renames; several where one of them is not certain. `None` when
    /// there are too many.
    pub(super) fn origins(&self, path: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut found, mut waiting) = (Vec::new(), vec![(path.to_vec(), u64::MAX)]);
        for _ in 0..FOLLOWED_MAX {
            let Some((path, before)) = waiting.pop() else { return Some(found) };
            if self.looks.get() == 0 {
                return None;
            }
            let known = |dir: &&[u8]| self.new_lengths.has(dir.len());
            let last = upwards(&path).filter(known).filter_map(|dir| {
                self.look(dir.len());
                let (when, from) = self.by_new.get(dir)?.range(..before).next_back()?;
                Some((*when, dir.len(), from))
            });
            match last.max_by_key(|(when, cut, _)| (*when, *cut)) {
                None => found.push(path.clone()),
                Some((when, cut, from)) => {
                    let rest = path.get(cut..).unwrap_or_default();
                    waiting.extend(from.iter().map(|from| ([from.as_slice(), rest].concat(), when)));
                }
            }
        }
        waiting.is_empty().then_some(found)
    }

    /// Whether something got the name `path` by a rename after `seq`.
    pub(super) fn gives(&self, path: &[u8], seq: u64) -> bool {
        if !self.new_lengths.has(path.len()) {
            return false;
        }
        self.look(path.len());
        let last = self.by_new.get(path).and_then(|named| named.keys().next_back());
        last.is_some_and(|last| *last > seq)
    }

    /// What `path` is called at the end, that was changed at `seq`: by the renames of directories above it. `None` when
    /// there are too many.
    pub(super) fn follow(&self, path: &[u8], seq: u64) -> Option<Vec<u8>> {
        self.follow_since(path, seq).map(|(path, _)| path)
    }

    /// The same, and since when it is called that: `seq` where no directory above it was renamed.
    pub(super) fn follow_since(&self, path: &[u8], seq: u64) -> Option<(Vec<u8>, u64)> {
        let (mut path, mut seq) = (path.to_vec(), seq);
        if self.by_old.is_empty() {
            return Some((path, seq));
        }
        for _ in 0..FOLLOWED_MAX {
            if self.looks.get() == 0 {
                return None;
            }
            let next = self.renamed_above(&path).filter_map(|(dir, later)| {
                let (when, to) = later.range(seq.checked_add(1)?..).next()?;
                Some((*when, to, dir.len()))
            });
            let Some((when, to, cut)) = next.min() else { return Some((path, seq)) };
            path = [to.as_slice(), path.get(cut..).unwrap_or_default()].concat();
            seq = when;
        }
        None
    }

    /// Of the new names those of directories that were not `made` under the old one before: what lies below them came along from
    /// a lower layer, without events of its own. With when they last got them.
    pub(super) fn carried(&self, made: &BTreeMap<Vec<u8>, u64>) -> BTreeMap<Vec<u8>, u64> {
        let mut in_order: Vec<(u64, &[u8], &[u8])> = self
            .by_old
            .iter()
            .flat_map(|(from, later)| {
                later.iter().map(|(seq, to)| (*seq, from.as_slice(), to.as_slice()))
            })
            .collect();
        in_order.sort_unstable();
        let mut known = made.clone();
        let mut from_below = BTreeMap::new();
        let (mut names, mut bytes) = (CARRIED_MAX, CARRIED_BYTES_MAX);
        for (seq, from, to) in in_order {
            if known.get(from).is_some_and(|made| *made < seq) {
                known.insert(to.to_vec(), seq);
            } else {
                from_below.insert(to.to_vec(), seq);
            }
            // What was made in it goes along.
            let below = [from, b"/"].concat();
            let mut along = Vec::new();
            let inside = known.range(below.clone()..).take_while(|(name, _)| name.starts_with(&below));
            for (name, _) in inside.filter(|(_, made)| **made < seq) {
                let name = [to, name.get(from.len()..).unwrap_or_default()].concat();
                self.look(name.len());
                if names == 0 || bytes < name.len() || self.looks.get() == 0 {
                    break;
                }
                (names, bytes) = (names - 1, bytes - name.len());
                along.push((name, seq));
            }
            known.extend(along);
        }
        from_below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(list: &[(u64, &str, &str)]) -> Renames {
        let mut renames = Renames::default();
        for (seq, from, to) in list {
            renames.add(from.as_bytes().to_vec(), to.as_bytes().to_vec(), *seq);
        }
        renames
    }

    fn follow(renames: &Renames, path: &str, seq: u64) -> String {
        String::from_utf8(renames.follow(path.as_bytes(), seq).unwrap()).unwrap()
    }

    #[test]
    fn a_path_goes_with_its_directories() {
        let all = renames(&[(10, "/d", "/d2"), (20, "/d2/e", "/e"), (30, "/d2", "/d3")]);
        assert_eq!(follow(&all, "/d/e/f", 5), "/e/f");
        assert_eq!(follow(&all, "/d/x", 5), "/d3/x");
        assert_eq!(follow(&all, "/d/x", 15), "/d/x");
        assert_eq!(follow(&all, "/d2/e/f", 25), "/d3/e/f");
        assert_eq!(follow(&all, "/d", 5), "/d", "the name itself has a change of its own");
        assert_eq!(follow(&all, "/dd/x", 5), "/dd/x");
        assert_eq!(all.follow_since(b"/d/x", 5), Some((b"/d3/x".to_vec(), 30)));
        assert_eq!(all.follow_since(b"/d/x", 15), Some((b"/d/x".to_vec(), 15)));
        assert!(all.gives(b"/d3", 29) && !all.gives(b"/d3", 30) && !all.gives(b"/d", 5));
    }

    #[test]
    fn names_are_exchanged() {
        let all = renames(&[(10, "/l", "/r"), (10, "/r", "/l")]);
        assert_eq!(follow(&all, "/l/x", 5), "/r/x");
        assert_eq!(follow(&all, "/r/y", 5), "/l/y");
    }

    #[test]
    fn a_tree_that_never_rests_is_given_up() {
        let mut all = Renames::default();
        for seq in 1..3_000 {
            let (from, to) = if seq % 2 == 1 { ("/a", "/b") } else { ("/b", "/a") };
            all.add(from.into(), to.into(), seq);
        }
        assert_eq!(all.follow(b"/a/x", 0), None);
    }

    #[test]
    fn many_deep_paths_end() {
        let mut all = Renames::new(Rc::new(Cell::new(1_000_000)));
        for level in 1..1_000 {
            all.add("/d".repeat(level).into(), "/e".into(), 1);
        }
        let deep = "/d".repeat(2_000);
        let followed = (0..1_000).take_while(|_| all.follow(deep.as_bytes(), 5).is_some()).count();
        assert_eq!(followed, 1, "a thousand names of half a thousand bytes are looked up for each");
    }

    #[test]
    fn what_was_made_in_a_directory_goes_along_with_it() {
        let all = renames(&[(10, "/x", "/w"), (20, "/w/y", "/z"), (30, "/w/old", "/v")]);
        let from_below = all.carried(&[(b"/x/y".to_vec(), 5)].into());
        assert_eq!(from_below.into_keys().collect::<Vec<_>>(), [b"/v", b"/w"]);
    }

    #[test]
    fn a_path_is_followed_back() {
        let mut all = renames(&[(10, "/d", "/e"), (20, "/e/s", "/e/t"), (30, "/e", "/f")]);
        let origins = |all: &Renames, path: &str| {
            let found = all.origins(path.as_bytes()).unwrap().into_iter();
            found.map(|path| String::from_utf8(path).unwrap()).collect::<BTreeSet<_>>()
        };
        let one = |path: &str| BTreeSet::from([path.to_owned()]);
        assert_eq!(origins(&all, "/f/x"), one("/d/x"));
        assert_eq!(origins(&all, "/f/t/x"), one("/d/s/x"));
        assert_eq!(origins(&all, "/f"), one("/d"));
        assert_eq!(origins(&all, "/ff/x"), one("/ff/x"));
        all.add(b"/other".to_vec(), b"/f".to_vec(), 30);
        assert_eq!(origins(&all, "/f/x"), ["/d/x", "/other/x"].map(str::to_owned).into());
        let exchanged = renames(&[(10, "/l", "/r"), (10, "/r", "/l")]);
        assert_eq!(origins(&exchanged, "/l/x"), one("/r/x"));
        let mut restless = Renames::default();
        for seq in 1..3_000 {
            let (from, to) = if seq % 2 == 1 { ("/a", "/b") } else { ("/b", "/a") };
            restless.add(from.into(), to.into(), seq);
        }
        assert_eq!(restless.origins(b"/b/x"), None);
    }

    #[test]
    fn only_what_no_step_made_comes_from_below() {
        let all = renames(&[(10, "/made", "/x"), (20, "/x", "/y"), (30, "/old", "/z")]);
        let from_below = all.carried(&[(b"/made".to_vec(), 5), (b"/old".to_vec(), 31)].into());
        assert_eq!(from_below.into_iter().collect::<Vec<_>>(), [(b"/z".to_vec(), 30)]);
    }
}
