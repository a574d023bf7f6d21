//! Loads the probes, attaches them, and says what this kernel refused and where it passed them over.

#![expect(unsafe_code, reason = "calls that std does not have")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use aya::maps::{HashMap, Map, MapError};
use aya::programs::{BtfTracePoint, Iter, Program};
use aya::{Btf, Ebpf, EbpfLoader};
use aya_obj::btf::BtfKind;

use super::Reads;
use super::kernel;
use super::losses::{self, LossTable};
use super::object::has_casts;
use super::perf;
use super::sockets;
use crate::decode::Counted;
use crate::ring::Ring;

/// The probes: program, tracepoint (or what else it hangs on), and whether the recording is worth nothing without it.
pub const HOOKS: [(&str, &str, bool); 16] = [
    ("blubr_sys_exit", "sys_exit", true),
    ("blubr_sys_enter", "sys_enter", true),
    ("blubr_fork", "sched_process_fork", true),
    ("blubr_exec", "sched_process_exec", true),
    ("blubr_exit", "sched_process_exit", true),
    ("blubr_cgroup_mkdir", "cgroup_mkdir", true),
    ("blubr_cgroup_rename", "cgroup_rename", false),
    ("blubr_cgroup_rmdir", "cgroup_rmdir", false),
    ("blubr_tcp_state", "inet_sock_set_state", false),
    (sockets::RELEASE, sockets::AT, false),
    (sockets::SENT, "sock_send_length", false),
    (sockets::RECEIVED, "sock_recv_length", false),
    ("blubr_prepare_exec", "sched_prepare_exec", false),
    ("blubr_signal", "signal_generate", false),
    (RING_HOOKS[0], "io_uring_submit_req", false),
    (RING_HOOKS[1], "io_uring_complete", false),
];

/// What older kernels have in a hook's place: the hook's program, the one that is tried then, and where it hangs.
const OLDER: [(&str, &str, &str); 2] = [
    (RING_HOOKS[0], "blubr_ring_submit_sqe", "io_uring_submit_sqe"),
    (RING_HOOKS[1], "blubr_ring_complete_words", "io_uring_complete"),
];

/// What a ring was asked and what came of it: one without the other is of no use.
const RING_HOOKS: [&str; 2] = ["blubr_ring_submit", "blubr_ring_complete"];

/// What is fixed before the programs are verified.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own process, in the initial pid namespace: it is left out of the record.
    pub own_pid: u32,
    /// The recorded command's process, if there is one: what it and its descendants do does not give way.
    pub command_pid: Option<u32>,
    /// Size of the ring in bytes: a power of two, and a multiple of the page size.
    pub ring_bytes: u32,
    /// Leave out calls that failed.
    pub no_failed: bool,
    /// Probes of [`HOOKS`] that are not to be attached.
    pub without: Vec<String>,
    /// Read the kernel's memory by calls alone, also where loads can be typed.
    pub only_called: bool,
    /// Hook system calls at perf's tracepoints also where programs at BTF tracepoints are not preempted.
    pub by_perf: bool,
}

/// Where a probe hangs, as the header has it.
pub fn place(name: &str, at: &str) -> String {
    match perf::place(name) {
        Some(place) => place,
        None if at == sockets::AT => at.to_owned(),
        None => format!("tp_btf/{at}"),
    }
}

/// Why a probe that was left out is not there.
const LEFT_OUT: &str = "left out as asked (--without-probe)";

