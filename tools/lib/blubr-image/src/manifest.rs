//! Manifests, indexes and descriptors (OCI image-spec, manifest.md, image-index.md, descriptor.md; Docker's schema 2).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::config::{LIST_LEN_MAX, null_is_default, object};
use crate::spelling::{self, keys_of};
use crate::{Digest, Error};

/// A manifest or index larger than this is refused, in bytes: distribution-spec asks registries to take 4 MiB.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// OCI's image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI's config of an image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's config of an image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The config of an artifact that has none: the two bytes `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A layer, uncompressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Names bytes by type, digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Descriptor {
    /// What the bytes are.
    #[serde(rename = "mediaType", default, deserialize_with = "null_is_default")]
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// What kind of artifact the manifest holds, in an index of referrers.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// For what the image is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Describes `bytes`, by SHA-256.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::sha256(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Whether it names an index or manifest list.
    pub fn is_index(&self) -> bool {
        is_index_type(&self.media_type)
    }

    /// Whether it names a manifest of one image or artifact.
    pub fn is_manifest(&self) -> bool {
        is_manifest_type(&self.media_type)
    }

    /// BuildKit's attestations stand in an index as manifests for the platform unknown/unknown.
    pub fn is_buildkit_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest")
    }
}

/// For what an image is made: `linux/arm/v7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// As GOOS names it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// As GOARCH names it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The architecture's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `OS/ARCH` or `OS/ARCH/VARIANT`.
    pub fn parse(text: &str) -> Option<Platform> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let platform = Platform { os: next()?, architecture: next()?, variant: next() };
        (text == platform.to_string()).then_some(platform)
    }

    /// Whether this, as asked for, is `other`: a variant that wasn't asked for may be any.
    pub fn accepts(&self, other: &Platform) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A manifest of one image or artifact. Written, its keys are in this order: the same manifest, the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// 2 in every manifest of today's form; not looked at when reading.
    #[serde(rename = "schemaVersion", default)]
    pub schema_version: u32,
    /// What the manifest says of itself; registries need not say it elsewhere.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it holds, where it is no image.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest to which this one refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// A manifest with this config and these layers.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The manifest as one line of JSON.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self)
            .map_err(|error| Error::Json { what: "a manifest", reason: error.to_string() })
    }

    /// Reads a manifest, at most [`MANIFEST_BYTES_MAX`] bytes. One that could be read as an index too is an error.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
        const WHAT: &str = "the image manifest";
        let manifest: Manifest = parse(WHAT, bytes)?;
        let of_index: OfIndex = object(WHAT, bytes)?;
        let says_index = manifest.media_type.as_deref().is_some_and(is_index_type);
        if of_index.manifests.is_some() || says_index {
            return Err(either(WHAT, "an index"));
        }
        bound("the manifest's layers", manifest.layers.len())?;
        Ok(manifest)
    }
}

/// An index (Docker: manifest list): manifests for several platforms, or the referrers of one manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Index {
    /// What the index says of itself.
    #[serde(rename = "mediaType", default)]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index, at most [`MANIFEST_BYTES_MAX`] bytes. One that could be read as a manifest too is an error.
    pub fn parse(bytes: &[u8]) -> Result<Index, Error> {
        const WHAT: &str = "the image index";
        let index: Index = parse(WHAT, bytes)?;
        let of_manifest: OfManifest = object(WHAT, bytes)?;
        let says_manifest = index.media_type.as_deref().is_some_and(is_manifest_type);
        if of_manifest.config.is_some() || of_manifest.layers.is_some() || says_manifest {
            return Err(either(WHAT, "a manifest"));
        }
        bound("the index's manifests", index.manifests.len())?;
        Ok(index)
    }

    /// The one image for `wanted`; without `wanted` the only one there is.
    ///
    /// BuildKit's attestation manifests are no images. Two that fit are an error that names them all: which one was
    /// meant is not for us to say.
    pub fn choose(&self, wanted: Option<&Platform>) -> Result<&Descriptor, Error> {
        let images: Vec<&Descriptor> =
            self.manifests.iter().filter(|entry| !entry.is_buildkit_attestation()).collect();
        let fits = |entry: &&&Descriptor| match (wanted, &entry.platform) {
            (Some(wanted), Some(platform)) => wanted.accepts(platform),
            (Some(_), None) => images.len() == 1,
            (None, _) => true,
        };
        let mut fitting = images.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one),
            (found, _) => {
                let names: Vec<String> = images
                    .iter()
                    .take(NAMED_MAX)
                    .map(|entry| match &entry.platform {
                        Some(platform) => platform.to_string(),
                        None => entry.digest.to_string(),
                    })
                    .collect();
                let names = names.join(", ");
                Err(Error::Source(match (found, wanted) {
                    (None, Some(wanted)) => {
                        format!("the index has no image for {wanted}, only for: {names}")
                    }
                    (None, None) => "the index names no image".to_owned(),
                    (Some(_), _) => {
                        format!("the index has several images ({names}): choose one by --platform")
                    }
                }))
            }
        }
    }
}

