//! Assemble, sign, encrypt, verify and show the attestation of a build.

use std::process::ExitCode;

fn main() -> ExitCode {
    blubr_cli::run(blubr_attest::run)
}
