//! The second time over the log: what each step did, and whether the record of it is whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use blubr_attestation::build::{Recording, Taken};
use blubr_attestation::trace::{Access, Direction, HostnameFrom, Part, Place as Tree};
use blubr_build::{Area, Build, Engine, Membership, Place, ProcessKey, RunKind, StepRun, names_outside};
use blubr_cli::{Failure, Spooled};
use blubr_log::event::{Addr, FileClose, FileRename};
use blubr_log::{Body, Event, LineKind, Name, Reader, Time};

use super::apart::{Apart, Lies};
use super::checks::may_have_reached;
use super::connections::{Bytes, Claim, Reached, host_without_port};
use super::doing::{Actor, Budget, Doing, Follows, Renamed, Touch};
use super::facts::Dockerfile;
use super::first::{First, unreadable};
use super::given::{Given, Where};
use super::interval::{Interval, Loss};
use super::names::Names;
use super::runs::Runs;
use super::slots::{Slot, Slots};
use super::stored::{self, Stored};
use super::tails::Tails;
use crate::picture::Picture;

/// Paths that only explain entries of layers (the engine's work around a container, strangers); a count.
const EXPLAINING_MAX: usize = 200_000;
/// Bytes of those paths.
const EXPLAINING_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Sockets of containers that are remembered.
const SOCKETS_MAX: usize = 10_000;

/// What to look for on the way.
pub struct Wanted<'a> {
    dockerfile: Option<&'a Dockerfile>,
    stored: Stored,
    has_detail: bool,
}

impl<'a> Wanted<'a> {
    /// The Dockerfile's opening, and the image's digests in names that the engine gives. `has_detail`: the lists go into a
    /// file of their own, and may be longer.
    pub fn new(
        dockerfile: Option<&'a Dockerfile>,
        picture: Option<&Picture>,
        build: &Build,
        has_detail: bool,
    ) -> Self {
        Self { dockerfile, stored: Stored::new(picture, build), has_detail }
    }
}

/// Whom a path's change is owed to, besides the steps themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// A stranger's write, not the engine's.
    pub foreign: bool,
    /// Who.
    pub by: ProcessKey,
    /// When (`seq`).
    pub seq: u64,
    /// The name was taken away.
    pub gone: bool,
    /// It was given to something at some time.
    pub given: bool,
    /// It was taken away at some time.
    pub taken: bool,
    /// It is a rename's new name: what lies below came with it.
    pub renamed: bool,
    /// The kernel resolved the name.
    pub real: bool,
}

/// What the second pass gave.
pub struct Gathered {
    /// What each slot did.
    pub doing: BTreeMap<Slot, Doing>,
    /// The engine's programs.
    pub engine: Doing,
    /// Changes by the engine around a container and by strangers, by run and path as the container sees it.
    pub explaining: BTreeMap<(u32, Vec<u8>), Explained>,
    /// Too many of those to keep.
    pub explaining_left_out: bool,
    /// The ends of names that were too long for the log.
    pub tails: Tails,
    /// What attributes the files of the runs' trees were given.
    pub given: Given,
    /// Events of strangers in the build's directories, and the first few of them.
    pub foreign: Vec<u64>,
    /// How many.
    pub foreign_count: u64,
    /// Whether the Dockerfile is the one that the build read.
    pub taken: Taken,
    /// What the engine stored.
    pub stored: Stored,
    /// Whether the build made a ring of io_uring, or got one: some of what a ring can do is not recorded.
    pub has_rings: bool,
    /// Whether it made or got a socket whose traffic is not recorded.
    pub has_other_sockets: bool,
    /// The first few ends of datagram and raw sockets that sent, or may have sent, to where they do not say.
    pub sent_somewhere: Vec<u64>,
    /// How many.
    pub sent_somewhere_count: u64,
    /// Connections of containers to unix sockets that they did not make themselves: the name of the first, and how many.
    pub sockets: Option<(String, usize)>,
    /// What may be missing.
    pub recording: Recording,
    /// The build had begun when the recording did.
    pub late: bool,
    /// Events lost in the interval.
    pub lost: Loss,
    /// The interval in events of the log.
    pub interval: (u64, u64),
}

/// What the kernel calls a ring's file (io_uring_get_file).
pub const RING_FILE: &[u8] = b"/[io_uring]";

