//! End-to-end tests of the five tools, and their harness.
