//! An attestation's file, opened: statement, envelope or encrypted message.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use blubr_attestation::Statement;
use blubr_cli::{Failure, Input};
use blubr_envelope::SecretKey;

use crate::cli::Compare;

/// Bytes of a key file; a key with many identities and signatures has some 100 kB.
const KEY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of a passphrase.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// Opens one. Nothing is verified: that is blubr-attest verify's affair.
///
/// # Errors
/// When it can't be read, isn't an attestation, or is encrypted and no key opens it.
pub fn open(path: &Path, keys: &[SecretKey]) -> Result<Statement, Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let bytes = input.read_to_end(blubr_envelope::FILE_BYTES_MAX as u64)?;
    let opened = blubr_envelope::open(&bytes, keys).map_err(|e| Failure::new(e).at(&name))?;
    drop(bytes);
    let mut statement =
        blubr_attestation::read(&opened.statement_bytes).map_err(|e| Failure::new(e).at(&name))?;
    forget(&mut statement);
    Ok(statement)
}

/// Drops what is never compared, so that two records take little more memory than one.
fn forget(statement: &mut Statement) {
    let predicate = &mut statement.predicate;
    predicate.monitor_log.process = Vec::new();
    predicate.monitor_log.file_access = Vec::new();
    let build = &mut predicate.blubr_build;
    build.unattributed.reads = Vec::new();
    build.candidates.iter_mut().for_each(|c| c.reads = Vec::new());
    for step in &mut build.steps {
        step.reads = Vec::new();
        step.evidence = Vec::new();
    }
}

/// The secret keys that the flags name.
///
/// # Errors
/// When one can't be read, or is locked and there is no passphrase.
pub fn keys(flags: &Compare) -> Result<Vec<SecretKey>, Failure> {
    let mut passphrase = None;
    let mut keys = Vec::with_capacity(flags.key.len());
    for path in &flags.key {
        let input = Input::open(Some(path))?;
        let name = input.name().to_owned();
        let bytes = input.read_to_end(KEY_BYTES_MAX)?;
        let locked = SecretKey::is_locked(&bytes).map_err(|e| Failure::new(e).at(&name))?;
        if locked && passphrase.is_none() {
            passphrase = Some(read_passphrase(flags, &name)?);
        }
        let key = SecretKey::read(&bytes, passphrase.as_deref().filter(|_| locked));
        keys.push(key.map_err(|e| Failure::new(e).at(&name))?);
    }
    Ok(keys)
}

fn read_passphrase(flags: &Compare, key: &str) -> Result<Vec<u8>, Failure> {
    let path = match (&flags.passphrase_file, flags.passphrase_fd) {
        (Some(path), _) => path.clone(),
        (None, Some(fd)) => PathBuf::from(format!("/dev/fd/{fd}")),
        (None, None) => {
            let what = Failure::new("the key is locked").at(key);
            return Err(what.advise("give its passphrase by --passphrase-file or --passphrase-fd"));
        }
    };
    let fail = |e: &std::io::Error| Failure::io(path.display(), e);
    let file = File::open(&path).map_err(|e| fail(&e))?;
    let mut line = Vec::new();
    BufReader::new(file.take(PASSPHRASE_BYTES_MAX))
        .read_until(b'\n', &mut line)
        .map_err(|e| fail(&e))?;
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}
