//! What takes minutes: `make test-all`.

use std::process::Command;

use blubr_tests::program::stdout_of;
use blubr_tests::require;

use crate::run::{Outcome, both, folder};

#[track_caller]
fn agrees(name: &str, command: &Command) -> Outcome {
    let outcome = both(name, folder(), &[], command);
    outcome.must_agree();
    outcome
}

#[test]
fn fifty_thousand_small_files() {
    require!(Root, Strace, Compiler);
    let make = "for my $d (1..500) { mkdir $d; for (1..100) { open my $f, '>', \"$d/$_\" or die; print $f $_; } }";
    let outcome = agrees("50,000 files", Command::new("perl").args(["-e", make]));
    assert!(outcome.compared > 100_500);
}

#[test]
fn an_apt_get_install_in_a_container() {
    require!(Root, Strace, Compiler, Debian);
    let folder = folder();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let tar = blubr_tests::require::debian_base().unwrap();
    let _ = stdout_of(Command::new("tar").arg("-xpf").arg(tar).arg("-C").arg(&root));
    for device in ["null 1 3", "zero 1 5", "random 1 8", "urandom 1 9"] {
        let mut words = device.split(' ');
        let at = root.join("dev").join(words.next().unwrap());
        let _ = stdout_of(Command::new("mknod").arg("-m666").arg(at).arg("c").args(words));
    }
    std::fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).unwrap();
    let install = "export DEBIAN_FRONTEND=noninteractive; mount -t proc proc /proc; apt-get update; \
                   apt-get install -y --no-install-recommends hello make; hello; dpkg --purge hello";
    let mut contained = Command::new("unshare");
    contained.args(["--mount", "--uts", "--ipc", "--pid", "--fork", "chroot", "root"]);
    contained.args(["/bin/sh", "-ec", install]);
    let outcome = both("apt-get install", folder, &[], &contained);
    outcome.must_agree();
    assert!(outcome.compared > 5_000, "{}", outcome.compared);
}

#[test]
fn stressors_of_files() {
    require!(Root, Strace, Compiler, StressNg);
    let words = "--rename 1 --rename-ops 200 --chmod 1 --chmod-ops 20 --utime 1 --utime-ops 20 --timeout 10 --temp-path .";
    let outcome = agrees("stress-ng files", Command::new("stress-ng").args(words.split_whitespace()));
    assert!(outcome.compared > 2_000);
}

#[test]
fn stressors_of_sockets() {
    require!(Root, Strace, Compiler, StressNg);
    let words = "--sock 1 --sock-ops 50 --udp 1 --udp-ops 50 --timeout 10 --temp-path .";
    let outcome = agrees("stress-ng sockets", Command::new("stress-ng").args(words.split_whitespace()));
    assert!(outcome.compared > 100);
}
