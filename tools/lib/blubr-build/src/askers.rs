//! Who asked an engine for builds: the clients that reached it while it worked, and the contexts that they sent.

use std::collections::{BTreeSet, HashMap, HashSet};

use blubr_dockerfile::asked;

use crate::build::{Engine, ProcessKey};
use crate::context::Client;
use crate::path::base;
use crate::steps::Work;
use crate::traces::{Dir, Maker};
use crate::worlds::{Puzzle, groups};

/// A client that asked this engine for a build.
pub(crate) struct Asker<'c> {
    pub(crate) client: &'c Client,
    /// Contexts that are its, and no one else's.
    pub(crate) contexts: Vec<usize>,
    /// Contexts that it or another may have sent.
    pub(crate) open: Vec<usize>,
    pub(crate) kind: Option<Engine>,
    /// No step of it began before: what it sent had arrived, and the engine had read the Dockerfile in it.
    pub(crate) ready: u64,
    /// No step of it was done later: the engine had removed what it sent (the classic builder, in the end).
    pub(crate) over: Option<u64>,
    /// When the latest image was written that it can have been told of before it ended.
    pub(crate) image: Option<u64>,
    /// The engine keeps images: it puts there what the build ends in, unless it is asked for something else.
    pub(crate) keeps_images: bool,
    /// The classic builder removes each step's container for it.
    pub(crate) clears_up: bool,
    /// It asks for something else than one image that the engine keeps.
    pub(crate) other_results: bool,
    /// It runs the same program as a client that was seen to connect.
    pub(crate) like_another: bool,
}

impl Asker<'_> {
    /// The contexts that it sent, or may have sent.
    pub(crate) fn may_have_sent(&self) -> impl Iterator<Item = usize> {
        self.contexts.iter().chain(&self.open).copied()
    }

    /// Whether it was connected at that event.
    pub(crate) fn there(&self, seq: u64) -> bool {
        self.client.connected.seq < seq && self.client.ended.is_none_or(|(ended, _)| seq < ended.seq)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.client.ended.is_some_and(|(_, ended)| ended.code == Some(0))
    }

    /// It was there before the recording, and nothing but a word of its command line makes it a client.
    pub(crate) fn is_faint(&self) -> bool {
        self.client.is_ghost() && !self.like_another
    }
}

/// The clients among `clients` that asked the engine `key` for builds. `mine` are its steps, `contexts` what it was sent.
pub(crate) fn askers<'c>(
    key: ProcessKey,
    maker: &Maker,
    mine: &[usize],
    contexts: &[usize],
    work: &Work,
    dirs: &[Dir],
    clients: &[&'c Client],
) -> Vec<Asker<'c>> {
    let Sent { mut by_client, mut open, voted } = sent(contexts, dirs, clients);
    // Who sent something to another engine, and here at most read a file that looks alike.
    let elsewhere: HashSet<ProcessKey> = dirs
        .iter()
        .filter(|dir| dir.maker != key)
        .flat_map(|dir| {
            let only = dir.votes.len() == 1;
            dir.votes
                .keys()
                .copied()
                .filter(|client| only || !voted.contains(client))
                .collect::<Vec<_>>()
        })
        .filter(|client| !by_client.contains_key(client))
        .collect();
    // A BuildKit that makes its snapshots itself stands alone: it hands out what it is asked for, and else leaves it in its cache.
    let is_own = |dir: &Dir| dir.maker == key && base(&dir.path) == b"fs";
    let keeps_images = !(maker.servants.is_empty() && dirs.iter().any(is_own));
    let reached = Reached::new(maker, clients, &voted);
    let mut activity: Vec<u64> = mine.iter().map(|at| work.pieces[*at].run.began.seq).collect();
    activity.extend(dirs.iter().filter(|dir| dir.maker == key).map(|dir| dir.began.seq));
    activity.extend(&maker.seen);
    activity.sort_unstable();
    let mut found: Vec<Asker<'c>> = Vec::new();
    for client in clients {
        let has_sent = voted.contains(&client.key);
        let asks = client.asks_for_build() && reached.by(client);
        let from = activity.partition_point(|seq| *seq <= client.connected.seq);
        let during =
            activity.get(from).is_some_and(|seq| client.ended.is_none_or(|(ended, _)| *seq < ended.seq));
        if !(has_sent || asks) || !during || elsewhere.contains(&client.key) {
            continue;
        }
        let contexts = by_client.remove(&client.key).unwrap_or_default();
        let kind = contexts
            .first()
            .map(|at| if dirs[*at].in_store { Engine::BuildKit } else { Engine::Classic });
        let image = client.ended.and_then(|(ended, _)| maker.export.latest_before(ended.seq));
        let (ready, over) = bounds(client, &contexts, kind, dirs);
        found.push(Asker {
            client,
            contexts,
            open: open.remove(&client.key).unwrap_or_default(),
            kind,
            ready,
            over,
            image,
            keeps_images,
            clears_up: client.says(asked::clears_up),
            other_results: client.says(asked::other_results),
            like_another: false,
        });
    }
    let mut found = merge_plugins(found);
    let programs: HashSet<Vec<u8>> = found
        .iter()
        .filter(|asker| !asker.client.is_ghost())
        .filter_map(|asker| asker.client.argv.first().map(|word| base(word).to_vec()))
        .collect();
    for asker in &mut found {
        asker.like_another = asker.client.argv.first().is_some_and(|word| programs.contains(base(word)));
    }
    found
}

