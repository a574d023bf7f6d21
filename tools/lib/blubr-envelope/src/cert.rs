//! Certificates: who may have signed, and to whom we encrypt.

use std::io::Cursor;

use pgp::composed::{PublicOrSecret, SignedPublicKey};
use pgp::types::KeyDetails as _;

use crate::armor;
use crate::text::cut;

/// The longest key file that is read, in bytes; certificates with photographs and many signatures reach some 100 kB.
pub const KEY_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most certificates taken from one file.
pub const CERTS_MAX: usize = 256;

/// A certificate (OpenPGP's transferable public key).
#[derive(Debug, Clone)]
pub struct Cert {
    pub(crate) key: SignedPublicKey,
}

/// Why a file is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too long.
    #[error("it has {0} bytes, more than the {KEY_FILE_BYTES_MAX} that a key file may have")]
    TooLong(usize),
    /// Broken.
    #[error("it is not an OpenPGP key: {0}")]
    Broken(String),
    /// Nothing in it.
    #[error("it holds no OpenPGP key")]
    Empty,
    /// Too many in it.
    #[error("it holds more than {CERTS_MAX} certificates")]
    TooMany,
    /// More than one where one is wanted.
    #[error("it holds {0} keys, and which one is meant isn't known: put one into a file of its own")]
    Several(usize),
    /// A certificate where a secret key is wanted.
    #[error("it holds no secret key, only a certificate")]
    NotSecret,
    /// A passphrase is wanted.
    #[error("the secret key is locked: give its passphrase by --passphrase-file or --passphrase-fd")]
    Locked,
    /// Wrong passphrase.
    #[error("the passphrase is wrong, or the secret key is damaged")]
    Passphrase,
    /// The secret half is elsewhere.
    #[error(
        "the secret half of {0} is not in this file (it is a stub that points to a smart card or was left out): use --gpg-key"
    )]
    Stub(String),
    /// The policy refuses it.
    #[error(transparent)]
    Policy(#[from] crate::policy::Flaw),
    /// rPGP failed.
    #[error("signing failed: {0}")]
    Sign(String),
}

/// rPGP's errors in one line, without the place in its source that some carry.
pub(crate) fn one_line(error: &pgp::errors::Error) -> String {
    cut(&error.to_string())
}

/// Every key of a file, public and secret, armored (several blocks) or binary.
pub(crate) fn read_keys(bytes: &[u8]) -> Result<Vec<PublicOrSecret>, KeyError> {
    if bytes.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyError::TooLong(bytes.len()));
    }
    let broken = |error: pgp::errors::Error| KeyError::Broken(one_line(&error));
    let parts = if armor::is_armored(bytes) { armor::blocks(bytes) } else { vec![bytes] };
    let mut keys = Vec::new();
    for part in parts {
        if part.is_empty() {
            continue;
        }
        let (found, _headers) =
            PublicOrSecret::from_reader_many_buf(Cursor::new(part)).map_err(broken)?;
        for key in found {
            keys.push(key.map_err(broken)?);
            if keys.len() > CERTS_MAX {
                return Err(KeyError::TooMany);
            }
        }
    }
    if keys.is_empty() {
        return Err(KeyError::Empty);
    }
    Ok(keys)
}

impl Cert {
    /// Every certificate of a file, armored or binary; of a secret key the public half is taken.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, KeyError> {
        let public = |key| match key {
            PublicOrSecret::Public(key) => Self { key },
            PublicOrSecret::Secret(key) => Self { key: key.to_public_key() },
        };
        Ok(read_keys(bytes)?.into_iter().map(public).collect())
    }

    /// The one certificate of a file.
    pub fn read_one(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut all = Self::read_all(bytes)?;
        match (all.pop(), all.len()) {
            (Some(one), 0) => Ok(one),
            (_, others) => Err(KeyError::Several(others + 1)),
        }
    }

    /// The primary key's fingerprint, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        format!("{:x}", self.key.fingerprint())
    }

    /// The user ids, as they stand; not verified.
    pub fn user_ids(&self) -> Vec<String> {
        self.key
            .details
            .users
            .iter()
            .map(|user| String::from_utf8_lossy(user.id.id()).into_owned())
            .collect()
    }
}
