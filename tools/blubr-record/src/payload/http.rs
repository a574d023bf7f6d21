//! Requests of HTTP/1 (RFC 9112): method, and whom they are for. A pure function of hostile bytes.

use blubr_probes::wire::WIRE_STREAM_MAX;

/// Bytes of a request's head: no longer one is kept.
const HEAD_BYTES_MAX: usize = WIRE_STREAM_MAX as usize;
/// Lines of a head: servers refuse more than some 100 fields.
const LINES_MAX: usize = 1024;
/// Bytes of a method: the longest registered one has 16 (RFC 3253, BASELINE-CONTROL).
const METHOD_MAX: usize = 24;
/// Bytes of a host with its port: a name of 255 bytes (RFC 1035 section 2.3.4), percent-encoded at the worst.
const HOST_MAX: usize = 1024;

/// What a request's beginning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin<'b> {
    /// It may become a request: more bytes are needed.
    More,
    /// It is none.
    Not,
    /// It is one.
    Request(Request<'b>),
}

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'b> {
    /// The method.
    pub method: &'b [u8],
    /// Whom it is for, as it was sent.
    pub host: Option<&'b [u8]>,
    /// Bytes of the head.
    pub len: usize,
    /// What follows it.
    pub then: Then,
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A body of this many bytes, and the next request.
    Next(u64),
    /// Another protocol, by the answer to CONNECT.
    Tunnel,
    /// Something whose end is not known from the head.
    Unknown,
}

/// Reads the head of the request that `bytes` begin with.
pub fn request(bytes: &[u8]) -> Begin<'_> {
    // Empty lines before a request are passed over (RFC 9112 section 2.2).
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let text = bytes.get(blank..).unwrap_or_default();
    if text.is_empty() {
        return if bytes.len() < HEAD_BYTES_MAX { Begin::More } else { Begin::Not };
    }
    let mut lines = Lines(text);
    let Some(first) = lines.next() else {
        let method = text.split(|b| *b == b' ').next().unwrap_or_default();
        let may_be = text.len() < HEAD_BYTES_MAX && is_method(method);
        return if may_be { Begin::More } else { Begin::Not };
    };
    let Some((method, target)) = request_line(first) else { return Begin::Not };
    let mut fields =
        Fields { host: None, hosts_differ: false, length: Some(0), is_chunked: false, upgrades: false };
    for _ in 0..LINES_MAX {
        let Some(line) = lines.next() else {
            return if text.len() < HEAD_BYTES_MAX { Begin::More } else { Begin::Not };
        };
        if line.is_empty() {
            let len = bytes.len() - lines.0.len();
            return Begin::Request(fields.request(method, target, len));
        }
        if !fields.note(line) {
            return Begin::Not;
        }
    }
    Begin::Not
}

/// Lines that have come whole, without their ends: a lone LF ends one too (RFC 9112 section 2.2).
struct Lines<'b>(&'b [u8]);

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];
    fn next(&mut self) -> Option<&'b [u8]> {
        let end = self.0.iter().position(|b| *b == b'\n')?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn is_method(text: &[u8]) -> bool {
    (1..=METHOD_MAX).contains(&text.len()) && text.iter().all(|b| b.is_ascii_uppercase() || *b == b'-')
}

/// Method and target of `METHOD target HTTP/1.x`.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_version = matches!(version, b"HTTP/1.0" | b"HTTP/1.1");
    let whole = words.next().is_none() && is_method(method) && !target.is_empty() && is_version;
    whole.then_some((method, target))
}

/// What the fields say.
struct Fields<'b> {
    host: Option<&'b [u8]>,
    hosts_differ: bool,
    /// Bytes of the body, where that is certain.
    length: Option<u64>,
    is_chunked: bool,
    upgrades: bool,
}

impl<'b> Fields<'b> {
    /// Takes in a field. `false` where the line is none: a space at its beginning would continue the one before
    /// (obs-fold), a space before the colon is refused by servers (RFC 9112 section 5).
    fn note(&mut self, line: &'b [u8]) -> bool {
        let Some(colon) = line.iter().position(|b| *b == b':') else { return false };
        let (name, value) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if name.is_empty() || !name.iter().all(|b| b.is_ascii_graphic()) {
            return false;
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts_differ |= self.host.is_some_and(|host| host != value);
            self.host = Some(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(number);
            self.length = if self.length == Some(0) { length } else { None };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrades = true;
        }
        true
    }

    fn request(&self, method: &'b [u8], target: &'b [u8], len: usize) -> Request<'b> {
        let is_connect = method == b"CONNECT";
        let named = if is_connect { Some(target) } else { authority(target) };
        // A target that names a host overrules the field (RFC 9112 section 3.2.2).
        let host = named.or(self.host.filter(|_| !self.hosts_differ));
        let host = host.filter(|host| (1..=HOST_MAX).contains(&host.len()));
        let then = match self.length {
            _ if is_connect => Then::Tunnel,
            Some(length) if !self.is_chunked && !self.upgrades => Then::Next(length),
            _ => Then::Unknown,
        };
        Request { method, host, len, then }
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Host and port of a target in absolute form (RFC 9112 section 3.2.2), without the user that may stand before them.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let colon = target.iter().position(|b| *b == b':')?;
    let scheme = target.get(..colon)?;
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let rest = target.get(colon..)?.strip_prefix(b"://")?;
    let whole = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next().unwrap_or_default();
    is_scheme.then_some(whole.rsplit(|b| *b == b'@').next().unwrap_or_default())
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
