//! What went over a socket, parsed: pure functions of hostile bytes.

pub mod dns;
pub mod http;
pub mod stream;
pub mod tls;
