//! Where images come from: a reference opened, its layers read.

use std::collections::BTreeMap;

use blubr_cli::Failure;
use blubr_image::layer::{Entries, Entry};
use blubr_image::{Image, Source};
use blubr_oci::{Options, Reference};

use crate::output::dockerfile::Files;

/// Paths of one layer that are listed; a layer with more says so.
const LISTED_FILES_MAX: usize = 10_000;

/// An image, and where its layers are.
pub struct Opened {
    /// The image.
    pub image: Image,
    source: Box<dyn Source>,
    name: String,
}

/// Opens the image that a reference names.
///
/// # Errors
/// When there is none, or it can't be read.
pub fn open(text: &str) -> Result<Opened, Failure> {
    let fail = |error: blubr_image::Error| Failure::with(text, error);
    let reference = Reference::parse(text).map_err(fail)?;
    let mut source = blubr_oci::open(&reference, &Options::from_env()).map_err(fail)?;
    let image = source.image().map_err(fail)?;
    Ok(Opened { image, source, name: text.to_owned() })
}

impl Opened {
    /// Walks over one layer's entries; the layer's digest is checked against its diff_id.
    ///
    /// # Errors
    /// When the layer can't be read or isn't the one that the config names.
    pub fn each_entry(&mut self, index: usize, mut take: impl FnMut(&Entry)) -> Result<(), Failure> {
        let fail = |error: blubr_image::Error| {
            Failure::new(error).at(format!("{}: layer {}", self.name, index + 1))
        };
        let Some(layer) = self.image.layers.get(index) else { return Ok(()) };
        let reader = self.source.layer(index).map_err(fail)?;
        for entry in Entries::new(reader, Some(&layer.diff_id)).map_err(fail)? {
            take(&entry.map_err(fail)?);
        }
        Ok(())
    }

    /// The paths of each layer.
    ///
    /// # Errors
    /// As [`Opened::each_entry`].
    pub fn files(&mut self) -> Result<Files, Failure> {
        let mut files: Files = BTreeMap::new();
        for index in 0..self.image.layers.len() {
            let mut paths = Vec::new();
            let mut left_out = 0_u64;
            self.each_entry(index, |entry| {
                if paths.len() < LISTED_FILES_MAX {
                    paths.push(format!(
                        "/{}",
                        String::from_utf8_lossy(&entry.path).trim_start_matches('/')
                    ));
                } else {
                    left_out += 1;
                }
            })?;
            if left_out > 0 {
                paths.push(format!("... and {left_out} more"));
            }
            if let Some(layer) = self.image.layers.get(index) {
                files.insert(layer.diff_id.clone(), paths);
            }
        }
        Ok(files)
    }
}
