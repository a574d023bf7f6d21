//! A file for what the log's reader does not take yet: a queue of items on disk, of a bounded size, without a name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use blubr_cli::unlinked_file;

/// Bytes before each item: its tag and its length, both 32 bits in the machine's order. Nobody else reads the file.
const HEAD_BYTES: u64 = 8;

/// The queue: the file is a ring of `max` bytes, so that it never grows beyond.
pub struct Spill {
    file: File,
    max: u64,
    /// Where the oldest item begins.
    from: u64,
    /// Bytes that wait.
    waiting: u64,
}

impl Spill {
    /// An empty file in `folder`: new, mode 0600, and unlinked at once, so that it is gone with this process however that
    /// ends.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn create(folder: &Path, max: u64) -> io::Result<Self> {
        Ok(Spill { file: unlinked_file(folder)?, max, from: 0, waiting: 0 })
    }

    /// Bytes that wait to be taken out.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Puts an item behind the others; `false` where there is no room. After an error nothing of it is there.
    ///
    /// # Errors
    /// When it can't be written: the disk is full.
    pub fn put(&mut self, tag: u32, bytes: &[u8]) -> io::Result<bool> {
        let Ok(len) = u32::try_from(bytes.len()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let needed = HEAD_BYTES + u64::from(len);
        if self.waiting + needed > self.max {
            return Ok(false);
        }
        let mut head = [0; HEAD_BYTES as usize];
        head[..4].copy_from_slice(&tag.to_ne_bytes());
        head[4..].copy_from_slice(&len.to_ne_bytes());
        self.write_at(self.from + self.waiting, &head)?;
        self.write_at(self.from + self.waiting + HEAD_BYTES, bytes)?;
        self.waiting += needed;
        Ok(true)
    }

    /// Takes the oldest item out: its tag, and its bytes in `bytes`. When none is left the disk gets its room back.
    ///
    /// # Errors
    /// When it can't be read back.
    pub fn take(&mut self, bytes: &mut Vec<u8>) -> io::Result<u32> {
        let mut head = [0; HEAD_BYTES as usize];
        self.read_at(self.from, &mut head)?;
        let [tag, len] = [&head[..4], &head[4..]].map(|b| b.try_into().map_or(0, u32::from_ne_bytes));
        if HEAD_BYTES + u64::from(len) > self.waiting {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the spill file was changed"));
        }
        bytes.resize(len as usize, 0);
        self.read_at(self.from + HEAD_BYTES, bytes)?;
        self.from = (self.from + HEAD_BYTES + u64::from(len)) % self.max;
        self.waiting -= HEAD_BYTES + u64::from(len);
        if self.waiting == 0 {
            self.from = 0;
            self.file.set_len(0)?;
        }
        Ok(tag)
    }

    /// The piece up to the file's end, and what goes on at its start.
    fn wrapped(&self, at: u64, len: usize) -> (u64, usize) {
        let at = at % self.max;
        (at, usize::try_from(self.max - at).map_or(len, |room| room.min(len)))
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (at, first) = self.wrapped(at, bytes.len());
        self.file.write_all_at(&bytes[..first], at)?;
        self.file.write_all_at(&bytes[first..], 0)
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (at, first) = self.wrapped(at, bytes.len());
        let (begin, end) = bytes.split_at_mut(first);
        self.file.read_exact_at(begin, at)?;
        self.file.read_exact_at(end, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn items_come_back_in_order_also_around_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(dir.path(), 1000).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it has no name");
        assert_eq!(spill.file.metadata().unwrap().mode() & 0o777, 0o600);
        let (mut put, mut taken) = (0u32, 0u32);
        let item = |n: u32| vec![n as u8; (n as usize * 37) % 191];
        let mut bytes = Vec::new();
        while taken < 500 {
            while spill.put(put, &item(put)).unwrap() {
                put += 1;
            }
            assert!(spill.waiting() <= 1000 && put > taken);
            for _ in 0..=(taken % 3) {
                if taken < put {
                    assert_eq!(spill.take(&mut bytes).unwrap(), taken);
                    assert_eq!(bytes, item(taken));
                    taken += 1;
                }
            }
            assert!(spill.file.metadata().unwrap().len() <= 1000);
        }
    }

    #[test]
    fn an_empty_one_takes_no_disk_and_what_is_too_large_has_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(dir.path(), 100).unwrap();
        assert!(!spill.put(1, &[0; 93]).unwrap());
        assert!(spill.put(2, &[0; 92]).unwrap());
        assert_eq!(spill.take(&mut Vec::new()).unwrap(), 2);
        assert_eq!(spill.file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(dir.path(), 1 << 20).unwrap();
        assert!(spill.put(1, b"kept").unwrap());
        // /dev/full answers each write with ENOSPC.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut spill.file, full);
        assert_eq!(spill.put(2, b"more").unwrap_err().kind(), io::ErrorKind::StorageFull);
        spill.file = file;
        let mut bytes = Vec::new();
        assert_eq!((spill.take(&mut bytes).unwrap(), spill.waiting()), (1, 0));
        assert_eq!(bytes, b"kept");
    }
}
