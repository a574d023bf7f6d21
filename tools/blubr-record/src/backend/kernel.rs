//! What this kernel can, and how it is asked, before any probe is loaded.

#![expect(unsafe_code, reason = "calls that std does not have")]

use std::io;

use aya::Btf;
use aya_obj::btf::BtfKind;

/// Whether programs can loop by a call (bpf_loop, 5.17).
pub fn has_loops(btf: &Btf) -> bool {
    btf.id_by_type_name_kind("bpf_loop", BtfKind::Func).is_ok()
}

/// Whether a program at a tracepoint can be preempted: since some version after 6.18.
pub fn are_preemptible() -> bool {
    version() > (6, 18)
}

/// The kernel's version; one that can't be read counts as newer than all.
pub fn version() -> (u32, u32) {
    let (release, _) = crate::host::uname();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0))
}

/// Before 5.11 (d5299b67dd59) maps count against RLIMIT_MEMLOCK. Where it can't be raised the maps may still fit.
pub fn lock_memory_without_limit() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call reads our own struct.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
}

/// Whether the kernel takes system calls with the x32 bit (`__X32_SYSCALL_BIT`), or may do so: getpid with it answers. A seccomp
/// filter may kill who tries (systemd's SystemCallArchitectures=native does). Where one is, it is not tried: a kernel that
/// takes none fails them all, and that is what is told of them.
pub fn takes_x32() -> bool {
    const X32_BIT: libc::c_long = 0x4000_0000;
    // SAFETY: PR_GET_SECCOMP takes nothing and changes nothing. Without a filter it returns 0, or EINVAL.
    if unsafe { libc::prctl(libc::PR_GET_SECCOMP) } > 0 {
        return true;
    }
    // SAFETY: getpid takes nothing and changes nothing; where the bit is not known the kernel returns ENOSYS.
    unsafe { libc::syscall(X32_BIT | libc::SYS_getpid) > 0 }
}

/// CPUs that there may ever be: the probes have room for each, and tell nothing on one that has none.
///
/// # Errors
/// When the kernel does not say (/sys/devices/system/cpu/possible).
pub fn possible_cpus() -> io::Result<u32> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    u32::try_from(cpus).map_err(io::Error::other)
}
