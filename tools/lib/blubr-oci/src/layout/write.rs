//! Writing into a layout: blobs aside and renamed, index.json under a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use blubr_image::manifest::{Descriptor, MANIFEST_BYTES_MAX};
use blubr_image::{Digest, Error, Hasher};
use serde_json::Value;

use super::Layout;
use crate::{files, index};

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const BUFFER_BYTES: usize = 1 << 18;

impl Layout {
    /// Opens the layout in `dir`, and makes one there first when the folder is missing or empty.
    pub fn open_or_create(dir: &Path) -> Result<Layout, Error> {
        let at = |path: &Path| {
            let what = path.display().to_string();
            move |error| Error::Io { what, error }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let is_new = fs::read_dir(dir).map_err(at(dir))?.next().is_none();
        if is_new {
            fs::create_dir_all(dir.join("blobs/sha256")).map_err(at(dir))?;
            replace(&dir.join("index.json"), &index::write(&index::empty())?)?;
            // Last, for it is what makes the folder a layout.
            replace(&dir.join("oci-layout"), MARKER)?;
        }
        drop(lock);
        Layout::open(dir)
    }

    /// Stores a blob whose bytes come from `source`; fails, and stores nothing, when they aren't
    /// those of `digest`. Gives the size in bytes.
    pub fn put_stream(&self, digest: &Digest, source: &mut dyn Read, what: &str) -> Result<u64, Error> {
        let path = self.blob_path(digest);
        let at_path = |error| Error::Io { what: path.display().to_string(), error };
        let folder = path.parent().unwrap_or(&self.dir);
        // Root may write into a layout that somebody else made: not through a link that leads out of it.
        for place in [&self.dir.join("blobs"), folder] {
            if place.symlink_metadata().is_ok_and(|about| about.is_symlink()) {
                let place = place.display();
                return Err(Error::Source(format!(
                    "{place}: a symlink, through which no blob is written"
                )));
            }
        }
        fs::create_dir_all(folder).map_err(at_path)?;
        let mut aside = Aside::create(&path).map_err(at_path)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0;
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Io { what: what.to_owned(), error }),
            };
            hasher.update(&buffer[..read]);
            aside.file.write_all(&buffer[..read]).map_err(at_path)?;
            size += read as u64;
        }
        let found = hasher.finish();
        if found != *digest {
            let (expected, found) = (digest.to_string(), found.to_string());
            return Err(Error::WrongDigest { what: what.to_owned(), expected, found });
        }
        aside.rename(&path).map_err(at_path)?;
        Ok(size)
    }

    /// Changes index.json under a lock that other writers of this kind wait for; readers see the old or the new one.
    pub(crate) fn change_index(
        &self,
        change: impl FnOnce(&mut Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let lock = lock(&self.dir)?;
        let path = self.dir.join("index.json");
        let mut current = index::parse(&files::read_regular(&path, MANIFEST_BYTES_MAX)?)?;
        let before = current.clone();
        change(&mut current)?;
        if current != before {
            replace(&path, &index::write(&current)?)?;
        }
        drop(lock);
        Ok(())
    }

    /// Gives the manifest `entry` the name `tag`, and takes it from whichever has it.
    pub fn tag(&self, entry: &Descriptor, tag: Option<&str>) -> Result<(), Error> {
        let mut entry = entry.clone();
        self.change_index(|current| {
            index::remove_unnamed(current, &entry.digest);
            if let Some(tag) = tag {
                index::remove_tag(current, tag);
                entry.annotations.insert(crate::names::REF_NAME.to_owned(), tag.to_owned());
            }
            index::add(current, &entry)
        })
    }
}

/// Held while the layout in `dir` is changed; the file system ends it with the process.
fn lock(dir: &Path) -> Result<File, Error> {
    let io = |error| Error::Io { what: dir.display().to_string(), error };
    let folder = File::open(dir).map_err(io)?;
    folder.lock().map_err(io)?;
    Ok(folder)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut aside = Aside::create(path)?;
        aside.file.write_all(bytes)?;
        aside.rename(path)
    };
    write().map_err(|error| Error::Io { what: path.display().to_string(), error })
}

/// A file beside the one that it becomes; dropped before that, it goes away.
struct Aside {
    file: File,
    path: Option<PathBuf>,
}

impl Aside {
    fn create(beside: &Path) -> io::Result<Aside> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        const ATTEMPTS_MAX: u32 = 1000;
        for _ in 0..ATTEMPTS_MAX {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = beside.with_file_name(format!(".blubr.{}.{count}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Aside { file, path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(path) = &self.path else { return Ok(()) };
        fs::rename(path, to)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
