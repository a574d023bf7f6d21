//! The flags as they are typed.

use std::path::PathBuf;

use blubr_cli::Common;

/// Assemble, sign, encrypt, verify and show the attestation of a build
///
/// Reads a log made by blubr-record (filtered by blubr-filter or not), a Dockerfile and an image, and writes an in-toto
/// statement that says which line of the Dockerfile did what, whether the record is whole, and what it did not see.
#[derive(Debug, clap::Parser)]
#[command(name = "blubr-attest", version, args_conflicts_with_subcommands = true)]
pub struct Flags {
    /// What to do instead of assembling.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to assemble from.
    #[command(flatten)]
    pub assemble: Assemble,

    /// Flags of every tool.
    #[command(flatten)]
    pub common: Common,
}

/// What to do instead of assembling.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check an attestation: its signature, and the image, Dockerfile and log that it speaks of
    Verify(Verify),
    /// Show an attestation to people, or as JSON, or as a list for sha256sum -c
    Show(Show),
    /// Print the bytes that an envelope's signature covers, for gpg --verify
    Pae(Pae),
    /// Print the parse of a Dockerfile, as BuildKit's parser cuts it: one JSON object a line for each instruction
    Dockerfile(Dockerfile),
}

/// Assembling.
#[derive(Debug, clap::Args)]
pub struct Assemble {
    /// The log; standard input when left out or -
    #[arg(value_name = "LOG")]
    pub log: Option<PathBuf>,

    /// The Dockerfile that was built
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,

    /// The build context, to be hashed
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,

    /// The image that was built: docker:NAME, oci:DIR[:TAG], archive:FILE or HOST/NAME[:TAG]
    #[arg(long, value_name = "REF", conflicts_with = "iidfile")]
    pub image: Option<String>,

    /// Take the image's id from a file, as docker build --iidfile writes it (an image of the local engine)
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,

    /// Which build of the log (blubr-filter --build list shows them)
    #[arg(long, value_name = "N")]
    pub build: Option<u32>,

    /// Write the attestation to FILE: statement, envelope or message, by what else is asked for
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Write the bare statement to FILE too
    #[arg(long, value_name = "FILE")]
    pub statement: Option<PathBuf>,

    /// Write a detached, armored signature over the bare statement to FILE
    #[arg(long, value_name = "FILE", requires = "statement")]
    pub detached: Option<PathBuf>,

    /// Write the DSSE envelope, not encrypted, to FILE too
    #[arg(long, value_name = "FILE")]
    pub dsse: Option<PathBuf>,

    /// Move the long tables into FILE, compressed NDJSON (.ndjson.zst) that the statement names by its sha256
    #[arg(long, value_name = "FILE")]
    pub detail_to: Option<PathBuf>,

    /// Sign with the secret key in FILE (OpenPGP, armored or binary)
    #[arg(long, value_name = "FILE", conflicts_with = "gpg_key")]
    pub sign_with: Option<PathBuf>,

    /// Sign by gpg, with the key that it knows as ID (its agent, a smart card)
    #[arg(long, value_name = "ID")]
    pub gpg_key: Option<String>,

    /// Encrypt to the certificate in FILE; may be given several times
    #[arg(long, value_name = "FILE")]
    pub encrypt_to: Vec<PathBuf>,

    /// Don't encrypt to the signer's own certificate as well
    #[arg(long, requires = "encrypt_to")]
    pub no_encrypt_to_self: bool,

    /// Where the passphrase comes from.
    #[command(flatten)]
    pub passphrase: Passphrase,

    /// An earlier attestation: say of each cached step what that one shows of its layer; may be given several times
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub prior: Vec<PathBuf>,

    /// A certificate that may have signed the --prior ones; may be given several times
    #[arg(long, value_name = "FILE", requires = "prior")]
    pub cert: Vec<PathBuf>,

    /// Decrypt the --prior ones with the secret key in FILE (besides the one that signs); may be given several times
    #[arg(long, value_name = "FILE", requires = "prior")]
    pub key: Vec<PathBuf>,

