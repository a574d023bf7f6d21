//! The DSSE envelope (secure-systems-lab/dsse, envelope.md and protocol.md).

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::text::cut;
use crate::verify::SIGNATURE_BYTES_MAX;

/// `payloadType` of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The most signatures that an envelope may hold.
pub const SIGNATURES_MAX: usize = 32;

/// The longest `payloadType` or `keyid`, in bytes; a fingerprint has 64.
const NAME_BYTES_MAX: usize = 1024;

/// A DSSE envelope, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What is signed.
    pub payload: Vec<u8>,
    /// What kind of thing that is.
    pub payload_type: String,
    /// Who signed.
    pub signatures: Vec<Signature>,
    /// The file is byte for byte as [`Envelope::write`] writes it. What the signature doesn't cover (spaces, other keys) was
    /// changed where this is false.
    pub exact: bool,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The signing key's fingerprint in lower case; a hint that the signature doesn't cover.
    pub keyid: String,
    /// The binary OpenPGP detached signature over the PAE.
    pub sig: Vec<u8>,
}

/// Why bytes are no envelope.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the JSON that DSSE asks for.
    #[error("it is not a DSSE envelope: {0}")]
    Json(String),
    /// Broken base64.
    #[error("the envelope's `{key}` is not base64: {source}")]
    Base64 {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        source: base64::DecodeError,
    },
    /// No signature at all.
    #[error("the envelope holds no signature")]
    Unsigned,
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(cut(&error.to_string()))
    }
}

/// The envelope as it is written.
#[derive(Serialize)]
struct Wire<'a> {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: &'a str,
    signatures: Vec<WireSignature>,
}

/// The envelope as it is read: the payload stays where it is.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    payload: Text<'a, { usize::MAX }>,
    #[serde(rename = "payloadType", borrow)]
    payload_type: Text<'a, NAME_BYTES_MAX>,
    #[serde(deserialize_with = "signatures")]
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default, deserialize_with = "short")]
    keyid: String,
    #[serde(deserialize_with = "short")]
    sig: String,
}

/// A string that isn't copied unless it is escaped, of at most `MAX` bytes.
struct Text<'a, const MAX: usize>(Cow<'a, str>);

impl<'de: 'a, 'a, const MAX: usize> Deserialize<'de> for Text<'a, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Take<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for Take<MAX> {
            type Value = Text<'de, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if MAX == usize::MAX {
                    f.write_str("a string")
                } else {
                    write!(f, "a string of at most {MAX} bytes")
                }
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                let fits = text.len() <= MAX;
                if fits { Ok(Text(text.into())) } else { Err(E::invalid_length(text.len(), &self)) }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let fits = text.len() <= MAX.min(ESCAPED_BYTES_MAX);
                if fits {
                    Ok(Text(text.to_owned().into()))
                } else {
                    Err(E::invalid_length(text.len(), &self))
                }
            }
        }
        from.deserialize_str(Take::<MAX>)
    }
}

/// The longest string with escapes in it, in bytes. Base64 needs none; a writer that escapes its `/` all the same makes
/// JSON that has to be copied.
const ESCAPED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A keyid or a signature.
fn short<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Text::<{ 2 * SIGNATURE_BYTES_MAX }>::deserialize(from).map(|text| text.0.into_owned())
}

/// The signatures, no more than there may be.
fn signatures<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WireSignature>, D::Error> {
    struct Take;
    impl<'de> Visitor<'de> for Take {
        type Value = Vec<WireSignature>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of signatures")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(one) = entries.next_element()? {
                if list.len() == SIGNATURES_MAX {
                    let what = format!("the envelope holds more than {SIGNATURES_MAX} signatures");
                    return Err(A::Error::custom(what));
                }
                list.push(one);
            }
            Ok(list)
        }
    }
    from.deserialize_seq(Take)
}

/// The bytes that a DSSE signature covers: the pre-authentication encoding of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    [pae_head(payload_type, payload.len()).as_bytes(), payload].concat()
}

/// What [`pae`] begins with, before a payload of so many bytes.
pub fn pae_head(payload_type: &str, payload_bytes: usize) -> String {
    format!("DSSEv1 {} {payload_type} {payload_bytes} ", payload_type.len())
}

impl Envelope {
    /// An envelope around an in-toto statement, with one signature.
    pub fn new(payload: Vec<u8>, keyid: String, sig: Vec<u8>) -> Self {
        let signatures = vec![Signature { keyid, sig }];
        Self { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures, exact: true }
    }

