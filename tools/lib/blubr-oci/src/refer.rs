//! What refers to an image (OCI 1.1: a manifest with a `subject`): found, fetched, attached; in layouts and registries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};

use blubr_image::config::CONFIG_BYTES_MAX;
use blubr_image::manifest::{Descriptor, Index, Manifest, OCI_EMPTY, OCI_MANIFEST, Platform};
use blubr_image::{Algorithm, Config, Digest, Error, Hasher};

use crate::found::{Blobs, small_blob};
use crate::layout::Layout;
use crate::platform;
use crate::registry::Remote;
use crate::{Options, Reference};

/// What is attached may have so many bytes; an attestation's own limit is 96 MiB.
pub const ARTIFACT_BYTES_MAX: usize = 100 << 20;
/// A long artifact (a log) may have so many.
pub const LONG_ARTIFACT_BYTES_MAX: u64 = 64 << 30;
/// An index of more images than this must be narrowed by a platform.
const TARGETS_MAX: usize = 64;
const EMPTY_CONFIG: &[u8] = b"{}";
/// Bytes of a file that are read at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// A manifest or index that can be referred to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// It.
    pub descriptor: Descriptor,
    /// The config that the manifest names; `None` for an index.
    pub config_digest: Option<Digest>,
    /// For what the image is, where an index says so.
    pub platform: Option<Platform>,
}

/// What is to be attached.
#[derive(Clone, Debug)]
pub struct Artifact<'a> {
    /// Its kind, as the manifest's `artifactType` and as its layer's type.
    pub artifact_type: &'a str,
    /// The file name that tools give it when they fetch it.
    pub title: &'a str,
    /// The content.
    pub bytes: &'a [u8],
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

/// What is to be attached and is too long for memory.
#[derive(Debug)]
pub struct LongArtifact<'a> {
    /// Its kind, as the manifest's `artifactType`.
    pub artifact_type: &'a str,
    /// The type of its content.
    pub media_type: &'a str,
    /// The file name that tools give it when they fetch it.
    pub title: &'a str,
    /// The content: a whole file.
    pub file: &'a File,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

/// That something was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// The digest of the referrer's manifest.
    pub digest: Digest,
    /// Where it is listed now; `None` when it was listed before, and nothing was written.
    pub how: Option<How>,
}

/// By what an image's referrers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The layout's index.json.
    Layout,
    /// The registry's referrers API.
    Api,
    /// A tag that stands for the image's digest, in registries without that API.
    FallbackTag(String),
}

/// One thing that was attached, fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its content, checked against its digest.
    pub bytes: Vec<u8>,
}

/// A place where something can be attached to an image.
pub trait Referrers {
    /// What the reference names: a manifest; or an index, and each image that it has (of the platform asked for).
    fn targets(&mut self) -> Result<Vec<Target>, Error>;

    /// What refers to `subject`, as its list describes it.
    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Descriptor>, Error>;

    /// Attaches an artifact to `subject`. Doing so twice changes nothing.
    fn attach(&mut self, subject: &Descriptor, artifact: &Artifact<'_>) -> Result<Attached, Error>;

    /// The same of what is too long for memory; it goes from the file to its place piece by piece.
    fn attach_long(
        &mut self,
        subject: &Descriptor,
        artifact: &LongArtifact<'_>,
    ) -> Result<Attached, Error>;

    /// The content of the artifact whose manifest is `entry`. It must refer to `subject` and have one layer.
    fn fetch(&mut self, subject: &Digest, entry: &Descriptor) -> Result<Fetched, Error>;

    /// The manifest of the artifact `entry`, which must refer to `subject`.
    fn manifest(&mut self, subject: &Digest, entry: &Descriptor) -> Result<Manifest, Error>;

    /// Writes the content of an artifact with this manifest, which must have one layer, piece by piece; what was written counts
    /// only when this returns.
    fn fetch_long(&mut self, manifest: &Manifest, to: &mut dyn Write) -> Result<u64, Error>;
}

/// Opens the place that `reference` names for what refers to its image.
pub fn referrers(reference: &Reference, options: &Options) -> Result<Box<dyn Referrers>, Error> {
    match reference {
        Reference::Layout { dir, tag, digest } => {
            let store = crate::layout::Tagged::new(Layout::open(dir)?, tag.clone(), digest.clone());
            Ok(Box::new(At { store, platform: options.platform.clone() }))
        }
        Reference::Registry(registry) => {
            let store = Remote::new(registry, options)?;
            Ok(Box::new(At { store, platform: options.platform.clone() }))
        }
        Reference::Docker(_) | Reference::Archive { .. } => Err(Error::Source(format!(
            "{reference}: nothing can be attached there: copy the image into a layout (`blubr-attach copy {reference} oci:DIR:TAG`) or push it to a registry"
        ))),
    }
}

/// What layouts and registries do each in their own way.
pub(crate) trait Store: Blobs {
    /// What the reference names.
    fn resolve(&mut self) -> Result<Descriptor, Error>;

