//! Capabilities: which are needed, which are kept. Each thread has its own.

#![expect(unsafe_code, reason = "system calls that std does not have")]

use std::io;

/// A capability, include/uapi/linux/capability.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    bit: u32,
    /// Its name.
    pub name: &'static str,
    /// What it is needed for.
    pub why: &'static str,
}

/// What loading and attaching the probes and looking at other processes asks for.
pub const NEEDED: [Cap; 4] = [BPF, PERFMON, PTRACE, READ_SEARCH];

const BPF: Cap = Cap { bit: 39, name: "CAP_BPF", why: "to load the probes and read their counters" };
const PERFMON: Cap = Cap { bit: 38, name: "CAP_PERFMON", why: "to attach them to tracepoints" };
const PTRACE: Cap = Cap { bit: 19, name: "CAP_SYS_PTRACE", why: "to see other processes' roots" };
const READ_SEARCH: Cap =
    Cap { bit: 2, name: "CAP_DAC_READ_SEARCH", why: "to follow the names of overlay's directories" };
const KILL: Cap = Cap { bit: 5, name: "CAP_KILL", why: "to pass signals on to the command" };
const CHOWN: Cap = Cap { bit: 0, name: "CAP_CHOWN", why: "to give a part to who called sudo" };
const FOWNER: Cap = Cap { bit: 3, name: "CAP_FOWNER", why: "to remove it again" };
const OVERRIDE: Cap = Cap { bit: 1, name: "CAP_DAC_OVERRIDE", why: "to give the log its name" };

/// What the thread keeps that drains the ring.
pub const DRAIN: &[Cap] = &[BPF, PTRACE, READ_SEARCH];
/// What the main thread keeps.
pub const MAIN: &[Cap] = &[KILL, OVERRIDE];
/// What the main thread keeps where the log has parts: it lists the processes at the beginning of each.
pub const MAIN_PARTS: &[Cap] = &[BPF, KILL, OVERRIDE];
/// What the thread keeps that writes to an open file.
pub const WRITE: &[Cap] = &[];
/// What it keeps where the log has parts: it makes, names and removes files.
pub const WRITE_PARTS: &[Cap] = &[OVERRIDE, CHOWN, FOWNER];

/// CAP_SYS_ADMIN, which stands for some of them as it did before Linux 5.8 (bpf_capable, perfmon_capable).
const ADMIN_BIT: u32 = 21;
const ADMIN_HAS: [Cap; 2] = [BPF, PERFMON];

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// _LINUX_CAPABILITY_VERSION_3: two words of each set.
const VERSION_3: u32 = 0x2008_0522;

fn get() -> io::Result<[Data; 2]> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: capget writes two Data for version 3.
    let done = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    if done == 0 { Ok(data) } else { Err(io::Error::last_os_error()) }
}

/// Which of the needed capabilities this thread lacks.
///
/// # Errors
/// When the kernel does not say.
pub fn missing() -> io::Result<Vec<Cap>> {
    let [low, high] = get()?;
    let held = u64::from(low.effective) | u64::from(high.effective) << 32;
    let admin = held >> ADMIN_BIT & 1 == 1;
    let has = |cap: &Cap| held >> cap.bit & 1 == 1 || (admin && ADMIN_HAS.contains(cap));
    Ok(NEEDED.into_iter().filter(|cap| !has(cap)).collect())
}

/// Drops every capability of this thread but `keep`, for good.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_all_but(keep: &[Cap]) -> io::Result<()> {
    let [low, high] = get()?;
    let mask = keep.iter().fold(0u64, |mask, cap| mask | 1 << cap.bit);
    let cut = |data: Data, mask: u32| Data {
        effective: data.effective & mask,
        permitted: data.permitted & mask,
        inheritable: 0,
    };
    let data = [cut(low, mask as u32), cut(high, (mask >> 32) as u32)];
    let mut header = Header { version: VERSION_3, pid: 0 };
    // SAFETY: capset reads two Data for version 3.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
