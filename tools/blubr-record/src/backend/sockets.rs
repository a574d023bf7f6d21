//! The probe that sees sockets go: it hangs on the root of the control groups, and what is counted of a socket is told there.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Array, MapError};
use aya::programs::{CgroupAttachMode, CgroupSock, ProgramError};

/// Its program.
pub const RELEASE: &str = "blubr_socket_release";
/// Where it hangs.
pub const AT: &str = "cgroup/sock_release";
/// The probes that count what goes through; without the other nobody takes the counts away.
pub const COUNTING: [&str; 2] = [SENT, RECEIVED];
/// Counts what is sent.
pub const SENT: &str = "blubr_socket_sent";
/// Counts what is received.
pub const RECEIVED: &str = "blubr_socket_received";
/// Until then sendfile(2) and splice(2) passed the tracepoint by (proto_ops->sendpage, gone with dc97391e6610).
const SENT_WHOLE_SINCE: (u32, u32) = (6, 5);
/// Number of a hierarchy's root directory (kernfs).
const ROOT_INO: u64 = 1;

/// Why what is sent can't be counted by this kernel, if so.
pub fn why_not_counted(name: &str, version: (u32, u32)) -> Option<String> {
    let (major, minor) = SENT_WHOLE_SINCE;
    (name == SENT && version < SENT_WHOLE_SINCE)
        .then(|| format!("sendfile passes it by before Linux {major}.{minor}"))
}

fn program(ebpf: &mut Ebpf) -> Result<&mut CgroupSock, String> {
    let program = ebpf.program_mut(RELEASE).ok_or("it is not in the object")?;
    program.try_into().map_err(|e: ProgramError| e.to_string())
}

/// Has the verifier look at it.
pub fn verify(ebpf: &mut Ebpf, said: impl Fn(&ProgramError) -> String) -> Result<(), String> {
    program(ebpf)?.load().map_err(|e| said(&e))
}

/// Attaches it to the root of the v2 tree mounted at `tree`.
pub fn attach(ebpf: &mut Ebpf, tree: Option<&Path>) -> Result<(), String> {
    let tree = tree.ok_or("no v2 tree of control groups is mounted")?;
    let root = File::open(tree).map_err(|e| format!("{}: {e}", tree.display()))?;
    if !root.metadata().is_ok_and(|meta| meta.ino() == ROOT_INO) {
        return Err(format!("{} is not the root of the control groups", tree.display()));
    }
    // A link never takes the place of others; flags that say so are refused before 6.15.
    let attached = program(ebpf)?.attach(root, CgroupAttachMode::Single);
    attached.map(|_| ()).map_err(|e| e.to_string())
}

/// Takes it out.
pub fn detach(ebpf: &mut Ebpf) {
    if let Ok(program) = program(ebpf) {
        // The kernel drops the link with us if this fails.
        let _ = program.unload();
    }
}

/// From here on sockets that are made are followed until they go.
pub fn follow(ebpf: &mut Ebpf) -> Result<(), String> {
    let map = ebpf.map_mut("FOLLOWED").ok_or("the probes lack FOLLOWED")?;
    let set = Array::try_from(map).and_then(|mut map| map.set(0, 1u32, 0));
    set.map_err(|e: MapError| e.to_string())
}
