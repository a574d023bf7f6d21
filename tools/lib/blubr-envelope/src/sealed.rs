//! Encrypting and decrypting what is too long for memory (a log, a detail file), piece by piece.

use std::fmt::Debug;
use std::io::{self, BufRead, Read, Write};

use pgp::composed::{DecryptionOptions, Message, MessageBuilder, TheRing};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::types::Seipdv1ReadMode;

use crate::cert::{Cert, one_line};
use crate::encrypt::{EncryptError, RECIPIENTS_MAX, who};
use crate::open::{COMPRESSIONS_MAX, recipients};
use crate::policy::{self, Purpose, Usable};
use crate::secret::SecretKey;

/// Bytes that are handed on at a time.
const CHUNK_BYTES: usize = 1 << 17;

/// Encrypts what `from` gives to every certificate (each once), in the form of [`crate::encrypt()`] but for the name that the
/// data is given there. `now` (Unix seconds) decides which keys count.
///
/// # Errors
/// When there are no or too many recipients, one has no key that counts, or reading or writing fails.
pub fn seal(from: impl Read, to: impl Write, certs: &[&Cert], now: u64) -> Result<(), EncryptError> {
    if certs.is_empty() {
        return Err(EncryptError::Nobody);
    }
    if certs.len() > RECIPIENTS_MAX {
        return Err(EncryptError::TooMany(certs.len()));
    }
    let failed = |error: pgp::errors::Error| EncryptError::Failed(one_line(&error));
    let mut rng = rand::rngs::OsRng;
    let mut builder =
        MessageBuilder::from_reader("", from).seipd_v1(&mut rng, SymmetricKeyAlgorithm::AES256);
    let mut done = std::collections::BTreeSet::new();
    for cert in certs {
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
    builder.to_writer(rng, to).map_err(failed)
}

/// Why a message can't be decrypted.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    /// None of our keys fits.
    #[error("it is encrypted to {0}: give one of their secret keys by --key")]
    NoKey(String),
    /// No encrypted message.
    #[error("it is no encrypted OpenPGP message: {0}")]
    NoMessage(String),
    /// Broken or changed.
    #[error("it can't be decrypted: the message was changed or cut ({0})")]
    Damaged(String),
    /// Too long.
    #[error("what it holds is longer than {0} bytes")]
    TooLong(u64),
    /// What it held can't be written.
    #[error("what it holds can't be written: {0}")]
    Write(io::Error),
}

/// Decrypts a message into `to`, of at most `max` bytes. What was written counts only when this returns: the message's
/// modification detection code stands at its end.
///
/// # Errors
/// When no key fits, or the message was changed or cut.
pub fn unseal(
    from: impl BufRead + Debug + Send,
    mut to: impl Write,
    keys: &[SecretKey],
    max: u64,
) -> Result<(), UnsealError> {
    let damaged = |error: pgp::errors::Error| UnsealError::Damaged(one_line(&error));
    let (message, _headers) =
        Message::from_reader(from).map_err(|error| UnsealError::NoMessage(one_line(&error)))?;
    let Message::Encrypted { .. } = &message else {
        return Err(UnsealError::NoMessage("it is not encrypted".into()));
    };
    let to_whom = recipients(&message);
    let no_key = || {
        UnsealError::NoKey(if to_whom.is_empty() {
            "nobody by a key".into()
        } else {
            to_whom.join(", ")
        })
    };
    if keys.is_empty() {
        return Err(no_key());
    }
    let ring = TheRing {
        secret_keys: keys.iter().map(|one| &one.key).collect(),
        key_passwords: keys.iter().map(|one| &one.password).collect(),
        decrypt_options: DecryptionOptions::new()
            .enable_gnupg_aead()
            .set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..Default::default()
    };
    let mut message = match message.decrypt_the_ring(ring, true) {
        Ok((opened, _)) => opened,
        Err(pgp::errors::Error::MissingKey) => return Err(no_key()),
        Err(error) => return Err(damaged(error)),
    };
    for _ in 0..COMPRESSIONS_MAX {
        if !message.is_compressed() {
            break;
        }
        message = message.decompress().map_err(damaged)?;
    }
    if !message.is_literal() {
        return Err(UnsealError::NoMessage("what it holds is encrypted or signed once more".into()));
    }
    copy(&mut message, &mut to, max)
}

fn copy(from: &mut impl Read, to: &mut impl Write, max: u64) -> Result<(), UnsealError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = max;
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return to.flush().map_err(UnsealError::Write),
            Ok(got) => {
                left = left.checked_sub(got as u64).ok_or(UnsealError::TooLong(max))?;
                to.write_all(chunk.get(..got).unwrap_or_default()).map_err(UnsealError::Write)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(UnsealError::Damaged(error.to_string())),
        }
    }
}
