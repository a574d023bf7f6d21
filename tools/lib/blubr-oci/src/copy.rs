//! An image from anywhere into a layout.

use blubr_image::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use blubr_image::{Error, Source};

use crate::layout::Layout;

/// Copies the image of `source` into `layout`, there to be called `tag`, and gives its manifest's descriptor.
///
/// A manifest is taken over byte for byte, so that its digest stays. Where there is none (Docker's classic store) one is
/// made that names the config byte for byte, so that the image keeps its id, and the layers uncompressed, by their
/// diff_ids: the same image gives the same manifest. `progress` is told of each layer: its index, and how many there are.
pub fn into_layout(
    source: &mut dyn Source,
    layout: &Layout,
    tag: Option<&str>,
    mut progress: impl FnMut(usize, usize),
) -> Result<Descriptor, Error> {
    let image = source.image()?;
    let count = image.layers.len();
    let mut layers = Vec::new();
    for (at, layer) in image.layers.iter().enumerate() {
        progress(at, count);
        let digest = layer.blob.as_ref().map_or(&layer.diff_id, |blob| &blob.digest);
        let size = layout.put_stream(digest, &mut source.layer(at)?, &format!("layer {at}"))?;
        let mut blob = Descriptor::of(OCI_LAYER, b"");
        blob.digest = digest.clone();
        blob.size = size;
        layers.push(blob);
    }
    let bytes = match &image.manifest {
        Some(facts) => facts.bytes.clone(),
        None => {
            let config = Descriptor::of(OCI_CONFIG, &image.config_bytes);
            Manifest::new(config, layers).write()?
        }
    };
    // The name by which the manifest calls the config, which may be another algorithm's.
    let config_digest = Manifest::parse(&bytes)?.config.digest;
    layout.put_stream(&config_digest, &mut image.config_bytes.as_slice(), "the image config")?;
    let media_type = image.manifest.as_ref().map_or(OCI_MANIFEST, |facts| &facts.media_type);
    let mut descriptor = Descriptor::of(media_type, &bytes);
    if let Some(facts) = &image.manifest {
        descriptor.digest = facts.digest.clone();
    }
    layout.put_stream(&descriptor.digest, &mut bytes.as_slice(), "the manifest")?;
    layout.tag(&descriptor, tag)?;
    Ok(descriptor)
}
