//! A bounded queue between the thread that drains the ring and the one that writes the log out. A slow reader of the log
//! costs memory first, then disk, and events only when both are full.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use blubr_log::Mark;

use crate::spill::Spill;

/// Bytes that are handed over at once.
const BLOCK_BYTES: usize = 64 << 10;
/// Items that may wait in memory: 8 MiB of blocks.
const ITEMS_MAX: usize = 128;

/// Says one line to whoever runs the recorder.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// What the writing thread writes to.
pub trait Sink: Write + Send + 'static {
    /// `line`, which was written last, is a checkpoint or the trailer.
    ///
    /// # Errors
    /// What the output returns.
    fn mark(&mut self, mark: Mark, line: &[u8]) -> io::Result<()>;
}

enum Item {
    Block(Vec<u8>),
    Mark(Mark, Vec<u8>),
}

/// Tags of items in the spill.
const TAGS: [(u32, Option<Mark>); 3] = [(0, None), (1, Some(Mark::Checkpoint)), (2, Some(Mark::End))];

impl Item {
    fn parts(&self) -> (u32, &[u8]) {
        let (mark, bytes) = match self {
            Item::Block(bytes) => (None, bytes),
            Item::Mark(mark, line) => (Some(*mark), line),
        };
        (TAGS.iter().find(|(_, of)| *of == mark).map_or(0, |(tag, _)| *tag), bytes)
    }

    fn from_parts(tag: u32, bytes: Vec<u8>) -> Self {
        match TAGS.iter().find(|(of, _)| *of == tag) {
            Some((_, Some(mark))) => Item::Mark(*mark, bytes),
            _ => Item::Block(bytes),
        }
    }
}

struct State {
    items: VecDeque<Item>,
    /// Younger than every item in memory: while something waits here, all goes here.
    spill: Option<Spill>,
    /// Nothing more will come.
    closed: bool,
    /// The writing thread has ended.
    gone: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A thread that panicked between two changes of the state can't be: none panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that is written to. It blocks when memory and spill are full.
pub struct Queue<S> {
    block: Vec<u8>,
    shared: Arc<Shared>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<(S, io::Result<()>)>>,
    tell: Tell,
    told: bool,
}

impl<S: Sink> Queue<S> {
    /// A queue whose other end writes to `out` on a thread of its own, which calls `begin` first. `ending` is set when
    /// nothing more will come, for a sink that waits.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn new(
        out: S,
        spill: Option<Spill>,
        begin: impl FnOnce() + Send + 'static,
        ending: Arc<AtomicBool>,
        tell: Tell,
    ) -> io::Result<Self> {
        let state = State { items: VecDeque::new(), spill, closed: false, gone: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Gone(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("write".to_owned()).spawn(move || {
            begin();
            let mut out = out;
            let done = write_all(&theirs.0, &mut out);
            (out, done)
        })?;
        let block = Vec::with_capacity(BLOCK_BYTES);
        Ok(Queue { block, shared, ending, thread: Some(thread), tell, told: false })
    }

    fn hand_over_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.hand_over(Item::Block(block))
    }

    /// Puts an item into memory, or behind what is in the spill; waits where neither has room.
    fn hand_over(&mut self, item: Item) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if state.gone {
                drop(state);
                return Err(self.error());
            }
            let spilling = state.spill.as_ref().is_some_and(|spill| spill.waiting() > 0);
            if !spilling && state.items.len() < ITEMS_MAX {
                state.items.push_back(item);
                shared.changed.notify_all();
                return Ok(());
            }
            let (tag, bytes) = item.parts();
            match state.spill.as_mut().map(|spill| spill.put(tag, bytes)) {
                Some(Ok(true)) => {
                    shared.changed.notify_all();
                    return Ok(());
                }
                None => {}
                Some(Ok(false)) => self.tell_once("the spill file has reached --spill-max"),
                Some(Err(error)) => self.tell_once(&format!("the spill file: {error}")),
            }
            state = shared.wait(state);
        }
    }

    fn tell_once(&mut self, what: &str) {
        if !std::mem::replace(&mut self.told, true) {
            (self.tell)(&format!(
                "{what}: what the log's reader does not take from now on may be lost, and is counted"
            ));
        }
    }

    /// A mark of the log: hands over what stands before it, and the mark behind that.
    ///
    /// # Errors
    /// What the output returned.
    pub fn mark(&mut self, mark: Mark, line: &[u8]) -> io::Result<()> {
        self.hand_over_block()?;
        self.hand_over(Item::Mark(mark, line.to_owned()))
    }

    /// Why the other end is gone.
    fn error(&mut self) -> io::Error {
        let told = self.thread.take().map(JoinHandle::join);
        match told {
            Some(Ok((_, Err(error)))) => error,
            // A panic has been printed.
            _ => io::Error::from(io::ErrorKind::BrokenPipe),
        }
    }

    /// Waits until everything has been written, and gives back what it was written to.
    ///
    /// # Errors
    /// What the output returned.
    pub fn end(mut self) -> io::Result<S> {
        self.ending.store(true, Ordering::Release);
        self.hand_over_block()?;
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok((out, done))) => done.map(|()| out),
            _ => Err(io::Error::other("the writing thread panicked")),
        }
    }
}

impl<S> Drop for Queue<S> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl<S: Sink> Write for Queue<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.hand_over_block()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over_block()
    }
}

