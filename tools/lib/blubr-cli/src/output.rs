//! What a tool writes: standard output, or a file that is never half written.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Failure, STDOUT};
use crate::owner::give_to_caller;

/// An output. A file appears under its name, whole, when [`Output::commit`] returns; dropped before
/// that, it leaves nothing. Mode 0600; it belongs to the user who called sudo. A device or a pipe is written to as it is.
pub struct Output {
    name: String,
    to: To,
}

enum To {
    Stdout(BufWriter<io::Stdout>),
    Special(BufWriter<File>),
    File(BufWriter<File>, Stage),
}

/// What stands at `path`, opened, where that is a device or a pipe: a file in its place would take it away from everybody
/// (root's `-o /dev/null`). `None` where a file may come.
///
/// # Errors
/// When it can't be opened, or is neither, or a symlink to such: none is followed, and the symlink may be everybody's too.
pub fn special(path: &Path) -> io::Result<Option<File>> {
    let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(None) };
    let refuse = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if there.is_symlink() {
        let to_descriptor = std::fs::read_link(path).is_ok_and(|to| to.starts_with("/proc/self/fd"));
        let to_special = std::fs::metadata(path).is_ok_and(|to| !to.is_file() && !to.is_dir());
        return match to_descriptor || to_special {
            true => refuse(
                "is a symlink to a device, a pipe or a descriptor: name what it leads to, or none",
            ),
            false => Ok(None),
        };
    }
    if there.is_file() || there.is_dir() {
        return Ok(None);
    }
    if !takes_a_stream(there.file_type()) {
        return refuse("is neither a file nor a pipe nor a character device: name another");
    }
    let file =
        OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY).open(path)?;
    // What has come there meanwhile may be anything.
    match takes_a_stream(file.metadata()?.file_type()) {
        true => Ok(Some(file)),
        false => refuse("was replaced while it was opened"),
    }
}

fn takes_a_stream(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_fifo()
}

/// A file on its way: under another name beside the one it will have.
pub struct Stage {
    aside: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Stage {
    /// Makes the file that is to become `path`. Never follows a symlink: the name aside is new, and the
    /// rename replaces whatever stands at `path`.
    ///
    /// # Errors
    /// When the folder is missing or not writable, or `path` is a directory.
    pub fn create(path: &Path) -> io::Result<(File, Stage)> {
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "names no file"));
        };
        loop {
            let mut aside = std::ffi::OsString::from(".");
            aside.push(name);
            aside.push(unused_name(""));
            let aside = path.with_file_name(aside);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
                Ok(file) => {
                    let stage = Stage { aside, path: path.to_owned(), done: false };
                    give_to_caller(&file)?;
                    return Ok((file, stage));
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// When either fails; then nothing is left.
    pub fn commit(mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        std::fs::rename(&self.aside, &self.path)?;
        self.done = true;
        Ok(())
    }
}

/// A file that has its name, as long as it can lose that again.
struct Named {
    path: PathBuf,
    /// What had the name before, where there was something and it could be kept.
    before: Option<PathBuf>,
    had_name: bool,
}

impl Named {
    /// Gives the file its name, and keeps what has that now.
    fn give(mut stage: Stage) -> io::Result<Self> {
        let path = stage.path.clone();
        let had_name = path.symlink_metadata().is_ok();
        let mut aside = stage.aside.clone().into_os_string();
        aside.push(".before");
        let before = PathBuf::from(aside);
        // Some file systems have no further links: then what was there can't come back.
        let kept = had_name && std::fs::hard_link(&path, &before).is_ok();
        let named = Self { path, before: kept.then_some(before), had_name };
        if let Err(error) = std::fs::rename(&stage.aside, &stage.path) {
            named.forget();
            return Err(error);
        }
        stage.done = true;
        Ok(named)
    }

    fn forget(self) {
        if let Some(before) = self.before {
            // It is a further link of what has another name, or of nothing any more.
            let _ = std::fs::remove_file(before);
        }
    }

    /// Puts back what was there.
    fn take_back(self) {
        // There is an error to be told already.
        let _ = match &self.before {
            Some(before) => std::fs::rename(before, &self.path),
            None if self.had_name => Ok(()),
            None => std::fs::remove_file(&self.path),
        };
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.done {
            // Nobody is left to tell; the name says what it was.
            let _ = std::fs::remove_file(&self.aside);
        }
    }
}

impl Output {
    /// Opens `path`; `-` or none is standard output.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn create(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            let to = To::Stdout(BufWriter::with_capacity(1 << 16, io::stdout()));
            return Ok(Output { name: STDOUT.to_owned(), to });
        };
        let name = path.display().to_string();
        if let Some(file) = special(path).map_err(|e| Failure::io(&name, &e))? {
            return Ok(Output { name, to: To::Special(BufWriter::with_capacity(1 << 16, file)) });
        }
        let (file, stage) = Stage::create(path).map_err(|e| Failure::io(&name, &e))?;
        Ok(Output { name, to: To::File(BufWriter::with_capacity(1 << 16, file), stage) })
    }

    /// What to call it in a diagnostic.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends several that belong together: all files have their names in the end, or, where one can't have it, none; what had the
    /// name before is there then.
    ///
    /// # Errors
    /// When one can't be ended.
    pub fn commit_all(outputs: Vec<Self>) -> Result<(), Failure> {
        let mut stages = Vec::new();
        for Self { name, to } in outputs {
            let written = match to {
                To::Stdout(mut out) => out.flush(),
                To::Special(mut out) => out.flush(),
                To::File(out, stage) => {
                    let synced = out.into_inner().map_err(|e| e.into_error());
                    let synced = synced.and_then(|file| file.sync_all());
                    stages.push((name.clone(), stage));
                    synced
                }
            };
            written.map_err(|e| Failure::io(name, &e))?;
        }
        let mut named = Vec::new();
        for (name, stage) in stages {
            match Named::give(stage) {
                Ok(one) => named.push(one),
                Err(error) => {
                    named.into_iter().rev().for_each(Named::take_back);
                    return Err(Failure::io(name, &error));
                }
            }
        }
        named.into_iter().for_each(Named::forget);
        Ok(())
    }

    /// Ends it: everything is written, and a file has its name.
    ///
    /// # Errors
    /// When not everything could be written; then a file is not there.
    pub fn commit(self) -> Result<(), Failure> {
        let name = self.name;
        let done = match self.to {
            To::Stdout(mut out) => out.flush(),
            To::Special(mut out) => out.flush(),
            To::File(out, stage) => match out.into_inner() {
                Ok(file) => stage.commit(&file),
                Err(e) => Err(e.into_error()),
            },
        };
        done.map_err(|e| Failure::io(name, &e))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Stdout(out) => out.write(bytes),
            To::Special(out) => out.write(bytes),
            To::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Stdout(out) => out.flush(),
            To::Special(out) => out.flush(),
            To::File(out, _) => out.flush(),
        }
    }
}

