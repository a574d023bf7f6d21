//! The connections and look-ups of one step, as they are gathered event by event.

use std::collections::HashMap;
use std::net::IpAddr;

use blubr_attestation::trace::{Direction, HostnameFrom, Network};
use blubr_build::ProcessKey;
use blubr_log::event::{Proto, may_have_reached};

use super::doing::Budget;

/// Names that one connection asks for and that are kept: a proxy's connection may be used for many.
const NAMES_MAX: usize = 64;
/// IPPROTO_TCP (in.h).
const TCP: u16 = 6;

/// The other side of a connection.
pub struct Reached {
    pub proto: Proto,
    pub ip: IpAddr,
    pub port: u16,
    /// Our own port, where it is known.
    pub own: Option<u16>,
    pub direction: Direction,
    pub ret: i64,
    /// The name whose look-up answered with the address.
    pub looked_up: Option<String>,
}

/// A name that a process gave the other side itself.
pub struct Claim {
    pub name: String,
    pub from: HostnameFrom,
}

/// What went over a connection until its end.
#[derive(Clone, Copy)]
pub struct Bytes {
    pub sent: Option<u64>,
    pub received: Option<u64>,
}

/// What makes two connections one entry.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    process: ProcessKey,
    proto: u16,
    ip: Option<IpAddr>,
    port: u16,
    inwards: bool,
    failed: bool,
    name: Option<String>,
}

/// What tells a connection from others while it is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ends {
    process: ProcessKey,
    ip: IpAddr,
    port: u16,
    own: u16,
}

/// A connection that may still get a name.
struct Live {
    kind: Kind,
    entry: Network,
    names: Vec<Named>,
}

struct Named {
    claim: Claim,
    time: String,
    seq: u64,
}

/// All of one step.
#[derive(Default)]
pub struct Connections {
    /// In the log's order of the first of each kind, once they are settled.
    pub all: Vec<Network>,
    kinds: HashMap<Kind, usize>,
    live: HashMap<Ends, Live>,
    /// Some were left out: how many.
    pub left_out: u64,
    /// There was no room to wait for a connection's name.
    full: bool,
}

impl Connections {
    /// A connection was begun or accepted, or a first datagram sent. `entry` says who and when.
    pub fn begin(&mut self, process: ProcessKey, to: &Reached, entry: Network, budget: &mut Budget) {
        let failed = !may_have_reached(to.ret);
        let inwards = to.direction == Direction::In;
        let kind = Kind {
            process,
            proto: to.proto.0,
            ip: Some(to.ip),
            port: to.port,
            inwards,
            failed,
            name: None,
        };
        let entry = Network {
            ip: to.ip.to_string(),
            hostname: to.looked_up.clone(),
            hostname_from: to.looked_up.as_ref().map(|_| HostnameFrom::Dns),
            port: to.port,
            protocol: to.proto.to_string(),
            direction: to.direction,
            loopback: is_loopback(to.ip),
            ret: to.ret,
            ..entry
        };
        let may_be_named = !failed && !inwards && to.proto.0 == TCP;
        let Some(own) = to.own.filter(|_| may_be_named) else {
            return self.note(kind, entry, budget);
        };
        let ends = Ends { process, ip: to.ip, port: to.port, own };
        // A program that doesn't wait asks again.
        if let Some(live) = self.live.get_mut(&ends) {
            live.entry.count += 1;
        } else if budget.take_live() {
            self.live.insert(ends, Live { kind, entry, names: Vec::new() });
        } else {
            self.full = true;
            self.note(kind, entry, budget);
        }
    }

    /// A name was asked for at a server.
    pub fn lookup(
        &mut self,
        process: ProcessKey,
        name: &str,
        server: Option<IpAddr>,
        entry: Network,
        budget: &mut Budget,
    ) {
        let kind = Kind {
            process,
            proto: u16::MAX,
            ip: server,
            port: 53,
            inwards: false,
            failed: false,
            name: Some(name.to_owned()),
        };
        let entry = Network {
            ip: server.map(|ip| ip.to_string()).unwrap_or_default(),
            hostname: Some(name.to_owned()),
            hostname_from: Some(HostnameFrom::Dns),
            port: 53,
            protocol: "dns".to_owned(),
            loopback: server.is_some_and(is_loopback),
            ..entry
        };
        self.note(kind, entry, budget);
    }

    /// A process said by what name it reaches the other side. Where the connection is another process's (it was
    /// inherited), or began before the log, the name is an entry of its own.
    pub fn name(
        &mut self,
        process: ProcessKey,
        to: &Reached,
        claim: Claim,
        entry: Network,
        budget: &mut Budget,
    ) {
        if claim.name.is_empty() || claim.name == to.ip.to_string() {
            return;
        }
        let ends = to.own.map(|own| Ends { process, ip: to.ip, port: to.port, own });
        let Some(live) = ends.and_then(|ends| self.live.get_mut(&ends)) else {
            return self.name_alone(process, to, claim, entry, budget);
        };
        if live.names.iter().any(|known| known.claim.name == claim.name) {
            return;
        }
        if live.names.len() < NAMES_MAX && budget.take(claim.name.len()) {
            live.names.push(Named { claim, time: entry.time, seq: entry.seq });
        } else {
            self.left_out += 1;
        }
    }