/// How many events are named as evidence at most.
const EVIDENCE_MAX: usize = 8;

/// Goes over the log once more.
pub fn read(
    log: &mut Spooled,
    first: &First,
    build: &Build,
    slots: &Slots,
    wanted: Wanted<'_>,
) -> Result<Gathered, Failure> {
    let name = log.name().to_owned();
    let failed = |error| unreadable(&name, &error);
    let mut reader = Reader::new(log.rewind()?).map_err(failed)?;
    let membership = Membership::new(&first.builds, build.number);
    let membership =
        membership.ok_or_else(|| Failure::new("the build is not among the log's builds").at(&name))?;
    let mut pass = Pass::new(build, slots, wanted, membership);
    let read = reader.for_each(|line| match &line.kind {
        LineKind::Event(event) => {
            pass.interval.event(event);
            pass.event(event);
        }
        LineKind::Lost(lost) => pass.interval.lost(lost),
        LineKind::Checkpoint(checkpoint) => pass.interval.checkpoint(checkpoint.events),
        LineKind::Trailer(_) => {}
    });
    read.map_err(failed)?;
    if reader.summary().sha256 != first.summary.sha256 {
        return Err(Failure::new("was changed while it was read").at(&name).advise("try again"));
    }
    Ok(pass.end(first))
}

struct Pass<'a> {
    build: &'a Build,
    slots: &'a Slots,
    wanted: Wanted<'a>,
    membership: Membership,
    budget: Budget,
    runs: Runs<'a>,
    names: Names,
    apart: Apart,
    explaining_bytes: usize,
    /// Sockets that containers made, by run and as the container sees them, with what is mounted there.
    bound: HashSet<(u32, Vec<u8>, Option<usize>)>,
    interval: Interval,
    out: Gathered,
}

impl<'a> Pass<'a> {
    fn new(build: &'a Build, slots: &'a Slots, wanted: Wanted<'a>, membership: Membership) -> Self {
        let interval = Interval::of(build);
        let out = Gathered {
            doing: BTreeMap::new(),
            engine: Doing::default(),
            explaining: BTreeMap::new(),
            explaining_left_out: false,
            tails: Tails::default(),
            given: Given::default(),
            foreign: Vec::new(),
            foreign_count: 0,
            taken: Taken::NotSeen,
            stored: Stored::default(),
            has_rings: false,
            has_other_sockets: false,
            sent_somewhere: Vec::new(),
            sent_somewhere_count: 0,
            sockets: None,
            recording: Recording::Cut,
            late: false,
            lost: Loss::default(),
            interval: (0, 0),
        };
        let budget = Budget::new(wanted.has_detail);
        let mut pass = Self {
            build,
            slots,
            wanted,
            membership,
            budget,
            runs: Runs::new(build),
            names: Names::default(),
            apart: Apart::default(),
            explaining_bytes: 0,
            bound: HashSet::new(),
            interval,
            out,
        };
        for run in &build.runs {
            let doing = pass.out.doing.entry(slots.of(run.id)).or_default();
            doing.shared |= run.shared && slots.of(run.id) != Slot::None;
        }
        pass
    }

    fn event(&mut self, event: &Event<'_>) {
        // A client that executes another program later began with that.
        let began = event.head.seq == self.build.began.seq && key_of(event) == self.build.client;
        self.out.late |= began && matches!(event.body, Body::ProcessExists(_));
        let place = self.membership.classify(event);
        // buildah's client is its engine.
        let by_engine = match place {
            Place::Engine { .. } => true,
            Place::Client => self.build.engine == Engine::Buildah,
            _ => false,
        };
        if by_engine && event.head.seq >= self.build.began.seq {
            self.stored(event);
        }
        if !matches!(place, Place::Outside) {
            self.blinding(event);
            self.out.given.numbers(event);
        }
        let actor = |part| Actor { key: key_of(event), head: &event.head, part };
        match place {
            Place::Outside => {}
            Place::Client => {
                self.dockerfile(event);
                self.add(actor(Part::Client), event, Slot::None, None);
            }
            // Until the container's first program runs, it is the runtime that sets it up.
            Place::Container { run } if self.is_setup(run, event) => {
                self.engine(actor(Part::Engine), event, self.run(run));
            }
            Place::Container { run } => {
                let slot = self.slots.of(run);
                self.out.doing.entry(slot).or_default().counts.events += 1;
                self.given(run, false, event);
                self.apart(run, event);
                self.socket(run, event);
                self.add(actor(Part::Container), event, slot, Some(run));
            }
            Place::Engine { run } => {
                let run = run.and_then(|run| self.run(run));
                self.engine(actor(Part::Engine), event, run);
            }
            Place::Foreign { run } => self.foreign(actor(Part::Foreign), event, run),
        }
    }