/// `prefix.PID.N`, another at each call; whoever uses it must still create it exclusively.
pub(crate) fn unused_name(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut output = Output::create(Some(&path)).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        std::fs::write(&path, "old").unwrap();
        let mut output = Output::create(Some(&path)).unwrap();
        output.write_all(b"whole").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symlink_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut output = Output::create(Some(&link)).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
        assert_eq!(std::fs::read(&link).unwrap(), b"new");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn several_have_their_names_or_none_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let all = || {
            let mut outputs = Vec::new();
            for name in ["new", "known", "third"] {
                let mut output = Output::create(Some(&path(name))).unwrap();
                output.write_all(name.as_bytes()).unwrap();
                outputs.push(output);
            }
            outputs
        };
        std::fs::write(path("known"), "old").unwrap();
        let outputs = all();
        // Nothing can be renamed to a folder.
        std::fs::create_dir(path("third")).unwrap();
        let failure = Output::commit_all(outputs).unwrap_err();
        assert!(failure.to_string().contains("third"), "{failure}");
        assert!(!path("new").exists());
        assert_eq!(std::fs::read(path("known")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        std::fs::remove_dir(path("third")).unwrap();
        Output::commit_all(all()).unwrap();
        for name in ["new", "known", "third"] {
            assert_eq!(std::fs::read(path(name)).unwrap(), name.as_bytes());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let from = path.clone();
        let reader = std::thread::spawn(move || std::fs::read(from).unwrap());
        let mut output = Output::create(Some(&path)).unwrap();
        output.write_all(b"through").unwrap();
        output.commit().unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_everybody_s_is_not_replaced() {
        // Opened only: a mistake here must not take the device away from the machine.
        assert!(special(Path::new("/dev/null")).unwrap().is_some());
        let dir = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &str| {
            let path = dir.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path
        };
        for path in [link("device", "/dev/null"), link("descriptor", "/proc/self/fd/1")] {
            let failure = Output::create(Some(&path)).err().unwrap();
            assert!(failure.to_string().contains("is a symlink to"), "{failure}");
        }
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(Output::create(Some(&socket)).is_err());
        assert!(special(&dir.path().join("nothing")).unwrap().is_none());
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let failure = Output::create(Some(Path::new("/nonexistent/x"))).err().unwrap();
        assert!(failure.to_string().starts_with("/nonexistent/x: No such file"));
    }
}
