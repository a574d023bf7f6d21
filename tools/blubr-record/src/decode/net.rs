//! Network: sockets' ends out of what the probes and the callers' addresses say.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blubr_log::Name;
use blubr_log::event::{
    Addr, FileMknod, NetAccept, NetBind, NetClose, NetConnect, NetListen, NetSend, Perm, Proto,
    UnixConnect, may_have_reached,
};
use blubr_probes::wire::{wire_field_id::*, wire_head, wire_net, wire_net_close};

use super::file::PERM_BITS;
use super::{Counted, DecodeError, Decoder, Origin, USER, plain, tail};
use crate::log::{Cut, Log, seen};
use crate::path::{Told, absolute, append, walked};
use crate::payload::dns;
use crate::record::{Field, Record};

const AF_UNSPEC: u16 = libc::AF_UNSPEC as u16;
const AF_UNIX: u16 = libc::AF_UNIX as u16;
const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;
const DNS_PORT: u16 = 53;

/// An address of a socket's end, 4 or 16 bytes in network order. An IPv4 address in IPv6 clothes is one of IPv4:
/// that is what goes over the wire.
fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => {
            let [a, b, c, d, ..] = *bytes;
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        AF_INET6 => Some(unmapped(Ipv6Addr::from(*bytes))),
        _ => None,
    }
}

fn unmapped(address: Ipv6Addr) -> IpAddr {
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

pub(super) fn family_of(address: IpAddr) -> Name<'static> {
    Name::from(if address.is_ipv4() { "inet" } else { "inet6" })
}

fn family_name(family: u16) -> Name<'static> {
    Name::from(if family == AF_INET { "inet" } else { "inet6" })
}

/// A struct sockaddr_in or sockaddr_in6 of the caller's.
fn sockaddr(field: Option<Field<'_>>) -> Option<(IpAddr, u16)> {
    sockaddr_by(|given| given, field)
}

