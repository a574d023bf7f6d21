//! What is to be recorded, decided before anything is touched.

use std::ffi::OsString;
use std::path::PathBuf;

use blubr_cli::{Common, Failure};

use crate::cli::Flags;

/// The tool's name in diagnostics.
pub const TOOL: &str = "blubr-record";

/// The smallest ring: one record of the longest argv, its strings, and as much again.
const RING_MIN: u32 = 512 << 10;
/// The largest. The kernel maps it twice.
const RING_MAX: u32 = 1 << 30;

/// A recording, as meant.
#[derive(Debug)]
pub struct Plan {
    /// Where the log goes; none is standard output.
    pub output: Option<PathBuf>,
    /// Leave out calls that failed.
    pub no_failed: bool,
    /// Lost events make the recording a failure.
    pub fail_on_loss: bool,
    /// Bytes of the ring.
    pub ring_bytes: u32,
    /// The command; empty for a monitor.
    pub command: Vec<OsString>,
    /// What every tool has.
    pub common: Common,
}

impl Plan {
    /// From the flags.
    ///
    /// # Errors
    /// When a flag's value is not what it may be.
    pub fn new(flags: Flags) -> Result<Plan, Failure> {
        let ring_bytes = size(&flags.ring_size).ok_or_else(|| {
            let what = format!("--ring-size {}: not a size of the ring", flags.ring_size);
            Failure::new(what).advise("a power of two from 512K to 1G, such as 64M")
        })?;
        Ok(Plan {
            output: flags.output.filter(|path| path.as_os_str() != "-"),
            no_failed: flags.no_failed,
            fail_on_loss: flags.fail_on_loss,
            ring_bytes,
            command: flags.command,
            common: flags.common,
        })
    }
}

/// `64M` in bytes, if it can be a ring.
fn size(text: &str) -> Option<u32> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u32 = digits.parse().ok()?;
    let bytes = number.checked_mul(1 << shift)?;
    (bytes.is_power_of_two() && (RING_MIN..=RING_MAX).contains(&bytes)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("32M"), Some(32 << 20));
        assert_eq!(size("1048576"), Some(1 << 20));
        assert_eq!(size("1G"), Some(1 << 30));
        for bad in ["", "M", "3M", "4K", "2G", "64G", "-1", "32MB", "é"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
