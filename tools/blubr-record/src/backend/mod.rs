//! How the probes get into the kernel. One module a way; this slice has BTF tracepoints.

mod object;
mod sockets;
mod tracepoint;

pub use object::Reads;
pub use tracepoint::{HOOKS, LoadError, Loaded, Loss, LossTable, Options, load, place};
