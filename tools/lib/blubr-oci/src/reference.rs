//! One way to name an image everywhere: `docker:`, `oci:`, `archive:`, or a registry reference.

use std::fmt;
use std::path::PathBuf;

use blubr_image::{Digest, Error};

/// Names of images longer than this are refused, in bytes; distribution allows 255 for a repository and 128 for a tag.
const REFERENCE_BYTES_MAX: usize = 8192;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// `docker:NAME`: in the local engine, by name or id.
    Docker(String),
    /// `oci:DIR[:TAG][@DIGEST]`: in an OCI layout. DIR ends at the first colon, as skopeo reads it.
    Layout {
        /// The folder.
        dir: PathBuf,
        /// The manifest's `org.opencontainers.image.ref.name`.
        tag: Option<String>,
        /// The manifest's or index's digest.
        digest: Option<Digest>,
    },
    /// `archive:FILE.tar[:TAG]`: what `docker save` writes, or a layout in a tar. FILE ends at the first colon.
    Archive {
        /// The file.
        file: PathBuf,
        /// `NAME:TAG`, where the archive has several images.
        tag: Option<String>,
    },
    /// `HOST[:PORT]/NAME[:TAG][@DIGEST]`: in a registry.
    Registry(Registry),
}

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registry {
    /// Host, with its port where it has one.
    pub host: String,
    /// The repository's name.
    pub repository: String,
    /// The tag, where one is given.
    pub tag: Option<String>,
    /// The digest, where one is given; it wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as users type it. Nothing is looked up for this.
    pub fn parse(text: &str) -> Result<Reference, Error> {
        if text.len() > REFERENCE_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(Error::Source(
                "this is no name of an image: too long, or with control characters".to_owned(),
            ));
        }
        if let Some(name) = text.strip_prefix("docker:") {
            if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
                return Err(wrong(text, "docker: wants a name or an id after it"));
            }
            if name.starts_with("//") {
                return Err(wrong(text, "a registry's image is written without docker://"));
            }
            return Ok(Reference::Docker(name.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (rest, digest) = split_digest(rest)?;
            let (dir, tag) = split_tag(rest);
            if dir.is_empty() {
                return Err(wrong(text, "oci: wants the folder of a layout after it"));
            }
            return Ok(Reference::Layout { dir: dir.into(), tag, digest });
        }
        if let Some(rest) = text.strip_prefix("archive:") {
            let (file, tag) = split_tag(rest);
            if file.is_empty() {
                return Err(wrong(text, "archive: wants a tar file after it"));
            }
            return Ok(Reference::Archive { file: file.into(), tag });
        }
        Registry::parse(text).map(Reference::Registry)
    }
}

impl Registry {
    fn parse(text: &str) -> Result<Registry, Error> {
        let (rest, digest) = split_digest(text)?;
        let first = rest.split('/').next().unwrap_or_default();
        let is_host = first.contains(['.', ':']) || first == "localhost" || first.starts_with('[');
        let Some((host, name)) = rest.split_once('/').filter(|_| is_host) else {
            return Err(wrong(
                text,
                "it names no registry: docker:NAME is an image of the local engine, oci:DIR one in a layout, archive:FILE one in a tar, HOST/NAME one in a registry",
            ));
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        };
        if !is_repository(repository) {
            return Err(wrong(
                text,
                "the repository's name is made of lower-case letters, digits and . _ - / between them",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(text, "a tag is made of letters, digits and . _ -, at most 128"));
        }
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
            return Err(wrong(text, "the part before the first slash is no host name"));
        }
        Ok(Registry {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// What is put behind the repository in the registry's API: the digest, else the tag, else `latest`.
    pub fn name_or_digest(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |f: &mut fmt::Formatter<'_>, tag: &Option<String>, digest: Option<&Digest>| {
            if let Some(tag) = tag {
                write!(f, ":{tag}")?;
            }
            match digest {
                Some(digest) => write!(f, "@{digest}"),
                None => Ok(()),
            }
        };
        match self {
            Reference::Docker(name) => write!(f, "docker:{name}"),
            Reference::Layout { dir, tag, digest } => {
                write!(f, "oci:{}", dir.display())?;
                suffix(f, tag, digest.as_ref())
            }
            Reference::Archive { file, tag } => {
                write!(f, "archive:{}", file.display())?;
                suffix(f, tag, None)
            }
            Reference::Registry(Registry { host, repository, tag, digest }) => {
                write!(f, "{host}/{repository}")?;
                suffix(f, tag, digest.as_ref())
            }
        }
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), Error> {
    match text.rsplit_once('@') {
        Some((rest, digest)) if digest.starts_with("sha") && digest.contains(':') => {
            Ok((rest, Some(Digest::parse(digest)?)))
        }
        _ => Ok((text, None)),
    }
}

fn split_tag(text: &str) -> (&str, Option<String>) {
    match text.split_once(':') {
        Some((place, "")) => (place, None),
        Some((place, tag)) => (place, Some(tag.to_owned())),
        None => (text, None),
    }
}

/// distribution-spec, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes.
fn is_repository(name: &str) -> bool {
    const REPOSITORY_BYTES_MAX: usize = 255;
    name.len() <= REPOSITORY_BYTES_MAX && name.split('/').all(is_part)
}

/// One part of a repository's name: words, and between two of them one of the separators.
fn is_part(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = part;
    loop {
        let after = rest.trim_start_matches(is_word);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        rest = after.trim_start_matches(['.', '_', '-']);
        let separator = after.get(..after.len() - rest.len()).unwrap_or_default();
        if !matches!(separator, "." | "_" | "__") && !separator.trim_matches('-').is_empty() {
            return false;
        }
    }
}

/// distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(crate) fn is_tag(tag: &str) -> bool {
    const TAG_BYTES_MAX: usize = 128;
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && tag.bytes().next().is_some_and(|b| b != b'.' && b != b'-')
}

fn wrong(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(120).collect();
    Error::Source(format!("'{shown}': {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_read_and_written_back() {
        for text in [
            "docker:app",
            "docker:localhost:5000/app:1",
            "oci:layout",
            "oci:/a/b:1.0",
            "oci:layout:registry.example/app:1",
            &format!("oci:layout@{ID}"),
            &format!("oci:layout:1@{ID}"),
            "archive:a.tar",
            "archive:a.tar:app:1",
            "registry.example/app:1",
            "localhost/a/b__c-d",
            "localhost/a.b_c/d---e",
            "127.0.0.1:5000/app",
            "[::1]:5000/app:1",
            &format!("registry.example:5000/app@{ID}"),
            &format!("registry.example/app:1@{ID}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_advice() {
        for text in [
            "",
            "app",
            "app:1",
            "library/app",
            "docker:",
            "docker:-x",
            "docker://app",
            "oci:",
            "oci::tag",
            "archive:",
            "registry.example/",
            "registry.example/App",
            "registry.example/a/../b",
            "registry.example/app:",
            "a b.c/x",
            "registry.example/app:1\n",
            "registry.example/app@sha256:12",
            "registry.example/app:-x",
            "registry.example/a.-b",
            "registry.example/a_-b",
            "registry.example/a___b",
            "registry.example/a..b",
            "registry.example/a-",
            "u:p@h.example/app",
        ] {
            let error =
                Reference::parse(text).map(|found| panic!("{text}: {found:?}")).unwrap_err().to_string();
            assert!(!error.contains('\n') && error.len() < 400, "{error}");
        }
        assert!(Reference::parse("app").unwrap_err().to_string().contains("docker:NAME"));
        assert!(Reference::parse(&"a".repeat(100_000)).is_err());
    }
}
