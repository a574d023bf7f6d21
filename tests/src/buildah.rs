//! A buildah store of the test's own, gone with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{find, stdout_of, text_of};
use crate::require::{newer_buildah, newer_crun};
use crate::unprivileged;

/// How buildah keeps a step apart from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// By an OCI runtime (runc): a container and a cgroup of its own.
    Oci,
    /// By chroot(2) alone.
    Chroot,
}

/// A store (root and runroot) that no other buildah uses.
#[derive(Debug)]
pub struct Buildah {
    folder: PathBuf,
    /// Options that choose its storage driver, where that is not the default one.
    driver: Vec<String>,
    program: Program,
    /// Where newer ones than the host's lie.
    newer: Option<PathBuf>,
    /// An ordinary user runs it, with subordinate ids: in a user namespace.
    rootless: bool,
    /// What runs its steps; the host's runc unless something else was asked for.
    runtime: Option<PathBuf>,
}

/// What builds with buildah's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// buildah itself.
    Buildah,
    /// podman.
    Podman,
}

/// Newer ones ask for more than a host that is a container itself may have.
const LIMITS: [&str; 2] = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"];

/// What podman would otherwise share with the host's own.
const CONF: &str = "[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nlock_type=\"file\"\n";

impl Buildah {
    /// An empty store. A test asks `require!(Root, Buildah)` first.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        // Not TMPDIR: overlay mounts want a real file system.
        let folder =
            tempfile::Builder::new().prefix("blubr-buildah.").tempdir_in("/var/tmp").expect("a folder");
        let own = Self {
            folder: folder.keep(),
            driver: Vec::new(),
            program: Program::Buildah,
            newer: None,
            rootless: false,
            runtime: find("runc"),
        };
        std::fs::write(own.conf(), CONF).expect("the folder is ours");
        own
    }

    /// The same that belongs to an ordinary user. A test asks for `Prerequisite::Rootless` first.
    ///
    /// # Panics
    /// When the folder cannot be made and handed over.
    #[must_use]
    pub fn for_user(mut self) -> Self {
        self.rootless = true;
        // What the user's buildah asks for: without mounts of its own it would take fuse-overlayfs.
        self.driver = vec!["--storage-driver=overlay".to_owned()];
        self.hand_over(&self.folder);
        self
    }

    /// The same for podman. A test asks for `Prerequisite::Podman` first.
    #[must_use]
    pub fn podman() -> Self {
        let mut own = Self::new();
        own.program = Program::Podman;
        own
    }

    /// The same for those of Debian unstable. A test asks for `Prerequisite::Engines` first.
    ///
    /// # Panics
    /// When they are not there, or what they need cannot be said.
    #[must_use]
    pub fn newer(program: Program) -> Self {
        let newer = newer_buildah().expect("the test required it");
        let mut own = Self::new();
        let helpers = format!("helper_binaries_dir=[{:?}]\n", newer.join("helpers"));
        std::fs::write(own.conf(), [CONF, &helpers].concat()).expect("the folder is ours");
        (own.program, own.newer) = (program, Some(newer));
        own
    }

    /// The same whose steps crun runs, Debian unstable's: older ones want to lock more memory than a host that is a container
    /// itself may have. A test asks for `Prerequisite::Crun` first, and for a host with but cgroup v2.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn by_crun(mut self) -> Self {
        self.runtime = Some(newer_crun().expect("the test required it"));
        self
    }

    /// Lets who builds read and write a folder of the test's.
    ///
    /// # Panics
    /// When it cannot be handed over.
    pub fn hand_over(&self, folder: &Path) {
        if self.rootless {
            unprivileged::hand_over(folder);
        }
    }

    /// The same whose layers are whole trees, without mounts.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn vfs() -> Self {
        let mut whole = Self::new();
        whole.driver = vec!["--storage-driver=vfs".to_owned()];
        whole
    }

    /// The same whose trees fuse-overlayfs serves. A test asks for `Prerequisite::Fuse` first.
    ///
    /// # Panics
    /// When it is not installed, or the folder cannot be made.
    #[must_use]
    pub fn fuse() -> Self {
        let program = find("fuse-overlayfs").expect("the test required it");
        let mut served = Self::new();
        served.driver = vec![
            "--storage-driver=overlay".to_owned(),
            format!("--storage-opt=overlay.mount_program={}", program.display()),
        ];
        served
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A buildah command on this store, or podman's of the same name.
    #[must_use]
    pub fn buildah(&self) -> Command {
        let name = if self.program == Program::Podman { "podman" } else { "buildah" };
        let program =
            self.newer.as_ref().map_or_else(|| name.into(), |newer| newer.join("bin").join(name));
        let mut command = match self.rootless {
            true => unprivileged::command(&program, &self.folder),
            false => Command::new(program),
        };
        command.env("CONTAINERS_CONF", self.conf());
        if self.program == Program::Podman {
            command.arg("--tmpdir").arg(self.folder.join("tmp"));
        }
        command
            .arg("--root")
            .arg(self.folder.join("root"))
            .arg("--runroot")
            .arg(self.folder.join("run"))
            .args(&self.driver);
        // Its working copies of containers go here too, not into the host's own folder.
        command.env("TMPDIR", &self.folder).env_remove("BUILDAH_ISOLATION").env_remove("BUILDAH_LAYERS");
        command
    }

    fn conf(&self) -> PathBuf {
        self.folder.join("containers.conf")
    }

    /// The command of a build without the cache; `extra` stands before the context.
    #[must_use]
    pub fn build_command(
        &self,
        isolation: Isolation,
        context: &Path,
        tag: &str,
        extra: &[&str],
    ) -> Command {
        let mut command = self.buildah();
        let name = if isolation == Isolation::Oci { "oci" } else { "chroot" };
        let runtime = self.runtime.as_ref().filter(|_| isolation == Isolation::Oci);
        let runtime = runtime.map(|program| format!("--runtime={}", program.display()));
        // Which podman takes before the command's name, and buildah behind it.
        let (before, after) = match self.program {
            Program::Podman => (runtime, None),
            Program::Buildah => (None, runtime),
        };
        command.args(before).arg("build").args(after);
        if self.newer.is_some() {
            command.args(LIMITS);
        }
        command.args(["--no-cache", "--network=host", "--isolation", name]);
        command.args(["-t", tag]).args(extra).arg(context);
        command
    }

    /// Builds, and gives the image's id (hex, without `sha256:`).
    ///
    /// # Panics
    /// When the build fails.
    #[must_use]
    pub fn build(&self, isolation: Isolation, context: &Path, tag: &str, extra: &[&str]) -> String {
        drop(stdout_of(&mut self.build_command(isolation, context, tag, extra)));
        let id = if self.program == Program::Podman { "{{.Id}}" } else { "{{.FromImageID}}" };
        text_of(self.buildah().args(["inspect", "--type", "image", "--format", id, tag]))
    }

    /// Copies an image out, to a destination that skopeo understands (`oci:DIR:TAG`, `docker-archive:FILE:TAG`).
    ///
    /// # Panics
    /// When it fails.
    pub fn push(&self, image: &str, destination: &str) {
        drop(stdout_of(self.buildah().args(["push", "-q", image, destination])));
    }
}

impl Default for Buildah {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        if self.rootless && self.program == Program::Podman {
            // Ends the process that keeps the user's namespace.
            drop(self.buildah().args(["system", "migrate"]).output());
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let mut ours: Vec<_> =
            targets.filter(|target| Path::new(target).starts_with(&self.folder)).collect();
        ours.sort_unstable();
        for target in ours.into_iter().rev() {
            drop(Command::new("umount").arg("-l").arg(target).output());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
