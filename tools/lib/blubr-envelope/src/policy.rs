//! Which keys may be trusted: rPGP verifies signatures and leaves this question to its user.
//!
//! A key counts when its algorithm is strong enough, when it is bound to its certificate by a signature that is itself strong
//! enough, when its flags allow the use, and when at the time in question it had begun, had not expired and was not revoked.
//! A revocation without a reason, or because the key was compromised, counts for all times: whoever has the key can also
//! write an earlier date. One because the key was superseded or retired counts from its own date on.

use std::io::Read;

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, RevocationCode, Signature, SignatureType, SubpacketData};
use pgp::types::{Fingerprint, KeyDetails, KeyId, PublicParams, Tag};

/// The shortest RSA modulus that is taken, in bits (NIST SP 800-131A).
pub const RSA_BITS_MIN: usize = 2048;
/// How far a signature's time may lie ahead of our clock, in seconds.
pub const CLOCK_SKEW_S: u64 = 300;

/// Why a key doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Too weak.
    #[error("{key} is {what}, which is too weak")]
    Weak {
        /// The key's fingerprint.
        key: String,
        /// Its algorithm and size.
        what: String,
    },
    /// Nothing that binds it.
    #[error("{0} is not bound to its certificate by any valid signature (SHA-1 and MD5 don't count)")]
    Unbound(String),
    /// A signing subkey that doesn't vouch for its certificate.
    #[error("{0} is a signing subkey without a valid signature of its own over its certificate")]
    NoBackSignature(String),
    /// Revoked.
    #[error("{key} is revoked{reason}")]
    Revoked {
        /// The key's fingerprint.
        key: String,
        /// The reason in words, or nothing.
        reason: &'static str,
    },
    /// Expired.
    #[error("{key} expired on {on}")]
    Expired {
        /// The key's fingerprint.
        key: String,
        /// The day (UTC).
        on: String,
    },
    /// Not begun.
    #[error("{key} was made on {on}, after that")]
    NotYet {
        /// The key's fingerprint.
        key: String,
        /// The day (UTC).
        on: String,
    },
    /// Not for this use.
    #[error("{key} is not meant for {purpose}")]
    Flags {
        /// The key's fingerprint.
        key: String,
        /// What we wanted it for.
        purpose: &'static str,
    },
    /// No key for this use.
    #[error("the certificate {key} has no key for {purpose}{why}")]
    NoKey {
        /// The primary key's fingerprint.
        key: String,
        /// What we wanted it for.
        purpose: &'static str,
        /// Why the ones that it has don't count.
        why: String,
    },
}

/// What a key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Signing data.
    Sign,
    /// Encrypting to it.
    Encrypt,
}

impl Purpose {
    fn words(self) -> &'static str {
        match self {
            Self::Sign => "signing",
            Self::Encrypt => "encryption",
        }
    }
}

/// A key of a certificate that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Usable<'a> {
    /// The primary key.
    Primary(&'a PublicKey),
    /// A subkey.
    Sub(&'a pgp::packet::PublicSubkey),
}

impl Usable<'_> {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Primary(key) => key.fingerprint(),
            Self::Sub(key) => key.fingerprint(),
        }
    }

    pub(crate) fn key_id(&self) -> KeyId {
        match self {
            Self::Primary(key) => key.legacy_key_id(),
            Self::Sub(key) => key.legacy_key_id(),
        }
    }

    /// The arithmetic only; whether the signature counts is decided elsewhere.
    pub(crate) fn verify(&self, signature: &Signature, data: impl Read) -> pgp::errors::Result<()> {
        match self {
            Self::Primary(key) => signature.verify(key, data),
            Self::Sub(key) => signature.verify(key, data),
        }
    }
}

