//! Layers made to mislead, each named by its flaw: every one is an error that says where, or reads as Go reads it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};

use blubr_image::layer::{Entries, Entry, Kind};
use blubr_image::tar::{BLOCK, HOLE_BYTES_MAX, METADATA_BYTES_MAX};
use blubr_image::{Digest, Error};

const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// A header of ustar's form with a right checksum.
fn header(name: &[u8], typeflag: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = typeflag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block
}

fn sum(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(name, b'0', content.len() as u64), padded(content)].concat()
}

fn link(name: &[u8], typeflag: u8, target: &[u8]) -> Vec<u8> {
    let mut block = header(name, typeflag, 0);
    block[157..157 + target.len()].copy_from_slice(target);
    sum(&mut block);
    block
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let bytes = records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<u8>>();
    [header(b"PaxHeader", b'x', bytes.len() as u64), padded(&bytes)].concat()
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), END.to_vec()].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    Entries::new(bytes, None).unwrap().collect()
}

/// The error's text, which must be one short line.
fn refused(bytes: &[u8]) -> String {
    let error = read(bytes).map(|found| panic!("taken: {found:?}")).unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains(|c: char| c.is_control()), "{error:?}");
    error
}

fn sha256(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::sha256(bytes))
}

#[test]
fn a_newline_in_an_attribute_does_not_hide_the_size_after_it() {
    let extended = pax(&[("SCHILY.xattr.user.x", b"a\n99 size=7\nb"), ("size", b"5")]);
    // The header itself says 0: a reader that loses the record takes the content for a header.
    let found =
        read(&ended(&[extended, header(b"f", b'0', 0), padded(b"hello"), file(b"g", b"")])).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].size, found[0].sha256.clone()), (5, sha256(b"hello")));
    assert_eq!(found[0].xattrs, BTreeMap::from([(b"user.x".to_vec(), b"a\n99 size=7\nb".to_vec())]));
}

#[test]
fn extended_headers_end_with_their_member() {
    let found = read(&ended(&[
        pax(&[("path", b"long"), ("uid", b"77")]),
        file(b"short", b"x"),
        file(b"g", b""),
    ]))
    .unwrap();
    assert_eq!((found[0].path.as_slice(), found[0].uid), (&b"long"[..], 77));
    assert_eq!((found[1].path.as_slice(), found[1].uid), (&b"g"[..], 0));
}

#[test]
fn metadata_is_bounded_before_it_is_read() {
    for typeflag in [b'x', b'g', b'L', b'K'] {
        let error = refused(&header(b"m", typeflag, 300 << 20));
        assert!(error.contains(&METADATA_BYTES_MAX.to_string()), "{error}");
    }
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for name in [&b"../x"[..], b"a/../../x", b"..", b"a/.wh..", b".wh.", b""] {
        assert!(refused(&ended(&[file(name, b"")])).contains("at byte"), "{name:?}");
    }
    refused(&ended(&[pax(&[("path", b"../x")]), file(b"innocent", b"")]));
    refused(&ended(&[pax(&[("path", b"a\0b")]), file(b"innocent", b"")]));
    refused(&ended(&[link(b"h", b'1', b"../../etc/shadow")]));
    refused(&ended(&[link(b"s", b'2', b"")]));
    refused(&ended(&[file(b"./", b"")]));
    refused(&ended(&[pax(&[("path", &[b'a'; 5000])]), file(b"innocent", b"")]));
}

#[test]
fn kinds_are_told_apart_and_unknown_ones_refused() {
    let found = read(&ended(&[
        header(b"d/", 0, 0),
        header(b"f", 0, 0),
        header(b"p", b'6', 0),
        link(b"s", b'2', b"../../anywhere"),
        link(b"h", b'1', b"/f"),
        file(b"d/.wh.gone", b""),
        file(b"d/.wh..wh..opq", b""),
        file(b".wh..wh.plnk", b""),
        // A directory with a size stores nothing all the same.
        header(b"e", b'5', 4096),
    ]))
    .unwrap();
    let kinds: Vec<Kind> = found.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Dir,
            Kind::File,
            Kind::Fifo,
            Kind::Symlink,
            Kind::Hardlink,
            Kind::Whiteout,
            Kind::Opaque,
            Kind::Dir
        ]
    );
    assert_eq!(found[3].link.as_deref(), Some(&b"../../anywhere"[..]));
    assert_eq!(found[4].link.as_deref(), Some(&b"f"[..]));
    assert_eq!((found[5].path.as_slice(), found[6].path.as_slice()), (&b"d/gone"[..], &b"d"[..]));
    assert!(refused(&ended(&[header(b"v", b'V', 0)])).contains("0x56"));
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let whole = ended(&[pax(&[("mtime", b"1.5")]), file(b"a", &[7; 700]), file(b"b", b"x")]);
    assert_eq!(read(&whole).unwrap().len(), 2);
    for len in 1..whole.len() {
        assert!(read(&whole[..len]).is_err(), "{len}");
    }
}

