//! Verifying a detached signature against the certificates that the user trusts.

use std::io::Read;

use pgp::composed::{Deserializable as _, DetachedSignature};
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::Fingerprint;

use crate::armor;
use crate::cert::{Cert, one_line};
use crate::dsse::{self, Envelope};
use crate::policy::{self, CLOCK_SKEW_S, Flaw, Usable};

/// The longest signature that is read, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 64 * 1024;

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The certificate's (primary key's) fingerprint, lower case.
    pub certificate: String,
    /// The signing key's fingerprint, lower case.
    pub key: String,
    /// The certificate's user ids, as they stand there.
    pub user_ids: Vec<String>,
    /// When, as the signer says (Unix seconds).
    pub signed_at: u64,
    /// What a reader should know besides.
    pub notes: Vec<String>,
}

/// Why a signature doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a signature.
    #[error("the signature is not one OpenPGP signature: {0}")]
    Broken(String),
    /// Something that the signature doesn't cover was changed.
    #[error("the signature's form was changed: {0}")]
    Form(&'static str),
    /// None of the certificates.
    #[error("it is signed by {0}, whose certificate was not given")]
    Stranger(String),
    /// The data, or the signature, was changed.
    #[error("the signature by {0} does not fit the signed bytes: they, or the signature, were changed")]
    Changed(String),
    /// Too weak, or of a kind that doesn't sign data.
    #[error("the signature does not count: {0}")]
    Weak(String),
    /// Its time.
    #[error("the signature says that it was made on {on}, {what}")]
    Time {
        /// The day (UTC).
        on: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key doesn't count.
    #[error("the signing key does not count: {0}")]
    Key(#[from] Flaw),
    /// The envelope names another key.
    #[error("the envelope's keyid is {found:?}, and the signature is by {key}")]
    KeyId {
        /// What the envelope says.
        found: String,
        /// What the signature says.
        key: String,
    },
    /// The envelope's type.
    #[error("the envelope's payloadType is {0:?}, not {PAYLOAD:?}", PAYLOAD = dsse::PAYLOAD_TYPE)]
    PayloadType(String),
}

/// Verifies one envelope: every signature in it must count, each by one of `certs`. `now` in Unix seconds.
pub fn verify_envelope(envelope: &Envelope, certs: &[Cert], now: u64) -> Result<Vec<Signer>, Refusal> {
    if envelope.payload_type != dsse::PAYLOAD_TYPE {
        return Err(Refusal::PayloadType(envelope.payload_type.clone()));
    }
    if !envelope.exact {
        return Err(Refusal::Form(
            "the envelope's JSON is not as it was written (spaces, order or further keys)",
        ));
    }
    let (head, payload) = envelope.pae();
    let mut signers = Vec::with_capacity(envelope.signatures.len());
    for one in &envelope.signatures {
        let signer = verify_detached(&one.sig, head.as_bytes().chain(payload), certs, now)?;
        if one.keyid != signer.key {
            return Err(Refusal::KeyId {
                found: one.keyid.chars().take(100).collect(),
                key: signer.key,
            });
        }
        signers.push(signer);
    }
    Ok(signers)
}

/// Verifies one detached signature over `data`, binary or armored. `now` in Unix seconds.
pub fn verify_detached(
    sig: &[u8],
    data: impl Read,
    certs: &[Cert],
    now: u64,
) -> Result<Signer, Refusal> {
    let signature = read(sig)?;
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(Refusal::Weak("it is not a signature over binary data".into()));
    }
    if !policy::hash_is_strong(signature.hash_alg()) {
        let hash = signature.hash_alg().map_or("an unknown hash".to_owned(), |hash| hash.to_string());
        return Err(Refusal::Weak(format!("it is made with {hash}")));
    }
    if !policy::critical_is_known(&signature) {
        return Err(Refusal::Weak("it carries a critical demand that isn't known here".into()));
    }
    let (cert, key) =
        issuer(&signature, certs).ok_or_else(|| Refusal::Stranger(issuer_name(&signature)))?;
    unhashed(&signature, key)?;
    key.verify(&signature, data).map_err(|_| Refusal::Changed(format!("{:x}", key.fingerprint())))?;
    let made = times(&signature, now)?;
    policy::judge(&cert.key, &key.fingerprint(), made, now)?;
    let notes = policy::expires(&cert.key, &key.fingerprint(), now)
        .filter(|&end| end <= now)
        .map(|end| format!("the signing key has expired since, on {}", policy::day(end)));
    Ok(Signer {
        certificate: cert.fingerprint(),
        key: format!("{:x}", key.fingerprint()),
        user_ids: cert.user_ids(),
        signed_at: made,
        notes: notes.into_iter().collect(),
    })
}

/// The fingerprint (or key id) of whoever made a signature, lower case, for messages; not verified.
pub fn issuer_of(sig: &[u8]) -> Result<String, Refusal> {
    read(sig).map(|signature| issuer_name(&signature))
}

/// Reads exactly one signature, in exactly the form that it would be written in.
pub(crate) fn read(sig: &[u8]) -> Result<Signature, Refusal> {
    if sig.len() > SIGNATURE_BYTES_MAX {
        return Err(Refusal::Broken(format!(
            "it has {} bytes, more than {SIGNATURE_BYTES_MAX}",
            sig.len()
        )));
    }
    let binary;
    let bytes = if armor::is_armored(sig) {
        binary = armor::read_exact("PGP SIGNATURE", sig).ok_or(Refusal::Form(
            "its armor is not as gpg or blubr-attest write it (a changed character, or a comment)",
        ))?;
        binary.as_slice()
    } else {
        sig
    };
    let broken = |error: pgp::errors::Error| Refusal::Broken(one_line(&error));
    let mut all = DetachedSignature::from_bytes_many(bytes).map_err(broken)?;
    let one = all.next().ok_or_else(|| Refusal::Broken("it is empty".into()))?.map_err(broken)?;
    if all.next().is_some() {
        return Err(Refusal::Broken("there is something after the first signature".into()));
    }
    if one.to_bytes().map_err(broken)? != bytes {
        return Err(Refusal::Form("its packet is not encoded in the shortest form"));
    }
    Ok(one.signature)
}

/// The key among `certs` that the signature names as its maker.
fn issuer<'a>(signature: &Signature, certs: &'a [Cert]) -> Option<(&'a Cert, Usable<'a>)> {
    let prints = signature.issuer_fingerprint();
    let ids = signature.issuer_key_id();
    let made_by = |key: &Usable<'_>| {
        if prints.is_empty() {
            ids.contains(&&key.key_id())
        } else {
            prints.contains(&&key.fingerprint())
        }
    };
    certs.iter().find_map(|cert| {
        let subkeys = cert.key.public_subkeys.iter().map(|sub| Usable::Sub(&sub.key));
        std::iter::once(Usable::Primary(&cert.key.primary_key))
            .chain(subkeys)
            .find(made_by)
            .map(|key| (cert, key))
    })
}

