//! Paths in JSON: UTF-8 or base64, and as a `file:` URI.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The two keys of a path: `path` where it is UTF-8, else `path_b64`.
pub fn keys(path: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(path) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(path))),
    }
}

/// The bytes behind the two keys; `None` when neither is there or the base64 is broken.
pub fn bytes(path: Option<&str>, path_b64: Option<&str>) -> Option<Vec<u8>> {
    match (path, path_b64) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(b64)) => STANDARD.decode(b64).ok(),
        (None, None) => None,
    }
}

/// The `file:` URI of an absolute path (RFC 8089), with every byte outside RFC 3986's unreserved set and `/` percent-encoded.
pub fn uri(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    out.push_str("file://");
    if path.first() != Some(&b'/') {
        out.push('/');
    }
    percent(path, &mut out);
    out
}

fn percent(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_carry_every_byte() {
        assert_eq!(uri(b"/a b/\xff%"), "file:///a%20b/%FF%25");
        assert_eq!(uri(b"rel"), "file:///rel");
    }

    #[test]
    fn keys_are_read_back() {
        for path in [&b"/etc/passwd"[..], b"/\xfe\xff", b""] {
            let (text, b64) = keys(path);
            assert_eq!(bytes(text.as_deref(), b64.as_deref()).unwrap(), path);
        }
        assert_eq!(bytes(None, None), None);
        assert_eq!(bytes(None, Some("*")), None);
    }
}
