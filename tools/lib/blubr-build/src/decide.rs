//! Decides which clients have which chain, where more than one can have asked for it.
//!
//! What time and contexts leave open is decided by how builders work: a build of BuildKit that succeeds ends in one
//! step, whose result the engine has read; the classic builder carries out one step after the other. All ways to give
//! out the chains that keep to that are looked at together; what they agree on is known. Where there is no such way
//! (then something was not seen, or a builder works otherwise) nothing is decided.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use blubr_dockerfile::Dockerfile;

use crate::askers::Asker;
use crate::build::{Engine, ProcessKey, RunKind};
use crate::chains::{Chains, closure};
use crate::fits::{cleared_in_time, ends_in_time, seen_through};
use crate::gaps::Gaps;
use crate::steps::Work;
use crate::tie::can_give;
use crate::traces::Dir;
use crate::worlds::{Puzzle, groups};

/// For each step the clients that can have asked for it.
pub(crate) type Fits = BTreeMap<usize, Vec<usize>>;

/// What has been decided.
pub(crate) struct Decided {
    /// For each step the clients that have it, or may have it.
    pub(crate) owners: BTreeMap<usize, BTreeSet<usize>>,
    /// Steps of chains of which more was known than time and contexts say.
    pub(crate) eliminated: HashSet<usize>,
}

/// One engine's chains and clients.
pub(crate) struct Case<'a> {
    pub(crate) chains: &'a Chains,
    pub(crate) fits: &'a Fits,
    pub(crate) askers: &'a [Asker<'a>],
    pub(crate) work: &'a Work,
    pub(crate) dirs: &'a [Dir],
    pub(crate) gaps: &'a Gaps,
    /// The Dockerfile of one client, where the user says it.
    pub(crate) dockerfile: Option<&'a (ProcessKey, Dockerfile)>,
}

