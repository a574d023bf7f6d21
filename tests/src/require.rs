//! What a test needs of its host: said aloud when it is missing, or a failure where `$BLUBR_REQUIRE` demands it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::program::is_installed;

/// Something that a test cannot do without. Its name in `$BLUBR_REQUIRE` is the variant's in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// Effective uid 0.
    Root,
    /// dockerd, containerd, runc and a client that can build with BuildKit.
    Docker,
    /// buildah and runc.
    Buildah,
    /// podman.
    Podman,
    /// What gives an ordinary user other ids (newuidmap), and a kernel that lets them.
    Rootless,
    /// What gives an ordinary user's Docker its namespaces (rootlesskit, slirp4netns), and its network's device.
    RootlessKit,
    /// fuse-overlayfs, and a kernel with FUSE.
    Fuse,
    /// gpg and gpgconf.
    Gpg,
    /// Docker, buildah and podman of Debian unstable, unpacked aside.
    Engines,
    /// crun of Debian unstable, unpacked with them.
    Crun,
    /// buildkitd and buildctl, in the folder that `$BLUBR_BUILDKITD` names, and runc.
    Buildkitd,
    /// A C compiler (cc), or what it would make, in `$BLUBR_PROGRAMS`.
    Compiler,
    /// An assembler and a linker that make 32-bit programs (as --32, ld -m elf_i386), and a kernel that runs them.
    I386,
    /// strace.
    Strace,
    /// git.
    Git,
    /// openssl and curl, which ask for names.
    Clients,
    /// stress-ng.
    StressNg,
    /// A small Debian to build upon or to run in, made aside.
    Debian,
    /// QEMU's PC, a static busybox, and what makes a disk: for virtual machines.
    Qemu,
    /// Debian's kernels that `$BLUBR_KERNELS` names (all unless set), unpacked aside, and static programs to run there.
    Kernels,
    /// systemd, to be a virtual machine's first process.
    Systemd,
    /// A kernel whose tracepoints say which request of a ring they are about (6.0).
    Rings,
    /// A kernel whose rings bind, listen and truncate (6.11).
    RingBind,
    /// A kernel that tells of an exec before it changes anything (sched_prepare_exec, 6.10).
    PrepareExec,
    /// A registry without the referrers API (docker-registry), one with it (ferro-oci-server), and skopeo.
    Registry,
}