/// Whose context each is.
struct Sent {
    /// The contexts that only this client can have sent.
    by_client: HashMap<ProcessKey, Vec<usize>>,
    /// Those that this client can have sent, and another too.
    open: HashMap<ProcessKey, Vec<usize>>,
    /// All who can have sent one.
    voted: HashSet<ProcessKey>,
}

/// Of those that read a context's files when the engine wrote them, who read the most of them.
fn sent(contexts: &[usize], dirs: &[Dir], clients: &[&Client]) -> Sent {
    let mut sent = Sent { by_client: HashMap::new(), open: HashMap::new(), voted: HashSet::new() };
    let succeeded: HashMap<ProcessKey, u64> = clients
        .iter()
        .filter_map(|client| {
            client.ended.filter(|(_, ended)| ended.code == Some(0)).map(|(at, _)| (client.key, at.seq))
        })
        .collect();
    let mut fits: Vec<Vec<usize>> = Vec::new();
    let number: HashMap<ProcessKey, usize> =
        clients.iter().enumerate().map(|(at, client)| (client.key, at)).collect();
    for &at in contexts {
        let most = dirs[at].votes.values().copied().max().unwrap_or(0);
        let best = dirs[at].votes.iter().filter(|(_, votes)| **votes == most).map(|(client, _)| *client);
        let best: Vec<ProcessKey> = best.collect();
        sent.voted.extend(&best);
        // The classic builder removes a context before it tells the client that the build has succeeded.
        let in_time = |client: &&ProcessKey| {
            let ended = succeeded.get(client);
            dirs[at].removed.is_none_or(|removed| ended.is_none_or(|ended| *ended > removed))
        };
        let mut can: Vec<usize> = match best.as_slice() {
            [only] => number.get(only).copied().into_iter().collect(),
            several => {
                several.iter().filter(in_time).filter_map(|client| number.get(client).copied()).collect()
            }
        };
        can.sort_unstable();
        fits.push(can);
    }
    let clear = one_each(contexts, dirs, &fits);
    for (&at, clients_of) in contexts.iter().zip(clear) {
        let into = if clients_of.len() == 1 { &mut sent.by_client } else { &mut sent.open };
        for client in clients_of {
            into.entry(clients[client].key).or_default().push(at);
        }
    }
    sent
}

/// Who sent which context where the files are alike: to the classic builder a client sends one.
fn one_each(contexts: &[usize], dirs: &[Dir], fits: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let classic = |at: usize| !dirs[contexts[at]].in_store;
    let apart = |one: usize, other: usize, _: usize| classic(one) && classic(other);
    let nobody = BTreeSet::new();
    let puzzle = Puzzle { fits, apart: &apart, needs: &nobody };
    let mut clear: Vec<Vec<usize>> = fits.to_vec();
    for group in groups(fits) {
        if let Some(found) = puzzle.solve(&group) {
            for (at, clients) in group.into_iter().zip(found) {
                clear[at] = clients;
            }
        }
    }
    clear
}

