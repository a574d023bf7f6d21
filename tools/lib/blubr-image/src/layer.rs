//! A layer's entries, one by one: what each adds, replaces or removes (OCI image-spec, layer.md).

mod decompress;
mod whiteout;

use std::collections::BTreeMap;
use std::io::Read;

use sha2::Digest as _;

use crate::tar::normalise;
use crate::tar::{self, Member, Mtime};
use crate::{Digest, Error, Hasher};
pub use decompress::Decompressed;
use whiteout::Mark;

/// What one tar member does to the tree below it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The path from the root, without a slash at either end, `.` and `..` resolved by name as engines do; empty for
    /// the root itself. Of a whiteout the path that it removes, of an opaque one the directory whose lower entries
    /// it hides.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Bytes of content, holes included; 0 for all but files.
    pub size: u64,
    /// When it was modified.
    pub mtime: Mtime,
    /// A symlink's target as written, or a hardlink's, normalised like `path`.
    pub link: Option<Vec<u8>>,
    /// Extended attributes, names and values as they are.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The SHA-256 of a file's content (not of a hardlink's).
    pub sha256: Option<Digest>,
}

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// One more name for a file.
    Hardlink,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A named pipe.
    Fifo,
    /// `.wh.NAME`: NAME of a lower layer is gone.
    Whiteout,
    /// `.wh..wh..opq`: what lower layers have in this directory is gone.
    Opaque,
}

impl Kind {
    /// In a word; both kinds of devices are a `device`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Dir => "directory",
            Kind::Symlink => "symlink",
            Kind::Hardlink => "hardlink",
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "device",
            Kind::Fifo => "fifo",
            Kind::Whiteout => "whiteout",
            Kind::Opaque => "opaque",
        }
    }
}

/// Reads a layer in one pass, decompressing it (gzip, zstd or none, told by its first bytes) and hashing it on the way.
///
/// The last item is an error when the stream doesn't have the diff_id, or has no end, or when `inner` itself found its
/// blob to be another than named. Until `None` arrives nothing that was read is certain.
pub struct Entries<'a> {
    reader: Option<tar::Reader<Decompressed<'a>>>,
    expected: Option<Digest>,
    found: Option<Digest>,
}

impl<'a> Entries<'a> {
    /// Reads the layer in `inner`; `diff_id` is what its uncompressed bytes must have. Without it the digest is computed
    /// all the same, see [`Entries::diff_id`].
    pub fn new(inner: impl Read + 'a, diff_id: Option<&Digest>) -> Result<Entries<'a>, Error> {
        let algorithm = diff_id.map_or(crate::Algorithm::Sha256, Digest::algorithm);
        let stream = Decompressed::new(Box::new(inner))
            .map_err(|error| Error::Io { what: "reading a layer".to_owned(), error })?;
        Ok(Entries {
            reader: Some(tar::Reader::new(stream, Some(Hasher::new(algorithm)))),
            expected: diff_id.cloned(),
            found: None,
        })
    }

    /// The digest of the uncompressed bytes, once all entries were read.
    pub fn diff_id(&self) -> Option<&Digest> {
        self.found.as_ref()
    }

    fn advance(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(None);
            };
            match reader.next_member()? {
                Some(member) => {
                    if let Some(entry) = entry(reader, member)? {
                        return Ok(Some(entry));
                    }
                }
                None => return self.finish().map(|()| None),
            }
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let Some(reader) = self.reader.take() else {
            return Ok(());
        };
        let end = reader.finish()?;
        if let (Some(expected), Some(found)) = (&self.expected, &end.digest)
            && expected != found
        {
            return Err(Error::WrongDigest {
                what: "a layer, uncompressed,".to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
        // With the right digest it is whole, whatever its writer left out.
        if !end.marked && self.expected.is_none() {
            return Err(Error::Layer {
                offset: end.bytes,
                reason: "the archive has no end (two blocks of zeros): it may be cut".to_owned(),
            });
        }
        self.found = end.digest;
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance();
        if item.is_err() {
            self.reader = None;
        }
        item.transpose()
    }
}

/// The entry that `member` stands for; `None` for aufs' own files (`.wh..wh.plnk`), which engines skip.
fn entry(reader: &mut tar::Reader<Decompressed<'_>>, member: Member) -> Result<Option<Entry>, Error> {
    let path = normalise(&member.name).map_err(|reason| reader.error(reason))?;
    let (path, mark) = match whiteout::mark(path).map_err(|reason| reader.error(reason))? {
        (_, Mark::Aufs) => return Ok(None),
        found => found,
    };
    let (major, minor) = member.device;
    let kind = match (mark, member.typeflag) {
        (Mark::Whiteout, _) => Kind::Whiteout,
        (Mark::Opaque, _) => Kind::Opaque,
        (_, b'0' | b'7' | b'S') => Kind::File,
        (_, b'1') => Kind::Hardlink,
        (_, b'2') => Kind::Symlink,
        (_, b'3') => Kind::CharDevice { major, minor },
        (_, b'4') => Kind::BlockDevice { major, minor },
        (_, b'5') => Kind::Dir,
        (_, b'6') => Kind::Fifo,
        (_, other) => {
            return Err(reader.error(format!("a member of kind 0x{other:02x}, which no engine unpacks")));
        }
    };
    if path.is_empty() && !matches!(kind, Kind::Dir | Kind::Opaque) {
        return Err(reader.error("a member that would replace the root directory"));
    }
    let link = match kind {
        Kind::Symlink => Some(tar::target(member.link).map_err(|reason| reader.error(reason))?),
        Kind::Hardlink => Some(normalise(&member.link).map_err(|reason| reader.error(reason))?),
        _ => None,
    };
    let mut size = 0;
    let mut sha256 = None;
    if kind == Kind::File {
        let mut hasher = sha2::Sha256::new();
        reader.read_content(|chunk| hasher.update(chunk))?;
        size = member.size;
        sha256 = Some(Digest::from_sha256(hasher.finalize().into()));
    }
    Ok(Some(Entry {
        path,
        kind,
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        size,
        mtime: member.mtime,
        link,
        xattrs: member.xattrs,
        sha256,
    }))
}
