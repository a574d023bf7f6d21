//! An image must be for the platform that was asked for, also where no index was asked.

use std::io::Read;

use blubr_image::manifest::Platform;
use blubr_image::{Error, Image, Source};

/// A source whose image's config must name `wanted`.
pub(crate) struct Checked {
    source: Box<dyn Source>,
    wanted: Platform,
}

impl Checked {
    pub fn new(source: Box<dyn Source>, wanted: Platform) -> Checked {
        Checked { source, wanted }
    }
}

impl Source for Checked {
    fn image(&mut self) -> Result<Image, Error> {
        let image = self.source.image()?;
        let config = &image.config;
        // Variants are left to the index: configs seldom have them.
        if config.os != self.wanted.os || config.architecture != self.wanted.architecture {
            return Err(Error::Source(format!(
                "the image is for {}/{}, not for {}",
                config.os.escape_default(),
                config.architecture.escape_default(),
                self.wanted
            )));
        }
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        self.source.layer(index)
    }
}
