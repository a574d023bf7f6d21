//! An image as its source tells it, and the trait by which layers are read.

use std::io::Read;

use crate::manifest::Descriptor;
use crate::{Config, Digest, Error};

/// An image of one platform.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Image {
    /// The manifest. `None` where there is none: Docker's classic store and `docker save` before version 25 keep only
    /// the config.
    pub manifest: Option<ManifestFacts>,
    /// The index (manifest list) through which the manifest was found, where there was one.
    pub index_digest: Option<Digest>,
    /// What the engine calls the image: the config's digest (classic store), the manifest's or the index's
    /// (containerd's store). `None` for sources that are not an engine.
    pub engine_id: Option<Digest>,
    /// The SHA-256 of `config_bytes`.
    pub config_digest: Digest,
    /// The config, byte for byte.
    pub config_bytes: Vec<u8>,
    /// The config, read.
    pub config: Config,
    /// `NAME:TAG`s under which the source knows the image.
    pub tags: Vec<String>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// Puts the parts together, and checks that they belong together: as many blobs as diff_ids.
    ///
    /// `blobs` is the manifest's list of layers, or empty where there is no manifest. Digests are the caller's to
    /// check: it read the bytes.
    pub fn new(
        manifest: Option<ManifestFacts>,
        config_bytes: Vec<u8>,
        blobs: Vec<Descriptor>,
    ) -> Result<Image, Error> {
        let config = Config::parse(&config_bytes)?;
        let diff_ids = config.diff_ids();
        if manifest.is_some() && blobs.len() != diff_ids.len() {
            return Err(Error::Inconsistent {
                reason: format!(
                    "the manifest names {} layers, the config {}",
                    blobs.len(),
                    diff_ids.len()
                ),
            });
        }
        let mut blobs = blobs.into_iter();
        let layers = diff_ids
            .iter()
            .map(|diff_id| Layer { diff_id: diff_id.clone(), blob: blobs.next() })
            .collect();
        Ok(Image {
            manifest,
            index_digest: None,
            engine_id: None,
            config_digest: Digest::sha256(&config_bytes),
            config_bytes,
            config,
            tags: Vec::new(),
            layers,
        })
    }

    /// When the image says it was made, RFC 3339, as written.
    pub fn created(&self) -> Option<&str> {
        self.config.created.as_deref()
    }
}

/// A manifest and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// As its descriptor or its own `mediaType` says.
    pub media_type: String,
    /// The manifest, byte for byte.
    pub bytes: Vec<u8>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the uncompressed tar stream, as the config has it.
    pub diff_id: Digest,
    /// The (mostly compressed) blob as the manifest has it; `None` where there is no manifest.
    pub blob: Option<Descriptor>,
}

/// Where an image is. Bytes that don't have the digest by which they are named are an error, never an answer.
pub trait Source {
    /// Which image it is. Bytes of layers aren't read for this.
    fn image(&mut self) -> Result<Image, Error>;

    /// The bytes of layer `index` (0 is the lowest) as they are stored, compressed or not; give them to
    /// [`crate::layer::Entries`]. The reader fails at its end when the blob is not the one that the manifest names.
    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error>;
}
