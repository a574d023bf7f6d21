//! Builds made of synthetic events.