/// The same, of the family that the kernel takes the given one for.
fn sockaddr_by(taken_for: impl Fn(u16) -> u16, field: Option<Field<'_>>) -> Option<(IpAddr, u16)> {
    let bytes = field?.bytes;
    let family = taken_for(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match family {
        AF_INET => {
            let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some((IpAddr::from(address), port))
        }
        // Behind sin6_flowinfo.
        AF_INET6 => {
            let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some((unmapped(Ipv6Addr::from(address)), port))
        }
        _ => None,
    }
}

/// Where a message goes. Without a family the address is of the socket's own (udp_sendmsg, raw_sendmsg, rawv6_sendmsg);
/// but UDP over IPv6 passes it over then (udpv6_sendmsg).
fn destination(net: &wire_net, field: Option<Field<'_>>) -> Option<(IpAddr, u16)> {
    let is_datagram = matches!(i32::from(net.socktype), libc::SOCK_DGRAM | libc::SOCK_RAW);
    let is_udp = matches!(i32::from(net.proto), libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE);
    let knows = is_datagram && !(net.family == AF_INET6 && is_udp);
    sockaddr_by(|given| if given == AF_UNSPEC && knows { net.family } else { given }, field)
}

/// What a socket is bound to: of IPv4 without a family too (__inet_bind), and a raw one whatever it is (raw_bind).
fn bound_to(net: &wire_net, field: Option<Field<'_>>) -> Option<(IpAddr, u16)> {
    let is_raw = i32::from(net.socktype) == libc::SOCK_RAW;
    let is_inet = |given| net.family == AF_INET && (given == AF_UNSPEC || is_raw);
    sockaddr_by(|given| if is_inet(given) { AF_INET } else { given }, field)
}

/// Own address and port where they are known: an unbound socket has neither.
pub(super) fn own(net: &wire_net) -> (Option<Addr>, Option<u16>) {
    let saddr = address(net.family, &net.saddr).filter(|address| !address.is_unspecified());
    // What a raw socket has in its place is its protocol (inet_create, net/ipv4/af_inet.c).
    let has_port = net.sport != 0 && i32::from(net.socktype) != libc::SOCK_RAW;
    (saddr.map(Addr), has_port.then_some(net.sport))
}

/// The other end, where the socket is connected.
pub(super) fn peer(net: &wire_net) -> Option<(IpAddr, u16)> {
    let daddr = address(net.family, &net.daddr).filter(|address| !address.is_unspecified())?;
    Some((daddr, net.dport))
}

impl Decoder {
    pub(super) fn connect<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let given = r.text(WIRE_F_ADDRESS);
        let family = given.and_then(|field| field.bytes.first_chunk()).map(|b| u16::from_ne_bytes(*b));
        if net.family == AF_UNIX || (net.family == 0 && family == Some(AF_UNIX)) {
            return self.unix_connect(r, log);
        }
        let by_name = sockaddr(given);
        // Where it came about the kernel says with whom: the caller's memory may hold something else by now.
        let reached = peer(net).filter(|_| may_have_reached(r.head.ret));
        // connect(AF_UNSPEC) takes a connection back: nobody is reached. Of TCP the port is gone then (tcp_disconnect), of
        // others the address.
        let is_stream = i32::from(net.socktype) == libc::SOCK_STREAM;
        let nameless = given.is_some() && by_name.is_none();
        let reached = reached.filter(|(_, dport)| !nameless || !is_stream || *dport != 0);
        let Some((daddr, dport)) = reached.or(by_name) else { return Ok(()) };
        let (saddr, sport) = own(net);
        let connect = NetConnect {
            proto: Proto(net.proto),
            family: family_of(daddr),
            saddr,
            sport,
            daddr: Addr(daddr),
            dport,
        };
        Ok(log.event(r.head, connect.into(), plain(r, &Cut::none()))?)
    }

    fn unix_connect<W: Write>(&mut self, r: &Record<'_>, log: &mut Log<W>) -> Result<(), DecodeError> {
        let mut cut = Cut::none();
        let name = r.text(WIRE_F_ADDRESS).and_then(|field| field.bytes.get(2..)).unwrap_or_default();
        let mut told = Told { known: true, ..Told::default() };
        let by_kernel = r.field(WIRE_F_PATH);
        match name {
            _ if by_kernel.is_some() => {
                told = walked(by_kernel, &mut self.path);
                cut.note("path", told.cut);
            }
            [] => told.known = false,
            [0, name @ ..] => {
                self.path.clear();
                self.path.push(b'@');
                // An abstract name may hold NULs; the log's names can't. As ss(8) does.
                self.path.extend(name.iter().map(|b| if *b == 0 { b'@' } else { *b }));
            }
            name => {
                let name = name.split(|b| *b == 0).next().unwrap_or_default();
                self.path.clear();
                if name.first() != Some(&b'/') {
                    told = walked(r.field(WIRE_F_BASE), &mut self.path);
                    cut.note("path", told.cut);
                }
                append(&mut self.path, name);
            }
        }
        let from = if by_kernel.is_some() { Origin::Kernel } else { USER };
        let connect = UnixConnect { path: seen(told.known, &self.path) };
        Ok(log.event(r.head, connect.into(), tail(r, from, &[told], &cut))?)
    }

    pub(super) fn accept<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let (saddr, sport) = own(net);
        let peer = peer(net);
        let family = match peer {
            Some((daddr, _)) => family_of(daddr),
            None if r.ret().is_some_and(|ret| ret < 0) => family_name(net.family),
            None => return Ok(()),
        };
        let accept = NetAccept {
            proto: Proto(net.proto),
            family,
            saddr,
            sport,
            daddr: peer.map(|(daddr, _)| Addr(daddr)),
            dport: peer.map(|(_, dport)| dport),
        };
        Ok(log.event(r.head, accept.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn bind<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let Some((saddr, sport)) = bound_to(net, r.text(WIRE_F_ADDRESS)) else { return Ok(()) };
        let bind =
            NetBind { proto: Proto(net.proto), family: family_of(saddr), saddr: Addr(saddr), sport };
        Ok(log.event(r.head, bind.into(), plain(r, &Cut::none()))?)
    }

    /// A unix socket was bound to a name: a file was made.
    pub(super) fn unix_bind<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let name = r.text(WIRE_F_ADDRESS).and_then(|field| field.bytes.get(2..)).unwrap_or_default();
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        // An abstract name, or none: no file.
        if name.is_empty() {
            return Ok(());
        }
        let by_kernel = r.field(WIRE_F_PATH);
        let (told, from) = match by_kernel {
            Some(_) => (walked(by_kernel, &mut self.path), Origin::Kernel),
            None => {
                let text = Field { flags: 0, bytes: name };
                (absolute(Some(text), r.field(WIRE_F_BASE), &mut self.path), USER)
            }
        };
        let mut cut = Cut::none();
        cut.note("path", told.cut);
        let mode = r.field(WIRE_F_VALUE).and_then(|field| field.bytes.try_into().ok());
        let mode = mode.map_or(0, u64::from_ne_bytes) as u32;
        let made = FileMknod {
            path: seen(told.known, &self.path),
            kind: Name::from("socket"),
            mode: Perm(mode & PERM_BITS),
            rdev: None,
        };
        Ok(log.event(r.head, made.into(), tail(r, from, &[told], &cut))?)
    }

    pub(super) fn listen<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let family = family_name(net.family);
        let saddr = address(net.family, &net.saddr).map(Addr);
        let sport = (net.sport != 0).then_some(net.sport);
        let listen = NetListen { proto: Proto(net.proto), family, saddr, sport };
        Ok(log.event(r.head, listen.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn send<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        // Found out only after a ring had taken it on: TCP passes a name over, and a unix socket is no internet's.
        let stream = i32::from(net.socktype) == libc::SOCK_STREAM
            && matches!(i32::from(net.proto), libc::IPPROTO_TCP | libc::IPPROTO_MPTCP);
        if stream {
            return Ok(());
        }
        if net.family == AF_UNIX {
            let is_datagram = i32::from(net.socktype) == libc::SOCK_DGRAM;
            let head = wire_head { ret: r.head.ret.min(0), ..*r.head };
            return if is_datagram { self.unix_connect(&r.completed(&head, None), log) } else { Ok(()) };
        }
        let Some((daddr, dport)) = destination(net, r.text(WIRE_F_ADDRESS)) else { return Ok(()) };
        let (saddr, sport) = own(net);
        let send = NetSend {
            proto: Proto(net.proto),
            family: family_of(daddr),
            saddr,
            sport,
            daddr: Addr(daddr),
            dport,
        };
        Ok(log.event(r.head, send.into(), plain(r, &Cut::none()))?)
    }

    pub(super) fn net_close<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let body: &wire_net_close = r.body()?;
        let (saddr, sport) = own(&body.net);
        let peer = peer(&body.net);
        let is_stream = i32::from(body.net.socktype) == libc::SOCK_STREAM;
        if is_stream && peer.is_none() {
            return Ok(());
        }
        let Counted { sent, received } = self.counted;
        let close = NetClose {
            proto: Proto(body.net.proto),
            family: peer.map_or(family_name(body.net.family), |(daddr, _)| family_of(daddr)),
            saddr,
            sport,
            daddr: peer.map(|(daddr, _)| Addr(daddr)),
            dport: peer.map(|(_, dport)| dport),
            bytes_sent: (is_stream || sent).then_some(body.bytes_sent),
            bytes_received: (is_stream || received).then_some(body.bytes_received),
            duration_ns: Some(body.duration_ns),
        };
        Ok(log.event(r.head, close.into(), plain(r, &Cut::none()))?)
    }

    /// DNS questions and answers out of the payload of port-53 sockets.
    pub(super) fn dns<W: Write>(&mut self, r: &Record<'_>, log: &mut Log<W>) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let Some(payload) = r.text(WIRE_F_PAYLOAD) else { return Ok(()) };
        let named = r.text(WIRE_F_ADDRESS);
        let named = if net.sending != 0 { destination(net, named) } else { sockaddr(named) };
        let other = named.or_else(|| peer(net));
        let server = match other {
            Some((server, DNS_PORT)) => Some(server),
            // It is the server itself that we see.
            _ if net.sport == DNS_PORT => own(net).0.map(|server| server.0),
            _ => None,
        };
        if let Some(place) = super::stream::place(r)? {
            return self.dns_stream(r, place, server, log);
        }
        let Some(message) = dns::parse(payload.bytes) else { return Ok(()) };
        write_dns(r, message, server, log)
    }
}

/// Writes what a message of DNS says.
pub(super) fn write_dns<W: Write>(
    r: &Record<'_>,
    message: dns::Message,
    server: Option<IpAddr>,
    log: &mut Log<W>,
) -> Result<(), DecodeError> {
    let mut cut = Cut::none();
    cut.note("answers", message.cut);
    let dns = message.into_event(server);
    Ok(log.event(r.head, dns.into(), plain(r, &cut))?)
}
