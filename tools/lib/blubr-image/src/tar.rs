//! A sequential tar reader for evidence: what Go's archive/tar (all engines use it) reads, and errors where it guesses.
//!
//! Written here because a layer comes from whoever built it: extended headers are read by their lengths, metadata is
//! capped, sparse files are read as the kernel would show them, and the end must be there.

mod header;
mod path;
mod pax;
mod sparse;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

use crate::{Error, Hasher};
use header::Header;
pub(crate) use path::shown;
pub use path::{normalise, target};
use pax::Records;
use sparse::Map;

/// Tar's unit, in bytes.
pub const BLOCK: usize = 512;
/// An extended header, long name or sparse map larger than this is refused, in bytes (Go: maxSpecialFileSize).
pub const METADATA_BYTES_MAX: u64 = 1 << 20;
/// An archive whose sparse files have more holes than this is refused, in bytes: each hole's zeros must be hashed.
pub const HOLE_BYTES_MAX: u64 = 16 << 30;

const CHUNK: usize = 64 << 10;

/// One member's header, with its extended headers merged into it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The name as written, neither cleaned nor checked.
    pub name: Vec<u8>,
    /// The link's target as written; empty where there is none.
    pub link: Vec<u8>,
    /// The kind, as ustar numbers them (`'0'` a file, `'5'` a directory ...).
    pub typeflag: u8,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Bytes of content, holes included.
    pub size: u64,
    /// When it was modified.
    pub mtime: Mtime,
    /// A device's major and minor number.
    pub device: (u64, u64),
    /// Extended attributes (SCHILY.xattr), names and values as they are.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where the content begins in the stream, in bytes.
    pub content_offset: u64,
    /// Whether the content is stored with holes; then it isn't `size` bytes at `content_offset`.
    pub sparse: bool,
}

/// A time of modification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mtime {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// Reads an archive from its beginning to its end.
pub struct Reader<R> {
    stream: Stream<R>,
    /// Bytes of the current member that are still in the stream, without padding.
    stored_left: u64,
    padding: u64,
    map: Option<Map>,
    /// The current member's content has `content_size` bytes, holes included.
    content_size: u64,
    holes_left: u64,
    end_seen: bool,
    /// Reused by all reads: layers have hundreds of thousands of small members.
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads an archive from `inner`; `hasher` is given every byte of it.
    pub fn new(inner: R, hasher: Option<Hasher>) -> Reader<R> {
        Reader {
            stream: Stream { inner, offset: 0, hasher },
            stored_left: 0,
            padding: 0,
            map: None,
            content_size: 0,
            holes_left: HOLE_BYTES_MAX,
            end_seen: false,
            buffer: vec![0; CHUNK],
        }
    }

    /// Where the reader is in the stream, in bytes.
    pub fn offset(&self) -> u64 {
        self.stream.offset
    }

