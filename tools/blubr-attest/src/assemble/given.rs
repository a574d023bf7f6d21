//! What the record says of the files behind the names of a run's tree: made with which bits, given to whom, left how long.
//!
//! It is kept as a set of what was said, not as a history: names are reused, calls race, and symlinks lead elsewhere, so
//! that the one value which must hold at the end can't always be told. A value that was never given can.

use std::collections::BTreeMap;

use blubr_log::event::{Dev, Perm};
use blubr_log::{Body, Event, Name};

use super::gather::RING_FILE;

/// Names of which something is kept; a count.
const NAMES_MAX: usize = 400_000;
/// What is kept of one name; a count. A name that changes hands more often than that is not judged.
const FACTS_MAX: usize = 48;
/// Bytes of memory that all of it may take.
const BYTES_MAX: usize = 96 * 1024 * 1024;
/// Bytes that an entry of a map takes besides its key's characters and its value: its share of a B-tree, and two allocations.
const ENTRY_BYTES: usize = 96;
/// Bytes of an extended attribute's value that are compared.
const VALUE_MAX: usize = 4096;

/// Kinds of files, as far as events make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket: no layer holds one.
    Socket,
    /// A device.
    Device {
        /// `c` or `b`, as in mknod(1).
        letter: u8,
        /// Which.
        dev: Dev,
    },
}

/// An extended attribute that was set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Its name.
    pub name: Vec<u8>,
    /// What it was set to; `None` where that is not known.
    pub value: Option<Vec<u8>>,
}

/// One thing that an event says of the file behind a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// It was made.
    Made(Made),
    /// The bits that it had, or was set to.
    Perm(u32),
    /// The bits that it was made with, before the umask took some away.
    Asked(u32),
    /// Its owner, set by number.
    Owner(u32),
    /// Its maker's user id, in the initial user namespace.
    Maker(u32),
    /// Its group, set by number.
    Group(u32),
    /// Its length at a moment after which only another event can have changed it.
    Size(u64),
    /// What a symlink holds.
    Target(Box<[u8]>),
    /// An extended attribute.
    Xattr(Box<Xattr>),
    /// An extended attribute was taken away.
    Without,
    /// It had that name before.
    Other(Box<[u8]>),
    /// It is a further name of the file which has, or had, that one; or, if that is a symlink, perhaps of where it leads.
    Linked(Box<[u8]>),
    /// The file got that name too; what made it must be known from elsewhere.
    Also(Box<[u8]>),
    /// The name was taken away, or given to another file.
    Gone,
    /// Its length may be another.
    AnySize,
    /// Nothing can be said of it: it came from a place that is not followed.
    Anything,
}

impl Fact {
    /// Whether an engine that gives such a number most likely means one of a user namespace.
    fn is_number_of_namespace(&self) -> bool {
        matches!(self, Fact::Owner(id) | Fact::Group(id) if *id >= NAMESPACE_NUMBERS_MIN)
    }

    /// Bytes that it takes in memory.
    fn cost(&self) -> usize {
        let heap = match self {
            Fact::Target(name) | Fact::Other(name) | Fact::Linked(name) | Fact::Also(name) => name.len(),
            Fact::Xattr(xattr) => {
                size_of::<Xattr>() + xattr.name.len() + xattr.value.as_ref().map_or(0, Vec::len)
            }
            _ => 0,
        };
        size_of::<Self>() + heap
    }

    /// Whether it is a value that a call by name gives to the file behind it.
    pub fn is_value(&self) -> bool {
        matches!(self, Fact::Perm(_) | Fact::Owner(_) | Fact::Group(_) | Fact::Xattr(_) | Fact::Size(_))
            || *self == Fact::Without
    }

    /// Whether a capability may be gone by it: with another owner or content (security_inode_killpriv), or by itself.
    pub fn takes_capability(&self) -> bool {
        matches!(self, Fact::Owner(_) | Fact::Group(_) | Fact::Size(_) | Fact::AnySize | Fact::Without)
    }

    /// Whether the name is another file's from then on, or may be.
    fn replaces(&self) -> bool {
        matches!(self, Fact::Made(_) | Fact::Other(_) | Fact::Linked(_) | Fact::Gone | Fact::Anything)
    }
}

