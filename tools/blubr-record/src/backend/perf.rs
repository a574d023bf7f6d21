//! Kernels that preempt programs at BTF tracepoints: there probes hang on perf's where they can, around which the kernel keeps
//! preemption off (include/trace/perf.h).

use std::path::Path;

use aya::Ebpf;
use aya::programs::{ProgramError, TracePoint};

/// A hook's program, what takes its place, and where that hangs: category and tracepoint.
type Instead = (&'static str, &'static str, (&'static str, &'static str));

const INSTEAD: [Instead; 3] = [
    ("blubr_sys_exit", "blubr_sys_exit_perf", ("raw_syscalls", "sys_exit")),
    ("blubr_sys_enter", "blubr_sys_enter_perf", ("raw_syscalls", "sys_enter")),
    ("blubr_exit", "blubr_exit_perf", ("sched", "sched_process_exit")),
];

/// Where tracefs may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

fn by_program(name: &str) -> Option<&'static Instead> {
    INSTEAD.iter().find(|(_, program, _)| *program == name)
}

/// What takes the place of a hook's program.
pub fn instead_of(hook: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(of, _, _)| *of == hook).map(|(_, program, _)| *program)
}

/// The hook's program in whose place this one is.
pub fn hook_of(program: &str) -> Option<&'static str> {
    by_program(program).map(|(hook, _, _)| *hook)
}

/// Where a program hangs, as the header has it.
pub fn place(program: &str) -> Option<String> {
    let (_, _, (category, at)) = by_program(program)?;
    Some(format!("tracepoint/{category}/{at}"))
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut TracePoint, String> {
    let program = ebpf.program_mut(name).ok_or("it is not in the object")?;
    program.try_into().map_err(|e: ProgramError| e.to_string())
}

/// Has the verifier look at one, where it can be attached later.
pub fn verify(
    ebpf: &mut Ebpf,
    name: &str,
    said: impl Fn(&ProgramError) -> String,
) -> Result<(), String> {
    if !TRACEFS.iter().any(|root| Path::new(root).join("events/raw_syscalls").is_dir()) {
        return Err(format!("tracefs is not mounted at {}", TRACEFS[0]));
    }
    program(ebpf, name)?.load().map_err(|e| said(&e))
}

/// Attaches one.
pub fn attach(ebpf: &mut Ebpf, name: &str) -> Result<(), String> {
    let (_, _, (category, at)) = by_program(name).ok_or("it is none of perf's")?;
    program(ebpf, name)?.attach(category, at).map(|_| ()).map_err(|e| e.to_string())
}

/// Takes one out.
pub fn detach(ebpf: &mut Ebpf, name: &str) {
    if let Ok(program) = program(ebpf, name) {
        // The kernel drops the link with us if this fails.
        let _ = program.unload();
    }
}
