//! Reading files that somebody else wrote: bounded, and checked against their digests.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use blubr_image::{Digest, Error, Hasher};

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let what = || path.display().to_string();
    let file = File::open(path).map_err(|error| Error::Io { what: what(), error })?;
    read_bounded(file, limit).map_err(|error| Error::Io { what: what(), error })
}

/// Reads a file of a layout. Whoever made it may have put a pipe or a device there, which would never end.
pub(crate) fn read_regular(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    must_be_regular(path)?;
    read(path, limit)
}

/// An error for what exists and is no regular file.
pub(crate) fn must_be_regular(path: &Path) -> Result<(), Error> {
    match path.metadata() {
        Ok(about) if !about.is_file() => {
            Err(Error::Source(format!("{}: this is no regular file", path.display())))
        }
        _ => Ok(()),
    }
}

/// Reads to the end, at most `limit` bytes.
pub(crate) fn read_bounded(inner: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    inner.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let reason = format!("larger than the {limit} bytes that are accepted");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(bytes)
}

/// Bytes that must have a digest.
pub(crate) fn checked(bytes: Vec<u8>, digest: &Digest, what: &str) -> Result<Vec<u8>, Error> {
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(&bytes);
    let found = hasher.finish();
    if found == *digest {
        return Ok(bytes);
    }
    Err(Error::WrongDigest {
        what: what.to_owned(),
        expected: digest.to_string(),
        found: found.to_string(),
    })
}

/// A reader that fails at its end when what it gave isn't what it should have been.
pub(crate) struct Checked<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    left: u64,
}

impl<R: Read> Checked<R> {
    /// `inner` must have `size` bytes, and the digest `expected`.
    pub fn new(inner: R, expected: &Digest, size: u64) -> Checked<R> {
        Checked {
            inner,
            hasher: Some(Hasher::new(expected.algorithm())),
            expected: expected.clone(),
            left: size,
        }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let read = self.inner.read(buffer)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else {
            return Ok(0);
        };
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            wrong(format!("the blob {} is longer than its descriptor says", self.expected))
        })?;
        hasher.update(&buffer[..read]);
        if read == 0 {
            let found = self.hasher.take().map(Hasher::finish);
            if self.left > 0 {
                return Err(wrong(format!(
                    "the blob {} is cut: {} bytes are missing",
                    self.expected, self.left
                )));
            }
            if found.as_ref() != Some(&self.expected) {
                return Err(wrong(format!(
                    "the blob {} was altered: it has another digest",
                    self.expected
                )));
            }
        }
        Ok(read)
    }
}
