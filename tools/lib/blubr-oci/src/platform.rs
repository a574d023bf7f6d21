//! An image must be for the platform that was asked for, also where no index was asked.

use std::io::Read;

use blubr_image::manifest::Platform;
use blubr_image::{Config, Error, Image, Source};

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

/// Whether a config is of an image for `wanted`. Variants are left to the index: configs seldom have them.
pub(crate) fn check(config: &Config, wanted: &Platform) -> Result<(), Error> {
    if config.os == wanted.os && config.architecture == wanted.architecture {
        return Ok(());
    }
    Err(Error::Source(format!(
        "the image is for {}/{}, not for {wanted}",
        config.os.escape_default(),
        config.architecture.escape_default(),
    )))
}

impl Source for Checked {
    fn image(&mut self) -> Result<Image, Error> {
        let image = self.source.image()?;
        check(&image.config, &self.wanted)?;
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        self.source.layer(index)
    }
}
