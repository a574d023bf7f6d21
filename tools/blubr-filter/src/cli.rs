//! The flags as they are typed.

use std::path::PathBuf;

use blubr_cli::Common;

/// Pick one build, or other parts, out of a log
///
/// Reads a log made by blubr-record, from LOG or standard input, and passes on the events that fit all selectors that are given;
/// of a selector that is given several times one must fit.
#[derive(Debug, clap::Parser)]
#[command(name = "blubr-filter", version, args_conflicts_with_subcommands = true)]
pub struct Flags {
    /// What to do instead of filtering.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Which events to pass on.
    #[command(flatten)]
    pub selectors: Selectors,

    /// Write to FILE, which appears when it is whole, instead of standard output; compressed where FILE ends in .zst
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Write the events in this form: as a log, or as a table for spreadsheets, which no tool reads back as a log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,

    /// The log; standard input when left out or -
    #[arg(value_name = "LOG")]
    pub log: Option<PathBuf>,

    /// Flags of every tool.
    #[command(flatten)]
    pub common: Common,
}

/// What is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A log, as blubr-record writes it
    #[default]
    Ndjson,
    /// A row for each event and a column for each key (RFC 4180)
    Csv,
}

/// What events to pass on. These, and nothing else, decide what a filtered log holds.
#[derive(Debug, Default, clap::Args)]
pub struct Selectors {
    /// One build: number N of the list, else the one that the recorded command made, else the only one. `--build list`
    /// lists the builds instead. (A word that is neither is the LOG)
    #[arg(long, value_name = "N|list", num_args = 0..=1, default_missing_value = "")]
    pub build: Option<String>,

    /// With --build: the build's Dockerfile. Of builds at the same time it gets no steps that no RUN of FILE gives
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,

    /// With --dockerfile: only the events of the step that is at this line of it
    #[arg(long, value_name = "LINE", requires = "dockerfile")]
    pub step: Option<usize>,

    /// What FILE was when a log was filtered; only in headers, for verify.
    #[arg(long, value_name = "HEX", hide = true)]
    pub dockerfile_sha256: Option<String>,

    /// Events of these types, such as file.open or 'net.*'
    #[arg(long = "type", value_name = "GLOB")]
    pub types: Vec<String>,

    /// Events in these control groups; * stands for slashes too
    #[arg(long, value_name = "GLOB")]
    pub cgroup: Vec<String>,

    /// Events of a process and of all that it began; START (its `start`) where the pid was used again
    #[arg(long, value_name = "PID[:START]")]
    pub pid_tree: Vec<String>,
}

/// What to do instead of filtering.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check that a filtered log is what its filters make of the log that it came from, or that a log is the one whose
    /// checkpoints were kept elsewhere
    Verify(Verify),
}

/// Replaying.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("against").required(true).args(["source", "checkpoints"]))]
pub struct Verify {
    /// The log that LOG was made from, as it was before the first filter
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<PathBuf>,

    /// LOG must have the checkpoints in FILE, which blubr-record --checkpoints-to wrote
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Option<PathBuf>,

    /// The Dockerfile that the filter was given, where it is no longer at the place that LOG names
    #[arg(long, value_name = "FILE", requires = "source")]
    pub dockerfile: Option<PathBuf>,

    /// The log: with --source a filtered one; standard input for -
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn a_log_may_stand_behind_build() {
        let flags = Flags::try_parse_from(["blubr-filter", "--build", "build.ndjson"]).unwrap();
        assert_eq!(flags.selectors.build.as_deref(), Some("build.ndjson"));
        let flags = Flags::try_parse_from(["blubr-filter", "--build", "--type", "net.*"]).unwrap();
        assert_eq!(flags.selectors.build.as_deref(), Some(""));
        let flags = Flags::try_parse_from(["blubr-filter", "--build", "2", "x"]).unwrap();
        assert_eq!(flags.log, Some(PathBuf::from("x")));
        let flags = Flags::try_parse_from(["blubr-filter", "verify", "--source", "a", "b"]).unwrap();
        assert!(matches!(flags.command, Some(Command::Verify(_))));
        assert!(Flags::try_parse_from(["blubr-filter", "verify", "b"]).is_err());
    }
}