    /// Looks whether the engine stored something. What lies in a step's tree, or came with the context, is named by others.
    fn stored(&mut self, event: &Event<'_>) {
        let Some(given) = stored::given(event) else { return };
        if names_outside(event) {
            return;
        }
        let theirs = self.membership.spot(event, given.path).is_some_and(|spot| {
            matches!(spot.area, Area::Tree | Area::Upper | Area::Context) && spot.path != b"/"
        });
        if !theirs && let Some(host) = self.membership.host_path(event, given.path) {
            self.wanted.stored.look(&given, &host, event.head.seq);
        }
    }

    /// What the record can't follow is there.
    fn blinding(&mut self, event: &Event<'_>) {
        // Where the result is not known it may be there.
        if event.failed() {
            return;
        }
        match &event.body {
            Body::WatchIouring(_) => self.out.has_rings = true,
            Body::WatchSocket(_) => self.out.has_other_sockets = true,
            // One that another process made and passed on.
            Body::FileOpen(open) => {
                let ring = open.path.get().is_some_and(|path| path.bytes() == RING_FILE);
                self.out.has_rings |= event.tail.via.is_some() && ring;
            }
            _ => {}
        }
    }

    /// A socket without one destination has ended. Where its bytes went the sends tell, if all were seen; where they are not
    /// counted it may have sent any.
    fn sent_somewhere(&mut self, event: &Event<'_>) {
        let Body::NetClose(close) = &event.body else { return };
        if close.daddr.is_some() || close.bytes_sent == Some(0) {
            return;
        }
        self.out.sent_somewhere_count += 1;
        if self.out.sent_somewhere.len() < EVIDENCE_MAX {
            self.out.sent_somewhere.push(event.head.seq);
        }
    }

    fn is_setup(&self, run: u32, event: &Event<'_>) -> bool {
        let first = self.run(run).and_then(|run| run.first_exec.as_ref());
        first.is_none_or(|first| event.head.seq < first.seq)
    }