/// Numbers below this one are those of a host's own users; containers of a user namespace begin above (subuid(5)).
const NAMESPACE_NUMBERS_MIN: u32 = 65_536;

/// What was said of one name.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Each once.
    pub facts: Vec<Fact>,
    /// When the first of it was said (`seq`).
    pub first: u64,
    /// When the last.
    pub last: u64,
    /// Extended attributes that the container set, and when each was last.
    pub set: Vec<(Xattr, u64)>,
    /// When the name last went to another file, or may have (`seq`; 0 for never).
    pub replaced: u64,
    /// When what it has was last changed so that a capability may be gone.
    pub changed: u64,
    /// When it last became a further name of another's file.
    pub linked: u64,
}

impl Said {
    /// Takes in one more, in `room` bytes at most: what has none leaves the name unknown.
    fn add(&mut self, fact: Fact, seq: u64, room: &mut usize) {
        if self.facts.is_empty() {
            self.first = seq;
        }
        self.last = seq;
        if fact.replaces() {
            self.replaced = self.replaced.max(seq);
        }
        if fact.takes_capability() {
            self.changed = seq;
        }
        if matches!(fact, Fact::Linked(_)) {
            self.linked = seq;
        }
        if self.facts.contains(&fact) {
            return;
        }
        match room.checked_sub(fact.cost()) {
            Some(left) if self.facts.len() < FACTS_MAX => {
                *room = left;
                self.facts.push(fact);
            }
            _ => match self.facts.last_mut() {
                Some(last) => *last = Fact::Anything,
                None => self.facts.push(Fact::Anything),
            },
        }
    }

    /// The container set an extended attribute. Beyond what is kept of one name, or of all, it is not known what it has.
    fn set(&mut self, xattr: &Xattr, seq: u64, room: &mut usize) {
        self.set.retain(|(known, _)| known.name != xattr.name);
        let cost = Fact::Xattr(Box::new(xattr.clone())).cost();
        match room.checked_sub(cost).filter(|_| self.set.len() < FACTS_MAX) {
            Some(left) => {
                *room = left;
                self.set.push((xattr.clone(), seq));
            }
            None => self.replaced = u64::MAX,
        }
    }
}

/// A value that a call gave to a file which the log can't tell for certain: by the caller's string. It holds for what the
/// string means in the end, and may hold for any file of that last name, for the directories may have been other ones;
/// where nothing is known of the name, or it was a symlink, for any file of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// The string, as the container sees it.
    pub path: Vec<u8>,
    /// The string was changed during the call, or cut: it says nothing.
    pub unsure: bool,
    /// When (`seq`).
    pub seq: u64,
    /// The value.
    pub fact: Fact,
}

/// What was said of the names of all runs' trees.
#[derive(Debug)]
pub struct Given {
    /// By run and name as the container sees it.
    pub said: BTreeMap<(u32, Vec<u8>), Said>,
    /// By run what calls gave to names as their callers spell them.
    pub loose: BTreeMap<u32, Vec<Loose>>,
    /// Too much was said to keep it all.
    pub left_out: bool,
    /// Some process of the build has, or may have, user and group numbers of its own (a user namespace).
    pub own_numbers: bool,
    /// The kernel notes what overlays hold in attributes that layers keep: they are, or may be, mounted with `userxattr`
    /// (fs/overlayfs/params.c), as in a user namespace.
    pub kernel_notes: bool,
    /// Recorders before `perm` did not tell how files are made.
    pub tells_perm: bool,
    /// A step mounted or unmounted something itself: one file may have names that are not followed.
    pub mounts: bool,
    /// Bytes of memory that are left for what is said.
    room: usize,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            said: BTreeMap::new(),
            loose: BTreeMap::new(),
            left_out: false,
            own_numbers: false,
            kernel_notes: false,
            tells_perm: false,
            mounts: false,
            room: BYTES_MAX,
        }
    }
}

/// Where an event's names lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// In the tree, by this name.
    Here(Vec<u8>),
    /// Below a mount point of it, elsewhere, or unknown.
    Elsewhere,
}

