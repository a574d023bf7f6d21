//! The signals that the main thread waits for: to end, to pass on, and to look at what the other threads want.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::time::Duration;

use crate::command::{Command, Ended};

/// How often it looks whether the recording still goes on, where no signal comes.
const LOOK: Duration = Duration::from_secs(1);

/// The signals that the main thread waits for.
pub struct Signals {
    waited_for: libc::sigset_t,
    before: libc::sigset_t,
}

impl Signals {
    /// Blocks them for this thread and those it will make.
    pub fn block() -> Signals {
        // SAFETY: sigset_t is plain data; the calls fill and read our own sets.
        unsafe {
            let mut waited_for: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut waited_for);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD] {
                libc::sigaddset(&raw mut waited_for, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const waited_for, &raw mut before);
            Signals { waited_for, before }
        }
    }

    /// The mask that was there before, for the command.
    pub fn before(&self) -> &libc::sigset_t {
        &self.before
    }

    /// The next signal within `LOOK`, and whether a process sent it.
    fn next(&self) -> Option<(i32, bool)> {
        let wait =
            libc::timespec { tv_sec: LOOK.as_secs().cast_signed(), tv_nsec: LOOK.subsec_nanos().into() };
        // SAFETY: siginfo_t is plain data that the call fills.
        let (signal, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let waited_for = &raw const self.waited_for;
            (libc::sigtimedwait(waited_for, &raw mut info, &raw const wait), info)
        };
        // SI_USER, SI_QUEUE, SI_TKILL are not positive; what the terminal sends is SI_KERNEL.
        (signal > 0).then_some((signal, info.si_code <= 0))
    }

    /// Waits for a signal to end, or for the recording to fail.
    pub fn until_stopped(&self, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            match self.next() {
                Some((libc::SIGCHLD, _)) | None => {}
                Some(_) => return,
            }
        }
    }

    /// Waits for the command to end. A signal that was sent to us goes on to it; one from the terminal it has got
    /// itself.
    pub fn until_ended(&self, command: &Command, mut look: impl FnMut()) -> Ended {
        loop {
            look();
            if let Some(ended) = command.ended() {
                return ended;
            }
            if let Some((signal, sent)) = self.next()
                && signal != libc::SIGCHLD
                && sent
            {
                command.signal(signal);
            }
        }
    }
}
