//! Whose step is it: gives the steps of each engine to the clients that can have asked for them.
//!
//! A client can have asked for a step only while it was connected, after what it sent had arrived, of an engine of
//! its kind; and only for a chain of steps that copies nothing but what its own context holds. A chain that one
//! client alone can have asked for is that client's; what still fits two is in both, and marked `shared`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::build::{Build, Builds, Context, Engine, Evidence, Layer, ProcessKey, RunKind, StepRun};
use crate::context::{Client, says_build};
use crate::finder::{Dir, Finder, Store};
use crate::steps::{Piece, Work, link, pieces};

pub(crate) fn assign(finder: Finder) -> Builds {
    let mut work = pieces(&finder);
    link(&finder, &mut work);
    work.helpers = helpers(&finder);
    work.former = former_names(&finder);
    let of_command = finder.command;
    let Finder { dirs, makers, clients, shared, .. } = finder;
    let clients = clients.into_sorted();
    let mut builds = Vec::new();
    let mut orphans = 0;
    let mut made: Vec<_> = makers.iter().collect();
    made.sort_by_key(|(key, maker)| (maker.began, **key));
    for (&key, maker) in made {
        if maker.provisional {
            continue;
        }
        if maker.store == Store::Containers {
            builds.extend(own_build(key, maker, &work, &dirs));
            continue;
        }
        let found = of_daemon(key, maker, &work, &dirs, &clients);
        orphans += found.1;
        builds.extend(found.0);
    }
    builds.sort_by_key(|(build, _)| (build.began, build.client));
    let by_command: Vec<u32> = (1..)
        .zip(&builds)
        .filter(|(_, (_, of_command))| *of_command)
        .map(|(number, _)| number)
        .collect();
    let of_one =
        (by_command.len() == 1 && of_command.is_some()).then(|| by_command.first().copied()).flatten();
    let builds = (1..)
        .zip(builds)
        .map(|(number, (mut build, _))| {
            build.number = number;
            for run in build.runs.iter_mut().filter(|run| shared.contains(&run.first_seq)) {
                run.shared = true;
                run.evidence.retain(|evidence| *evidence != Evidence::OnlyClient);
                run.evidence.push(Evidence::Several);
                run.evidence.dedup();
            }
            build
        })
        .collect();
    Builds { builds, orphans, of_command: of_one }
}

fn helpers(finder: &Finder) -> HashMap<Vec<u8>, Vec<ProcessKey>> {
    let overlays = finder.overlays.iter().map(|overlay| (&overlay.upper, &overlay.helpers));
    let dirs = finder.dirs.iter().map(|dir| (&dir.path, &dir.helpers));
    let mut helpers: HashMap<Vec<u8>, Vec<ProcessKey>> = HashMap::new();
    for (path, of) in overlays.chain(dirs).filter(|(_, of)| !of.is_empty()) {
        helpers.entry(path.clone()).or_default().extend(of);
    }
    helpers
}

fn former_names(finder: &Finder) -> HashMap<Vec<u8>, Vec<u8>> {
    finder.dirs.iter().filter_map(|dir| Some((dir.path.clone(), dir.former.clone()?))).collect()
}

/// What else a build's membership is known by: the helpers that worked in its directories, and former names.
fn complete(build: &mut Build, work: &Work) {
    let runs = build.runs.iter().map(|run| (&run.upper, Some(run.id)));
    let layers = build.layers.iter().map(|layer| (&layer.dir, layer.of));
    let contexts = build.contexts.iter().map(|context| (&context.dir, None));
    let (mut helpers, mut former) = (Vec::new(), Vec::new());
    for (dir, run) in runs.chain(layers).chain(contexts) {
        helpers.extend(work.helpers.get(dir).into_iter().flatten().map(|helper| (*helper, run)));
        former.extend(work.former.get(dir).map(|name| (name.clone(), run)));
    }
    (build.helpers, build.former_names) = (helpers, former);
}

// ---- buildah and podman