impl Prerequisite {
    /// Its name in `$BLUBR_REQUIRE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Docker => "docker",
            Self::Buildah => "buildah",
            Self::Podman => "podman",
            Self::Rootless => "rootless",
            Self::RootlessKit => "rootlesskit",
            Self::Fuse => "fuse",
            Self::Gpg => "gpg",
            Self::Engines => "engines",
            Self::Crun => "crun",
            Self::Buildkitd => "buildkitd",
            Self::Compiler => "compiler",
            Self::I386 => "i386",
            Self::Strace => "strace",
            Self::Git => "git",
            Self::Clients => "clients",
            Self::StressNg => "stressng",
            Self::Debian => "debian",
            Self::Qemu => "qemu",
            Self::Kernels => "kernels",
            Self::Systemd => "systemd",
            Self::Rings => "rings",
            Self::RingBind => "ringbind",
            Self::PrepareExec => "prepareexec",
            Self::Registry => "registry",
        }
    }

    /// What is missing on this host, if anything.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let lacks = |programs: &[&str]| {
            let missing: Vec<_> = programs.iter().copied().filter(|p| !is_installed(p)).collect();
            (!missing.is_empty()).then(|| format!("{} not installed", missing.join(", ")))
        };
        match self {
            Self::Root => (effective_uid() != Some(0)).then(|| "not run as root".to_owned()),
            Self::Docker => lacks(&["dockerd", "containerd", "runc"]).or_else(|| {
                let found = Command::new(host_script("find-docker")).output().ok()?;
                (!found.status.success())
                    .then(|| String::from_utf8_lossy(&found.stderr).trim().to_owned())
            }),
            Self::Buildah => lacks(&["buildah", "runc"]),
            Self::Podman => lacks(&["podman"]),
            Self::Rootless => {
                lacks(&["newuidmap", "setpriv", "unshare"]).or_else(crate::unprivileged::missing)
            }
            Self::RootlessKit => lacks(&["rootlesskit", "slirp4netns"]).or_else(|| {
                (!std::path::Path::new("/dev/net/tun").exists()).then(|| "no /dev/net/tun".to_owned())
            }),
            Self::Fuse => lacks(&["fuse-overlayfs"]).or_else(|| {
                (!std::path::Path::new("/dev/fuse").exists()).then(|| "no /dev/fuse".to_owned())
            }),
            Self::Gpg => lacks(&["gpg", "gpgconf"]),
            Self::Engines => {
                let absent = other_engine().is_none() || newer_buildah().is_none();
                absent.then(|| "no newer engines aside: make test-all".to_owned())
            }
            Self::Crun => {
                newer_crun().is_none().then(|| "no newer crun aside: make test-all".to_owned())
            }
            Self::Buildkitd => lacks(&["runc"]).or_else(|| {
                let absent = buildkitd().is_none();
                absent.then(|| "$BLUBR_BUILDKITD names no folder with buildkitd and buildctl".to_owned())
            }),
            Self::Compiler => made_before("calls").map_or_else(|| lacks(&["cc"]), |_| None),
            Self::I386 => match made_before("i386") {
                Some(program) => i386_refused(&program),
                None => lacks(&["as", "ld"]).or_else(i386_missing),
            },
            Self::Strace => lacks(&["strace"]),
            Self::Git => lacks(&["git"]),
            Self::Clients => lacks(&["openssl", "curl"]),
            Self::StressNg => lacks(&["stress-ng"]),
            Self::Debian => debian_base().is_none().then(|| "no Debian aside: make test-all".to_owned()),
            Self::Qemu => crate::vm::missing(),
            Self::Kernels => crate::vm::kernels_missing(),
            Self::Systemd => crate::vm::systemd_missing(),
            Self::Rings => older_than((6, 0)),
            Self::RingBind => older_than((6, 11)),
            Self::PrepareExec => older_than((6, 10)),
            Self::Registry => lacks(&["docker-registry", "skopeo"]).or_else(|| {
                tool("ferro-oci-server")
                    .is_none()
                    .then(|| "ferro-oci-server not installed: make setup".to_owned())
            }),
        }
    }
}

/// Whether all of these are here. Where one isn't, says `SKIPPED: <test>: <what is missing>` on standard error, past
/// the capture of the test runner, so that a run can be searched for it.
///
/// # Panics
/// When a missing one is named in `$BLUBR_REQUIRE` (comma-separated).
#[must_use]
pub fn met(prerequisites: &[Prerequisite]) -> bool {
    let required = std::env::var("BLUBR_REQUIRE").unwrap_or_default();
    for prerequisite in prerequisites {
        let Some(missing) = prerequisite.missing() else {
            continue;
        };
        let name = prerequisite.name();
        assert!(
            !required.split(',').any(|word| word.trim() == name),
            "BLUBR_REQUIRE={required}: {name}: {missing}"
        );
        left_out(&format!("{name}: {missing}"));
        return false;
    }
    true
}

/// Says `SKIPPED: <test>: <what>` on standard error: what a test can't try here and why, all of it or a part.
///
/// # Panics
/// When standard error is closed.
pub fn left_out(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    writeln!(std::io::stderr(), "SKIPPED: {test}: {what}").expect("standard error is open");
}

/// Ends the test with a printed skip unless the host has what is named: `require!(Root, Docker);`.
#[macro_export]
macro_rules! require {
    ($($prerequisite:ident),+ $(,)?) => {
        if !$crate::require::met(&[$($crate::require::Prerequisite::$prerequisite),+]) {
            return;
        }
    };
}

