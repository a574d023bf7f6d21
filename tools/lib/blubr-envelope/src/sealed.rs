//! Encrypting and decrypting what is too long for memory (a log, a detail file), piece by piece.

use std::fmt::Debug;
use std::io::{self, BufRead, Read, Write};

use pgp::composed::MessageBuilder;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::types::Seipdv1ReadMode;

use crate::cert::{Cert, one_line};
use crate::decrypt::{self, Decrypted, Refused};
use crate::encrypt::{EncryptError, chosen};
use crate::policy::Usable;
use crate::secret::SecretKey;

/// Bytes that are handed on at a time.
const CHUNK_BYTES: usize = 1 << 17;

/// Encrypts what `from` gives to every certificate (each once), in the form of [`crate::encrypt()`] but for the name that the
/// data is given there. `now` (Unix seconds) decides which keys count.
///
/// # Errors
/// When there are no or too many recipients, one has no key that counts, or reading or writing fails.
pub fn seal(from: impl Read, to: impl Write, certs: &[&Cert], now: u64) -> Result<(), EncryptError> {
    let chosen = chosen(certs, now)?;
    let failed = |error: pgp::errors::Error| EncryptError::Failed(one_line(&error));
    let mut rng = rand::rngs::OsRng;
    let mut builder =
        MessageBuilder::from_reader("", from).seipd_v1(&mut rng, SymmetricKeyAlgorithm::AES256);
    for key in chosen {
        match key {
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
    /// More than the message.
    #[error("something stands behind the encrypted message: the file was changed")]
    Behind,
    /// Too long.
    #[error("what it holds is longer than {0} bytes")]
    TooLong(u64),
    /// What it held can't be written.
    #[error("what it holds can't be written: {0}")]
    Write(io::Error),
}

impl From<Refused> for UnsealError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoMessage(what) => Self::NoMessage(what),
            Refused::NotEncrypted => Self::NoMessage("it is not encrypted".into()),
            Refused::NoKey(to) => Self::NoKey(to),
            Refused::Damaged(what) => Self::Damaged(what),
            Refused::Behind => Self::Behind,
            Refused::Nested => Self::NoMessage("what it holds is encrypted or signed once more".into()),
        }
    }
}

/// Decrypts a message into `to`, of at most `max` bytes. What was written counts only when this returns: the message's
/// modification detection code stands at its end.
///
/// # Errors
/// When no key fits, or the message was changed or cut, or something stands behind it.
pub fn unseal(
    from: impl BufRead + Debug + Send,
    mut to: impl Write,
    keys: &[SecretKey],
    max: u64,
) -> Result<(), UnsealError> {
    let read = |mut message: Decrypted<'_>| copy(&mut message.literal, &mut to, max);
    decrypt::decrypt(from, keys, Seipdv1ReadMode::Streaming, read).map(|((), _)| ())
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