    fn run(&self, id: u32) -> Option<&'a StepRun> {
        self.runs.get(id)
    }

    /// The engine's work: it is the step's own where no container ran, and else only explains what stands in the layer.
    fn engine(&mut self, actor: Actor<'_>, event: &Event<'_>, run: Option<&StepRun>) {
        self.dockerfile(event);
        match &event.body {
            Body::ProcessExec(exec) if !event.failed() => {
                let exe = exec.exe.get().map(Name::bytes);
                self.out.engine.exec(actor, event, exec, exe, &mut self.budget);
            }
            Body::ProcessExit(exit) => self.out.engine.exit(actor.key, exit),
            _ => {}
        }
        let Some(of) = run else { return };
        let run = of.id;
        self.given(run, true, event);
        let own = of.kind == RunKind::Daemon;
        self.tails(event, true);
        for (path, access, cut) in touches(event) {
            let Some(spot) = self.membership.spot(event, path).filter(|_| !cut) else { continue };
            // Registering a layer copies what is there already, and is no reason for it to be there.
            let gone = matches!(access, Access::Delete | Access::RenameFrom);
            // A helper that put its root there works on the step; who names the directory from outside clears up.
            let clearing = gone && spot.area == Area::Upper && !spot.path.ends_with(path);
            let root = spot.path == b"/" && access != Access::Read;
            if !self.runs.same_tree(spot.run, run)
                || clearing
                || root
                || !matches!(spot.area, Area::Tree | Area::Upper)
            {
                continue;
            }
            if own {
                let (place, mounted) = (Tree::Container, spot.mounted.is_some());
                let touch = Touch {
                    path: &spot.path,
                    place,
                    run: Some(run),
                    access,
                    mounted,
                    laid: true,
                    certain: is_certain(event, access, Some(of.began.time)),
                    anew: is_anew(event, access),
                    follows: follows(event),
                    of_file: is_of_file(event),
                    socket: makes_socket(event),
                    real: is_real(event),
                    cut,
                    lies: Lies::InTree,
                };
                let doing = self.out.doing.entry(self.slots.of(run)).or_default();
                doing.touch(actor, &touch, &mut self.budget);
            }
            if !matches!(access, Access::Read | Access::Execute) {
                self.explain(run, spot.path, actor, access, (false, is_real(event)));
            }
        }
    }

    /// Which unix sockets a container made, and which others it connected to. Of those without a file nothing tells who made
    /// them.
    fn socket(&mut self, run: u32, event: &Event<'_>) {
        let place = |path: &[u8]| {
            let spot = self.membership.spot(event, path)?;
            Some((run, spot.path, spot.mounted))
        };
        match &event.body {
            Body::FileMknod(it) if makes_socket(event) && !event.failed() => {
                let made = it.path.get().and_then(|path| place(path.bytes()));
                if self.bound.len() < SOCKETS_MAX {
                    self.bound.extend(made);
                }
            }
            Body::FileRename(it) if !self.bound.is_empty() && !event.failed() => {
                let from = it.path.get().and_then(|path| place(path.bytes()));
                if from.is_some_and(|from| self.bound.contains(&from)) && self.bound.len() < SOCKETS_MAX
                {
                    let to = it.to.get().and_then(|path| place(path.bytes()));
                    self.bound.extend(to);
                }
            }
            Body::UnixConnect(it) if may_have_reached(event.tail.ret.unwrap_or(0)) => {
                let path = it.path.get().map(Name::bytes);
                let own = path.filter(|path| path.starts_with(b"/")).and_then(place);
                if own.is_none_or(|own| !self.bound.contains(&own)) {
                    let name = path.map_or_else(|| "without a name".into(), String::from_utf8_lossy);
                    let first = || (name.into_owned(), 0);
                    self.out.sockets.get_or_insert_with(first).1 += 1;
                }
            }
            _ => {}
        }
    }

    /// Keeps what a process mounts for itself.
    fn apart(&mut self, run: u32, event: &Event<'_>) {
        let Some(ran) = self.run(run) else { return };
        let (membership, runs) = (&self.membership, &self.runs);
        self.apart.learn(ran, event, |path| {
            let spot = membership.spot(event, path)?;
            let counts = runs.same_tree(spot.run, run) && spot.mounted.is_none();
            (counts && matches!(spot.area, Area::Tree | Area::Upper)).then_some(spot.path)
        });
    }

    /// Keeps what the event says of the attributes of files in the run's tree.
    fn given(&mut self, run: u32, by_engine: bool, event: &Event<'_>) {
        let (membership, runs) = (&self.membership, &self.runs);
        self.out.given.learn(run, by_engine, event, &mut |path| match membership.spot(event, path) {
            Some(spot)
                if runs.same_tree(spot.run, run)
                    && spot.mounted.is_none()
                    && matches!(spot.area, Area::Tree | Area::Upper) =>
            {
                Where::Here(spot.path)
            }
            _ => Where::Elsewhere,
        });
    }

    fn foreign(&mut self, actor: Actor<'_>, event: &Event<'_>, run: Option<u32>) {
        self.out.foreign_count += 1;
        if self.out.foreign.len() < EVIDENCE_MAX {
            self.out.foreign.push(event.head.seq);
        }
        for (path, access, cut) in touches(event) {
            let Some(spot) = self.membership.spot(event, path).filter(|_| !cut) else { continue };
            if let Some(run) = spot.run.or(run)
                && matches!(spot.area, Area::Tree | Area::Upper | Area::Layer)
                && !matches!(access, Access::Read | Access::Execute)
            {
                self.out.given.meddled(run, &spot.path, event.head.seq);
                self.explain(run, spot.path, actor, access, (true, is_real(event)));
            }
        }
        self.add(actor, event, Slot::None, None);
    }

    fn explain(
        &mut self,
        run: u32,
        path: Vec<u8>,
        actor: Actor<'_>,
        access: Access,
        (foreign, real): (bool, bool),
    ) {
        let key = (run, path);
        if !self.out.explaining.contains_key(&key) {
            self.explaining_bytes += key.1.len();
            if self.out.explaining.len() >= EXPLAINING_MAX
                || self.explaining_bytes > EXPLAINING_BYTES_MAX
            {
                self.out.explaining_left_out = true;
                return;
            }
        }
        let gone = matches!(access, Access::Delete | Access::RenameFrom);
        let renamed = access == Access::RenameTo;
        let given = matches!(access, Access::Create | Access::RenameTo);
        let (by, seq) = (actor.key, actor.head.seq);
        let now = Explained { foreign, by, seq, gone, given, taken: gone, renamed, real };
        match self.out.explaining.entry(key) {
            // What the engine does to a name afterwards does not make a stranger's file the build's.
            Entry::Occupied(known) if known.get().foreign && !foreign => {}
            Entry::Occupied(mut known) => {
                let before = *known.get();
                // What a stranger's file replaced is no deed of his.
                let same = before.foreign == foreign;
                let (given, taken) = (same && before.given, same && before.taken);
                known.insert(Explained { given: now.given || given, taken: now.taken || taken, ..now });
            }
            Entry::Vacant(new) => drop(new.insert(now)),
        }
    }

    /// Puts an event into a slot: what its process did.
    fn add(&mut self, actor: Actor<'_>, event: &Event<'_>, slot: Slot, run: Option<u32>) {
        let ran = run.and_then(|run| self.run(run));
        let since = ran.map(|run| run.began.time);
        self.sent_somewhere(event);
        self.tails(event, run.is_none());
        let doing = self.out.doing.entry(slot).or_default();
        if event.failed() && !is_network(event) {
            doing.counts.failed += 1;
            return;
        }
        match &event.body {
            Body::ProcessExec(exec) => {
                let raw = exec.exe.get().map(Name::bytes);
                let inside = run
                    .zip(raw)
                    .and_then(|(run, path)| self.membership.container_path(event, path, run));
                doing.exec(actor, event, exec, inside.as_deref().or(raw), &mut self.budget);
            }
            Body::ProcessExit(exit) => doing.exit(actor.key, exit),
            _ => network(doing, actor, event, &mut self.names, &mut self.budget),
        }
        for (path, access, cut) in touches(event) {
            let spot = run.and_then(|run| {
                self.membership.spot(event, path).filter(|spot| self.runs.same_tree(spot.run, run))
            });
            // Who is of no step may have entered one's tree: what its names stand for there is the host's name.
            let of_host = match run {
                Some(_) => None,
                None => match self.membership.host_path(event, path) {
                    Some(path) => Some(path),
                    None => continue,
                },
            };
            let (path, place, mounted) = match (&spot, &of_host) {
                (Some(spot), _) if matches!(spot.area, Area::Tree | Area::Upper) => {
                    (spot.path.as_slice(), Tree::Container, spot.mounted.is_some())
                }
                // Pipes, sockets and anonymous files have no path; of others it may not be known where they begin.
                _ if path.first() != Some(&b'/') => continue,
                (_, Some(path)) if path.first() != Some(&b'/') => continue,
                (_, Some(path)) => (path.as_slice(), Tree::Host, true),
                _ if !names_outside(event) => (path, Tree::Container, true),
                _ => (path, Tree::Host, true),
            };
            let upon = spot.as_ref().and_then(|spot| spot.mounted);
            let laid = !upon.is_some_and(|at| ran.is_some_and(|ran| is_of_runtime(ran, at)));
            let certain = is_certain(event, access, since);
            let follows = follows(event);
            let of_file = is_of_file(event);
            let socket = makes_socket(event);
            let anew = is_anew(event, access);
            let touch = Touch {
                path,
                place,
                run,
                access,
                mounted,
                laid,
                certain,
                anew,
                follows,
                of_file,
                socket,
                real: is_real(event),
                cut,
                lies: ran.map_or(Lies::InTree, |ran| self.apart.lies(ran, event, path)),
            };
            doing.touch(actor, &touch, &mut self.budget);
        }
        // What has another name than the log says got no name that is known, nor gave one.
        let named = !["path", "to"].iter().any(|field| event.tail.is_cut(field));
        match (run.filter(|_| named), &event.body) {
            (Some(run), Body::FileRename(rename)) => self.rename(event, rename, slot, run),
            (Some(run), Body::FileLink(link)) => {
                let from = self.inside(event, link.path.get(), run);
                if let Some((from, to)) = from.zip(self.inside(event, link.to.get(), run)) {
                    self.out.doing.entry(slot).or_default().named_anew(&from, &to, false);
                }
            }
            (Some(run), Body::FileSymlink(link)) => {
                let path = self.inside(event, link.path.get(), run);
                let made = path.zip(link.target.get().map(|target| target.bytes().to_vec()));
                if let Some((path, target)) = made {
                    let doing = self.out.doing.entry(slot).or_default();
                    doing.symlink(path, target, event.head.seq, &mut self.budget);
                }
            }
            _ => {}
        }
    }

    /// Keeps the ends of names of what was changed.
    fn tails(&mut self, event: &Event<'_>, outside: bool) {
        let changes = |access| !matches!(access, Access::Read | Access::Execute);
        let cut = touches(event).into_iter().filter(|(_, access, cut)| *cut && changes(*access));
        cut.for_each(|(path, ..)| self.out.tails.note(path, outside));
    }

    /// A path in a step's own layer, as its container sees it.
    fn inside(&self, event: &Event<'_>, name: Option<&Name<'_>>, run: u32) -> Option<Vec<u8>> {
        let spot = self.membership.spot(event, name?.bytes())?;
        let lies = self.run(run).map(|ran| self.apart.lies(ran, event, &spot.path));
        let upon = matches!(lies, Some(Lies::Below | Lies::Elsewhere)) || spot.mounted.is_some();
        let counts = self.runs.same_tree(spot.run, run) && !upon;
        (counts && matches!(spot.area, Area::Tree | Area::Upper)).then_some(spot.path)
    }

    /// Keeps what a rename in a step's tree says of the names below.
    fn rename(&mut self, event: &Event<'_>, rename: &FileRename<'_>, slot: Slot, run: u32) {
        let from = self.inside(event, rename.path.get(), run);
        let to = self.inside(event, rename.to.get(), run);
        let (Some(from), Some(to)) = (from, to) else { return };
        let doing = self.out.doing.entry(slot).or_default();
        let (seq, real) = (event.head.seq, is_real(event));
        doing.named_anew(&from, &to, rename.exchange.0);
        if rename.exchange.0 {
            let back = Renamed { from: to.clone(), to: from.clone(), seq, run, real };
            doing.rename(back, &mut self.budget);
        }
        doing.rename(Renamed { from, to, seq, run, real }, &mut self.budget);
    }

    /// Whether the build read the Dockerfile as it is now.
    fn dockerfile(&mut self, event: &Event<'_>) {
        let (Some(wanted), Body::FileOpen(open)) = (self.wanted.dockerfile, &event.body) else { return };
        let path = open.path.get().map(Name::bytes);
        if event.failed() || !open.mode.reads() || path.is_none() || path != wanted.real.as_deref() {
            return;
        }
        let (Some(size), Some(mtime)) = (open.size, open.mtime) else { return };
        let same = size == wanted.size && mtime.0 == wanted.mtime_ns;
        self.out.taken = if same { Taken::UnchangedSinceOpen } else { Taken::Changed };
    }

    fn end(mut self, first: &First) -> Gathered {
        let interval = &self.interval;
        let trailer = first.summary.trailer.is_some();
        let reached = interval.closed.is_some() || trailer;
        // Of a filtered log it is the source that may have been cut.
        let source_cut = first
            .innermost()
            .iter()
            .any(|source| !source.complete && source.cut_at.unwrap_or(0) < interval.last_seq());
        let is_cut = !reached || source_cut || self.build.ended.is_none();
        self.out.recording = if is_cut || self.out.late {
            Recording::Cut
        } else if interval.loss().all > 0 {
            Recording::Lossy
        } else {
            Recording::Complete
        };
        self.out.lost = interval.loss();
        for doing in self.out.doing.values_mut() {
            doing.end(&mut self.budget);
        }
        self.out.explaining_left_out |= self.membership.lost_roots();
        self.out.stored = self.wanted.stored;
        self.out.interval = (interval.from, interval.closed.unwrap_or(interval.events));
        self.out
    }
}

