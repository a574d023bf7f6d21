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
    /// gpg and gpgconf.
    Gpg,
    /// Docker of Debian unstable, unpacked aside.
    Engines,
    /// A C compiler (cc).
    Compiler,
    /// An assembler and a linker that make 32-bit programs (as --32, ld -m elf_i386), and a kernel that runs them.
    I386,
    /// strace.
    Strace,
    /// git.
    Git,
    /// stress-ng.
    StressNg,
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
            Self::Gpg => "gpg",
            Self::Engines => "engines",
            Self::Compiler => "compiler",
            Self::I386 => "i386",
            Self::Strace => "strace",
            Self::Git => "git",
            Self::StressNg => "stressng",
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
            Self::Gpg => lacks(&["gpg", "gpgconf"]),
            Self::Engines => {
                other_engine().is_none().then(|| "no newer Docker aside: make test-all".to_owned())
            }
            Self::Compiler => lacks(&["cc"]),
            Self::I386 => lacks(&["as", "ld"]).or_else(i386_missing),
            Self::Strace => lacks(&["strace"]),
            Self::Git => lacks(&["git"]),
            Self::StressNg => lacks(&["stress-ng"]),
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
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        writeln!(std::io::stderr(), "SKIPPED: {test}: {name}: {missing}")
            .expect("standard error is open");
        return false;
    }
    true
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
    let ran = Command::new(at("x")).status();
    (!ran.is_ok_and(|status| status.success()))
        .then(|| "this kernel runs no 32-bit programs (CONFIG_IA32_EMULATION)".to_owned())
}

/// The effective uid, from the kernel's own words.
fn effective_uid() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