impl Given {
    /// Takes in an event of a run, of its container or of the engine's work around it. `place` says where a name lies.
    pub fn learn(
        &mut self,
        run: u32,
        by_engine: bool,
        event: &Event<'_>,
        place: &mut dyn FnMut(&[u8]) -> Where,
    ) {
        if event.failed() {
            return;
        }
        let is_mount = matches!(event.body, Body::MountMount(_));
        self.mounts |= !by_engine && (is_mount || matches!(event.body, Body::MountUmount(_)));
        self.own_numbers |= by_engine && is_mount && event.head.uid != 0;
        self.kernel_notes |= by_engine && has_notes_for_users(event);
        let Some((name, facts)) = facts(event) else { return };
        if let (Body::FileOpen(open), Some(name)) = (&event.body, name)
            && open.mode.writes()
            && let Where::Here(path) = place(name.bytes())
        {
            self.opened(run, &path, event.head.seq);
        }
        if facts.is_empty() && !matches!(event.body, Body::FileRename(_) | Body::FileLink(_)) {
            return;
        }
        // Of a path that was cut there is the tail, which is another's name.
        let name = name.filter(|_| !event.tail.is_cut("path"));
        let raced = event.tail.path_from.as_ref().is_some_and(|from| from.bytes() == b"user-raced");
        let seq = event.head.seq;
        let at = name.map_or(Where::Elsewhere, |name| place(name.bytes()));
        // Who works on a container's tree as a user has a namespace of its own. A runtime becomes the step's USER only when
        // the tree is done.
        self.own_numbers |= by_engine && event.head.uid != 0 && matches!(at, Where::Here(_));
        for fact in facts {
            let strange = by_engine && fact.is_number_of_namespace();
            self.own_numbers |= strange;
            if event.tail.path_from.is_some() && fact.is_value() {
                self.loosely((run, seq), by_engine, name, &at, raced, &fact);
            }
            self.tells_perm |= matches!(fact, Fact::Perm(_)) && matches!(event.body, Body::FileOpen(_));
            if let Where::Here(path) = &at {
                if by_engine && matches!(event.body, Body::FileUnlink(_)) {
                    self.cleared(run, path, seq);
                    continue;
                }
                self.add(run, path, fact.clone(), seq);
                if let Fact::Xattr(xattr) = &fact {
                    self.set(run, path, xattr, seq, !by_engine && !raced && event.tail.ret == Some(0));
                }
            }
        }
        let mut placed = |to: &[u8]| if event.tail.is_cut("to") { Where::Elsewhere } else { place(to) };
        // What may have failed, or by another name, leaves open what became of the names.
        let name = name.filter(|_| !raced && event.tail.ret == Some(0));
        self.names(run, event, name, &at, &mut placed);
    }

    /// A stranger changed something: whatever it was, the file is no longer known.
    pub fn meddled(&mut self, run: u32, path: &[u8], seq: u64) {
        self.add(run, path, Fact::Anything, seq);
    }

