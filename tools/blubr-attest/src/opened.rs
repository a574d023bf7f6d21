//! Reading an attestation's file: whatever of the three kinds it is, and with whatever keys.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use blubr_attestation::{Lists, Statement};
use blubr_cli::{Failure, Input};
use blubr_envelope::cert::KEY_FILE_BYTES_MAX;
use blubr_envelope::gpg::GpgError;
use blubr_envelope::{Cert, FILE_BYTES_MAX, Kind, OpenError, Opened, SecretKey};

use crate::cli::{Attestation, Passphrase};

/// The file as it is.
pub fn read(path: &Path, max: usize) -> Result<(Vec<u8>, String), Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let bytes = input.read_to_end(u64::try_from(max).unwrap_or(u64::MAX))?;
    Ok((bytes, name))
}

/// An attestation's file, opened.
pub struct File {
    /// Its name, for diagnostics.
    pub name: String,
    /// What was in it, or why it can't be opened.
    pub opened: Result<Opened, OpenError>,
    /// What opens other files that belong to it.
    pub opener: Opener,
}

/// What opens encrypted files. Passphrases are read once: a descriptor gives them only once.
pub enum Opener {
    /// Secret keys; there may be none.
    Keys(Vec<SecretKey>),
    /// gpg, with a passphrase where one was given.
    Gpg(Option<Vec<u8>>),
}

impl Attestation {
    /// Reads the file and takes off what is around the statement.
    pub fn open(&self) -> Result<File, Failure> {
        if self.gpg {
            return self.open_by_gpg();
        }
        let input = Input::open(Some(&self.file))?;
        let name = input.name().to_owned();
        let keys = self.keys()?;
        let opened = blubr_envelope::open(input, &keys);
        Ok(File { name, opened, opener: Opener::Keys(keys) })
    }

    fn open_by_gpg(&self) -> Result<File, Failure> {
        let (bytes, name) = read(&self.file, FILE_BYTES_MAX)?;
        let passphrase = self.passphrase.get(None)?;
        if Kind::detect(&bytes) != Ok(Kind::Message) {
            let opened = blubr_envelope::open(Cursor::new(bytes), &[]);
            return Ok(File { name, opened, opener: Opener::Gpg(passphrase) });
        }
        let inside = blubr_envelope::gpg::decrypt(&bytes, passphrase.as_deref());
        drop(bytes);
        let opened = match inside {
            Ok(inside) => blubr_envelope::open::opened_message(inside, Vec::new()),
            Err(GpgError::File(error)) => Err(error),
            Err(error) => return Err(Failure::new(error).at(&name)),
        };
        Ok(File { name, opened, opener: Opener::Gpg(passphrase) })
    }

    fn keys(&self) -> Result<Vec<SecretKey>, Failure> {
        self.key.iter().map(|path| secret_key(path, &self.passphrase)).collect()
    }
}

impl File {
    /// What was in it; or trouble.
    pub fn or_trouble(self) -> Result<(String, Opened, Opener), Failure> {
        match self.opened {
            Ok(opened) => Ok((self.name, opened, self.opener)),
            Err(error) => Err(Failure::new(error).at(self.name)),
        }
    }
}

/// The statement within, parsed, with these of its lists.
pub fn statement(name: &str, opened: &Opened, lists: Lists) -> Result<Statement, Failure> {
    let read = blubr_attestation::read_keeping(opened.statement_bytes(), lists);
    read.map_err(|error| Failure::new(error).at(name))
}

/// The secret key in a file; its passphrase is asked for on the terminal when nothing else gives it.
pub fn secret_key(path: &Path, passphrase: &Passphrase) -> Result<SecretKey, Failure> {
    let (bytes, name) = read(path, KEY_FILE_BYTES_MAX)?;
    let failed = |error| Failure::new(error).at(&name);
    let locked = SecretKey::is_locked(&bytes).map_err(failed)?;
    let secret = if locked { passphrase.get(Some(&format!("Passphrase of {name}")))? } else { None };
    SecretKey::read(&bytes, secret.as_deref()).map_err(failed)
}

/// The certificates in files.
pub fn certs(paths: &[PathBuf]) -> Result<Vec<Cert>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let (bytes, name) = read(path, KEY_FILE_BYTES_MAX)?;
        all.extend(Cert::read_all(&bytes).map_err(|error| Failure::new(error).at(&name))?);
    }
    Ok(all)
}

/// The one certificate in a file.
pub fn cert(path: &Path) -> Result<Cert, Failure> {
    let (bytes, name) = read(path, KEY_FILE_BYTES_MAX)?;
    Cert::read_one(&bytes).map_err(|error| Failure::new(error).at(&name))
}
