//! Taking off what is around a statement: encryption, then the envelope.

use std::borrow::Cow;
use std::io::{Cursor, Read as _};

use pgp::composed::{DecryptionOptions, Esk, Message, TheRing};

use crate::FILE_BYTES_MAX;
use crate::cert::one_line;
use crate::dsse::{self, Envelope};
use crate::encrypt::{NAME_PREFIX, recipients_name};
use crate::kind::{DetectError, Kind};
use crate::secret::SecretKey;

/// How many compressions within one another are undone; gpg writes one.
const COMPRESSIONS_MAX: usize = 4;

/// An attestation's file, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the file was.
    pub kind: Kind,
    /// The statement's bytes. Signed or not: see `envelope`. Nothing is verified yet.
    pub statement_bytes: Vec<u8>,
    /// The envelope that the statement was in; `None` when it isn't signed.
    pub envelope: Option<Envelope>,
    /// The key ids that the message was encrypted to, in lower case (zeros: hidden); empty when it wasn't encrypted.
    pub encrypted_to: Vec<String>,
    /// Whether the parts by which each recipient opens the message are as they were made; `None` where the message doesn't
    /// say (another program encrypted it, or it isn't encrypted).
    pub recipients_intact: Option<bool>,
}

/// Why a file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too long.
    #[error("it has more than the {FILE_BYTES_MAX} bytes that an attestation may have")]
    TooLong,
    /// None of the three kinds.
    #[error(transparent)]
    Kind(#[from] DetectError),
    /// Encrypted, and none of our keys fits.
    #[error("it is encrypted to {to}: give one of their secret keys by --key")]
    NoKey {
        /// Key ids.
        to: String,
    },
    /// Broken or changed.
    #[error("it can't be decrypted: the message was changed or cut ({0})")]
    Damaged(String),
    /// A message within a message.
    #[error(
        "the decrypted content is encrypted or signed once more, which is not what blubr-attest writes"
    )]
    Nested,
    /// What is inside is none of the kinds.
    #[error("what the message holds is no attestation: {0}")]
    Inside(DetectError),
    /// A broken envelope.
    #[error(transparent)]
    Envelope(#[from] dsse::ReadError),
}

/// Opens `bytes` with `keys` (none needed unless they are encrypted).
pub fn open(bytes: &[u8], keys: &[SecretKey]) -> Result<Opened, OpenError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(OpenError::TooLong);
    }
    let kind = Kind::detect(bytes)?;
    match kind {
        Kind::Statement | Kind::Envelope => plain(kind, kind, bytes.into(), Vec::new(), None),
        Kind::Message => {
            let decrypted = decrypt(bytes, keys)?;
            inside(decrypted)
        }
    }
}

/// Goes on with what a message held, after gpg has decrypted it.
pub fn opened_message(inside: Vec<u8>, encrypted_to: Vec<String>) -> Result<Opened, OpenError> {
    self::inside(Decrypted { inside, to: encrypted_to, intact: None })
}

struct Decrypted {
    inside: Vec<u8>,
    to: Vec<String>,
    intact: Option<bool>,
}

fn inside(decrypted: Decrypted) -> Result<Opened, OpenError> {
    match Kind::detect(&decrypted.inside).map_err(OpenError::Inside)? {
        Kind::Message => Err(OpenError::Nested),
        inner => plain(Kind::Message, inner, decrypted.inside.into(), decrypted.to, decrypted.intact),
    }
}

fn plain(
    kind: Kind,
    inner: Kind,
    bytes: Cow<'_, [u8]>,
    encrypted_to: Vec<String>,
    recipients_intact: Option<bool>,
) -> Result<Opened, OpenError> {
    if inner == Kind::Statement {
        return Ok(Opened {
            kind,
            statement_bytes: bytes.into_owned(),
            envelope: None,
            encrypted_to,
            recipients_intact,
        });
    }
    let envelope = Envelope::read(&bytes)?;
    drop(bytes);
    Ok(Opened {
        kind,
        statement_bytes: envelope.payload.clone(),
        envelope: Some(envelope),
        encrypted_to,
        recipients_intact,
    })
}

/// Decrypts a message; its whole modification detection code is checked before a byte comes out.
fn decrypt(bytes: &[u8], keys: &[SecretKey]) -> Result<Decrypted, OpenError> {
    let damaged = |error: pgp::errors::Error| OpenError::Damaged(one_line(&error));
    let (message, _headers) = Message::from_reader(Cursor::new(bytes)).map_err(damaged)?;
    let to = recipients(&message);
    let Message::Encrypted { .. } = &message else {
        return Err(OpenError::Nested);
    };
    let no_key =
        || OpenError::NoKey { to: if to.is_empty() { "nobody by a key".into() } else { to.join(", ") } };
    if keys.is_empty() {
        return Err(no_key());
    }
    let ring = TheRing {
        secret_keys: keys.iter().map(|one| &one.key).collect(),
        key_passwords: keys.iter().map(|one| &one.password).collect(),
        decrypt_options: DecryptionOptions::new().enable_gnupg_aead(),
        ..Default::default()
    };
    let (mut message, _) = match message.decrypt_the_ring(ring, true) {
        Ok(opened) => opened,
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
        return Err(OpenError::Nested);
    }
    let mut inside = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    message
        .by_ref()
        .take(limit + 1)
        .read_to_end(&mut inside)
        .map_err(|error| OpenError::Damaged(error.to_string()))?;
    if inside.len() > FILE_BYTES_MAX {
        return Err(OpenError::TooLong);
    }
    let name =
        message.literal_data_header().map(|header| header.file_name().clone()).unwrap_or_default();
    let intact = name.starts_with(NAME_PREFIX.as_bytes()).then(|| {
        let packets = bytes.get(..session_keys_end(bytes)).unwrap_or_default();
        name == recipients_name(packets).as_bytes()
    });
    Ok(Decrypted { inside, to, intact })
}

/// Where the packets end that hold the session key for each recipient: the offset of the first packet of another type. They
/// are read as we write them (RFC 9580, 4.2.1: the new format, one or two octets of length).
fn session_keys_end(bytes: &[u8]) -> usize {
    const SESSION_KEY_PACKET: u8 = 0xc1;
    let mut at = 0;
    while let Some(&[SESSION_KEY_PACKET, first, second]) = bytes.get(at..at + 3) {
        let (head, length) = match first {
            0..192 => (2, usize::from(first)),
            192..224 => (3, ((usize::from(first) - 192) << 8) + usize::from(second) + 192),
            _ => break,
        };
        at += head + length;
    }
    at
}

fn recipients(message: &Message<'_>) -> Vec<String> {
    let Message::Encrypted { esk, .. } = message else {
        return Vec::new();
    };
    esk.iter()
        .filter_map(|one| match one {
            Esk::PublicKeyEncryptedSessionKey(key) => key.id().ok().map(|id| format!("{id}")),
            Esk::SymKeyEncryptedSessionKey(_) => None,
        })
        .collect()
}