    /// Renames and links: the names go to other files.
    fn names(
        &mut self,
        run: u32,
        event: &Event<'_>,
        name: Option<&Name<'_>>,
        at: &Where,
        place: &mut dyn FnMut(&[u8]) -> Where,
    ) {
        let seq = event.head.seq;
        let place_of = |to: Option<&Name<'_>>, place: &mut dyn FnMut(&[u8]) -> Where| {
            to.map_or(Where::Elsewhere, |to| place(to.bytes()))
        };
        match &event.body {
            Body::FileRename(it) => {
                let to = place_of(it.to.get(), place);
                let mut renamed = |from: &Where, to: &Where| {
                    let Where::Here(to) = to else { return };
                    self.add(run, to, Fact::Gone, seq);
                    self.add(run, to, came(name, from, Fact::Other), seq);
                };
                renamed(at, &to);
                if it.exchange.0 {
                    renamed(&to, at);
                } else if let Where::Here(from) = at {
                    self.add(run, from, Fact::Gone, seq);
                }
            }
            Body::FileLink(it) => {
                let to = place_of(it.to.get(), place);
                if let Where::Here(to) = &to {
                    self.add(run, to, Fact::Gone, seq);
                    self.add(run, to, came(name, at, Fact::Linked), seq);
                }
                if let Where::Here(from) = at {
                    self.add(run, from, came(name, &to, Fact::Also), seq);
                }
            }
            _ => {}
        }
    }

    /// Pairs of names in a run's tree that an event made names of one file.
    pub fn linked(&self, run: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
        let of_run = self.said.range((run, Vec::new())..).take_while(move |((of, _), _)| *of == run);
        of_run.flat_map(|((_, path), said)| {
            said.facts.iter().filter_map(move |fact| match fact {
                Fact::Linked(other) => Some((path.as_slice(), &**other)),
                _ => None,
            })
        })
    }

    /// Takes in an event of the build: whether numbers may mean another user than the layer's.
    pub fn numbers(&mut self, event: &Event<'_>) {
        if event.failed() {
            return;
        }
        let namespaces = match &event.body {
            Body::NsUnshare(it) => &it.namespaces,
            Body::NsSetns(it) => &it.namespaces,
            _ => return,
        };
        self.own_numbers |=
            namespaces.iter().any(|name| name == b"user") || namespaces.iter().next().is_none();
    }

    fn loosely(
        &mut self,
        (run, seq): (u32, u64),
        by_engine: bool,
        name: Option<&Name<'_>>,
        at: &Where,
        raced: bool,
        fact: &Fact,
    ) {
        let path = match (at, name) {
            (Where::Here(path), _) => path.clone(),
            // What an engine does elsewhere is not about this tree, unless by a descriptor's name in /proc.
            (Where::Elsewhere, Some(name)) if by_engine && !name.bytes().starts_with(b"/proc/") => {
                return;
            }
            (Where::Elsewhere, name) => name.map_or_else(Vec::new, |name| name.bytes().to_vec()),
        };
        let cost = size_of::<Loose>() + path.len() + fact.cost();
        let list = self.loose.entry(run).or_default();
        match self.room.checked_sub(cost) {
            Some(left) if list.len() < NAMES_MAX => {
                self.room = left;
                list.push(Loose { unsure: raced || name.is_none(), path, seq, fact: fact.clone() });
            }
            _ => self.left_out = true,
        }
    }

    fn add(&mut self, run: u32, path: &[u8], fact: Fact, seq: u64) {
        let key = (run, path.to_vec());
        if !self.said.contains_key(&key) {
            match self.room.checked_sub(path.len() + size_of::<Said>() + ENTRY_BYTES) {
                Some(left) if self.said.len() < NAMES_MAX => self.room = left,
                _ => {
                    self.left_out = true;
                    return;
                }
            }
        }
        self.said.entry(key).or_default().add(fact, seq, &mut self.room);
    }

    /// The engine took a name away: of what its layer has, it did so when the layer was made.
    fn cleared(&mut self, run: u32, path: &[u8], seq: u64) {
        let key = (run, path.to_vec());
        let before = self.said.get(&key).map_or(0, |said| said.replaced);
        self.add(run, path, Fact::Gone, seq);
        if let Some(said) = self.said.get_mut(&key) {
            said.replaced = before;
        }
    }

    /// An extended attribute was set: by the container, on what the name certainly is, or otherwise.
    fn set(&mut self, run: u32, path: &[u8], xattr: &Xattr, seq: u64, certain: bool) {
        let Some(said) = self.said.get_mut(&(run, path.to_vec())) else { return };
        if certain {
            said.set(xattr, seq, &mut self.room);
        } else {
            said.replaced = said.replaced.max(seq);
        }
    }

    /// A file was opened for writing: with its content a capability goes, whenever it is closed.
    fn opened(&mut self, run: u32, path: &[u8], seq: u64) {
        if let Some(said) = self.said.get_mut(&(run, path.to_vec())) {
            said.changed = seq;
        }
    }
}

/// A file that came from a place: from nowhere known if that is not in the tree.
fn came(name: Option<&Name<'_>>, from: &Where, fact: fn(Box<[u8]>) -> Fact) -> Fact {
    match from {
        Where::Here(path) if name.is_some() => fact(path.as_slice().into()),
        _ => Fact::Anything,
    }
}