/// The key of `cert` to use at `at` (Unix seconds): the newest subkey that counts, else the primary key.
pub(crate) fn choose(cert: &SignedPublicKey, purpose: Purpose, at: u64) -> Result<Usable<'_>, Flaw> {
    let mut subkeys: Vec<&SignedPublicSubKey> = cert.public_subkeys.iter().collect();
    subkeys.sort_by_key(|sub| std::cmp::Reverse(sub.key.created_at().as_secs()));
    let mut why = Vec::new();
    for sub in subkeys {
        match judge_subkey(cert, sub, purpose, at, at) {
            Ok(()) => return Ok(Usable::Sub(&sub.key)),
            Err(Flaw::Flags { .. }) => {}
            Err(flaw) => why.push(flaw.to_string()),
        }
    }
    match judge_primary(cert, Some(purpose), at, at) {
        Ok(()) => Ok(Usable::Primary(&cert.primary_key)),
        Err(flaw @ (Flaw::Revoked { .. } | Flaw::Expired { .. })) => Err(flaw),
        Err(_) => {
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            Err(Flaw::NoKey { key: name(&cert.primary_key), purpose: purpose.words(), why })
        }
    }
}

/// Judges one key of `cert`, named by its fingerprint, for a signature made at `at`, with what is known `now` (Unix seconds).
pub(crate) fn judge(cert: &SignedPublicKey, key: &Fingerprint, at: u64, now: u64) -> Result<(), Flaw> {
    if cert.primary_key.fingerprint() == *key {
        return judge_primary(cert, Some(Purpose::Sign), at, now);
    }
    match cert.public_subkeys.iter().find(|sub| sub.key.fingerprint() == *key) {
        Some(sub) => judge_subkey(cert, sub, Purpose::Sign, at, now),
        None => Err(Flaw::Unbound(format!("{key:x}"))),
    }
}

