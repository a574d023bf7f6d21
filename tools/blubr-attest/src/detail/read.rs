//! The file with a statement's tables, opened: decrypted where it is encrypted, its sum held against the statement's.

use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;

use blubr_attestation::Statement;
use blubr_attestation::detail::{Detail as Said, FILE_BYTES_MAX, HEAD_BYTES, ReadError, Reader, Record};
use blubr_cli::{Failure, Input, Spooled, spool_file};
use blubr_envelope::Kind;
use blubr_log::{Plain, Summed};

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
        let sha256 = Summed::new(file.rewind()?).of_all().map_err(|error| Failure::io(&name, &error))?;
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
        let mut file = Summed::new(self.file.rewind()?);
        let input = BufReader::new(Plain::new(&mut file).map_err(ReadError::Io)?);
        let mut reader = Reader::new(input, said, statement)?;
        while let Some(record) = reader.next_record()? {
            take(record, statement)?;
        }
        drop(reader);
        // What was looked at must be what was summed: someone may write to the file meanwhile.
        if file.of_all().map_err(ReadError::Io)? != self.sha256 {
            return Err(ReadError::Changed(self.sha256.clone()).into());
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

#[cfg(test)]
mod tests {
    use blubr_attestation::build::File as Listed;
    use blubr_attestation::detail::each_line;
    use blubr_attestation::{PREDICATE_TYPE, STATEMENT_TYPE};

    use super::*;

    /// A statement that lists these files.
    fn statement(files: &[&str]) -> Statement {
        let text = serde_json::json!({
            "_type": STATEMENT_TYPE, "subject": [], "predicateType": PREDICATE_TYPE,
            "predicate": {
                "monitor": {"type": "m"}, "monitorLog": {}, "metadata": {},
                "monitoredProcess": {"hostID": "h", "type": "t", "event": "e"},
                "blubr_build": serde_json::to_value(blubr_attestation::BlubrBuild::default()).unwrap(),
            },
        });
        let mut statement: Statement = serde_json::from_value(text).unwrap();
        let listed = |path: &&str| Listed { path: Some((*path).to_owned()), ..Listed::default() };
        statement.predicate.blubr_build.files = Some(files.iter().map(listed).collect());
        statement
    }

    /// Its detail, not compressed.
    fn detail(statement: &Statement) -> Vec<u8> {
        let mut lines = Vec::new();
        each_line(statement, |line| writeln!(lines, "{line}")).unwrap();
        lines
    }

    /// Reads the file in `path`, which has changed to `now` since it was opened, against the statement of `files`.
    fn read(path: &Path, now: Option<&[u8]>, files: &[&str]) -> Result<usize, String> {
        let mut said = statement(files);
        let names = Said::of(&said, "d".to_owned());
        said.predicate.blubr_build.files = Some(Vec::new());
        let mut opened = Detail::open(path, &Opener::Keys(Vec::new())).map_err(|e| e.to_string())?;
        if let Some(now) = now {
            std::fs::write(path, now).unwrap();
        }
        let mut count = 0;
        let read = opened.each(&names, &mut said, |_, _| {
            count += 1;
            Ok(())
        });
        read.map(|()| count).map_err(|failed| failed.trouble("d").to_string())
    }

    #[test]
    fn what_is_read_is_what_was_summed_and_no_more_than_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        let (one, other) = (detail(&statement(&["/a", "/b"])), detail(&statement(&["/a", "/c"])));
        std::fs::write(&path, &one).unwrap();
        assert_eq!(read(&path, None, &["/a", "/b"]), Ok(2));
        let said = read(&path, Some(&other), &["/a", "/b"]).unwrap_err();
        assert!(said.contains("changed while it was read"), "{said}");
        // The rest is not even looked at.
        let more = [&one[..], b"no record\n"].concat();
        std::fs::write(&path, &more).unwrap();
        let said = read(&path, None, &["/a"]).unwrap_err();
        assert!(said.contains("line 3 is one more than the 1 records of the table files"), "{said}");
    }
}
