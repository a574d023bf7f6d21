//! Network: who was reached, and by what name.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde::{Deserialize, Serialize};

use super::field::{Addr, Field, Flag, Nullable, Proto};
use super::schema::schema;
use crate::{Name, Seen, json};

/// Whether a connection goes on behind a call with this result: EINPROGRESS, and a signal that ended the waiting (EINTR, and the
/// kernel's own ERESTARTSYS to ERESTART_RESTARTBLOCK, include/linux/errno.h).
#[must_use]
pub fn goes_on(ret: i64) -> bool {
    matches!(ret, -115 | -4 | -516..=-512)
}

/// Whether a call with this result may have reached the other side. Another failure has not.
#[must_use]
pub fn may_have_reached(ret: i64) -> bool {
    ret >= 0 || goes_on(ret)
}

schema! {
    /// A socket was connected to an address (connect; a send with MSG_FASTOPEN), or with a negative `ret` could not be (-EINPROGRESS, or -EINTR and -ERESTARTSYS of a signal: it goes on without waiting; a call on what is no socket has no event); or a connected socket came from another process (`via`).
    struct NetConnect<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address, where it is known.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
        /// Address of the other side.
        daddr: Addr,
        /// Port of the other side.
        dport: u16,
    }
}

schema! {
    /// A connection was accepted, or with a negative `ret` could not be (-EAGAIN: there was none).
    struct NetAccept<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address, where it is known.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
        /// Address of the other side; not of one that failed.
        daddr: Option<Addr>,
        /// Port of the other side; not of one that failed.
        dport: Option<u16>,
    }
}

schema! {
    /// A socket was bound to an own address.
    struct NetBind<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address.
        saddr: Addr,
        /// Own port; 0 leaves it to the kernel.
        sport: u16,
    }
}

schema! {
    /// A socket began to listen, or with a negative `ret` could not; or one that listens came from another process (`via`).
    struct NetListen<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
    }
}

schema! {
    /// The first datagram of a socket to a destination that it is not connected to.
    struct NetSend<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address, where it is known.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
        /// Address of the other side.
        daddr: Addr,
        /// Port of the other side.
        dport: u16,
    }
}

schema! {
    /// A connection ended; or nothing holds a datagram or raw socket any more that was connected, bound or used, or it was connected anew. Of sockets that were there before the recording there is none.
    struct NetClose<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address, where it is known.
        saddr: Option<Addr>,
        /// Own port; raw sockets have none.
        sport: Option<u16>,
        /// Address that it was connected to; no key of a datagram or raw socket that was connected to none, or that ever named where its datagrams go (`net.send` tells each of these).
        daddr: Option<Addr>,
        /// Port of the other side; no key where there is no `daddr`.
        dport: Option<u16>,
        /// Bytes of payload sent, each counted once (of TCP `tcp_sock->bytes_sent - bytes_retrans`). Of datagram and raw sockets what the calls on it returned, by whomever it was held, since it was made or last connected; no key where the kernel does not tell that.
        bytes_sent: Option<u64>,
        /// Bytes received (of TCP `tcp_sock->bytes_received`, which counts the other end of the stream as one). Of datagram and raw sockets what the calls on it returned, without what was only looked at (MSG_PEEK): a raw socket of IPv4 returns the header too, and a datagram that is cut counts as far as it was read.
        bytes_received: Option<u64>,
        /// How long it was there, in ns, where its beginning was seen: since it was connected, or of a socket that was not, made.
        duration_ns: Option<u64>,
    }
}

schema! {
    /// A DNS question or answer. No probe emits it: the recorder parses it out of the payload of a port-53 socket, over TCP out of as many reads or writes as it comes in.
    struct NetDns<'a> {
        /// The name asked for, in its presentation form (RFC 1035 section 5.1) without the last dot.
        qname: Name<'a>,
        /// Type of record asked for: `A`, `AAAA`, `CNAME`, ... or `TYPEn` (RFC 3597).
        qtype: Name<'a>,
        /// Address of the DNS server that was asked.
        server: Option<Addr>,
        /// Address that the answer came from; with `answers`.
        from: Option<Addr>,
        /// Response code (RFC 1035 section 4.1.1); with `answers`.
        rcode: Option<u32>,
        /// The answers with an address, in order, and the CNAMEs on the way to them.
        answers: Option<DnsAnswers>,
    }
}

schema! {
    /// A ClientHello of TLS was sent, first on a TCP connection or behind a CONNECT. The name in it is what the process said it looked for; who answered is not checked. No probe emits it: the recorder parses it out of the first 16 KiB of what was sent.
    struct NetTls<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
        /// Address of the other side.
        daddr: Addr,
        /// Port of the other side.
        dport: u16,
        /// The name that the process asked for (server_name, RFC 6066 section 3), as it was sent; no key where the ClientHello has none.
        sni: Option<Name<'a>>,
        /// There is an encrypted ClientHello within, or what looks like one: `sni` may be another server's name, which hides the one that was meant.
        ech: Flag,
    }
}

schema! {
    /// A request of HTTP/1 was sent in plain text, first on a TCP connection or behind a request whose end was seen. What it says is what the process claimed. No probe emits it: the recorder parses it out of the first 16 KiB of what was sent.
    struct NetHttp<'a> {
        /// Protocol.
        proto: Proto,
        /// `inet` or `inet6`.
        family: Name<'a>,
        /// Own address.
        saddr: Option<Addr>,
        /// Own port.
        sport: Option<u16>,
        /// Address of the other side, which may be a proxy.
        daddr: Addr,
        /// Port of the other side.
        dport: u16,
        /// The method, such as `GET` or `CONNECT`.
        method: Name<'a>,
        /// Whom it is for, with the port if one was given, as it was sent: what the target names if it names a host (CONNECT, and requests to a proxy), else the Host field; no key where neither does, or where two Host fields differ.
        host: Option<Name<'a>>,
    }
}

schema! {
    /// A socket was connected to a Unix-domain socket; or the first datagram of one that is not went to that; or one that came from another process (`via`) was connected to a name.
    struct UnixConnect<'a> {
        /// Path of the socket as the caller gave it, and of one that came from another process as the kernel has it; an abstract name begins with `@`.
        path: Seen<Name<'a>>,
    }
}

/// The records of a DNS answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DnsAnswers(pub Vec<DnsAnswer>);

/// One record of a DNS answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// Owner name.
    pub name: String,
    /// Address, of A and AAAA records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// The other name, of CNAME records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Time to live, in seconds.
    pub ttl: u32,
}

impl<'de> Field<'de> for DnsAnswers {
    const SHAPE: &'static str = "array of {name, address, cname, ttl}";
    fn unread() -> Self {
        DnsAnswers::default()
    }
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        json::key(out, key);
        out.push(b'[');
        for (at, answer) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.push(b'{');
            Name(Cow::Borrowed(answer.name.as_bytes())).write("name", out);
            if let Some(address) = answer.address {
                Addr(address).write("address", out);
            }
            if let Some(cname) = &answer.cname {
                Name(Cow::Borrowed(cname.as_bytes())).write("cname", out);
            }
            answer.ttl.write("ttl", out);
            out.push(b'}');
        }
        out.push(b']');
    }
    fn read<A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        self.0 = map.next_value()?;
        Ok(())
    }
}

impl<'de> Nullable<'de> for DnsAnswers {
    const NULLABLE: &'static str = "array or null";
    fn value_or_null<A: MapAccess<'de>>(map: &mut A) -> Result<Option<Self>, A::Error> {
        Ok(map.next_value::<Option<Vec<DnsAnswer>>>()?.map(DnsAnswers))
    }
}