fn key_of(event: &Event<'_>) -> ProcessKey {
    ProcessKey { pid: event.head.pid, start: event.head.start }
}

fn is_network(event: &Event<'_>) -> bool {
    matches!(event.body, Body::NetConnect(_) | Body::NetSend(_) | Body::NetDns(_))
}

fn network(
    doing: &mut Doing,
    actor: Actor<'_>,
    event: &Event<'_>,
    names: &mut Names,
    budget: &mut Budget,
) {
    let ret = event.tail.ret.unwrap_or(0);
    let ends = |proto, ip: Addr, port, own| Reached {
        proto,
        ip: ip.0,
        port,
        own,
        direction: Direction::Out,
        ret,
        looked_up: names.of(ip.0).map(str::to_owned),
    };
    match &event.body {
        Body::NetConnect(it) => {
            doing.connect(actor, &ends(it.proto, it.daddr, it.dport, it.sport), budget);
        }
        Body::NetSend(it) => {
            doing.connect(actor, &ends(it.proto, it.daddr, it.dport, it.sport), budget);
        }
        Body::NetAccept(it) => {
            let Some(daddr) = it.daddr else { return };
            // Our own port is what was asked for.
            let port = it.sport.unwrap_or(0);
            let reached = Reached {
                direction: Direction::In,
                ret: ret.min(0),
                ..ends(it.proto, daddr, port, it.sport)
            };
            doing.connect(actor, &reached, budget);
        }
        Body::NetClose(it) => {
            let bytes = Bytes { sent: it.bytes_sent, received: it.bytes_received };
            match (it.daddr, it.dport) {
                (Some(daddr), Some(dport)) => {
                    doing.close(actor.key, &ends(it.proto, daddr, dport, it.sport), bytes, budget);
                }
                // A socket of many destinations: whose the bytes are is not known.
                _ => doing.count_bytes(bytes),
            }
        }
        Body::NetTls(it) => {
            let name = it.sni.as_ref().map(|name| name.lossy().into_owned());
            let claim = Claim { name: name.unwrap_or_default(), from: HostnameFrom::Sni };
            doing.name(actor, &ends(it.proto, it.daddr, it.dport, it.sport), claim, budget);
        }
        Body::NetHttp(it) => {
            let name = it.host.as_ref().map(|host| host_without_port(&host.lossy()).to_owned());
            let claim = Claim { name: name.unwrap_or_default(), from: HostnameFrom::Http };
            doing.name(actor, &ends(it.proto, it.daddr, it.dport, it.sport), claim, budget);
        }
        Body::NetDns(it) => match &it.answers {
            None => doing.lookup(actor, &it.qname.lossy(), it.server, budget),
            Some(answers) => {
                for ip in answers.0.iter().filter_map(|answer| answer.address) {
                    names.learn(ip, &it.qname.lossy());
                }
            }
        },
        _ => {}
    }
}

