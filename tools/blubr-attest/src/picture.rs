//! The image: looked up, its facts, and its layers' entries one layer at a time.

use std::path::Path;

use blubr_cli::{Failure, Input};
use blubr_image::layer::{Entries, Entry};
use blubr_image::{Digest, Image, Source};
use blubr_oci::{Options, Reference};

/// The longest image id file, in bytes: one digest and some room.
const IIDFILE_BYTES_MAX: u64 = 4096;

/// An image that was found.
pub struct Picture {
    /// The reference as it was given.
    pub reference: String,
    /// What it is.
    pub image: Image,
    source: Box<dyn Source>,
}

impl Picture {
    /// Looks an image up by its reference.
    pub fn find(reference: &str) -> Result<Self, Failure> {
        let failed = |error: blubr_image::Error| Failure::with(reference, error);
        let parsed = Reference::parse(reference).map_err(failed)?;
        let mut source = blubr_oci::open(&parsed, &Options::from_env()).map_err(failed)?;
        let image = source.image().map_err(failed)?;
        Ok(Self { reference: reference.to_owned(), image, source })
    }

    /// The entries of layer `index` (0 is the lowest), each handed to `each`.
    pub fn layer(&mut self, index: usize, each: &mut dyn FnMut(Entry)) -> Result<(), Failure> {
        let reference = self.reference.clone();
        let failed = |error: blubr_image::Error| Failure::with(&reference, error);
        let diff_id: Option<Digest> = self.image.layers.get(index).map(|layer| layer.diff_id.clone());
        let reader = self.source.layer(index).map_err(failed)?;
        for entry in Entries::new(reader, diff_id.as_ref()).map_err(failed)? {
            each(entry.map_err(failed)?);
        }
        Ok(())
    }
}

/// The reference that an image id file of `docker build --iidfile` means: the local engine's image of that id.
pub fn from_iidfile(path: &Path) -> Result<String, Failure> {
    let input = Input::open(Some(path))?;
    let name = input.name().to_owned();
    let bytes = input.read_to_end(IIDFILE_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.trim();
    Digest::parse(id).map_err(|error| {
        Failure::new(error).at(&name).advise("docker build --iidfile writes such a file")
    })?;
    Ok(format!("docker:{id}"))
}
