//! What is run: each small, each a common program's own way of calling.

use std::path::Path;
use std::process::Command;

use blubr_tests::program::stdout_of;
use blubr_tests::require;

use crate::run::{Outcome, both, folder};

/// A script in a fresh folder; it must succeed, and both must agree.
#[track_caller]
fn script(name: &str, text: &str) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-ec", text]);
    let outcome = both(name, folder(), &[], &shell);
    outcome.must_agree();
    outcome
}

#[test]
fn a_shell_and_its_tools() {
    require!(Root, Strace, Compiler);
    let outcome = script(
        "shell",
        "mkdir -p a/b; for i in 1 2 3; do echo $i > a/b/$i; cat a/b/$i; done; ls -R a; grep -r 2 a; cp -a a c; \
         mkdir -m 0750 d; mkfifo d/p; mknod d/null c 1 3; ln a/b/1 l; ln -s nowhere/../b s; mv l m; chmod 4751 m; chown 12:34 m; \
         touch -d 2020-02-03T04:05:06.7Z m; touch m; truncate -s 4096 m; fallocate -l 8192 m; rm -r a; rmdir d 2>&1 || true; \
         cat a/b/1 2>&1 || true; (cd c; pwd; echo x >> b/1; rm b/2); sh -c 'kill -KILL $$' || true; (exit 7) || true; \
         /no/such/program one 2>&1 || true; /bin/true 'two words' ''",
    );
    assert!(outcome.compared > 300, "{}", outcome.compared);
    assert!(outcome.lines.len() > outcome.compared);
}

/// A program of fixtures/programs, compiled into a folder of its own.
pub struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    pub fn compiled(name: &str) -> Self {
        let program = Program { folder: folder() };
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs");
        let (mut made, i386) =
            (Command::new("cc"), Path::new(name).extension().is_some_and(|s| s == "s"));
        made.args(if i386 { &["-m32", "-nostdlib", "-static"][..] } else { &["-O1", "-static"] });
        let _ = stdout_of(made.arg("-o").arg(program.path()).arg(source.join(name)));
        program
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("program")
    }

    /// Runs it with this word; both must agree.
    #[track_caller]
    fn agrees(&self, word: &str) -> Outcome {
        let name = if word.is_empty() { "32-bit" } else { word };
        let outcome = both(name, folder(), &[], Command::new(self.path()).arg(word));
        outcome.must_agree();
        outcome
    }
}

#[test]
fn every_call_on_files() {
    require!(Root, Strace, Compiler);
    assert!(Program::compiled("every.c").agrees("files").compared > 90);
}

#[test]
fn every_call_on_mounts_and_namespaces() {
    require!(Root, Strace, Compiler);
    assert!(Program::compiled("every.c").agrees("mounts").compared > 40);
}

#[test]
fn every_call_on_sockets() {
    require!(Root, Strace, Compiler);
    assert!(Program::compiled("every.c").agrees("sockets").compared >= 19);
}

#[test]
fn every_way_to_begin_a_program() {
    require!(Root, Strace, Compiler);
    assert!(Program::compiled("every.c").agrees("processes").compared > 25);
}

#[test]
fn a_32_bit_program() {
    require!(Root, Strace, Compiler, I386);
    assert!(Program::compiled("i386.s").agrees("").compared > 20);
}

#[test]
fn a_static_program_of_rust() {
    require!(Root, Strace, Compiler);
    let folder = folder();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs/static.rs");
    let program = folder.path().join("program");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"]).arg(&program).arg(source);
    let _ = stdout_of(&mut rustc);
    let outcome = both("static Rust", self::folder(), &[], &Command::new(program));
    outcome.must_agree();
    assert!(outcome.compared > 150, "{}", outcome.compared);
}

#[test]
fn scripts_and_their_interpreters() {
    require!(Root, Strace, Compiler);
    script(
        "scripts",
        "printf '#!/bin/sh -e\\nexec ./second \"$@\" more\\n' > first; printf '#! /usr/bin/env perl\\nsystem(\"./third\");\\n' > second; \
         printf '#!./first-of-all  one word \\nno\\n' > third; printf '#!/bin/sh\\necho \"$@\"\\n' > first-of-all; \
         printf 'echo plain\\n' > plain; chmod +x first second third first-of-all plain; ./first 'a b'; PATH=.:$PATH first; ./plain",
    );
}

#[test]
fn user_namespaces_and_what_is_done_in_them() {
    require!(Root, Strace, Compiler);
    script(
        "user namespaces",
        "mkdir m; chmod 777 . m; echo x > of-root; \
         setpriv --reuid=65534 --regid=65534 --clear-groups unshare --user --map-root-user --mount --pid --fork sh -ec \
         'mount -t tmpfs -o size=1m none m; echo y > m/f; chmod 600 m/f; chown 0:0 m/f; chown 1:1 m/f 2>&1 || true; \
         mkdir m/d; mv m/f m/d/g; cat of-root; echo z > of-root 2>&1 || true; mknod m/null c 1 3 2>&1 || true; umount m; \
         sh -c \"exit 3\" || true; unshare --user true'",
    );
}

#[test]
fn a_compile() {
    require!(Root, Strace, Compiler);
    script(
        "compile",
        // `make test` hands its own flags on.
        "unset MAKEFLAGS MFLAGS MAKELEVEL; for i in 1 2 3; do printf '#include <stdio.h>\\nint f%d(void) { return puts(\"x\"); }\\n' $i > $i.c; done; \
         printf 'int f1(void); int main(void) { return f1() < 0; }\\n' > main.c; \
         printf 'all: program\\nprogram: 1.o 2.o 3.o main.o\\n\\tcc -o $@ $^\\n' > Makefile; make -j2; ./program",
    );
}

#[test]
fn an_archive_packed_and_unpacked() {
    require!(Root, Strace, Compiler);
    script(
        "tar",
        "mkdir -p tree/a/b; for i in $(seq 100); do echo $i > tree/a/b/$i; done; ln -s b tree/a/link; ln tree/a/b/1 tree/hard; \
         mkfifo tree/fifo; chmod 2750 tree/a; tar czf tree.tgz tree; mkdir out; tar xpf tree.tgz -C out; rm -r tree",
    );
}

#[test]
fn a_git_clone_over_loopback() {
    require!(Root, Strace, Compiler, Git);
    script(
        "git",
        "export HOME=$PWD GIT_CONFIG_NOSYSTEM=1; git init -q -b main from; cd from; echo x > a; git add a; \
         git -c user.name=a -c user.email=a@b commit -qm one; cd ..; touch from/.git/git-daemon-export-ok; \
         git daemon --listen=127.0.0.1 --port=29418 --base-path=$PWD --pid-file=daemon.pid & \
         for i in 1 2 3 4 5 6 7 8 9; do git clone -q git://127.0.0.1:29418/from to 2>/dev/null && break; sleep 0.2; done; \
         cat to/a; kill $(cat daemon.pid); wait || true",
    );
}

#[test]
fn perl_over_loopback() {
    require!(Root, Strace, Compiler);
    let talk = "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1'); \
                for (1..5) { my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $s->sockport); my $a = $s->accept; print $c 'hi'; } \
                my $u = IO::Socket::INET->new(Proto => 'udp'); send($u, 'x', 0, pack_sockaddr_in($_, inet_aton('127.0.0.1'))) for (9, 9, 10);";
    let outcome = both("perl", folder(), &[], Command::new("perl").args(["-e", talk]));
    outcome.must_agree();
}