/// Whether a change must show in the layer of a step that began at `since`. What was copied up and is still as it was
/// below shows in the layers of some engines and not of others (containerd compares size and time): so neither an open for
/// writing, nor attributes that may be what they were, nor a further link. What an open made was not below.
fn is_certain(event: &Event<'_>, access: Access, since: Option<Time>) -> bool {
    // Of a path that was cut there is the tail.
    if event.tail.is_cut("path") || event.tail.is_cut("to") {
        return false;
    }
    match &event.body {
        Body::FileOpen(open) => access == Access::Create && open.perm.is_some(),
        Body::FileClose(close) => {
            close.mtime.zip(since).is_some_and(|(changed, since)| changed >= since)
        }
        _ => matches!(access, Access::Create | Access::RenameTo),
    }
}

/// Whether a change leaves nothing of what its name held before. An open may find a file there, and keep it.
fn is_anew(event: &Event<'_>, access: Access) -> bool {
    match (&event.body, access) {
        (Body::FileOpen(it), Access::Create | Access::Write) => it.truncate.0 || it.perm.is_some(),
        (Body::FileTruncate(it), _) => it.size == 0,
        _ => matches!(access, Access::Create | Access::RenameTo | Access::Delete),
    }
}

/// Whether a file without a name was closed: the kernel calls it after its inode (d_tmpfile, fs/dcache.c).
fn is_nameless(close: &FileClose<'_>) -> bool {
    let (Some(path), Some(ino)) = (close.path.get(), close.ino) else { return false };
    let name = path.bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.strip_prefix(b"#") == Some(ino.to_string().as_bytes())
}