    fn name_alone(
        &mut self,
        process: ProcessKey,
        to: &Reached,
        claim: Claim,
        entry: Network,
        budget: &mut Budget,
    ) {
        let kind = |inwards, port, name| Kind {
            process,
            proto: to.proto.0,
            ip: Some(to.ip),
            port,
            inwards,
            failed: false,
            name,
        };
        // It was accepted: nobody was reached by this name.
        if to.own.is_some_and(|own| self.kinds.contains_key(&kind(true, own, None))) {
            return;
        }
        if self.full {
            self.left_out += 1;
            return;
        }
        let entry = Network {
            ip: to.ip.to_string(),
            hostname: to.looked_up.clone(),
            port: to.port,
            protocol: to.proto.to_string(),
            direction: Direction::Out,
            loopback: is_loopback(to.ip),
            ..entry
        };
        let name = Some(claim.name.clone());
        self.note(kind(false, to.port, name), called(entry, claim), budget);
    }

    /// A connection ended.
    pub fn close(&mut self, process: ProcessKey, to: &Reached, bytes: Bytes, budget: &mut Budget) {
        // A socket of UDP may have the same ends.
        let own = to.own.filter(|_| to.proto.0 == TCP);
        let ends = own.map(|own| Ends { process, ip: to.ip, port: to.port, own });
        if let Some(mut live) = ends.and_then(|ends| self.live.remove(&ends)) {
            budget.give_live();
            add(&mut live.entry, bytes);
            return self.settle(live, budget);
        }
        let known = [(false, Some(to.port)), (true, to.own)].into_iter().find_map(|(inwards, port)| {
            let known = Kind {
                process,
                proto: to.proto.0,
                ip: Some(to.ip),
                port: port?,
                inwards,
                failed: false,
                name: None,
            };
            self.kinds.get(&known).copied()
        });
        if let Some(entry) = known.and_then(|at| self.all.get_mut(at)) {
            add(entry, bytes);
        }
    }

    /// Nothing more comes: what is still there is listed too.
    pub fn end(&mut self, budget: &mut Budget) {
        let mut left: Vec<(Ends, Live)> = self.live.drain().collect();
        left.sort_by_key(|(ends, live)| (live.entry.seq, *ends));
        for (_, live) in left {
            budget.give_live();
            self.settle(live, budget);
        }
        self.kinds.clear();
        self.all.sort_by_key(|entry| entry.seq);
    }

    /// Lists a connection by its first name; each further one is an entry of its own.
    fn settle(&mut self, live: Live, budget: &mut Budget) {
        let Live { mut kind, entry, names } = live;
        let mut names = names.into_iter();
        let more = Network { count: 1, bytes_sent: None, bytes_received: None, ..entry.clone() };
        match names.next() {
            Some(first) => {
                kind.name = Some(first.claim.name.clone());
                self.note(kind.clone(), called(entry, first.claim), budget);
            }
            None => self.note(kind.clone(), entry, budget),
        }
        for named in names {
            kind.name = Some(named.claim.name.clone());
            let entry = Network { time: named.time, seq: named.seq, ..more.clone() };
            self.note(kind.clone(), called(entry, named.claim), budget);
        }
    }

    /// Puts an entry to those of its kind.
    fn note(&mut self, kind: Kind, entry: Network, budget: &mut Budget) {
        if let Some(known) = self.kinds.get(&kind).and_then(|at| self.all.get_mut(*at)) {
            known.count += entry.count;
            add(known, Bytes { sent: entry.bytes_sent, received: entry.bytes_received });
            if entry.seq < known.seq {
                (known.seq, known.time, known.ret) = (entry.seq, entry.time, entry.ret);
            }
            return;
        }
        let name = entry.hostname.as_ref().map_or(0, String::len);
        if !budget.take_connection(name + 16) {
            self.left_out += 1;
            return;
        }
        self.kinds.insert(kind, self.all.len());
        self.all.push(entry);
    }
}

/// An entry whose process called the other side so. What a look-up says is kept where it is another name.
fn called(entry: Network, claim: Claim) -> Network {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let lookup = entry.hostname.filter(|looked_up| plain(looked_up) != plain(&claim.name));
    Network { hostname: Some(claim.name), hostname_from: Some(claim.from), lookup, ..entry }
}

fn add(entry: &mut Network, bytes: Bytes) {
    for (sum, more) in [(&mut entry.bytes_sent, bytes.sent), (&mut entry.bytes_received, bytes.received)]
    {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0).saturating_add(more));
        }
    }
}

/// The host of a request without its port (RFC 9110 section 7.2) and without the brackets of an IPv6 address.
pub fn host_without_port(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    match host.split_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether an address is this host itself: loopback, or "any", which connects to loopback.
fn is_loopback(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
