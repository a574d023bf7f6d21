//! What streams of TCP say, out of the pieces that calls carried: DNS, and whom TLS and HTTP ask for.

use std::io::Write;
use std::net::IpAddr;

use blubr_log::Name;
use blubr_log::event::{Addr, Flag, NetHttp, NetTls, Proto};
use blubr_probes::wire::wire_field_id::*;
use blubr_probes::wire::{wire_net, wire_stream};
use zerocopy::FromBytes as _;

use super::net::{family_of, own, peer};
use super::{DecodeError, Decoder, plain};
use crate::log::{Cut, Log};
use crate::payload::dns;
use crate::payload::http::{self, Then};
use crate::payload::stream::{Key, Piece, Step};
use crate::payload::tls;
use crate::record::{Malformed, Record};

/// Of which stream a record's payload is, where it is of one.
pub(super) fn place(r: &Record<'_>) -> Result<Option<wire_stream>, Malformed> {
    let Some(field) = r.field(WIRE_F_STREAM) else { return Ok(None) };
    let stream = wire_stream::read_from_bytes(field.bytes);
    stream.map(Some).map_err(|_| Malformed("stream"))
}

impl Decoder {
    /// What went out at the beginning of a stream.
    pub(super) fn beginning<W: Write>(
        &mut self,
        r: &Record<'_>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let place = place(r)?.ok_or(Malformed("stream"))?;
        let key = Key { socket: place.socket, sending: true };
        let Some((payload, (daddr, dport))) = r.text(WIRE_F_PAYLOAD).zip(peer(net)) else {
            return Ok(());
        };
        let piece = Piece { offset: place.offset, len: place.len, bytes: payload.bytes, in_step: false };
        let joined = &mut self.path;
        self.streams.feed(key, piece, |bytes| {
            let ends = Ends { net, daddr, dport };
            if bytes.first() == Some(&tls::HANDSHAKE) {
                return match tls::client_hello(bytes, joined) {
                    tls::Begin::More => Ok(Step::More),
                    tls::Begin::Not => Ok(Step::Stop),
                    tls::Begin::Hello(hello) => {
                        log.event(r.head, ends.tls(&hello).into(), plain(r, &Cut::none()))?;
                        Ok(Step::Stop)
                    }
                };
            }
            match http::request(bytes) {
                http::Begin::More => Ok(Step::More),
                http::Begin::Not => Ok(Step::Stop),
                http::Begin::Request(request) => {
                    log.event(r.head, ends.http(&request).into(), plain(r, &Cut::none()))?;
                    let len = request.len as u64;
                    Ok(match request.then {
                        Then::Next(body) => Step::Taken(len.saturating_add(body)),
                        Then::Tunnel => Step::Taken(len),
                        Then::Unknown => Step::Stop,
                    })
                }
            }
        })
    }

    /// Messages of DNS over TCP, each behind its length (RFC 1035 section 4.2.2).
    pub(super) fn dns_stream<W: Write>(
        &mut self,
        r: &Record<'_>,
        place: wire_stream,
        server: Option<IpAddr>,
        log: &mut Log<W>,
    ) -> Result<(), DecodeError> {
        let net: &wire_net = r.body()?;
        let Some(payload) = r.text(WIRE_F_PAYLOAD) else { return Ok(()) };
        let key = Key { socket: place.socket, sending: net.sending != 0 };
        let in_step = dns::are_whole_messages(payload.bytes);
        let piece = Piece { offset: place.offset, len: place.len, bytes: payload.bytes, in_step };
        let is_cut = (payload.bytes.len() as u64) < u64::from(place.len);
        self.streams.feed(key, piece, |bytes| {
            let Some(len) = dns::length(bytes) else { return Ok(Step::More) };
            let end = (2 + len).min(bytes.len());
            if end < 2 + len && !is_cut {
                return Ok(Step::More);
            }
            if let Some(message) = dns::parse(bytes.get(2..end).unwrap_or_default()) {
                super::net::write_dns(r, message, server, log)?;
            }
            Ok(Step::Taken(2 + len as u64))
        })
    }
}

/// Both ends of a connection.
struct Ends<'n> {
    net: &'n wire_net,
    daddr: IpAddr,
    dport: u16,
}

impl Ends<'_> {
    fn tls<'b>(&self, hello: &tls::Hello<'b>) -> NetTls<'b> {
        let (saddr, sport) = own(self.net);
        NetTls {
            proto: Proto(self.net.proto),
            family: family_of(self.daddr),
            saddr,
            sport,
            daddr: Addr(self.daddr),
            dport: self.dport,
            sni: hello.sni.map(Name::from),
            ech: Flag(hello.ech),
        }
    }

    fn http<'b>(&self, request: &http::Request<'b>) -> NetHttp<'b> {
        let (saddr, sport) = own(self.net);
        NetHttp {
            proto: Proto(self.net.proto),
            family: family_of(self.daddr),
            saddr,
            sport,
            daddr: Addr(self.daddr),
            dport: self.dport,
            method: Name::from(request.method),
            host: request.host.map(Name::from),
        }
    }
}
