//! Extended headers (POSIX.1-2001 pax): records of `LENGTH KEY=VALUE\n`, read by their lengths.

use std::collections::BTreeMap;

use super::Mtime;
use super::header::Header;
use super::sparse::{Map, Numbers};

/// Records of one extended header; of a key that comes twice the last counts.
#[derive(Default)]
pub(super) struct Records {
    plain: BTreeMap<Vec<u8>, Vec<u8>>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// GNU sparse 0.0 repeats GNU.sparse.offset and GNU.sparse.numbytes, in turns.
    turns: Vec<i64>,
}

/// Where a sparse file's map is.
pub(super) enum SparseKind {
    /// Versions 0.0 and 0.1: in the records.
    InRecords,
    /// Version 1.0: before the content.
    InContent,
}

const XATTR: &[u8] = b"SCHILY.xattr.";
const OFFSET: &[u8] = b"GNU.sparse.offset";
const NUMBYTES: &[u8] = b"GNU.sparse.numbytes";
const MAP: &[u8] = b"GNU.sparse.map";

impl Records {
    pub fn parse(bytes: &[u8]) -> Result<Records, String> {
        let mut records = Records::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, tail) = record(rest).ok_or_else(|| {
                format!(
                    "an extended header's record at its byte {} is malformed",
                    bytes.len() - rest.len()
                )
            })?;
            rest = tail;
            if let Some(name) = key.strip_prefix(XATTR) {
                records.xattrs.insert(name.to_vec(), value.to_vec());
            } else if key == OFFSET || key == NUMBYTES {
                if (records.turns.len() % 2 == 0) != (key == OFFSET) {
                    return Err("a sparse file's offsets and sizes don't take turns".to_owned());
                }
                records
                    .turns
                    .push(decimal(value).ok_or("a sparse file's map has something that is no number")?);
            } else {
                records.plain.insert(key.to_vec(), value.to_vec());
            }
        }
        Ok(records)
    }

    /// Lets the records override the header; an empty value leaves it as it is (Go: mergePAX).
    pub fn merge_into(&self, header: &mut Header) -> Result<(), String> {
        if let Some(value) = self.get(b"path") {
            header.name = value.to_vec();
        }
        if let Some(value) = self.get(b"linkpath") {
            header.link = value.to_vec();
        }
        let number = |key: &str, field: &mut u64| match self.get(key.as_bytes()) {
            Some(value) => {
                *field =
                    unsigned(value).ok_or_else(|| format!("an extended header's {key} is no number"))?;
                Ok::<(), String>(())
            }
            None => Ok(()),
        };
        number("uid", &mut header.uid)?;
        number("gid", &mut header.gid)?;
        number("size", &mut header.size)?;
        if let Some(value) = self.get(b"mtime") {
            header.mtime = time(value).ok_or("an extended header's mtime is no time")?;
        }
        Ok(())
    }

    /// Whether the member is sparse, and where its map is (Go: readGNUSparsePAXHeaders). Go reads a version that it
    /// doesn't know as a plain file; that content would be another than the one meant, so it is an error here.
    pub fn sparse_kind(&self) -> Result<Option<SparseKind>, String> {
        let version = |key: &[u8]| self.get(key).unwrap_or_default();
        match (version(b"GNU.sparse.major"), version(b"GNU.sparse.minor")) {
            (b"0", b"0" | b"1") => Ok(Some(SparseKind::InRecords)),
            (b"1", b"0") => Ok(Some(SparseKind::InContent)),
            (b"", b"") if !self.turns.is_empty() || self.get(MAP).is_some() => {
                Ok(Some(SparseKind::InRecords))
            }
            (b"", b"") => Ok(None),
            _ => Err("a sparse file of a version that isn't known (0.0, 0.1 and 1.0 are)".to_owned()),
        }
    }

    /// A sparse file's real name and size.
    pub fn merge_sparse_into(&self, header: &mut Header) -> Result<(), String> {
        if let Some(name) = self.get(b"GNU.sparse.name") {
            header.name = name.to_vec();
        }
        if let Some(size) = self.get(b"GNU.sparse.size").or_else(|| self.get(b"GNU.sparse.realsize")) {
            header.size = unsigned(size).ok_or("a sparse file's real size is no number")?;
        }
        Ok(())
    }

    /// The map of versions 0.0 and 0.1.
    pub fn sparse_map(&self) -> Result<Map, String> {
        let mut numbers = Numbers::default();
        let count = self
            .get(b"GNU.sparse.numblocks")
            .and_then(decimal)
            .ok_or("a sparse file without numblocks")?;
        numbers.push(count)?;
        match self.get(MAP) {
            Some(map) => {
                for value in map.split(|&byte| byte == b',') {
                    numbers.push(
                        decimal(value).ok_or("a sparse file's map has something that is no number")?,
                    )?;
                }
            }
            None => self.turns.iter().try_for_each(|&value| numbers.push(value))?,
        }
        numbers.map()
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.plain.get(key).map(Vec::as_slice).filter(|value| !value.is_empty())
    }
}

