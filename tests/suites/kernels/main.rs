//! The recorder on Debian's other kernels, each in a virtual machine: its suite of events, a log that has every type, a
//! build of buildah's, recorded there and attested here, and the installed unit under systemd.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod build;
mod unit;
mod workload;

use std::path::Path;
use std::time::Duration;

use blubr_tests::require;
use blubr_tests::vm::{KERNELS, Kernel, Ran, Tree, is_asked_for, run_script, static_program};

/// How long one kernel may take, emulated, on a busy host.
const LIMIT: Duration = Duration::from_secs(3600);

/// What the suite of events and the workload run.
const PROGRAMS: &str = "base64 bash cat chmod chown cp curl cut date dash echo env fallocate findmnt grep head id jq kill \
    ln ls mkdir mkfifo mknod mount mv nsenter openssl perl pivot_root readlink rm rmdir seq setcap setpriv sh sha256sum \
    sleep sort stat strace tail touch tr true truncate umount uname unshare wc";

/// Stops at the first that fails; the suite of events comes last.
const SCRIPT: &str = "set -e
export PATH=/blubr/bin:$PATH
grep -ao 'btf_trace_[a-z0-9_]*' /sys/kernel/btf/vmlinux | sort -u > tracepoints
blubr-record --check
before=$(date +%s%N)
after=$(blubr-record -o started.ndjson -- date +%s%N 2>&1)
echo \"blubr-vm: started in $(( (after - before) / 1000000 )) ms\"
blubr-record -o workload.ndjson -- bash -e /blubr/workload
sh -e /blubr/build
export BLUBR_BIN=/blubr/bin BLUBR_TOOLS=/blubr/tools BLUBR_PROGRAMS=/blubr/programs
export BLUBR_REQUIRE=root,compiler,i386,strace,clients RUST_TEST_THREADS=1
";

/// A machine's disk with what all of this needs.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.programs(&PROGRAMS.split_whitespace().collect::<Vec<_>>());
    let perl = Path::new("/usr/lib/x86_64-linux-gnu/perl-base");
    if perl.is_dir() {
        tree.folder(perl);
    }
    for name in ["blubr-record", "events"] {
        tree.file(&static_program(name).unwrap(), &format!("/blubr/bin/{name}"));
    }
    for name in ["calls", "flows", "odd", "ring", "i386"] {
        let program = static_program(&format!("programs/{name}")).unwrap();
        tree.file(&program, &format!("/blubr/programs/{name}"));
    }
    tree.file(&blubr_tests::workload::busybox_path(), "/blubr/tools/busybox-static");
    tree.text("/blubr/workload", workload::SCRIPT);
    build::prepare(&tree);
    tree
}

/// What a machine said that is worth a line in the report: of the suite, its sum and what it skipped.
fn worth_telling(serial: &str) -> String {
    let begins = ["blubr-vm: ", "SKIPPED: ", "test result: "];
    let told = serial.lines().filter(|line| begins.iter().any(|begin| line.contains(begin)));
    told.map(|line| format!("    {line}\n")).collect()
}

/// Runs all of it on a kernel on which just `lacks` is not covered for want of a tracepoint.
fn on(name: &str, lacks: &[&str]) {
    if !is_asked_for(name) {
        return;
    }
    let kernel = Kernel::find(name).unwrap();
    let filter = std::env::var("BLUBR_KERNELS_FILTER").unwrap_or_default();
    let script = format!("{SCRIPT}exec /blubr/bin/events {filter}\n");
    let Ran { serial, status, out } = run_script(&kernel, &tree(), &script, LIMIT);
    eprintln!("\nkernel {}\n{}", kernel.release, worth_telling(&serial));
    assert_eq!(status, Some(0), "{}: what the machine said:\n{serial}", kernel.release);
    workload::check(&out, &kernel.release, lacks);
    build::check(&out);
}

/// Before sched_prepare_exec (6.10).
const EXEC: &str = "file.close at exec, and the ids before a setuid exec";

/// Before sock_send_length and sock_recv_length (6.3).
const SENT: &str = "net.close, bytes_sent of datagram and raw sockets";
const RECEIVED: &str = "net.close, bytes_received of datagram and raw sockets";

macro_rules! kernel {
    ($test:ident, $name:literal, $lacks:expr) => {
        #[test]
        fn $test() {
            require!(Root, Buildah, Qemu, Kernels);
            on($name, &$lacks);
        }
    };
}

kernel!(linux_5_10, "5.10", [EXEC, "io_uring", SENT, RECEIVED]);
kernel!(linux_6_1, "6.1", [EXEC, SENT, RECEIVED]);
kernel!(linux_6_12, "6.12", []);
kernel!(linux_newest, "newest", []);

/// The installed unit, on a kernel.
fn unit_on(name: &str) {
    if !is_asked_for(name) {
        return;
    }
    let kernel = Kernel::find(name).unwrap();
    let tree = tree();
    unit::prepare(&tree);
    let Ran { serial, status, out } = run_script(&kernel, &tree, unit::script(), LIMIT);
    eprintln!("\nkernel {}\n{}", kernel.release, worth_telling(&serial));
    assert_eq!(status, Some(0), "{}: what the machine said:\n{serial}", kernel.release);
    unit::check(&out);
}

#[test]
fn the_unit_under_systemd() {
    require!(Root, Buildah, Qemu, Kernels, Systemd);
    KERNELS.into_iter().for_each(unit_on);
}
