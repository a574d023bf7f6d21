//! Encrypting to one or more recipients, so that GnuPG 2.2, GnuPG 2.4 and sq all open it.

use std::collections::BTreeSet;

use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{
    LiteralData, PacketTrait as _, PublicKeyEncryptedSessionKey as SessionKey, SymEncryptedProtectedData,
};
use sha2::{Digest as _, Sha256};

use crate::cert::{Cert, KeyError, one_line};
use crate::policy::{self, Purpose, Usable};

/// The most recipients of a message.
pub const RECIPIENTS_MAX: usize = 64;

/// Why something can't be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    /// Nobody to encrypt to.
    #[error("there is nobody to encrypt to")]
    Nobody,
    /// Too many.
    #[error("there are {0} recipients, more than {RECIPIENTS_MAX}")]
    TooMany(usize),
    /// A recipient's key doesn't count.
    #[error("{who} can't be encrypted to: {source}")]
    Recipient {
        /// The certificate's fingerprint and user id.
        who: String,
        /// Why.
        source: KeyError,
    },
    /// rPGP failed.
    #[error("encryption failed: {0}")]
    Failed(String),
}

/// Encrypts `data` to every certificate (each once): SEIPD version 1 with AES-256 and its modification detection code, binary.
/// `now` (Unix seconds) decides which keys count.
pub fn encrypt(data: &[u8], recipients: &[&Cert], now: u64) -> Result<Vec<u8>, EncryptError> {
    let chosen = chosen(recipients, now)?;
    let failed = |error: pgp::errors::Error| EncryptError::Failed(one_line(&error));
    let mut rng = rand::rngs::OsRng;
    let cipher = SymmetricKeyAlgorithm::AES256;
    let session_key = cipher.new_session_key(rng);
    let mut out = Vec::with_capacity(data.len() + 4096);
    for key in chosen {
        let packet = match key {
            Usable::Primary(key) => {
                SessionKey::from_session_key_v3(&mut rng, &session_key, cipher, &key)
            }
            Usable::Sub(key) => SessionKey::from_session_key_v3(&mut rng, &session_key, cipher, &key),
        };
        packet.and_then(|packet| packet.to_writer_with_header(&mut out)).map_err(failed)?;
    }
    // rPGP's own builder leaves the name out.
    let literal = LiteralData::from_bytes(recipients_name(&Sha256::digest(&out)), data.to_vec().into())
        .map_err(failed)?;
    let mut plain = Vec::with_capacity(data.len() + 256);
    literal.to_writer_with_header(&mut plain).map_err(failed)?;
    let sealed =
        SymEncryptedProtectedData::encrypt_seipdv1(&mut rng, cipher, session_key.as_ref(), &plain);
    sealed.and_then(|sealed| sealed.to_writer_with_header(&mut out)).map_err(failed)?;
    Ok(out)
}

/// The key of each certificate that is encrypted to, each once.
pub(crate) fn chosen<'c>(certs: &[&'c Cert], now: u64) -> Result<Vec<Usable<'c>>, EncryptError> {
    if certs.is_empty() {
        return Err(EncryptError::Nobody);
    }
    if certs.len() > RECIPIENTS_MAX {
        return Err(EncryptError::TooMany(certs.len()));
    }
    let mut done = BTreeSet::new();
    let mut chosen = Vec::with_capacity(certs.len());
    for cert in certs {
        let key = policy::choose(&cert.key, Purpose::Encrypt, now)
            .map_err(|flaw| EncryptError::Recipient { who: who(cert), source: flaw.into() })?;
        if done.insert(format!("{:x}", key.fingerprint())) {
            chosen.push(key);
        }
    }
    Ok(chosen)
}

/// The name that the encrypted data is given: the SHA-256 of the packets before it, by which each recipient opens it. Whoever
/// opens it can tell by this that the others' packets are as they were made, which nothing else in OpenPGP covers.
pub(crate) fn recipients_name(packets_sha256: &[u8]) -> String {
    format!("{NAME_PREFIX}{}", hex(packets_sha256))
}

/// How that name begins.
pub(crate) const NAME_PREFIX: &str = "recipients-sha256-";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn who(cert: &Cert) -> String {
    let name =
        cert.user_ids().into_iter().next().unwrap_or_else(|| "a certificate without a user id".into());
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    format!("{name} ({})", cert.fingerprint())
}
