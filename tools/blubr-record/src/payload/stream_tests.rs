//! Pieces in every size and order, and more streams than are kept.

use std::convert::Infallible;

use super::*;

const KEY: Key = Key { socket: 7, sending: true };

fn piece(offset: u32, bytes: &[u8]) -> Piece<'_> {
    Piece { offset, len: bytes.len() as u32, bytes, in_step: false }
}

/// Messages that are each behind a byte with their length.
fn counted(bytes: &[u8], told: &mut Vec<Vec<u8>>) -> Step {
    let len = usize::from(bytes[0]);
    let Some(message) = bytes.get(1..=len) else { return Step::More };
    told.push(message.to_vec());
    Step::Taken(1 + len as u64)
}

fn feed(streams: &mut Streams, key: Key, piece: Piece<'_>, told: &mut Vec<Vec<u8>>) {
    let fed: Result<(), Infallible> = streams.feed(key, piece, |bytes| Ok(counted(bytes, told)));
    fed.unwrap();
}

#[test]
fn messages_are_the_same_however_they_were_cut() {
    let text = b"\x03abc\x00\x05defgh\x01i";
    for size in 1..=text.len() {
        let (mut streams, mut told) = (Streams::default(), Vec::new());
        for (number, bytes) in text.chunks(size).enumerate() {
            feed(&mut streams, KEY, piece((number * size) as u32, bytes), &mut told);
        }
        assert_eq!(told, [&b"abc"[..], b"", b"defgh", b"i"], "{size}");
    }
}

#[test]
fn what_does_not_go_on_where_it_ended_is_not_put_together() {
    for offset in [2, 4, 0x8000_0000] {
        let (mut streams, mut told) = (Streams::default(), Vec::new());
        feed(&mut streams, KEY, piece(0, b"\x05ab"), &mut told);
        feed(&mut streams, KEY, piece(offset, b"cde"), &mut told);
        feed(&mut streams, KEY, piece(3, b"cde"), &mut told);
        assert!(told.is_empty(), "{offset}");
    }
    // Another stream's piece, and one whose beginning was not seen.
    let (mut streams, mut told) = (Streams::default(), Vec::new());
    feed(&mut streams, KEY, piece(0, b"\x05ab"), &mut told);
    feed(&mut streams, Key { sending: false, ..KEY }, piece(3, b"cde"), &mut told);
    feed(&mut streams, Key { socket: 8, ..KEY }, piece(9, b"\x01a"), &mut told);
    assert!(told.is_empty());
    feed(
        &mut streams,
        Key { socket: 8, ..KEY },
        Piece { in_step: true, ..piece(9, b"\x01a") },
        &mut told,
    );
    assert_eq!(told, [b"a"]);
    // A new socket at the same place begins anew.
    feed(&mut streams, KEY, piece(0, b"\x02xy"), &mut told);
    assert_eq!(told, [&b"a"[..], b"xy"]);
}

#[test]
fn bytes_that_are_passed_over_need_not_be_there() {
    let skipping = |streams: &mut Streams, piece: Piece<'_>, told: &mut usize| {
        let fed: Result<(), Infallible> = streams.feed(KEY, piece, |bytes| {
            assert_eq!(bytes[0], b'm');
            *told += 1;
            Ok(Step::Taken(100))
        });
        fed.unwrap();
    };
    let (mut streams, mut told) = (Streams::default(), 0);
    // Of 60 bytes ten were carried: what is missing lies in what is passed over.
    skipping(&mut streams, Piece { len: 60, ..piece(0, &[b'm'; 10]) }, &mut told);
    let rest = [&[b'x'; 40][..], &[b'm'; 10]].concat();
    skipping(&mut streams, piece(60, &rest), &mut told);
    assert_eq!(told, 2);
    // And here it doesn't.
    skipping(&mut streams, Piece { len: 160, ..piece(0, &[b'm'; 10]) }, &mut told);
    skipping(&mut streams, piece(160, b"m"), &mut told);
    assert_eq!(told, 3);
}

#[test]
fn a_stream_of_which_nothing_more_is_wanted_is_forgotten() {
    let mut streams = Streams::default();
    for step in [Step::Stop, Step::Taken(0)] {
        let mut shown = 0;
        for offset in 0..3 {
            let fed: Result<(), Infallible> = streams.feed(KEY, piece(offset, b"a"), |_| {
                shown += 1;
                Ok(step)
            });
            fed.unwrap();
        }
        assert_eq!((shown, streams.kept.len(), streams.bytes), (1, 0, 0));
    }
}

#[test]
fn streams_that_never_end_do_not_fill_the_memory() {
    let mut streams = Streams::default();
    let long = vec![255u8; 200];
    for socket in 0..20_000 {
        let mut told = Vec::new();
        feed(&mut streams, Key { socket, sending: true }, piece(0, &long), &mut told);
        feed(&mut streams, Key { socket, sending: true }, piece(200, &long[..20]), &mut told);
        assert!(told.is_empty());
    }
    assert_eq!(streams.kept.len(), STREAMS_MAX);
    assert!(streams.order.len() <= 2 * STREAMS_MAX + 1025);
    assert_eq!(streams.bytes, streams.kept.values().map(|one| one.held.len()).sum::<usize>());
    let never = |streams: &mut Streams, socket, piece: Piece<'_>| {
        let fed: Result<(), Infallible> =
            streams.feed(Key { socket, sending: true }, piece, |_| Ok(Step::More));
        fed.unwrap();
    };
    let long = vec![1u8; 60_000];
    for socket in 0..1000 {
        never(&mut streams, socket, piece(0, &long));
        assert!(streams.bytes <= BYTES_MAX);
    }
    assert!(streams.kept.len() > 100);
    // One alone holds no more than a message can have.
    never(&mut streams, 999, piece(60_000, &long));
    assert!(!streams.kept.contains_key(&Key { socket: 999, sending: true }));
}
