//! Signing, encrypting and writing: all is made before the first file gets its name, the detail gets its before the
//! attestation that names it, and either all get theirs or none.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use blubr_cli::{Exit, Failure, Output};
use blubr_envelope::secret::Signed;
use blubr_envelope::{Cert, Envelope, PAYLOAD_TYPE, SecretKey};

use crate::cli;
use crate::opened;
use crate::plan::{Plan, SignerFrom};

/// Who signs, ready to.
enum Signer {
    File(Box<SecretKey>),
    Gpg { id: String, passphrase: Option<Vec<u8>> },
}

/// Keys, read before the work so that a wrong passphrase doesn't cost it.
pub struct Keys {
    signer: Option<Signer>,
    recipients: Vec<Cert>,
}

impl Keys {
    /// Reads every key that the plan names.
    pub fn read(plan: &Plan) -> Result<Self, Failure> {
        let signer = match &plan.signer {
            None => None,
            Some(SignerFrom::File(path)) => {
                Some(Signer::File(Box::new(opened::secret_key(path, &plan.passphrase)?)))
            }
            Some(SignerFrom::Gpg(id)) => {
                Some(Signer::Gpg { id: id.clone(), passphrase: plan.passphrase.get(None)? })
            }
        };
        let mut recipients = Vec::new();
        for path in &plan.encrypt_to {
            recipients.push(opened::cert(path)?);
        }
        if let (true, false, Some(signer)) = (plan.encrypt_to_self, recipients.is_empty(), &signer) {
            recipients.push(signer.cert()?);
        }
        let keys = Self { signer, recipients };
        keys.try_out()?;
        Ok(keys)
    }

    /// The signer's secret key, where it is in a file: what was encrypted to the signer too is opened by it.
    pub fn own(&self) -> Option<&SecretKey> {
        match &self.signer {
            Some(Signer::File(key)) => Some(key),
            Some(Signer::Gpg { .. }) | None => None,
        }
    }

    /// Encrypts and signs next to nothing, to know now whether it will work.
    fn try_out(&self) -> Result<(), Failure> {
        if let Some(signer @ Signer::File(_)) = &self.signer {
            signer.sign(b"")?;
        }
        if !self.recipients.is_empty() {
            self.encrypt(b"")?;
        }
        Ok(())
    }

    fn encrypt(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let recipients: Vec<&Cert> = self.recipients.iter().collect();
        blubr_envelope::encrypt(bytes, &recipients, now()).map_err(Failure::new)
    }
}

impl Signer {
    fn cert(&self) -> Result<Cert, Failure> {
        match self {
            Self::File(key) => Ok(key.cert().clone()),
            Self::Gpg { id, .. } => blubr_envelope::gpg::cert(id).map_err(Failure::new),
        }
    }

    fn sign(&self, data: &[u8]) -> Result<Signed, Failure> {
        match self {
            Self::File(key) => key.sign(data, now()).map_err(Failure::new),
            Self::Gpg { id, passphrase } => {
                blubr_envelope::gpg::sign(id, data, passphrase.as_deref()).map_err(Failure::new)
            }
        }
    }
}

/// Signs and encrypts the statement's bytes as the plan says, and writes everything; first the detail, so that no statement
/// stands without the file that it names.
pub fn all(plan: &Plan, keys: &Keys, statement: &[u8], detail: Option<File>) -> Result<(), Failure> {
    let detail = match (&plan.outputs.detail, detail) {
        (Some(path), Some(packed)) => Some(self::detail(path, keys, packed)?),
        _ => None,
    };
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    let envelope = match &keys.signer {
        None => None,
        Some(signer) => {
            let signed = signer.sign(&blubr_envelope::pae(PAYLOAD_TYPE, statement))?;
            let envelope = Envelope::new(statement.to_vec(), signed.keyid, signed.sig).write();
            Some(envelope.map_err(Failure::new)?)
        }
    };
    if let Some(path) = &plan.outputs.statement {
        files.push((path, statement.to_vec()));
    }
    if let (Some(path), Some(signer)) = (&plan.outputs.detached, &keys.signer) {
        files.push((path, signer.sign(statement)?.armored().into_bytes()));
    }
    if let (Some(path), Some(envelope)) = (&plan.outputs.dsse, &envelope) {
        files.push((path, envelope.clone()));
    }
    let plain = envelope.unwrap_or_else(|| statement.to_vec());
    let attestation = if keys.recipients.is_empty() { plain } else { keys.encrypt(&plain)? };
    // Someone who asks for the parts only doesn't want the whole on the terminal.
    let wants_stdout = files.is_empty();
    let mut outputs = Vec::new();
    if plan.outputs.attestation.is_some() || wants_stdout {
        outputs.push((Output::create(plan.outputs.attestation.as_deref())?, attestation));
    }
    for (path, bytes) in files {
        outputs.push((Output::create(Some(path))?, bytes));
    }
    for (output, bytes) in &mut outputs {
        let written = output.write_all(bytes);
        written.map_err(|error| Failure::io(output.name(), &error))?;
    }
    Output::commit_all(detail.into_iter().chain(outputs.into_iter().map(|(output, _)| output)).collect())
}

/// The detail, encrypted to the same recipients as the attestation.
fn detail(path: &Path, keys: &Keys, mut packed: File) -> Result<Output, Failure> {
    let mut output = Output::create(Some(path))?;
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    packed.seek(SeekFrom::Start(0)).map_err(failed)?;
    if keys.recipients.is_empty() {
        std::io::copy(&mut packed, &mut output).map_err(failed)?;
    } else {
        let recipients: Vec<&Cert> = keys.recipients.iter().collect();
        blubr_envelope::seal(packed, &mut output, &recipients, now())
            .map_err(|error| Failure::new(error).at(path.display()))?;
    }
    Ok(output)
}

/// Prints what an envelope's signature covers.
pub fn pae(args: &cli::Pae) -> Result<Exit, Failure> {
    let (_, opened, _) = args.attestation.open()?.or_trouble()?;
    let (head, payload) = match opened.envelope() {
        Some(envelope) => envelope.pae(),
        None => {
            let bytes = opened.statement_bytes();
            (blubr_envelope::pae_head(PAYLOAD_TYPE, bytes.len()), bytes)
        }
    };
    let mut output = Output::create(None)?;
    let written = output.write_all(head.as_bytes()).and_then(|()| output.write_all(payload));
    written.map_err(|error| Failure::io(output.name(), &error))?;
    output.commit()?;
    Ok(Exit::Done)
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