/// The build of a client that makes its own mounts.
fn own_build(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    work: &Work,
    dirs: &[Dir],
) -> Option<(Build, bool)> {
    let runs: Vec<StepRun> = work
        .pieces
        .iter()
        .filter(|piece| piece.maker == key)
        .map(|piece| {
            let mut run = piece.run.clone();
            run.evidence = vec![Evidence::Itself];
            run
        })
        .collect();
    let layers: Vec<Layer> =
        work.layers.iter().filter(|(of, ..)| *of == key).map(|(_, layer, _)| layer.clone()).collect();
    // `podman run` mounts and starts a container too; a build says so, or registers what it made.
    if runs.is_empty() || !(says_build(&maker.argv) || layers.iter().any(|layer| layer.of.is_some())) {
        return None;
    }
    let (client, began) = maker.outer.last().copied().unwrap_or((key, maker.began));
    let mut engine_pids = vec![key];
    engine_pids.extend(maker.outer.iter().map(|(outer, _)| *outer));
    let build = Build {
        number: 0,
        engine: Engine::Buildah,
        engine_process: key,
        client,
        argv: maker.argv.clone(),
        cwd: maker.cwd.clone(),
        uid: maker.uid,
        began,
        ended: maker.ended.map(|(at, _)| at),
        exit: maker.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(work.contexts.iter().filter(|at| dirs[**at].maker == key), dirs, None),
        layers,
        engine_pids,
        helpers: Vec::new(),
        former_names: Vec::new(),
    };
    let mut build = build;
    complete(&mut build, work);
    Some((build, maker.of_command))
}

fn contexts<'a>(
    of: impl Iterator<Item = &'a usize>,
    dirs: &[Dir],
    client: Option<ProcessKey>,
) -> Vec<Context> {
    of.map(|&at| {
        let dir = &dirs[at];
        Context {
            dir: dir.path.clone(),
            binds: dir.binds.clone(),
            files: dir.file_count,
            matched: client.and_then(|client| dir.votes.get(&client)).copied().unwrap_or(0),
            first_seq: dir.began.seq,
            last_seq: dir.last_write.unwrap_or(dir.began).seq,
        }
    })
    .collect()
}

// ---- daemons

/// A client that asked this engine for a build.
struct Asker<'c> {
    client: &'c Client,
    /// Contexts that are its, and no one else's.
    contexts: Vec<usize>,
    kind: Option<Engine>,
    /// When the first of what it sent had arrived.
    ready: u64,
}

impl Asker<'_> {
    fn there(&self, seq: u64) -> bool {
        self.client.connected.seq < seq && self.client.ended.is_none_or(|(ended, _)| seq < ended.seq)
    }

    fn succeeded(&self) -> bool {
        self.client.ended.is_some_and(|(_, ended)| ended.code == Some(0))
    }
}

fn of_daemon(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    work: &Work,
    dirs: &[Dir],
    clients: &[Client],
) -> (Vec<(Build, bool)>, u32) {
    let mine: Vec<usize> = (0..work.pieces.len()).filter(|at| work.pieces[*at].maker == key).collect();
    let my_contexts: Vec<usize> =
        work.contexts.iter().copied().filter(|at| dirs[*at].maker == key).collect();
    let allowed: Vec<&Client> =
        clients.iter().filter(|client| maker.uid == 0 || maker.uid == client.uid).collect();
    let askers = askers(key, maker, &mine, &my_contexts, work, dirs, &allowed);
    let leaves = Leaves::of(&mine, work);
    let mut fits: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &at in &mine {
        let can = (0..askers.len())
            .filter(|asker| can_ask(&askers[*asker], at, work, dirs, &askers))
            .collect();
        fits.insert(at, can);
    }
    for &at in &mine {
        if foreign_container(at, work, &askers, &fits, &allowed) {
            fits.insert(at, Vec::new());
        }
    }
    let eliminated = eliminate(&leaves, &mut fits, &askers, work);
    let eliminated: HashSet<usize> =
        eliminated.iter().flat_map(|leaf| &leaves.chains[leaf]).copied().collect();
    let mut owners: BTreeMap<usize, BTreeSet<usize>> =
        mine.iter().map(|at| (*at, BTreeSet::new())).collect();
    for (&leaf, chain) in &leaves.chains {
        for &asker in &fits[&leaf] {
            for &at in chain {
                // What was there before the client is in its cache, not in its build.
                if askers[asker].there(work.pieces[at].run.began.seq) && can_be(&fits, at, asker) {
                    owners.entry(at).or_default().insert(asker);
                }
            }
        }
    }
    let orphans = mine
        .iter()
        .filter(|at| work.pieces[**at].run.kind == RunKind::Run && owners[*at].is_empty())
        .count();
    let builds = (0..askers.len())
        .filter_map(|asker| daemon_build(key, asker, &askers, &owners, &eliminated, work, dirs))
        .collect();
    (builds, u32::try_from(orphans).unwrap_or(u32::MAX))
}

