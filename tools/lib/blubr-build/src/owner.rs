//! Whose step is it: gives the steps of each engine to the clients that can have asked for them.
//!
//! A client can have asked for a step only while it was connected, after what it sent had arrived, of an engine of
//! its kind; and only for a chain of steps that copies nothing but what its own context holds. A chain that one
//! client alone can have asked for is that client's; what still fits two is in both, and marked `shared`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use blubr_dockerfile::Dockerfile;
use blubr_log::Time;

use crate::askers::{Asker, askers};
use crate::beside::settle;
use crate::build::{Build, Builds, Context, Engine, Evidence, Layer, ProcessKey, RunKind, StepRun};
use crate::chains::Chains;
use crate::context::{Client, says_build};
use crate::decide::{Case, Decided, Fits};
use crate::finder::Finder;
use crate::fits::{can_ask, foreign_container};
use crate::gaps::Gaps;
use crate::inside::Inside;
use crate::steps::{Piece, Work, link, may_have_left, pieces};
use crate::traces::{Dir, Maker, Overlay, Store};

pub(crate) fn assign(finder: Finder) -> Builds {
    let mut work = pieces(&finder);
    link(&finder, &mut work);
    work.helpers = helpers(&finder);
    work.servers = servers(&finder);
    let of_command = finder.command;
    let Finder { overlays, dirs, makers, clients, shared, gaps, dockerfile, renamed, .. } = finder;
    work.renamed = renamed;
    let overlays: HashMap<Vec<u8>, Overlay> =
        overlays.into_iter().map(|overlay| (overlay.upper.clone(), overlay)).collect();
    let clients = clients.into_sorted();
    let inside = Inside::of(&work);
    let mut builds = Vec::new();
    let mut orphans = 0;
    let hosts: HashMap<ProcessKey, ProcessKey> =
        makers.iter().filter_map(|(key, maker)| Some((*key, maker.inside?))).collect();
    let mut made: Vec<_> = makers.iter().collect();
    made.sort_by_key(|(key, maker)| (maker.began, **key));
    for (&key, maker) in made {
        if maker.provisional {
            continue;
        }
        if maker.store == Store::Containers {
            let own = own_build(key, maker, &work, &dirs);
            let of_command = maker.of_command && !inside.is_in_step(maker.inside);
            builds.extend(own.map(|build| (with_parts(build, &overlays), of_command)));
            continue;
        }
        let may_ask = |client: &&Client| inside.may_ask(client.inside, key, maker.inside);
        let clients: Vec<&Client> = clients.iter().filter(may_ask).collect();
        let found = of_daemon(key, maker, &work, &dirs, &clients, &gaps, dockerfile.as_ref());
        orphans += found.1;
        builds.extend(found.0);
    }
    settle(&mut builds, &hosts);
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
            build.has_losses = has_losses(&build, &gaps);
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

/// What unprivileged tasks outside lost is not an engine's, nor a client's where that is root's.
fn has_losses(build: &Build, gaps: &Gaps) -> bool {
    let from = build.runs.iter().map(|run| run.began.time).fold(build.began.time, Time::min);
    let last = build.runs.iter().filter_map(|run| run.ended).chain(build.ended).map(|at| at.time).max();
    let to = if build.ended.is_some() { last.unwrap_or(from) } else { Time(u64::MAX) };
    gaps.lost_within(from, to, build.uid != 0)
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

fn servers(finder: &Finder) -> HashMap<Vec<u8>, Vec<ProcessKey>> {
    let served = finder.overlays.iter().filter(|overlay| !overlay.servers.is_empty());
    served.map(|overlay| (overlay.upper.clone(), overlay.servers.clone())).collect()
}

/// What else a build's membership is known by: the helpers that worked in its directories, and what else those were called.
fn complete(build: &mut Build, work: &Work) {
    let runs = build.runs.iter().map(|run| (&run.upper, Some(run.id)));
    let layers = build.layers.iter().map(|layer| (&layer.dir, layer.of));
    let contexts = build.contexts.iter().map(|context| (&context.dir, None));
    let served = build.runs.iter().filter_map(|run| work.servers.get(&run.upper));
    let servers: BTreeSet<ProcessKey> = served.flatten().copied().collect();
    let (mut helpers, mut renamed) = (Vec::new(), Vec::new());
    for (dir, run) in runs.chain(layers).chain(contexts) {
        helpers.extend(work.helpers.get(dir).into_iter().flatten().map(|helper| (*helper, run)));
        renamed.extend(work.renamed.get(dir).into_iter().flatten().cloned());
    }
    (build.helpers, build.renamed) = (helpers, renamed);
    build.servers = servers.into_iter().collect();
}

// ---- buildah and podman

/// The build of a client that makes its own mounts.
fn own_build(key: ProcessKey, maker: &Maker, work: &Work, dirs: &[Dir]) -> Option<Build> {
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
        argv_cut: maker.argv_cut,
        cwd: maker.cwd.clone(),
        uid: maker.uid,
        began,
        ended: maker.ended.map(|(at, _)| at),
        exit: maker.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(work.contexts.iter().filter(|at| dirs[**at].maker == key), dirs, None),
        layers,
        engine_pids,
        servers: Vec::new(),
        helpers: Vec::new(),
        renamed: Vec::new(),
        parts: BTreeMap::new(),
        flat: false,
        has_losses: false,
    };
    let mut build = build;
    complete(&mut build, work);
    Some(build)
}

/// The build, with what was done in each of its trees.
fn with_parts(mut build: Build, overlays: &HashMap<Vec<u8>, Overlay>) -> Build {
    for run in &build.runs {
        if let Some(overlay) = overlays.get(&run.upper).filter(|overlay| !overlay.parts.is_empty()) {
            build.parts.entry(run.upper.clone()).or_insert_with(|| overlay.parts.clone());
        }
    }
    build
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

fn of_daemon(
    key: ProcessKey,
    maker: &Maker,
    work: &Work,
    dirs: &[Dir],
    clients: &[&Client],
    gaps: &Gaps,
    dockerfile: Option<&(ProcessKey, Dockerfile)>,
) -> (Vec<(Build, bool)>, u32) {
    let mine: Vec<usize> = (0..work.pieces.len()).filter(|at| work.pieces[*at].maker == key).collect();
    let my_contexts: Vec<usize> =
        work.contexts.iter().copied().filter(|at| dirs[*at].maker == key).collect();
    let allowed: Vec<&Client> =
        clients.iter().copied().filter(|client| maker.uid == 0 || maker.uid == client.uid).collect();
    let askers = askers(key, maker, &mine, &my_contexts, work, dirs, &allowed);
    let chains = Chains::new(&mine, work);
    let mut fits = Fits::new();
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
    let case = Case { chains: &chains, fits: &fits, askers: &askers, work, dirs, gaps, dockerfile };
    let decided = case.decide();
    let orphans = mine
        .iter()
        .filter(|at| work.pieces[**at].run.kind == RunKind::Run && decided.owners[*at].is_empty())
        .count();
    let builds = (0..askers.len())
        .filter_map(|asker| daemon_build(key, asker, &askers, &decided, work, dirs))
        .map(|(mut build, of_command)| {
            build.engine_pids.extend(&maker.servants);
            (build, of_command)
        })
        .collect();
    (builds, u32::try_from(orphans).unwrap_or(u32::MAX))
}

fn daemon_build(
    key: ProcessKey,
    asker: usize,
    askers: &[Asker<'_>],
    decided: &Decided,
    work: &Work,
    dirs: &[Dir],
) -> Option<(Build, bool)> {
    let Asker { client, contexts: own_contexts, kind, .. } = &askers[asker];
    if client.is_ghost() && own_contexts.is_empty() {
        return None;
    }
    let mut runs = Vec::new();
    let mut shapes = Vec::new();
    for (at, owned) in decided.owners.iter().filter(|(_, owned)| owned.contains(&asker)) {
        let piece = &work.pieces[*at];
        let mut run = piece.run.clone();
        run.shared = owned.len() > 1;
        run.evidence = evidence(*at, piece, asker, askers, owned, &decided.eliminated);
        shapes.extend(piece.shape);
        runs.push(run);
    }
    let ids: HashSet<u32> = runs.iter().map(|run| run.id).collect();
    for run in &mut runs {
        run.below = settled_below(run, &ids, work);
    }
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
        argv_cut: client.argv_cut,
        cwd: client.cwd.clone(),
        uid: client.uid,
        began: client.began,
        ended: client.ended.map(|(at, _)| at),
        exit: client.ended.map(|(_, ended)| ended),
        runs,
        contexts: contexts(all_contexts.iter(), dirs, Some(client.key)),
        layers,
        engine_pids: vec![key],
        servers: Vec::new(),
        helpers: Vec::new(),
        renamed: Vec::new(),
        parts: BTreeMap::new(),
        flat: false,
        has_losses: false,
    };
    let mut build = build;
    complete(&mut build, work);
    Some((build, client.of_command))
}

/// The steps below, nearest first, where a layer that may be of several builds' steps is of the one that this build has.
fn settled_below(run: &StepRun, mine: &HashSet<u32>, work: &Work) -> Vec<u32> {
    if !run.lowers.iter().any(|lower| work.maybe.contains_key(lower)) {
        return run.below.clone();
    }
    let id = |at: usize| work.pieces[at].run.id;
    let mut below: Vec<u32> =
        run.below.iter().copied().filter(|of| !has_result_among(*of, &run.lowers, work)).collect();
    for lower in &run.lowers {
        let of = match work.maybe.get(lower) {
            None => work.result.get(lower).map(|at| id(*at)),
            Some(either) => {
                let left = may_have_left(work, either, run.began.seq);
                let mut mine = left.map(id).filter(|of| mine.contains(of));
                mine.next().filter(|_| mine.next().is_none())
            }
        };
        below.extend(of.filter(|of| *of != run.id && !below.contains(of)));
    }
    below
}

/// Whether a step left one of these layers.
fn has_result_among(id: u32, lowers: &[Vec<u8>], work: &Work) -> bool {
    lowers.iter().any(|lower| work.result.get(lower).is_some_and(|at| *at == id as usize))
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
