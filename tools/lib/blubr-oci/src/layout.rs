//! OCI layouts: a folder with `oci-layout`, `index.json` and `blobs/` (image-spec, image-layout.md).

mod write;

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use blubr_image::manifest::{Descriptor, Index, MANIFEST_BYTES_MAX, Manifest, OCI_INDEX, OCI_MANIFEST};
use blubr_image::{Digest, Error};

use crate::files::{self, Checked};
use crate::found::{Blobs, Found};
use crate::names;
use crate::refer::{How, Store};
use crate::registry::fallback_tag;
use crate::{Options, index};

/// `oci-layout` is a line; more than this is none, in bytes.
pub(crate) const MARKER_BYTES_MAX: usize = 64 << 10;

/// An open layout.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Opens the layout in `dir`, whose version must be one that we know.
    pub fn open(dir: &Path) -> Result<Layout, Error> {
        let bytes = files::read_regular(&dir.join("oci-layout"), MARKER_BYTES_MAX)
            .map_err(|error| Error::Source(format!("{}: no OCI layout here: {error}", dir.display())))?;
        check_marker(&bytes, &dir.display().to_string())?;
        Ok(Layout { dir: dir.to_owned() })
    }

    /// The layout's index.
    pub fn index(&self) -> Result<Index, Error> {
        Index::parse(&files::read_regular(&self.dir.join("index.json"), MANIFEST_BYTES_MAX)?)
    }

    /// Where a blob is, or would be. A [`Digest`]'s hex is hex: nothing in it leaves the folder.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The descriptor that a tag or digest names; without both that of the only image there is.
    pub fn find(&self, tag: Option<&str>, digest: Option<&Digest>) -> Result<Descriptor, Error> {
        let place = format!("oci:{}: the layout", self.dir.display());
        let mut index = self.index()?;
        if tag.is_none() && digest.is_none() {
            index.manifests.retain(|entry| !self.is_referrer(entry));
        }
        match (names::find(&index, tag, digest, &place)?, digest) {
            (Some(entry), _) => Ok(entry),
            (None, Some(digest)) => self.unlisted(digest),
            (None, None) => Err(Error::Source(format!("{place} has no image"))),
        }
    }

    /// Whether an entry is something attached to another rather than an image; not every client says so in the index.
    fn is_referrer(&self, entry: &Descriptor) -> bool {
        let manifest = || self.clone().manifest(&entry.digest).and_then(|bytes| Manifest::parse(&bytes));
        entry.artifact_type.is_some()
            || entry.is_manifest() && manifest().is_ok_and(|manifest| manifest.subject.is_some())
    }

    /// A manifest that only another manifest names isn't in index.json; its blob tells what it is.
    fn unlisted(&self, digest: &Digest) -> Result<Descriptor, Error> {
        let bytes = self.clone().manifest(digest)?;
        let media_type = match (Manifest::parse(&bytes), Index::parse(&bytes)) {
            (Ok(manifest), _) => manifest.media_type.unwrap_or(OCI_MANIFEST.to_owned()),
            (_, Ok(index)) => index.media_type.unwrap_or(OCI_INDEX.to_owned()),
            (Err(error), _) => return Err(error),
        };
        let mut descriptor = Descriptor::of(&media_type, &bytes);
        descriptor.digest = digest.clone();
        Ok(descriptor)
    }

    /// The image as a source.
    pub(crate) fn source(
        self,
        tag: Option<&str>,
        digest: Option<&Digest>,
        options: &Options,
    ) -> Result<Found<Layout>, Error> {
        let descriptor = self.find(tag, digest)?;
        let tags = names::names(&descriptor);
        Found::new(self, descriptor, tags, options)
    }
}