fn can_be(fits: &BTreeMap<usize, Vec<usize>>, at: usize, asker: usize) -> bool {
    fits.get(&at).is_some_and(|can| can.contains(&asker))
}

/// Who asked this engine for builds.
fn askers<'c>(
    key: ProcessKey,
    maker: &crate::finder::Maker,
    mine: &[usize],
    contexts: &[usize],
    work: &Work,
    dirs: &[Dir],
    clients: &[&'c Client],
) -> Vec<Asker<'c>> {
    // Whose context it is: of those that read its files when the engine wrote them, who read the most of them.
    let mut sent: HashMap<ProcessKey, Vec<usize>> = HashMap::new();
    let mut voted: HashSet<ProcessKey> = HashSet::new();
    for &at in contexts {
        let most = dirs[at].votes.values().copied().max().unwrap_or(0);
        let best: Vec<ProcessKey> = dirs[at]
            .votes
            .iter()
            .filter(|(_, votes)| **votes == most)
            .map(|(client, _)| *client)
            .collect();
        voted.extend(&best);
        if let [only] = best.as_slice() {
            sent.entry(*only).or_default().push(at);
        }
    }
    let elsewhere: HashSet<ProcessKey> = dirs
        .iter()
        .filter(|dir| dir.maker != key)
        .flat_map(|dir| dir.votes.keys().copied())
        .filter(|client| !voted.contains(client))
        .collect();
    // Sockets at which clients are known to have reached this engine.
    let sockets: HashSet<&[u8]> = clients
        .iter()
        .filter(|client| voted.contains(&client.key))
        .flat_map(|client| client.sockets.iter().map(Vec::as_slice))
        .collect();
    let listens = |socket: &[u8]| {
        maker.argv.iter().any(|word| {
            let word = word.strip_prefix(b"--host=").unwrap_or(word);
            word.strip_prefix(b"unix://") == Some(socket)
        })
    };
    let says_where = maker
        .argv
        .iter()
        .any(|word| word.starts_with(b"unix://") || word.starts_with(b"--host=unix://"));
    let reached = |client: &Client| {
        client.is_ghost()
            || client.sockets.iter().any(|socket| {
                sockets.contains(socket.as_slice()) || if says_where { listens(socket) } else { true }
            })
    };
    let mut activity: Vec<u64> = mine.iter().map(|at| work.pieces[*at].run.began.seq).collect();
    activity.extend(dirs.iter().filter(|dir| dir.maker == key).map(|dir| dir.began.seq));
    activity.extend(&maker.seen);
    activity.sort_unstable();
    let mut found: Vec<Asker<'c>> = Vec::new();
    for client in clients {
        let has_sent = voted.contains(&client.key);
        let asks = client.asks_for_build() && !elsewhere.contains(&client.key) && reached(client);
        let from = activity.partition_point(|seq| *seq <= client.connected.seq);
        let during =
            activity.get(from).is_some_and(|seq| client.ended.is_none_or(|(ended, _)| *seq < ended.seq));
        if !(has_sent || asks) || !during {
            continue;
        }
        let contexts = sent.remove(&client.key).unwrap_or_default();
        let kind = contexts
            .first()
            .map(|at| if dirs[*at].in_store { Engine::BuildKit } else { Engine::Classic });
        let ready = contexts
            .iter()
            .map(|at| dirs[*at].last_write.unwrap_or(dirs[*at].began).seq)
            .min()
            .unwrap_or(client.connected.seq);
        found.push(Asker { client, contexts, kind, ready });
    }
    merge_plugins(found)
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
                into.contexts.extend(inner.contexts);
                into.kind = into.kind.or(inner.kind);
            }
            None => at += 1,
        }
    }
    found
}

