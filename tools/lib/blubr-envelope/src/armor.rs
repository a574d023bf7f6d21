//! ASCII armor: its label, and its bytes read strictly enough that no changed byte passes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of base64 in a line of armor; gpg, sq and rPGP all write 64.
const LINE_CHARS: usize = 64;

/// The label of the armor that `text` begins with, e.g. `PGP MESSAGE`.
pub(crate) fn label(text: &[u8]) -> Option<&str> {
    let rest = text.strip_prefix(b"-----BEGIN ")?;
    let end = rest.windows(5).take(64).position(|five| five == b"-----")?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Whether `bytes` are armored.
pub(crate) fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP ")
}

/// The slices of `bytes` that begin an armor each; text before the first is left out.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN PGP ";
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|&at| (at == 0 || bytes[at - 1] == b'\n') && bytes[at..].starts_with(BEGIN))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().copied().zip(ends).filter_map(|(start, end)| bytes.get(start..end)).collect()
}

/// Writes `bytes` as the armor that gpg writes: no headers, lines of 64, a checksum.
pub(crate) fn write(label: &str, bytes: &[u8]) -> String {
    let base64 = STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {label}-----\n\n");
    for line in base64.as_bytes().chunks(LINE_CHARS) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    let sum = crc24(bytes).to_be_bytes();
    out.push('=');
    out.push_str(&STANDARD.encode(&sum[1..]));
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

/// Reads armor that is exactly as [`write`] writes it; `None` when any byte differs from that.
pub(crate) fn read_exact(label: &str, text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let body = text
        .strip_prefix(&format!("-----BEGIN {label}-----\n\n"))?
        .strip_suffix(&format!("\n-----END {label}-----\n"))?;
    let (base64, _sum) = body.rsplit_once("\n=")?;
    let bytes = STANDARD.decode(base64.replace('\n', "")).ok()?;
    (write(label, &bytes) == text).then_some(bytes)
}

/// The checksum of armor (RFC 9580, 6.1.1).
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc: u32 = 0x00b7_04ce;
    for &byte in bytes {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_changed_byte_of_armor_passes() {
        let bytes: Vec<u8> = (0..=99).collect();
        let text = write("PGP SIGNATURE", &bytes);
        assert_eq!(read_exact("PGP SIGNATURE", text.as_bytes()).unwrap(), bytes);
        for at in 0..text.len() {
            for change in [1u8, 0x20, 0x80] {
                let mut other = text.clone().into_bytes();
                other[at] ^= change;
                assert_eq!(read_exact("PGP SIGNATURE", &other), None, "byte {at}");
            }
        }
        assert_eq!(read_exact("PGP MESSAGE", text.as_bytes()), None);
    }

    #[test]
    fn several_blocks_are_told_apart() {
        let two = [write("PGP PUBLIC KEY BLOCK", b"a"), write("PGP PUBLIC KEY BLOCK", b"b")].concat();
        assert_eq!(blocks(two.as_bytes()).len(), 2);
        assert_eq!(blocks(b"x").len(), 0);
        assert_eq!(label(b"-----BEGIN PGP MESSAGE-----\n"), Some("PGP MESSAGE"));
        assert_eq!(label(b"-----BEGIN "), None);
    }
}
