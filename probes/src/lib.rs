//! The eBPF programs of blubr-record and the wire format between them and Rust.
