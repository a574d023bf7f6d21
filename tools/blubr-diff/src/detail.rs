//! The files that have attestations' tables: told by their sha256, decrypted where they are encrypted.

use std::io::{self, BufReader, Read as _};
use std::path::Path;

use blubr_attestation::Statement;
use blubr_attestation::detail::{
    Detail as Said, Entry, FILE_BYTES_MAX, Filler, HEAD_BYTES, List, ReadError, Reader, Table,
};
use blubr_cli::{Failure, Input, Spooled, spool_file};
use blubr_envelope::{Kind, SecretKey};
use blubr_log::{Plain, Summed};

use crate::record::Files;

/// The tables that are compared, besides the files.
const COMPARED: [Table; 7] = [
    Table::Network,
    Table::Steps(List::Processes),
    Table::Steps(List::Writes),
    Table::Candidates(List::Processes),
    Table::Candidates(List::Writes),
    Table::Unattributed(List::Processes),
    Table::Unattributed(List::Writes),
];

/// A detail file.
pub struct Detail {
    file: Spooled,
    sha256: String,
    used: bool,
}

impl Detail {
    /// Opens one.
    ///
    /// # Errors
    /// When it can't be read, or is encrypted and no key opens it.
    pub fn open(path: &Path, keys: &[SecretKey]) -> Result<Self, Failure> {
        let mut file = Input::open(Some(path))?.spool()?;
        let name = file.name().to_owned();
        let failed = |error: io::Error| Failure::io(&name, &error);
        let mut head = Vec::new();
        file.rewind()?.take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        if Kind::detect(&head) == Ok(Kind::Message) {
            let (mut inside, _) = spool_file()?;
            let from = BufReader::new(&*file.rewind()?);
            let opened = blubr_envelope::unseal(from, &mut inside, keys, FILE_BYTES_MAX);
            opened.map_err(|error| Failure::new(error).at(&name))?;
            file = Spooled::new(name.clone(), inside);
        }
        let sha256 = Summed::new(file.rewind()?).of_all().map_err(failed)?;
        Ok(Self { file, sha256, used: false })
    }

    /// The sum of its bytes; of an encrypted one, of the bytes within.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The file must be of one of the attestations.
    ///
    /// # Errors
    /// When none of them took it.
    pub fn was_used(&self) -> Result<(), Failure> {
        if self.used {
            return Ok(());
        }
        let what = format_args!("no attestation names a detail of sha256 {}", self.sha256);
        Err(Failure::new(what).at(self.file.name()))
    }

    /// Puts what is compared into the statement that names this file, and the files of the layers apart.
    ///
    /// # Errors
    /// When it doesn't hold what the statement says.
    pub fn fill(
        &mut self,
        said: &Said,
        statement: &mut Statement,
        files: &mut Files,
    ) -> Result<(), Failure> {
        self.used = true;
        let name = self.file.name().to_owned();
        let mut from = Summed::new(self.file.rewind()?);
        let input = BufReader::new(Plain::new(&mut from).map_err(|e| Failure::io(&name, &e))?);
        let fail = |error: ReadError| Failure::new(error).at(&name);
        let mut reader = Reader::new(input, said, statement).map_err(fail)?;
        let (mut filler, mut of_files) = (Filler::default(), Filler::default());
        while let Some(record) = reader.next_record().map_err(fail)? {
            if matches!(record.entry, Entry::File(_)) {
                of_files.charge(&record).map_err(fail)?;
            }
            match record.entry {
                Entry::File(file) => files.add(*file),
                _ if COMPARED.contains(&record.table) => {
                    filler.put(record, statement).map_err(fail)?;
                }
                _ => {}
            }
        }
        drop(reader);
        // What was looked at must be what was summed: someone may write to the file meanwhile.
        if from.of_all().map_err(|e| Failure::io(&name, &e))? != self.sha256 {
            return Err(fail(ReadError::Changed(self.sha256.clone())));
        }
        Ok(())
    }
}
