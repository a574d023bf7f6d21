//! Processes: how they begin, what they run, how they end.

use super::schema::schema;
use crate::{Name, NameList, Seen};

schema! {
    /// A process was created (fork, vfork, clone, clone3); a new thread of a process is not.
    struct ProcessFork {
        /// Process id of the child.
        child_pid: u32,
        /// When the child started, in ns since boot.
        child_start: u64,
    }
}

schema! {
    /// A program was started (execve, execveat), or with a negative `ret` could not be: then exe and argv are the caller's.
    struct ProcessExec<'a> {
        /// The file that runs, as the kernel resolved it; of a failed call the caller's string.
        exe: Seen<Name<'a>>,
        /// The arguments as the new program sees them (for a script the kernel has put the interpreter in front).
        argv: Seen<NameList<'a>>,
        /// The working directory.
        cwd: Seen<Name<'a>>,
        /// Effective group id.
        gid: u32,
        /// Effective user id before, where the program changed it (setuid).
        uid_before: Option<u32>,
        /// Effective group id before, where the program changed it (setgid).
        gid_before: Option<u32>,
        /// The script that was asked for, where an interpreter runs it (`#!`, binfmt_misc).
        script: Option<Name<'a>>,
        /// The interpreter that the kernel put in its place.
        interpreter: Option<Name<'a>>,
    }
}

schema! {
    /// The last thread of a process ended.
    struct ProcessExit {
        /// Exit status, 0 to 255, where the process ended by itself.
        code: Option<u32>,
        /// Number of the signal that ended it.
        signal: Option<u32>,
    }
}

schema! {
    /// A process that was there before the recording.
    struct ProcessExists<'a> {
        /// The file that it runs.
        exe: Seen<Name<'a>>,
        /// Its arguments as they stood in its memory then.
        argv: Seen<NameList<'a>>,
        /// Its working directory.
        cwd: Seen<Name<'a>>,
        /// The files that it holds open for writing.
        open_for_writing: Option<NameList<'a>>,
    }
}
