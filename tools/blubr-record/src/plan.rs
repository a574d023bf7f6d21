//! What is to be recorded, decided before anything is touched.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use blubr_cli::{Common, Failure};

use crate::backend;
use crate::cli::Flags;
use crate::copies;
use crate::parts::Keep;

/// The tool's name in diagnostics.
pub const TOOL: &str = "blubr-record";

/// The smallest ring: one record of the longest argv, its strings, and as much again.
const RING_MIN: u32 = 512 << 10;
/// The largest. The kernel maps it twice.
const RING_MAX: u32 = 1 << 30;
/// The smallest spill: some blocks of the queue.
const SPILL_MIN: u64 = 1 << 20;

/// The smallest part: some checkpoints.
const PART_MIN: u64 = 64 << 10;

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

/// How the log is written in parts.
#[derive(Debug, Clone, Copy)]
pub struct Rotate {
    /// Bytes of a part's file from which on it is ended.
    pub bytes: u64,
    /// Which parts stay; none: all.
    pub keep: Option<Keep>,
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
    /// Where each checkpoint is copied to.
    pub checkpoints_to: Option<copies::To>,
    /// The log is written in parts.
    pub rotate: Option<Rotate>,
    /// Probes that are left out.
    pub without_probes: Vec<String>,
    /// Read the kernel's memory by calls alone.
    pub without_typed_loads: bool,
    /// Hook system calls at perf's tracepoints, whatever the kernel.
    pub by_perf: bool,
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
        if flags.rotate.is_some() && output.is_none() {
            let what = "--rotate: standard output has no parts";
            return Err(Failure::new(what).advise("name a file with -o"));
        }
        Ok(Plan {
            compress: output.as_ref().is_some_and(|path| path.extension().is_some_and(|s| s == "zst")),
            spill: spill(flags.spill, &flags.spill_max)?,
            checkpoints_to: flags.checkpoints_to.map(copies_to),
            rotate: rotate(flags.rotate.as_deref(), flags.keep.as_deref())?,
            without_probes: without_probes(flags.without_probe)?,
            without_typed_loads: flags.without_typed_loads,
            by_perf: flags.by_perf,
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

fn without_probes(names: Vec<String>) -> Result<Vec<String>, Failure> {
    let known: Vec<&str> = backend::HOOKS.iter().map(|(name, _, _)| *name).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Failure::new(format!("--without-probe {name}: there is no such probe"))
            .advise(format!("one of {}", known.join(", ")))),
        None => Ok(names),
    }
}

/// A number is a descriptor; a file of that name is ./3.
fn copies_to(word: PathBuf) -> copies::To {
    let number = word.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|text| text.parse().ok()) {
        Some(fd) => copies::To::Fd(fd),
        None => copies::To::File(word),
    }
}

fn rotate(bytes: Option<&str>, keep: Option<&str>) -> Result<Option<Rotate>, Failure> {
    let Some(text) = bytes else { return Ok(None) };
    let bytes = size(text).filter(|bytes| *bytes >= PART_MIN).ok_or_else(|| {
        Failure::new(format!("--rotate {text}: not a size of a part"))
            .advise("64K and more, such as 256M")
    })?;
    let keep = keep.map(|text| {
        kept(text).ok_or_else(|| {
            Failure::new(format!("--keep {text}: neither a size nor an age"))
                .advise("such as 20G, or 36h, 30d, 8w")
        })
    });
    Ok(Some(Rotate { bytes, keep: keep.transpose()? }))
}

/// `30d`, or `20G`.
fn kept(text: &str) -> Option<Keep> {
    let hours = match text.as_bytes().last()? {
        b'h' => 1,
        b'd' => 24,
        b'w' => 7 * 24,
        _ => return size(text).map(Keep::Bytes),
    };
    let count = size(&text[..text.len() - 1])?;
    Some(Keep::Age(Duration::from_secs(count.checked_mul(hours * 3600)?)))
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
    fn parts_are_kept_by_size_or_age() {
        let hours = |hours: u64| Some(Keep::Age(Duration::from_secs(3600 * hours)));
        assert_eq!(kept("20G"), Some(Keep::Bytes(20 << 30)));
        assert_eq!((kept("36h"), kept("30d"), kept("2w")), (hours(36), hours(720), hours(336)));
        for bad in ["", "d", "-1d", "1.5d", "1Gd2", "9999999999999999999d", "é"] {
            assert_eq!(kept(bad), None, "{bad}");
        }
        assert!(rotate(Some("1K"), None).is_err() && rotate(Some("1G"), Some("x")).is_err());
        assert!(rotate(None, None).unwrap().is_none());
    }

    #[test]
    fn only_a_probe_that_there_is_can_be_left_out() {
        assert!(without_probes(vec!["blubr_exec".to_owned(), "blubr_exit".to_owned()]).is_ok());
        assert!(without_probes(vec!["blubr_exec".to_owned(), "exec".to_owned()]).is_err());
    }

    #[test]
    fn a_number_is_a_descriptor() {
        assert_eq!(copies_to("3".into()), copies::To::Fd(3));
        assert_eq!(copies_to("./3".into()), copies::To::File("./3".into()));
        assert_eq!(copies_to("99999999999".into()), copies::To::File("99999999999".into()));
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
