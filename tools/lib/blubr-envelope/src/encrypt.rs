//! Encrypting to one or more recipients, so that GnuPG 2.2, GnuPG 2.4 and sq all open it.

use std::collections::BTreeSet;

use pgp::composed::MessageBuilder;
use pgp::crypto::sym::SymmetricKeyAlgorithm;

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
    if recipients.is_empty() {
        return Err(EncryptError::Nobody);
    }
    if recipients.len() > RECIPIENTS_MAX {
        return Err(EncryptError::TooMany(recipients.len()));
    }
    let failed = |error: pgp::errors::Error| EncryptError::Failed(one_line(&error));
    let mut rng = rand::rngs::OsRng;
    let mut builder =
        MessageBuilder::from_reader("", data).seipd_v1(&mut rng, SymmetricKeyAlgorithm::AES256);
    let mut done = BTreeSet::new();
    for cert in recipients {
        let chosen = policy::choose(&cert.key, Purpose::Encrypt, now)
            .map_err(|flaw| EncryptError::Recipient { who: who(cert), source: flaw.into() })?;
        if !done.insert(format!("{:x}", chosen.fingerprint())) {
            continue;
        }
        match chosen {
            Usable::Primary(key) => builder.encrypt_to_key(&mut rng, &key).map_err(failed)?,
            Usable::Sub(key) => builder.encrypt_to_key(&mut rng, &key).map_err(failed)?,
        };
    }
    let mut out = Vec::with_capacity(data.len() + 4096);
    builder.to_writer(rng, &mut out).map_err(failed)?;
    Ok(out)
}

fn who(cert: &Cert) -> String {
    let name =
        cert.user_ids().into_iter().next().unwrap_or_else(|| "a certificate without a user id".into());
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    format!("{name} ({})", cert.fingerprint())
}