/// When the key named by its fingerprint expires (Unix seconds); `None` for never or for a key that doesn't count.
pub(crate) fn expires(cert: &SignedPublicKey, key: &Fingerprint, now: u64) -> Option<u64> {
    let primary = binding_of_primary(cert, now)?;
    let end = expiry(&cert.primary_key, primary);
    if cert.primary_key.fingerprint() == *key {
        return end;
    }
    let sub = cert.public_subkeys.iter().find(|sub| sub.key.fingerprint() == *key)?;
    let own = expiry(&sub.key, binding_of_subkey(cert, sub, now)?);
    match (end, own) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether a hash algorithm is strong enough for a signature.
pub(crate) fn hash_is_strong(hash: Option<HashAlgorithm>) -> bool {
    use HashAlgorithm as H;
    matches!(hash, Some(H::Sha256 | H::Sha384 | H::Sha512 | H::Sha3_256 | H::Sha3_512))
}

/// A subpacket that is marked critical and that we don't act on makes a signature void (RFC 9580, 5.2.3.7).
pub(crate) fn critical_is_known(signature: &Signature) -> bool {
    use SubpacketData as S;
    let Some(config) = signature.config() else {
        return false;
    };
    config.hashed_subpackets().filter(|one| one.is_critical).all(|one| {
        !matches!(
            one.data,
            S::Notation(_)
                | S::Experimental(..)
                | S::Other(..)
                | S::SignatureTarget(..)
                | S::RegularExpression(_)
        )
    })
}

fn judge_primary(
    cert: &SignedPublicKey,
    purpose: Option<Purpose>,
    at: u64,
    now: u64,
) -> Result<(), Flaw> {
    let key = &cert.primary_key;
    strength(key)?;
    revoked(key, &cert.details.revocation_signatures, at, |signature| {
        signature.typ() == Some(SignatureType::KeyRevocation) && signature.verify_key(key).is_ok()
    })?;
    let binding = binding_of_primary(cert, now).ok_or_else(|| Flaw::Unbound(name(key)))?;
    lifetime(key, binding, at)?;
    match purpose {
        Some(purpose) => flags(key, binding, purpose, true),
        None => Ok(()),
    }
}

fn judge_subkey(
    cert: &SignedPublicKey,
    sub: &SignedPublicSubKey,
    purpose: Purpose,
    at: u64,
    now: u64,
) -> Result<(), Flaw> {
    judge_primary(cert, None, at, now)?;
    let (primary, key) = (&cert.primary_key, &sub.key);
    let binding = binding_of_subkey(cert, sub, now).ok_or_else(|| Flaw::Unbound(name(key)))?;
    flags(key, binding, purpose, false)?;
    strength(key)?;
    revoked(key, &sub.signatures, at, |signature| {
        signature.typ() == Some(SignatureType::SubkeyRevocation)
            && signature.verify_subkey_binding(primary, key).is_ok()
    })?;
    lifetime(key, binding, at)?;
    if purpose == Purpose::Sign {
        let back = binding
            .embedded_signature()
            .filter(|back| counts(back, now) && back.verify_primary_key_binding(key, primary).is_ok());
        back.ok_or_else(|| Flaw::NoBackSignature(name(key)))?;
    }
    Ok(())
}

/// The newest valid self-signature: over a user id that isn't revoked, or over the key itself.
fn binding_of_primary(cert: &SignedPublicKey, now: u64) -> Option<&Signature> {
    let key = &cert.primary_key;
    let direct = cert.details.direct_signatures.iter().filter(|one| {
        one.typ() == Some(SignatureType::Key) && counts(one, now) && one.verify_key(key).is_ok()
    });
    let users = cert.details.users.iter().filter_map(|user| {
        let own = user.signatures.iter().filter(|one| created(one) <= now + CLOCK_SKEW_S);
        let newest = own
            .filter(|one| one.verify_certification(key, Tag::UserId, &user.id).is_ok())
            .max_by_key(|one| {
                // Of two of the same second the revocation wins.
                (created(one), one.typ() == Some(SignatureType::CertRevocation))
            })?;
        (newest.typ() != Some(SignatureType::CertRevocation) && counts(newest, now)).then_some(newest)
    });
    users.chain(direct).max_by_key(|one| created(one))
}

fn binding_of_subkey<'a>(
    cert: &SignedPublicKey,
    sub: &'a SignedPublicSubKey,
    now: u64,
) -> Option<&'a Signature> {
    sub.signatures
        .iter()
        .filter(|one| one.typ() == Some(SignatureType::SubkeyBinding) && counts(one, now))
        .filter(|one| one.verify_subkey_binding(&cert.primary_key, &sub.key).is_ok())
        .max_by_key(|one| created(one))
}

/// Whether a binding counts at all: a strong hash, begun, not expired, nothing critical that we don't know.
fn counts(signature: &Signature, now: u64) -> bool {
    let made = created(signature);
    let over =
        signature.signature_expiration_time().map(|time| u64::from(time.as_secs())).filter(|&s| s > 0);
    hash_is_strong(signature.hash_alg())
        && critical_is_known(signature)
        && made <= now + CLOCK_SKEW_S
        && over.is_none_or(|seconds| made + seconds > now)
}

fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, |time| u64::from(time.as_secs()))
}

fn strength(key: &impl KeyDetails) -> Result<(), Flaw> {
    use rsa_size::bits;
    let weak = |what: String| Err(Flaw::Weak { key: name(key), what });
    match key.public_params() {
        PublicParams::RSA(params) if bits(params) < RSA_BITS_MIN => {
            weak(format!("RSA of {} bits", bits(params)))
        }
        PublicParams::DSA(_) => weak("DSA".into()),
        PublicParams::Elgamal(_) => weak("ElGamal".into()),
        PublicParams::Unknown { .. } => weak("of an algorithm that isn't known here".into()),
        _ => Ok(()),
    }
}

mod rsa_size {
    //! The size of an RSA modulus, from its serialised form: rPGP keeps the number's type to itself.

    use pgp::ser::Serialize as _;
    use pgp::types::RsaPublicParams;

    /// Bits of the modulus: the first MPI's own count (RFC 9580, 3.2).
    pub(super) fn bits(params: &RsaPublicParams) -> usize {
        let bytes = params.to_bytes().unwrap_or_default();
        match bytes.as_slice() {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        }
    }
}