/// The first record and what follows it (Go: parsePAXRecord, validPAXRecord).
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    // The longest length that can be meant has as many digits as METADATA_BYTES_MAX.
    const LENGTH_DIGITS_MAX: usize = 7;
    let space = bytes.iter().take(LENGTH_DIGITS_MAX + 1).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    if length <= space + 1 {
        return None;
    }
    let (record, rest) = bytes.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    let names = [&b"path"[..], b"linkpath", b"uname", b"gname", b"GNU.sparse.name"];
    let nul_in = if names.contains(&key) { value } else { key };
    (!key.is_empty() && !nul_in.contains(&0)).then_some((key, value, rest))
}

pub(super) fn decimal(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn unsigned(digits: &[u8]) -> Option<u64> {
    decimal(digits).and_then(|value| u64::try_from(value).ok())
}

/// `-12.345`: seconds, and digits of which nine count (Go: parsePAXTime).
fn time(value: &[u8]) -> Option<Mtime> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(parts.next()?)?;
    let mut nanoseconds = 0u32;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    for at in 0..9 {
        let digit = fraction.get(at).map_or(0, |byte| u32::from(byte - b'0'));
        nanoseconds = nanoseconds * 10 + digit;
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Mtime { seconds, nanoseconds },
        (true, 0) => Mtime { seconds: -seconds, nanoseconds: 0 },
        (true, _) => {
            Mtime { seconds: (-seconds).checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_length_not_by_line() {
        // The value holds a newline and what looks like a record.
        let records = Records::parse(b"39 SCHILY.xattr.user.x=a\n12 size=999\nb\n9 uid=70\n").unwrap();
        assert_eq!(records.xattrs[&b"user.x"[..]], b"a\n12 size=999\nb");
        assert_eq!(records.get(b"uid"), Some(&b"70"[..]));
        assert!(records.get(b"size").is_none());
    }

    #[test]
    fn malformed_records_are_errors() {
        for bytes in [
            &b"x"[..],
            b"0 a=b\n",
            b"4 a=b\n",
            b"7 a=b\n",
            b"99999999999999999999 a=b\n",
            b"-6 a=b\n",
            b"+6 a=b\n",
            b"6 a=bb",
            b"5 =b\n",
            b"4 a\n",
            b"10 path=a\0\n",
            b"\0\0\0",
        ] {
            assert!(Records::parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn times_before_1970_are_rounded_down() {
        assert_eq!(time(b"-1.5"), Some(Mtime { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(
            time(b"1350244992.0239605"),
            Some(Mtime { seconds: 1_350_244_992, nanoseconds: 23_960_500 })
        );
        assert_eq!(time(b"1."), Some(Mtime { seconds: 1, nanoseconds: 0 }));
        for bad in [&b""[..], b".5", b"1.x", b"--1", b"1e3", b"9223372036854775808"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }
}
