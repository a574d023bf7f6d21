//! What the writing thread writes the log to: the file as it is, or zstd frames in it, with patience for a full disk.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blubr_log::{Compressed, Mark};

use crate::queue::{Sink, Tell};

/// How long a full disk is left alone before it is tried again.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// A file that waits while its disk is full, as long as the recording goes on: what comes meanwhile is queued, then
/// spilled, then lost and counted, and the log goes on where there is room again.
pub struct Patient<W> {
    out: W,
    ending: Arc<AtomicBool>,
    tell: Tell,
    told: bool,
}

impl<W: Write> Patient<W> {
    /// Waits until `ending` is set.
    pub fn new(out: W, ending: Arc<AtomicBool>, tell: Tell) -> Self {
        Patient { out, ending, tell, told: false }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Err(error) if is_full(&error) && !self.ending.load(Ordering::Acquire) => {
                    if !std::mem::replace(&mut self.told, true) {
                        (self.tell)(&format!(
                            "the log: {error}: waiting for room; what does not fit in the spill file and the ring is lost, and counted"
                        ));
                    }
                    std::thread::sleep(FULL_WAIT);
                }
                other => return other,
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

impl<W: Write + Send + 'static> Sink for LogSink<W> {
    fn mark(&mut self, _: Mark, _: &[u8]) -> io::Result<()> {
        match self {
            LogSink::Plain(out) => out.flush(),
            LogSink::Zstd(out) => out.seal(),
        }
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
