//! The log beside an attestation: a referrer of its own, so that whoever wants the attestation does not get gigabytes with it,
//! and the attestation's manifest stays the same with a log or without.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use blubr_cli::{Failure, Input, Spooled, spool_file};
use blubr_envelope::Cert;
use blubr_oci::{Digest, LONG_ARTIFACT_BYTES_MAX, LongArtifact};

use crate::content::Said;
use crate::plan::WithLog;

/// The kind by which logs are attached, and found again.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.blubr.log.v1";
/// The annotation that names the manifest of the attestation beside which a log is.
pub(crate) const BESIDE: &str = "io.github.blubr.attestation";
/// A certificate's file is short, in bytes.
const CERT_BYTES_MAX: u64 = 8 << 20;
/// First bytes of a zstd frame (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A log, ready to be attached.
pub(crate) struct Log {
    file: Spooled,
    media_type: &'static str,
    title: &'static str,
}

impl Log {
    /// Opens the log, which must be one that the statement names, and encrypts it where that is wanted.
    pub(crate) fn open(plan: &WithLog, said: Option<&Said>) -> Result<Self, Failure> {
        let mut file = Input::open(Some(&plan.file))?.spool()?;
        let name = file.name().to_owned();
        let Some(said) = said else {
            return Err(Failure::new(
                "whether it is the attestation's log can't be told: that is encrypted",
            )
            .at(name)
            .advise("open it by --key or --gpg"));
        };
        let size = file.rewind()?.metadata().map_err(|error| Failure::io(&name, &error))?.len();
        if size > LONG_ARTIFACT_BYTES_MAX {
            let what = format_args!(
                "has {size} bytes, more than the {LONG_ARTIFACT_BYTES_MAX} that are attached"
            );
            return Err(Failure::new(what).at(name).advise("filter it by blubr-filter --build"));
        }
        let found = sum(file.rewind()?).map_err(|error| Failure::io(&name, &error))?;
        if !said.logs.contains(&found) {
            let named = if said.logs.is_empty() { "none".to_owned() } else { said.logs.join(", ") };
            let what =
                format_args!("has sha256 {found}, and the log that the statement names is {named}");
            return Err(Failure::new(what).at(name).advise("name the log that it was made from"));
        }
        let packed = is_zstd(file.rewind()?).map_err(|error| Failure::io(&name, &error))?;
        let (media_type, title) = match (plan.encrypt_to.is_empty(), packed) {
            (true, false) => ("application/x-ndjson", "build.ndjson"),
            (true, true) => ("application/zstd", "build.ndjson.zst"),
            (false, false) => ("application/pgp-encrypted", "build.ndjson.gpg"),
            (false, true) => ("application/pgp-encrypted", "build.ndjson.zst.gpg"),
        };
        if !plan.encrypt_to.is_empty() {
            file = sealed(file, plan)?;
        }
        Ok(Self { file, media_type, title })
    }

    /// What is attached beside the attestation whose manifest has this digest.
    pub(crate) fn artifact(&mut self, attestation: &Digest) -> Result<LongArtifact<'_>, Failure> {
        Ok(LongArtifact {
            artifact_type: ARTIFACT_TYPE,
            media_type: self.media_type,
            title: self.title,
            annotations: BTreeMap::from([(BESIDE.to_owned(), attestation.to_string())]),
            file: self.file.rewind()?,
        })
    }
}

/// The sum by which a log is named: of its lines, also where it is compressed.
fn sum(file: &mut File) -> io::Result<String> {
    blubr_log::Summed::new(blubr_log::Plain::new(file)?).of_all()
}

fn is_zstd(file: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head == ZSTD_MAGIC)
}

/// The log, encrypted into a file without a name.
fn sealed(mut log: Spooled, plan: &WithLog) -> Result<Spooled, Failure> {
    let mut certs = Vec::new();
    for path in &plan.encrypt_to {
        let bytes = Input::open(Some(path))?.read_to_end(CERT_BYTES_MAX)?;
        certs.push(Cert::read_one(&bytes).map_err(|error| Failure::new(error).at(path.display()))?);
    }
    let recipients: Vec<&Cert> = certs.iter().collect();
    let name = log.name().to_owned();
    let (file, _) = spool_file()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    blubr_envelope::seal(log.rewind()?, &file, &recipients, now)
        .map_err(|error| Failure::new(error).at(&name))?;
    Ok(Spooled::new(name, file))
}
