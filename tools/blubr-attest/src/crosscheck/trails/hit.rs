//! One change of a path: whose it is, and which of two says more.

use blubr_build::ProcessKey;

use crate::assemble_parts::Slot;

/// Who changed a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Hit {
    /// The step; `None` for the engine around a container, and for strangers.
    pub(in super::super) slot: Option<Slot>,
    /// The process.
    pub(in super::super) by: ProcessKey,
    pub(super) seq: u64,
    /// When it came to this name: with a directory above, or by the change itself.
    pub(super) since: u64,
    /// When it last left nothing of what was there before.
    pub(super) anew: u64,
    pub(super) gone: bool,
    /// The name was given to something at some time.
    pub(super) given: bool,
    /// It was taken away at some time.
    pub(super) taken: bool,
    pub(super) expected: bool,
    /// Where the name is gone, nothing of a lower layer may be left of it.
    pub(super) removed: bool,
    pub(super) engine: bool,
    /// By a process that is no part of the build: it says who, and explains nothing.
    pub(in super::super) foreign: bool,
}

impl Hit {
    /// Whether this change says more of a path than `other`: a step's or a stranger's more than the engine's work around a
    /// container, and of two such the later. But what a stranger wrote stays his until nothing is left of it.
    pub(super) fn outranks(&self, other: &Hit) -> bool {
        match (self.engine, other.engine) {
            (true, false) => false,
            (false, true) => true,
            _ if self.foreign && !other.foreign => self.is_upon(other),
            _ if !self.foreign && other.foreign => !other.is_upon(self),
            _ => self.when() >= other.when(),
        }
    }

    /// When it came to this name, and when it was done.
    fn when(&self) -> (u64, u64) {
        (self.since, self.seq)
    }

    /// Whether something is left of this stranger's change after a step's.
    fn is_upon(&self, own: &Hit) -> bool {
        if self.came() == own.came() {
            return self.seq >= own.replaced();
        }
        self.since >= own.replaced().max(own.came())
    }

    /// When it came to this name with a directory above; 0 if it didn't.
    fn came(&self) -> u64 {
        if self.since > self.seq { self.since } else { 0 }
    }

    /// When what was there before was last gone.
    fn replaced(&self) -> u64 {
        if self.gone { self.seq.max(self.anew) } else { self.anew }
    }

    /// With what another change of the name, which says less of it, did to the name.
    pub(super) fn with(self, other: &Hit) -> Self {
        let same = self.foreign == other.foreign;
        let (given, taken) = (same && other.given, same && other.taken);
        let anew = if same { self.anew.max(other.anew) } else { self.anew };
        let removed = self.removed && (other.gone || other.when() < self.when());
        Self { given: self.given || given, taken: self.taken || taken, anew, removed, ..self }
    }
}