fn revoked(
    key: &impl KeyDetails,
    signatures: &[Signature],
    at: u64,
    is_valid: impl Fn(&Signature) -> bool,
) -> Result<(), Flaw> {
    for signature in signatures.iter().filter(|one| is_valid(one)) {
        let reason = match signature.revocation_reason_code() {
            Some(RevocationCode::KeySuperseded) if at < created(signature) => continue,
            Some(RevocationCode::KeyRetired) if at < created(signature) => continue,
            Some(RevocationCode::KeySuperseded) => " (superseded)",
            Some(RevocationCode::KeyRetired) => " (retired)",
            Some(RevocationCode::KeyCompromised) => " (compromised)",
            _ => "",
        };
        return Err(Flaw::Revoked { key: name(key), reason });
    }
    Ok(())
}

fn lifetime(key: &impl KeyDetails, binding: &Signature, at: u64) -> Result<(), Flaw> {
    let made = u64::from(key.created_at().as_secs());
    if made > at + CLOCK_SKEW_S {
        return Err(Flaw::NotYet { key: name(key), on: day(made) });
    }
    match expiry(key, binding) {
        Some(end) if end <= at => Err(Flaw::Expired { key: name(key), on: day(end) }),
        _ => Ok(()),
    }
}

fn expiry(key: &impl KeyDetails, binding: &Signature) -> Option<u64> {
    let seconds = u64::from(binding.key_expiration_time()?.as_secs());
    (seconds > 0).then(|| u64::from(key.created_at().as_secs()) + seconds)
}

fn flags(
    key: &impl KeyDetails,
    binding: &Signature,
    purpose: Purpose,
    is_primary: bool,
) -> Result<(), Flaw> {
    let said = binding.config().is_some_and(|config| {
        config.hashed_subpackets().any(|one| matches!(one.data, SubpacketData::KeyFlags(_)))
    });
    let flags = binding.key_flags();
    let fits = match purpose {
        // A primary key without flags may certify and sign (RFC 9580, 10.1.5 leaves it open; gpg and sq agree).
        Purpose::Sign if !said => is_primary,
        Purpose::Sign => flags.sign(),
        Purpose::Encrypt => flags.encrypt_storage() || flags.encrypt_comms(),
    };
    let able = match purpose {
        Purpose::Sign => !matches!(
            key.public_params(),
            PublicParams::ECDH(_) | PublicParams::X25519(_) | PublicParams::X448(_)
        ),
        Purpose::Encrypt => matches!(
            key.public_params(),
            PublicParams::RSA(_)
                | PublicParams::ECDH(_)
                | PublicParams::X25519(_)
                | PublicParams::X448(_)
        ),
    };
    if fits && able { Ok(()) } else { Err(Flaw::Flags { key: name(key), purpose: purpose.words() }) }
}

fn name(key: &impl KeyDetails) -> String {
    format!("{:x}", key.fingerprint())
}

/// The day (UTC) of a Unix time, `YYYY-MM-DD`.
pub(crate) fn day(unix_s: u64) -> String {
    // Days to civil date, by Howard Hinnant's algorithm (chrono-compatible low-level date algorithms).
    let days = unix_s / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // `date -u -d @N +%F`
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_795_521_600), "2026-11-24");
        assert_eq!(day(4_294_967_295), "2106-02-07");
    }

    #[test]
    fn weak_hashes_are_refused() {
        for weak in [
            HashAlgorithm::Md5,
            HashAlgorithm::Sha1,
            HashAlgorithm::Ripemd160,
            HashAlgorithm::Sha224,
            HashAlgorithm::Other(99),
        ] {
            assert!(!hash_is_strong(Some(weak)));
        }
        assert!(hash_is_strong(Some(HashAlgorithm::Sha256)));
        assert!(!hash_is_strong(None));
    }
}
