//! DNS messages (RFC 1035 section 4): questions and answers. A pure function of hostile bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blubr_log::Name;
use blubr_log::event::{Addr, DnsAnswer, DnsAnswers, NetDns};

/// Labels of one name: 255 bytes hold no more than 127 (RFC 1035 section 2.3.4).
const LABELS_MAX: usize = 127;
/// Bytes of a name as it is sent (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;
/// Compression pointers of one name: each must point backwards, so there can't be more than labels.
const POINTERS_MAX: usize = 127;
/// Answers that are kept of one message: 512 bytes hold 31 of A, EDNS0 has room for more.
const ANSWERS_MAX: usize = 128;
/// Records that are passed over on the way to them.
const RECORDS_MAX: usize = 512;
/// A header: id, flags, four counts.
const HEADER_BYTES: usize = 12;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// A message with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The name asked for, in presentation form without the last dot.
    pub qname: String,
    /// The type asked for.
    pub qtype: u16,
    /// It is an answer, with this response code.
    pub rcode: Option<u8>,
    /// The addresses and aliases of an answer.
    pub answers: Vec<DnsAnswer>,
    /// Not every answer could be read: the message was cut, or had too many.
    pub cut: bool,
}

impl Message {
    /// As the log has it; `server` is the other end of the socket.
    pub fn into_event(self, server: Option<IpAddr>) -> NetDns<'static> {
        let answered = self.rcode.is_some();
        let server = server.map(Addr);
        NetDns {
            qname: Name(self.qname.into_bytes().into()),
            qtype: Name(type_name(self.qtype).into_bytes().into()),
            server,
            from: server.filter(|_| answered),
            rcode: self.rcode.map(u32::from),
            answers: answered.then_some(DnsAnswers(self.answers)),
        }
    }
}

fn type_name(qtype: u16) -> String {
    let known = match qtype {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        257 => "CAA",
        other => return format!("TYPE{other}"),
    };
    known.to_owned()
}

/// The length of the message that a stream goes on with, without the two bytes that say it (RFC 1035 section 4.2.2).
pub fn length(bytes: &[u8]) -> Option<usize> {
    u16_at(bytes, 0).map(usize::from)
}

/// Whether a stream's bytes are messages to their very end.
pub fn are_whole_messages(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(len) = length(rest) {
        match rest.get(2 + len..) {
            Some(after) if len >= HEADER_BYTES => rest = after,
            _ => return false,
        }
        if rest.is_empty() {
            return true;
        }
    }
    false
}

/// Reads a message. `None` where it is no standard query or answer with one question; an answer of which a part is
/// damaged or missing is `cut`.
pub fn parse(bytes: &[u8]) -> Option<Message> {
    let header = bytes.get(..HEADER_BYTES)?;
    let flags = u16_at(header, 2)?;
    // QR, OPCODE; the rest of the flags says nothing to us.
    let answer = flags & 0x8000 != 0;
    if (flags >> 11) & 0xf != 0 || u16_at(header, 4)? != 1 {
        return None;
    }
    let (qname, at) = name_at(bytes, HEADER_BYTES)?;
    let qtype = u16_at(bytes, at)?;
    if u16_at(bytes, at + 2)? != CLASS_IN {
        return None;
    }
    let mut message = Message {
        qname,
        qtype,
        rcode: answer.then_some((flags & 0xf) as u8),
        answers: Vec::new(),
        // TC: the server cut it.
        cut: answer && flags & 0x0200 != 0,
    };
    if answer {
        let count = usize::from(u16_at(header, 6)?);
        if read_answers(bytes, at + 4, count, &mut message.answers).is_none() {
            message.cut = true;
        }
    }
    Some(message)
}

