//! Sockets as strace saw them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Process;
use crate::facts::Fact;
use crate::strace::{Call, Ret, bytes, inside, number, tag, value};

const MSG_FASTOPEN: i64 = 0x2000_0000;

/// An address that a caller gave.
enum Given {
    Inet(IpAddr, u16),
    Unix(Option<Vec<u8>>),
    /// None, AF_UNSPEC, netlink and others, of which the contract has no event.
    Other,
}

fn given(text: &str) -> Given {
    let field = |key: &str| value(text, key).and_then(bytes);
    let port = |key: &str| field(key).and_then(|two| two.try_into().ok()).map(u16::from_be_bytes);
    match value(text, "sa_family").map(number) {
        Some(1) => {
            let name = value(text, "sun_path");
            let plain = name.and_then(|name| match name.strip_prefix('@') {
                Some(rest) => bytes(rest).map(|rest| [b"@", &rest[..]].concat()),
                None => bytes(name),
            });
            Given::Unix(plain)
        }
        Some(2) => {
            let address: [u8; 4] = field("sin_addr").and_then(|four| four.try_into().ok()).unwrap();
            Given::Inet(IpAddr::from(address), port("sin_port").unwrap())
        }
        Some(10) => {
            let address: [u8; 16] = field("sin6_addr").and_then(|all| all.try_into().ok()).unwrap();
            Given::Inet(IpAddr::from(address).to_canonical(), port("sin6_port").unwrap())
        }
        _ => Given::Other,
    }
}

/// `tcp` of a descriptor's `TCP:[...]`; nothing where it is no internet socket.
fn proto(arg: &str) -> Option<&'static str> {
    match tag(arg)?.split(':').next()? {
        "TCP" | "TCPv6" => Some("tcp"),
        "UDP" | "UDPv6" => Some("udp"),
        "UDPLITE" | "UDPLITEv6" => Some("udplite"),
        _ => None,
    }
}

/// The end of `TCP:[127.0.0.1:1]`, a socket that is bound and not connected.
fn own_end(arg: &str) -> Option<(IpAddr, u16)> {
    let (_, own) = tag(arg)?.split_once(":[")?;
    let (address, port) = own.strip_suffix(']')?.rsplit_once(':')?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    Some((address.to_canonical(), port.parse().ok()?))
}

/// Why a call that has an event in other cases has none.
pub(super) fn why_no_event(call: &Call) -> &'static str {
    let on_socket = matches!(
        call.name.as_str(),
        "connect" | "bind" | "listen" | "accept" | "accept4" | "sendto" | "sendmsg" | "sendmmsg"
    );
    if !on_socket {
        return "a step on a mount's way: the last one is compared";
    }
    match (tag(call.arg(0)), proto(call.arg(0))) {
        (None, _) => {
            "on a descriptor that is closed: the kernel looks no further, and nobody is reached"
        }
        (Some(of), None) if !of.contains(':') => {
            "on what is no socket: the kernel looks no further, and nobody is reached"
        }
        (Some(_), None) => "of another family than the internet's, or an abstract name of a unix socket",
        (Some(_), Some(_)) => {
            "to a destination told already, to the one that the socket is connected to, or to nobody (AF_UNSPEC)"
        }
    }
}

/// Both ends of `TCP:[127.0.0.1:1->[::1]:2]`.
fn ends(of: &str) -> Option<[(IpAddr, u16); 2]> {
    let (_, both) = of.split_once(":[")?;
    let (own, other) = both.strip_suffix(']')?.split_once("->")?;
    let end = |text: &str| {
        let (address, port) = text.rsplit_once(':')?;
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        Some((address.to_canonical(), port.parse().ok()?))
    };
    Some([end(own)?, end(other)?])
}

