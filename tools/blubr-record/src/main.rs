//! Record what a container build does, with eBPF.

use std::process::ExitCode;

fn main() -> ExitCode {
    blubr_cli::run(blubr_record::run)
}
