//! Flags as typed.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "help texts, in which [ ] mark what may be left out"
)]

use std::path::PathBuf;

use blubr_cli::Common;
use clap::{Args, Parser, Subcommand};

/// Attach an attestation to an image as an OCI referrer
#[derive(Debug, Parser)]
#[command(
    name = "blubr-attach",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "An IMAGE is oci:DIR[:TAG] (an OCI layout) or HOST/NAME[:TAG][@DIGEST] (in a registry)."
)]
pub struct Flags {
    /// What to do other than to attach.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The image to which FILE is attached: oci:DIR[:TAG] or HOST/NAME[:TAG][@DIGEST]
    #[arg(value_name = "IMAGE", required = true)]
    pub image: Option<String>,

    /// The attestation: a statement, a DSSE envelope, or an OpenPGP message with either; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub file: Option<PathBuf>,

    /// Attach LOG beside it: the log that its statement names by its sha256, or one that this was filtered out of
    #[arg(long, value_name = "LOG")]
    pub with_log: Option<PathBuf>,

    /// Encrypt LOG to the certificate in CERT; may be given several times
    #[arg(long, value_name = "CERT", requires = "with_log")]
    pub encrypt_to: Vec<PathBuf>,

    /// Attach LOG as it is, not encrypted: it holds what the build's command lines hold, secrets too
    #[arg(long, requires = "with_log", conflicts_with = "encrypt_to")]
    pub plaintext_log: bool,

    /// What opens FILE.
    #[command(flatten)]
    pub keys: Keys,

    /// How to reach the image.
    #[command(flatten)]
    pub reach: Reach,

    /// What every tool has.
    #[command(flatten)]
    pub common: Common,
}

/// What to do other than to attach.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is attached to an image
    Discover {
        /// The image: oci:DIR[:TAG] or HOST/NAME[:TAG][@DIGEST]
        #[arg(value_name = "IMAGE")]
        image: String,

        /// Print JSON
        #[arg(long)]
        json: bool,

        /// List only what is of TYPE
        #[arg(long, value_name = "TYPE")]
        artifact_type: Option<String>,

        /// How to reach the image.
        #[command(flatten)]
        reach: Reach,
    },
    /// Fetch the attestation that is attached to an image
    Fetch {
        /// The image: oci:DIR[:TAG] or HOST/NAME[:TAG][@DIGEST]
        #[arg(value_name = "IMAGE")]
        image: String,

        /// Write it to FILE instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,

        /// Write the log that is attached beside it to LOGFILE, as it was attached
        #[arg(long, value_name = "LOGFILE")]
        log_to: Option<PathBuf>,

        /// Fetch the one whose manifest has DIGEST, as discover prints it
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,

        /// How to reach the image.
        #[command(flatten)]
        reach: Reach,
    },
    /// Copy an image into an OCI layout
    Copy {
        /// The image: docker:NAME, archive:FILE[:TAG], oci:DIR[:TAG] or HOST/NAME[:TAG][@DIGEST]
        #[arg(value_name = "IMAGE")]
        from: String,

        /// The layout, which is made where there is none: oci:DIR[:TAG]
        #[arg(value_name = "LAYOUT")]
        to: String,

        /// How to reach the image.
        #[command(flatten)]
        reach: Reach,
    },
}

/// What opens an encrypted attestation, so that its subject can be checked.
#[derive(Debug, Clone, Default, Args)]
pub struct Keys {
    /// Decrypt FILE with the secret key in KEY, to check of which image it speaks; may be given several times
    #[arg(long, value_name = "KEY")]
    pub key: Vec<PathBuf>,

    /// Decrypt FILE by gpg, with the keys that it has, to check of which image it speaks
    #[arg(long, conflicts_with = "key")]
    pub gpg: bool,

    /// Read the passphrase of the secret key from descriptor N (its first line)
    #[arg(long, value_name = "N", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,

    /// Read the passphrase of the secret key from PASSFILE (its first line)
    #[arg(long, value_name = "PASSFILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// How to reach an image.
#[derive(Debug, Clone, Default, Args)]
pub struct Reach {
    /// Which image of a multi-platform index, e.g. linux/arm64; an image alone must be for it
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,

    /// Talk to the registry without TLS (done in any case on a loopback address, unless --ca-file is given)
    #[arg(long)]
    pub plain_http: bool,

    /// Trust the certificates in PEM when talking to the registry, besides the system's
    #[arg(long, value_name = "PEM", conflicts_with = "plain_http")]
    pub ca_file: Option<PathBuf>,

    /// The file with registries' credentials [default: $REGISTRY_AUTH_FILE, else $DOCKER_CONFIG/config.json]
    #[arg(long, value_name = "AUTHFILE")]
    pub auth_file: Option<PathBuf>,
}
