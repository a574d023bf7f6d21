//! Whether a client can have asked for a step, by when both were there and by what the step copied.

use std::collections::{BTreeMap, HashSet};

use crate::askers::Asker;
use crate::build::{Engine, RunKind};
use crate::context::Client;
use crate::steps::Work;
use crate::traces::Dir;

/// Whether this client can have asked for this step, with all that it is built upon.
pub(crate) fn can_ask(
    asker: &Asker<'_>,
    at: usize,
    work: &Work,
    dirs: &[Dir],
    askers: &[Asker<'_>],
) -> bool {
    let piece = &work.pieces[at];
    if !asker.there(piece.run.began.seq) || piece.run.began.seq < asker.ready {
        return false;
    }
    if let (Some(over), Some(done)) = (asker.over, piece.done)
        && done.seq > over
    {
        return false;
    }
    if let (Some(kind), Some(shape)) = (asker.kind, piece.shape)
        && kind != shape
    {
        return false;
    }
    if asker.succeeded() {
        // A client that succeeded has seen its steps through.
        if let (Some((ended, _)), Some(done)) = (asker.client.ended, piece.done)
            && done.seq > ended.seq
        {
            return false;
        }
        // And none of them failed or was killed.
        if piece.came_to_nothing() {
            return false;
        }
    }
    copies_what_it_sent(asker, at, work, dirs, askers)
}

/// What the chain copied from another's context this client must have sent as well, and before.
fn copies_what_it_sent(
    asker: &Asker<'_>,
    at: usize,
    work: &Work,
    dirs: &[Dir],
    askers: &[Asker<'_>],
) -> bool {
    if asker.contexts.is_empty() {
        return true;
    }
    let piece = &work.pieces[at];
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
            // Where files are alike it may not be told which of the contexts is whose.
            let too = asker.may_have_sent().any(|own| {
                let dir = &dirs[own];
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
pub(crate) fn foreign_container(
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
    let may_have_failed = fits[&at]
        .iter()
        .map(|asker| &askers[*asker])
        .any(|asker| !asker.succeeded() && !asker.is_faint());
    others && !may_have_failed
}

/// Whether the build of this client can have ended in this step of BuildKit, as far as that can be told.
///
/// An engine reads what the last step left to put it into the image, to hand it out, or to look it up in its cache;
/// it writes the image when it has registered its layers; all of that is done when it tells the client that the build
/// has succeeded. A step that failed is told of when it has.
pub(crate) fn ends_in_time(asker: &Asker<'_>, at: usize, work: &Work) -> bool {
    let Some((ended, _)) = asker.client.ended else { return true };
    let piece = &work.pieces[at];
    if !asker.succeeded() {
        return !piece.failed() || piece.done.is_none_or(|done| done.seq < ended.seq);
    }
    if asker.other_results || !asker.keeps_images {
        return true;
    }
    let before = asker.image.unwrap_or(ended.seq);
    let layers = std::iter::once(at).chain(piece.run.below.iter().map(|id| *id as usize));
    piece.read_back.is_some_and(|read| read < before)
        && layers.filter_map(|layer| work.pieces[layer].registered).all(|registered| registered < before)
}

/// Whether the classic builder cleared up after a step before it removed what this client had sent, as far as that can
/// be told.
pub(crate) fn cleared_in_time(asker: &Asker<'_>, at: usize, work: &Work) -> bool {
    let (Some(over), Some(cleared)) = (asker.over, work.pieces[at].cleared) else { return true };
    !asker.succeeded() || !asker.clears_up || cleared < over
}

/// Whether a step was at its end when its client was told that the build had succeeded. (One that ended later is no
/// step of that client anyway; of one that was not seen to end this holds only where no event is missing.)
pub(crate) fn seen_through(asker: &Asker<'_>, at: usize, work: &Work) -> bool {
    !asker.succeeded() || work.pieces[at].done.is_some()
}
