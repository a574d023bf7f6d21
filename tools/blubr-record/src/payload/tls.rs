//! The first message of TLS (RFC 8446 sections 4 and 5): whom a client says it looks for. A pure function of hostile bytes.

use blubr_probes::wire::WIRE_STREAM_MAX;

/// A record's head: type, version, length (RFC 8446 section 5.1).
const RECORD_HEAD_BYTES: usize = 5;
/// A message's head: type, length (RFC 8446 section 4).
const MESSAGE_HEAD_BYTES: usize = 4;
/// Bytes of one record, without its head (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// Bytes of a ClientHello: no longer one is kept.
const HELLO_BYTES_MAX: usize = WIRE_STREAM_MAX as usize;
/// Extensions of one ClientHello: there are some 60 (IANA, TLS ExtensionType values), each at most once.
const EXTENSIONS_MAX: usize = 256;
/// Bytes of a host's name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;

/// The content type of the handshake, and the handshake type of a ClientHello.
pub const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// What a stream's beginning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin<'b> {
    /// It may become a ClientHello: more bytes are needed.
    More,
    /// It is none, or not a whole one.
    Not,
    /// It is one.
    Hello(Hello<'b>),
}

/// What a ClientHello says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'b> {
    /// The name in it, if it has one.
    pub sni: Option<&'b [u8]>,
    /// Another one may be in it, encrypted.
    pub ech: bool,
}

/// Reads the ClientHello that `bytes` begin with. Where it lies in several records it is put together in `joined`.
pub fn client_hello<'b>(bytes: &'b [u8], joined: &'b mut Vec<u8>) -> Begin<'b> {
    let (first, mut rest) = match record(bytes) {
        Piece::Whole(first, rest) => (first, rest),
        Piece::Part(part) => return if may_be_hello(part) { Begin::More } else { Begin::Not },
        Piece::Not => return Begin::Not,
    };
    if let Some(message) = message(first) {
        return message.and_then(hello).map_or(Begin::Not, Begin::Hello);
    }
    joined.clear();
    joined.extend_from_slice(first);
    loop {
        match record(rest) {
            Piece::Whole(more, after) => {
                joined.extend_from_slice(more);
                rest = after;
            }
            Piece::Part(_) => return Begin::More,
            Piece::Not => return Begin::Not,
        }
        if joined.len() > HELLO_BYTES_MAX {
            return Begin::Not;
        }
        if message(joined).is_some() {
            break;
        }
    }
    message(joined).flatten().and_then(hello).map_or(Begin::Not, Begin::Hello)
}

/// A record that may be there.
enum Piece<'b> {
    /// Its bytes, and what follows.
    Whole(&'b [u8], &'b [u8]),
    /// What is there of its bytes.
    Part(&'b [u8]),
    /// It is no record of the handshake.
    Not,
}

fn record(bytes: &[u8]) -> Piece<'_> {
    let head = bytes.get(..RECORD_HEAD_BYTES).unwrap_or(bytes);
    let begins =
        head.first().is_none_or(|kind| *kind == HANDSHAKE) && head.get(1).is_none_or(|v| *v == 3);
    let [_, _, _, high, low] = *head else {
        return if begins { Piece::Part(&[]) } else { Piece::Not };
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !begins || len == 0 || len > RECORD_BYTES_MAX {
        return Piece::Not;
    }
    let rest = bytes.get(RECORD_HEAD_BYTES..).unwrap_or_default();
    rest.split_at_checked(len).map_or(Piece::Part(rest), |(body, rest)| Piece::Whole(body, rest))
}

fn may_be_hello(message: &[u8]) -> bool {
    message.first().is_none_or(|kind| *kind == CLIENT_HELLO)
}

/// The body of the ClientHello at the beginning: `None` where more is needed, `Some(None)` where it is none.
fn message(bytes: &[u8]) -> Option<Option<&[u8]>> {
    if !may_be_hello(bytes) {
        return Some(None);
    }
    let [_, high, middle, low, rest @ ..] = bytes else { return None };
    let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    if len > HELLO_BYTES_MAX - MESSAGE_HEAD_BYTES {
        return Some(None);
    }
    rest.get(..len).map(Some)
}

/// Bytes that are taken from the front.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A vector behind its length of one byte.
    fn short(&mut self) -> Option<&'b [u8]> {
        let len = self.byte()?;
        self.take(usize::from(len))
    }

    /// A vector behind its length of two.
    fn long(&mut self) -> Option<&'b [u8]> {
        let len = self.word()?;
        self.take(usize::from(len))
    }
}

/// RFC 8446 section 4.1.2.
fn hello(body: &[u8]) -> Option<Hello<'_>> {
    let mut hello = Hello { sni: None, ech: false };
    let mut cursor = Cursor(body);
    // legacy_version, random.
    cursor.take(2 + 32)?;
    let (session, suites, compressions) = (cursor.short()?, cursor.long()?, cursor.short()?);
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compressions.is_empty() {
        return None;
    }
    // Before TLS 1.3 there may be none.
    if cursor.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Cursor(cursor.long()?);
    if !cursor.0.is_empty() {
        return None;
    }
    let mut named = false;
    for _ in 0..EXTENSIONS_MAX {
        if extensions.0.is_empty() {
            return Some(hello);
        }
        let (kind, data) = (extensions.word()?, extensions.long()?);
        match kind {
            // Two of a kind are forbidden (section 4.2): which would be meant?
            SERVER_NAME if named => return None,
            SERVER_NAME => {
                named = true;
                hello.sni = Some(server_name(data)?);
            }
            ENCRYPTED_CLIENT_HELLO => hello.ech = true,
            _ => {}
        }
    }
    None
}

/// RFC 6066 section 3: of each type of name there may be one, and of types there is one.
fn server_name(data: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(data);
    let mut list = Cursor(cursor.long()?);
    let (kind, name) = (list.byte()?, list.long()?);
    let whole = cursor.0.is_empty() && list.0.is_empty();
    (whole && kind == HOST_NAME && (1..=NAME_MAX).contains(&name.len())).then_some(name)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
