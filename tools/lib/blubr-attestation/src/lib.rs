//! The attestation: in-toto statement and predicate, in canonical JSON.
