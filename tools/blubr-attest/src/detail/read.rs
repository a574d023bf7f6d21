//! The file with a statement's tables, opened: decrypted where it is encrypted, its sum held against the statement's.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;

use blubr_attestation::Statement;
use blubr_attestation::detail::{Detail as Said, FILE_BYTES_MAX, HEAD_BYTES, ReadError, Reader, Record};
use blubr_cli::{Failure, Input, Spooled, spool_file};
use blubr_envelope::Kind;
use blubr_log::Plain;
use sha2::{Digest as _, Sha256};

use crate::context::hex;
use crate::opened::Opener;

/// A detail file.
pub struct Detail {
    file: Spooled,
    sha256: String,
}

impl Detail {
    /// Opens the file in `path` with what opened the attestation.
    pub fn open(path: &Path, opener: &Opener) -> Result<Self, Failure> {
        let mut file = Input::open(Some(path))?.spool()?;
        let name = file.name().to_owned();
        let mut head = Vec::new();
        let read = file.rewind()?.take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(|error| Failure::io(&name, &error))?;
        if Kind::detect(&head) == Ok(Kind::Message) {
            file = decrypted(file, &name, opener)?;
        }
        let sha256 = sum(file.rewind()?).map_err(|error| Failure::io(&name, &error))?;
        Ok(Self { file, sha256 })
    }

    /// Its name, for diagnostics.
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// The sum of its bytes; of an encrypted one, of the bytes within.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Gives away every record, and checks that they are what the statement says, which must have been read with its steps.
    pub fn each(
        &mut self,
        said: &Said,
        statement: &mut Statement,
        mut take: impl FnMut(Record, &mut Statement) -> Result<(), ReadError>,
    ) -> Result<(), Failed> {
        let input = BufReader::new(Plain::new(self.file.rewind()?).map_err(ReadError::Io)?);
        let mut reader = Reader::new(input, said, statement)?;
        while let Some(record) = reader.next_record()? {
            take(record, statement)?;
        }
        Ok(())
    }

    /// The same for readers that can't go on without: the file in `path` must be the one that the statement names.
    pub fn each_of(
        path: &Path,
        opener: &Opener,
        statement: &mut Statement,
        take: impl FnMut(Record, &mut Statement) -> Result<(), ReadError>,
    ) -> Result<(), Failure> {
        let mut file = Self::open(path, opener)?;
        let Some(said) = statement.predicate.blubr_build.detail.clone() else {
            return Err(Failure::new("the statement names no detail file: it has its tables itself")
                .at(file.name())
                .advise("leave --detail away"));
        };
        if file.sha256() != said.sha256() {
            let what = format_args!(
                "is not the detail that the statement names: it has sha256 {}, that has {}",
                file.sha256(),
                said.sha256()
            );
            return Err(Failure::new(what).at(file.name()));
        }
        let name = file.name().to_owned();
        file.each(&said, statement, take).map_err(|failed| failed.trouble(&name))
    }
}

/// Why a detail file doesn't serve.
pub enum Failed {
    /// It is not what it should be.
    Content(ReadError),
    /// It can't be read.
    Trouble(Failure),
}

impl Failed {
    /// As trouble of a file.
    pub fn trouble(self, name: &str) -> Failure {
        match self {
            Self::Content(error) => Failure::new(error).at(name),
            Self::Trouble(failure) => failure,
        }
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Content(error)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Trouble(failure)
    }
}

/// The sum of what is left to read.
fn sum(file: &mut File) -> std::io::Result<String> {
    /// Bytes read at a time.
    const CHUNK_BYTES: usize = 1 << 17;
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&sum.finalize())),
            got => sum.update(chunk.get(..got).unwrap_or_default()),
        }
    }
}

fn decrypted(mut file: Spooled, name: &str, opener: &Opener) -> Result<Spooled, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(what).at(name);
    let (mut to, place) = spool_file()?;
    let from = file.rewind()?;
    match opener {
        Opener::Keys(keys) => {
            blubr_envelope::unseal(BufReader::new(&*from), &mut to, keys, FILE_BYTES_MAX)
                .map_err(|error| failed(&error))?
        }
        Opener::Gpg(passphrase) => {
            let mut bytes = Vec::new();
            let most = blubr_envelope::FILE_BYTES_MAX as u64;
            from.take(most + 1).read_to_end(&mut bytes).map_err(|error| Failure::io(name, &error))?;
            if bytes.len() as u64 > most {
                let what = "is too long to be handed to gpg in one piece";
                return Err(
                    failed(&what).advise("decrypt it by gpg --decrypt, and name what that writes")
                );
            }
            let inside = blubr_envelope::gpg::decrypt(&bytes, passphrase.as_deref());
            to.write_all(&inside.map_err(|error| failed(&error))?)
                .map_err(|error| Failure::io(place.display(), &error))?;
        }
    }
    Ok(Spooled::new(name.to_owned(), to))
}