/// Whether the kernel resolved the names of an event: no directory in them was a symlink then.
fn is_real(event: &Event<'_>) -> bool {
    event.tail.path_from.is_none()
}

/// Whether an event is of an open file and says nothing of its name, which may be gone by then: a close, and a call by descriptor.
fn is_of_file(event: &Event<'_>) -> bool {
    match event.body {
        Body::FileClose(_) => true,
        Body::FileChmod(_)
        | Body::FileChown(_)
        | Body::FileTruncate(_)
        | Body::FileSetxattr(_)
        | Body::FileUtimes(_) => is_real(event),
        _ => false,
    }
}

/// Whether the call follows a symlink that the path ends in: chmod and truncate do, chown, setxattr and utimes have forms
/// that do and forms that do not.
fn follows(event: &Event<'_>) -> Follows {
    if event.tail.path_from.is_none() {
        return Follows::No;
    }
    match &event.body {
        Body::FileChmod(_) | Body::FileTruncate(_) => Follows::Yes,
        Body::FileChown(_) | Body::FileSetxattr(_) | Body::FileUtimes(_) => Follows::Unknown,
        _ => Follows::No,
    }
}

/// The directory of a path, where that is not the root.
fn directory(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    path.get(..slash).filter(|dir| !dir.is_empty())
}

