//! How the probes get into the kernel: at BTF tracepoints, at perf's where those can be preempted, and at the root of the control
//! groups.

mod kernel;
mod losses;
mod object;
mod perf;
mod sockets;
mod tracepoint;

pub use losses::{Counts, KINDS, Loss, LossTable};
pub use object::Reads;
pub use tracepoint::{HOOKS, LoadError, Loaded, Options, load, place};
