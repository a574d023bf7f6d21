//! One real build from the kernel to the registry layout, with a decoy beside it: what the five tools say of it, judged
//! by jq, gpg, sha256sum, skopeo and docker.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

mod attestation;
mod broken;
mod hostile;
mod names;
mod record;
mod secrets;
mod select;
mod stage;
mod tamper;