/// One of the scripts in `tests/host/`.
#[must_use]
pub fn host_script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("host").join(name)
}

/// A helper program that `make setup` put into `$BLUBR_TOOLS`, or that is installed.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("BLUBR_TOOLS").map(|folder| PathBuf::from(folder).join(name));
    own.filter(|path| path.is_file()).or_else(|| crate::program::find(name))
}

/// The programs of a newer Docker that `make test-all` unpacked beside `$BLUBR_TOOLS`.
#[must_use]
pub fn other_engine() -> Option<PathBuf> {
    let tools = PathBuf::from(std::env::var_os("BLUBR_TOOLS")?);
    let folder = tools.parent()?.join("engines/sid/bin");
    folder.join("dockerd").is_file().then_some(folder)
}

/// The folder in which somebody put buildkitd and buildctl, which Debian has not: `$BLUBR_BUILDKITD`.
#[must_use]
pub fn buildkitd() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("BLUBR_BUILDKITD")?);
    ["buildkitd", "buildctl"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
}

/// The folder in which `make test-all` unpacked a newer buildah and podman beside `$BLUBR_TOOLS`.
#[must_use]
pub fn newer_buildah() -> Option<PathBuf> {
    let tools = PathBuf::from(std::env::var_os("BLUBR_TOOLS")?);
    let folder = tools.parent()?.join("engines/sid-buildah");
    folder.join("bin/buildah").is_file().then_some(folder)
}

/// The newer crun that it unpacked with them.
#[must_use]
pub fn newer_crun() -> Option<PathBuf> {
    newer_buildah().map(|folder| folder.join("helpers/crun")).filter(|program| program.is_file())
}

/// A program of `fixtures/programs/` that was made beforehand, for machines without a compiler.
#[must_use]
pub fn made_before(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("BLUBR_PROGRAMS")?);
    Some(folder.join(name)).filter(|path| path.is_file())
}

/// A small Debian as a tar, that `make test-all` made beside `$BLUBR_TOOLS`.
#[must_use]
pub fn debian_base() -> Option<PathBuf> {
    let tools = PathBuf::from(std::env::var_os("BLUBR_TOOLS")?);
    let tar = tools.parent()?.join("debian.tar");
    tar.is_file().then_some(tar)
}

/// What keeps a 32-bit program from being made and run here, if anything.
fn i386_missing() -> Option<String> {
    const EXIT: &[u8] = b".globl _start\n_start: movl $1, %eax\n xorl %ebx, %ebx\n int $0x80\n";
    let folder = tempfile::tempdir().ok()?;
    let at = |name: &str| folder.path().join(name);
    let made = crate::program::run_on(Command::new("as").args(["--32", "-o"]).arg(at("o")), EXIT);
    let linked = Command::new("ld").args(["-m", "elf_i386", "-o"]).arg(at("x")).arg(at("o")).output();
    if !made.status.success() || !linked.is_ok_and(|output| output.status.success()) {
        return Some("as and ld here make no 32-bit programs".to_owned());
    }
    i386_refused(&at("x"))
}

/// What keeps a 32-bit program from running here, if anything.
fn i386_refused(program: &std::path::Path) -> Option<String> {
    let folder = tempfile::tempdir().ok()?;
    let ran = Command::new(program).current_dir(folder.path()).status();
    (!ran.is_ok_and(|status| status.success()))
        .then(|| "this kernel runs no 32-bit programs (CONFIG_IA32_EMULATION)".to_owned())
}

/// Whether this kernel is older than that version, in words.
fn older_than(version: (u32, u32)) -> Option<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let own: (u32, u32) = (numbers.next()?, numbers.next()?);
    let (major, minor) = version;
    (own < version).then(|| format!("kernel {} is older than {major}.{minor}", release.trim()))
}

/// The effective uid, from the kernel's own words.
fn effective_uid() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
