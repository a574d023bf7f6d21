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
/// The smallest spill: some blocks of the queue.
const SPILL_MIN: u64 = 1 << 20;

/// Where what waits for the log's reader goes when memory is full.
#[derive(Debug)]
pub struct SpillPlan {
    /// The folder.
    pub folder: PathBuf,
    /// The most bytes.
    pub bytes_max: u64,
    /// The folder was asked for: not to have it is an error.
    pub asked: bool,
}

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
    /// The log is compressed.
    pub compress: bool,
    /// None where there is to be no spill.
    pub spill: Option<SpillPlan>,
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
        let ring_bytes = ring_size(&flags.ring_size).ok_or_else(|| {
            let what = format!("--ring-size {}: not a size of the ring", flags.ring_size);
            Failure::new(what).advise("a power of two from 512K to 1G, such as 64M")
        })?;
        let output = flags.output.filter(|path| path.as_os_str() != "-");
        Ok(Plan {
            compress: output.as_ref().is_some_and(|path| path.extension().is_some_and(|s| s == "zst")),
            spill: spill(flags.spill, &flags.spill_max)?,
            output,
            no_failed: flags.no_failed,
            fail_on_loss: flags.fail_on_loss,
            ring_bytes,
            command: flags.command,
            common: flags.common,
        })
    }
}

fn spill(folder: Option<PathBuf>, max: &str) -> Result<Option<SpillPlan>, Failure> {
    let bytes_max = size(max).filter(|bytes| *bytes == 0 || *bytes >= SPILL_MIN);
    let bytes_max = bytes_max.ok_or_else(|| {
        Failure::new(format!("--spill-max {max}: not a size of the spill file"))
            .advise("0, or 1M and more, such as 4G")
    })?;
    let asked = folder.is_some();
    let folder = folder.or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from));
    let folder = folder.unwrap_or_else(|| PathBuf::from("/var/tmp"));
    Ok((bytes_max > 0).then_some(SpillPlan { folder, bytes_max, asked }))
}

/// `64M` in bytes, if it can be a ring.
fn ring_size(text: &str) -> Option<u32> {
    let bytes = u32::try_from(size(text)?).ok()?;
    (bytes.is_power_of_two() && (RING_MIN..=RING_MAX).contains(&bytes)).then_some(bytes)
}

/// `64M` in bytes.
fn size(text: &str) -> Option<u64> {
    let shift = match text.as_bytes().last()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    // `parse` would take a sign.
    let number: u64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spill_may_be_none_but_not_tiny() {
        assert!(spill(None, "0").unwrap().is_none());
        assert!(spill(None, "1K").is_err());
        let plan = spill(Some("/x".into()), "1M").unwrap().unwrap();
        assert!(plan.asked && plan.bytes_max == 1 << 20);
    }

    #[test]
    fn sizes() {
        assert_eq!(ring_size("32M"), Some(32 << 20));
        assert_eq!(ring_size("1048576"), Some(1 << 20));
        assert_eq!(ring_size("1G"), Some(1 << 30));
        for bad in ["", "M", "3M", "4K", "2G", "64G", "-1", "+1M", "32MB", "é"] {
            assert_eq!(ring_size(bad), None, "{bad}");
        }
        assert_eq!(size("3t"), Some(3 << 40));
        for bad in ["", "G", "1.5G", "-1", "+1", "99999999T", "1é", "18446744073709551616"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
