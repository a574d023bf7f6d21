//! `--check`: what this host can and can't record, and what to do about it.

use std::io::{self, Write};
use std::path::Path;

use blubr_cli::{Exit, Failure};

use crate::backend::{self, Options, Reads};
use crate::caps;
use crate::cgroup::{self, Layout};
use crate::host;
use crate::plan::Plan;

/// Prints the answer. Exit 0: it can record; 1: it can't.
///
/// # Errors
/// When standard output can't be written, or the kernel does not tell our capabilities.
pub fn check(plan: &Plan) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    let able = describe(plan, &mut text).map_err(|e| Failure::io("capabilities", &e))?;
    let mut out = io::stdout().lock();
    out.write_all(&text).map_err(|e| Failure::io("standard output", &e))?;
    Ok(if able { Exit::Done } else { Exit::No })
}

fn describe(plan: &Plan, out: &mut Vec<u8>) -> io::Result<bool> {
    let (kernel, arch) = host::uname();
    writeln!(out, "kernel          {kernel} {arch}")?;
    let missing = caps::missing()?;
    for cap in caps::NEEDED {
        let lacks = missing.contains(&cap);
        let state = if lacks { "MISSING: run as root, such as with sudo" } else { "yes" };
        writeln!(out, "{:<22}{state} ({})", cap.name, cap.why)?;
    }
    let mountinfo = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let (layout, tree) = cgroup::layout(&mountinfo);
    let at = tree.as_ref().map(|tree| format!(", tree at {}", tree.display())).unwrap_or_default();
    writeln!(out, "cgroups         {}{at}", layout.name())?;
    if layout == Layout::V1 {
        writeln!(out, "                paths of control groups will be null: mount a cgroup2 tree")?;
    }
    if !host::in_initial_pid_namespace() {
        writeln!(
            out,
            "pid namespace   NOT the initial one: processes could not be told apart; run it on the host"
        )?;
    }
    let able = host::in_initial_pid_namespace()
        && missing.is_empty()
        && describe_probes(plan, layout, tree.as_deref(), out)?;
    let answer = if able { "this host can be recorded" } else { "this host can NOT be recorded" };
    writeln!(out, "{answer}")?;
    Ok(able)
}

/// Loads the probes, which is the only way to know.
fn describe_probes(
    plan: &Plan,
    layout: Layout,
    tree: Option<&Path>,
    out: &mut Vec<u8>,
) -> io::Result<bool> {
    let options = Options {
        own_pid: std::process::id(),
        command_pid: None,
        ring_bytes: plan.ring_bytes,
        no_failed: plan.no_failed,
        without: plan.without_probes.clone(),
        only_called: plan.without_typed_loads,
        by_perf: plan.by_perf,
    };
    let loaded = backend::load(&options).and_then(|(mut loaded, _, _)| {
        loaded.attach(tree)?;
        Ok(loaded)
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            writeln!(out, "probes          REFUSED: {error}")?;
            writeln!(
                out,
                "                a kernel of 5.10 or newer with CONFIG_DEBUG_INFO_BTF=y and CONFIG_BPF_SYSCALL=y takes them"
            )?;
            return Ok(false);
        }
    };
    let reads = match loaded.reads() {
        Reads::Typed => "by typed loads",
        Reads::Called => "by helper calls: dearer; Linux 6.2 and newer take typed loads",
    };
    writeln!(out, "kernel memory   read {reads}")?;
    for (name, at) in loaded.attached() {
        writeln!(out, "probe           {name} on {}: yes", backend::place(name, at))?;
    }
    writeln!(out, "not covered:")?;
    for entry in host::not_covered(layout, loaded.refused(), plan.no_failed) {
        writeln!(out, "  {}: {}", entry.what, entry.why)?;
    }
    Ok(true)
}
