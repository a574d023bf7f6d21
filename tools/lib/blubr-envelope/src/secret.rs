//! Secret keys from files: unlocking them, and signing with the right one of a key's parts.

use pgp::composed::{DetachedSignature, PublicOrSecret, SignedSecretKey, SubpacketConfig};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{
    KeyDetails, KeyVersion, Password, S2kParams, SecretParams, SigningKey, StringToKey, Timestamp,
};

use crate::armor;
use crate::cert::{Cert, KeyError, one_line, read_keys};
use crate::policy::{self, Purpose, Usable};

/// A secret key and what unlocks it; both are wiped when dropped.
pub struct SecretKey {
    pub(crate) key: SignedSecretKey,
    pub(crate) password: Password,
    cert: Cert,
}

/// A signature and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The binary detached signature.
    pub sig: Vec<u8>,
    /// The signing key's fingerprint, lower case.
    pub keyid: String,
}

impl Signed {
    /// The signature as armor, for a file of its own.
    pub fn armored(&self) -> String {
        armor::write("PGP SIGNATURE", &self.sig)
    }
}

impl SecretKey {
    /// Whether the file holds a locked secret key, so that a passphrase must be asked for.
    pub fn is_locked(bytes: &[u8]) -> Result<bool, KeyError> {
        let key = read_secret(bytes)?;
        Ok(any_locked(&key))
    }

    /// Reads the one secret key of a file, and unlocks it with the passphrase: deriving a key from it is slow by intent, so
    /// that it is done once.
    pub fn read(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<Self, KeyError> {
        let mut key = read_secret(bytes)?;
        let cert = Cert { key: key.to_public_key() };
        if any_locked(&key) {
            let password = Password::from(passphrase.ok_or(KeyError::Locked)?);
            unlock(&mut key, &password)?;
        }
        Ok(Self { key, password: Password::empty(), cert })
    }

    /// Its certificate.
    pub fn cert(&self) -> &Cert {
        &self.cert
    }

    /// Signs `data`; `now` (Unix seconds) is written into the signature and decides which key may sign.
    pub fn sign(&self, data: &[u8], now: u64) -> Result<Signed, KeyError> {
        match policy::choose(&self.cert.key, Purpose::Sign, now)? {
            Usable::Primary(_) => {
                stub(&self.key.primary_key, self.key.primary_key.secret_params())?;
                sign_with(&self.key.primary_key, &self.password, data, now)
            }
            Usable::Sub(chosen) => {
                let found = self
                    .key
                    .secret_subkeys
                    .iter()
                    .find(|sub| sub.key.fingerprint() == chosen.fingerprint());
                let found =
                    found.ok_or_else(|| KeyError::Stub(format!("{:x}", chosen.fingerprint())))?;
                stub(&found.key, found.key.secret_params())?;
                sign_with(&found.key, &self.password, data, now)
            }
        }
    }
}

fn any_locked(key: &SignedSecretKey) -> bool {
    let subkeys = key.secret_subkeys.iter().map(|sub| sub.key.secret_params());
    std::iter::once(key.primary_key.secret_params())
        .chain(subkeys)
        .any(|params| params.is_encrypted() && !is_stub(params))
}

fn unlock(key: &mut SignedSecretKey, password: &Password) -> Result<(), KeyError> {
    let wrong = |_| KeyError::Passphrase;
    if key.primary_key.secret_params().is_encrypted() && !is_stub(key.primary_key.secret_params()) {
        key.primary_key.remove_password(password).map_err(wrong)?;
    }
    for sub in &mut key.secret_subkeys {
        if sub.key.secret_params().is_encrypted() && !is_stub(sub.key.secret_params()) {
            sub.key.remove_password(password).map_err(wrong)?;
        }
    }
    Ok(())
}

fn read_secret(bytes: &[u8]) -> Result<SignedSecretKey, KeyError> {
    let keys = read_keys(bytes)?;
    let count = keys.len();
    let mut secrets = keys.into_iter().filter_map(|key| match key {
        PublicOrSecret::Secret(key) => Some(key),
        PublicOrSecret::Public(_) => None,
    });
    match (secrets.next(), count) {
        (None, _) => Err(KeyError::NotSecret),
        (Some(key), 1) => Ok(key),
        (Some(_), count) => Err(KeyError::Several(count)),
    }
}

/// gpg's placeholder for a secret half that is elsewhere (doc/DETAILS, "GNU extensions to the S2K algorithm").
fn is_stub(params: &SecretParams) -> bool {
    let SecretParams::Encrypted(locked) = params else {
        return false;
    };
    match locked.string_to_key_params() {
        S2kParams::Cfb { s2k, .. } | S2kParams::MalleableCfb { s2k, .. } => {
            matches!(s2k, StringToKey::Private { .. } | StringToKey::Other { .. })
        }
        _ => false,
    }
}

fn stub(key: &impl KeyDetails, params: &SecretParams) -> Result<(), KeyError> {
    if is_stub(params) { Err(KeyError::Stub(format!("{:x}", key.fingerprint()))) } else { Ok(()) }
}

fn sign_with(
    key: &impl SigningKey,
    password: &Password,
    data: &[u8],
    now: u64,
) -> Result<Signed, KeyError> {
    let failed = |error: pgp::errors::Error| KeyError::Sign(one_line(&error));
    let seconds =
        u32::try_from(now).map_err(|_| KeyError::Sign("the clock is past the year 2106".into()))?;
    let hashed = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).map_err(failed)?,
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(seconds)))
            .map_err(failed)?,
    ];
    let mut unhashed = Vec::new();
    if key.version() <= KeyVersion::V4 {
        unhashed
            .push(Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id())).map_err(failed)?);
    }
    let subpackets = SubpacketConfig::UserDefined { hashed, unhashed };
    // P-384 and P-521 keys ask for a longer hash than SHA-256.
    let hash = match key.hash_alg() {
        strong @ (HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => strong,
        _ => HashAlgorithm::Sha256,
    };
    let signature = DetachedSignature::sign_binary_data_with_subpackets(
        rand::rngs::OsRng,
        key,
        password,
        hash,
        data,
        subpackets,
    )
    .map_err(failed)?;
    Ok(Signed { sig: signature.to_bytes().map_err(failed)?, keyid: format!("{:x}", key.fingerprint()) })
}
