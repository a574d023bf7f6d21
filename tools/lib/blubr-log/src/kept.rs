//! Checkpoints that were kept apart from their log: whether the log still has them, and from where on not.

use std::io::{self, BufRead, Read as _};

use crate::record::Checkpoint;

/// The longest line of such a file, in bytes; a checkpoint has about 150.
const LINE_BYTES_MAX: u64 = 4096;

/// Why kept checkpoints can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// They can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line, from 1, is no checkpoint.
    #[error("line {0} is not a checkpoint: {1}")]
    Malformed(u64, serde_json::Error),
    /// There is none.
    #[error("holds no checkpoint")]
    Empty,
}

/// What the checkpoints say of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has all of them, in order.
    All {
        /// How many.
        checkpoints: u64,
        /// Events before the last.
        events: u64,
    },
    /// It was changed between two: the first holds, the second doesn't.
    Changed {
        /// Events before the last that holds; 0 where none does.
        after: u64,
        /// Events before the first that doesn't.
        before: u64,
    },
    /// It ends before the others.
    Short {
        /// Events before the last that it has.
        after: u64,
    },
}

/// Compares, one after the other, the checkpoints of a log with those that were kept; memory does not grow.
pub struct Kept<R: BufRead> {
    source: R,
    line: u64,
    /// The one that must come next.
    next: Option<Checkpoint>,
    held: u64,
    after: u64,
    changed: Option<Verdict>,
}

impl<R: BufRead> Kept<R> {
    /// Reads the first.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(source: R) -> Result<Self, KeptError> {
        let mut kept = Kept { source, line: 0, next: None, held: 0, after: 0, changed: None };
        kept.next = kept.read()?;
        if kept.next.is_none() { Err(KeptError::Empty) } else { Ok(kept) }
    }

    /// The log has this checkpoint, which its own chain confirms.
    ///
    /// # Errors
    /// When the kept ones can't be read on.
    pub fn meet(&mut self, found: &Checkpoint) -> Result<(), KeptError> {
        let Some(wanted) = self.next.as_ref().filter(|_| self.changed.is_none()) else { return Ok(()) };
        if found.events < wanted.events {
            // One that was not kept proves nothing, and denies nothing.
            return Ok(());
        }
        if (found.events, &found.sha256) != (wanted.events, &wanted.sha256) {
            self.changed = Some(Verdict::Changed { after: self.after, before: wanted.events });
            return Ok(());
        }
        self.after = wanted.events;
        self.held += 1;
        self.next = self.read()?;
        Ok(())
    }

    /// The log has no more.
    pub fn verdict(&self) -> Verdict {
        match (self.changed, &self.next) {
            (Some(changed), _) => changed,
            (None, None) => Verdict::All { checkpoints: self.held, events: self.after },
            (None, Some(_)) => Verdict::Short { after: self.after },
        }
    }

    fn read(&mut self) -> Result<Option<Checkpoint>, KeptError> {
        let mut line = Vec::new();
        self.source.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        serde_json::from_slice(&line).map(Some).map_err(|e| KeptError::Malformed(self.line, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(events: u64, sha256: &str) -> Checkpoint {
        Checkpoint { r#type: "checkpoint".into(), events, lost: 0, sha256: sha256.into() }
    }

    fn compare(kept: &[(u64, &str)], found: &[(u64, &str)]) -> Verdict {
        let text: String = kept
            .iter()
            .map(|(events, sum)| serde_json::to_string(&checkpoint(*events, sum)).unwrap() + "\n")
            .collect();
        let mut kept = Kept::new(text.as_bytes()).unwrap();
        for (events, sum) in found {
            kept.meet(&checkpoint(*events, sum)).unwrap();
        }
        kept.verdict()
    }

    #[test]
    fn what_was_changed_lies_between_two() {
        let kept = [(10, "a"), (20, "b"), (20, "c"), (30, "d")];
        assert_eq!(compare(&kept, &kept), Verdict::All { checkpoints: 4, events: 30 });
        assert_eq!(compare(&kept[1..3], &kept), Verdict::All { checkpoints: 2, events: 20 });
        assert_eq!(
            compare(&kept, &[(10, "x"), (20, "y"), (20, "z"), (30, "d")]),
            Verdict::Changed { after: 0, before: 10 }
        );
        assert_eq!(
            compare(&kept, &[(10, "a"), (20, "b"), (20, "c"), (30, "x")]),
            Verdict::Changed { after: 20, before: 30 }
        );
        assert_eq!(
            compare(&kept, &[(10, "a"), (29, "x"), (30, "y")]),
            Verdict::Changed { after: 10, before: 20 }
        );
        assert_eq!(compare(&kept, &[(10, "a"), (20, "b")]), Verdict::Short { after: 20 });
        assert_eq!(compare(&kept, &[]), Verdict::Short { after: 0 });
    }

    #[test]
    fn what_is_no_checkpoint_is_named_by_its_line() {
        assert!(matches!(Kept::new(&b""[..]), Err(KeptError::Empty)));
        assert!(matches!(Kept::new(&b"{}\n"[..]), Err(KeptError::Malformed(1, _))));
        assert!(matches!(Kept::new(&[b' '; 10_000][..]), Err(KeptError::Malformed(1, _))));
    }
}