#[test]
fn without_an_end_only_the_right_digest_makes_it_whole() {
    let endless = file(b"a", b"x");
    assert!(refused(&endless).contains("no end"));
    let digest = Digest::sha256(&endless);
    let found: Result<Vec<Entry>, Error> =
        Entries::new(endless.as_slice(), Some(&digest)).unwrap().collect();
    assert_eq!(found.unwrap().len(), 1);
}

#[test]
fn another_digest_is_an_error_at_the_end() {
    let whole = ended(&[file(b"a", b"x")]);
    let items: Vec<_> =
        Entries::new(whole.as_slice(), Some(&Digest::sha256(b"other"))).unwrap().collect();
    assert!(items[0].is_ok() && matches!(items[1], Err(Error::WrongDigest { .. })) && items.len() == 2);
    // What follows the end counts for the digest, too.
    let padded = [whole.clone(), vec![0; 8192]].concat();
    let mut entries = Entries::new(padded.as_slice(), Some(&Digest::sha256(&padded))).unwrap();
    assert!(entries.by_ref().all(|item| item.is_ok()));
    assert_eq!(entries.diff_id(), Some(&Digest::sha256(&padded)));
}

#[test]
fn headers_that_lie_are_refused() {
    let mut flipped = file(b"a", b"x");
    flipped[0] ^= 1;
    assert!(refused(&flipped).contains("checksum"));
    let with = |range: std::ops::Range<usize>, bytes: &[u8]| {
        let mut block = header(b"a", b'0', 0);
        block[range].copy_from_slice(bytes);
        sum(&mut block);
        ended(&[block])
    };
    refused(&with(124..136, b"99999999999\0"));
    refused(&with(124..136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
    refused(&with(124..136, b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
    refused(&with(124..136, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"));
    refused(&with(108..116, b"-000001\0"));
    refused(&ended(&[file(b"a", b""), vec![0; BLOCK], file(b"b", b"")]));
    refused(&[b"this is no archive but a text".as_slice(), &[b'x'; 600]].concat());
}

fn sparse(version: (&str, &str), size: u64, extra: &[(&str, &[u8])], stored: &[u8]) -> Vec<u8> {
    let size = size.to_string();
    let mut records: Vec<(&str, &[u8])> = vec![
        ("GNU.sparse.major", version.0.as_bytes()),
        ("GNU.sparse.minor", version.1.as_bytes()),
        ("GNU.sparse.name", b"real"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    records.extend_from_slice(extra);
    ended(&[pax(&records), file(b"GNUSparseFile.1/real", stored)])
}

#[test]
fn sparse_files_are_read_with_their_holes() {
    let expected = [&[0; 10][..], b"hello", &[0; 85]].concat();
    let map = padded(b"1\n10\n5\n");
    for bytes in [
        sparse(("1", "0"), 100, &[], &[map.as_slice(), b"hello"].concat()),
        sparse(
            ("0", "1"),
            100,
            &[("GNU.sparse.numblocks", b"1"), ("GNU.sparse.map", b"10,5")],
            b"hello",
        ),
        sparse(
            ("0", "0"),
            100,
            &[
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.offset", b"10"),
                ("GNU.sparse.numbytes", b"5"),
            ],
            b"hello",
        ),
    ] {
        let found = read(&bytes).unwrap();
        assert_eq!((found[0].path.as_slice(), found[0].size), (&b"real"[..], 100));
        assert_eq!(found[0].sha256, sha256(&expected));
    }
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let with_map = |map: &[u8], stored: &[u8]| {
        sparse(("1", "0"), 100, &[], &[padded(map), stored.to_vec()].concat())
    };
    for (map, stored) in [
        (&b"1\n98\n5\n"[..], &b"hello"[..]),
        (b"2\n10\n5\n12\n5\n", b"hellohello"),
        (b"2\n50\n5\n10\n5\n", b"hellohello"),
        (b"1\n10\n6\n", b"hello"),
        (b"1\n10\n4\n", b"hello"),
        (b"1\n-1\n5\n", b"hello"),
        (b"-1\n", b"hello"),
        (b"9999999999\n", b"hello"),
        (b"9223372036854775807\n", b"hello"),
        (b"1\n9223372036854775807\n9223372036854775807\n", b"hello"),
        (b"x\n", b"hello"),
        (b"3\n1\n1\n", b""),
    ] {
        refused(&with_map(map, stored));
    }
    refused(&sparse(("2", "0"), 5, &[], b"hello"));
    refused(&sparse(("0", "1"), 5, &[("GNU.sparse.map", b"0,5")], b"hello"));
    refused(&sparse(
        ("0", "1"),
        5,
        &[("GNU.sparse.numblocks", b"2"), ("GNU.sparse.map", b"0,5")],
        b"hello",
    ));
    refused(&sparse(
        ("0", "0"),
        5,
        &[("GNU.sparse.numblocks", b"1"), ("GNU.sparse.numbytes", b"5")],
        b"hello",
    ));
    refused(&ended(&[header(b"old", b'S', 0)]));
}

#[test]
fn a_file_of_nothing_but_holes_is_bounded() {
    let error = refused(&sparse(("1", "0"), i64::MAX as u64, &[], &padded(b"0\n")));
    assert!(error.contains(&HOLE_BYTES_MAX.to_string()), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressions_are_told_by_content_and_read_to_their_end() {
    let whole = ended(&[file(b"a", &[7; 70_000])]);
    let (begin, end) = whole.split_at(1000);
    let zstd = zstd::encode_all(whole.as_slice(), 3).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd].concat();
    for bytes in [
        gzip(&whole),
        [gzip(begin), gzip(end)].concat(),
        [gzip(&whole), vec![0; 5000]].concat(),
        zstd.clone(),
        [zstd::encode_all(begin, 1).unwrap(), zstd::encode_all(end, 1).unwrap()].concat(),
        skippable,
    ] {
        let mut entries = Entries::new(bytes.as_slice(), Some(&Digest::sha256(&whole))).unwrap();
        assert_eq!(entries.by_ref().map(Result::unwrap).count(), 1);
        assert_eq!(entries.diff_id(), Some(&Digest::sha256(&whole)));
    }
    for bytes in [
        [gzip(&whole), b"junk".to_vec()].concat(),
        [gzip(&whole), vec![0; 5000], b"junk".to_vec()].concat(),
        gzip(&whole)[..200].to_vec(),
        zstd[..zstd.len() - 3].to_vec(),
        [gzip(&whole), gzip(&whole)[..20].to_vec()].concat(),
    ] {
        refused(&bytes);
    }
}

#[test]
fn a_zstd_window_of_gigabytes_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.write_all(&ended(&[file(b"a", b"x")])).unwrap();
    refused(&encoder.finish().unwrap());
}

/// Gives one byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn a_reader_that_gives_single_bytes_makes_no_difference() {
    let whole = ended(&[file(b"a", b"x")]);
    for bytes in [whole.clone(), gzip(&whole)] {
        let found: Vec<Entry> = Entries::new(Slow(&bytes), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, read(&whole).unwrap());
    }
}

#[test]
fn mutated_archives_never_panic_and_always_end() {
    let seeds = [
        ended(&[
            pax(&[("SCHILY.xattr.user.x", b"y"), ("size", b"5")]),
            header(b"f", b'0', 0),
            padded(b"hello"),
            link(b"s", b'2', b"t"),
        ]),
        sparse(("1", "0"), 100, &[], &[padded(b"1\n10\n5\n"), b"hello".to_vec()].concat()),
        ended(&[
            header(b"long", b'L', 20),
            padded(b"a/rather/long/name\0\0"),
            file(b"x", b"y"),
            header(b"d/", b'5', 0),
        ]),
    ];
    // xorshift64: any sequence will do, as long as it is the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = match random(4) {
                0 => b'0' + u8::try_from(random(10)).unwrap(),
                1 => 0,
                _ => u8::try_from(random(256)).unwrap(),
            };
        }
        // With right checksums, or nearly all would end at the first header.
        for block in 0..bytes.len() / BLOCK {
            let block = &mut bytes[block * BLOCK..(block + 1) * BLOCK];
            if block[257..262] == *b"ustar" {
                sum(block);
            }
        }
        let count = Entries::new(bytes.as_slice(), None).unwrap().take(1000).count();
        assert!(count < 100);
    }
}
