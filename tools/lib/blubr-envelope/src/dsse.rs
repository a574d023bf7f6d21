//! The DSSE envelope (secure-systems-lab/dsse, envelope.md and protocol.md).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// `payloadType` of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The most signatures that an envelope may hold.
pub const SIGNATURES_MAX: usize = 32;

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
    Json(#[from] serde_json::Error),
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
    /// Too many signatures.
    #[error("the envelope holds {0} signatures, more than {SIGNATURES_MAX}")]
    TooMany(usize),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// The bytes that a DSSE signature covers: the pre-authentication encoding of type and payload.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// An envelope around an in-toto statement, with one signature.
    pub fn new(payload: Vec<u8>, keyid: String, sig: Vec<u8>) -> Self {
        let signatures = vec![Signature { keyid, sig }];
        Self { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures, exact: true }
    }

    /// The bytes that the signatures cover.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The envelope as one line of JSON with a newline at its end: the same envelope, the same bytes.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let signature =
            |one: &Signature| WireSignature { keyid: one.keyid.clone(), sig: STANDARD.encode(&one.sig) };
        let wire = Wire {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        let mut bytes = serde_json::to_vec(&wire)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads an envelope; keys that aren't known are skipped, but make it inexact.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        let wire: Wire = serde_json::from_slice(bytes)?;
        if wire.signatures.is_empty() {
            return Err(ReadError::Unsigned);
        }
        if wire.signatures.len() > SIGNATURES_MAX {
            return Err(ReadError::TooMany(wire.signatures.len()));
        }
        let decode =
            |key, text: &str| STANDARD.decode(text).map_err(|source| ReadError::Base64 { key, source });
        let mut signatures = Vec::with_capacity(wire.signatures.len());
        for one in &wire.signatures {
            signatures.push(Signature { keyid: one.keyid.clone(), sig: decode("sig", &one.sig)? });
        }
        let payload = decode("payload", &wire.payload)?;
        let mut envelope =
            Self { payload, payload_type: wire.payload_type.clone(), signatures, exact: false };
        envelope.exact = is_exact(&wire, bytes)?;
        Ok(envelope)
    }
}

/// Whether `bytes` are the form that [`Envelope::write`] gives, without making it anew: base64 is read in one form only.
fn is_exact(wire: &Wire, bytes: &[u8]) -> Result<bool, serde_json::Error> {
    let kind = serde_json::to_string(&wire.payload_type)?;
    let signatures = serde_json::to_string(&wire.signatures)?;
    let after = format!("\",\"payloadType\":{kind},\"signatures\":{signatures}}}\n");
    let rest = bytes
        .strip_prefix(b"{\"payload\":\"")
        .and_then(|rest| rest.strip_prefix(wire.payload.as_bytes()));
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
        assert_eq!(Envelope::read(&bytes).unwrap(), envelope);
    }

    #[test]
    fn what_the_signature_does_not_cover_shows_as_inexact() {
        let bytes = Envelope::new(b"{}\n".to_vec(), "ab".into(), vec![1, 2, 3]).write().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for other in
            [text.replace(':', ": "), text.replacen('{', "{\"x\":1,", 1), text.trim_end().to_owned()]
        {
            assert!(!Envelope::read(other.as_bytes()).unwrap().exact, "{other}");
        }
    }

    #[test]
    fn broken_envelopes_are_errors() {
        let read = |text: &str| Envelope::read(text.as_bytes()).unwrap_err().to_string();
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
