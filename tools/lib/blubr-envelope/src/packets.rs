//! The packets of an encrypted message, told by their heads alone as the bytes go by (RFC 9580, 4.2): where the message ends.

use sha2::{Digest as _, Sha256};

/// Octets of the longest head: the packet's type, and a length of five.
const HEAD_MAX: usize = 6;

/// Where a walk over a message's packets is.
#[derive(Debug, Default)]
pub(crate) struct Packets {
    at: At,
    /// Over the packets before the encrypted data.
    before: Sha256,
    /// The packet of encrypted data has begun.
    encrypted: bool,
    /// Something stands behind it.
    behind: bool,
}

#[derive(Debug)]
enum At {
    /// In a head, of which these octets have come.
    Head([u8; HEAD_MAX], usize),
    /// In a body (or a part of one) of which so many octets are to come.
    Body { left: u64, packet: u8, partial: bool },
}

impl Default for At {
    fn default() -> Self {
        Self::Head([0; HEAD_MAX], 0)
    }
}

/// What a whole head says.
struct Head {
    /// `u64::MAX`: to the file's end.
    length: u64,
    /// Another length follows the body.
    partial: bool,
}

impl Packets {
    /// Goes over the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Body { left: 0, packet, partial: true } => {
                    // The next length alone: its head goes on with the type of the first.
                    self.at = At::Head([*packet, 0, 0, 0, 0, 0], 1);
                }
                At::Body { left: 0, .. } => self.at = At::default(),
                At::Body { left, .. } => {
                    let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left = left.saturating_sub(here as u64);
                    let (body, rest) = bytes.split_at(here);
                    if !self.encrypted {
                        self.before.update(body);
                    }
                    bytes = rest;
                }
                At::Head(_, 0) if self.encrypted => {
                    self.behind = true;
                    return;
                }
                At::Head(head, got) => {
                    if let Some(octet) = head.get_mut(*got) {
                        *octet = first;
                    }
                    *got += 1;
                    bytes = rest;
                    self.encrypted |= *got == 1 && is_encrypted_data(first);
                    if !self.encrypted {
                        self.before.update([first]);
                    }
                    if let Some(Head { length, partial }) = whole(head, *got) {
                        self.at = At::Body { left: length, packet: head[0], partial };
                    }
                }
            }
        }
    }

    /// Whether a packet of encrypted data has begun.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether anything stands behind that packet.
    pub(crate) fn has_more(&self) -> bool {
        self.behind
    }

    /// The digest of the packets before it.
    pub(crate) fn before_sha256(&self) -> [u8; 32] {
        self.before.clone().finalize().into()
    }
}

/// Whether a packet that begins so holds encrypted data, in any of its three forms.
fn is_encrypted_data(first: u8) -> bool {
    let packet = if first & 0x40 != 0 { first & 0x3f } else { (first >> 2) & 0x0f };
    matches!(packet, 9 | 18 | 20)
}

/// What the head says, where it is whole.
fn whole(head: &[u8; HEAD_MAX], got: usize) -> Option<Head> {
    let [first, one, two, three, four, five] = head.map(u64::from);
    let is_new = first & 0x40 != 0;
    let (octets, length) = match (is_new, first & 3, one) {
        // To the end: nothing can stand behind it.
        (false, 3, _) => (1, u64::MAX),
        (false, 0, _) => (2, one),
        (false, 1, _) => (3, one << 8 | two),
        (false, _, _) => (5, one << 24 | two << 16 | three << 8 | four),
        (true, _, 0..192) => (2, one),
        (true, _, 192..224) => (3, ((one - 192) << 8) + two + 192),
        (true, _, 224..255) => (2, 1 << (one & 0x1f)),
        (true, _, _) => (6, two << 24 | three << 16 | four << 8 | five),
    };
    let partial = is_new && (224..255).contains(&one);
    (got >= octets).then_some(Head { length, partial })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of a type and a body, with its length in each way that RFC 9580 knows.
    fn forms(packet: u8, body: &[u8]) -> Vec<Vec<u8>> {
        let (old, new) = (0x80 | packet << 2, 0xc0 | packet);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut heads = vec![vec![new, 255, length[0], length[1], length[2], length[3]]];
        if body.len() < 192 {
            heads.push(vec![new, length[3]]);
        } else if body.len() < 8384 {
            let rest = u16::try_from(body.len() - 192).unwrap().to_be_bytes();
            heads.push(vec![new, rest[0] + 192, rest[1]]);
        }
        if packet < 16 {
            heads.push([&[old | 2][..], &length].concat());
            heads.push([&[old | 1][..], &length[2..]].concat());
        }
        let mut all: Vec<Vec<u8>> = heads.iter().map(|head| [head, body].concat()).collect();
        if body.len() > 512 {
            let (first, last) = body.split_at(512);
            let rest = u32::try_from(last.len()).unwrap().to_be_bytes();
            all.push([&[new, 224 + 9][..], first, &[255], &rest, last].concat());
        }
        all
    }

    fn walk(bytes: &[u8], step: usize) -> Packets {
        let mut packets = Packets::default();
        bytes.chunks(step).for_each(|chunk| packets.feed(chunk));
        packets
    }

    #[test]
    fn what_stands_behind_the_encrypted_data_is_seen_whatever_the_lengths_are_written_as() {
        for (keys, data) in [(84, 100), (271, 1000), (100, 8192), (5, 9000)] {
            let (keys, data) = (vec![0xd2; keys], vec![0xd2; data]);
            let containers = [9, 18, 20].into_iter().flat_map(|packet| forms(packet, &data));
            for container in containers {
                for before in forms(1, &keys) {
                    let message = [before.as_slice(), &container].concat();
                    for step in [1, 3, 4096] {
                        let walked = walk(&message, step);
                        assert!(walked.is_encrypted() && !walked.has_more());
                        assert_eq!(walked.before_sha256()[..], Sha256::digest(&before)[..]);
                        for behind in [&b"\n"[..], &[0xcb, 1, 0], &container] {
                            assert!(walk(&[&message, behind].concat(), step).has_more());
                        }
                        assert!(!walk(&message[..message.len() - 1], step).has_more());
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_encrypted_in_other_messages_and_nothing_stands_behind_what_has_no_end() {
        let signed = [&[0xcb, 3, 1, 2, 3][..], &[0xc2, 1, 0]].concat();
        let walked = walk(&signed, 2);
        assert!(!walked.is_encrypted() && !walked.has_more());
        let endless = [&[0x80 | 9 << 2 | 3][..], &[0xc2; 500]].concat();
        let walked = walk(&endless, 7);
        assert!(walked.is_encrypted() && !walked.has_more());
        assert!(!walk(&[], 1).is_encrypted());
    }
}
