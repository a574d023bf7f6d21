//! ClientHellos put together by hand, whole, in pieces, damaged.

use super::*;

/// Numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(data)].concat()
}

fn names(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| [&[0][..], &vector(name)].concat()).collect();
    extension(0, &vector(&list))
}

/// The handshake message, with these extensions.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[4, 1, 2, 3, 4]);
    body.extend_from_slice(&vector(&[0x13, 1, 0x13, 2]));
    body.extend_from_slice(&[1, 0]);
    body.extend_from_slice(&vector(&extensions.concat()));
    let len = (body.len() as u32).to_be_bytes();
    [&[1, len[1], len[2], len[3]][..], &body].concat()
}

/// In records of at most this many bytes.
fn records(message: &[u8], bytes: usize) -> Vec<u8> {
    message.chunks(bytes).flat_map(|piece| [&[22, 3, 1][..], &vector(piece)].concat()).collect()
}

#[track_caller]
fn sni(bytes: &[u8]) -> Option<Vec<u8>> {
    match client_hello(bytes, &mut Vec::new()) {
        Begin::Hello(hello) => hello.sni.map(<[u8]>::to_vec),
        other => panic!("{other:?}"),
    }
}

fn is_not(bytes: &[u8]) -> bool {
    client_hello(bytes, &mut Vec::new()) == Begin::Not
}

#[test]
fn the_name_is_read_from_one_record_and_from_many() {
    let hello = message(&[
        extension(16, b"\x00\x03\x02h2"),
        names(&[b"build.example"]),
        extension(43, &[2, 3, 4]),
    ]);
    for bytes in [1, 2, 3, 5, 50, 100, 16_384] {
        let bytes = records(&hello, bytes);
        assert_eq!(sni(&bytes).unwrap(), b"build.example");
        for len in 0..bytes.len() {
            assert_eq!(client_hello(&bytes[..len], &mut Vec::new()), Begin::More, "{len}");
        }
        // What follows does not matter.
        assert_eq!(sni(&[&bytes[..], &[20, 3, 3, 0, 1, 1]].concat()).unwrap(), b"build.example");
    }
}

#[test]
fn a_hello_without_a_name_and_one_that_hides_another_say_so() {
    let none = records(&message(&[extension(43, &[2, 3, 4])]), 999);
    let mut joined = Vec::new();
    let Begin::Hello(hello) = client_hello(&none, &mut joined) else { panic!() };
    assert_eq!(hello, Hello { sni: None, ech: false });
    let hidden = records(&message(&[names(&[b"front.example"]), extension(0xfe0d, &[0; 40])]), 999);
    let mut joined = Vec::new();
    let Begin::Hello(hello) = client_hello(&hidden, &mut joined) else { panic!() };
    assert_eq!(hello, Hello { sni: Some(b"front.example"), ech: true });
    // As before RFC 3546: nothing behind the compressions.
    let mut old = message(&[]);
    old.truncate(old.len() - 2);
    old[3] -= 2;
    assert_eq!(sni(&records(&old, 999)), None);
}

#[test]
fn what_two_readers_could_take_for_two_names_is_none() {
    let long = [b'a'; 256];
    let two = extension(0, &vector(&[&[0][..], &vector(b"a"), &[0], &vector(b"b")].concat()));
    let other_type = extension(0, &vector(&[&[1][..], &vector(b"a")].concat()));
    for extensions in [
        vec![names(&[b"a.example"]), names(&[b"b.example"])],
        vec![two],
        vec![other_type],
        vec![names(&[])],
        vec![names(&[b""])],
        vec![names(&[&long])],
        vec![extension(0, &[])],
        vec![names(&[b"a"]), vec![0]],
    ] {
        assert!(is_not(&records(&message(&extensions), 999)), "{extensions:?}");
    }
    assert!(!is_not(&records(&message(&[names(&[&long[..255]])]), 999)));
}

#[test]
fn what_is_no_hello_is_not_waited_for() {
    let hello = records(&message(&[names(&[b"a"])]), 999);
    for (at, value) in [(0, 23), (1, 2), (5, 2)] {
        let mut bytes = hello.clone();
        bytes[at] = value;
        assert!(is_not(&bytes), "{at}");
        assert!(is_not(&bytes[..at + 1]) || at == 5, "{at}");
        assert!(is_not(&bytes[..6]), "{at}");
    }
    // An empty record, one too long, a message too long.
    assert!(is_not(&[22, 3, 1, 0, 0]));
    assert!(is_not(&[22, 3, 1, 0x40, 1]));
    let mut long = hello;
    long[6] = 1;
    assert!(is_not(&long));
    assert!(is_not(&records(&vec![1u8; 40_000], 1)));
}

#[test]
fn damaged_hellos_end_well_and_never_give_a_name_that_is_not_in_them() {
    let hello =
        message(&[names(&[b"build.example"]), extension(43, &[2, 3, 4]), extension(0xfe0d, &[1; 9])]);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut named = 0;
    for round in 0..60_000 {
        let mut bytes = records(&hello, 1 + random.below(hello.len()));
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        let mut joined = Vec::new();
        if let Begin::Hello(Hello { sni: Some(name), .. }) = client_hello(&bytes, &mut joined) {
            named += 1;
            assert!((1..=NAME_MAX).contains(&name.len()), "{round}");
            // It stands in what was sent, but for the heads of records.
            let mut text = Vec::new();
            let mut rest = &bytes[..];
            while let Piece::Whole(piece, after) = record(rest) {
                text.extend_from_slice(piece);
                rest = after;
            }
            assert!(text.windows(name.len()).any(|window| window == name), "{round}");
        }
    }
    assert!(named > 1000, "{named}");
}
