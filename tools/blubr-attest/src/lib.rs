//! Assemble, sign, encrypt, verify and show the attestation of a build.
