//! What engines read and write in their trees: copies, exports, contexts.

use blubr_log::Name;
use blubr_log::event::{FileClose, FileOpen, OpenMode};

use crate::build::{Moment, ProcessKey};
use crate::context::ContextFile;
use crate::parts::Part;
use crate::traces::{Source, Span};

use super::{Finder, NAME_BYTES, READS_MAX};

/// Files of one context that are remembered by name.
const CONTEXT_FILES_MAX: usize = 1 << 16;
/// Reads of a context's files that are remembered.
const CONTEXT_READS_MAX: usize = 1 << 12;
/// Files of one step's copy that are compared with contexts.
const COPIED_MAX: usize = 64;
/// What was read in one overlay that is remembered, and in all.
const EXPORTS_MAX: usize = 1 << 18;
const ALL_EXPORTS_MAX: usize = 1 << 21;
/// Mounts of trees from before the log that one directory's files were copied from: BuildKit makes one for each source.
const OLDER_MAX: usize = 16;
/// Layers that are put together in one.
const MERGED_MAX: usize = 256;

/// What a thread of an engine read last.
pub(super) struct LastRead {
    seq: u64,
    from: ReadFrom,
}

enum ReadFrom {
    /// A tree or directory, and the name in it: empty of itself; none where a view hides it.
    Known(Source, Option<Vec<u8>>),
    /// One from before the log: where it is mounted.
    Older(Vec<u8>),
}

/// What an engine made in a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Folder,
    /// A file that it opened to write to.
    File,
    /// A link, a device, or what was made elsewhere.
    Other,
}

impl Finder {
    /// The engine whose work this process does.
    pub(super) fn works_for(&self, key: ProcessKey) -> Option<ProcessKey> {
        if self.makers.contains_key(&key) { Some(key) } else { self.helpers.get(&key).copied() }
    }

    /// Where in an engine's trees a path lies: an overlay, or a directory of the store.
    pub(super) fn place(&self, path: &[u8]) -> Option<(Source, usize)> {
        let within = self.mounts.within(path);
        let within =
            within.map(|within| (Source::Overlay(within.overlay), path.len() - within.rest.len()));
        let overlay = self.by_upper.nearest(path, |overlay| Some(Source::Overlay(*overlay)));
        let dir = self.by_dir.nearest(path, |dir| Some(Source::Dir(*dir)));
        let nearer = match (overlay, dir) {
            (Some(overlay), Some(dir)) if dir.0 > overlay.0 => Some(dir),
            (overlay, dir) => overlay.or(dir),
        };
        let nearer = nearer.map(|(length, source)| (source, length));
        // The store of an engine in a container lies in that container's tree.
        match (within, nearer) {
            (Some(tree), Some(store)) if store.1 > tree.1 => Some(store),
            (within, nearer) => within.or(nearer),
        }
    }

    /// The same, where no view is mounted nearer: those of an engine in a container lie in that container's tree.
    fn place_unviewed(&self, path: &[u8]) -> Option<(Source, usize)> {
        let view = self.view_above(path).map_or(0, <[u8]>::len);
        self.place(path).filter(|(_, cut)| *cut >= view)
    }

    /// Where it lies, if the process may work there as an engine: one of a container, whatever it looks like in there, is none to
    /// trees and directories that were made outside.
    pub(super) fn workplace(&self, key: ProcessKey, path: &[u8]) -> Option<(Source, usize)> {
        self.place(path).filter(|(place, _)| self.may_work_in(key, *place))
    }

    pub(super) fn may_work_in(&self, key: ProcessKey, place: Source) -> bool {
        let maker = match place {
            Source::Overlay(overlay) => self.overlays[overlay].maker,
            Source::Dir(dir) => self.dirs[dir].maker,
        };
        !self.is_inside(key) || self.is_inside(maker)
    }

