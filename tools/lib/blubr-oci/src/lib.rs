//! Where images are: layouts, archives, registries, the Docker engine; and what refers to them.
//!
//! [`Reference`] is the one way to name an image, [`open`] gives its [`Source`]. All that works against a registry works
//! against a layout.
//!
//! This is the only crate that opens a socket. It must never interpret what it carries beyond manifests and configs,
//! hand out bytes that don't have the digest by which they were asked for, or print anything.

mod archive;
mod docker;
mod files;
mod found;
mod layout;
mod names;
mod options;
mod reference;
mod spool;

use blubr_image::Error;
pub use blubr_image::Source;
pub use layout::Layout;
pub use options::Options;
pub use reference::{Reference, Registry};

/// Opens the place where `reference` is. The image itself is looked up by [`Source::image`].
pub fn open(reference: &Reference, options: &Options) -> Result<Box<dyn Source>, Error> {
    match reference {
        Reference::Layout { dir, tag, digest } => {
            Ok(Box::new(Layout::open(dir)?.source(tag.as_deref(), digest.as_ref(), options)?))
        }
        Reference::Docker(name) => docker::open(name, options),
        Reference::Archive { file, tag } => archive::open(file, tag.as_deref(), options),
        Reference::Registry(_) => {
            Err(Error::Source(format!("{reference}: registries can't be read so far")))
        }
    }
}
