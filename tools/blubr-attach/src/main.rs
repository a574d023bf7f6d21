//! Attach an attestation to an image as an OCI referrer.

use std::process::ExitCode;

fn main() -> ExitCode {
    blubr_cli::run(blubr_attach::run)
}
