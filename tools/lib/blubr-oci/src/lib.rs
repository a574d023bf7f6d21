//! Where images are: layouts, archives, registries, the Docker engine; and what refers to them.
//!
//! [`Reference`] is the one way to name an image, [`open`] gives its [`Source`]. All that works against a registry works
//! against a layout.
//!
//! This is the only crate that opens a socket. It must never interpret what it carries beyond manifests and configs,
//! hand out bytes that don't have the digest by which they were asked for, or print anything.

mod archive;
mod auth;
mod challenge;
mod copy;
mod docker;
mod files;
mod found;
mod http;
mod index;
mod layout;
mod names;
mod options;
mod platform;
mod refer;
mod reference;
mod registry;
mod spool;

use blubr_image::Error;
pub use blubr_image::manifest::{Descriptor, Platform};
pub use blubr_image::{Digest, Source};
pub use copy::into_layout;
pub use layout::Layout;
pub use options::Options;
pub use refer::{
    ARTIFACT_BYTES_MAX, Artifact, Attached, Fetched, How, LONG_ARTIFACT_BYTES_MAX, LongArtifact,
    Referrers, Target, referrers,
};
pub use reference::{Reference, Registry};

/// Opens the place where `reference` is. The image itself is looked up by [`Source::image`].
pub fn open(reference: &Reference, options: &Options) -> Result<Box<dyn Source>, Error> {
    let source = open_any(reference, options)?;
    match &options.platform {
        Some(wanted) => Ok(Box::new(platform::Checked::new(source, wanted.clone()))),
        None => Ok(source),
    }
}

fn open_any(reference: &Reference, options: &Options) -> Result<Box<dyn Source>, Error> {
    match reference {
        Reference::Layout { dir, tag, digest } => {
            Ok(Box::new(Layout::open(dir)?.source(tag.as_deref(), digest.as_ref(), options)?))
        }
        Reference::Docker(name) => docker::open(name, options),
        Reference::Archive { file, tag } => archive::open(file, tag.as_deref(), options),
        Reference::Registry(registry) => {
            let mut remote = registry::Remote::new(registry, options)?;
            let descriptor = refer::Store::resolve(&mut remote)?;
            let tags = registry
                .tag
                .iter()
                .map(|tag| format!("{}/{}:{tag}", registry.host, registry.repository));
            Ok(Box::new(found::Found::new(remote, descriptor, tags.collect(), options)?))
        }
    }
}
