//! Compare attestations with each other and with images.

fn main() {}