/// What an event says of the file behind its first name; `None` if it is about no file.
fn facts<'e>(event: &'e Event<'_>) -> Option<(Option<&'e Name<'e>>, Vec<Fact>)> {
    let maker = Fact::Maker(event.head.uid);
    let found = match &event.body {
        Body::FileOpen(it) if it.path.get().is_some_and(|path| path.bytes() == RING_FILE) => {
            return None;
        }
        Body::FileOpen(it) => {
            let mut facts = Vec::new();
            if let Some(Perm(perm)) = it.perm.filter(|_| !it.tmpfile.0) {
                facts = vec![Fact::Gone, Fact::Made(Made::File), Fact::Perm(perm), maker];
            }
            // Of what is open for writing the close tells the length.
            if !it.mode.writes() && (it.truncate.0 || !facts.is_empty()) {
                facts.push(Fact::Size(0));
            }
            (it.path.get(), facts)
        }
        Body::FileClose(it) => (it.path.get(), vec![it.size.map_or(Fact::AnySize, Fact::Size)]),
        Body::FileMkdir(it) => {
            (it.path.get(), vec![Fact::Gone, Fact::Made(Made::Dir), Fact::Asked(it.mode.0), maker])
        }
        Body::FileMknod(it) => {
            let made = match (it.kind.bytes(), it.rdev) {
                (b"fifo", _) => Made::Fifo,
                (b"char", Some(dev)) => Made::Device { letter: b'c', dev },
                (b"block", Some(dev)) => Made::Device { letter: b'b', dev },
                (b"socket", _) => Made::Socket,
                (b"file", _) => Made::File,
                _ => return Some((it.path.get(), vec![Fact::Anything])),
            };
            (
                it.path.get(),
                vec![Fact::Gone, Fact::Made(made), Fact::Asked(it.mode.0), Fact::Size(0), maker],
            )
        }
        Body::FileSymlink(it) => {
            let target = it.target.get().map_or(Fact::Anything, |to| Fact::Target(to.bytes().into()));
            (it.path.get(), vec![Fact::Gone, Fact::Made(Made::Symlink), target, maker])
        }
        Body::FileUnlink(it) => (it.path.get(), vec![Fact::Gone]),
        Body::FileChmod(it) => (it.path.get(), vec![Fact::Perm(it.mode.0)]),
        Body::FileChown(it) => (
            it.path.get(),
            it.owner.map(Fact::Owner).into_iter().chain(it.group.map(Fact::Group)).collect(),
        ),
        // What fallocate does to the length its flags say, which are not told; a descriptor's close follows.
        Body::FileTruncate(it) if event.tail.path_from.is_none() => (it.path.get(), vec![]),
        Body::FileTruncate(it) => (it.path.get(), vec![Fact::Size(it.size)]),
        // What a removal leaves is what was there without it.
        Body::FileSetxattr(it) if it.remove.0 => (it.path.get(), vec![Fact::Without]),
        Body::FileSetxattr(it) => (it.path.get(), vec![xattr(event, it)]),
        Body::FileRename(it) => (it.path.get(), vec![]),
        Body::FileLink(it) => (it.path.get(), vec![]),
        _ => return None,
    };
    Some(found)
}

/// Whether an overlay is mounted that keeps its notes where its user may, as far as its options are known.
fn has_notes_for_users(event: &Event<'_>) -> bool {
    let Body::MountMount(it) = &event.body else { return false };
    let is_overlay = it.fstype.as_ref().is_some_and(|fstype| fstype.bytes() == b"overlay");
    let has_word = |options: &Name<'_>| {
        options.bytes().split(|byte| *byte == b',').any(|word| word == b"userxattr")
    };
    is_overlay && (it.options.as_ref().is_some_and(has_word) || event.tail.is_cut("options"))
}

fn xattr(event: &Event<'_>, it: &blubr_log::event::FileSetxattr<'_>) -> Fact {
    let Some(name) = it.name.get() else { return Fact::Anything };
    let cut = event.tail.is_cut("value");
    let value = it.value.as_ref().map(Name::bytes).filter(|value| !cut && value.len() <= VALUE_MAX);
    Fact::Xattr(Box::new(Xattr { name: name.bytes().to_vec(), value: value.map(<[u8]>::to_vec) }))
}
