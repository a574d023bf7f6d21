//! JSON text, written without allocating.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes `"key":` with a comma before it unless the object has just been opened.
///
/// Inlined where the key is known, its bytes are a few stores; room is made once.
#[inline(always)]
pub(crate) fn key(out: &mut Vec<u8>, key: &str) {
    let comma = out.last() != Some(&b'{');
    out.reserve(key.len() + 4);
    if comma {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Bytes that may not stand as they are: what RFC 8259 section 7 forbids, DEL, and 0xc2, with which
/// the C1 controls begin in UTF-8.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 0x20 {
        table[at] = true;
        at += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[0x7f] = true;
    table[0xc2] = true;
    table
};

/// Writes `text` as a JSON string. DEL and the C1 controls are escaped too, so that a log can be shown
/// on a terminal.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| SPECIAL[usize::from(*b)]) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = match special {
            [0xc2, c1 @ 0x80..0xa0, after @ ..] => {
                escape(out, *c1);
                after
            }
            [0xc2, after @ ..] => {
                out.push(0xc2);
                after
            }
            [byte, after @ ..] => {
                escape(out, *byte);
                after
            }
            [] => special,
        };
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.push(b'\\');
    out.push(short);
}

/// Writes `bytes` as a JSON string in standard base64 with padding (RFC 4648 section 4).
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    use base64::Engine as _;
    const CHUNK: usize = 768;
    let mut text = [0u8; CHUNK / 3 * 4];
    out.push(b'"');
    for chunk in bytes.chunks(CHUNK) {
        // The buffer holds any chunk, so this can't fail.
        let n = base64::engine::general_purpose::STANDARD.encode_slice(chunk, &mut text).unwrap_or(0);
        out.extend_from_slice(&text[..n]);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_through_serde_json() {
        for text in ["", "plain", "q\"b\\n\n\r\t\u{1}\u{7f}", "é\u{80}\u{9f}\u{a0}ß", "\u{2028}😀"] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            assert!(out.iter().all(|b| *b >= 0x20 && *b != 0x7f));
            assert!(!String::from_utf8(out).unwrap().chars().any(char::is_control));
        }
    }

    #[test]
    fn base64_of_any_length_comes_back() {
        use base64::Engine as _;
        for n in [0, 1, 2, 3, 767, 768, 769, 5000] {
            let bytes: Vec<u8> = (0..n).map(|i| (i * 7) as u8).collect();
            let mut out = Vec::new();
            base64(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            let back = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            assert_eq!(back, bytes);
        }
    }
}