    /// What refers to `subject`.
    fn listed(&mut self, subject: &Digest) -> Result<Vec<Descriptor>, Error>;

    /// Stores a blob, if it isn't there.
    fn put_blob(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error>;

    /// The same of a whole file.
    fn put_file(&mut self, descriptor: &Descriptor, file: &File) -> Result<(), Error>;

    /// Stores a referrer's manifest, and sees to it that it is listed.
    fn put_referrer(&mut self, entry: &Descriptor, bytes: &[u8], subject: &Digest)
    -> Result<How, Error>;
}

struct At<S> {
    store: S,
    platform: Option<Platform>,
}

impl<S: Store> Referrers for At<S> {
    fn targets(&mut self) -> Result<Vec<Target>, Error> {
        let root = self.store.resolve()?;
        if !root.is_index() {
            if let Some(wanted) = self.platform.clone() {
                self.is_for(&wanted, &root)?;
            }
            return Ok(vec![self.target(root)?]);
        }
        let index = Index::parse(&self.store.manifest(&root.digest)?)?;
        let mut targets = vec![Target { descriptor: root, config_digest: None, platform: None }];
        for entry in index.manifests {
            let wanted = match (&self.platform, &entry.platform) {
                (Some(wanted), Some(platform)) => wanted.accepts(platform),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !wanted || !entry.is_manifest() || entry.is_buildkit_attestation() {
                continue;
            }
            if targets.len() > TARGETS_MAX {
                return Err(Error::Source(format!(
                    "the index has more than {TARGETS_MAX} images: choose by --platform"
                )));
            }
            targets.push(self.target(entry)?);
        }
        Ok(targets)
    }

    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let mut list = self.store.listed(subject)?;
        list.sort_by(|a, b| a.digest.cmp(&b.digest));
        list.dedup_by(|a, b| a.digest == b.digest);
        Ok(list)
    }

    fn attach(&mut self, subject: &Descriptor, artifact: &Artifact<'_>) -> Result<Attached, Error> {
        if artifact.bytes.len() > ARTIFACT_BYTES_MAX {
            let size = artifact.bytes.len() as u64;
            return Err(Error::TooLarge {
                what: "what is to be attached (bytes)",
                size,
                limit: ARTIFACT_BYTES_MAX as u64,
            });
        }
        let config = Descriptor::of(OCI_EMPTY, EMPTY_CONFIG);
        let layer = titled(Descriptor::of(artifact.artifact_type, artifact.bytes), artifact.title);
        let (entry, bytes) =
            manifest(subject, artifact.artifact_type, &artifact.annotations, &config, &layer)?;
        let was_there = self.store.listed(&subject.digest)?.iter().any(|one| one.digest == entry.digest);
        // Some registries list a manifest twice that is put twice.
        if was_there && self.store.manifest(&entry.digest).is_ok() && self.holds(&layer, artifact.bytes)
        {
            return Ok(Attached { digest: entry.digest, how: None });
        }
        // Blobs first: a manifest must never name what isn't there.
        self.store.put_blob(&config, EMPTY_CONFIG)?;
        self.store.put_blob(&layer, artifact.bytes)?;
        let how = self.store.put_referrer(&entry, &bytes, &subject.digest)?;
        Ok(Attached { digest: entry.digest, how: Some(how) })
    }

    fn attach_long(
        &mut self,
        subject: &Descriptor,
        artifact: &LongArtifact<'_>,
    ) -> Result<Attached, Error> {
        let (digest, size) = sum(artifact.file)?;
        if size > LONG_ARTIFACT_BYTES_MAX {
            let (what, limit) = ("what is to be attached (bytes)", LONG_ARTIFACT_BYTES_MAX);
            return Err(Error::TooLarge { what, size, limit });
        }
        let config = Descriptor::of(OCI_EMPTY, EMPTY_CONFIG);
        let mut layer = titled(Descriptor::of(artifact.media_type, b""), artifact.title);
        (layer.digest, layer.size) = (digest, size);
        let (entry, bytes) =
            manifest(subject, artifact.artifact_type, &artifact.annotations, &config, &layer)?;
        let was_there = self.store.listed(&subject.digest)?.iter().any(|one| one.digest == entry.digest);
        self.store.put_blob(&config, EMPTY_CONFIG)?;
        self.store.put_file(&layer, artifact.file)?;
        if was_there && self.store.manifest(&entry.digest).is_ok() {
            return Ok(Attached { digest: entry.digest, how: None });
        }
        let how = self.store.put_referrer(&entry, &bytes, &subject.digest)?;
        Ok(Attached { digest: entry.digest, how: Some(how) })
    }

