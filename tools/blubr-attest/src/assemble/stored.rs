//! What the record shows of how the engine stored what it made: engines name images, layers and blobs by their digests, and
//! give the name last, by a rename (Docker, containerd) or with the directory (containers/storage).

use blubr_log::{Body, Event, Name};
use sha2::{Digest as _, Sha256};

use crate::context::hex;
use crate::picture::Picture;

/// What a layer is called.
struct LayerNames {
    /// By its own bytes.
    own: Vec<String>,
    /// By its own and those of all layers below.
    chained: [String; 2],
}

/// Digests to look for, and where they were seen.
#[derive(Default)]
pub struct Stored {
    image: Vec<String>,
    layers: Vec<LayerNames>,
    /// Where the image's own digest was (`seq`).
    pub image_seen: Option<u64>,
    /// Where each layer's was, lowest first.
    pub layers_seen: Vec<Option<u64>>,
    /// Another image that Docker's engine stored: its config's digest in hexadecimal, and where.
    pub other: Option<(String, u64)>,
}

impl Stored {
    /// The digests of an image, in every form in which an engine makes a name of them.
    pub fn new(picture: Option<&Picture>) -> Self {
        let Some(picture) = picture else { return Self::default() };
        let image = &picture.image;
        let mut names = vec![image.config_digest.hex().to_owned()];
        names.extend(image.manifest.iter().map(|manifest| manifest.digest.hex().to_owned()));
        names.extend(image.index_digest.iter().map(|digest| digest.hex().to_owned()));
        let mut layers = Vec::new();
        let (mut chain, mut stored) = (String::new(), String::new());
        for layer in &image.layers {
            let diff = layer.diff_id.hex();
            // OCI image-spec, config.md, "Layer ChainID"; containers/storage joins the bare digests by a plus sign.
            chain = if chain.is_empty() {
                diff.to_owned()
            } else {
                hex(&Sha256::digest(format!("sha256:{chain} sha256:{diff}")))
            };
            stored = if stored.is_empty() {
                diff.to_owned()
            } else {
                hex(&Sha256::digest(format!("{stored}+{diff}")))
            };
            let blob = layer.blob.iter().map(|blob| blob.digest.hex().to_owned());
            let own = blob.chain([diff.to_owned()]).collect();
            layers.push(LayerNames { own, chained: [chain.clone(), stored.clone()] });
        }
        let layers_seen = vec![None; layers.len()];
        Self { image: names, layers, layers_seen, ..Self::default() }
    }

    /// Looks at what the engine did. `seq` is the event's.
    pub fn look(&mut self, event: &Event<'_>) {
        if self.image.is_empty() || event.failed() {
            return;
        }
        let made = match &event.body {
            Body::FileRename(rename) => rename.to.get(),
            Body::FileMkdir(mkdir) => mkdir.path.get(),
            // How containers/storage begins a layer: its short name leads to the directory.
            Body::FileSymlink(link) => link.target.get(),
            _ => None,
        };
        let Some(path) = made.map(Name::bytes) else { return };
        let mut parts = path.rsplit(|byte| *byte == b'/').map(String::from_utf8_lossy);
        let (last, above) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let named = |digest: &String| *digest == last || *digest == above;
        let seq = event.head.seq;
        if self.image.iter().any(named) {
            self.image_seen.get_or_insert(seq);
        } else if path.ends_with(format!("/imagedb/content/sha256/{last}").as_bytes()) {
            self.other.get_or_insert((last.into_owned(), seq));
            return;
        }
        for (at, layer) in self.layers.iter().enumerate() {
            // A name made of all layers up to this one speaks for each of them.
            let is_chained = layer.chained.iter().any(named);
            if is_chained || layer.own.iter().any(named) {
                let from = if is_chained { 0 } else { at };
                let all = self.layers_seen.get_mut(from..=at).unwrap_or_default();
                all.iter_mut().for_each(|seen| _ = seen.get_or_insert(seq));
            }
        }
    }
}
