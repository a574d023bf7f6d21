//! What is attached: which of the three kinds it is, and of which image its statement speaks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use blubr_cli::{Failure, Input};
use blubr_envelope::{FILE_BYTES_MAX, Kind, SecretKey};
use blubr_oci::Digest;

use crate::cli::Keys;

/// A key file or passphrase is short, in bytes.
const KEY_BYTES_MAX: u64 = 8 << 20;
const PASSPHRASE_BYTES_MAX: u64 = 4096;
/// A statement names a manifest and a config; one with more subjects than this is not ours.
const SUBJECTS_MAX: usize = 1000;

/// An attestation, and what can be read of it.
#[derive(Debug)]
pub struct Content {
    /// The file, byte for byte.
    pub bytes: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// What its statement says; `None` while it is encrypted and no key was given.
    pub said: Option<Said>,
}

/// What a statement says that matters for attaching it.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// The digests of its subjects.
    pub subjects: Vec<Digest>,
    /// Its predicate's type.
    pub predicate_type: String,
    /// When the build ended, RFC 3339, where it says so.
    pub finished: Option<String>,
    /// The sums of the logs that it was made from.
    pub logs: Vec<String>,
}

/// The types by which attestations are attached: also what `fetch` looks for.
pub const ARTIFACT_TYPES: [&str; 3] =
    [artifact_type(Kind::Statement), artifact_type(Kind::Envelope), artifact_type(Kind::Message)];

/// The media type of a kind: in-toto's, DSSE's, and RFC 3156's for an encrypted message.
pub const fn artifact_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Statement => "application/vnd.in-toto+json",
        Kind::Envelope => "application/vnd.dsse.envelope.v1+json",
        Kind::Message => "application/pgp-encrypted",
    }
}

/// The file name that other tools give it when they fetch it: one for each kind, so that the name of the file from which
/// it was attached makes no difference.
pub fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Statement => "attestation.intoto.json",
        Kind::Envelope => "attestation.dsse.json",
        Kind::Message => "attestation.att",
    }
}

/// Annotations of what lies open; of an encrypted attestation nothing is told. They depend on the content alone.
pub fn annotations(content: &Content) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let Some(said) = content.said.as_ref().filter(|_| content.kind != Kind::Message) {
        annotations.insert("in-toto.io/predicate-type".to_owned(), said.predicate_type.clone());
        if let Some(finished) = &said.finished {
            annotations.insert("org.opencontainers.image.created".to_owned(), finished.clone());
        }
    }
    annotations
}

/// Reads an attestation, and opens it as far as `keys` do.
pub fn read(path: &Path, keys: &Keys) -> Result<Content, Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let bytes = input.read_to_end(FILE_BYTES_MAX as u64)?;
    of(bytes, keys, &name)
}

/// What `bytes` are. `name` is for errors.
pub fn of(bytes: Vec<u8>, keys: &Keys, name: &str) -> Result<Content, Failure> {
    let at = |error: &dyn std::fmt::Display| Failure::new(error).at(name);
    let kind = Kind::detect(&bytes).map_err(|error| at(&error))?;
    let opened = match kind {
        Kind::Message if keys.gpg => {
            let passphrase = passphrase(keys)?;
            let inside = blubr_envelope::gpg::decrypt(&bytes, passphrase.as_deref())
                .map_err(|error| at(&error))?;
            blubr_envelope::open::opened_message(inside, Vec::new()).map_err(|error| at(&error))?
        }
        Kind::Message if keys.key.is_empty() => return Ok(Content { bytes, kind, said: None }),
        _ => blubr_envelope::open(bytes.as_slice(), &secret_keys(keys)?).map_err(|error| at(&error))?,
    };
    let said = said(opened.statement_bytes()).map_err(|error| error.at(name))?;
    Ok(Content { bytes, kind, said: Some(said) })
}

