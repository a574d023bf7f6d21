//! Pick one build, or other parts, out of a log.

use std::process::ExitCode;

fn main() -> ExitCode {
    blubr_cli::run(blubr_filter::run)
}
