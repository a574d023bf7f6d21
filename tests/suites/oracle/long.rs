//! What takes minutes: `make test-all`.

use std::process::Command;

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
