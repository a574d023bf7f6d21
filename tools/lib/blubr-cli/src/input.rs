//! What a tool reads: a file, or standard input.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::unused_name;

/// An input that is open.
#[derive(Debug)]
pub struct Input {
    name: String,
    from: From,
}

#[derive(Debug)]
enum From {
    File(File),
    Stdin(io::Stdin),
}

impl Input {
    /// Opens `path`; `-` or none is standard input.
    ///
    /// # Errors
    /// When it can't be opened, or is a directory.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Input { name: "standard input".to_owned(), from: From::Stdin(io::stdin()) });
        };
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Failure::io(&name, &e))?;
        let kind = file.metadata().map_err(|e| Failure::io(&name, &e))?;
        if kind.is_dir() {
            return Err(Failure::new("is a directory").at(&name).advise("name a file"));
        }
        Ok(Input { name, from: From::File(file) })
    }

    /// What to call it in a diagnostic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it readable more than once: a regular file as it is, anything else by a copy in an
    /// unlinked file of mode 0600 in `$TMPDIR` (or /var/tmp), so that memory does not grow with it.
    ///
    /// # Errors
    /// When the copy can't be made.
    pub fn spool(self) -> Result<Spooled, Failure> {
        let Input { name, from } = self;
        let mut source: Box<dyn Read> = match from {
            From::File(file) => {
                if file.metadata().is_ok_and(|kind| kind.is_file()) {
                    return Ok(Spooled { name, file });
                }
                Box::new(file)
            }
            From::Stdin(stdin) => Box::new(stdin.lock()),
        };
        let (mut file, place) = spool_file()?;
        copy(&mut source, &mut file, &name, &place)?;
        Ok(Spooled { name, file })
    }

    /// Reads the whole, of at most `max` bytes.
    ///
    /// # Errors
    /// When it can't be read, or is longer.
    pub fn read_to_end(mut self, max: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = self.by_ref().take(max.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|e| Failure::io(&self.name, &e))?;
        if bytes.len() as u64 > max {
            return Err(Failure::new(format_args!("is longer than {max} bytes, which this can't be"))
                .at(&self.name));
        }
        Ok(bytes)
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.from {
            From::File(file) => file.read(out),
            From::Stdin(stdin) => stdin.read(out),
        }
    }
}

/// An input that can be read from its start again and again.
pub struct Spooled {
    name: String,
    file: File,
}

impl Spooled {
    /// A file of ours that can be read again and again. `name` is for diagnostics.
    pub fn new(name: String, file: File) -> Self {
        Spooled { name, file }
    }

    /// What to call it in a diagnostic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes, from the start.
    ///
    /// # Errors
    /// When the file can't be rewound.
    pub fn rewind(&mut self) -> Result<&mut File, Failure> {
        self.file.seek(SeekFrom::Start(0)).map_err(|e| Failure::io(&self.name, &e))?;
        Ok(&mut self.file)
    }
}

fn copy(source: &mut dyn Read, file: &mut File, name: &str, place: &Path) -> Result<(), Failure> {
    const CHUNK: usize = 1 << 18;
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => file.write_all(&chunk[..n]).map_err(|e| {
                Failure::io(place.display(), &e).advise("set TMPDIR to a larger file system")
            })?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::io(name, &e)),
        }
    }
}

/// A new file of mode 0600 without a name in `$TMPDIR` (or /var/tmp), and that folder: for what is too long for memory.
///
/// # Errors
/// When it can't be made.
pub fn spool_file() -> Result<(File, PathBuf), Failure> {
    let place = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    match unlinked_file(&place) {
        Ok(file) => Ok((file, place)),
        Err(e) => Err(Failure::io(place.display(), &e).advise("set TMPDIR")),
    }
}

/// A new file of mode 0600 in the folder `place` that has no name any more: it is gone with its last descriptor.
///
/// # Errors
/// When it can't be made there.
pub fn unlinked_file(place: &Path) -> io::Result<File> {
    loop {
        let path = place.join(unused_name(".blubr-spool"));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_missing_file_are_named() {
        let dir = Input::open(Some(Path::new("/"))).err().unwrap();
        assert_eq!(dir.to_string(), "/: is a directory: name a file");
        assert!(Input::open(Some(Path::new("/nonexistent/x"))).is_err());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let input = || Input::open(Some(Path::new("/dev/zero"))).unwrap();
        assert!(input().read_to_end(1000).unwrap_err().to_string().contains("longer than 1000 bytes"));
    }
}