/// Why the probes are not in place.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel has no BTF to relocate against.
    #[error("the kernel's BTF (/sys/kernel/btf/vmlinux) cannot be read: {0}")]
    Btf(#[source] aya::BtfError),
    /// For how many CPUs is not known.
    #[error("how many CPUs there may be cannot be read: {0}")]
    Cpus(#[source] std::io::Error),
    /// The maps could not be made, or the object not be read.
    #[error("the probes cannot be loaded: {0}")]
    Object(#[source] aya::EbpfError),
    /// The ring could not be mapped.
    #[error("the ring cannot be mapped: {0}")]
    Ring(#[source] std::io::Error),
    /// Nor the table of losses.
    #[error("the table of losses cannot be mapped: {0}")]
    Losses(#[source] std::io::Error),
    /// A program was refused.
    #[error("the probe {name} on {tracepoint} is refused: {reason}")]
    Program {
        /// The program.
        name: &'static str,
        /// Where it was to hang.
        tracepoint: &'static str,
        /// What the kernel said; the verifier's last words.
        reason: String,
    },
    /// The object is not the one that this program was built with.
    #[error("the probes lack {0}")]
    Missing(&'static str),
    /// The iterator over processes failed.
    #[error("the processes that are there cannot be listed: {0}")]
    Iterator(#[source] std::io::Error),
}

/// The probes in the kernel. Dropped, they are gone.
pub struct Loaded {
    ebpf: Ebpf,
    /// What the verifier has taken: program, tracepoint, and whether it must be there.
    verified: Vec<(&'static str, &'static str, bool)>,
    attached: Vec<(&'static str, &'static str)>,
    refused: Vec<(&'static str, String)>,
    reads: Reads,
}

/// Loads and verifies every probe; nothing is attached yet. Gives the ring and the loss table beside it.
///
/// # Errors
/// When a probe that must be there is refused.
pub fn load(options: &Options) -> Result<(Loaded, Ring, LossTable), LoadError> {
    let btf = Btf::from_sys_fs().map_err(LoadError::Btf)?;
    let cpus = kernel::possible_cpus().map_err(LoadError::Cpus)?;
    let (loaded, ring, losses) = load_best(options, cpus, &btf)?;
    // The kernel's types take as much memory as all that we do later; the ring is mapped when they are gone.
    drop(btf);
    give_back_memory();
    let Map::RingBuf(ring) = ring else { return Err(LoadError::Missing("RING")) };
    let ring = Ring::new(ring, options.ring_bytes as usize).map_err(LoadError::Ring)?;
    let Map::Array(losses) = losses else { return Err(LoadError::Missing("LOSS")) };
    let losses = LossTable::new(losses, cpus).map_err(LoadError::Losses)?;
    Ok((loaded, ring, losses))
}

/// Loads by typed loads where the kernel takes as many probes so, else by calls.
fn load_best(options: &Options, cpus: u32, btf: &Btf) -> Result<Parts, LoadError> {
    if options.only_called || !has_casts(btf) {
        return load_by(Reads::Called, options, cpus, btf);
    }
    match load_by(Reads::Typed, options, cpus, btf) {
        Ok(typed) if typed.0.lacks_what_is_there(btf) => {
            match load_by(Reads::Called, options, cpus, btf) {
                Ok(called) if called.0.refused.len() < typed.0.refused.len() => Ok(called),
                _ => Ok(typed),
            }
        }
        Ok(typed) => Ok(typed),
        // Whatever the reason: where the other way isn't taken either, its reason is told.
        Err(_) => load_by(Reads::Called, options, cpus, btf),
    }
}

type Parts = (Loaded, Map, Map);

/// Loads and verifies every probe for one way to read the kernel's memory.
fn load_by(reads: Reads, options: &Options, cpus: u32, btf: &Btf) -> Result<Parts, LoadError> {
    let mut ebpf = maps(reads, options, cpus, btf)?;
    let ring = ebpf.take_map("RING").ok_or(LoadError::Missing("RING"))?;
    let loss = ebpf.take_map("LOSS").ok_or(LoadError::Missing("LOSS"))?;
    if let Some(pid) = options.command_pid {
        let traced = ebpf.map_mut("TRACED").ok_or(LoadError::Missing("TRACED"))?;
        let noted = HashMap::try_from(traced).and_then(|mut map| map.insert(pid, 1u8, 0));
        noted.map_err(|e: MapError| LoadError::Object(e.into()))?;
    }
    let mut loaded =
        Loaded { ebpf, verified: Vec::new(), attached: Vec::new(), refused: Vec::new(), reads };
    for (name, tracepoint, needed) in HOOKS {
        if options.without.iter().any(|left_out| left_out == name) {
            loaded.refused.push((tracepoint, LEFT_OUT.to_owned()));
            continue;
        }
        let by_perf = options.by_perf || kernel::are_preemptible();
        match loaded.verify(name, tracepoint, by_perf, btf) {
            Ok((name, tracepoint)) => loaded.verified.push((name, tracepoint, needed)),
            Err(reason) if needed => return Err(LoadError::Program { name, tracepoint, reason }),
            Err(reason) => loaded.refused.push((tracepoint, reason)),
        }
    }
    loaded.refuse_half_a_ring();
    let reason = |reason| LoadError::Program { name: EACH_TASK, tracepoint: "iter/task", reason };
    let program = loaded.ebpf.program_mut(EACH_TASK).ok_or(LoadError::Missing(EACH_TASK))?;
    let program: &mut Iter =
        program.try_into().map_err(|e: aya::programs::ProgramError| reason(e.to_string()))?;
    program.load("task", btf).map_err(|e| reason(last_words(&e)))?;
    Ok((loaded, ring, loss))
}

/// Makes the maps and relocates the programs.
fn maps(reads: Reads, options: &Options, cpus: u32, btf: &Btf) -> Result<Ebpf, LoadError> {
    let wake_bytes = u64::from(options.ring_bytes) / 4;
    let no_failed = u32::from(options.no_failed);
    let x32 = u32::from(kernel::takes_x32());
    let typed = u32::from(reads == Reads::Typed);
    let preemptible = u32::from(kernel::are_preemptible());
    // Where it can't be read nothing gives way.
    let host_mntns = crate::host::mount_namespace().unwrap_or(0);
    if !kernel::has_loops(btf) {
        kernel::lock_memory_without_limit();
    }
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(btf))
        .override_global("SELF_TGID", &options.own_pid, true)
        .override_global("ITERATOR_SLOT", &cpus, true)
        .override_global("HOST_MNTNS", &host_mntns, true)
        .override_global("PREEMPTIBLE", &preemptible, true)
        .override_global("NO_FAILED", &no_failed, true)
        .override_global("X32_ABI", &x32, true)
        .override_global("WAKE_BYTES", &wake_bytes, true)
        .override_global("TYPED", &typed, kernel::has_loops(btf))
        .map_max_entries("SCRATCH", cpus + 1)
        .map_max_entries("LOSS", losses::entries(cpus))
        .map_max_entries("RING", options.ring_bytes);
    let object =
        if kernel::has_loops(btf) { blubr_probes::TRACEPOINT } else { blubr_probes::TRACEPOINT_OLD };
    loader.load(&reads.object(object, btf)).map_err(LoadError::Object)
}

const EACH_TASK: &str = "blubr_each_task";

impl Loaded {
    fn program(&mut self, name: &str) -> Result<&mut BtfTracePoint, String> {
        let program = self.ebpf.program_mut(name).ok_or("it is not in the object")?;
        program.try_into().map_err(|e: aya::programs::ProgramError| e.to_string())
    }

    /// Has the verifier look at a hook's program, or at what has its place on this kernel. Gives which it took.
    fn verify(
        &mut self,
        name: &'static str,
        tracepoint: &'static str,
        by_perf: bool,
        btf: &Btf,
    ) -> Result<(&'static str, &'static str), String> {
        if by_perf
            && let Some(instead) = perf::instead_of(name)
            && perf::verify(&mut self.ebpf, instead, last_words).is_ok()
        {
            return Ok((instead, tracepoint));
        }
        let Err(mut refused) = self.verify_one(name, tracepoint, btf) else {
            return Ok((name, tracepoint));
        };
        for (_, older, at) in OLDER.into_iter().filter(|(of, _, _)| *of == name) {
            match self.verify_one(older, at, btf) {
                Ok(()) => return Ok((older, at)),
                Err(reason) => refused = format!("{refused}; as on older kernels ({at}): {reason}"),
            }
        }
        Err(refused)
    }

    fn verify_one(&mut self, name: &str, tracepoint: &str, btf: &Btf) -> Result<(), String> {
        if name == sockets::RELEASE {
            return sockets::verify(&mut self.ebpf, last_words);
        }
        if let Some(reason) = sockets::why_not_counted(name, kernel::version()) {
            return Err(reason);
        }
        self.program(name)?.load(tracepoint, btf).map_err(|e| last_words(&e))
    }

    /// Whether a probe was refused whose tracepoint this kernel has.
    fn lacks_what_is_there(&self, btf: &Btf) -> bool {
        self.refused.iter().any(|(tracepoint, reason)| {
            reason != LEFT_OUT
                && btf.id_by_type_name_kind(&format!("btf_trace_{tracepoint}"), BtfKind::Typedef).is_ok()
        })
    }

    /// How the probes read the kernel's memory.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Where one of the two was refused the other is not used.
    fn refuse_half_a_ring(&mut self) {
        let of_rings = |tracepoint: &str| {
            HOOKS.iter().any(|(name, at, _)| *at == tracepoint && RING_HOOKS.contains(name))
        };
        let Some((_, reason)) = self.refused.iter().find(|(refused, _)| of_rings(refused)) else {
            return;
        };
        let reason = reason.clone();
        self.refused.retain(|(refused, _)| !of_rings(refused));
        let is_of_rings =
            |name: &str| RING_HOOKS.contains(&name) || OLDER.iter().any(|(_, older, _)| *older == name);
        self.verified.retain(|(name, _, _)| !is_of_rings(name));
        let both = HOOKS.iter().filter(|(name, _, _)| RING_HOOKS.contains(name));
        self.refused.extend(both.map(|(_, tracepoint, _)| (*tracepoint, reason.clone())));
    }

    /// Attaches everything that was verified: from here on events arrive. `tree` is where the v2 tree of control groups is
    /// mounted.
    ///
    /// # Errors
    /// When the kernel refuses one that must be there.
    pub fn attach(&mut self, tree: Option<&Path>) -> Result<(), LoadError> {
        for (name, tracepoint, needed) in self.verified.clone() {
            let attached = match (self.attach_one(name, tree), perf::hook_of(name)) {
                (Err(_), Some(hook)) => self.attach_late(hook, tracepoint).map(|()| hook),
                (done, _) => done.map(|()| name),
            };
            match attached {
                Ok(name) => self.attached.push((name, tracepoint)),
                Err(reason) if needed => {
                    return Err(LoadError::Program { name, tracepoint, reason });
                }
                Err(reason) => self.refused.push((tracepoint, reason)),
            }
        }
        if self.is_attached(sockets::RELEASE)
            && let Err(reason) = sockets::follow(&mut self.ebpf)
        {
            self.refused.push((sockets::AT, reason));
        }
        Ok(())
    }

    /// Attaches a hook's own program, in whose place perf's was verified.
    fn attach_late(&mut self, name: &str, tracepoint: &str) -> Result<(), String> {
        let btf = Btf::from_sys_fs().map_err(|e| e.to_string())?;
        self.verify_one(name, tracepoint, &btf)?;
        self.attach_one(name, None)
    }

    fn attach_one(&mut self, name: &str, tree: Option<&Path>) -> Result<(), String> {
        if perf::hook_of(name).is_some() {
            return perf::attach(&mut self.ebpf, name);
        }
        if name == sockets::RELEASE {
            return sockets::attach(&mut self.ebpf, tree);
        }
        if sockets::COUNTING.contains(&name) && !self.is_attached(sockets::RELEASE) {
            return Err(format!("of no use without {}", sockets::AT));
        }
        self.program(name)?.attach().map(|_| ()).map_err(|e| e.to_string())
    }

    fn is_attached(&self, name: &str) -> bool {
        self.attached.iter().any(|(attached, _)| *attached == name)
    }

    /// Which bytes of datagram and raw sockets are counted.
    pub fn counted(&self) -> Counted {
        Counted { sent: self.is_attached(sockets::SENT), received: self.is_attached(sockets::RECEIVED) }
    }

    /// Takes the probes out again, so that what is in the ring is all there will be.
    pub fn detach(&mut self) {
        for (name, _) in std::mem::take(&mut self.attached) {
            if name == sockets::RELEASE {
                sockets::detach(&mut self.ebpf);
            } else if perf::hook_of(name).is_some() {
                perf::detach(&mut self.ebpf, name);
            } else if let Ok(program) = self.program(name) {
                // The kernel drops the links with us if this fails.
                let _ = program.unload();
            }
        }
    }

    /// How often the kernel passed a probe over because it was at work on that CPU already: by `net.close` where no other event
    /// can have been missed, else by the tracepoint, of which nobody knows which event it would have been.
    pub fn missed(&self) -> BTreeMap<String, u64> {
        let mut missed = BTreeMap::new();
        for &(name, tracepoint) in &self.attached {
            let times = self.ebpf.program(name).map_or(0, recursion_misses);
            // A state change can interrupt another, from the network's softirq; a count that was passed over makes an end
            // that is told wrong.
            let of_ends = tracepoint == "inet_sock_set_state" || sockets::COUNTING.contains(&name);
            let kind = if of_ends { "net.close" } else { tracepoint };
            if times > 0 {
                *missed.entry(kind.to_owned()).or_insert(0) += times;
            }
        }
        missed
    }

    /// The probes in place, each with what it hangs on.
    pub fn attached(&self) -> &[(&'static str, &'static str)] {
        &self.attached
    }

    /// Tracepoints that this kernel did not give us, and why.
    pub fn refused(&self) -> &[(&'static str, String)] {
        &self.refused
    }

    /// Puts a record of every process there is into the ring.
    ///
    /// # Errors
    /// When the iterator can't be run.
    pub fn list_processes(&mut self) -> Result<(), LoadError> {
        fn other(e: impl std::fmt::Display) -> LoadError {
            LoadError::Iterator(std::io::Error::other(e.to_string()))
        }
        let program = self.ebpf.program_mut(EACH_TASK).ok_or(LoadError::Missing(EACH_TASK))?;
        let program: &mut Iter = program.try_into().map_err(other)?;
        let link = program.attach().map_err(other)?;
        let link = program.take_link(link).map_err(other)?;
        let mut file = link.into_file().map_err(other)?;
        let mut none = [0u8; 64];
        // The program writes nothing here: reading it to its end is what runs it.
        while file.read(&mut none).map_err(LoadError::Iterator)? > 0 {}
        Ok(())
    }
}

/// What the kernel says of a program in its descriptor's /proc/self/fdinfo (bpf_prog_show_fdinfo, since 5.12).
fn recursion_misses(program: &Program) -> u64 {
    let Ok(fd) = program.fd() else { return 0 };
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Has the allocator return to the kernel what it holds for no one.
fn give_back_memory() {
    // SAFETY: a plain call; it takes only memory that nothing uses.
    unsafe { libc::malloc_trim(0) };
}

/// The last lines of what the verifier said, on one line: there is the reason.
fn last_words(error: &aya::programs::ProgramError) -> String {
    match error {
        aya::programs::ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().filter(|line| !is_statistic(line)).collect();
            let from = lines.len().saturating_sub(LAST_LINES);
            format!("{io_error}: {}", lines.get(from..).unwrap_or_default().join("; "))
        }
        other => other.to_string(),
    }
}

/// Whether a line of the verifier's log says what it took, and no reason.
fn is_statistic(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "].iter().any(|begin| line.starts_with(begin))
}

/// Lines of the verifier's log that are shown.
const LAST_LINES: usize = 3;
