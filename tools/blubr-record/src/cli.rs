//! The flags of blubr-record, as typed.

use std::ffi::OsString;
use std::path::PathBuf;

use blubr_cli::Common;

/// Record what a container build does, with eBPF
///
/// Records every process of this host, its file accesses, mounts and network connections, while COMMAND runs;
/// without COMMAND until SIGINT or SIGTERM.
#[derive(Debug, clap::Parser)]
#[command(name = "blubr-record", version, max_term_width = 100)]
#[command(override_usage = "blubr-record [OPTIONS] [-- COMMAND...]\n       blubr-record --check")]
pub struct Flags {
    /// Write the log to FILE: as FILE.partial until it is whole; compressed where FILE ends in .zst. Standard output
    /// without it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Say what this host can and cannot record, and what to do about it; record nothing
    #[arg(long, conflicts_with_all = ["output", "command"])]
    pub check: bool,

    /// Leave out calls that failed
    #[arg(long)]
    pub no_failed: bool,

    /// Exit with 125 if events were lost
    #[arg(long)]
    pub fail_on_loss: bool,

    /// Memory between kernel and recorder: a power of two, from 512K to 1G
    #[arg(long, value_name = "SIZE", default_value = "32M")]
    pub ring_size: String,

    /// Where to keep, in a file without a name, what the reader of the log does not take yet; $TMPDIR or /var/tmp
    /// without it
    #[arg(long, value_name = "DIR")]
    pub spill: Option<PathBuf>,

    /// The most bytes to keep there, such as 512M; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "4G")]
    pub spill_max: String,

    /// Copy each checkpoint, as it is written, to FILE (new, or a FIFO) or to the open descriptor FD
    #[arg(long, value_name = "FILE|FD")]
    pub checkpoints_to: Option<PathBuf>,

    /// Write the log in parts of about SIZE: for -o day.ndjson these are day.000001.ndjson and so on
    #[arg(long, value_name = "SIZE", requires = "output")]
    pub rotate: Option<String>,

    /// Remove the oldest parts: beyond SIZE (such as 20G) in all, or older than AGE (such as 36h, 30d, 8w)
    #[arg(long, value_name = "SIZE|AGE", requires = "rotate")]
    pub keep: Option<String>,

    /// Leave a probe out, by its name in the header's hooks: what it would have told is in not_covered. For tests of what
    /// such a log is worth
    #[arg(long, value_name = "NAME", hide = true)]
    pub without_probe: Vec<String>,

    /// Read the kernel's memory as on kernels that take no typed loads: dearer, and the same log. For tests
    #[arg(long, hide = true)]
    pub without_typed_loads: bool,

    /// Hook system calls at perf's tracepoints, where tracefs is mounted, as on kernels that preempt programs at BTF
    /// tracepoints: dearer, and the same log. For tests
    #[arg(long, hide = true)]
    pub by_perf: bool,

    /// What every tool has.
    #[command(flatten)]
    pub common: Common,

    /// The command to record, and its arguments; its standard output goes to standard error
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
