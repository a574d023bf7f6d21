//! The hosts that were reached.

use std::collections::{BTreeMap, BTreeSet};

use blubr_attestation::BlubrBuild;
use blubr_attestation::trace::{Direction, Network};
use blubr_log::event::may_have_reached;

use crate::cli::Subject::Network as Subject;
use crate::compare::unseen::{self, Unseen};
use crate::compare::{Difference, Found, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Change, Info, Warning};

/// What makes two connections the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    host: String,
    port: u16,
    protocol: String,
    direction: Direction,
    loopback: bool,
    step: String,
}

impl Key {
    fn text(&self) -> String {
        let way = if self.direction == Direction::In { "from" } else { "to" };
        let host = if self.protocol == "dns" {
            format!("look-up of {}", self.host)
        } else {
            format!("{way} {}", self.host)
        };
        let port = if self.protocol == "dns" {
            String::new()
        } else {
            format!(" {}/{}", self.port, self.protocol)
        };
        let loopback = if self.loopback { ", loopback" } else { "" };
        format!("{host}{port}{loopback}, {}", self.step)
    }
}

/// The instruction behind a step's id: it stays when lines move.
fn step(build: &BlubrBuild, id: Option<&str>) -> String {
    let Some(id) = id else { return "no known step".to_owned() };
    build.steps.iter().find(|s| s.id == id).map_or_else(
        || id.to_owned(),
        |s| {
            let first = s.text.lines().next().unwrap_or("");
            match s.stage {
                Some(stage) => format!("stage {stage}: {first}"),
                None => first.to_owned(),
            }
        },
    )
}

fn keys(
    build: &BlubrBuild,
    list: &[Network],
    unseen: &BTreeSet<String>,
    rules: &mut Rules,
) -> BTreeMap<Key, (u64, bool)> {
    let mut keys: BTreeMap<Key, (u64, bool)> = BTreeMap::new();
    let of_seen = |n: &&Network| n.step.as_ref().is_none_or(|step| !unseen.contains(step));
    for n in list.iter().filter(of_seen) {
        // An accepted connection's own port is what was asked for; the other side's is made up by its kernel.
        let key = Key {
            host: rules.host(n.hostname.as_deref(), &n.ip),
            port: n.port,
            protocol: n.protocol.clone(),
            direction: n.direction,
            loopback: n.loopback,
            step: step(build, n.step.as_deref()),
        };
        let entry = keys.entry(key).or_default();
        entry.0 += n.count.max(1);
        entry.1 |= may_have_reached(n.ret);
    }
    keys
}

/// Compares them.
pub fn compare(
    (old, a): (&BlubrBuild, &[Network]),
    (new, b): (&BlubrBuild, &[Network]),
    rules: &mut Rules,
    found: &mut Found,
) {
    // A host that only one record shows, from a step that the other one didn't see, is neither new nor gone.
    let unseen = Unseen::of(old, new, unseen::REACHING);
    unseen.say("the hosts", found);
    let (a, b) = (keys(old, a, &unseen.old, rules), keys(new, b, &unseen.new, rules));
    let gone: Vec<String> =
        a.keys().filter(|k| !b.contains_key(k)).map(|k| format!("- {}", k.text())).collect();
    let (outside, inside): (Vec<_>, Vec<_>) =
        b.keys().filter(|k| !a.contains_key(k)).partition(|k| !k.loopback);
    let plus = |keys: Vec<&Key>| shown(keys.into_iter().map(|k| format!("+ {}", k.text())).collect());
    if !outside.is_empty() {
        let what = format!("new connections or look-ups: {}", outside.len());
        found.add(Difference::new(Subject, Warning, what).detail(plus(outside)));
    }
    if !inside.is_empty() {
        found.add(Difference::new(Subject, Change, "new connections on this host").detail(plus(inside)));
    }
    if !gone.is_empty() {
        found.add(
            Difference::new(
                Subject,
                Change,
                format!("connections or look-ups that are gone: {}", gone.len()),
            )
            .detail(shown(gone)),
        );
    }
    let turned: Vec<String> = a
        .iter()
        .filter_map(|(key, (_, worked))| {
            b.get(key).filter(|(_, works)| works != worked).map(|(_, works)| (key, works))
        })
        .map(|(key, works)| {
            format!("{}: {}", key.text(), if *works { "failed, now works" } else { "worked, now fails" })
        })
        .collect();
    if !turned.is_empty() {
        found.add(Difference::new(Subject, Info, "whether a connection was made").detail(shown(turned)));
    }
}
