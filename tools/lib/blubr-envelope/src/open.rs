//! Taking off what is around a statement: encryption, then the envelope.

use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use pgp::types::Seipdv1ReadMode;

use crate::FILE_BYTES_MAX;
use crate::decrypt::{self, Refused};
use crate::dsse::{self, Envelope};
use crate::encrypt::{NAME_PREFIX, recipients_name};
use crate::kind::{DetectError, Kind};
use crate::secret::SecretKey;

/// The longest content of a message, in bytes: an envelope with a statement of 24 MiB in base64, and some room. While it is
/// decrypted it is there twice.
const CONTENT_BYTES_MAX: usize = 36 * 1024 * 1024;
/// How much of a file is read to tell what it is; the packets for some thousand recipients.
const HEAD_BYTES: u64 = 1024 * 1024;

/// An attestation's file, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the file was.
    pub kind: Kind,
    /// What the statement was in.
    pub signed: Signed,
    /// The key ids that the message was encrypted to, in lower case (zeros: hidden); empty when it wasn't encrypted.
    pub encrypted_to: Vec<String>,
    /// Whether the parts by which each recipient opens the message are as they were made; `None` where the message doesn't
    /// say (another program encrypted it, or it isn't encrypted).
    pub recipients_intact: Option<bool>,
}

/// A statement's bytes, in an envelope or bare. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// In an envelope, as its payload.
    Envelope(Envelope),
    /// Bare: the bytes themselves.
    Bare(Vec<u8>),
}

impl Opened {
    /// The statement's bytes.
    pub fn statement_bytes(&self) -> &[u8] {
        match &self.signed {
            Signed::Envelope(envelope) => &envelope.payload,
            Signed::Bare(bytes) => bytes,
        }
    }

    /// The statement's bytes, and nothing else.
    pub fn into_statement_bytes(self) -> Vec<u8> {
        match self.signed {
            Signed::Envelope(envelope) => envelope.payload,
            Signed::Bare(bytes) => bytes,
        }
    }

    /// The envelope that the statement was in; `None` when it isn't signed.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.signed {
            Signed::Envelope(envelope) => Some(envelope),
            Signed::Bare(_) => None,
        }
    }
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
    /// The file can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// No message, although it begins like one.
    #[error("it begins like an encrypted OpenPGP message, but is none: {0}")]
    NoMessage(String),
    /// Broken or changed.
    #[error("it can't be decrypted: the message was changed or cut ({0})")]
    Damaged(String),
    /// More than the message.
    #[error("something stands behind the encrypted message: the file was changed")]
    Behind,
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

impl OpenError {
    /// Whether the file is an attestation that was changed, and not something else altogether.
    pub fn is_change(&self) -> bool {
        use dsse::ReadError::{Base64, Json, Unsigned};
        match self {
            Self::Damaged(_) | Self::Behind | Self::Envelope(Base64 { .. } | Unsigned) => true,
            Self::Envelope(Json(_))
            | Self::TooLong
            | Self::Kind(_)
            | Self::NoKey { .. }
            | Self::Read(_)
            | Self::NoMessage(_)
            | Self::Nested
            | Self::Inside(_) => false,
        }
    }
}

impl From<Refused> for OpenError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoMessage(what) => Self::NoMessage(what),
            Refused::NotEncrypted => Self::NoMessage("it is not encrypted".into()),
            Refused::Nested => Self::Nested,
            Refused::NoKey(to) => Self::NoKey { to },
            Refused::Damaged(what) => Self::Damaged(what),
            Refused::Behind => Self::Behind,
        }
    }
}

/// Opens what `file` holds with `keys` (none needed unless it is encrypted). No more than [`FILE_BYTES_MAX`] are read, and
/// of an encrypted file only what it holds is kept in memory.
pub fn open(mut file: impl Read + Debug + Send, keys: &[SecretKey]) -> Result<Opened, OpenError> {
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes)?;
    if !bytes.trim_ascii_start().starts_with(b"{") && Kind::detect(&bytes)? == Kind::Message {
        return inside(decrypted(&bytes, file, keys)?);
    }
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_sub(HEAD_BYTES);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(OpenError::TooLong);
    }
    let kind = Kind::detect(&bytes)?;
    plain(kind, kind, bytes, Vec::new(), None)
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
        inner => plain(Kind::Message, inner, decrypted.inside, decrypted.to, decrypted.intact),
    }
}

fn plain(
    kind: Kind,
    inner: Kind,
    bytes: Vec<u8>,
    encrypted_to: Vec<String>,
    recipients_intact: Option<bool>,
) -> Result<Opened, OpenError> {
    let signed = match inner {
        Kind::Statement => Signed::Bare(bytes),
        Kind::Envelope | Kind::Message => Signed::Envelope(Envelope::read(bytes)?),
    };
    Ok(Opened { kind, signed, encrypted_to, recipients_intact })
}

/// Decrypts a message that is no longer than an attestation may be.
fn decrypted(
    head: &[u8],
    rest: impl Read + Debug + Send,
    keys: &[SecretKey],
) -> Result<Decrypted, OpenError> {
    let over = AtomicBool::new(false);
    let rest = Limited { file: rest, left: FILE_BYTES_MAX.saturating_sub(head.len()), over: &over };
    let file = BufReader::new(Cursor::new(head).chain(rest));
    let decrypted = decrypt_file(file, keys);
    if over.load(Ordering::Relaxed) { Err(OpenError::TooLong) } else { decrypted }
}

/// A file that fails when it is longer than an attestation may be.
#[derive(Debug)]
struct Limited<'a, R> {
    file: R,
    left: usize,
    over: &'a AtomicBool,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(out)?;
        self.left = self.left.checked_sub(got).ok_or_else(|| {
            self.over.store(true, Ordering::Relaxed);
            io::Error::other("too long")
        })?;
        Ok(got)
    }
}

fn decrypt_file(file: impl BufRead + Debug + Send, keys: &[SecretKey]) -> Result<Decrypted, OpenError> {
    // The whole modification detection code is checked before a byte comes out.
    let mode = Seipdv1ReadMode::CheckFirst { max_message_size: FILE_BYTES_MAX };
    let (content, packets) = decrypt::decrypt(file, keys, mode, read)?;
    let Content { inside, to, name } = content;
    let intact = name.starts_with(NAME_PREFIX.as_bytes()).then(|| {
        let made_as = recipients_name(&packets.before_sha256());
        name == made_as.as_bytes()
    });
    Ok(Decrypted { inside, to, intact })
}

/// What a message holds, its name, and to whom it is encrypted.
struct Content {
    inside: Vec<u8>,
    to: Vec<String>,
    name: Vec<u8>,
}

fn read(decrypted: decrypt::Decrypted<'_>) -> Result<Content, OpenError> {
    let decrypt::Decrypted { literal: mut message, to } = decrypted;
    let mut inside = Vec::new();
    let limit = u64::try_from(CONTENT_BYTES_MAX).unwrap_or(u64::MAX);
    message
        .by_ref()
        .take(limit + 1)
        .read_to_end(&mut inside)
        .map_err(|error| OpenError::Damaged(error.to_string()))?;
    if inside.len() > CONTENT_BYTES_MAX {
        return Err(OpenError::TooLong);
    }
    let header = message.literal_data_header();
    let name = header.map(|header| header.file_name().to_vec()).unwrap_or_default();
    Ok(Content { inside, to, name })
}