impl Process {
    pub(super) fn network(&mut self, call: &Call, ret: i64) -> Option<Vec<Fact>> {
        let arg = |at| call.arg(at);
        let told = match call.name.as_str() {
            "connect" => match (given(arg(1)), proto(arg(0))) {
                (Given::Inet(address, port), Some(proto)) => {
                    Some(connect(proto, reached(address, ret), port).with("ret", ret))
                }
                (Given::Unix(name), _) if tag(arg(0)).is_some() => {
                    let name = name.map(|name| match name.first() {
                        Some(b'@') => name,
                        _ => super::join(&self.cwd, &name),
                    });
                    let fact = Fact::new("unix.connect").maybe_bytes("path", name.as_deref());
                    Some(fact.with("ret", ret))
                }
                _ => None,
            },
            "bind" => match (given(arg(1)), proto(arg(0))) {
                (Given::Inet(address, port), Some(proto)) => {
                    let fact = Fact::new("net.bind").with("proto", proto).with("saddr", address);
                    Some(fact.with("sport", port).with("ret", ret))
                }
                // The file that is made, with the permissions of the socket's own inode (sock_alloc, net/socket.c).
                (Given::Unix(Some(name)), _) if tag(arg(0)).is_some() && !name.starts_with(b"@") => {
                    let made = Fact::new("file.mknod").bytes("path", &super::join(&self.cwd, &name));
                    Some(made.with("kind", "socket").with("mode", "0777").with("ret", ret))
                }
                _ => None,
            },
            "listen" => proto(arg(0)).map(|proto| {
                let own = own_end(arg(0));
                let fact = Fact::new("net.listen").with("proto", proto);
                let fact = fact.maybe("saddr", own.map(|own| own.0));
                fact.maybe("sport", own.map(|own| own.1)).with("ret", ret)
            }),
            "accept" | "accept4" => match (&call.ret, proto(arg(0))) {
                (Ret::Number(_, Some(of)), Some(proto)) => {
                    let [own, other] = ends(of).unwrap_or_else(|| panic!("no ends: {of}"));
                    let fact = Fact::new("net.accept").with("proto", proto).with("saddr", own.0);
                    let fact = fact.with("sport", own.1).with("daddr", other.0).with("dport", other.1);
                    Some(fact.with("ret", ret))
                }
                (_, Some(proto)) if ret < 0 => {
                    let own = own_end(arg(0));
                    let fact = Fact::new("net.accept").with("proto", proto);
                    let named = own.map(|own| own.0).filter(|address| !address.is_unspecified());
                    let fact = fact.maybe("saddr", named).maybe("sport", own.map(|own| own.1));
                    Some(fact.with("ret", ret))
                }
                _ => None,
            },
            "sendto" => self.send(arg(0), arg(4), number(arg(3)), ret),
            "sendmsg" => {
                let name = arg(1).split_once("msg_name=").map_or("", |(_, rest)| rest);
                self.send(arg(0), name, number(arg(2)), ret)
            }
            "sendmmsg" => {
                let sent = usize::try_from(ret).unwrap_or(0);
                let messages: Vec<_> = inside(arg(1)).into_iter().take(sent).collect();
                let told = messages.iter().filter_map(|message| {
                    let name = message.split_once("msg_name=").map_or("", |(_, rest)| rest);
                    let len = value(message, "msg_len").map_or(0, number);
                    self.send(arg(0), name, number(arg(3)), len)
                });
                return Some(told.collect());
            }
            _ => return None,
        };
        Some(told.into_iter().collect())
    }

    /// A datagram over a unix socket to a name. strace does not say of what type that is: a stream refuses names
    /// (EOPNOTSUPP, EISCONN).
    fn send_by_name(&mut self, fd: &str, name: Vec<u8>, ret: i64) -> Option<Fact> {
        if !tag(fd)?.starts_with("UNIX") || matches!(ret, -95 | -106) {
            return None;
        }
        let path = match name.first() {
            Some(b'@') => name,
            _ => super::join(&self.cwd, &name),
        };
        let first = ret < 0 || self.told.insert((number(fd), path.escape_ascii().to_string()));
        first.then(|| Fact::new("unix.connect").bytes("path", &path).with("ret", ret.min(0)))
    }

    /// The first to each destination; TCP reads a name only where it is to connect by it.
    fn send(&mut self, fd: &str, name: &str, flags: i64, ret: i64) -> Option<Fact> {
        let end = crate::strace::split(name.get(1..).unwrap_or_default()).1;
        let (address, port) = match given(name.get(..end + 1)?) {
            Given::Inet(address, port) => (address, port),
            Given::Unix(name) => return self.send_by_name(fd, name?, ret),
            Given::Other => return None,
        };
        let proto = proto(fd)?;
        if proto == "tcp" {
            let fact = connect(proto, address, port).with("ret", ret.min(0));
            return (flags & MSG_FASTOPEN != 0).then_some(fact);
        }
        let fact = Fact::new("net.send").with("proto", proto);
        let fact = fact.with("daddr", address).with("dport", port).with("ret", ret);
        let first = ret < 0 || self.told.insert((number(fd), format!("{address} {port}")));
        first.then_some(fact)
    }
}

/// Who was reached: 0.0.0.0 and :: mean this host's loopback (tcp_v4_connect and ip_route_connect, tcp_v6_connect).
fn reached(address: IpAddr, ret: i64) -> IpAddr {
    match address {
        IpAddr::V4(four) if ret == 0 && four.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(six) if ret == 0 && six.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

fn connect(proto: &str, address: IpAddr, port: u16) -> Fact {
    Fact::new("net.connect").with("proto", proto).with("daddr", address).with("dport", port)
}
