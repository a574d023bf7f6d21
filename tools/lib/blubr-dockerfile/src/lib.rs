//! Dockerfiles, parsed and laid out again.
