//! Compare attestations with each other and with images.

pub mod output;
pub mod reverse;
