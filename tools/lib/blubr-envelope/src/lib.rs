//! DSSE envelopes and OpenPGP: sign, verify, encrypt, open.
//!
//! A `.att` file is a statement, a DSSE envelope around it, or an OpenPGP message around either; [`Kind::detect`] tells
//! which by its content and [`open()`] takes off what is around the statement. rPGP does the cryptography but has no opinion
//! on which keys may be trusted; [`policy`] is that opinion. Times are Unix seconds and come from the caller.
//!
//! This crate must never look into the statement, print, or keep a passphrase anywhere but in memory that is wiped.

mod armor;
pub mod cert;
mod decrypt;
pub mod dsse;
pub mod encrypt;
pub mod gpg;
pub mod kind;
pub mod open;
mod packets;
pub mod policy;
pub mod sealed;
pub mod secret;
mod source;
mod text;
pub mod verify;

pub use cert::Cert;
pub use dsse::{Envelope, PAYLOAD_TYPE, pae, pae_head};
pub use encrypt::encrypt;
pub use kind::Kind;
pub use open::{OpenError, Opened, open};
pub use sealed::{UnsealError, seal, unseal};
pub use secret::SecretKey;
pub use verify::{Refusal, Signer, verify_detached, verify_envelope};

/// The longest file that is opened, in bytes: a statement of 24 MiB in base64, armored, and some room.
pub const FILE_BYTES_MAX: usize = 44 * 1024 * 1024;
