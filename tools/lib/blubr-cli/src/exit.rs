//! The exit codes, on one page.

/// How a tool ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; or the answer is "yes" (same, verified).
    Done,
    /// 1: the answer is "no": differs, does not verify, a required property does not hold.
    No,
    /// 2: trouble: usage, input, input/output.
    Trouble,
    /// 125: blubr-record could not record, or lost events under `--fail-on-loss`.
    NotRecorded,
    /// 126: the command to be recorded could not be run (as env(1)).
    NotExecutable,
    /// 127: the command to be recorded was not found (as env(1)).
    NotFound,
    /// The recorded command's own status; 128+N when signal N ended it.
    Command(u8),
}

impl Exit {
    /// The status that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Trouble => 2,
            Exit::NotRecorded => 125,
            Exit::NotExecutable => 126,
            Exit::NotFound => 127,
            Exit::Command(code) => code,
        }
    }
}