    /// An error at the current offset.
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::Layer { offset: self.stream.offset, reason: reason.into() }
    }

    /// The next member, or `None` at the end. What is left of the current one's content is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        if self.end_seen {
            return Ok(None);
        }
        self.skip_content()?;
        let mut records = Records::default();
        let mut long_name = None;
        let mut long_link = None;
        loop {
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            let header = Header::parse(&block).map_err(|reason| self.header_error(reason))?;
            match header.typeflag {
                b'x' => {
                    let bytes = self.metadata(header.size, "an extended header")?;
                    records = Records::parse(&bytes).map_err(|reason| self.error(reason))?;
                }
                // Engines skip global headers (archive.Unpack: TypeXGlobalHeader), so what they say holds for nothing.
                b'g' => drop(self.metadata(header.size, "a global extended header")?),
                b'L' => long_name = Some(until_nul(self.metadata(header.size, "a long name")?)),
                b'K' => long_link = Some(until_nul(self.metadata(header.size, "a long link target")?)),
                _ => {
                    return self.member(header, &block, records, long_name, long_link).map(Some);
                }
            }
        }
    }

    /// Gives the current member's content to `take`, holes as zeros.
    pub fn read_content(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        let Some(map) = self.map.take() else {
            let size = self.stored_left;
            return self.read_stored(size, &mut take);
        };
        let mut at = 0;
        for (offset, len) in map.fragments() {
            self.read_hole(offset - at, &mut take)?;
            if len > self.stored_left {
                return Err(self.error("a sparse file's map names more bytes than are stored"));
            }
            self.read_stored(len, &mut take)?;
            at = offset + len;
        }
        if self.stored_left > 0 {
            return Err(self.error("a sparse file's map names fewer bytes than are stored"));
        }
        self.read_hole(self.content_size - at, &mut take)
    }

    /// Reads what follows the end to the stream's own end, and says how the archive ended, and the hasher's answer.
    pub fn finish(mut self) -> Result<End, Error> {
        let mut buffer = [0; CHUNK];
        let mut junk = false;
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            junk |= buffer[..read].iter().any(|&byte| byte != 0);
        }
        Ok(End {
            marked: self.end_seen,
            junk,
            bytes: self.stream.offset,
            digest: self.stream.hasher.map(Hasher::finish),
        })
    }

    fn header_error(&self, reason: String) -> Error {
        Error::Layer { offset: self.stream.offset - BLOCK as u64, reason }
    }

    /// The next block that is not the end; `None` at the end, marked or not.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        match self.stream.fill(&mut block)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(self.error("the archive is cut in the middle of a header")),
        }
        if block.iter().any(|&byte| byte != 0) {
            return Ok(Some(block));
        }
        match self.stream.fill(&mut block)? {
            BLOCK if block.iter().all(|&byte| byte == 0) => self.end_seen = true,
            // One block of zeros and nothing after it: Go takes it for an end, and so do we, unmarked.
            0 => {}
            BLOCK => return Err(self.error("a block of zeros between members")),
            _ => return Err(self.error("the archive is cut in the middle of its end")),
        }
        Ok(None)
    }

    fn member(
        &mut self,
        mut header: Header,
        block: &[u8; BLOCK],
        mut records: Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Member, Error> {
        records.merge_into(&mut header).map_err(|reason| self.header_error(reason))?;
        // GNU's long names win over PAX, as in Go's Reader.next.
        header.name = long_name.filter(|name| !name.is_empty()).unwrap_or(header.name);
        header.link = long_link.filter(|link| !link.is_empty()).unwrap_or(header.link);
        if header.typeflag == 0 {
            header.typeflag = if header.name.ends_with(b"/") { b'5' } else { b'0' };
        }
        let has_content = matches!(header.typeflag, b'0' | b'7' | b'S');
        // Header-only kinds store nothing, whatever their size says (Go: isHeaderOnlyType).
        let header_only = matches!(header.typeflag, b'1'..=b'6');
        let stored = if header_only { 0 } else { header.size };
        self.stored_left = stored;
        self.padding = padding_of(stored);
        self.content_size = if has_content { stored } else { 0 };
        let content_offset = self.stream.offset;
        if has_content {
            self.map = self.sparse_map(&mut header, block, &mut records)?;
        }
        if let Some(map) = &self.map {
            self.content_size = header.size;
            map.check(header.size).map_err(|reason| self.error(reason))?;
        }
        Ok(Member {
            name: header.name,
            link: header.link,
            typeflag: header.typeflag,
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            size: self.content_size,
            mtime: header.mtime,
            device: header.device,
            xattrs: records.xattrs,
            content_offset,
            sparse: self.map.is_some(),
        })
    }

    fn sparse_map(
        &mut self,
        header: &mut Header,
        block: &[u8; BLOCK],
        records: &mut Records,
    ) -> Result<Option<Map>, Error> {
        if header.typeflag == b'S' {
            return self.old_gnu_map(header, block).map(Some);
        }
        let Some(kind) = records.sparse_kind().map_err(|reason| self.error(reason))? else {
            return Ok(None);
        };
        records.merge_sparse_into(header).map_err(|reason| self.error(reason))?;
        match kind {
            pax::SparseKind::InRecords => {
                records.sparse_map().map(Some).map_err(|reason| self.error(reason))
            }
            pax::SparseKind::InContent => {
                let mut numbers = sparse::Numbers::default();
                while !numbers.complete() {
                    if self.stored_left < BLOCK as u64 {
                        return Err(self.error("a sparse file's map is cut"));
                    }
                    let mut block = [0; BLOCK];
                    self.read_exact(&mut block, "a sparse file's map")?;
                    self.stored_left -= BLOCK as u64;
                    numbers.take(&block).map_err(|reason| self.error(reason))?;
                }
                numbers.map().map(Some).map_err(|reason| self.error(reason))
            }
        }
    }

    fn old_gnu_map(&mut self, header: &mut Header, block: &[u8; BLOCK]) -> Result<Map, Error> {
        let mut map = Map::default();
        let (real_size, mut more) =
            map.take_old_header(block).map_err(|reason| self.header_error(reason))?;
        header.size = real_size;
        while more {
            let mut block = [0; BLOCK];
            self.read_exact(&mut block, "a sparse file's map")?;
            more = map.take_old_extension(&block).map_err(|reason| self.error(reason))?;
        }
        Ok(map)
    }

    fn metadata(&mut self, size: u64, what: &str) -> Result<Vec<u8>, Error> {
        if size > METADATA_BYTES_MAX {
            return Err(self.header_error(format!(
                "{what} of {size} bytes: at most {METADATA_BYTES_MAX} are accepted"
            )));
        }
        // Bounded by the line above; grown as bytes arrive, for a header may lie.
        let mut bytes = Vec::new();
        self.stored_left = size;
        self.padding = padding_of(size);
        self.read_stored(size, &mut |chunk: &[u8]| bytes.extend_from_slice(chunk))?;
        self.skip_content()?;
        Ok(bytes)
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        self.map = None;
        let left = self.stored_left;
        self.read_stored(left, &mut |_: &[u8]| ())?;
        let mut padding = [0; BLOCK];
        let len = usize::try_from(self.padding).unwrap_or(BLOCK).min(BLOCK);
        self.padding = 0;
        self.read_exact(&mut padding[..len], "the padding of a member")
    }

    fn read_stored(&mut self, size: u64, take: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = self.stream.read(&mut self.buffer[..want])?;
            if read == 0 {
                return Err(
                    self.error(format!("the archive is cut: {left} bytes of a member are missing"))
                );
            }
            take(&self.buffer[..read]);
            left -= read as u64;
            self.stored_left -= read as u64;
        }
        Ok(())
    }

    fn read_hole(&mut self, size: u64, take: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        self.holes_left = self.holes_left.checked_sub(size).ok_or_else(|| {
            self.error(format!("sparse files with more than {HOLE_BYTES_MAX} bytes of holes"))
        })?;
        let mut left = size;
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            take(&ZEROS[..len]);
            left -= len as u64;
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8], what: &str) -> Result<(), Error> {
        if self.stream.fill(buffer)? < buffer.len() {
            return Err(self.error(format!("the archive is cut in {what}")));
        }
        Ok(())
    }
}

/// How an archive ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// Whether the two blocks of zeros were there; without them it may be cut.
    pub marked: bool,
    /// Whether anything but zeros follows them. Engines ignore that.
    pub junk: bool,
    /// The stream's length, in bytes.
    pub bytes: u64,
    /// The digest of the whole stream, where a hasher was given.
    pub digest: Option<crate::Digest>,
}

struct Stream<R> {
    inner: R,
    offset: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.inner.read(buffer) {
                Ok(read) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&buffer[..read]);
                    }
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::Io {
                        what: format!("reading an archive at byte {}", self.offset),
                        error,
                    });
                }
            }
        }
    }

    /// Fills `buffer` as far as the stream goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }
}

fn padding_of(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(nul) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(nul);
    }
    bytes
}
