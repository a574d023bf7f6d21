//! `--checkpoints-to`: each checkpoint once more, in a file or a pipe that whoever rewrites the log does not reach.

#![expect(unsafe_code, reason = "a descriptor that was handed to us by number")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use blubr_cli::{Failure, give_to_caller};

use crate::queue::Tell;

/// Where checkpoints are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// A descriptor that was open when the recorder began.
    Fd(RawFd),
    /// A new file, or a FIFO.
    File(PathBuf),
}

/// The other end.
pub struct Copies {
    name: String,
    file: File,
}

impl Copies {
    /// Opens it. To be called before the recorded command is made: it must not inherit the descriptor.
    ///
    /// # Errors
    /// When it can't be opened, or is a file that holds something.
    pub fn open(to: &To) -> Result<Self, Failure> {
        match to {
            To::Fd(fd) => {
                let name = format!("descriptor {fd}");
                let file = take(*fd).map_err(|e| Failure::io(&name, &e))?;
                Ok(Copies { name, file })
            }
            To::File(path) => {
                let name = path.display().to_string();
                Ok(Copies { file: open(path, &name)?, name })
            }
        }
    }

    /// Copies a checkpoint's line.
    ///
    /// # Errors
    /// What the other end returns.
    pub fn copy(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)
    }

    /// Says that no more will be copied.
    pub fn gave_up(&self, error: &io::Error, tell: &Tell) {
        tell(&format!("{}: {error}: checkpoints are no longer copied", self.name));
    }
}

fn open(path: &Path, name: &str) -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::io(name, &e);
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give_to_caller(&file).map_err(failed)?;
            Ok(file)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_file() && metadata.len() > 0 {
                let what = "holds something already, perhaps the checkpoints of another log";
                return Err(Failure::new(what).at(name).advise("name a new file"));
            }
            Ok(file)
        }
        Err(e) => Err(failed(e)),
    }
}

/// Our own copy of a descriptor; neither goes on to the command.
fn take(fd: RawFd) -> io::Result<File> {
    // SAFETY: plain calls on a number; one that is no descriptor is an error.
    let copy = unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1)
    };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and is nobody else's.
    Ok(unsafe { File::from_raw_fd(copy) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_file_that_holds_something_and_a_symlink_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old, link) = (dir.path().join("new"), dir.path().join("old"), dir.path().join("link"));
        Copies::open(&To::File(new.clone())).unwrap().copy(b"x\n").unwrap();
        assert_eq!(std::fs::read(&new).unwrap(), b"x\n");
        std::fs::write(&old, "other").unwrap();
        std::os::unix::fs::symlink(dir.path().join("target"), &link).unwrap();
        for path in [old, link, dir.path().to_owned()] {
            assert!(Copies::open(&To::File(path.clone())).is_err(), "{}", path.display());
        }
        assert!(!dir.path().join("target").exists());
    }

    #[test]
    fn a_descriptor_is_taken_and_one_that_is_not_open_refused() {
        let file = tempfile::tempfile().unwrap();
        Copies::open(&To::Fd(file.as_raw_fd())).unwrap().copy(b"y").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1);
        assert!(Copies::open(&To::Fd(9999)).is_err());
    }
}