    /// Exit with 1 unless these hold: complete, explained, observed (with commas)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub require: Vec<Require>,

    /// Attest a build that failed, too
    #[arg(long)]
    pub allow_failed: bool,
}

/// What may be required of a build; none of it holds of a log that was filtered by more than its build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Require {
    /// The recording is whole: nothing was lost while the build ran, and the log was not cut off
    Complete,
    /// Every entry of the new layers is explained by an event, and every recorded write by the image
    Explained,
    /// Every step was observed, done by the engine in view, or taken from the cache with evidence
    Observed,
}

/// Where the passphrase of a secret key comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Passphrase {
    /// Read the passphrase of the secret key from descriptor N (its first line)
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,

    /// Read the passphrase of the secret key from FILE (its first line)
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// An attestation, and what opens it.
#[derive(Debug, clap::Args)]
pub struct Attestation {
    /// The attestation: statement, envelope or encrypted message; standard input for -
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Decrypt with the secret key in FILE; may be given several times
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// Decrypt by gpg, with the keys that it has
    #[arg(long, conflicts_with = "key")]
    pub gpg: bool,

    /// Where the passphrase comes from.
    #[command(flatten)]
    pub passphrase: Passphrase,
}

/// Verifying.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// What to verify.
    #[command(flatten)]
    pub attestation: Attestation,

    /// A certificate that may have signed it; may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "unsigned")]
    pub cert: Vec<PathBuf>,

    /// Don't ask who signed it
    #[arg(long, conflicts_with = "cert")]
    pub unsigned: bool,

    /// A detached signature over the bare statement
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,

    /// The image must be the one that it speaks of
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,

    /// The Dockerfile must be the one that it speaks of
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,

    /// The build context must be the one that it speaks of
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,

    /// The log must be the one that it was made from, or one that this was filtered out of, and its chain must hold
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// FILE must be the detail that the statement names, and hold what the statement says
    #[arg(long, value_name = "FILE")]
    pub detail: Option<PathBuf>,

    /// The log's checkpoints must be those in FILE, kept apart by blubr-record --checkpoints-to
    #[arg(long, value_name = "FILE", requires = "log")]
    pub checkpoints: Option<PathBuf>,
}

/// Showing.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// What to show.
    #[command(flatten)]
    pub attestation: Attestation,

    /// Take the tables from FILE, where the statement leaves them to one (--detail-to)
    #[arg(long, value_name = "FILE")]
    pub detail: Option<PathBuf>,

    /// Print the statement as it is, for jq; with --detail the tables in their places
    #[arg(long, conflicts_with = "sha256sum")]
    pub json: bool,

    /// Print a line for sha256sum -c for each file of the image that the build made; to be checked from its root
    #[arg(long)]
    pub sha256sum: bool,
}

/// The bytes signed.
#[derive(Debug, clap::Args)]
pub struct Pae {
    /// What was signed.
    #[command(flatten)]
    pub attestation: Attestation,
}

/// Parsing a Dockerfile.
#[derive(Debug, clap::Args)]
pub struct Dockerfile {
    /// The Dockerfile; standard input for -
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Replace variables as docker build --build-arg would (without a value: the environment's); may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,

    /// Replace variables for a build of this stage
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Replace variables for a build for this platform, such as linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
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
    fn a_log_and_a_subcommand_are_told_apart() {
        let flags =
            Flags::try_parse_from(["blubr-attest", "build.ndjson", "--dockerfile", "Dockerfile"])
                .unwrap();
        assert!(flags.command.is_none());
        assert_eq!(flags.assemble.log.unwrap().to_str(), Some("build.ndjson"));
        let flags = Flags::try_parse_from(["blubr-attest", "verify", "--cert", "c", "a.att"]).unwrap();
        assert!(matches!(flags.command, Some(Command::Verify(_))));
        assert!(Flags::try_parse_from(["blubr-attest", "verify", "a.att"]).is_err());
        assert!(Flags::try_parse_from(["blubr-attest", "--detached", "x"]).is_err());
    }
}