/// Whether what the event makes is a socket: by mknod(2), or by the bind(2) of a Unix socket to a path.
fn makes_socket(event: &Event<'_>) -> bool {
    matches!(&event.body, Body::FileMknod(it) if it.kind.bytes() == b"socket")
}

/// The paths that an event touches, how, and whether only the path's end is known. A call that failed touched nothing.
fn touches<'e>(event: &'e Event<'_>) -> Vec<(&'e [u8], Access, bool)> {
    let mut found = Vec::new();
    if event.failed() {
        return found;
    }
    let (cut, cut_to) = (event.tail.is_cut("path"), event.tail.is_cut("to"));
    let mut put = |name: Option<&'e Name<'_>>, access, cut| {
        found.extend(name.map(|name| (name.bytes(), access, cut)));
    };
    let mut add = |name, access| put(name, access, cut);
    match &event.body {
        Body::ProcessExec(it) => add(it.exe.get(), Access::Execute),
        Body::FileOpen(it) => {
            if it.mode.reads() {
                add(it.path.get(), Access::Read);
            }
            // A file without a name (O_TMPFILE) changes nothing at the path that is given, a directory.
            if it.create.0 && !it.tmpfile.0 {
                add(it.path.get(), Access::Create);
            }
            if (it.mode.writes() || it.truncate.0) && !it.tmpfile.0 {
                add(it.path.get(), Access::Write);
            }
            // But overlayfs copies that directory up for it (ovl_tmpfile).
            if it.tmpfile.0 {
                let dir = it.path.get().and_then(|path| directory(path.bytes()));
                found.extend(dir.map(|dir| (dir, Access::Attributes, cut)));
            }
        }
        // Neither does its end.
        Body::FileClose(it) if is_nameless(it) => {}
        Body::FileClose(it) => add(it.path.get(), Access::Write),
        Body::FileMkdir(it) => add(it.path.get(), Access::Create),
        Body::FileMknod(it) => add(it.path.get(), Access::Create),
        Body::FileSymlink(it) => add(it.path.get(), Access::Create),
        // The file that there was has one link more: a lower layer's is copied up for it.
        Body::FileLink(it) => {
            add(it.path.get(), Access::Attributes);
            put(it.to.get(), Access::Create, cut_to);
        }
        Body::FileUnlink(it) => add(it.path.get(), Access::Delete),
        Body::FileRename(it) => {
            add(it.path.get(), if it.exchange.0 { Access::RenameTo } else { Access::RenameFrom });
            put(it.to.get(), Access::RenameTo, cut_to);
        }
        Body::FileTruncate(it) => add(it.path.get(), Access::Write),
        Body::FileChmod(it) => add(it.path.get(), Access::Attributes),
        Body::FileChown(it) => add(it.path.get(), Access::Attributes),
        Body::FileSetxattr(it) => add(it.path.get(), Access::Attributes),
        Body::FileUtimes(it) => add(it.path.get(), Access::Attributes),
        _ => {}
    }
    found
}

/// Whether what is mounted in a run's tree (by its place in `mounts`) was so before the run's first program began.
fn is_of_runtime(run: &StepRun, at: usize) -> bool {
    let first = run.first_exec.as_ref();
    run.mounts.get(at).zip(first).is_some_and(|(mount, first)| mount.seq < first.seq)
}