    /// The bytes that the signatures cover, in two parts.
    pub fn pae(&self) -> (String, &[u8]) {
        (pae_head(&self.payload_type, self.payload.len()), &self.payload)
    }

    /// The envelope as one line of JSON with a newline at its end: the same envelope, the same bytes.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let signature =
            |one: &Signature| WireSignature { keyid: one.keyid.clone(), sig: STANDARD.encode(&one.sig) };
        let wire = Wire {
            payload: STANDARD.encode(&self.payload),
            payload_type: &self.payload_type,
            signatures: self.signatures.iter().map(signature).collect(),
        };
        let mut bytes = serde_json::to_vec(&wire)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads an envelope; keys that aren't known are skipped, but make it inexact. The payload is decoded where it stands, so
    /// that an envelope takes no more memory than its file.
    pub fn read(bytes: Vec<u8>) -> Result<Self, ReadError> {
        let wire: Read<'_> = serde_json::from_slice(&bytes)?;
        if wire.signatures.is_empty() {
            return Err(ReadError::Unsigned);
        }
        let exact = is_exact(&wire, &bytes)?;
        let mut signatures = Vec::with_capacity(wire.signatures.len());
        for one in wire.signatures {
            let decoded = STANDARD.decode(&one.sig);
            let sig = decoded.map_err(|source| ReadError::Base64 { key: "sig", source })?;
            signatures.push(Signature { keyid: one.keyid, sig });
        }
        let payload_type = wire.payload_type.0.into_owned();
        let (text, start, length) = match wire.payload.0 {
            Cow::Borrowed(text) => {
                let start = text.as_ptr().addr() - bytes.as_ptr().addr();
                let length = text.len();
                (bytes, start, length)
            }
            Cow::Owned(text) => {
                drop(bytes);
                let length = text.len();
                (text.into_bytes(), 0, length)
            }
        };
        let payload = decode_in_place(text, start, length)
            .map_err(|source| ReadError::Base64 { key: "payload", source })?;
        Ok(Self { payload, payload_type, signatures, exact })
    }
}

