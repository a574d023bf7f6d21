//! Forms of what is passed on, beside the log's own.

pub(crate) mod csv;
