//! The generator of a known number of calls, `bench/calls.c`, built once a test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::program::stdout_of;
use crate::supervise::process_folder;

/// The program: `calls open|setxattr COUNT [THREADS [PAUSE_US]]`.
///
/// # Panics
/// When there is no C compiler, which `make build` needs anyway.
#[must_use]
pub fn calls() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/calls.c");
        let program = process_folder().join("calls");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-pthread", "-o"]).arg(&program).arg(source);
        let _ = stdout_of(&mut compiler);
        program
    })
}
