//! The command that is recorded: made before the probes are loaded, held until they are in place.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

/// A process that waits for the word to become the command.
pub struct Command {
    /// Its process id.
    pub pid: u32,
    go: File,
    failed: File,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Ended {
    /// As a shell tells it: 128+N for a signal.
    pub fn status(self) -> u8 {
        match self {
            Ended::Code(code) => code,
            Ended::Signal(signal) => 128u8.saturating_add(signal),
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [0; 2];
    // SAFETY: pipe2 writes two descriptors into an array of two.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

impl Command {
    /// Makes the process. To be called while this program has one thread, with the signals that it waits for
    /// blocked: the new process takes `mask` instead.
    ///
    /// # Errors
    /// When a word has a NUL in it, or there can be no new process.
    pub fn prepare(words: &[OsString], mask: &libc::sigset_t) -> io::Result<Command> {
        let words: Vec<CString> = words
            .iter()
            .map(|word| CString::new(word.as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL in the command"))?;
        let mut argv: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let (go_read, go_write) = pipe()?;
        let (failed_read, failed_write) = pipe()?;
        // SAFETY: this process has one thread; the child calls only async-signal-safe functions.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop((go_write, failed_read));
                // SAFETY: argv ends in a null pointer, and its strings live on.
                unsafe { become_command(&argv, mask, go_read.as_raw_fd(), failed_write.as_raw_fd()) }
            }
            pid => Ok(Command {
                pid: pid.unsigned_abs(),
                go: File::from(go_write),
                failed: File::from(failed_read),
            }),
        }
    }

    /// Lets it become the command.
    ///
    /// # Errors
    /// Why the command could not be run; the process has ended then.
    pub fn start(&mut self) -> io::Result<()> {
        self.go.write_all(b"g")?;
        let mut errno = [0u8; 4];
        match self.failed.read_exact(&mut errno) {
            Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            // Closed by the exec.
            Err(_) => Ok(()),
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        let mut status = 0;
        // SAFETY: a plain call; our own child.
        let pid = unsafe { libc::waitpid(self.pid.cast_signed(), &raw mut status, libc::WNOHANG) };
        if pid != self.pid.cast_signed() {
            return None;
        }
        if libc::WIFSIGNALED(status) {
            return Some(Ended::Signal(libc::WTERMSIG(status) as u8));
        }
        libc::WIFEXITED(status).then(|| Ended::Code(libc::WEXITSTATUS(status) as u8))
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain call; the process is our child and has not been waited for.
        unsafe { libc::kill(self.pid.cast_signed(), signal) };
    }
}

/// The child's part. Only async-signal-safe calls.
///
/// # Safety
/// `argv` must end in a null pointer and point to strings.
unsafe fn become_command(
    argv: &[*const libc::c_char],
    mask: &libc::sigset_t,
    go: RawFd,
    failed: RawFd,
) -> ! {
    let mut word = 0u8;
    // SAFETY: plain calls on our own descriptors and buffers; execvp gets what it asks for.
    unsafe {
        if libc::read(go, (&raw mut word).cast(), 1) != 1 {
            // The recorder ended before the command began.
            libc::_exit(125);
        }
        libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
        // Rust programs ignore it; commands expect it.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO);
        libc::execvp(argv[0], argv.as_ptr());
        let errno: i32 = *libc::__errno_location();
        libc::write(failed, (&raw const errno).cast(), size_of::<i32>());
        libc::_exit(if errno == libc::ENOENT { 127 } else { 126 })
    }
}
