//! Questions put to the record. Nothing passes without evidence that suffices; what the record can't answer is `unknown`.

use blubr_attestation::build::{
    BlubrBuild, Check, Completeness, Outcome, Recording, Status, Step, Taken, Unexplained, What,
};
use blubr_attestation::trace::Network;

use blubr_log::event::may_have_reached;

use super::fetches::Fetches;
use super::gather::Gathered;
use crate::crosscheck::{FILTERED, Unchecked, keeps_a_build};

/// What the answers rest on besides the statement.
pub struct Seen<'a> {
    pub gathered: &'a Gathered,
    /// The image is no older one: what the target is made of was carried out.
    pub anew: bool,
    /// What is known of an image that was not seen to be stored.
    pub doubt: String,
    pub unchecked: &'a Unchecked,
    pub fetches: &'a Fetches,
    /// First events of containers that are of no instruction.
    pub untied: Vec<u64>,
}

/// The answers, in a fixed order.
pub fn checks(build: &BlubrBuild, seen: &Seen<'_>) -> Vec<Check> {
    let (gathered, unchecked) = (seen.gathered, seen.unchecked);
    let mut all = vec![
        recording(build),
        steps(build, &seen.untied),
        network(build, gathered, seen.fetches),
        foreign(build, gathered),
    ];
    if let Some(dockerfile) = &build.dockerfile {
        all.push(match dockerfile.taken {
            Taken::UnchangedSinceOpen => say(
                "dockerfile-unchanged",
                Outcome::Pass,
                "the build opened it, and size and time are the same since",
            ),
            Taken::Changed => say(
                "dockerfile-unchanged",
                Outcome::Fail,
                "size or time differ from when the build opened it",
            ),
            Taken::NotSeen => {
                say("dockerfile-unchanged", Outcome::Unknown, "the record shows no open of it")
            }
        });
    }
    if build.image.is_some() {
        all.push(of_this_build(build, seen));
        all.extend(layers(build, seen));
        all.push(explained(build, unchecked));
        all.push(attributes(build, unchecked));
    }
    if is_filtered(build) {
        all.iter_mut().for_each(doubt);
    }
    all
}

/// Whether the log went through a filter that may have taken events of the build, or of who touched it, away.
pub fn is_filtered(build: &BlubrBuild) -> bool {
    !build.log.filters.iter().all(|one| keeps_a_build(&one.tool, &one.args))
}

/// Of a log that may lack any event only what is there can be held against a build: a loss, a connection, another Dockerfile.
/// Whose an event is, who stood beside whom and what was never done need those that are not there.
fn doubt(check: &mut Check) {
    const BY_WHAT_IS_THERE: [&str; 3] =
        ["recording-complete", "no-outside-network", "dockerfile-unchanged"];
    match check.result {
        Outcome::Pass => check.evidence = vec![FILTERED.to_owned()],
        Outcome::Fail if BY_WHAT_IS_THERE.contains(&check.id.as_str()) => return,
        Outcome::Fail | Outcome::Unknown => check.evidence.insert(0, FILTERED.to_owned()),
    }
    check.result = Outcome::Unknown;
}

fn say(id: &str, result: Outcome, evidence: impl Into<String>) -> Check {
    Check { id: id.to_owned(), result, scope: "build".to_owned(), evidence: vec![evidence.into()] }
}

fn recording(build: &BlubrBuild) -> Check {
    let completeness = &build.completeness;
    let (from, to) = (completeness.from_event, completeness.to_event);
    match completeness.recording {
        Recording::Complete => say(
            "recording-complete",
            Outcome::Pass,
            format!("nothing was lost between events {from} and {to} of the log, and its chain holds"),
        ),
        Recording::Lossy => say(
            "recording-complete",
            Outcome::Fail,
            format!(
                "{} events were lost between events {from} and {to} of the log{}",
                completeness.lost,
                of_outside(completeness)
            ),
        ),
        Recording::Cut if completeness.late => say(
            "recording-complete",
            Outcome::Fail,
            "the build had begun when the recording did: what it did before is not in the record",
        ),
        Recording::Cut => say(
            "recording-complete",
            Outcome::Fail,
            "the log ends before the build does, or holds no checkpoint after it",
        ),
    }
}