/// Whether this client can have asked for this step.
fn can_ask(asker: &Asker<'_>, at: usize, work: &Work, dirs: &[Dir], askers: &[Asker<'_>]) -> bool {
    let piece = &work.pieces[at];
    if !asker.there(piece.run.began.seq) || piece.run.began.seq < asker.ready {
        return false;
    }
    if let (Some(kind), Some(shape)) = (asker.kind, piece.shape)
        && kind != shape
    {
        return false;
    }
    // A client that succeeded has seen its steps through.
    if asker.succeeded()
        && let (Some((ended, _)), Some(done)) = (asker.client.ended, piece.done)
        && done.seq > ended.seq
    {
        return false;
    }
    if asker.contexts.is_empty() {
        return true;
    }
    // What the chain copied from another's context this one must have sent as well, and before.
    let chain = std::iter::once(at).chain(piece.run.below.iter().map(|id| *id as usize));
    for step in chain {
        for &(context, size) in &work.pieces[step].copied {
            if asker.contexts.contains(&context) {
                continue;
            }
            let of_other = askers.iter().any(|other| other.contexts.contains(&context));
            if !of_other {
                continue;
            }
            let too = asker.contexts.iter().any(|own| {
                let dir = &dirs[*own];
                let arrived = dir.last_write.is_some_and(|last| last.seq < piece.run.began.seq);
                (arrived || step == at) && dir.files.values().any(|file| file.size == size)
            });
            if !too {
                return false;
            }
        }
    }
    true
}

/// A container that some other client ran at the same engine (`docker run`): the classic builder's look the same,
/// but the builder reads what a container changed once it has ended.
fn foreign_container(
    at: usize,
    work: &Work,
    askers: &[Asker<'_>],
    fits: &BTreeMap<usize, Vec<usize>>,
    clients: &[&Client],
) -> bool {
    let piece = &work.pieces[at];
    if piece.run.kind != RunKind::Run || piece.shape != Some(Engine::Classic) || piece.committed {
        return false;
    }
    let seq = piece.run.began.seq;
    let sockets: HashSet<&Vec<u8>> = askers.iter().flat_map(|asker| &asker.client.sockets).collect();
    let others = clients.iter().any(|client| {
        client.connected.seq < seq
            && client.sockets.iter().any(|socket| sockets.contains(socket))
            && client.ended.is_none_or(|(ended, _)| seq < ended.seq)
            && !client.asks_for_build()
            && !askers.iter().any(|asker| asker.client.key == client.key)
    });
    // The last step of a build that failed is not read either.
    let may_have_failed = fits[&at].iter().any(|asker| !askers[*asker].succeeded());
    others && !may_have_failed
}

/// The ends of the chains, each with all steps below it.
struct Leaves {
    chains: BTreeMap<usize, Vec<usize>>,
}

impl Leaves {
    fn of(mine: &[usize], work: &Work) -> Self {
        let below = |at: usize| {
            let run = &work.pieces[at].run;
            let known = run.below.iter().chain(&run.reads_runs).map(|id| *id as usize);
            known.chain(work.pieces[at].maybe_below.iter().copied())
        };
        let used: HashSet<usize> = mine.iter().flat_map(|at| below(*at)).collect();
        let mut chains = BTreeMap::new();
        for &at in mine {
            if used.contains(&at) {
                continue;
            }
            let mut seen = BTreeSet::new();
            let mut open = vec![at];
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(below(next));
                }
            }
            chains.insert(at, seen.into_iter().collect());
        }
        Leaves { chains }
    }

    /// For each chain the clients whose contexts were copied in it, and in no other chain.
    fn certain(&self, askers: &[Asker<'_>], work: &Work) -> BTreeMap<usize, HashSet<usize>> {
        let mut count: HashMap<usize, usize> = HashMap::new();
        for step in self.chains.values().flatten() {
            *count.entry(*step).or_default() += 1;
        }
        let of_chain = |chain: &[usize]| {
            let own = chain.iter().filter(|step| count[*step] == 1);
            let contexts: HashSet<usize> = own
                .flat_map(|step| work.pieces[*step].copied.iter().map(|(context, _)| *context))
                .collect();
            let sent = |asker: &usize| askers[*asker].contexts.iter().any(|at| contexts.contains(at));
            (0..askers.len()).filter(sent).collect::<HashSet<usize>>()
        };
        let all = self.chains.iter().map(|(leaf, chain)| (*leaf, of_chain(chain)));
        all.filter(|(_, sure)| !sure.is_empty()).collect()
    }
}

