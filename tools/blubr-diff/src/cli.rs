//! The flags as they are typed.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "help texts, in which [ ] mark what may be left out"
)]

use std::path::PathBuf;

use blubr_cli::Common;

/// Compare two attestations, or an attestation with an image, or print an image's Dockerfile
///
/// With two attestations: what differs between the two builds. With --image: whether the image is what the attestation
/// speaks of. Exits with 0 when nothing differs, 1 when something does, 2 on trouble.
#[derive(Debug, clap::Parser)]
#[command(name = "blubr-diff", version, args_conflicts_with_subcommands = true)]
pub struct Flags {
    /// What to do instead of comparing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What to compare.
    #[command(flatten)]
    pub compare: Compare,

    /// Flags of every tool.
    #[command(flatten)]
    pub common: Common,
}

/// What to do instead of comparing.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the Dockerfile that an image's history tells of
    Reverse(Reverse),
}

/// Comparing.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// Two attestations, the older one first; with --image one. Statement, envelope or encrypted message; - is standard input
    #[arg(value_name = "ATTESTATION", num_args = 0..=2)]
    pub attestations: Vec<PathBuf>,

    /// Compare the attestation with this image: docker:NAME, oci:DIR[:TAG], archive:FILE or HOST/NAME[:TAG]
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,

    /// Take the Dockerfile's own text from FILE, not only the instructions that the attestation repeats
    #[arg(long, value_name = "FILE", requires = "image")]
    pub dockerfile: Option<PathBuf>,

    /// Take the tables that an attestation leaves to a file (blubr-attest --detail-to) from FILE, which is told by its sha256;
    /// may be given several times
    #[arg(long, value_name = "FILE")]
    pub detail: Vec<PathBuf>,

    /// Decrypt with the secret key in FILE; may be given several times
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// Read the passphrase of the secret key from descriptor N (its first line)
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,

    /// Read the passphrase of the secret key from FILE (its first line)
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Print the differences as one JSON object
    #[arg(long)]
    pub json: bool,

    /// Compare only these subjects (with commas)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    pub only: Vec<Subject>,

    /// Take nothing away: times, ids, temporary names, addresses and digests count as differences too
    #[arg(long, conflicts_with = "image")]
    pub strict: bool,

    /// With --image, don't read the layers: compare digests and history only
    #[arg(long, requires = "image")]
    pub no_layers: bool,

    /// Say which rules took differences between runs away, and from how many values
    #[arg(long)]
    pub explain: bool,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Subject {
    /// Its instructions, as a unified diff
    Dockerfile,
    /// Digests, platform, layers
    Image,
    /// Names and layers of the base images
    Base,
    /// Their status, and the commands that they ran
    Steps,
    /// The hosts that were reached
    Network,
    /// What was written: path, kind, sha256
    Files,
    /// The programs that were run, with their arguments
    Processes,
    /// How complete the records are
    Completeness,
    /// The image's history against the Dockerfile (with --image)
    History,
}

/// Printing a Dockerfile.
#[derive(Debug, clap::Args)]
pub struct Reverse {
    /// The image: docker:NAME, oci:DIR[:TAG], archive:FILE or HOST/NAME[:TAG]
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// The image that it was made from: its part of the history is marked
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// List the files of each layer in comments
    #[arg(long)]
    pub files: bool,

    /// Write to FILE
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
