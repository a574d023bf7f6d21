//! Attach an attestation to an image as an OCI referrer.

fn main() {}
