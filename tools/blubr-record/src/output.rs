//! Where the log goes: standard output, FILE.partial that becomes FILE when it is whole, or one such part after another.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use blubr_cli::{Failure, give_to_caller, special};

use crate::parts::{Keep, Names};

/// The log's file while it is written. A clone is another handle of the same: the writing thread goes on to the next part,
/// the main one ends it.
#[derive(Clone)]
pub struct Output {
    name: String,
    to: Arc<Mutex<To>>,
}

enum To {
    Stdout(File),
    /// A device or a pipe, which stays what it is.
    Special(File),
    File(Staged),
    Parts {
        names: Names,
        number: u64,
        keep: Option<Keep>,
        staged: Staged,
    },
}

/// A file under the name that it has until it is whole.
struct Staged {
    file: File,
    partial: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Makes it. A `.partial` that a killed recorder left is not touched: it is evidence.
    fn create(path: &Path) -> Result<Self, Failure> {
        let partial = partial_of(path);
        Staged::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Failure::new("a recorder has left it, or still writes it")
                .at(partial.display())
                .advise("move it away (readers take it as it is)"),
            _ => Failure::io(partial.display(), &e),
        })
    }

    fn open(path: &Path) -> io::Result<Self> {
        let partial = partial_of(path);
        // O_EXCL follows no symlink.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        give_to_caller(&file)?;
        Ok(Staged { file, partial, path: path.to_owned() })
    }

    fn commit(&self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)
    }
}

fn partial_of(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    PathBuf::from(partial)
}

impl Output {
    /// Opens the output.
    ///
    /// # Errors
    /// When the file can't be made, or a `.partial` stands there.
    pub fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let file = stdout().map_err(|e| Failure::io("standard output", &e))?;
            return Ok(Output::new("standard output".to_owned(), To::Stdout(file)));
        };
        let name = path.display().to_string();
        if path.is_dir() || path.file_name().is_none() {
            return Err(Failure::new("is a directory").at(name).advise("name a file"));
        }
        if let Some(file) = special(path).map_err(|e| Failure::io(&name, &e))? {
            return Ok(Output::new(name, To::Special(file)));
        }
        Ok(Output::new(name, To::File(Staged::create(path)?)))
    }

    /// Opens the first part of a log that is written in parts, behind those that are there.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn create_part(path: &Path, keep: Option<Keep>) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let names = Names::of(path)
            .ok_or_else(|| Failure::new("is a directory").at(&name).advise("name a file"))?;
        let number = names.next_number().map_err(|e| Failure::io(&name, &e))?;
        let staged = Staged::create(&names.part(number))?;
        Ok(Output::new(name, To::Parts { names, number, keep, staged }))
    }

    fn new(name: String, to: To) -> Self {
        Output { name, to: Arc::new(Mutex::new(to)) }
    }

    fn lock(&self) -> MutexGuard<'_, To> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to call it in a diagnostic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the part that is written, where there are parts.
    pub fn part(&self) -> Option<u64> {
        match &*self.lock() {
            To::Parts { number, .. } => Some(*number),
            To::Stdout(_) | To::Special(_) | To::File(_) => None,
        }
    }

    /// The end to write to, for another thread.
    ///
    /// # Errors
    /// When the descriptor can't be duplicated.
    pub fn writer(&self) -> io::Result<File> {
        match &*self.lock() {
            To::Stdout(file) | To::Special(file) => file.try_clone(),
            To::File(staged) | To::Parts { staged, .. } => staged.file.try_clone(),
        }
    }

    /// The part is whole: syncs it and gives it its name. The next has its number from now on.
    ///
    /// # Errors
    /// When either fails.
    pub fn end_part(&self) -> io::Result<()> {
        let mut to = self.lock();
        let To::Parts { number, staged, .. } = &mut *to else { return Err(no_parts()) };
        staged.commit()?;
        *number = number.saturating_add(1);
        Ok(())
    }

    /// Opens the part behind the one that was ended.
    ///
    /// # Errors
    /// When it can't be made: then it can be tried again.
    pub fn begin_part(&self) -> io::Result<File> {
        let mut to = self.lock();
        let To::Parts { names, number, staged, .. } = &mut *to else { return Err(no_parts()) };
        *staged = Staged::open(&names.part(*number))?;
        staged.file.try_clone()
    }

    /// Removes the parts that are not to be kept.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn prune(&self, now: SystemTime) -> io::Result<()> {
        match &*self.lock() {
            To::Parts { names, number, keep: Some(keep), .. } => names.prune(*keep, *number, now),
            _ => Ok(()),
        }
    }

    /// Removes the file again: nothing was recorded.
    pub fn discard(self) {
        if let To::File(staged) | To::Parts { staged, .. } = &*self.lock() {
            // The failure that leads here is what will be told.
            let _ = std::fs::remove_file(&staged.partial);
        }
    }

    /// The log is whole: syncs it and gives it its name.
    ///
    /// # Errors
    /// When either fails.
    pub fn commit(self) -> io::Result<()> {
        match &*self.lock() {
            To::Stdout(_) | To::Special(_) => Ok(()),
            To::File(staged) | To::Parts { staged, .. } => staged.commit(),
        }
    }
}

fn no_parts() -> io::Error {
    io::Error::other("this log has no parts")
}

/// Standard output without the lines' buffer of std.
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_partial_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let partial = dir.path().join("log.partial");
        let output = Output::create(Some(&path)).unwrap();
        output.writer().unwrap().write_all(b"x").unwrap();
        assert_eq!(std::fs::metadata(&partial).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Output::create(Some(&path)).is_err(), "another recorder writes it");
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert!(!partial.exists());
    }

    #[test]
    fn a_symlink_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::os::unix::fs::symlink(&target, dir.path().join("log.partial")).unwrap();
        assert!(Output::create(Some(&dir.path().join("log"))).is_err());
        assert!(!target.exists());
    }

    #[test]
    fn a_device_is_written_to_and_stays_one() {
        let output = Output::create(Some(Path::new("/dev/null"))).unwrap();
        assert!(matches!(&*output.lock(), To::Special(_)));
        output.writer().unwrap().write_all(b"x").unwrap();
        output.commit().unwrap();
    }

    #[test]
    fn parts_follow_those_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let there = |name: &str| dir.path().join(name).exists();
        std::fs::write(dir.path().join("log.000006"), "earlier").unwrap();
        std::fs::write(dir.path().join("log.000007.partial"), "killed").unwrap();
        let output = Output::create_part(&dir.path().join("log"), Some(Keep::Bytes(9))).unwrap();
        assert_eq!(output.part(), Some(8));
        output.writer().unwrap().write_all(b"eight").unwrap();
        output.end_part().unwrap();
        assert!(there("log.000008") && !there("log.000009.partial"));
        output.begin_part().unwrap().write_all(b"nine").unwrap();
        assert!(there("log.000008") && there("log.000009.partial") && there("log.000006"));
        output.prune(SystemTime::now()).unwrap();
        assert!(there("log.000008") && !there("log.000006") && !there("log.000007.partial"));
        output.commit().unwrap();
        assert_eq!(std::fs::read(dir.path().join("log.000009")).unwrap(), b"nine");
        assert!(!there("log.000009.partial"));
    }
}