impl Case<'_> {
    pub(crate) fn decide(&self) -> Decided {
        let ends: Vec<usize> = self.chains.of.keys().copied().collect();
        let hard: Vec<Vec<usize>> = ends.iter().map(|end| self.fits[end].clone()).collect();
        let mut given: Vec<Vec<usize>> = vec![Vec::new(); ends.len()];
        let mut whole: BTreeSet<usize> = (0..self.askers.len()).collect();
        let certain = self.chains.certain(self.askers, self.work);
        for group in groups(&hard) {
            let found = self.decide_group(&ends, &hard, &certain, &group);
            if found.is_none() {
                // Who may have lost a chain in it.
                for at in &group {
                    hard[*at].iter().for_each(|client| {
                        whole.remove(client);
                    });
                }
            }
            let clients =
                found.unwrap_or_else(|| group.iter().map(|at| self.seen(&hard[*at])).collect());
            for (at, clients) in group.into_iter().zip(clients) {
                given[at] = clients;
            }
        }
        self.owners(&ends, &hard, &given, &whole)
    }

    /// Of several clients those that were seen to connect, if there are such.
    fn seen(&self, clients: &[usize]) -> Vec<usize> {
        let seen: Vec<usize> =
            clients.iter().copied().filter(|client| !self.is_faint(*client)).collect();
        if seen.is_empty() { clients.to_vec() } else { seen }
    }

    fn is_faint(&self, client: usize) -> bool {
        self.askers[client].is_faint()
    }

    /// The clients of each chain of a group; `None` where nothing can be decided.
    fn decide_group(
        &self,
        ends: &[usize],
        hard: &[Vec<usize>],
        certain: &BTreeMap<usize, BTreeSet<usize>>,
        group: &[usize],
    ) -> Option<Vec<Vec<usize>>> {
        if self.is_incomplete(ends, hard, group) {
            return None;
        }
        // Of the other groups' chains nothing is asked.
        let likely = |with_faint: bool| {
            let mut fits = vec![Vec::new(); ends.len()];
            for &at in group {
                let sure = certain.get(&ends[at]);
                let keep = |client: &usize| {
                    self.may_end_in(*client, ends[at])
                        && sure.is_none_or(|sure| sure.contains(client))
                        && (with_faint || !self.is_faint(*client))
                };
                fits[at] = hard[at].iter().copied().filter(keep).collect::<Vec<usize>>();
            }
            fits
        };
        let apart = |one: usize, other: usize, client: usize| self.apart(ends[one], ends[other], client);
        let everyone: BTreeSet<usize> = group
            .iter()
            .flat_map(|at| hard[*at].iter().copied())
            .filter(|client| !self.askers[*client].client.is_ghost())
            .collect();
        let nobody = BTreeSet::new();
        let (seen, all) = (likely(false), likely(true));
        [(&seen, &everyone), (&all, &everyone), (&seen, &nobody), (&all, &nobody)]
            .into_iter()
            .find_map(|(fits, needs)| Puzzle { fits, apart: &apart, needs }.solve(group))
    }

    /// Whether events may be missing in the time of these chains and their clients.
    fn is_incomplete(&self, ends: &[usize], hard: &[Vec<usize>], group: &[usize]) -> bool {
        let pieces = group.iter().flat_map(|at| &self.chains.of[&ends[*at]]);
        let pieces = pieces.map(|step| &self.work.pieces[*step].run);
        let times = pieces.flat_map(|run| [Some(run.began), run.ended]).flatten();
        let clients = group.iter().flat_map(|at| &hard[*at]).map(|client| self.askers[*client].client);
        let lives = clients.flat_map(|client| [Some(client.began), client.ended.map(|(at, _)| at)]);
        let all: Vec<_> = times.chain(lives.flatten()).map(|moment| moment.time).collect();
        match (all.iter().min(), all.iter().max()) {
            (Some(from), Some(to)) => self.gaps.within(*from, *to),
            _ => false,
        }
    }

    /// Whether the build of this client can have ended in this chain's last step.
    fn may_end_in(&self, client: usize, end: usize) -> bool {
        let asker = &self.askers[client];
        if self
            .dockerfile
            .is_some_and(|(of, dockerfile)| *of == asker.client.key && !self.may_be_of(end, dockerfile))
        {
            return false;
        }
        match self.chains.shape(end, self.work) {
            Some(Engine::BuildKit) => ends_in_time(asker, end, self.work),
            Some(Engine::Classic) => {
                let chain = &self.chains.of[&end];
                cleared_in_time(asker, end, self.work)
                    && chain.iter().all(|at| seen_through(asker, *at, self.work))
            }
            _ => true,
        }
    }

    /// Whether the Dockerfile may have given this chain: its last container ran what one of its RUNs says. (Those below
    /// may have been given by the base's ONBUILD triggers.)
    fn may_be_of(&self, end: usize, dockerfile: &Dockerfile) -> bool {
        let pieces = self.chains.of[&end].iter().map(|at| &self.work.pieces[*at]);
        let containers = pieces.filter(|piece| piece.run.kind == RunKind::Run);
        let last = containers.max_by_key(|piece| piece.run.began);
        last.is_none_or(|piece| {
            piece.shape.is_none_or(|engine| can_give(dockerfile, engine, &piece.run))
        })
    }

    /// Whether one client can't have asked for both chains.
    fn apart(&self, one: usize, other: usize, client: usize) -> bool {
        let asker = &self.askers[client];
        let shapes = [one, other].map(|end| self.chains.shape(end, self.work).or(asker.kind));
        match shapes {
            [Some(Engine::BuildKit), Some(Engine::BuildKit)] => {
                asker.succeeded() && !asker.other_results
            }
            [Some(Engine::Classic), Some(Engine::Classic)] => {
                self.chains.overlap(one, other, asker.clears_up, self.work)
            }
            [Some(one), Some(other)] => one != other,
            _ => false,
        }
    }

    /// Who has each step.
    fn owners(
        &self,
        ends: &[usize],
        hard: &[Vec<usize>],
        given: &[Vec<usize>],
        whole: &BTreeSet<usize>,
    ) -> Decided {
        let mut decided = Decided {
            owners: self.fits.keys().map(|at| (*at, BTreeSet::new())).collect(),
            eliminated: HashSet::new(),
        };
        for ((end, clients), hard) in ends.iter().zip(given).zip(hard) {
            let chain = &self.chains.of[end];
            for client in clients {
                self.give(*client, chain, &mut decided);
            }
            if clients.len() < hard.len() {
                decided.eliminated.extend(chain);
            }
        }
        // A client without a chain of its own had all in the cache; or it had a part of another's, where its build
        // ends in the middle of that one's chain.
        for client in 0..self.askers.len() {
            let without = !given.iter().any(|clients| clients.contains(&client));
            if !without || self.askers[client].client.is_ghost() || !whole.contains(&client) {
                continue;
            }
            for at in self.joined(client, ends, hard) {
                self.give(client, &closure(at, self.work), &mut decided);
            }
        }
        decided
    }

    fn give(&self, client: usize, steps: &[usize], decided: &mut Decided) {
        for at in steps {
            let fits = self.fits.get(at).is_some_and(|fits| fits.contains(&client));
            // What was there before the client is in its cache, not in its build.
            let there = self.askers[client].there(self.work.pieces[*at].run.began.seq);
            if (fits && there) || self.joins(client, *at) {
                decided.owners.entry(*at).or_default().insert(client);
            }
        }
    }

    /// Whether a step of BuildKit below this client's end was at work when the client could first ask for it, having
    /// begun for another: equal steps of builds at the same time are one. It can when the engine has its Dockerfile
    /// and, of what is copied, has all that it sent.
    fn joins(&self, client: usize, at: usize) -> bool {
        let (piece, asker) = (&self.work.pieces[at], &self.askers[client]);
        let began = piece.run.began.seq;
        let Some(done) = piece.done.map(|done| done.seq) else { return false };
        let mut sent = asker.may_have_sent().filter_map(|context| self.dirs[context].last_write);
        piece.shape == Some(Engine::BuildKit)
            && began > asker.client.began.seq
            && !piece.failed()
            && (began < asker.ready.max(asker.client.connected.seq) && done > asker.ready
                || sent.any(|arrived| began < arrived.seq && arrived.seq < done))
    }

    /// Steps in which the build of a client without a chain may have ended: of BuildKit, where equal steps of two
    /// builds are one; of the classic builder only whole chains that it may have asked for.
    fn joined(&self, client: usize, ends: &[usize], hard: &[Vec<usize>]) -> Vec<usize> {
        let chains = ends.iter().zip(hard).filter(|(_, hard)| hard.contains(&client));
        let mut steps: Vec<usize> = chains
            .map(|(end, _)| *end)
            .filter(|end| self.chains.shape(*end, self.work) == Some(Engine::Classic))
            .collect();
        let of_buildkit = self.fits.iter().filter(|(_, fits)| fits.contains(&client)).map(|(at, _)| *at);
        steps.extend(of_buildkit.filter(|at| {
            self.work.pieces[*at].shape.or(self.askers[client].kind) == Some(Engine::BuildKit)
                && ends_in_time(&self.askers[client], *at, self.work)
        }));
        steps
    }
}
