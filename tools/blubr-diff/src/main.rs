//! Compare attestations with each other and with images.

fn main() -> std::process::ExitCode {
    blubr_cli::run(blubr_diff::run)
}