    pub(super) fn touched(
        &mut self,
        key: ProcessKey,
        now: Moment,
        tid: u32,
        path: Option<&Name<'_>>,
        made: Made,
    ) {
        let content = made != Made::Folder;
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, path) else { return };
        if let Some((place, cut)) = self.workplace(key, &path)
            && path.len() > cut
        {
            if self.wrote(key, now, tid, place, made) {
                self.note_made(now, place, &path[cut..], content);
                if let Source::Overlay(overlay) = place {
                    let overlay = &mut self.overlays[overlay];
                    // A helper's are told of when it is done.
                    let is_only = overlay.wrote_once() == Some(now) && !content;
                    overlay.only_made = is_only.then(|| path.clone());
                }
            }
            self.may_prepare(key, &path[cut..], !content);
            if let Some(entered) = self.entered.get_mut(&key) {
                let first = entered.wrote.is_some_and(|wrote| wrote.first == now);
                entered.only_made = (first && !content).then_some(path);
            }
        }
    }

    /// A directory that a helper made for its own use and took away again is nothing that it wrote.
    pub(super) fn taken_away(&mut self, key: ProcessKey, path: Option<&Name<'_>>) {
        let Some(path) = self.host(key, path) else { return };
        if let Some(entered) = self.entered.get_mut(&key)
            && entered.only_made.as_deref() == Some(&path)
        {
            (entered.wrote, entered.only_made) = (None, None);
            if let Some((place, cut)) = self.place(&path) {
                self.note_removed(place, &path[cut..]);
            }
        }
    }

    /// A file of one layer gets a further name in another.
    pub(super) fn merged(&mut self, key: ProcessKey, from: Option<&Name<'_>>, to: Option<&Name<'_>>) {
        if self.works_for(key).is_none() {
            return;
        }
        let (Some(from), Some(to)) = (self.host(key, from), self.host(key, to)) else { return };
        if let (Some(from), Some((Source::Dir(dir), _))) =
            (self.source_at(&from), self.workplace(key, &to))
            && from != Source::Dir(dir)
            && !self.dirs[dir].merged.contains(&from)
            && self.dirs[dir].merged.len() < MERGED_MAX
        {
            self.dirs[dir].merged.push(from);
        }
    }

    /// `false` where it is no more than a copy of what was below.
    fn wrote(&mut self, key: ProcessKey, now: Moment, tid: u32, place: Source, made: Made) -> bool {
        let content = made != Made::Folder;
        match place {
            Source::Overlay(overlay) if self.copied(key, now, overlay) => return false,
            Source::Overlay(overlay) => self.wrote_whole(overlay, now),
            Source::Dir(dir) => self.not_fresh(dir),
        }
        // Written to by an engine, it is none that the snapshotter filled itself.
        if let Source::Dir(dir) = place
            && self.dirs[dir].maker != key
            && self.makers.contains_key(&key)
        {
            self.serves(dir, key);
        }
        // A file is no copy of a folder: a thread that listed one did so for another step, or to receive a context there.
        let may_be_of = |read: &&LastRead| match &read.from {
            ReadFrom::Known(source, name) => {
                *source != place && (made != Made::File || name.as_deref() != Some(b""))
            }
            ReadFrom::Older(_) => true,
        };
        let read = self.reads.get(&tid).filter(may_be_of);
        match place {
            Source::Overlay(overlay) => {
                let overlay = &mut self.overlays[overlay];
                let span = Span { first: now, last: now, after: overlay.containers.len(), content };
                if let Some(entered) = self.entered.get_mut(&key) {
                    entered.only_made = None;
                    match &mut entered.wrote {
                        Some(known) => (known.last, known.content) = (now, known.content || content),
                        None => entered.wrote = Some(span),
                    }
                } else {
                    overlay.wrote(span, Part::of_engine(span));
                }
                let read = read.filter(|read| read.seq > overlay.began.seq);
                if let Some(ReadFrom::Known(source, name)) = read.map(|read| &read.from) {
                    overlay.sources.insert(*source);
                    note_copy(&mut overlay.copied, *source, name.as_deref());
                }
            }
            Source::Dir(dir) => {
                let of = dir;
                let dir = &mut self.dirs[of];
                dir.first_write.get_or_insert(now);
                dir.last_write = Some(now);
                dir.read_back = None;
                match read.filter(|read| read.seq > dir.began.seq).map(|read| &read.from) {
                    Some(ReadFrom::Known(source, name)) => {
                        dir.sources.insert(*source);
                        note_copy(&mut dir.copied, *source, name.as_deref());
                    }
                    Some(ReadFrom::Older(mounted))
                        if dir.of_older.len() < OLDER_MAX && !dir.of_older.contains(mounted) =>
                    {
                        let mounted = mounted.clone();
                        if self.keep(mounted.len() + NAME_BYTES) {
                            self.dirs[of].of_older.push(mounted);
                        }
                    }
                    _ => {}
                }
            }
        }
        true
    }

    pub(super) fn open(&mut self, key: ProcessKey, now: Moment, tid: u32, open: &FileOpen<'_>) {
        if let Some(path) = open.path.get() {
            self.noted(key, path.bytes());
        }
        if let Some(client) = self.clients.get_mut(key)
            && !open.mode.writes()
        {
            if let (Some(path), Some(size)) = (open.path.get(), open.size) {
                client.opened(path.bytes(), size, now.seq);
            }
            return;
        }
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, open.path.get()) else { return };
        if let Some(maker) = self.makers.get_mut(&key) {
            maker.export.opened(tid, &path);
        }
        if !(open.mode.writes() || open.create.0 || open.truncate.0) {
            if self.makers.contains_key(&key) && open.mode != OpenMode::Path {
                let may_copy = self.listed(key, now, tid, &path);
                if may_copy || self.is_copied_from(key, &path) {
                    return;
                }
            }
            self.engine_read(key, now, tid, &path, open.size);
            return;
        }
        let Some((place, cut)) = self.workplace(key, &path) else { return };
        if self.wrote(key, now, tid, place, Made::File) {
            self.note_made(now, place, &path[cut..], true);
        }
        self.may_prepare(key, &path[cut..], open.create.0);
        if let Source::Dir(dir) = place {
            let name = path[cut..].strip_prefix(b"/").unwrap_or_default();
            let known = &mut self.dirs[dir];
            let file = known.files.get(name);
            known.received |= !open.create.0 && file.is_some_and(|file| file.size == 0);
            let is_open = known.files.len() < CONTEXT_FILES_MAX && file.is_none();
            if is_open && self.keep(name.len()) {
                let dir = &mut self.dirs[dir];
                dir.files.insert(name.to_vec(), ContextFile { made: now.seq, size: 0 });
                dir.file_count += 1;
            }
        }
    }

    fn engine_read(&mut self, key: ProcessKey, now: Moment, tid: u32, path: &[u8], size: Option<u64>) {
        let given = path;
        let real = self.mounts.unbound(path);
        let path = real.as_deref().unwrap_or(path);
        let from = match self.place_unviewed(path) {
            Some((place, _)) if !self.may_work_in(key, place) => return,
            Some((place, cut)) => {
                let name = path[cut..].strip_prefix(b"/").unwrap_or_default().to_vec();
                match place {
                    Source::Overlay(at) => {
                        let from_within = self.has_root_in(key, at);
                        let overlay = &mut self.overlays[at];
                        if !from_within {
                            overlay.looked_into = Some(now.seq);
                        }
                        note(&mut overlay.exported, now.seq);
                        overlay.read_back.get_or_insert(now.seq);
                        let is_open =
                            overlay.exports.len() < EXPORTS_MAX && self.exports < ALL_EXPORTS_MAX;
                        if let Some(size) = size.filter(|_| is_open) {
                            let is_new = overlay.exports.insert(self.read_as.number(&name, size));
                            self.exports += usize::from(is_new);
                        }
                    }
                    Source::Dir(at) => {
                        let dir = &mut self.dirs[at];
                        note(&mut dir.exported, now.seq);
                        dir.read_back.get_or_insert(now.seq);
                        let is_open = dir.reads.len() < CONTEXT_READS_MAX && !name.is_empty();
                        if let Some(size) = size.filter(|_| is_open)
                            && self.keep(name.len())
                        {
                            self.dirs[at].reads.push((now.seq, name.clone(), size));
                        }
                    }
                }
                ReadFrom::Known(place, Some(name))
            }
            None => match self.viewed(path) {
                Some(source) => {
                    match source {
                        Source::Overlay(at) => self.overlays[at].read_back.get_or_insert(now.seq),
                        Source::Dir(at) => self.dirs[at].read_back.get_or_insert(now.seq),
                    };
                    ReadFrom::Known(source, None)
                }
                None => match self.mounts.bind_above(given).or_else(|| self.view_above(path)) {
                    Some(mounted) => ReadFrom::Older(mounted.to_vec()),
                    None => return,
                },
            },
        };
        if self.reads.len() < READS_MAX || self.reads.contains_key(&tid) {
            self.reads.insert(tid, LastRead { seq: now.seq, from });
        }
    }

    /// Whether the process, or the thread of it that was seen last, has its root directory in a tree.
    fn has_root_in(&self, key: ProcessKey, overlay: usize) -> bool {
        let root = self.tree.get(key).and_then(|process| process.root());
        let within = root.and_then(|root| self.mounts.within(root));
        within.is_some_and(|within| within.overlay == overlay)
    }

    /// Whose tree a path lies in, also through binds and read-only views.
    pub(super) fn source_at(&self, path: &[u8]) -> Option<Source> {
        let real = self.mounts.unbound(path);
        let path = real.as_deref().unwrap_or(path);
        self.place_unviewed(path).map(|(place, _)| place).or_else(|| self.viewed(path))
    }

    /// What lies behind a read-only view (COPY --from mounts a stage's layers so).
    fn viewed(&self, path: &[u8]) -> Option<Source> {
        let (_, dir) = self.views.nearest(path, |dir| Some(dir.as_slice()))?;
        match self.by_upper.get(dir) {
            Some(&overlay) => Some(Source::Overlay(overlay)),
            None => self.by_dir.get(dir).map(|&dir| Source::Dir(dir)),
        }
    }

    /// Where the view is mounted that the path lies in.
    fn view_above<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        self.views.nearest(path, Some).map(|(length, _)| &path[..length])
    }

    pub(super) fn close(&mut self, key: ProcessKey, now: Moment, close: &FileClose<'_>) {
        if self.works_for(key).is_none() {
            return;
        }
        let Some(path) = self.host(key, close.path.get()) else { return };
        let Some((place, cut)) = self.workplace(key, &path) else { return };
        if let Source::Overlay(overlay) = place
            && self.copied(key, now, overlay)
        {
            return;
        }
        if close.size != Some(0) {
            self.prepares_nothing(key);
        }
        let name = path[cut..].strip_prefix(b"/").unwrap_or_default();
        let is_open = match place {
            Source::Overlay(overlay) => self.overlays[overlay].written.len() < COPIED_MAX,
            Source::Dir(dir) => self.dirs[dir].written.len() < COPIED_MAX,
        };
        if let Some(size) = close.size.filter(|_| is_open)
            && self.keep(name.len())
        {
            let written = match place {
                Source::Overlay(overlay) => &mut self.overlays[overlay].written,
                Source::Dir(dir) => &mut self.dirs[dir].written,
            };
            written.push((name.to_vec(), size));
            if let Source::Overlay(overlay) = place
                && let Some(whole) = &self.overlays[overlay].whole
            {
                let dir = &mut self.dirs[whole.dir];
                (dir.last_write, dir.read_back) = (Some(now), None);
                dir.written.push((name.to_vec(), size));
            }
        }
        let Source::Dir(index) = place else { return };
        let dir = &mut self.dirs[index];
        dir.last_write = Some(now);
        dir.read_back = None;
        let (Some(file), Some(size)) = (dir.files.get_mut(name), close.size) else { return };
        file.size = size;
        // BuildKit makes the file and then asks the client for its content; the classic client sends without
        // being asked, and has read the file before.
        let after = if dir.in_store { file.made } else { 0 };
        self.clients.vote(name, size, after, now.seq, &mut dir.votes);
    }
}

fn note_copy(copied: &mut Vec<(usize, Vec<u8>)>, source: Source, name: Option<&[u8]>) {
    let name = name.unwrap_or_default();
    if let Source::Dir(dir) = source
        && copied.len() < COPIED_MAX
        && !copied.iter().any(|(of, known)| *of == dir && known == name)
    {
        copied.push((dir, name.to_vec()));
    }
}

/// Keeps the first and the last of many.
fn note(seqs: &mut Vec<u64>, seq: u64) {
    if seqs.len() < 2 {
        seqs.push(seq);
    } else {
        seqs[1] = seq;
    }
}