/// Tells the other end when the writing thread ends, also by a panic.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        self.0.changed.notify_all();
    }
}

fn write_all(shared: &Shared, out: &mut impl Sink) -> io::Result<()> {
    while let Some(item) = next(shared)? {
        match item {
            Item::Block(block) => out.write_all(&block)?,
            Item::Mark(mark, line) => out.mark(mark, &line)?,
        }
    }
    out.flush()
}

/// The oldest item; waits for one. `None` when nothing more will come.
fn next(shared: &Shared) -> io::Result<Option<Item>> {
    let mut state = shared.lock();
    loop {
        if let Some(item) = state.items.pop_front() {
            shared.changed.notify_all();
            return Ok(Some(item));
        }
        if let Some(spill) = state.spill.as_mut().filter(|spill| spill.waiting() > 0) {
            let mut bytes = Vec::new();
            let tag = spill.take(&mut bytes)?;
            shared.changed.notify_all();
            return Ok(Some(Item::from_parts(tag, bytes)));
        }
        if state.closed {
            return Ok(None);
        }
        state = shared.wait(state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A sink whose bytes can be looked at.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Written {
        fn mark(&mut self, mark: Mark, line: &[u8]) -> io::Result<()> {
            self.write_all(format!("<{mark:?} {}>", line.len()).as_bytes())
        }
    }

    fn queue<S: Sink>(out: S, spill: Option<Spill>) -> Queue<S> {
        Queue::new(out, spill, || {}, Arc::default(), Arc::new(|_| {})).unwrap()
    }

    #[test]
    fn everything_arrives_in_order() {
        let out = Written::default();
        let mut queue = queue(out.clone(), None);
        let mut expected = Vec::new();
        for n in 0..50_000u32 {
            let line = format!("{n}\n");
            expected.extend_from_slice(line.as_bytes());
            queue.write_all(line.as_bytes()).unwrap();
            if n % 7000 == 0 {
                queue.mark(Mark::Checkpoint, line.as_bytes()).unwrap();
                expected.extend_from_slice(format!("<Checkpoint {}>", line.len()).as_bytes());
            }
        }
        queue.end().unwrap();
        assert!(*out.0.lock().unwrap() == expected);
    }

    /// A sink that writes nothing before it is let go.
    struct Stalled(Receiver<()>, Written);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Closed: let go for good.
            let _ = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Stalled {
        fn mark(&mut self, mark: Mark, line: &[u8]) -> io::Result<()> {
            self.1.mark(mark, line)
        }
    }

    fn stalled() -> (Sender<()>, Stalled, Written) {
        let (sender, receiver) = channel();
        let out = Written::default();
        (sender, Stalled(receiver, out.clone()), out)
    }

    #[test]
    fn a_stalled_reader_costs_disk_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (go, sink, out) = stalled();
        let mut queue = queue(sink, Some(Spill::create(dir.path(), 64 << 20).unwrap()));
        let mut expected = Vec::new();
        // Three times what memory holds: without the spill this would wait for ever.
        for n in 0..(3 * ITEMS_MAX * BLOCK_BYTES / 16) as u32 {
            let line = format!("{n:015}\n");
            expected.extend_from_slice(line.as_bytes());
            queue.write_all(line.as_bytes()).unwrap();
            if n % 100_000 == 0 {
                queue.mark(Mark::Checkpoint, line.as_bytes()).unwrap();
                expected.extend_from_slice(b"<Checkpoint 16>");
            }
        }
        assert!(out.0.lock().unwrap().is_empty());
        let state = queue.shared.lock();
        assert!(state.items.len() <= ITEMS_MAX);
        assert!(state.spill.as_ref().unwrap().waiting() > (BLOCK_BYTES * ITEMS_MAX) as u64);
        drop(state);
        drop(go);
        queue.end().unwrap();
        assert!(*out.0.lock().unwrap() == expected);
    }

    #[test]
    fn where_the_spill_is_full_it_says_so_once_waits_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (go, sink, out) = stalled();
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let spill = Spill::create(dir.path(), 3 * BLOCK_BYTES as u64).unwrap();
        let tell: Tell = Arc::new(move |what| tell.lock().unwrap().send(what.to_owned()).unwrap());
        let mut queue = Queue::new(sink, Some(spill), || {}, Arc::default(), tell).unwrap();
        let count = 2 * ITEMS_MAX;
        let writer = std::thread::spawn(move || {
            for n in 0..count {
                queue.write_all(&vec![n as u8; BLOCK_BYTES]).unwrap();
            }
            queue.end().map(|_| ()).unwrap();
        });
        let first = told.recv().unwrap();
        assert!(first.contains("--spill-max"), "{first}");
        drop(go);
        writer.join().unwrap();
        assert!(told.try_recv().is_err(), "said once");
        let out = out.0.lock().unwrap();
        let expected: Vec<u8> = (0..count).flat_map(|n| vec![n as u8; BLOCK_BYTES]).collect();
        assert!(*out == expected);
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
        impl Sink for Full {
            fn mark(&mut self, _: Mark, _: &[u8]) -> io::Result<()> {
                Ok(())
            }
        }
        let mut queue = queue(Full, None);
        queue.write_all(b"x").unwrap();
        assert_eq!(queue.end().err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
