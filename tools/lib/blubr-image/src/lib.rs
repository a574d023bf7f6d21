//! What a container image says: manifest, config, history, layers.
//!
//! Everything here is a pure function of bytes that somebody else wrote: [`Digest`], [`Config`], [`manifest`] and
//! [`layer::Entries`] take slices and readers. Where the bytes come from is behind [`Source`], which `blubr-oci`
//! implements for layouts, archives, registries and engines.
//!
//! This crate must never open a file or a socket, read the environment, or believe a length, a name or a digest that
//! it has not checked.

pub mod config;
mod digest;
mod error;
mod image;
pub mod layer;
pub mod manifest;
mod marks;
mod spelling;
pub mod tar;

pub use config::{Config, ContainerConfig, Healthcheck, History};
pub use digest::{Algorithm, Digest, Hasher};
pub use error::Error;
pub use image::{Image, Layer, ManifestFacts, Source};
