//! How the probes get into the kernel. One module a way; this slice has BTF tracepoints.

mod losses;
mod object;
mod perf;
mod sockets;
mod tracepoint;

pub use losses::{Loss, LossTable};
pub use object::Reads;
pub use tracepoint::{HOOKS, LoadError, Loaded, Options, load, place};
