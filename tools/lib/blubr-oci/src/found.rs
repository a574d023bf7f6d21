//! An image that was found by its descriptor: the same for layouts, archives and registries.

use std::io::Read;

use blubr_image::config::CONFIG_BYTES_MAX;
use blubr_image::manifest::{Descriptor, Index, Manifest};
use blubr_image::{Digest, Error, Image, ManifestFacts, Source};

use crate::Options;

/// An index in an index in an index is as deep as we follow.
const NESTING_MAX: usize = 4;

/// A place that has manifests and blobs by digest.
pub(crate) trait Blobs {
    /// A manifest or index, checked against its digest, at most [`blubr_image::manifest::MANIFEST_BYTES_MAX`] bytes.
    fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Error>;

    /// A blob as a stream that fails at its end when it isn't the one described.
    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error>;
}

/// A small blob, whole, checked.
pub(crate) fn small_blob(
    blobs: &mut dyn Blobs,
    descriptor: &Descriptor,
    what: &'static str,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    if descriptor.size > limit as u64 {
        return Err(Error::TooLarge { what, size: descriptor.size, limit: limit as u64 });
    }
    // The size is bounded above, so that a lie costs no more than that.
    let mut bytes = Vec::with_capacity(usize::try_from(descriptor.size).unwrap_or_default() + 1);
    // One byte more than it may have, so that the end's check is reached.
    let reader = blobs.blob(descriptor)?;
    let read = reader.take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::Io { what: format!("{what} {}", descriptor.digest), error })?;
    Ok(bytes)
}

/// One image in such a place.
pub(crate) struct Found<B> {
    blobs: B,
    descriptor: Descriptor,
    index_digest: Option<Digest>,
    tags: Vec<String>,
    layers: Option<Vec<Descriptor>>,
}

impl<B: Blobs> Found<B> {
    /// Follows `descriptor` through indexes to the image for the platform that the options ask for.
    pub fn new(
        mut blobs: B,
        mut descriptor: Descriptor,
        tags: Vec<String>,
        options: &Options,
    ) -> Result<Found<B>, Error> {
        let mut index_digest = None;
        for _ in 0..NESTING_MAX {
            if !descriptor.is_index() {
                break;
            }
            index_digest.get_or_insert(descriptor.digest.clone());
            let index = Index::parse(&blobs.manifest(&descriptor.digest)?)?;
            descriptor = index.choose(options.platform.as_ref())?.clone();
        }
        if !descriptor.is_manifest() {
            return Err(Error::Source(format!(
                "{} is no image manifest but of type '{}'",
                descriptor.digest,
                descriptor.media_type.escape_default()
            )));
        }
        Ok(Found { blobs, descriptor, index_digest, tags, layers: None })
    }
}

impl<B: Blobs> Source for Found<B> {
    fn image(&mut self) -> Result<Image, Error> {
        let bytes = self.blobs.manifest(&self.descriptor.digest)?;
        let manifest = Manifest::parse(&bytes)?;
        let config =
            small_blob(&mut self.blobs, &manifest.config, "the image config", CONFIG_BYTES_MAX)?;
        let facts = ManifestFacts {
            digest: self.descriptor.digest.clone(),
            media_type: self.descriptor.media_type.clone(),
            bytes,
        };
        let mut image = Image::new(Some(facts), config, manifest.layers.clone())?;
        image.index_digest = self.index_digest.clone();
        image.tags = self.tags.clone();
        self.layers = Some(manifest.layers);
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        if self.layers.is_none() {
            self.image()?;
        }
        let blob = self.layers.as_ref().and_then(|layers| layers.get(index));
        let blob = blob.ok_or_else(|| Error::Source(format!("the image has no layer {index}")))?;
        self.blobs.blob(blob)
    }
}
