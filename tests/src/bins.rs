//! The binaries under test: those in `$BLUBR_BIN`, and no others.

use std::path::PathBuf;
use std::process::Command;

/// The path of one of the tools.
///
/// # Panics
/// When `BLUBR_BIN` is not set or holds no such program: a guess could test last week's build or an installed one.
#[must_use]
pub fn path(tool: &str) -> PathBuf {
    let folder = std::env::var_os("BLUBR_BIN").unwrap_or_else(|| {
        panic!(
            "BLUBR_BIN is not set: run `make test`, or name the folder that holds the built tools in it"
        )
    });
    let path = std::path::absolute(PathBuf::from(folder).join(tool)).expect("a current folder");
    assert!(path.is_file(), "{}: not built: run `make build`", path.display());
    path
}

/// A command that runs one of the tools.
#[must_use]
pub fn command(tool: &str) -> Command {
    Command::new(path(tool))
}