/// Between which events the steps of a client lie, by what it sent.
fn bounds(
    client: &Client,
    contexts: &[usize],
    kind: Option<Engine>,
    dirs: &[Dir],
) -> (u64, Option<u64>) {
    let connected = client.connected.seq;
    let read = |at: usize| {
        let dir = &dirs[at];
        let arrived = dir.last_write.unwrap_or(dir.began).seq;
        let first = dir.reads.iter().map(|(seq, ..)| *seq).find(|seq| *seq > arrived);
        first.unwrap_or(arrived)
    };
    match kind {
        Some(Engine::Classic) => {
            let ready = contexts.iter().map(|at| read(*at)).min().unwrap_or(connected);
            let over = contexts.iter().map(|at| dirs[*at].removed).max().flatten();
            // One that is still there bounds nothing.
            let all = contexts.iter().all(|at| dirs[*at].removed.is_some());
            (ready, over.filter(|_| all))
        }
        // Of the transfers of a BuildKit build only the Dockerfile's comes before all steps.
        Some(Engine::BuildKit) => {
            let first = contexts.iter().copied().min_by_key(|at| dirs[*at].began);
            let dockerfile = first.filter(|at| is_dockerfile(client, &dirs[*at]));
            (dockerfile.map_or(connected, read), None)
        }
        _ => (connected, None),
    }
}

/// Whether a transfer is the Dockerfile's: it has nothing but the file that the client was told to read, and what
/// goes with it (`<name>.dockerignore`).
fn is_dockerfile(client: &Client, dir: &Dir) -> bool {
    let name = client.says(|words| base(asked::file(words).unwrap_or("Dockerfile").as_bytes()).to_vec());
    !dir.files.is_empty()
        && dir.files.keys().all(|file| file.starts_with(&name) && !file.contains(&b'/'))
}

/// Sockets at which clients reach an engine.
struct Reached<'c> {
    /// Those of clients that are known to have reached it.
    sockets: HashSet<&'c [u8]>,
    /// Those that its command line names.
    told: Vec<&'c [u8]>,
}

impl<'c> Reached<'c> {
    fn new(maker: &'c Maker, clients: &[&'c Client], voted: &HashSet<ProcessKey>) -> Self {
        let known = clients.iter().filter(|client| voted.contains(&client.key));
        let sockets = known.flat_map(|client| client.sockets.iter().map(Vec::as_slice)).collect();
        // `--host=`, or buildkitd's `--addr=`.
        let value = |word: &'c Vec<u8>| {
            let equals = word.iter().position(|byte| *byte == b'=').filter(|_| word.starts_with(b"-"));
            &word[equals.map_or(0, |at| at + 1)..]
        };
        let told = maker.argv.iter().filter_map(|word| value(word).strip_prefix(b"unix://"));
        Reached { sockets, told: told.collect() }
    }

    fn by(&self, client: &Client) -> bool {
        client.is_ghost()
            || client.sockets.iter().any(|socket| {
                self.sockets.contains(socket.as_slice())
                    || self.told.is_empty()
                    || self.told.contains(&socket.as_slice())
            })
    }
}

/// `docker build` may start `docker buildx`, and both connect: the outer one is the client.
fn merge_plugins(mut found: Vec<Asker<'_>>) -> Vec<Asker<'_>> {
    let mut at = 0;
    while at < found.len() {
        let parent = found[at].client.parent;
        let outer = found.iter().position(|other| {
            Some(other.client.key) == parent
                && other.client.asks_for_build()
                && other.client.uid == found[at].client.uid
                && other.client.connected < found[at].client.connected
        });
        match outer {
            Some(outer) => {
                let inner = found.remove(at);
                let outer = if outer > at { outer - 1 } else { outer };
                let into = &mut found[outer];
                into.ready =
                    if into.contexts.is_empty() { inner.ready } else { into.ready.min(inner.ready) };
                into.over = into.over.or(inner.over);
                into.contexts.extend(inner.contexts);
                into.open.extend(inner.open);
                into.kind = into.kind.or(inner.kind);
            }
            None => at += 1,
        }
    }
    found
}
