//! What the flags mean: everything that can be decided before work starts.

use std::path::PathBuf;

use blubr_cli::{Common, Failure};
use blubr_oci::Digest;
use blubr_oci::Platform;
use blubr_oci::{Options, Reference};

use crate::cli::{Command, Flags, Keys, Reach};

/// What to do.
#[derive(Debug)]
pub enum Plan {
    /// Attach a file.
    Push(Push),
    /// List what is attached.
    Discover(Discover),
    /// Fetch what is attached.
    Fetch(Fetch),
    /// Copy an image into a layout.
    Copy(Copy),
}

/// An image and how to reach it.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub reference: Reference,
    /// How to reach it.
    pub options: Options,
    /// What every tool has.
    pub common: Common,
}

/// Attach `file` to `image`.
#[derive(Debug)]
pub struct Push {
    /// The image.
    pub image: Image,
    /// The attestation.
    pub file: PathBuf,
    /// What opens it.
    pub keys: Keys,
    /// The log beside it.
    pub log: Option<WithLog>,
}

/// A log that is attached beside an attestation.
#[derive(Debug)]
pub struct WithLog {
    /// Where it is.
    pub file: PathBuf,
    /// Certificates to which it is encrypted; none where it is to lie open, as was asked for.
    pub encrypt_to: Vec<PathBuf>,
}

/// List what is attached to `image`.
#[derive(Debug)]
pub struct Discover {
    /// The image.
    pub image: Image,
    /// As JSON.
    pub json: bool,
    /// Only this type.
    pub artifact_type: Option<String>,
}

/// Fetch what is attached to `image`.
#[derive(Debug)]
pub struct Fetch {
    /// The image.
    pub image: Image,
    /// Where it goes; `None` for standard output.
    pub output: Option<PathBuf>,
    /// The one with this manifest.
    pub digest: Option<Digest>,
    /// Where the log beside it goes.
    pub log_to: Option<PathBuf>,
}

/// Copy `image` into a layout.
#[derive(Debug)]
pub struct Copy {
    /// The image.
    pub image: Image,
    /// The layout's folder.
    pub dir: PathBuf,
    /// What the image will be called there.
    pub tag: Option<String>,
}

/// What `flags` mean.
pub fn plan(flags: Flags) -> Result<Plan, Failure> {
    let common = flags.common;
    match flags.command {
        None => {
            let (Some(image), Some(file)) = (flags.image, flags.file) else {
                return Err(Failure::new("an IMAGE and a FILE are needed").advise("see --help"));
            };
            let log = with_log(flags.with_log, flags.encrypt_to, flags.plaintext_log)?;
            let image = place(&image, flags.reach, common)?;
            Ok(Plan::Push(Push { image, file, keys: flags.keys, log }))
        }
        Some(Command::Discover { image, json, artifact_type, reach }) => {
            let image = place(&image, reach, common)?;
            Ok(Plan::Discover(Discover { image, json, artifact_type }))
        }
        Some(Command::Fetch { image, output, log_to, digest, reach }) => {
            if log_to.is_some() && log_to == output {
                return Err(Failure::new("two outputs have this name")
                    .at(log_to.unwrap_or_default().display())
                    .advise("name each differently"));
            }
            let digest = digest.map(|text| Digest::parse(&text)).transpose().map_err(Failure::new)?;
            Ok(Plan::Fetch(Fetch { image: place(&image, reach, common)?, output, digest, log_to }))
        }
        Some(Command::Copy { from, to, reach }) => {
            let image = parse(&from, reach, common)?;
            match Reference::parse(&to).map_err(Failure::new)? {
                Reference::Layout { dir, tag, digest: None } => Ok(Plan::Copy(Copy { image, dir, tag })),
                _ => Err(Failure::new("an image is copied into a layout only")
                    .at(to)
                    .advise("name it oci:DIR:TAG")),
            }
        }
    }
}

/// A log is attached encrypted, or in the open where that is said in so many words.
fn with_log(
    file: Option<PathBuf>,
    encrypt_to: Vec<PathBuf>,
    plaintext: bool,
) -> Result<Option<WithLog>, Failure> {
    let Some(file) = file else { return Ok(None) };
    if encrypt_to.is_empty() && !plaintext {
        return Err(Failure::new("the log is not redacted: who reads it reads the build's secrets")
            .at(file.display())
            .advise("encrypt it by --encrypt-to CERT, or say --plaintext-log"));
    }
    Ok(Some(WithLog { file, encrypt_to }))
}

/// An image to which something can be attached.
fn place(text: &str, reach: Reach, common: Common) -> Result<Image, Failure> {
    let image = parse(text, reach, common)?;
    match image.reference {
        Reference::Layout { .. } | Reference::Registry(_) => Ok(image),
        _ => Err(Failure::new("nothing can be attached there").at(text).advise(format_args!(
            "copy the image into a layout (`blubr-attach copy {text} oci:DIR:TAG`), or push it to a registry"
        ))),
    }
}

fn parse(text: &str, reach: Reach, common: Common) -> Result<Image, Failure> {
    let reference = Reference::parse(text).map_err(Failure::new)?;
    let mut options = Options::from_env();
    if let Some(platform) = reach.platform {
        options.platform = Some(Platform::parse(&platform).ok_or_else(|| {
            Failure::new("this is no platform").at(&platform).advise("write OS/ARCH, as in linux/arm64")
        })?);
    }
    options.plain_http = reach.plain_http;
    options.ca_file = reach.ca_file;
    options.auth_file = reach.auth_file.or(options.auth_file);
    Ok(Image { reference, options, common })
}
