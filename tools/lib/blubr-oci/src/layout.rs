//! OCI layouts: a folder with `oci-layout`, `index.json` and `blobs/` (image-spec, image-layout.md).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use blubr_image::manifest::{Descriptor, Index, MANIFEST_BYTES_MAX, Manifest, OCI_INDEX, OCI_MANIFEST};
use blubr_image::{Digest, Error};

use crate::Options;
use crate::files::{self, Checked};
use crate::found::{Blobs, Found};
use crate::names;

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
        let bytes = files::read(&dir.join("oci-layout"), MARKER_BYTES_MAX)
            .map_err(|error| Error::Source(format!("{}: no OCI layout here: {error}", dir.display())))?;
        check_marker(&bytes, &dir.display().to_string())?;
        Ok(Layout { dir: dir.to_owned() })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The layout's index.
    pub fn index(&self) -> Result<Index, Error> {
        Index::parse(&files::read(&self.dir.join("index.json"), MANIFEST_BYTES_MAX)?)
    }

    /// Where a blob is, or would be. A [`Digest`]'s hex is hex: nothing in it leaves the folder.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// The descriptor that a tag or digest names; without both that of the only image there is.
    pub fn find(&self, tag: Option<&str>, digest: Option<&Digest>) -> Result<Descriptor, Error> {
        let place = format!("oci:{}: the layout", self.dir.display());
        match (names::find(&self.index()?, tag, digest, &place)?, digest) {
            (Some(entry), _) => Ok(entry),
            (None, Some(digest)) => self.unlisted(digest),
            (None, None) => Err(Error::Source(format!("{place} has no image"))),
        }
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
        files::checked(files::read(&self.blob_path(digest), MANIFEST_BYTES_MAX)?, digest, "a manifest")
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let path = self.blob_path(&descriptor.digest);
        let file =
            File::open(&path).map_err(|error| Error::Io { what: path.display().to_string(), error })?;
        Ok(Box::new(Checked::new(file, &descriptor.digest, descriptor.size)))
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
