//! A member's 512-byte header, in the four dialects that Go's archive/tar knows (V7, ustar, GNU, star).

use std::ops::Range;

use super::{BLOCK, Mtime};

/// A header's own fields, before extended headers are merged into it.
pub(super) struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub typeflag: u8,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: Mtime,
    pub device: (u64, u64),
}

// Offsets of POSIX.1-1988 ustar, and of GNU and star where they differ.
const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPEFLAG: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const VERSION: Range<usize> = 263..265;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const GNU_ATIME: Range<usize> = 345..357;
const GNU_CTIME: Range<usize> = 357..369;
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;

impl Header {
    pub fn parse(block: &[u8; BLOCK]) -> Result<Header, String> {
        check_sum(block)?;
        let field = |range: Range<usize>, what: &str| {
            number(&block[range]).map_err(|reason| format!("a header's {what} {reason}"))
        };
        let unsigned = |range: Range<usize>, what: &str| {
            let value = field(range, what)?;
            u64::try_from(value).map_err(|_| format!("a header's {what} is negative"))
        };
        let mut name = text(&block[NAME]).to_vec();
        let prefix = prefix(block);
        if !prefix.is_empty() {
            let mut long = prefix.to_vec();
            long.push(b'/');
            long.append(&mut name);
            name = long;
        }
        let device = if is_v7(block) {
            (0, 0)
        } else {
            (unsigned(DEVICE_MAJOR, "device number")?, unsigned(DEVICE_MINOR, "device number")?)
        };
        let mode = unsigned(MODE, "mode")? & 0o7777;
        Ok(Header {
            name,
            link: text(&block[LINK]).to_vec(),
            typeflag: block[TYPEFLAG],
            mode: u32::try_from(mode).unwrap_or_default(),
            uid: unsigned(UID, "uid")?,
            gid: unsigned(GID, "gid")?,
            size: unsigned(SIZE, "size")?,
            mtime: Mtime { seconds: field(MTIME, "mtime")?, nanoseconds: 0 },
            device,
        })
    }
}

pub(super) fn is_gnu(block: &[u8; BLOCK]) -> bool {
    &block[MAGIC] == b"ustar " && &block[VERSION] == b" \0"
}

fn is_ustar(block: &[u8; BLOCK]) -> bool {
    &block[MAGIC] == b"ustar\0"
}

fn is_v7(block: &[u8; BLOCK]) -> bool {
    !is_ustar(block) && !is_gnu(block)
}

/// What stands before the name. GNU has times in its place; Go before 1.8 wrote a prefix there all the same, and its
/// reader still takes one where the times don't parse.
fn prefix(block: &[u8; BLOCK]) -> &[u8] {
    if is_ustar(block) && &block[STAR_TRAILER] == b"tar\0" {
        text(&block[STAR_PREFIX])
    } else if is_ustar(block) {
        text(&block[PREFIX])
    } else if is_gnu(block) && (number(&block[GNU_ATIME]).is_err() || number(&block[GNU_CTIME]).is_err())
    {
        Some(text(&block[PREFIX])).filter(|prefix| prefix.is_ascii()).unwrap_or_default()
    } else {
        b""
    }
}

/// The sum of all bytes with the checksum's own taken for spaces; some old tars summed signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), String> {
    let stored = number(&block[CHECKSUM]).map_err(|reason| format!("a header's checksum {reason}"))?;
    let mut unsigned = 0i64;
    let mut signed = 0i64;
    for (at, &byte) in block.iter().enumerate() {
        let byte = if CHECKSUM.contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    if stored != unsigned && stored != signed {
        return Err("no tar header here (its checksum is wrong)".to_owned());
    }
    Ok(())
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// An octal number, padded by spaces and NULs, or GNU's base 256 (two's complement, marked by the first bit).
pub(super) fn number(field: &[u8]) -> Result<i64, String> {
    const OUT_OF_RANGE: &str = "is out of range";
    if let Some((&first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        let negative = first & 0x40 != 0;
        let flip = if negative { 0xff } else { 0 };
        let mut value = u64::from((first ^ flip) & 0x7f);
        for &byte in rest {
            if value >> 56 != 0 {
                return Err(OUT_OF_RANGE.to_owned());
            }
            value = value << 8 | u64::from(byte ^ flip);
        }
        let value = i64::try_from(value).map_err(|_| OUT_OF_RANGE)?;
        return Ok(if negative { !value } else { value });
    }
    let padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let begin = field.iter().position(|byte| !padding(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !padding(byte)).map_or(begin, |last| last + 1);
    let digits = text(&field[begin..end]);
    let mut value = 0i64;
    for &byte in digits {
        let digit = match byte {
            b'0'..=b'7' => i64::from(byte - b'0'),
            _ => return Err("is not a number".to_owned()),
        };
        value = value.checked_mul(8).ok_or(OUT_OF_RANGE)? + digit;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Cases of Go's archive/tar strconv_test.go (TestParseNumeric), by value.
    #[test]
    fn numbers_are_read_as_go_does() {
        for (field, value) in [
            (&b""[..], Some(0)),
            (b"\x80", Some(0)),
            (b"\x80\x00\x00", Some(0)),
            (b"\xbf", Some(0x3f)),
            (b"\xbf\xff\xff", Some(0x3f_ffff)),
            (b"\xff", Some(-1)),
            (b"\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xc0", Some(-0x40)),
            (
                b"\x80\x00\x00\x00\x00\x00\x00\x00\x07\x76\xa2\x22\xeb\x8a\x72\x61",
                Some(537_795_476_381_659_745),
            ),
            (b"\x80\x00\x00\x00\x80\x00\x00\x00\x07\x76\xa2\x22\xeb\x8a\x72\x61", None),
            (b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\x80\x00\x00\x00\x00\x00\x00\x00", None),
            (b"\xff\x80\x00\x00\x00\x00\x00\x00\x00", Some(i64::MIN)),
            (b"0000000\x00", Some(0)),
            (b" \x0000000 \x00", Some(0)),
            (b"00000000227\x00", Some(0o227)),
            (b"032033\x00 ", Some(0o32033)),
            (b"320330\x00 ", Some(0o320330)),
            (b"0000660\x00 ", Some(0o660)),
            (b"\x00 0000660\x00 ", Some(0o660)),
            (b"0123456789abcdef", None),
            (b"01234567\x0089abcdef", Some(0o1234567)),
            (b"0123\x7e\x5f\x264123", None),
        ] {
            assert_eq!(number(field).ok(), value, "{field:x?}");
        }
    }
}
