//! `verify`: replays the filters that a log's header names and compares the bytes, or compares a log's checkpoints with
//! those that were kept elsewhere.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use blubr_cli::{Exit, Failure, Input};
use blubr_log::{Kept, KeptError, LineKind, Plain, ReadErrorKind, Reader, Verdict};

use crate::cli::Verify;
use crate::plan::What;
use crate::select;
use crate::stream::{Named, Rewind, filter, unreadable};

/// Bytes compared at a time.
const CHUNK: usize = 1 << 16;
/// Filters that are replayed one after the other.
const FILTERS_MAX: usize = 64;

/// Exit 0 if it holds, else 1.
pub(crate) fn run(verify: &Verify) -> Result<Exit, Failure> {
    match (&verify.source, &verify.checkpoints) {
        (Some(source), _) => replay(source, &verify.log, verify.dockerfile.as_deref()),
        (None, Some(kept)) => compare(kept, &verify.log),
        (None, None) => {
            Err(Failure::new("nothing to verify against").advise("--source or --checkpoints"))
        }
    }
}

/// Whether the log has the checkpoints that were kept. What it has of others is its own.
fn compare(kept: &Path, log: &Path) -> Result<Exit, Failure> {
    let file = Input::open(Some(kept))?;
    let place = file.name().to_owned();
    let unusable = |error: KeptError| {
        Failure::new(error).at(&place).advise("name what blubr-record --checkpoints-to wrote")
    };
    let mut kept = Kept::new(BufReader::new(file)).map_err(unusable)?;
    let input = Input::open(Some(log))?;
    let name = input.name().to_owned();
    let mut reader = Reader::new(input).map_err(|e| unreadable(&name, &e))?;
    let mut broken = None;
    loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                if let LineKind::Checkpoint(found) = &line.kind {
                    kept.meet(found).map_err(unusable)?;
                }
            }
            Ok(None) => break,
            // The log's own chain has found something; what was kept says the same of it.
            Err(error) if !matches!(error.kind, ReadErrorKind::Io(_)) => {
                broken = Some(unreadable(&name, &error));
                break;
            }
            Err(error) => return Err(unreadable(&name, &error)),
        }
    }
    let what = match (broken, kept.verdict()) {
        (None, Verdict::All { .. }) => return Ok(Exit::Done),
        (Some(broken), Verdict::All { events, .. }) => {
            format!("has all checkpoints that were kept, up to event {events}, but: {broken}")
        }
        (_, Verdict::Changed { after, before }) => {
            format!(
                "is not the log whose checkpoints were kept: it was changed between its events {after} and {before}"
            )
        }
        (None, Verdict::Short { after }) => {
            format!(
                "lacks checkpoints that were kept: it ends early, or was changed, after event {after}"
            )
        }
        (Some(broken), Verdict::Short { after }) => {
            format!("lacks checkpoints that were kept, and was changed after event {after}: {broken}")
        }
    };
    Err(Failure::no(what).at(&name))
}

