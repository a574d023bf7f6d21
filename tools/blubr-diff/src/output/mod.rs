//! What is printed.

pub mod dockerfile;
pub mod json;
pub mod report;
