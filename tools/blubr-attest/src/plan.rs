//! The flags as they are meant: decided before any work starts.

use std::path::{Path, PathBuf};

use blubr_cli::Failure;

use crate::cli::{Assemble, Passphrase, Require};
use crate::picture;

/// What to assemble from, and what to write.
pub struct Plan {
    /// The log; `None` is standard input.
    pub log: Option<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: Option<PathBuf>,
    /// The build context.
    pub context: Option<PathBuf>,
    /// Where the image is.
    pub image: Option<ImageAt>,
    /// Which build of the log.
    pub build: Option<u32>,
    /// What to write.
    pub outputs: Outputs,
    /// Who signs.
    pub signer: Option<SignerFrom>,
    /// To whom to encrypt.
    pub encrypt_to: Vec<PathBuf>,
    /// To encrypt to the signer too.
    pub encrypt_to_self: bool,
    /// Where the passphrase comes from.
    pub passphrase: Passphrase,
    /// Earlier attestations.
    pub priors: Priors,
    /// What must hold.
    pub require: Vec<Require>,
    /// To attest a failed build.
    pub allow_failed: bool,
}

/// Where the image's reference comes from. It is looked up when the log has ended, and not before: until then the name may
/// still mean an older image.
pub enum ImageAt {
    /// A reference.
    Reference(String),
    /// A file with its id.
    IdFile(PathBuf),
}

impl ImageAt {
    /// The reference.
    pub fn reference(&self) -> Result<String, Failure> {
        match self {
            Self::Reference(text) => Ok(text.clone()),
            Self::IdFile(path) => picture::from_iidfile(path),
        }
    }
}

/// Earlier attestations, and what they are verified and opened with.
pub struct Priors {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Certificates that may have signed them.
    pub certs: Vec<PathBuf>,
    /// Secret keys that may open them.
    pub keys: Vec<PathBuf>,
}

/// Who signs.
pub enum SignerFrom {
    /// A secret key in a file.
    File(PathBuf),
    /// gpg, with the key that it knows by this name.
    Gpg(String),
}

/// What to write.
pub struct Outputs {
    /// The attestation; `None` is standard output.
    pub attestation: Option<PathBuf>,
    /// The bare statement.
    pub statement: Option<PathBuf>,
    /// A detached signature over it.
    pub detached: Option<PathBuf>,
    /// The envelope.
    pub dsse: Option<PathBuf>,
    /// The long tables.
    pub detail: Option<PathBuf>,
}

impl Plan {
    /// Checks the flags against one another.
    pub fn new(flags: Assemble) -> Result<Self, Failure> {
        let signer = match (flags.sign_with, flags.gpg_key) {
            (Some(file), _) => Some(SignerFrom::File(file)),
            (None, Some(id)) => Some(SignerFrom::Gpg(id)),
            (None, None) => None,
        };
        if signer.is_none() && (flags.dsse.is_some() || flags.detached.is_some()) {
            let flag = if flags.dsse.is_some() { "--dsse" } else { "--detached" };
            return Err(Failure::new(format_args!("{flag} wants a signer"))
                .advise("add --sign-with FILE or --gpg-key ID"));
        }
        if !flags.prior.is_empty()
            && (flags.dockerfile.is_none() || flags.image.is_none() && flags.iidfile.is_none())
        {
            return Err(Failure::new(
                "--prior wants the Dockerfile and the image: it is about the layers of cached steps",
            )
            .advise("add --dockerfile FILE and --image REF"));
        }
        if flags.prior.iter().any(|path| path == Path::new("-")) {
            return Err(Failure::new("--prior wants a file").advise("write --prior FILE"));
        }
        if signer.is_none() && flags.key.is_empty() && flags.passphrase.is_given() {
            return Err(Failure::new("a passphrase is given, and no key")
                .advise("add --sign-with FILE or --gpg-key ID"));
        }
        if flags.require.contains(&Require::Explained)
            && flags.image.is_none()
            && flags.iidfile.is_none()
        {
            return Err(Failure::new("--require explained wants an image").advise("add --image REF"));
        }
        if flags.require.contains(&Require::Observed) && flags.dockerfile.is_none() {
            return Err(
                Failure::new("--require observed wants the Dockerfile").advise("add --dockerfile FILE")
            );
        }
        let plan = Self {
            log: flags.log,
            dockerfile: flags.dockerfile,
            context: flags.context,
            image: flags.image.map(ImageAt::Reference).or(flags.iidfile.map(ImageAt::IdFile)),
            build: flags.build,
            outputs: Outputs {
                attestation: flags.output,
                statement: flags.statement,
                detached: flags.detached,
                dsse: flags.dsse,
                detail: flags.detail_to,
            },
            signer,
            encrypt_to: flags.encrypt_to,
            encrypt_to_self: !flags.no_encrypt_to_self,
            passphrase: flags.passphrase,
            priors: Priors { files: flags.prior, certs: flags.cert, keys: flags.key },
            require: flags.require,
            allow_failed: flags.allow_failed,
        };
        plan.distinct_outputs()?;
        Ok(plan)
    }

    fn distinct_outputs(&self) -> Result<(), Failure> {
        let outputs = &self.outputs;
        if outputs
            .detail
            .as_deref()
            .is_some_and(|path| path.file_name().is_none() || path == Path::new("-"))
        {
            return Err(Failure::new("--detail-to wants a file, which the statement names")
                .advise("write --detail-to FILE.ndjson.zst"));
        }
        let all: Vec<&PathBuf> = [
            &outputs.attestation,
            &outputs.statement,
            &outputs.detached,
            &outputs.dsse,
            &outputs.detail,
        ]
        .into_iter()
        .flatten()
        .collect();
        for (at, one) in all.iter().enumerate() {
            if all.iter().skip(at + 1).any(|other| other == one) {
                return Err(Failure::new("two outputs have this name")
                    .at(one.display())
                    .advise("name each differently"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Flags;

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let all = std::iter::once("blubr-attest").chain(args.iter().copied());
        Plan::new(Flags::try_parse_from(all).unwrap().assemble).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_cannot_be_is_said_before_work_starts() {
        assert!(plan(&["--dsse", "x"]).err().unwrap().contains("wants a signer"));
        assert!(plan(&["--require", "explained"]).err().unwrap().contains("--image"));
        assert!(plan(&["--require", "complete,observed"]).err().unwrap().contains("--dockerfile"));
        let twice = plan(&["-o", "a", "--statement", "a"]);
        assert!(twice.err().unwrap().starts_with("a: two outputs"));
        let twice = plan(&["--detail-to", "a", "--statement", "a"]);
        assert!(twice.err().unwrap().starts_with("a: two outputs"));
        assert!(plan(&["--detail-to", "-"]).err().unwrap().contains("--detail-to FILE"));
        assert!(plan(&["--passphrase-fd", "3"]).err().unwrap().contains("no key"));
        assert!(
            plan(&["log", "-o", "a", "--statement", "b", "--sign-with", "k", "--detached", "c"]).is_ok()
        );
    }
}
