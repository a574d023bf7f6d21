//! What a file is, by its content.

use crate::armor;
use crate::text::cut;

/// The three things that an attestation's file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bare in-toto statement: JSON with `_type`.
    Statement,
    /// A DSSE envelope: JSON with `payload` and `signatures`.
    Envelope,
    /// An encrypted OpenPGP message, armored or binary.
    Message,
}

/// Why a file is none of the three.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// JSON of another form.
    #[error(
        "it is JSON, but neither an in-toto statement (`_type`) nor a DSSE envelope (`payload`, `signatures`)"
    )]
    OtherJson,
    /// Broken JSON.
    #[error("it begins like JSON, but is none: {0}")]
    BrokenJson(String),
    /// Lines of JSON.
    #[error("it is JSON line by line, as a log is, and no attestation")]
    Lines,
    /// An OpenPGP object of another kind.
    #[error("it is an OpenPGP {0}, not an encrypted message")]
    OtherPgp(&'static str),
    /// Neither.
    #[error("it is neither a statement, nor a DSSE envelope, nor an OpenPGP message")]
    Unknown,
}

impl Kind {
    /// Tells which of the three `bytes` are.
    pub fn detect(bytes: &[u8]) -> Result<Self, DetectError> {
        let trimmed = bytes.trim_ascii_start();
        match trimmed.first() {
            None => Err(DetectError::Empty),
            Some(b'{') => json(trimmed),
            Some(b'-') => armor::label(trimmed).ok_or(DetectError::Unknown).and_then(armored),
            // Binary OpenPGP: only where the very first byte has its top bit set (RFC 9580, 4.2).
            Some(first) if first & 0x80 != 0 && trimmed.len() == bytes.len() => binary(*first),
            Some(_) => Err(DetectError::Unknown),
        }
    }
}

/// The keys that tell the two JSON forms apart; everything else is skipped without being kept.
#[derive(Default, serde::Deserialize)]
struct Keys {
    #[serde(default, rename = "_type")]
    statement: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    payload: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    signatures: Option<serde::de::IgnoredAny>,
}

fn json(bytes: &[u8]) -> Result<Kind, DetectError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Keys>();
    let broken = |error: serde_json::Error| DetectError::BrokenJson(cut(&error.to_string()));
    let keys = values.next().unwrap_or(Ok(Keys::default())).map_err(broken)?;
    let behind = bytes.get(values.byte_offset()..).unwrap_or_default().trim_ascii_start();
    match behind.first() {
        None => {}
        Some(b'{') => return Err(DetectError::Lines),
        Some(_) => {
            return Err(
                serde_json::from_slice::<Keys>(bytes).map_or_else(broken, |_| DetectError::Unknown)
            );
        }
    }
    match (keys.statement, keys.payload, keys.signatures) {
        (Some(_), None, None) => Ok(Kind::Statement),
        (None, Some(_), Some(_)) => Ok(Kind::Envelope),
        _ => Err(DetectError::OtherJson),
    }
}

fn armored(label: &str) -> Result<Kind, DetectError> {
    match label {
        "PGP MESSAGE" => Ok(Kind::Message),
        "PGP SIGNATURE" => Err(DetectError::OtherPgp("signature")),
        "PGP SIGNED MESSAGE" => Err(DetectError::OtherPgp("clear-signed message")),
        "PGP PUBLIC KEY BLOCK" => Err(DetectError::OtherPgp("certificate")),
        "PGP PRIVATE KEY BLOCK" => Err(DetectError::OtherPgp("secret key")),
        _ => Err(DetectError::Unknown),
    }
}

fn binary(first: u8) -> Result<Kind, DetectError> {
    // RFC 9580, 4.2: bit 6 says the new format; the packet type is in bits 0-5, or 2-5 of the old one.
    let packet = if first & 0x40 != 0 { first & 0x3f } else { (first >> 2) & 0x0f };
    match packet {
        1 | 3 | 9 | 18 | 20 => Ok(Kind::Message),
        2 => Err(DetectError::OtherPgp("signature")),
        5 | 7 => Err(DetectError::OtherPgp("secret key")),
        6 | 14 => Err(DetectError::OtherPgp("certificate")),
        4 | 8 | 11 => Err(DetectError::OtherPgp("message without encryption")),
        _ => Err(DetectError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_content() {
        assert_eq!(Kind::detect(b"{\"_type\":\"x\",\"subject\":[]}"), Ok(Kind::Statement));
        assert_eq!(
            Kind::detect(b"\n {\"payload\":\"\",\"payloadType\":\"\",\"signatures\":[]}"),
            Ok(Kind::Envelope)
        );
        assert_eq!(Kind::detect(b"-----BEGIN PGP MESSAGE-----\n"), Ok(Kind::Message));
        assert_eq!(Kind::detect(&[0x85, 0x01]), Ok(Kind::Message));
        assert_eq!(Kind::detect(&[0xc1, 0x01]), Ok(Kind::Message));
    }

    #[test]
    fn everything_else_is_named() {
        assert_eq!(Kind::detect(b""), Err(DetectError::Empty));
        assert_eq!(Kind::detect(b"{}"), Err(DetectError::OtherJson));
        assert_eq!(Kind::detect(b"[1]"), Err(DetectError::Unknown));
        assert!(matches!(Kind::detect(b"{\"_type\""), Err(DetectError::BrokenJson(_))));
        assert!(matches!(Kind::detect(b"{\"_type\":1} x"), Err(DetectError::BrokenJson(_))));
        assert!(matches!(Kind::detect(b"{\"_type\":1},"), Err(DetectError::BrokenJson(_))));
        assert_eq!(Kind::detect(b"{\"_type\":1}\n{\"seq\":1}\n"), Err(DetectError::Lines));
        assert_eq!(Kind::detect(b"{\"_type\":1}\n \n"), Ok(Kind::Statement));
        assert_eq!(
            Kind::detect(b"-----BEGIN PGP SIGNATURE-----\n"),
            Err(DetectError::OtherPgp("signature"))
        );
        assert_eq!(Kind::detect(&[0x88, 0x75]), Err(DetectError::OtherPgp("signature")));
        assert_eq!(Kind::detect(b"garbage"), Err(DetectError::Unknown));
        assert_eq!(Kind::detect(b"\x7fELF"), Err(DetectError::Unknown));
    }
}
