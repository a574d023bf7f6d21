//! What an event says of a process's connections.

use blubr_attestation::trace::{Direction, HostnameFrom};
use blubr_log::event::Addr;
use blubr_log::{Body, Event};

use super::super::connections::{Bytes, Claim, Reached, host_without_port};
use super::super::doing::{Actor, Budget, Doing};
use super::super::names::Names;

pub(super) fn is_network(event: &Event<'_>) -> bool {
    matches!(event.body, Body::NetConnect(_) | Body::NetSend(_) | Body::NetDns(_))
}

pub(super) fn network(
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
