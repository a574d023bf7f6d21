//! Where the log goes: standard output, or FILE.partial that becomes FILE when it is whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use blubr_cli::{Failure, give_to_caller};

/// The log's file while it is written.
pub struct Output {
    name: String,
    to: To,
}

enum To {
    Stdout(File),
    File { file: File, partial: PathBuf, path: PathBuf },
}

impl Output {
    /// Opens the output. A `.partial` that a killed recorder left is not touched: it is evidence.
    ///
    /// # Errors
    /// When the file can't be made, or a `.partial` stands there.
    pub fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let file = stdout().map_err(|e| Failure::io("standard output", &e))?;
            return Ok(Output { name: "standard output".to_owned(), to: To::Stdout(file) });
        };
        let name = path.display().to_string();
        if path.is_dir() || path.file_name().is_none() {
            return Err(Failure::new("is a directory").at(name).advise("name a file"));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // O_EXCL follows no symlink.
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = opened.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Failure::new("a recorder has left it, or still writes it")
                .at(partial.display())
                .advise("move it away (readers take it as it is)"),
            _ => Failure::io(partial.display(), &e),
        })?;
        give_to_caller(&file).map_err(|e| Failure::io(partial.display(), &e))?;
        Ok(Output { name, to: To::File { file, partial, path: path.to_owned() } })
    }

    /// What to call it in a diagnostic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The end to write to, for another thread.
    ///
    /// # Errors
    /// When the descriptor can't be duplicated.
    pub fn writer(&self) -> io::Result<File> {
        match &self.to {
            To::Stdout(file) | To::File { file, .. } => file.try_clone(),
        }
    }

    /// Removes the file again: nothing was recorded.
    pub fn discard(self) {
        if let To::File { partial, .. } = self.to {
            // The failure that leads here is what will be told.
            let _ = std::fs::remove_file(partial);
        }
    }

    /// The log is whole: syncs it and gives it its name.
    ///
    /// # Errors
    /// When either fails.
    pub fn commit(self) -> io::Result<()> {
        match self.to {
            To::Stdout(_) => Ok(()),
            To::File { file, partial, path } => {
                file.sync_all()?;
                std::fs::rename(partial, path)
            }
        }
    }
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
}