/// Reads the answer section; `None` where it ends early.
fn read_answers(bytes: &[u8], mut at: usize, count: usize, into: &mut Vec<DnsAnswer>) -> Option<()> {
    if count > RECORDS_MAX {
        return None;
    }
    for _ in 0..count {
        let (name, fixed) = name_at(bytes, at)?;
        let (kind, class) = (u16_at(bytes, fixed)?, u16_at(bytes, fixed + 2)?);
        let ttl = u32::from_be_bytes(bytes.get(fixed + 4..fixed + 8)?.try_into().ok()?);
        let len = usize::from(u16_at(bytes, fixed + 8)?);
        let data = fixed + 10;
        let value = bytes.get(data..data.checked_add(len)?)?;
        at = data + len;
        if class != CLASS_IN {
            continue;
        }
        let (address, cname) = match kind {
            TYPE_A => (Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))), None),
            TYPE_AAAA => (Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))), None),
            TYPE_CNAME => (None, Some(name_at(bytes, data)?.0)),
            _ => continue,
        };
        if into.len() >= ANSWERS_MAX {
            return None;
        }
        into.push(DnsAnswer { name, address, cname, ttl });
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The name at `start` in presentation form (RFC 1035 section 5.1), and where what follows it begins.
fn name_at(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let (mut at, mut end, mut pointers, mut labels, mut length) = (start, None, 0, 0, 0);
    loop {
        let len = usize::from(*bytes.get(at)?);
        match len >> 6 {
            0b11 => {
                let target = (len & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                end = end.or(Some(at + 2));
                pointers += 1;
                // A pointer is to a prior occurrence (RFC 1035 section 4.1.4): forwards or to itself is a loop.
                if target >= at || pointers > POINTERS_MAX {
                    return None;
                }
                at = target;
                continue;
            }
            0b00 => {}
            // Reserved, or bit labels that nobody sends (RFC 6891 section 5).
            _ => return None,
        }
        at += 1;
        if len == 0 {
            return Some((name, end.unwrap_or(at)));
        }
        labels += 1;
        length += len + 1;
        if labels > LABELS_MAX || length > NAME_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        push_label(bytes.get(at..at + len)?, &mut name);
        at += len;
    }
}

fn push_label(label: &[u8], name: &mut String) {
    for b in label {
        match b {
            b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                name.push('\\');
                name.push(char::from(*b));
            }
            0x21..=0x7e => name.push(char::from(*b)),
            _ => name.push_str(&format!("\\{b:03}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for `labels` and a type, as a resolver sends it.
    fn question(labels: &[&[u8]], qtype: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        bytes.extend_from_slice(&qtype.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    /// Turns it into an answer with `records` behind it.
    fn answer(mut bytes: Vec<u8>, count: u16, records: &[u8]) -> Vec<u8> {
        bytes[2] = 0x81;
        bytes[3] = 0x80;
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(records);
        bytes
    }

    #[test]
    fn a_question() {
        let message = parse(&question(&[b"example", b"org"], 28)).unwrap();
        assert_eq!(message.qname, "example.org");
        assert_eq!((message.qtype, message.rcode, message.cut), (28, None, false));
        let event = message.into_event(Some("192.0.2.1".parse().unwrap()));
        assert_eq!(event.qtype.text(), Some("AAAA"));
        assert_eq!((event.from, event.answers), (None, None));
    }

    #[test]
    fn an_answer_with_an_alias() {
        // example.org CNAME www.example.org (by pointer); www.example.org A 192.0.2.7, AAAA 2001:db8::7
        let mut records = vec![0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6, 3, b'w', b'w', b'w', 0xc0, 12];
        let www = 12 + 13 + 4 + 12;
        records.extend_from_slice(&[0xc0, www, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 7]);
        records.extend_from_slice(&[0xc0, www, 0, 28, 0, 1, 0, 0, 1, 44, 0, 16]);
        records.extend_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        let bytes = answer(question(&[b"example", b"org"], 1), 3, &records);
        let message = parse(&bytes).unwrap();
        assert_eq!((message.rcode, message.cut), (Some(0), false));
        let told: Vec<_> = message
            .answers
            .iter()
            .map(|a| (a.name.as_str(), a.address.map(|a| a.to_string()), a.cname.as_deref(), a.ttl))
            .collect();
        assert_eq!(
            told,
            [
                ("example.org", None, Some("www.example.org"), 60),
                ("www.example.org", Some("192.0.2.7".to_owned()), None, 300),
                ("www.example.org", Some("2001:db8::7".to_owned()), None, 300),
            ]
        );
        let mut tcp = (bytes.len() as u16).to_be_bytes().to_vec();
        tcp.extend_from_slice(&bytes);
        assert_eq!(length(&tcp), Some(bytes.len()));
        assert!(are_whole_messages(&tcp) && are_whole_messages(&tcp.repeat(3)));
        for len in 0..tcp.len() {
            assert!(!are_whole_messages(&tcp[..len]), "{len}");
        }
    }

    #[test]
    fn pointers_made_to_loop_end() {
        // The name at 12 points to itself; to the byte behind; two point to each other.
        for pointers in [&[0xc0u8, 12][..], &[0xc0, 14, 0xc0, 12], &[1, b'a', 0xc0, 12]] {
            let mut bytes = question(&[], 1)[..12].to_vec();
            bytes.extend_from_slice(pointers);
            bytes.extend_from_slice(&[0, 1, 0, 1]);
            assert_eq!(parse(&bytes), None);
        }
        // A loop in an answer costs the answer, not the question.
        let at = 12 + 3 + 4;
        let bytes =
            answer(question(&[b"a"], 1), 1, &[0xc0, at, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
        let message = parse(&bytes).unwrap();
        assert_eq!((message.qname.as_str(), message.cut, message.answers.len()), ("a", true, 0));
    }

    #[test]
    fn names_are_spelled_so_that_they_can_be_read_back() {
        let message = parse(&question(&[b"a.b", b"c\\d", b"\x00\xff e"], 1)).unwrap();
        assert_eq!(message.qname, "a\\.b.c\\\\d.\\000\\255\\032e");
        assert_eq!(parse(&question(&[], 2)).unwrap().qname, "");
    }

    #[test]
    fn a_name_longer_than_the_protocol_allows_is_refused() {
        let label = [b'x'; 63];
        assert!(parse(&question(&[&label, &label, &label], 1)).is_some());
        assert!(parse(&question(&[&label, &label, &label, &label], 1)).is_none());
    }

    #[test]
    fn every_prefix_and_every_changed_byte_ends_well() {
        let records = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
        let whole = answer(question(&[b"example", b"org"], 1), 1, &records);
        for len in 0..whole.len() {
            let message = parse(&whole[..len]);
            assert!(message.is_none_or(|message| message.cut), "{len}");
        }
        for at in 0..whole.len() {
            for value in 0..=255u8 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = parse(&bytes);
                let _ = are_whole_messages(&bytes);
            }
        }
    }
}
