//! What the writing thread writes the log to: the file as it is, or zstd frames in it, with patience for a full disk; one
//! part after another; the checkpoints once more elsewhere.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use blubr_log::{Compressed, Mark};

use crate::copies::Copies;
use crate::output::Output;
use crate::queue::{Sink, Tell};

/// How long a full disk is left alone before it is tried again.
const FULL_WAIT: Duration = Duration::from_millis(100);
/// How often it is looked for parts that are too old, between the ends of parts.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// A file that waits while its disk is full, as long as the recording goes on: what comes meanwhile is queued, then
/// spilled, then lost and counted, and the log goes on where there is room again.
pub struct Patient<W> {
    out: W,
    ending: Arc<AtomicBool>,
    tell: Tell,
    told: bool,
    written: u64,
}

impl<W: Write> Patient<W> {
    /// Waits until `ending` is set.
    pub fn new(out: W, ending: Arc<AtomicBool>, tell: Tell) -> Self {
        Patient { out, ending, tell, told: false, written: 0 }
    }

    /// Waits a while where this says that there is no room, and there may still be some; `false` where it says something else, or
    /// nothing more will come.
    fn has_waited(&mut self, error: &io::Error) -> bool {
        if !is_full(error) || self.ending.load(Ordering::Acquire) {
            return false;
        }
        if !std::mem::replace(&mut self.told, true) {
            (self.tell)(&format!(
                "the log: {error}: waiting for room; what does not fit in the spill file and the ring is lost, and counted"
            ));
        }
        std::thread::sleep(FULL_WAIT);
        true
    }

    /// Goes on with another file.
    fn replace(&mut self, out: W) {
        self.out = out;
        self.written = 0;
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Ok(count) => {
                    self.written += count as u64;
                    return Ok(count);
                }
                Err(error) if self.has_waited(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The log's bytes on their way into a file or a pipe.
pub enum LogSink<W: Write> {
    /// As they are.
    Plain(W),
    /// In zstd frames that end at checkpoints.
    Zstd(Compressed<W>),
}

impl<W: Write> LogSink<W> {
    /// A sink that compresses, or does not.
    ///
    /// # Errors
    /// When zstd can't be set up.
    pub fn new(out: W, compress: bool) -> io::Result<Self> {
        Ok(if compress { LogSink::Zstd(Compressed::new(out)?) } else { LogSink::Plain(out) })
    }
}

impl<W: Write> Write for LogSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LogSink::Plain(out) => out.write(bytes),
            LogSink::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            LogSink::Plain(out) => out.flush(),
            LogSink::Zstd(out) => out.flush(),
        }
    }
}

impl LogSink<Patient<File>> {
    /// Ends the frame, if there are frames.
    fn seal(&mut self) -> io::Result<()> {
        match self {
            LogSink::Plain(out) => out.flush(),
            LogSink::Zstd(out) => out.seal(),
        }
    }

    fn file(&mut self) -> &mut Patient<File> {
        match self {
            LogSink::Plain(out) => out,
            LogSink::Zstd(out) => out.output(),
        }
    }
}

/// How far the writing thread has come, for the draining one.
#[derive(Debug, Default)]
pub struct Progress {
    /// Parts that have ended.
    pub parts: AtomicU64,
    /// Bytes of the part that is written.
    pub bytes: AtomicU64,
}

/// All that happens to a log's bytes: into the file, its parts, and the checkpoints once more elsewhere.
pub struct Sinks {
    /// The file.
    pub log: LogSink<Patient<File>>,
    /// Which file that is.
    pub output: Output,
    /// Where checkpoints are copied to; `None` also when that has failed.
    pub copies: Option<Copies>,
    /// Why they are no longer.
    pub not_copied: Option<io::Error>,
    /// Told at each mark.
    pub progress: Arc<Progress>,
    /// When parts were last removed.
    pub pruned: Instant,
    /// For what is to be said.
    pub tell: Tell,
}

impl Write for Sinks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

impl Sinks {
    fn copy(&mut self, line: &[u8]) {
        let Some(copies) = &mut self.copies else { return };
        if let Err(error) = copies.copy(line) {
            // The log itself goes on; that copies are missing is the recording's exit status.
            copies.gave_up(&error, &self.tell);
            self.copies = None;
            self.not_copied = Some(error);
        }
    }

    /// The part is whole: its name, and the next one's file once there is room for that.
    fn next_part(&mut self) -> io::Result<File> {
        self.output.end_part()?;
        self.prune();
        loop {
            match self.output.begin_part() {
                Err(error) if self.log.file().has_waited(&error) => self.prune_if_due(),
                begun => return begun,
            }
        }
    }

    fn prune_if_due(&mut self) {
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.prune();
        }
    }

    fn prune(&mut self) {
        self.pruned = Instant::now();
        if let Err(error) = self.output.prune(SystemTime::now()) {
            (self.tell)(&format!("{}: a part that is not to be kept: {error}", self.output.name()));
        }
    }
}

impl Sink for Sinks {
    fn mark(&mut self, mark: Mark, line: &[u8]) -> io::Result<()> {
        self.log.seal()?;
        match mark {
            Mark::Checkpoint => self.copy(line),
            Mark::End => {}
            Mark::PartEnd => {
                let next = self.next_part()?;
                self.log.file().replace(next);
                self.progress.parts.fetch_add(1, Ordering::Release);
            }
        }
        self.progress.bytes.store(self.log.file().written, Ordering::Release);
        match mark {
            Mark::Checkpoint => self.prune_if_due(),
            // Done before the next part was begun.
            Mark::PartEnd => {}
            Mark::End => self.prune(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Full for a few writes; a write that fits in part is taken in part.
    struct Filling(u32, Vec<u8>);

    impl Write for Filling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if !self.0.is_multiple_of(4) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let some = bytes.len().min(3);
            self.1.extend_from_slice(&bytes[..some]);
            Ok(some)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_waited_for_and_said_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let tell: Tell = Arc::new(move |what| heard.lock().unwrap().push(what.to_owned()));
        let mut out = Patient::new(Filling(0, Vec::new()), Arc::default(), tell);
        out.write_all(b"0123456").unwrap();
        assert_eq!(out.out.1, b"0123456");
        assert_eq!(told.lock().unwrap().len(), 1);
        assert!(told.lock().unwrap()[0].contains("No space left"));
    }

    #[test]
    fn when_all_has_come_a_full_disk_is_an_error() {
        let ending = Arc::new(AtomicBool::new(true));
        let mut out = Patient::new(Filling(0, Vec::new()), ending, Arc::new(|_| {}));
        assert_eq!(out.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
