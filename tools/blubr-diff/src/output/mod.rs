//! What is printed.

pub mod dockerfile;
