//! The second time over the log: what each step did, and whether the record of it is whole.

mod around;
mod ends;
mod gathered;
mod linked;
mod network;
mod sockets;
mod touches;
mod unseen;
mod upon;

use std::collections::{BTreeMap, HashSet};

use blubr_attestation::build::{Recording, Taken};
use blubr_attestation::trace::{Part, Place as Tree};
use blubr_build::{Area, Build, Engine, Membership, Place, ProcessKey, StepRun, names_outside};
use blubr_cli::{Failure, Spooled};
use blubr_log::event::FileRename;
use blubr_log::{Body, Event, LineKind, Name, Reader};

use super::apart::{Apart, Lies};
use super::doing::{Actor, Budget, Doing, Renamed, Touch};
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
pub use gathered::Gathered;
use linked::Links;
use network::{is_network, network};
use touches::{follows, is_anew, is_certain, is_of_file, is_real, makes_socket};
pub use unseen::RING_FILE;
use upon::UponMounts;

/// How many events are named as evidence at most.
const EVIDENCE_MAX: usize = 8;

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
    links: Links,
    upon: UponMounts,
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
            lost_roots: false,
            tails: Tails::default(),
            upon_mounts: Tails::default(),
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
            links: Links::default(),
            upon: UponMounts::default(),
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
        let event = &*self.by_descriptor(event, place);
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
                self.links.learn(run, event);
                self.socket(run, event);
                self.add(actor(Part::Container), event, slot, Some(run));
            }
            Place::Engine { run } => {
                let run = run.and_then(|run| self.run(run));
                self.engine(actor(Part::Engine), event, run);
            }
            Place::Foreign { run } => {
                if let Some(run) = run {
                    self.links.learn(run, event);
                }
                self.foreign(actor(Part::Foreign), event, run);
            }
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

    fn is_setup(&self, run: u32, event: &Event<'_>) -> bool {
        let first = self.run(run).and_then(|run| run.first_exec.as_ref());
        first.is_none_or(|first| event.head.seq < first.seq)
    }

    fn run(&self, id: u32) -> Option<&'a StepRun> {
        self.runs.get(id)
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

    /// Puts an event into a slot: what its process did.
    fn add(&mut self, actor: Actor<'_>, event: &Event<'_>, slot: Slot, run: Option<u32>) {
        let ran = run.and_then(|run| self.run(run));
        let since = ran.map(|run| run.began.time);
        self.sent_somewhere(event);
        let touched = self.touched(event, run);
        self.tails(event, &touched, run.is_none());
        if let Some(run) = run {
            self.beyond(actor, event, &touched, run);
        }
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
        for (path, access, cut) in touched {
            let spot = run.and_then(|run| {
                self.membership.spot(event, path).filter(|spot| self.runs.same_tree(spot.run, run))
            });
            // Who is of no step may have entered one's tree, and a step been handed what is in another's: what its names stand for
            // there is the host's name.
            let of_host = match run {
                Some(_) if cut || spot.is_some() || !names_outside(event) => None,
                _ => match self.membership.host_path(event, path) {
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
                _ => (path, Tree::Container, true),
            };
            let upon = spot.as_ref().and_then(|spot| spot.mounted);
            if let (Some(ran), Some(at), false) = (ran, upon, cut) {
                self.upon.learn(ran, at, event, (path, access));
            }
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
        self.out.recording = if is_cut {
            Recording::Cut
        } else if interval.loss().all > 0 {
            // Where its client's exec was lost a build seems to have been there before.
            Recording::Lossy
        } else if self.out.late {
            Recording::Cut
        } else {
            Recording::Complete
        };
        self.out.lost = interval.loss();
        for doing in self.out.doing.values_mut() {
            doing.end(&mut self.budget);
        }
        self.out.lost_roots = self.membership.lost_roots();
        self.out.upon_mounts = self.upon.end();
        self.out.stored = self.wanted.stored;
        self.out.interval = (interval.from, interval.closed.unwrap_or(interval.events));
        self.out
    }
}

fn key_of(event: &Event<'_>) -> ProcessKey {
    ProcessKey { pid: event.head.pid, start: event.head.start }
}

/// Whether what is mounted in a run's tree (by its place in `mounts`) was so before the run's first program began.
fn is_of_runtime(run: &StepRun, at: usize) -> bool {
    let first = run.first_exec.as_ref();
    run.mounts.get(at).zip(first).is_some_and(|(mount, first)| mount.seq < first.seq)
}
