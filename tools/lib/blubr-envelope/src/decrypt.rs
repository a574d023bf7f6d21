//! Taking the encryption off a message, and the compressions within: what both ways of reading one begin with.

use std::fmt::Debug;
use std::io::{BufRead, BufReader};

use pgp::composed::{DecryptionOptions, Esk, Message, TheRing};
use pgp::types::Seipdv1ReadMode;

use crate::cert::one_line;
use crate::packets::Packets;
use crate::secret::SecretKey;
use crate::source::Source;

/// How many compressions within one another are undone; gpg writes one.
const COMPRESSIONS_MAX: usize = 4;

/// Why a message's content can't be reached.
pub(crate) enum Refused {
    /// No message at all.
    NoMessage(String),
    /// A message of another kind.
    NotEncrypted,
    /// None of our keys fits: to whom it is encrypted.
    NoKey(String),
    /// Broken or changed.
    Damaged(String),
    /// Something stands behind it.
    Behind,
    /// It holds another message.
    Nested,
}

/// A message whose content is ready to be read.
pub(crate) struct Decrypted<'m> {
    /// Its content.
    pub(crate) literal: Message<'m>,
    /// The key ids that it was encrypted to.
    pub(crate) to: Vec<String>,
}

/// Decrypts with `keys` and hands on to `read` what the message holds; then the file must be at its end. `mode` says whether
/// the modification detection code is checked before a byte comes out, or at the end. With what `read` gave come the packets
/// that went by.
pub(crate) fn decrypt<T, E: From<Refused>>(
    file: impl BufRead + Debug + Send,
    keys: &[SecretKey],
    mode: Seipdv1ReadMode,
    read: impl FnOnce(Decrypted<'_>) -> Result<T, E>,
) -> Result<(T, Packets), E> {
    let mut source = Source::new(file)?;
    let mut is_ours = true;
    let decrypted = opened(BufReader::new(&mut source), keys, mode)
        .inspect_err(|refused| is_ours = !matches!(refused, Refused::NoKey(_)));
    match decrypted.map_err(E::from).and_then(read) {
        // rPGP stumbles over some of what stands behind, and says so in words of its own.
        Err(_) if is_ours && source.has_more() => Err(Refused::Behind.into()),
        value => Ok((value?, source.finish()?)),
    }
}

/// Whether a file is an encrypted message and nothing more, as far as that can be told without a key.
pub(crate) fn is_alone(file: &[u8]) -> Result<(), Refused> {
    Source::new(file)?.finish().map(drop)
}

fn opened<'m>(
    packets: impl BufRead + Debug + Send + 'm,
    keys: &[SecretKey],
    mode: Seipdv1ReadMode,
) -> Result<Decrypted<'m>, Refused> {
    let damaged = |error: pgp::errors::Error| Refused::Damaged(one_line(&error));
    let message = Message::from_bytes(packets).map_err(|error| Refused::NoMessage(one_line(&error)))?;
    let to = recipients(&message);
    let Message::Encrypted { .. } = &message else {
        return Err(Refused::NotEncrypted);
    };
    let no_key = || Refused::NoKey(if to.is_empty() { "nobody by a key".into() } else { to.join(", ") });
    if keys.is_empty() {
        return Err(no_key());
    }
    let ring = TheRing {
        secret_keys: keys.iter().map(|one| &one.key).collect(),
        key_passwords: keys.iter().map(|one| &one.password).collect(),
        decrypt_options: DecryptionOptions::new().enable_gnupg_aead().set_seipdv1_read_mode(mode),
        ..Default::default()
    };
    let mut literal = match message.decrypt_the_ring(ring, true) {
        Ok((opened, _)) => opened,
        Err(pgp::errors::Error::MissingKey) => return Err(no_key()),
        Err(error) => return Err(damaged(error)),
    };
    for _ in 0..COMPRESSIONS_MAX {
        if !literal.is_compressed() {
            break;
        }
        literal = literal.decompress().map_err(damaged)?;
    }
    if literal.is_literal() { Ok(Decrypted { literal, to }) } else { Err(Refused::Nested) }
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