impl Blobs for Layout {
    fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Error> {
        files::checked(
            files::read_regular(&self.blob_path(digest), MANIFEST_BYTES_MAX)?,
            digest,
            "a manifest",
        )
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let path = self.blob_path(&descriptor.digest);
        files::must_be_regular(&path)?;
        let file =
            File::open(&path).map_err(|error| Error::Io { what: path.display().to_string(), error })?;
        Ok(Box::new(Checked::new(file, &descriptor.digest, descriptor.size)))
    }
}

/// A layout and what was named in it.
pub(crate) struct Tagged {
    layout: Layout,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Tagged {
    pub fn new(layout: Layout, tag: Option<String>, digest: Option<Digest>) -> Tagged {
        Tagged { layout, tag, digest }
    }

    /// The entry as a referrer to `subject`, when its manifest says that it is one.
    fn referring(&mut self, entry: &Descriptor, subject: &Digest) -> Result<Option<Descriptor>, Error> {
        // A layout may name manifests that it doesn't hold (image-layout.md, "Blobs").
        if !entry.is_manifest() || !self.layout.blob_path(&entry.digest).exists() {
            return Ok(None);
        }
        let manifest = Manifest::parse(&self.layout.manifest(&entry.digest)?)?;
        if manifest.subject.is_none_or(|descriptor| descriptor.digest != *subject) {
            return Ok(None);
        }
        let mut entry = entry.clone();
        // image-spec, "Listing Referrers": what has no artifactType is of its config's type.
        entry.artifact_type = manifest.artifact_type.or(Some(manifest.config.media_type));
        entry.annotations = manifest.annotations;
        Ok(Some(entry))
    }
}

impl Blobs for Tagged {
    fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Error> {
        self.layout.manifest(digest)
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        self.layout.blob(descriptor)
    }
}

impl Store for Tagged {
    fn resolve(&mut self) -> Result<Descriptor, Error> {
        self.layout.find(self.tag.as_deref(), self.digest.as_ref())
    }

    fn listed(&mut self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let index = self.layout.index()?;
        let fallback = fallback_tag(subject);
        let mut list = Vec::new();
        for entry in &index.manifests {
            // A layout copied from a registry without the referrers API has that registry's tag.
            if entry.is_index() && entry.annotations.get(names::REF_NAME) == Some(&fallback) {
                for inner in Index::parse(&self.layout.manifest(&entry.digest)?)?.manifests {
                    list.extend(self.referring(&inner, subject)?);
                }
            } else {
                list.extend(self.referring(entry, subject)?);
            }
        }
        Ok(list)
    }

    fn put_blob(&mut self, descriptor: &Descriptor, mut bytes: &[u8]) -> Result<(), Error> {
        self.layout.put_stream(&descriptor.digest, &mut bytes, "a blob").map(drop)
    }

    fn put_file(&mut self, descriptor: &Descriptor, mut file: &File) -> Result<(), Error> {
        let begin = file.seek(SeekFrom::Start(0));
        begin.map_err(|error| Error::Io { what: "a blob".to_owned(), error })?;
        self.layout.put_stream(&descriptor.digest, &mut file, "a blob").map(drop)
    }

    fn put_referrer(&mut self, entry: &Descriptor, mut bytes: &[u8], _: &Digest) -> Result<How, Error> {
        self.layout.put_stream(&entry.digest, &mut bytes, "a manifest")?;
        self.layout.change_index(|current| {
            if index::has(current, &entry.digest) { Ok(()) } else { index::add(current, entry) }
        })?;
        Ok(How::Layout)
    }
}

/// Whether `oci-layout` names a version that we know.
pub(crate) fn check_marker(bytes: &[u8], place: &str) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let marker: Marker = serde_json::from_slice(bytes)
        .map_err(|error| Error::Json { what: "oci-layout", reason: error.to_string() })?;
    if !marker.version.starts_with("1.") {
        let version = marker.version.escape_default();
        return Err(Error::Source(format!(
            "{place}: a layout of version '{version}': only 1.x is known"
        )));
    }
    Ok(())
}
