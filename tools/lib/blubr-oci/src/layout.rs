//! OCI layouts: a folder with `oci-layout`, `index.json` and `blobs/` (image-spec, image-layout.md).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use blubr_image::config::CONFIG_BYTES_MAX;
use blubr_image::manifest::{Descriptor, Index, MANIFEST_BYTES_MAX, Manifest};
use blubr_image::{Digest, Error, Image, ManifestFacts, Source};

use crate::Options;
use crate::files::{self, Checked};

/// An index in an index in an index is as deep as we follow.
const NESTING_MAX: usize = 4;

/// The annotation that holds a manifest's name in a layout (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An open layout.
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Opens the layout in `dir`, whose version must be one that we know.
    pub fn open(dir: &Path) -> Result<Layout, Error> {
        const MARKER_BYTES_MAX: usize = 64 << 10;
        #[derive(serde::Deserialize)]
        struct Marker {
            #[serde(rename = "imageLayoutVersion")]
            version: String,
        }
        let bytes = files::read(&dir.join("oci-layout"), MARKER_BYTES_MAX).map_err(|error| {
            Error::Source(format!("{}: no OCI layout here: {error}", dir.display()))
        })?;
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| Error::Json {
            what: "oci-layout",
            reason: error.to_string(),
        })?;
        if !marker.version.starts_with("1.") {
            return Err(Error::Source(format!(
                "{}: a layout of version {:?}: only 1.x is known",
                dir.display(),
                marker.version
            )));
        }
        Ok(Layout {
            dir: dir.to_owned(),
        })
    }

    /// The layout's index.
    pub fn index(&self) -> Result<Index, Error> {
        Index::parse(&files::read(
            &self.dir.join("index.json"),
            MANIFEST_BYTES_MAX,
        )?)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        // A Digest's hex is hex: nothing in it leaves the folder.
        self.dir
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex())
    }

    /// A small blob, whole, checked against its digest.
    pub fn blob(&self, digest: &Digest, limit: usize) -> Result<Vec<u8>, Error> {
        files::checked(
            files::read(&self.blob_path(digest), limit)?,
            digest,
            "a blob of the layout",
        )
    }

    /// A blob as a stream that fails at its end when it isn't the one described.
    pub fn blob_reader(&self, descriptor: &Descriptor) -> Result<impl Read + use<>, Error> {
        let path = self.blob_path(&descriptor.digest);
        let file = File::open(&path).map_err(|error| Error::Io {
            what: path.display().to_string(),
            error,
        })?;
        Ok(Checked::new(file, &descriptor.digest, descriptor.size))
    }

    /// The descriptor in `index.json` that a tag or digest names; without both the only image there is.
    pub fn find(&self, tag: Option<&str>, digest: Option<&Digest>) -> Result<Descriptor, Error> {
        let index = self.index()?;
        let tag_of = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
        let mut found: Vec<&Descriptor> = index
            .manifests
            .iter()
            .filter(|entry| match (tag, digest) {
                (_, Some(digest)) => entry.digest == *digest,
                (Some(tag), None) => tag_of(entry).as_deref() == Some(tag),
                // Referrers stand in the index beside the image.
                (None, None) => entry.artifact_type.is_none(),
            })
            .collect();
        found.dedup_by(|a, b| a.digest == b.digest);
        match (found.as_slice(), digest) {
            ([one], _) => Ok((*one).clone()),
            ([], Some(digest)) => self.unlisted(digest),
            ([], None) => Err(self.choice(&index, "has no image of that name")),
            _ => Err(self.choice(&index, "has several images")),
        }
    }

    /// A manifest that only another manifest names isn't in index.json; its blob tells what it is.
    fn unlisted(&self, digest: &Digest) -> Result<Descriptor, Error> {
        let bytes = self.blob(digest, MANIFEST_BYTES_MAX)?;
        let media_type = match (Manifest::parse(&bytes), Index::parse(&bytes)) {
            (Ok(manifest), _) => manifest
                .media_type
                .unwrap_or(blubr_image::manifest::OCI_MANIFEST.to_owned()),
            (_, Ok(index)) => index
                .media_type
                .unwrap_or(blubr_image::manifest::OCI_INDEX.to_owned()),
            (Err(error), _) => return Err(error),
        };
        let mut descriptor = Descriptor::of(&media_type, &bytes);
        descriptor.digest = digest.clone();
        Ok(descriptor)
    }

    fn choice(&self, index: &Index, what: &str) -> Error {
        const NAMED_MAX: usize = 20;
        let names: Vec<String> = index
            .manifests
            .iter()
            .filter(|entry| entry.artifact_type.is_none())
            .take(NAMED_MAX)
            .map(|entry| match entry.annotations.get(REF_NAME) {
                Some(tag) => format!(":{}", tag.escape_default()),
                None => format!("@{}", entry.digest),
            })
            .collect();
        let dir = self.dir.display();
        Error::Source(format!(
            "oci:{dir}: the layout {what}; it has: {}",
            names.join(" ")
        ))
    }

    /// The image as a source.
    pub(crate) fn image_source(
        self,
        tag: Option<&str>,
        digest: Option<&Digest>,
        options: &Options,
    ) -> Result<LayoutImage, Error> {
        let mut descriptor = self.find(tag, digest)?;
        let mut index_digest = None;
        for _ in 0..NESTING_MAX {
            if !descriptor.is_index() {
                break;
            }
            index_digest.get_or_insert(descriptor.digest.clone());
            let index = Index::parse(&self.blob(&descriptor.digest, MANIFEST_BYTES_MAX)?)?;
            descriptor = index.choose(options.platform.as_ref())?.clone();
        }
        let tags = tag.map(str::to_owned).into_iter().collect();
        Ok(LayoutImage {
            layout: self,
            descriptor,
            index_digest,
            tags,
            blobs: Vec::new(),
        })
    }
}

/// One image of a layout.
pub(crate) struct LayoutImage {
    layout: Layout,
    descriptor: Descriptor,
    index_digest: Option<Digest>,
    tags: Vec<String>,
    blobs: Vec<Descriptor>,
}

impl Source for LayoutImage {
    fn image(&mut self) -> Result<Image, Error> {
        let bytes = self
            .layout
            .blob(&self.descriptor.digest, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::parse(&bytes)?;
        let config = self
            .layout
            .blob(&manifest.config.digest, CONFIG_BYTES_MAX)?;
        let facts = ManifestFacts {
            digest: self.descriptor.digest.clone(),
            media_type: self.descriptor.media_type.clone(),
            bytes,
        };
        let mut image = Image::new(Some(facts), config, manifest.layers.clone())?;
        image.index_digest = self.index_digest.clone();
        image.tags = self.tags.clone();
        self.blobs = manifest.layers;
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        if self.blobs.is_empty() {
            self.image()?;
        }
        let blob = self
            .blobs
            .get(index)
            .ok_or_else(|| Error::Source(format!("the image has no layer {index}")))?;
        Ok(Box::new(self.layout.blob_reader(blob)?))
    }
}