/// What a statement says. Its predicate may be any: it isn't ours to judge here.
fn said(statement: &[u8]) -> Result<Said, Failure> {
    let outline = blubr_attestation::outline(statement).map_err(Failure::new)?;
    if outline.subject.len() > SUBJECTS_MAX {
        return Err(Failure::new(format_args!("it has more than {SUBJECTS_MAX} subjects")));
    }
    let digests = outline.subject.iter().flat_map(|subject| &subject.digest);
    // Algorithms that no registry uses (gitCommit, dirHash) name no image.
    let subjects =
        digests.filter_map(|(name, hex)| Digest::parse(&format!("{name}:{hex}")).ok()).collect();
    let blubr_attestation::Outline { predicate_type, finished, logs, .. } = outline;
    Ok(Said { subjects, predicate_type, finished, logs })
}

fn secret_keys(keys: &Keys) -> Result<Vec<SecretKey>, Failure> {
    let passphrase = passphrase(keys)?;
    let read = |path: &std::path::PathBuf| {
        let bytes = Input::open(Some(path))?.read_to_end(KEY_BYTES_MAX)?;
        let locked =
            SecretKey::is_locked(&bytes).map_err(|error| Failure::new(error).at(path.display()))?;
        let passphrase = passphrase.as_deref().filter(|_| locked);
        SecretKey::read(&bytes, passphrase).map_err(|error| Failure::new(error).at(path.display()))
    };
    keys.key.iter().map(read).collect()
}

fn passphrase(keys: &Keys) -> Result<Option<Vec<u8>>, Failure> {
    let path = match (&keys.passphrase_file, keys.passphrase_fd) {
        (Some(path), _) => path.clone(),
        (None, Some(number)) => format!("/dev/fd/{number}").into(),
        (None, None) => return Ok(None),
    };
    let io = |error| Failure::io(path.display(), &error);
    let file = File::open(&path).map_err(io)?;
    let mut line = Vec::new();
    BufReader::new(file.take(PASSPHRASE_BYTES_MAX)).read_until(b'\n', &mut line).map_err(io)?;
    while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        line.pop();
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use blubr_attestation::STATEMENT_TYPE;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn content(text: &str) -> Result<Content, Failure> {
        of(text.as_bytes().to_vec(), &Keys::default(), "app.att")
    }

    #[test]
    fn a_statement_says_its_subjects_whatever_its_predicate() {
        let text = format!(
            r#"{{"_type":"{STATEMENT_TYPE}","subject":[{{"digest":{{"sha256":"{HEX}","gitCommit":"abc"}}}}],
            "predicateType":"https://slsa.dev/provenance/v1","predicate":{{"x":[1],"metadata":{{"buildFinishedOn":"2026-01-01T00:00:00Z"}}}}}}"#
        );
        let content = content(&text).unwrap();
        let said = content.said.as_ref().unwrap();
        assert_eq!(said.subjects, [Digest::parse(&format!("sha256:{HEX}")).unwrap()]);
        let annotations = annotations(&content);
        assert_eq!(annotations["in-toto.io/predicate-type"], "https://slsa.dev/provenance/v1");
        assert_eq!(annotations["org.opencontainers.image.created"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_no_attestation_is_named() {
        for text in [
            "",
            "hello",
            "{}",
            r#"{"_type":"https://in-toto.io/Statement/v0.1","subject":[],"predicateType":"x"}"#,
        ] {
            let failure = content(text).map(|_| ()).unwrap_err();
            assert_eq!(failure.exit, blubr_cli::Exit::Trouble);
            assert!(failure.to_string().starts_with("app.att: "), "{failure}");
        }
    }

    #[test]
    fn an_encrypted_one_stays_closed_without_a_key_and_tells_nothing() {
        let message = "-----BEGIN PGP MESSAGE-----\n\nwcAA\n-----END PGP MESSAGE-----\n";
        let content = content(message).unwrap();
        assert_eq!(content.kind, Kind::Message);
        assert!(content.said.is_none() && annotations(&content).is_empty());
    }
}
