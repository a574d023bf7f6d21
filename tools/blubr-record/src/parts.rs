//! The parts of a log that is rotated: what they are called, and which are kept.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Endings before which the number goes, so that a part has the suffix of the whole.
const SUFFIXES: [&str; 4] = [".ndjson", ".jsonl", ".json", ".log"];
/// Fewest digits of a number: names sort as the parts follow one another.
const DIGITS: usize = 6;
/// What a part is called while it is written.
const PARTIAL: &str = ".partial";

/// Which parts stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The youngest, as many as have so many bytes together.
    Bytes(u64),
    /// Those that ended no longer ago.
    Age(Duration),
}

/// The names of a log's parts: `day.ndjson.zst` becomes `day.000001.ndjson.zst` and so on.
#[derive(Debug)]
pub struct Names {
    folder: PathBuf,
    stem: OsString,
    suffix: OsString,
}

impl Names {
    /// Of a log that would be called `path`.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.as_bytes();
        let bare = name.strip_suffix(b".zst").unwrap_or(name);
        let ended = SUFFIXES.iter().find_map(|suffix| bare.strip_suffix(suffix.as_bytes()));
        let stem = ended.unwrap_or(bare);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Some(Names {
            folder: parent.unwrap_or(Path::new(".")).to_owned(),
            stem: OsStr::from_bytes(stem).to_owned(),
            suffix: OsStr::from_bytes(&name[stem.len()..]).to_owned(),
        })
    }

    /// The name of one part.
    pub fn part(&self, number: u64) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!(".{number:0DIGITS$}"));
        name.push(&self.suffix);
        self.folder.join(name)
    }

    /// The part that a file's name is of, also of one that was left partial.
    fn number(&self, name: &OsStr) -> Option<u64> {
        let name = name.as_bytes();
        let name = name.strip_suffix(PARTIAL.as_bytes()).unwrap_or(name);
        let digits = name.strip_prefix(self.stem.as_bytes())?.strip_suffix(self.suffix.as_bytes())?;
        let digits = digits.strip_prefix(b".")?;
        if digits.len() < DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The parts that are there, oldest first.
    fn there(&self) -> io::Result<Vec<(u64, PathBuf, Metadata)>> {
        let mut there = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(number) = self.number(&entry.file_name()) else { continue };
            // Of the entry itself: a symlink of such a name is none of ours.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                there.push((number, entry.path(), metadata));
            }
        }
        there.sort_by_key(|(number, ..)| *number);
        Ok(there)
    }

    /// The number after every part that is there: those of an earlier recording are not touched.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn next_number(&self) -> io::Result<u64> {
        Ok(self.there()?.last().map_or(1, |(number, ..)| number.saturating_add(1)))
    }

    /// Removes the oldest parts before `current` that are not to be kept.
    ///
    /// # Errors
    /// When the folder can't be read, or one can't be removed.
    pub fn prune(&self, keep: Keep, current: u64, now: SystemTime) -> io::Result<()> {
        let there = self.there()?;
        let mut bytes: u64 = there.iter().map(|(_, _, metadata)| metadata.len()).sum();
        for (number, path, metadata) in there {
            let ended = metadata.modified().unwrap_or(now);
            let stays = match keep {
                Keep::Bytes(max) => bytes <= max,
                Keep::Age(max) => now.duration_since(ended).unwrap_or_default() <= max,
            };
            if stays || number >= current {
                break;
            }
            std::fs::remove_file(&path)?;
            bytes -= metadata.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_goes_before_the_suffix() {
        for (path, part) in [
            ("/l/day.ndjson.zst", "/l/day.000007.ndjson.zst"),
            ("day.ndjson", "./day.000007.ndjson"),
            ("day.zst", "./day.000007.zst"),
            ("v1.2", "./v1.2.000007"),
            (".log", "./.000007.log"),
        ] {
            let names = Names::of(Path::new(path)).unwrap();
            assert_eq!(names.part(7), Path::new(part));
            assert_eq!(names.number(Path::new(part).file_name().unwrap()), Some(7), "{path}");
        }
        let names = Names::of(Path::new("day.log")).unwrap();
        assert_eq!(names.part(12_345_678), Path::new("./day.12345678.log"));
        for (name, number) in [
            ("day.000003.log.partial", Some(3)),
            ("day.3.log", None),
            ("day.00000x.log", None),
            ("day.log", None),
            ("other.000003.log", None),
            ("day.000003.log.zst", None),
            ("day.99999999999999999999999.log", None),
        ] {
            assert_eq!(names.number(OsStr::new(name)), number, "{name}");
        }
        assert!(Names::of(Path::new("/")).is_none());
    }

    #[test]
    fn the_oldest_go_first_and_the_one_that_is_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("day.log")).unwrap();
        assert_eq!(names.next_number().unwrap(), 1);
        for number in 1..=5 {
            std::fs::write(names.part(number), [0; 100]).unwrap();
        }
        std::fs::write(dir.path().join("stranger.log"), "").unwrap();
        assert_eq!(names.next_number().unwrap(), 6);
        let left = || names.there().unwrap().iter().map(|(number, ..)| *number).collect::<Vec<_>>();
        let now = SystemTime::now();
        names.prune(Keep::Bytes(350), 5, now).unwrap();
        assert_eq!(left(), [3, 4, 5]);
        names.prune(Keep::Age(Duration::from_secs(3600)), 5, now).unwrap();
        assert_eq!(left(), [3, 4, 5]);
        names.prune(Keep::Age(Duration::from_secs(3600)), 4, now + Duration::from_secs(7200)).unwrap();
        assert_eq!(left(), [4, 5]);
        names.prune(Keep::Bytes(0), 5, now).unwrap();
        assert_eq!(left(), [5]);
        assert!(dir.path().join("stranger.log").exists());
    }
}
