//! A statement parted in two: what stays, and the file that it names. Secrets are taken out of both as out of one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use blubr_attestation::build::Redactions;
use blubr_attestation::detail::{Detail, WriteError, each_line};
use blubr_attestation::{Statement, canonical};
use blubr_cli::{Failure, spool_file};
use blubr_log::{Compressed, Summed};

use crate::redact::{Secrets, Taken};

/// A statement without its long tables.
pub struct Parted {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The same, read back.
    pub statement: Statement,
    /// The file with the tables, compressed; it has no name yet.
    pub packed: File,
}

/// Parts a statement. `path` is where the tables will go.
pub fn part(mut statement: Statement, path: &Path) -> Result<Parted, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let detail = Detail::of(&statement, name);
    statement.predicate.blubr_build.detail = Some(detail);
    let rest = text(&statement)?;
    let mut secrets = Secrets::default();
    secrets.learn_from(&rest);
    let learnt = each_line(&statement, |line| {
        secrets.learn_from(line);
        Ok(())
    });
    learnt.map_err(Failure::new)?;
    secrets.close();
    let mut taken = Taken::default();
    let (packed, sha256) = pack(&statement, &secrets, &mut taken)?;
    drop(statement);
    let rest = secrets.rewrite(&rest, &mut taken);
    let mut statement = canonical::read(rest.as_bytes()).map_err(Failure::new)?;
    let build = &mut statement.predicate.blubr_build;
    build.redactions = Redactions { count: taken.count(), kinds: taken.kinds };
    if let Some(detail) = &mut build.detail {
        detail.digest.insert("sha256".to_owned(), sha256);
    }
    let bytes = canonical::write(&statement).map_err(Failure::new)?;
    Ok(Parted { bytes, statement, packed })
}

fn text(statement: &Statement) -> Result<String, Failure> {
    let bytes = canonical::write(statement).map_err(Failure::new)?;
    String::from_utf8(bytes).map_err(Failure::new)
}

/// Writes the tables into a file without a name: one zstd frame, so that the same records give the same bytes.
fn pack(statement: &Statement, secrets: &Secrets, taken: &mut Taken) -> Result<(File, String), Failure> {
    let (file, place) = spool_file()?;
    let failed = |error: io::Error| Failure::io(place.display(), &error);
    let mut out = Compressed::new(Summed::new(file)).map_err(failed)?;
    let written = each_line(statement, |line| {
        let mut line = secrets.rewrite(line, taken);
        line.push('\n');
        out.write_all(line.as_bytes())
    });
    written.map_err(|error| match error {
        WriteError::Io(error) => failed(error),
        other => Failure::new(other),
    })?;
    Ok(out.finish().map_err(failed)?.end())
}