/// Decodes the base64 that `bytes` hold from `start` on; the rest of them is dropped.
fn decode_in_place(
    mut bytes: Vec<u8>,
    start: usize,
    length: usize,
) -> Result<Vec<u8>, base64::DecodeError> {
    /// Characters that are decoded at once: whole groups of four.
    const CHUNK: usize = 4096;
    let mut text = [0; CHUNK];
    let (mut read, mut written) = (0, 0);
    while read < length {
        let take = CHUNK.min(length - read);
        text[..take].copy_from_slice(&bytes[start + read..start + read + take]);
        let chunk = &text[..take];
        // Padding ends base64, and so must end its last chunk.
        if read + take < length
            && let Some(at) = chunk.iter().position(|byte| *byte == b'=')
        {
            return Err(base64::DecodeError::InvalidByte(read + at, b'='));
        }
        // What is written never reaches what is still to be read: it is shorter, and begins before it.
        let room = &mut bytes[written..start + read + take];
        let decoded = STANDARD.decode_slice(chunk, room);
        written += decoded.map_err(|error| placed(error, read))?;
        read += take;
    }
    bytes.truncate(written);
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// An error of a chunk, with its place in the whole.
fn placed(error: base64::DecodeSliceError, before: usize) -> base64::DecodeError {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    match error {
        base64::DecodeSliceError::DecodeError(InvalidByte(at, byte)) => InvalidByte(before + at, byte),
        base64::DecodeSliceError::DecodeError(InvalidLastSymbol(at, byte)) => {
            InvalidLastSymbol(before + at, byte)
        }
        base64::DecodeSliceError::DecodeError(InvalidLength(length)) => InvalidLength(before + length),
        base64::DecodeSliceError::DecodeError(InvalidPadding) => InvalidPadding,
        // Base64 is longer than what it stands for.
        base64::DecodeSliceError::OutputSliceTooSmall => InvalidLength(before),
    }
}

/// Whether `bytes` are the form that [`Envelope::write`] gives, without making it anew: base64 is read in one form only.
fn is_exact(wire: &Read<'_>, bytes: &[u8]) -> Result<bool, serde_json::Error> {
    let kind = serde_json::to_string(&wire.payload_type.0)?;
    let signatures = serde_json::to_string(&wire.signatures)?;
    let after = format!("\",\"payloadType\":{kind},\"signatures\":{signatures}}}\n");
    let rest = bytes
        .strip_prefix(b"{\"payload\":\"")
        .and_then(|rest| rest.strip_prefix(wire.payload.0.as_bytes()));
    Ok(rest == Some(after.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pae_is_the_one_of_the_specification() {
        // The example of secure-systems-lab/dsse, protocol.md.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let envelope = Envelope::new(b"{}\n".to_vec(), "ab".into(), vec![1, 2, 3]);
        let bytes = envelope.write().unwrap();
        assert_eq!(Envelope::read(bytes).unwrap(), envelope);
    }

    #[test]
    fn what_the_signature_does_not_cover_shows_as_inexact() {
        let bytes = Envelope::new(b"{}\n".to_vec(), "ab".into(), vec![1, 2, 3]).write().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for other in
            [text.replace(':', ": "), text.replacen('{', "{\"x\":1,", 1), text.trim_end().to_owned()]
        {
            assert!(!Envelope::read(other.clone().into_bytes()).unwrap().exact, "{other}");
        }
    }

    #[test]
    fn payloads_of_every_length_are_decoded_where_they_stand() {
        for length in (0..100).chain([3071, 3072, 3073, 3074, 6144, 6145, 100_000]) {
            let payload: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0] ^ 0x5a).collect();
            let envelope = Envelope::new(payload, "ab".into(), vec![1]);
            let bytes = envelope.write().unwrap();
            // A slash may be escaped; it means the same, and isn't how we write it.
            let escaped = String::from_utf8(bytes.clone()).unwrap().replace('/', "\\/");
            let read = Envelope::read(bytes).unwrap();
            assert_eq!(read, envelope, "{length}");
            let again = Envelope::read(escaped.into_bytes()).unwrap();
            assert!(again.payload == envelope.payload && !again.exact, "{length}");
        }
    }

    #[test]
    fn no_changed_character_of_a_payload_passes_as_it_was() {
        let payload: Vec<u8> = (0..7000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let envelope = Envelope::new(payload, "ab".into(), vec![1]);
        let bytes = envelope.write().unwrap();
        for at in (12..9000).step_by(7).chain([4107, 4108, 4109, 8203, 8204]) {
            for other in [b'=', b'A', b'-', b' ', b'\n'] {
                let mut changed = bytes.clone();
                if std::mem::replace(&mut changed[at], other) != other
                    && let Ok(read) = Envelope::read(changed)
                {
                    assert_ne!(read.payload, envelope.payload, "{at} {other}");
                }
            }
        }
    }

    #[test]
    fn little_json_can_not_ask_for_much_memory() {
        let read = |text: String| Envelope::read(text.into_bytes()).unwrap_err().to_string();
        let many = "{\"sig\":\"\"},".repeat(SIGNATURES_MAX + 1);
        let many = many.trim_end_matches(',');
        let envelope = |kind: &str, list: &str| {
            format!("{{\"payload\":\"\",\"payloadType\":\"{kind}\",\"signatures\":[{list}]}}")
        };
        assert!(read(envelope("x", many)).contains("more than 32 signatures"));
        let long = "x".repeat(3 * SIGNATURE_BYTES_MAX);
        for text in [
            envelope(&long, "{\"sig\":\"\"}"),
            envelope("x", &format!("{{\"sig\":\"{long}\"}}")),
            envelope("x", &format!("{{\"sig\":\"\",\"keyid\":\"{long}\"}}")),
            envelope("x", &format!("\"{long}\"")),
        ] {
            let said = read(text);
            assert!(said.len() < 400, "{said}");
        }
    }

    #[test]
    fn broken_envelopes_are_errors() {
        let read = |text: &str| Envelope::read(text.as_bytes().to_vec()).unwrap_err().to_string();
        assert!(read("{}").contains("payload"));
        assert!(
            read("{\"payload\":\"e30=\",\"payloadType\":\"x\",\"signatures\":[]}")
                .contains("no signature")
        );
        assert!(
            read("{\"payload\":\"e3\",\"payloadType\":\"x\",\"signatures\":[{\"sig\":\"\"}]}")
                .contains("payload")
        );
        // Padding bits that aren't zero would let two texts mean the same bytes.
        assert!(
            read("{\"payload\":\"e31=\",\"payloadType\":\"x\",\"signatures\":[{\"sig\":\"AB==\"}]}")
                .contains("base64")
        );
    }
}
