//! The long tables, apart from the statement: moved into a file of their own, and read from there.

mod part;
mod read;

pub use part::part;
pub use read::{Detail, Failed};