/// Where several clients fit a chain, leaves it to those that have no other.
///
/// A client whose context was copied within a chain (and in no other chain) has that chain. An engine makes one chain
/// for a client, with all that it needs below its end; so a chain that fits clients of which all but some have a chain
/// already is of those. Returns the ends of chains that were decided so.
fn eliminate(
    leaves: &Leaves,
    fits: &mut BTreeMap<usize, Vec<usize>>,
    askers: &[Asker<'_>],
    work: &Work,
) -> HashSet<usize> {
    let certain = leaves.certain(askers, work);
    let ghosts = without_ghosts(leaves, fits, askers);
    // A copy alone may be the beginning of a chain of which the rest could not be linked to it.
    let ran = |leaf: &&usize| {
        leaves.chains[*leaf].iter().any(|step| work.pieces[*step].run.kind == RunKind::Run)
    };
    let mut decided = HashSet::new();
    loop {
        let settled: HashSet<usize> = leaves
            .chains
            .keys()
            .filter(ran)
            .flat_map(|leaf| match (fits[leaf].as_slice(), certain.get(leaf)) {
                ([only], _) => vec![*only],
                (_, Some(sure)) => sure.iter().copied().collect(),
                _ => Vec::new(),
            })
            .collect();
        let mut changed = None;
        for leaf in leaves.chains.keys() {
            let can = &fits[leaf];
            if can.len() < 2 {
                continue;
            }
            let sure = certain.get(leaf);
            let keep = |asker: &usize| {
                sure.is_some_and(|sure| sure.contains(asker))
                    || (!settled.contains(asker)
                        && (sure.is_none() || !askers[*asker].client.is_ghost()))
            };
            let kept: Vec<usize> = can.iter().copied().filter(keep).collect();
            if !kept.is_empty() && kept.len() < can.len() {
                changed = Some((*leaf, kept));
                break;
            }
        }
        let Some((leaf, kept)) = changed else { break };
        fits.insert(leaf, kept);
        decided.insert(leaf);
    }
    // A client that seems to have several chains may have those that show nothing of it from one that was there before.
    let mut of_client: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for leaf in leaves.chains.keys().filter(ran) {
        for asker in &fits[leaf] {
            of_client.entry(*asker).or_default().push(*leaf);
        }
    }
    for (asker, chains) in of_client.into_iter().filter(|(_, chains)| chains.len() > 1) {
        let sure = |leaf: &usize| certain.get(leaf).is_some_and(|sure| sure.contains(&asker));
        let has_one = chains.iter().any(sure);
        for leaf in chains.iter().filter(|leaf| !sure(leaf)) {
            let Some(others) = ghosts.get(leaf).filter(|others| !others.is_empty()) else { continue };
            let can = fits.entry(*leaf).or_default();
            if has_one {
                can.retain(|other| *other != asker);
            }
            can.extend(others.iter().copied().filter(|other| !can.contains(other)).collect::<Vec<_>>());
            decided.insert(*leaf);
        }
    }
    decided
}

/// Takes those that were never seen to connect out of every chain that someone else fits, and says where they were.
fn without_ghosts(
    leaves: &Leaves,
    fits: &mut BTreeMap<usize, Vec<usize>>,
    askers: &[Asker<'_>],
) -> BTreeMap<usize, Vec<usize>> {
    let mut ghosts = BTreeMap::new();
    for leaf in leaves.chains.keys() {
        let can = fits.entry(*leaf).or_default();
        let (unseen, seen): (Vec<usize>, Vec<usize>) =
            can.iter().partition(|asker| askers[**asker].client.is_ghost());
        if !seen.is_empty() {
            *can = seen;
        }
        ghosts.insert(*leaf, unseen);
    }
    ghosts
}

fn daemon_build(
    key: ProcessKey,
    asker: usize,
    askers: &[Asker<'_>],
    owners: &BTreeMap<usize, BTreeSet<usize>>,
    eliminated: &HashSet<usize>,
    work: &Work,
    dirs: &[Dir],
) -> Option<(Build, bool)> {
    let Asker { client, contexts: own_contexts, kind, .. } = &askers[asker];
    if client.is_ghost() && own_contexts.is_empty() {
        return None;
    }
    let mut runs = Vec::new();
    let mut shapes = Vec::new();
    for (at, owned) in owners.iter().filter(|(_, owned)| owned.contains(&asker)) {
        let piece = &work.pieces[*at];
        let mut run = piece.run.clone();
        run.shared = owned.len() > 1;
        run.evidence = evidence(*at, piece, asker, askers, owned, eliminated);
        shapes.extend(piece.shape);
        runs.push(run);
    }
    let ids: HashSet<u32> = runs.iter().map(|run| run.id).collect();
    let layers = work
        .layers
        .iter()
        .filter(|(of, layer, _)| *of == key && layer.of.is_some_and(|of| ids.contains(&of)))
        .map(|(_, layer, _)| layer.clone())
        .collect();
    let engine = kind.or_else(|| shapes.first().copied()).unwrap_or(Engine::BuildKit);
    // A shared copy may have read another's context.
    let read: HashSet<&Vec<u8>> = runs.iter().flat_map(|run| &run.reads_context).collect();
    let all_contexts: BTreeSet<usize> = own_contexts
        .iter()
        .copied()
        .chain(work.contexts.iter().copied().filter(|at| read.contains(&dirs[*at].path)))
        .collect();
    let build = Build {
        number: 0,
        engine,
        engine_process: key,
        client: client.key,
        argv: client.argv.clone(),
        cwd: client.cwd.clone(),
        uid: client.uid,
        began: client.began,
        ended: client.ended.map(|(at, _)| at),
        exit: client.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(all_contexts.iter(), dirs, Some(client.key)),
        layers,
        engine_pids: vec![key],
        helpers: Vec::new(),
        former_names: Vec::new(),
    };
    let mut build = build;
    complete(&mut build, work);
    Some((build, client.of_command))
}

fn evidence(
    at: usize,
    piece: &Piece,
    asker: usize,
    askers: &[Asker<'_>],
    owned: &BTreeSet<usize>,
    eliminated: &HashSet<usize>,
) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    if piece.copied.iter().any(|(context, _)| askers[asker].contexts.contains(context)) {
        evidence.push(Evidence::Context);
    }
    let seq = piece.run.began.seq;
    if owned.len() > 1 {
        evidence.push(Evidence::Several);
    } else if askers.iter().filter(|other| other.there(seq)).count() == 1 {
        evidence.push(Evidence::OnlyClient);
    } else if eliminated.contains(&at) {
        evidence.push(Evidence::Elimination);
    }
    if !piece.run.below.is_empty() {
        evidence.push(Evidence::Chain);
    }
    evidence
}
