//! A bounded queue of bytes between the thread that drains the ring and the one that writes the log out, so that a
//! slow reader of the log costs memory first and events only when that is full.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Bytes that are handed over at once.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks that may wait: 16 MiB.
const BLOCKS_MAX: usize = 256;

enum Item {
    Block(Vec<u8>),
    Flush,
}

/// The end that is written to. It blocks when the queue is full.
pub struct Queue {
    block: Vec<u8>,
    sender: Option<SyncSender<Item>>,
    failed: Arc<Mutex<Option<io::Error>>>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    /// A queue whose other end writes to `out` on a thread of its own.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn new(
        mut out: impl Write + Send + 'static,
        begin: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(BLOCKS_MAX);
        let failed = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failed);
        let thread = std::thread::Builder::new().name("write".to_owned()).spawn(move || {
            begin();
            if let Err(error) = write_all(&receiver, &mut out)
                && let Ok(mut slot) = told.lock()
            {
                *slot = Some(error);
            }
        })?;
        let block = Vec::with_capacity(BLOCK_BYTES);
        Ok(Queue { block, sender: Some(sender), failed, thread: Some(thread) })
    }

    fn hand_over(&mut self, item: Item) -> io::Result<()> {
        let sent = self.sender.as_ref().is_some_and(|sender| sender.send(item).is_ok());
        if sent { Ok(()) } else { Err(self.error()) }
    }

    /// Why the other end is gone.
    fn error(&mut self) -> io::Error {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It ends by itself; a panic has been printed.
            let _ = thread.join();
        }
        let told = self.failed.lock().ok().and_then(|mut slot| slot.take());
        told.unwrap_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Waits until everything has been written.
    ///
    /// # Errors
    /// What the output returned.
    pub fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(io::Error::other("the writing thread panicked"));
        }
        match self.failed.lock().ok().and_then(|mut slot| slot.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
            self.hand_over(Item::Block(block))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
            self.hand_over(Item::Block(block))?;
        }
        self.hand_over(Item::Flush)
    }
}

fn write_all(receiver: &Receiver<Item>, out: &mut impl Write) -> io::Result<()> {
    for item in receiver {
        match item {
            Item::Block(block) => out.write_all(&block)?,
            Item::Flush => out.flush()?,
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_arrives_in_order() {
        let out = Shared::default();
        let mut queue = Queue::new(out.clone(), || {}).unwrap();
        let mut expected = Vec::new();
        for n in 0..50_000u32 {
            let line = format!("{n}\n");
            expected.extend_from_slice(line.as_bytes());
            queue.write_all(line.as_bytes()).unwrap();
        }
        queue.end().unwrap();
        assert!(*out.0.lock().unwrap() == expected);
    }

    #[test]
    fn the_reason_of_a_failed_write_comes_back() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut queue = Queue::new(Full, || {}).unwrap();
        queue.write_all(b"x").unwrap();
        assert_eq!(queue.end().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
