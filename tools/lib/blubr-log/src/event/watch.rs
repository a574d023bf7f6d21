//! What could blind or alter the record, and what a ring makes invisible to those who watch system calls.

use super::schema::schema;
use crate::{Name, NameList, Seen};

schema! {
    /// bpf(2) was called by somebody else than the recorder: programs and maps could alter or read the record. Not told are calls that read or write elements of a map which the caller holds already, or only list what there is.
    struct WatchBpf<'a> {
        /// What was asked for: `map_create`, `prog_load`, `prog_attach`, `link_create`, `map_get_fd_by_id` ... or the command's number.
        command: Name<'a>,
    }
}

schema! {
    /// One process took hold of another (ptrace with PTRACE_ATTACH or PTRACE_SEIZE), or wrote into its memory (process_vm_writev).
    struct WatchPtrace<'a> {
        /// `attach`, `seize` or `process_vm_writev`.
        request: Name<'a>,
        /// The other process or thread, as the caller numbers it: in its own pid namespace.
        target: u32,
    }
}

schema! {
    /// A kernel module was loaded (init_module, finit_module) or removed (delete_module), or with a negative `ret` could not be.
    struct WatchModule<'a> {
        /// `load` or `remove`.
        action: Name<'a>,
        /// The file that it was loaded from; init_module has none.
        path: Seen<Name<'a>>,
        /// Its name, where it was removed.
        name: Option<Name<'a>>,
    }
}

schema! {
    /// A process sent a signal to the recorder (kill, tgkill, sigqueue ...); the kernel's own signals are not told.
    struct WatchKill {
        /// Number of the signal.
        signal: u32,
        /// The thread of the recorder that it was for, in the initial pid namespace.
        target: u32,
    }
}

schema! {
    /// A ring was made (io_uring_setup), or with a negative `ret` could not be.
    struct WatchIouring<'a> {
        /// Entries of its submission queue that were asked for.
        entries: u32,
        /// What was asked for besides: `iopoll`, `sqpoll`, `attach_wq`, `single_issuer` ... or the bit's number.
        flags: NameList<'a>,
    }
}

schema! {
    /// A socket was made, or came from another process (`via`), of which not all is recorded that it reaches: neither an internet socket but SCTP's nor one of this kernel's own (unix, netlink).
    struct WatchSocket<'a> {
        /// `packet`, `vsock`, `inet` (SCTP), `bluetooth`, `xdp`, `smc` ... or the family's number.
        family: Name<'a>,
        /// `stream`, `dgram`, `raw`, `seqpacket` ... or the type's number.
        socktype: Name<'a>,
    }
}