/// Exit 0 if the filtered log is exactly what its filters make of the source; else 1.
fn replay(source: &Path, filtered: &Path, dockerfile: Option<&Path>) -> Result<Exit, Failure> {
    let mut filtered = Input::open(Some(filtered))?.spool()?;
    let name = filtered.name().to_owned();
    let header = Reader::new(filtered.rewind()?).map_err(|e| unreadable(&name, &e))?.header().clone();
    if header.filters.is_empty() {
        return Err(Failure::new("was never filtered").at(&name).advise("compare it with cmp(1)"));
    }
    if header.filters.len() > FILTERS_MAX {
        return Err(Failure::new(format!("was filtered more than {FILTERS_MAX} times")).at(&name));
    }
    let source = Input::open(Some(source))?.spool()?;
    let source_name = source.name().to_owned();
    let mut stage = Stage::Source(source);
    // What came before a filter's own words stands in the source's own header, where it was filtered as well.
    let done =
        Reader::new(stage.rewind()?).map_err(|e| unreadable(&source_name, &e))?.header().filters.len();
    if header.filters.len() <= done
        || header.filters[..done] != stage_filters(&mut stage, &source_name)?[..]
    {
        return Err(
            Failure::no("was not made from this source: its header names other filters").at(&name)
        );
    }
    for (at, recorded) in header.filters.iter().enumerate().skip(done) {
        let mut what = What::recorded(recorded, dockerfile).map_err(|e| e.at(&name))?;
        if let Some(asked) = what.build {
            let chosen = select::choose(asked, &what, &source_name, &mut stage)?;
            what.choose(chosen);
        }
        if at + 1 < header.filters.len() {
            let aside = tempfile::tempfile().map_err(|e| Failure::io("a temporary file", &e))?;
            let written = filter(stage.rewind()?, &source_name, &mut what, Aside(aside))?;
            stage = Stage::Between(written.output.0);
            continue;
        }
        let plain = Plain::new(filtered.rewind()?).map_err(|e| Failure::io(&name, &e))?;
        let against = Compared { with: BufReader::new(plain), at: 0, differs: None };
        let mut compared = filter(stage.rewind()?, &source_name, &mut what, against)?.output;
        let rest = compared.rest().map_err(|e| Failure::io(&name, &e))?;
        return match compared.differs.or(rest) {
            None => Ok(Exit::Done),
            Some(byte) => {
                let what = format!(
                    "is not what its filters make of {source_name}: it differs from byte {byte} on"
                );
                Err(Failure::no(what).at(&name))
            }
        };
    }
    Ok(Exit::Done)
}

fn stage_filters(stage: &mut Stage, name: &str) -> Result<Vec<blubr_log::Filter>, Failure> {
    Ok(Reader::new(stage.rewind()?).map_err(|e| unreadable(name, &e))?.header().filters.clone())
}

/// What a filter is replayed on: the source, or what the filter before made.
enum Stage {
    Source(blubr_cli::Spooled),
    Between(File),
}

impl Rewind for Stage {
    fn rewind(&mut self) -> Result<&mut File, Failure> {
        match self {
            Stage::Source(source) => source.rewind(),
            Stage::Between(file) => {
                file.seek(SeekFrom::Start(0)).map_err(|e| Failure::io("a temporary file", &e))?;
                Ok(file)
            }
        }
    }
}

struct Aside(File);

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Named for Aside {
    fn place(&self) -> String {
        "a temporary file".to_owned()
    }
}

/// Takes bytes and compares them with those of a file.
struct Compared<R: Read> {
    with: R,
    at: u64,
    /// The first byte that differs, from 1, as cmp(1) counts.
    differs: Option<u64>,
}

impl<R: Read> Compared<R> {
    /// Where the file goes on behind what was to be compared.
    fn rest(&mut self) -> io::Result<Option<u64>> {
        let mut one = [0];
        Ok((self.with.read(&mut one)? > 0).then_some(self.at + 1))
    }
}

impl<R: Read> Write for Compared<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let count = bytes.len().min(CHUNK);
        if self.differs.is_none() {
            let mut filled = 0;
            while filled < count {
                match self.with.read(&mut chunk[filled..count])? {
                    0 => break,
                    got => filled += got,
                }
            }
            let same = chunk[..filled].iter().zip(bytes).take_while(|(a, b)| a == b).count();
            if same < count {
                self.differs = Some(self.at + same as u64 + 1);
            }
        }
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read> Named for Compared<R> {
    fn place(&self) -> String {
        "the comparison".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(made: &[u8], file: &[u8]) -> Option<u64> {
        let mut compared = Compared { with: file, at: 0, differs: None };
        compared.write_all(made).unwrap();
        let rest = compared.rest().unwrap();
        compared.differs.or(rest)
    }

    #[test]
    fn the_first_byte_that_differs() {
        assert_eq!(differs(b"same", b"same"), None);
        assert_eq!(differs(b"same", b"sane"), Some(3));
        assert_eq!(differs(b"same", b"sam"), Some(4));
        assert_eq!(differs(b"same", b"same again"), Some(5));
    }
}
