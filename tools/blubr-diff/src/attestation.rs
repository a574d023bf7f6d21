//! An attestation's file, opened: statement, envelope or encrypted message.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use blubr_attestation::Lists;
use blubr_cli::{Failure, Input};
use blubr_envelope::SecretKey;

use crate::cli::Compare;
use crate::detail::Detail;
use crate::record::{Files, Record};

/// Bytes of a key file; a key with many identities and signatures has some 100 kB.
const KEY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of a passphrase.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// The lists of a statement that are compared; the files come one by one.
const COMPARED: Lists = Lists::NETWORK.and(Lists::STEPS).and(Lists::PROGRAMS).and(Lists::UNEXPLAINED);

/// Opens one, with the detail that it names, if that is among `details`. Nothing is verified: that is blubr-attest verify's
/// affair.
///
/// # Errors
/// When it can't be read, isn't an attestation, or is encrypted and no key opens it; when its detail isn't what it says.
pub fn open(path: &Path, keys: &[SecretKey], details: &mut [Detail]) -> Result<Record, Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let opened = blubr_envelope::open(input, keys).map_err(|e| Failure::new(e).at(&name))?;
    let bytes = opened.into_statement_bytes();
    let fail = |e: blubr_attestation::ReadError| Failure::new(e).at(&name);
    let mut statement = blubr_attestation::read_keeping(&bytes, COMPARED).map_err(fail)?;
    let mut files = Files::default();
    if let Some(said) = statement.predicate.blubr_build.detail.clone() {
        let has_files = statement.predicate.blubr_build.files.is_some();
        let mut elsewhere = Some(said.name.clone());
        for detail in details.iter_mut().filter(|detail| detail.sha256() == said.sha256()) {
            if elsewhere.take().is_some() {
                detail.fill(&said, &mut statement, &mut files)?;
            }
        }
        let files = (has_files && elsewhere.is_none()).then_some(files);
        return Ok(Record { statement, files, elsewhere });
    }
    let there = blubr_attestation::each_file(&bytes, |file| files.add(file)).map_err(fail)?;
    Ok(Record { statement, files: there.then_some(files), elsewhere: None })
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