/// What of a manifest an index may have too, which then is one image to who reads it as the one, and another to who reads it as
/// the other, under one digest (CVE-2021-41190).
#[derive(Deserialize)]
struct OfIndex {
    manifests: Option<IgnoredAny>,
}

/// The same the other way round.
#[derive(Deserialize)]
struct OfManifest {
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

fn either(what: &'static str, other: &str) -> Error {
    Error::Json {
        what,
        reason: format!("it is {other} as well, by its keys or by what it says of itself"),
    }
}

fn is_index_type(media_type: &str) -> bool {
    media_type == OCI_INDEX || media_type == DOCKER_LIST
}

fn is_manifest_type(media_type: &str) -> bool {
    media_type == OCI_MANIFEST || media_type == DOCKER_MANIFEST
}

/// So many platforms are named in an error.
const NAMED_MAX: usize = 20;

fn parse<'de, T: Deserialize<'de>>(what: &'static str, bytes: &'de [u8]) -> Result<T, Error> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(Error::TooLarge {
            what,
            size: bytes.len() as u64,
            limit: MANIFEST_BYTES_MAX as u64,
        });
    }
    let read = object(what, bytes)?;
    let known =
        [keys_of::<Manifest>(), keys_of::<Index>(), keys_of::<Descriptor>(), keys_of::<Platform>()];
    spelling::check(what, bytes, &known.concat())?;
    Ok(read)
}

fn bound(what: &'static str, len: usize) -> Result<(), Error> {
    if len > LIST_LEN_MAX {
        return Err(Error::TooLarge { what, size: len as u64, limit: LIST_LEN_MAX as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(&str, &str)]) -> Index {
        let digest = Digest::sha256(b"");
        let entries: Vec<String> = entries
            .iter()
            .map(|(platform, kind)| {
                let parts: Vec<&str> = platform.split('/').collect();
                format!(
                    r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":2,
                    "platform":{{"os":"{}","architecture":"{}"}},"annotations":{{"vnd.docker.reference.type":"{kind}"}}}}"#,
                    parts[0], parts[1]
                )
            })
            .collect();
        Index::parse(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn the_only_image_needs_no_choice_and_two_do() {
        let one = index(&[("linux/amd64", ""), ("unknown/unknown", "attestation-manifest")]);
        assert_eq!(one.choose(None).unwrap().platform.as_ref().unwrap().architecture, "amd64");
        let two = index(&[("linux/amd64", ""), ("linux/arm64", "")]);
        let error = two.choose(None).unwrap_err().to_string();
        assert!(error.contains("linux/amd64, linux/arm64") && error.contains("--platform"), "{error}");
        let arm = Platform::parse("linux/arm64").unwrap();
        assert_eq!(two.choose(Some(&arm)).unwrap().platform.as_ref().unwrap().architecture, "arm64");
        let error = one.choose(Some(&arm)).unwrap_err().to_string();
        assert!(error.contains("no image for linux/arm64"), "{error}");
        assert!(index(&[]).choose(None).is_err());
    }

    #[test]
    fn platforms_are_read_whole_or_not() {
        assert_eq!(Platform::parse("linux/arm/v7").unwrap().to_string(), "linux/arm/v7");
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/", "linux/arm/v7/x"] {
            assert!(Platform::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn hostile_manifests_are_errors() {
        let config = Descriptor::of(OCI_CONFIG, b"{}");
        let config = serde_json::to_string(&config).unwrap();
        let minus = r#"{"config":{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":-1}}"#;
        let many = format!(
            r#"{{"config":{config},"layers":[{}{config}]}}"#,
            format!("{config},").repeat(LIST_LEN_MAX)
        );
        for text in ["", "{}", "[]", r#"{"config":{}}"#, minus, &many] {
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(60)]);
        }
        assert!(Manifest::parse(format!(r#"{{"config":{config},"layers":null}}"#).as_bytes()).is_ok());
    }

    #[test]
    fn what_another_would_read_otherwise_is_an_error() {
        let config = serde_json::to_string(&Descriptor::of(OCI_CONFIG, b"{}")).unwrap();
        let cased = config.replacen("digest", "Digest", 1);
        for text in [
            format!(r#"{{"config":{config},"manifests":[]}}"#),
            format!(r#"{{"mediaType":"{OCI_INDEX}","config":{config}}}"#),
            format!(r#"{{"config":{config},"layers":[],"Layers":[{config}]}}"#),
            format!(
                r#"{{"config":{config},"layers":[{}]}}"#,
                cased.replace('{', &format!("{{{},", &config[1..config.len() - 1]))
            ),
        ] {
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            format!(r#"{{"manifests":[],"config":{config}}}"#),
            r#"{"manifests":[],"layers":[]}"#.to_owned(),
            format!(r#"{{"mediaType":"{DOCKER_MANIFEST}","manifests":[]}}"#),
            format!(r#"{{"manifests":[],"MANIFESTS":[{config}]}}"#),
        ] {
            assert!(Index::parse(text.as_bytes()).is_err(), "{text}");
        }
        let fine = format!(r#"{{"manifests":[{config}],"config":null,"annotations":{{"Layers":"x"}}}}"#);
        assert!(Index::parse(fine.as_bytes()).is_ok());
    }
}
