//! gpg as the signer and opener: for keys that only its agent or a smart card has.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::FILE_BYTES_MAX;
use crate::cert::{Cert, KeyError};
use crate::decrypt;
use crate::open::OpenError;
use crate::secret::Signed;
use crate::verify;

/// Why gpg didn't do it.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// The file is not asked of it at all.
    #[error(transparent)]
    File(OpenError),
    /// It can't be run.
    #[error("gpg can't be run: {0}: install gnupg, or sign with a key file (--sign-with)")]
    Run(std::io::Error),
    /// It failed, and said why.
    #[error("gpg: {0}")]
    Failed(String),
    /// It gave too much.
    #[error("gpg gave more than the {FILE_BYTES_MAX} bytes that an attestation may have")]
    TooLong,
    /// What it gave is no signature.
    #[error("gpg gave no signature that can be read: {0}")]
    Signature(verify::Refusal),
    /// What it exported is no certificate.
    #[error("gpg's certificate for {id}: {source}")]
    Cert {
        /// The key as the user named it.
        id: String,
        /// What is wrong.
        source: KeyError,
    },
}

/// Signs `data` with the key that gpg knows as `id`. With a passphrase gpg's own dialogue is not shown.
pub fn sign(id: &str, data: &[u8], passphrase: Option<&[u8]>) -> Result<Signed, GpgError> {
    let args = ["--digest-algo", "SHA256", "--local-user", id, "--output", "-", "--detach-sign"];
    let sig = run(&args, data, passphrase)?;
    let keyid = verify::issuer_of(&sig).map_err(GpgError::Signature)?;
    Ok(Signed { sig, keyid })
}

/// The certificate of the key that gpg knows as `id`.
pub fn cert(id: &str) -> Result<Cert, GpgError> {
    let bytes = run(&["--export", "--", id], &[], None)?;
    Cert::read_one(&bytes).map_err(|source| GpgError::Cert { id: id.to_owned(), source })
}

/// Decrypts a message with whatever secret keys gpg has, which would pass over what stands behind it.
pub fn decrypt(message: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, GpgError> {
    decrypt::is_alone(message).map_err(|refused| GpgError::File(refused.into()))?;
    run(&["--output", "-", "--decrypt"], message, passphrase)
}

fn run(args: &[&str], input: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<u8>, GpgError> {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--no-tty", "--status-fd", "2"]);
    if passphrase.is_some() {
        // With descriptor 0 gpg takes the first line as the passphrase and the rest as the data.
        command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
    }
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(GpgError::Run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (output, said) = std::thread::scope(|scope| {
        scope.spawn(move || {
            let Some(mut stdin) = stdin else { return };
            // A gpg that ends early closes its end; its status says why.
            let line = passphrase.map(|secret| [secret, b"\n"].concat());
            let _ = stdin
                .write_all(line.as_deref().unwrap_or_default())
                .and_then(|()| stdin.write_all(input));
        });
        let errors = scope.spawn(move || stderr.map(|pipe| take(pipe, 1024 * 1024)).unwrap_or_default());
        let output = stdout.map(|pipe| take(pipe, FILE_BYTES_MAX + 1)).unwrap_or_default();
        (output, errors.join().unwrap_or_default())
    });
    let status = child.wait().map_err(GpgError::Run)?;
    if output.len() > FILE_BYTES_MAX {
        return Err(GpgError::TooLong);
    }
    let said = String::from_utf8_lossy(&said);
    if !status.success() || output.is_empty() {
        return Err(GpgError::Failed(reason(&said)));
    }
    Ok(output)
}

fn take(mut pipe: impl Read, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.by_ref().take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes);
    bytes
}

/// The reason in gpg's status lines (doc/DETAILS of GnuPG; error codes of libgpg-error), else its last words.
fn reason(said: &str) -> String {
    let failure = said
        .lines()
        .find_map(|line| line.strip_prefix("[GNUPG:] FAILURE ")?.split(' ').nth(1)?.parse::<u64>().ok());
    // The low 16 bits are the error, the rest is where it came from.
    let words = match failure.map(|code| code & 0xffff) {
        Some(11) => Some("the passphrase is wrong"),
        Some(17) => Some("there is no secret key of that name"),
        Some(85) => Some(
            "no passphrase dialogue (pinentry) can be shown here: use --passphrase-file or --passphrase-fd",
        ),
        Some(54) => Some("the key is expired, revoked or not meant for this"),
        _ => None,
    };
    let inv = said.lines().any(|line| line.starts_with("[GNUPG:] INV_SGNR"));
    let last = said.lines().rev().find(|line| !line.starts_with("[GNUPG:]") && !line.trim().is_empty());
    let last = last
        .unwrap_or("it failed without a word")
        .trim_start_matches("gpg: ")
        .chars()
        .take(200)
        .collect::<String>();
    match words {
        Some(words) => format!("{words} ({last})"),
        None if inv => format!("the key can't sign ({last})"),
        None => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_put_in_words() {
        let said = "gpg: signing failed: Bad passphrase\n[GNUPG:] FAILURE sign 67108875\n";
        assert!(reason(said).starts_with("the passphrase is wrong"));
        assert!(
            reason("[GNUPG:] FAILURE sign 17\ngpg: no default secret key: No secret key\n")
                .contains("no secret key")
        );
        assert!(reason("[GNUPG:] FAILURE sign 67108949\n").contains("pinentry"));
        assert_eq!(reason("gpg: something odd\n"), "something odd");
        assert_eq!(reason(""), "it failed without a word");
    }
}
