//! The passphrase of a secret key: from a descriptor, a file or the terminal, never from an argument.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use blubr_cli::Failure;

use crate::cli::Passphrase;

/// The longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

impl Passphrase {
    /// Whether one is given by descriptor or file.
    pub fn is_given(&self) -> bool {
        self.passphrase_fd.is_some() || self.passphrase_file.is_some()
    }

    /// The one that is given; else, with `ask`, the terminal's answer to it; else none.
    pub fn get(&self, ask: Option<&str>) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(number) = self.passphrase_fd {
            let path = format!("/dev/fd/{number}");
            return first_line(Path::new(&path), &format!("descriptor {number}")).map(Some);
        }
        if let Some(path) = &self.passphrase_file {
            return first_line(path, &path.display().to_string()).map(Some);
        }
        ask.map_or(Ok(None), terminal)
    }
}

fn first_line(path: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| Failure::io(name, &error))?;
    line(file, name)
}

fn line(file: File, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = BufReader::new(file.take(PASSPHRASE_BYTES_MAX + 2));
    reader.read_until(b'\n', &mut bytes).map_err(|error| Failure::io(name, &error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if bytes.len() as u64 > PASSPHRASE_BYTES_MAX {
        return Err(
            Failure::new(format_args!("a passphrase longer than {PASSPHRASE_BYTES_MAX} bytes")).at(name)
        );
    }
    Ok(bytes)
}

/// Asks on the terminal, with echo off. `None` when there is no terminal.
fn terminal(ask: &str) -> Result<Option<Vec<u8>>, Failure> {
    const TTY: &str = "/dev/tty";
    let Ok(mut tty) = File::options().read(true).write(true).open(TTY) else { return Ok(None) };
    let failed = |error: std::io::Error| Failure::io(TTY, &error);
    write!(tty, "{}: ", blubr_cli::printable(ask)).map_err(failed)?;
    let _echo = NoEcho::new(&tty);
    let typed = line(tty.try_clone().map_err(failed)?, TTY)?;
    writeln!(tty).map_err(failed)?;
    Ok(Some(typed))
}

/// Echo is off while this lives. By stty(1): the system call needs unsafe code, which this tool has none of.
struct NoEcho {
    tty: Option<File>,
}

impl NoEcho {
    fn new(tty: &File) -> Self {
        stty(tty, "-echo");
        Self { tty: tty.try_clone().ok() }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if let Some(tty) = &self.tty {
            stty(tty, "echo");
        }
    }
}

fn stty(tty: &File, mode: &str) {
    let Ok(tty) = tty.try_clone() else { return };
    // Without stty the passphrase is seen while it is typed, which is no reason to stop.
    let _ =
        Command::new("stty").arg(mode).stdin(tty).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
