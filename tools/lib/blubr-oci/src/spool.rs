//! Large things that can be read but once, kept in a file without a name while they are needed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use blubr_image::Error;

/// Where large temporary files go when nothing else is said (file-hierarchy(7)).
const PLACE: &str = "/var/tmp";
const ATTEMPTS_MAX: u32 = 1000;

/// Copies `source` to its end into a file of mode 0600 that has no name, and rewinds it.
pub(crate) fn spool(source: &mut dyn Read, place: Option<&Path>, what: &str) -> Result<File, Error> {
    let place = place.unwrap_or(Path::new(PLACE));
    let at_place = |error| Error::Io { what: format!("{} (TMPDIR says where)", place.display()), error };
    let mut file = unnamed(place).map_err(at_place)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => file.write_all(&buffer[..read]).map_err(at_place)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io { what: what.to_owned(), error }),
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(at_place)?;
    Ok(file)
}

fn unnamed(place: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..ATTEMPTS_MAX {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!(".blubr-image.{}.{count}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}