fn issuer_name(signature: &Signature) -> String {
    let print = signature.issuer_fingerprint().first().map(|print: &&Fingerprint| format!("{print:x}"));
    let id = || signature.issuer_key_id().first().map(|id| format!("{id}"));
    print.or_else(id).unwrap_or_else(|| "nobody (it names no key)".into())
}

/// What the signature doesn't cover may only repeat who made it.
fn unhashed(signature: &Signature, key: Usable<'_>) -> Result<(), Refusal> {
    const FORM: Refusal =
        Refusal::Form("the part that it doesn't cover says more, or other, than who made it");
    let config =
        signature.config().ok_or_else(|| Refusal::Broken("its version isn't known here".into()))?;
    for one in config.unhashed_subpackets() {
        let right = match &one.data {
            SubpacketData::IssuerKeyId(id) => *id == key.key_id(),
            SubpacketData::IssuerFingerprint(print) => *print == key.fingerprint(),
            _ => false,
        };
        if !right || one.is_critical {
            return Err(FORM);
        }
    }
    Ok(())
}

/// When the signature says it was made, if that can be.
fn times(signature: &Signature, now: u64) -> Result<u64, Refusal> {
    let made = signature.created().map(|time| u64::from(time.as_secs()));
    let made = made.ok_or_else(|| Refusal::Weak("it doesn't say when it was made".into()))?;
    if made > now + CLOCK_SKEW_S {
        return Err(Refusal::Time { on: policy::day(made), what: "which is in the future" });
    }
    let over =
        signature.signature_expiration_time().map(|time| u64::from(time.as_secs())).filter(|&s| s > 0);
    if over.is_some_and(|seconds| made + seconds <= now) {
        return Err(Refusal::Time {
            on: policy::day(made),
            what: "and it has expired since by its own word",
        });
    }
    Ok(made)
}