    fn fetch(&mut self, subject: &Digest, entry: &Descriptor) -> Result<Fetched, Error> {
        let manifest = self.manifest(subject, entry)?;
        let layer = only_layer(&manifest, &entry.digest.to_string())?;
        let bytes = small_blob(&mut self.store, layer, "what is attached (bytes)", ARTIFACT_BYTES_MAX)?;
        Ok(Fetched { manifest, bytes })
    }

    fn manifest(&mut self, subject: &Digest, entry: &Descriptor) -> Result<Manifest, Error> {
        let manifest = Manifest::parse(&self.store.manifest(&entry.digest)?)?;
        let refers_to = manifest.subject.as_ref().map(|descriptor| &descriptor.digest);
        if refers_to != Some(subject) {
            return Err(Error::Inconsistent {
                reason: format!("{} is listed for {subject} but doesn't refer to it", entry.digest),
            });
        }
        Ok(manifest)
    }

    fn fetch_long(&mut self, manifest: &Manifest, to: &mut dyn Write) -> Result<u64, Error> {
        let layer = only_layer(manifest, "what is attached")?;
        if layer.size > LONG_ARTIFACT_BYTES_MAX {
            let (what, size) = ("what is attached (bytes)", layer.size);
            return Err(Error::TooLarge { what, size, limit: LONG_ARTIFACT_BYTES_MAX });
        }
        let mut blob = self.store.blob(layer)?;
        let copied = std::io::copy(&mut blob, to);
        copied.map_err(|error| Error::Io { what: layer.digest.to_string(), error })
    }
}

fn only_layer<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m Descriptor, Error> {
    match manifest.layers.as_slice() {
        [layer] => Ok(layer),
        layers => {
            Err(Error::Inconsistent { reason: format!("{name} has {} layers, not one", layers.len()) })
        }
    }
}

/// The digest and the size of a whole file.
fn sum(mut file: &File) -> Result<(Digest, u64), Error> {
    let failed = |error| Error::Io { what: "what is to be attached".to_owned(), error };
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let (mut chunk, mut size) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let read = file.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&chunk[..read]);
        size += read as u64;
    }
}

impl<S: Store> At<S> {
    /// Whether the blob is there, whole: a list alone doesn't show that what it names can be fetched.
    fn holds(&mut self, blob: &Descriptor, bytes: &[u8]) -> bool {
        small_blob(&mut self.store, blob, "what is attached (bytes)", ARTIFACT_BYTES_MAX)
            .is_ok_and(|stored| stored == bytes)
    }

    /// Whether an image that no index names is for the platform asked for: its config says so.
    fn is_for(&mut self, wanted: &Platform, image: &Descriptor) -> Result<(), Error> {
        let manifest = Manifest::parse(&self.store.manifest(&image.digest)?)?;
        let bytes = small_blob(&mut self.store, &manifest.config, "the image config", CONFIG_BYTES_MAX)?;
        platform::check(&Config::parse(&bytes)?, wanted)
    }

    fn target(&mut self, descriptor: Descriptor) -> Result<Target, Error> {
        let manifest = Manifest::parse(&self.store.manifest(&descriptor.digest)?)?;
        let platform = descriptor.platform.clone();
        Ok(Target { descriptor, config_digest: Some(manifest.config.digest), platform })
    }
}

fn titled(mut layer: Descriptor, title: &str) -> Descriptor {
    const TITLE: &str = "org.opencontainers.image.title";
    layer.annotations.insert(TITLE.to_owned(), title.to_owned());
    layer
}

/// The referrer's manifest, and its entry in lists. The same content for the same subject gives the same bytes.
fn manifest(
    subject: &Descriptor,
    artifact_type: &str,
    annotations: &BTreeMap<String, String>,
    config: &Descriptor,
    layer: &Descriptor,
) -> Result<(Descriptor, Vec<u8>), Error> {
    let mut manifest = Manifest::new(config.clone(), vec![layer.clone()]);
    manifest.artifact_type = Some(artifact_type.to_owned());
    // Type, digest and size alone: what an index adds to them isn't the subject's.
    let mut bare = Descriptor::of(&subject.media_type, b"");
    bare.digest = subject.digest.clone();
    bare.size = subject.size;
    manifest.subject = Some(bare);
    manifest.annotations = annotations.clone();
    let bytes = manifest.write()?;
    let mut entry = Descriptor::of(OCI_MANIFEST, &bytes);
    entry.artifact_type = Some(artifact_type.to_owned());
    entry.annotations = annotations.clone();
    Ok((entry, bytes))
}