/// Whose some of the lost events were, as far as the recorder knew: `is_outside` in probes/outside.bpf.h.
pub fn of_outside(completeness: &Completeness) -> String {
    let how_many = match completeness.lost_outside {
        0 => return String::new(),
        all if all >= completeness.lost => "all".to_owned(),
        some => some.to_string(),
    };
    format!(
        ", {how_many} of them of users' tasks that were neither known as the recorded command's nor in a mount namespace \
         that root had made"
    )
}

/// Whether a step that wasn't seen should have been.
pub fn is_unseen(step: &Step) -> bool {
    step.status == Status::Candidates || step.status == Status::NotObserved && !is_unneeded(step)
}

/// Whether what is built doesn't need the step's stage.
fn is_unneeded(step: &Step) -> bool {
    step.evidence.iter().any(|one| one.kind == "stage")
}

/// How many steps with work of their own weren't seen.
fn steps_unseen(build: &BlubrBuild) -> usize {
    let works = |step: &&Step| matches!(step.instruction.as_str(), "RUN" | "COPY" | "ADD");
    build.steps.iter().filter(works).filter(|step| is_unseen(step)).count()
}

fn steps(build: &BlubrBuild, untied: &[u64]) -> Check {
    const ID: &str = "steps-observed";
    if build.steps.is_empty() {
        return say(ID, Outcome::Unknown, "no Dockerfile was given");
    }
    let ids = |is: fn(&Step) -> bool| {
        let steps = build.steps.iter().filter(|step| is_unseen(step) && is(step));
        steps.map(|step| step.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unseen = ids(|step| step.status != Status::Candidates);
    if !unseen.is_empty() {
        return say(ID, Outcome::Fail, format!("not seen: {unseen}"));
    }
    let alike = ids(|step| step.status == Status::Candidates);
    if !alike.is_empty() {
        return say(ID, Outcome::Unknown, format!("not told apart: {alike}"));
    }
    if let Some(first) = untied.first() {
        let detail = format!(
            "{} of no instruction of this Dockerfile (the first from seq {first} on)",
            count(untied.len(), "container of the build is", "containers of the build are")
        );
        return say(ID, Outcome::Unknown, detail);
    }
    let counts = &build.completeness.steps;
    let detail = format!(
        "{} observed, {} by the engine, {} from the cache",
        counts.observed, counts.daemon, counts.cached
    );
    say(ID, Outcome::Pass, detail)
}

fn network(build: &BlubrBuild, gathered: &Gathered, fetches: &Fetches) -> Check {
    const ID: &str = "no-outside-network";
    let all: Vec<&Network> = build
        .steps
        .iter()
        .flat_map(|step| &step.network)
        .chain(build.candidates.iter().flat_map(|one| &one.network))
        .chain(build.unattributed.network.iter())
        .collect();
    let reached = |one: &&&Network| may_have_reached(one.ret);
    let outside: Vec<String> =
        all.iter().filter(reached).filter(|one| !one.loopback).map(|one| other_side(one)).collect();
    if let Some(first) = outside.first() {
        return say(
            ID,
            Outcome::Fail,
            format!(
                "{} reached, the first {first}",
                count(outside.len(), "other side was", "other sides were")
            ),
        );
    }
    let mut open = Vec::new();
    if build.completeness.recording != Recording::Complete {
        open.push("the recording is not complete".to_owned());
    }
    if build.steps.is_empty() {
        open.push("no Dockerfile was given, so that nothing says that all steps were seen".to_owned());
    }
    let unseen = steps_unseen(build);
    if unseen > 0 {
        open.push(format!("{} not seen, or not told apart", count(unseen, "step was", "steps were")));
    }
    let cached = build
        .steps
        .iter()
        .filter(|step| step.status == Status::Cached && step.instruction == "RUN")
        .count();
    if cached > 0 {
        open.push(format!(
            "{} from the cache: made before, and not recorded here",
            count(cached, "step is", "steps are")
        ));
    }
    // The steps are in the order of the instructions.
    let needed = |at: &&usize| build.steps.get(**at).is_some_and(|step| !is_unneeded(step));
    let fetched = fetches.adds.iter().filter(needed).count();
    if fetched > 0 {
        open.push(format!(
            "{} by the engine, whose connections are not told apart by build",
            count(fetched, "ADD fetches, or may fetch,", "ADDs fetch, or may fetch,")
        ));
    }
    let taken = fetches.froms.iter().filter(needed).count();
    if taken > 0 {
        open.push(format!(
            "{} files from an image, which the engine may have fetched",
            count(taken, "step takes", "steps take")
        ));
    }
    let blind: Vec<&str> = build
        .completeness
        .hooks_missing
        .iter()
        .map(String::as_str)
        .map(|one| one.split(':').next().unwrap_or(one))
        .filter(|what| hides_connections(what, gathered.has_rings, gathered.has_other_sockets))
        .collect();
    if !blind.is_empty() {
        open.push(format!("not covered by the recording: {}", blind.join(", ")));
    }
    let here = all.iter().filter(reached).count();
    if here > 0 {
        open.push(format!(
            "{} on this host itself, which may have passed it on",
            count(here, "connection was", "connections were")
        ));
    }
    if gathered.sent_somewhere_count > 0 {
        open.push(format!(
            "{} sent, or may have sent, to where {} net.close does not say: seq {}",
            counted(gathered.sent_somewhere_count, "datagram or raw socket", "datagram or raw sockets"),
            if gathered.sent_somewhere_count == 1 { "its" } else { "their" },
            seqs(&gathered.sent_somewhere)
        ));
    }
    if let Some((first, sockets)) = &gathered.sockets {
        open.push(format!(
            "{} that the step didn't make, whose owner may have passed it on (the first {first})",
            count(
                *sockets,
                "connection was to a socket of this host",
                "connections were to sockets of this host"
            )
        ));
    }
    if open.is_empty() {
        let evidence = "every step was seen, nothing was lost, and no connection was recorded";
        return say(ID, Outcome::Pass, evidence);
    }
    Check { id: ID.to_owned(), result: Outcome::Unknown, scope: "build".to_owned(), evidence: open }
}

/// Whether something that isn't covered could hide a connection, and not only its name, its bytes or its end. What only a ring
/// or only another family's socket can hide counts where the build had one: a recorder that says so tells of each.
fn hides_connections(what: &str, has_rings: bool, has_other_sockets: bool) -> bool {
    let details = ["net.close", "net.dns", "net.tls", "net.http", "net.send, "];
    let detail = details.iter().any(|one| what.starts_with(one));
    if detail {
        return false;
    }
    let there = match what.split_once(" by ") {
        Some((_, "io_uring")) => has_rings,
        Some((_, "other sockets")) => has_other_sockets,
        // A supervisor's own connection is told; one that is not of the build is its engine's, or was let in by it.
        Some((_, "seccomp")) => false,
        _ => true,
    };
    there
        && (what.starts_with("net")
            || what.starts_with("fd-passing")
            // Without these a connection may be recorded and not be known to be the build's.
            || ["process.fork, ", "process.exec", "process.exit", "cgroup, "].iter().any(|one| what.starts_with(one))
            || matches!(what, "io_uring" | "i386" | "x32"))
}

fn other_side(one: &Network) -> String {
    let name = one.hostname.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    format!("{} port {}{name}, {}", one.ip, one.port, one.protocol)
}

fn foreign(build: &BlubrBuild, gathered: &Gathered) -> Check {
    const ID: &str = "no-foreign-access";
    if gathered.foreign_count > 0 {
        let detail = format!(
            "{} by processes that are no part of it, or of another of its steps, in its directories or containers: seq {}",
            counted(gathered.foreign_count, "event", "events"),
            seqs(&gathered.foreign)
        );
        // Whose a process is may have been told by what was lost.
        if build.completeness.lost == 0 {
            return say(ID, Outcome::Fail, detail);
        }
        return say(
            ID,
            Outcome::Unknown,
            format!("{detail}; events were lost, by which these may be the build's own"),
        );
    }
    if build.completeness.recording != Recording::Complete {
        return say(ID, Outcome::Unknown, "the recording is not complete");
    }
    // Where a step wasn't seen its directories aren't known, nor who touched them.
    let unseen = steps_unseen(build);
    if build.steps.is_empty() {
        return say(
            ID,
            Outcome::Unknown,
            "no Dockerfile was given, so that nothing says that all steps were seen",
        );
    }
    if unseen > 0 {
        let steps = count(unseen, "step was", "steps were");
        return say(ID, Outcome::Unknown, format!("{steps} not seen, or not told apart"));
    }
    say(
        ID,
        Outcome::Pass,
        "no process but the build's own and the engine's touched its directories or containers, and nothing was lost",
    )
}

/// The digest of the image that the engine stored instead of this one, where the record shows that.
fn made_another<'g>(build: &BlubrBuild, seen: &Seen<'g>) -> Option<(&'g str, u64)> {
    let stored = &seen.gathered.stored;
    let (other, seq) = stored.other.as_ref().filter(|_| stored.image_seen.is_none())?;
    // What was all in the cache was stored before, and other stages' steps may leave images too.
    let ran = seen.anew && build.steps.iter().any(|step| step.status == Status::Observed);
    (ran && build.completeness.recording == Recording::Complete).then_some((other.as_str(), *seq))
}

fn of_this_build(build: &BlubrBuild, seen: &Seen<'_>) -> Check {
    const ID: &str = "image-of-this-build";
    if let Some((other, seq)) = made_another(build, seen) {
        let detail = format!("the engine stored sha256:{other} (seq {seq}), and never this image");
        return say(ID, Outcome::Fail, detail);
    }
    match seen.gathered.stored.image_seen {
        Some(seq) => say(
            ID,
            Outcome::Pass,
            format!("the record shows that the engine stored it under its digest (seq {seq})"),
        ),
        None => say(ID, Outcome::Unknown, seen.doubt.as_str()),
    }
}

/// Whether each new layer is, byte for byte, one that the engine stored: they are named after their digests.
fn layers(build: &BlubrBuild, seen: &Seen<'_>) -> Option<Check> {
    const ID: &str = "layers-recorded";
    let image = build.image.as_ref()?;
    let new = image
        .diff_ids
        .iter()
        .zip(&seen.gathered.stored.layers_seen)
        .filter(|(diff_id, _)| !build.inherited.contains(diff_id));
    let (mut all, mut unseen, mut seen_above) = (0, Vec::new(), false);
    for (diff_id, stored) in new {
        all += 1;
        if stored.is_none() {
            unseen.push(diff_id.as_str());
        } else {
            seen_above = !unseen.is_empty();
        }
    }
    if unseen.is_empty() {
        let layers = count(all, "new layer", "new layers");
        let detail =
            format!("the record shows that the engine stored each of the {layers} under its digest");
        return Some(say(ID, Outcome::Pass, detail));
    }
    // An equal layer may have been there before, and need not be stored again.
    let result = match made_another(build, seen) {
        Some(_) => Outcome::Fail,
        None => Outcome::Unknown,
    };
    // Docker names a layer after itself and all below: one that is another makes all above it others too.
    let above = if seen_above { 0 } else { unseen.len().saturating_sub(1) };
    unseen.truncate(unseen.len() - above);
    let mut detail = format!("the record does not show that the engine stored {}", unseen.join(", "));
    if above > 0 {
        let layers = count(above, "layer above it has its name", "layers above it have their names");
        detail = format!(
            "{detail}; the {layers} from it as well, so that nothing is said of what is in there"
        );
    }
    Some(say(ID, result, detail))
}

/// The check whether each entry of the new layers has an event, and each recorded write its entry.
pub const EXPLAINED: &str = "image-explained";

/// Why a list of what is unexplained that is empty doesn't say that all is explained.
pub fn why_not_explained(build: &BlubrBuild) -> Option<String> {
    let open = |check: &&Check| check.id == EXPLAINED && check.result == Outcome::Unknown;
    build.checks.iter().find(open).map(|check| format!("explained: {}", check.evidence.join("; ")))
}

fn explained(build: &BlubrBuild, unchecked: &Unchecked) -> Check {
    const ID: &str = EXPLAINED;
    let (Some(list), Some(files)) = (&build.unexplained, &build.files) else {
        let why = unchecked.entries.as_deref().unwrap_or("it was not checked");
        return say(ID, Outcome::Unknown, why);
    };
    let of_attribute = |one: &&Unexplained| one.what == What::AttributeWithoutEvent;
    let odd = list.iter().filter(|one| !of_attribute(one)).count();
    if odd == 0 && unchecked.unplaced > 0 {
        let layers = count(unchecked.unplaced, "new layer", "new layers");
        let detail =
            format!("whose changes {layers} hold is not known, and the events of any step explain them");
        return say(ID, Outcome::Unknown, detail);
    }
    if odd == 0 && unchecked.of_base > 0 {
        let entries = count(unchecked.of_base, "entry has no event", "entries have no event");
        let detail =
            format!("{entries}, and may be of the base: the image was squashed into one layer with it");
        return say(ID, Outcome::Unknown, detail);
    }
    if odd == 0 && unchecked.cut > 0 {
        let entries = count(unchecked.cut, "entry", "entries");
        let detail = format!(
            "of {entries} it is open: the log has events of names of which it knows but the ends, or that lead through what was mounted"
        );
        return say(ID, Outcome::Unknown, detail);
    }
    if odd == 0 {
        let entries = count(files.len(), "entry", "entries");
        return say(
            ID,
            Outcome::Pass,
            format!("all {entries} of the new layers are explained by events"),
        );
    }
    let more = match unchecked.unlisted {
        0 => String::new(),
        more => format!(", and {more} more that are not listed"),
    };
    let detail = format!("{} not{more}", count(odd, "entry is", "entries are"));
    // What explains an entry may be among what was lost, and so may be by what a stranger is known for none.
    let is_foreign = unchecked.unlisted_foreign || list.iter().any(|one| one.what == What::ForeignWrite);
    let blames = build.completeness.recording == Recording::Complete
        || is_foreign && build.completeness.lost == 0;
    if blames {
        return say(ID, Outcome::Fail, detail);
    }
    say(ID, Outcome::Unknown, format!("{detail}, and the recording is not complete"))
}

/// Whether kinds, modes, owners, sizes, targets and extended attributes are as events gave them, where events say.
fn attributes(build: &BlubrBuild, unchecked: &Unchecked) -> Check {
    const ID: &str = "attributes-explained";
    let Some(list) = &build.unexplained else {
        return say(ID, Outcome::Unknown, unchecked.entries.as_deref().unwrap_or("it was not checked"));
    };
    let odd: Vec<&Unexplained> =
        list.iter().filter(|one| one.what == What::AttributeWithoutEvent).collect();
    if !odd.is_empty() {
        let more = match unchecked.more {
            0 => String::new(),
            more => format!(", and {more} more that are not listed"),
        };
        const ONE: &str = "attribute is not as events left it";
        const MANY: &str = "attributes are not as events left them";
        let detail = format!("{}{more}", count(odd.len(), ONE, MANY));
        return say(ID, Outcome::Fail, detail);
    }
    let mut open = Vec::new();
    open.extend(unchecked.attributes.as_ref().map(|why| format!("not compared: {why}")));
    if unchecked.owners {
        open.push(
            "owners were not compared: a process of the build may have had numbers of its own"
                .to_owned(),
        );
    }
    if unchecked.layers > 0 {
        let layers = count(unchecked.layers, "layer", "layers");
        open.push(format!("the steps of {layers} were not seen"));
    }
    if unchecked.given > 0 {
        let entries = count(unchecked.given, "entry", "entries");
        open.push(format!(
            "those of {entries} may be of events of names of which the log knows but the ends"
        ));
    }
    if open.is_empty() {
        return say(ID, Outcome::Pass, "none is other than events left it, where they tell");
    }
    Check { id: ID.to_owned(), result: Outcome::Unknown, scope: "build".to_owned(), evidence: open }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The same of a number of events.
fn counted(number: u64, one: &str, many: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
}

fn seqs(events: &[u64]) -> String {
    events.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::hides_connections;

    #[test]
    fn what_is_not_covered_counts_where_it_could_hide_a_connection() {
        // Of recorders that did not read rings, or could not.
        for always in ["io_uring", "i386", "x32", "fd-passing", "net.connect", "net"] {
            assert!(hides_connections(always, false, false), "{always}");
        }
        // Of recorders without the probes that tell whose a process is.
        for whose in [
            "process.fork, and whose child each process is",
            "process.exec",
            "process.exit, and file.close at a process's end",
            "cgroup, of groups that are made or renamed",
        ] {
            assert!(hides_connections(whose, false, false), "{whose}");
        }
        for never in [
            "net.close",
            "net.dns",
            "net.tls",
            "net.http",
            // That something was sent is told, wherever to.
            "net.send, daddr and dport",
            "fd-passing by seccomp",
            "mmap",
            "write",
            "watch.ptrace",
            "cgroup",
            "process.fork",
        ] {
            assert!(!hides_connections(never, true, true), "{never}");
        }
        for with_rings in ["net.accept by io_uring", "fd-passing by io_uring"] {
            assert!(hides_connections(with_rings, true, false), "{with_rings}");
            assert!(!hides_connections(with_rings, false, true), "{with_rings}");
        }
        assert!(hides_connections("net.connect by other sockets", false, true));
        assert!(!hides_connections("net.connect by other sockets", true, false));
        // Nothing is reached by closing a file.
        assert!(!hides_connections("file.close by io_uring", true, true));
    }
}
