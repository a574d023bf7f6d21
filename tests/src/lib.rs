//! End-to-end tests of the five tools, and their harness.
//!
//! The suites lie in `suites/`, what they build in `fixtures/builds/`, the scripts that prepare a host in `host/`.
//! The harness runs other programs (docker, buildah, gpg, a registry) and the tools in `$BLUBR_BIN`; it never links a
//! tool. What it starts it ends, also after a panic; it ends nothing else.

pub mod attribution;
pub mod bins;
pub mod buildah;
pub mod builders;
pub mod buildkitd;
pub mod calls;
pub mod corpus;
pub mod corpus_run;
pub mod engine;
pub mod keyring;
pub mod lossy;
pub mod program;
pub mod record;
pub mod registry;
pub mod require;
pub mod supervise;
pub mod unified;
pub mod unprivileged;
pub mod vm;
pub mod web;
pub mod workload;
