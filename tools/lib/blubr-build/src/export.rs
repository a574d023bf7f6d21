//! What an engine leaves of putting a build's result into an image: when each layer was registered, when each image
//! was written, and when its client could be told.
//!
//! Docker's BuildKit registers each layer of a result from the topmost down (a scratch directory `docker-tarsplit<n>` is
//! there for as long as that takes), then writes `imagedb/content/sha256/<id>`, names it, writes
//! `imagedb/metadata/sha256/<id>/lastUpdated`, and then tells the client.

use std::collections::HashMap;

use crate::path::{base, parent};

/// Images that are remembered.
const IMAGES_MAX: usize = 1 << 16;
/// Scratch directories that are followed at once.
const SCRATCH_MAX: usize = 1 << 12;

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    id: Vec<u8>,
    /// When its configuration was written.
    pub(crate) written: u64,
    /// The last that the engine does before it tells the client, where that was seen.
    pub(crate) told: Option<u64>,
}

/// Where a thread is between making a scratch directory and using it.
struct Opening {
    scratch: Vec<u8>,
    /// Directories of layers whose notes it read since.
    layers: Vec<Vec<u8>>,
}

/// What one engine does.
#[derive(Default)]
pub(crate) struct Export {
    pub(crate) images: Vec<Image>,
    by_thread: HashMap<u32, Opening>,
    /// Which layer's scratch directory it is.
    of_scratch: HashMap<Vec<u8>, Vec<u8>>,
}

impl Export {
    pub(crate) fn made(&mut self, tid: u32, path: &[u8]) {
        if base(path).starts_with(b"docker-tarsplit")
            && (self.by_thread.len() < SCRATCH_MAX || self.by_thread.contains_key(&tid))
        {
            self.by_thread.insert(tid, Opening { scratch: path.to_vec(), layers: Vec::new() });
        }
    }

    pub(crate) fn opened(&mut self, tid: u32, path: &[u8]) {
        if base(path) == b"lower"
            && let Some(opening) = self.by_thread.get_mut(&tid)
            && let Some(layer) = parent(path)
            && opening.layers.len() < 2
        {
            opening.layers.push(layer.to_vec());
            return;
        }
        if base(path) == b"tar-split"
            && let Some(opening) = self.by_thread.remove(&tid)
            && parent(path) == Some(&opening.scratch)
            && let [layer] = opening.layers.as_slice()
            && self.of_scratch.len() < SCRATCH_MAX
        {
            self.of_scratch.insert(opening.scratch, layer.clone());
        }
    }

    /// The layer (the directory above its upper one) that is registered, now that this directory is gone.
    pub(crate) fn removed(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        self.of_scratch.remove(path)
    }

    pub(crate) fn renamed(&mut self, to: &[u8], now: u64) {
        let Some((image, kind)) = image_of(to) else { return };
        match kind {
            Kind::Content if self.images.len() < IMAGES_MAX => {
                self.images.push(Image { id: image.to_vec(), written: now, told: None });
            }
            Kind::Content => {}
            Kind::LastUpdated => {
                let of = self.images.iter_mut().rev().find(|of| of.id == image && of.told.is_none());
                if let Some(image) = of {
                    image.told = Some(now);
                }
            }
        }
    }

    /// When the latest image was written of which a client that ended then may have been told.
    pub(crate) fn latest_before(&self, ended: u64) -> Option<u64> {
        let told = self.images.iter().filter(|image| image.told.unwrap_or(image.written) < ended);
        told.map(|image| image.written).max()
    }
}

enum Kind {
    Content,
    LastUpdated,
}

fn image_of(path: &[u8]) -> Option<(&[u8], Kind)> {
    let above = parent(path)?;
    if base(path) == b"lastUpdated" {
        let algorithm = parent(above)?;
        let named =
            base(parent(algorithm)?) == b"metadata" && base(parent(parent(algorithm)?)?) == b"imagedb";
        return named.then(|| (base(above), Kind::LastUpdated));
    }
    let content = parent(above)?;
    let named = base(content) == b"content" && base(parent(content)?) == b"imagedb";
    (named && !base(path).starts_with(b".")).then(|| (base(path), Kind::Content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_of_once_it_is_named() {
        let mut export = Export::default();
        export.renamed(b"/d/image/overlay2/imagedb/content/sha256/aa", 5);
        export.renamed(b"/d/image/overlay2/imagedb/content/sha256/bb", 7);
        export.renamed(b"/d/image/overlay2/imagedb/metadata/sha256/aa/lastUpdated", 9);
        export.renamed(b"/d/image/overlay2/layerdb/sha256/cc", 9);
        assert_eq!(export.latest_before(6), None, "the first is not told of yet");
        assert_eq!(export.latest_before(8), Some(7), "of the second nothing more was seen");
        export.renamed(b"/d/image/overlay2/imagedb/metadata/sha256/bb/lastUpdated", 12);
        assert_eq!((export.latest_before(10), export.latest_before(13)), (Some(5), Some(7)));
        assert_eq!(export.images.len(), 2);
    }

    #[test]
    fn a_layer_is_registered_when_its_scratch_directory_is_gone() {
        let mut export = Export::default();
        export.made(1, b"/d/tmp/docker-tarsplit1");
        export.made(2, b"/d/tmp/docker-tarsplit2");
        export.opened(1, b"/d/overlay2/x/lower");
        export.opened(2, b"/d/overlay2/y/lower");
        export.opened(1, b"/d/tmp/docker-tarsplit1/tar-split");
        export.opened(2, b"/d/tmp/docker-tarsplit2/tar-split");
        assert_eq!(export.removed(b"/d/tmp/docker-tarsplit2"), Some(b"/d/overlay2/y".to_vec()));
        assert_eq!(export.removed(b"/d/tmp/docker-tarsplit1"), Some(b"/d/overlay2/x".to_vec()));
        assert_eq!(export.removed(b"/d/tmp/docker-tarsplit1"), None);
    }

    #[test]
    fn a_thread_that_did_two_things_says_nothing() {
        let mut export = Export::default();
        export.made(1, b"/d/tmp/docker-tarsplit1");
        export.opened(1, b"/d/overlay2/x/lower");
        export.opened(1, b"/d/overlay2/y/lower");
        export.opened(1, b"/d/tmp/docker-tarsplit1/tar-split");
        assert_eq!(export.removed(b"/d/tmp/docker-tarsplit1"), None);
        export.made(1, b"/d/tmp/docker-tarsplit3");
        export.opened(1, b"/d/overlay2/x/lower");
        export.opened(1, b"/d/tmp/docker-tarsplit4/tar-split");
        assert_eq!(export.removed(b"/d/tmp/docker-tarsplit3"), None);
    }
}
