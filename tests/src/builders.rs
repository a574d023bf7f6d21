//! Every way to build that the corpus is tried with: engines of this host and newer ones unpacked aside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::buildah::{Buildah, Isolation, Program};
use crate::buildkitd::Buildkitd;
use crate::engine::{Builder, Engine, Options};
use crate::program::stdout_of;
use crate::require::other_engine;
use crate::web::LOOPBACK;

/// A way to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The host's Docker.
    Docker(Builder),
    /// The Docker of Debian unstable, with its overlay2 store.
    Newer(Builder),
    /// The same with containerd's store, and BuildKit.
    Containerd,
    /// buildah; with or without a layer for each step.
    Buildah(Isolation, bool),
    /// The host's Docker with a store without mounts (vfs).
    DockerVfs(Builder),
    /// That of Debian unstable with such a store.
    NewerVfs(Builder),
    /// buildah with such a store.
    BuildahVfs(Isolation, bool),
    /// buildah with trees that fuse-overlayfs serves.
    BuildahFuse,
    /// The host's Docker, of a user who is not root.
    RootlessDocker(Builder),
    /// That of Debian unstable, of such a user.
    NewerRootlessDocker(Builder),
    /// buildah, by a user who is not root.
    Rootless(Isolation),
    /// podman, by such a user.
    RootlessPodman,
    /// buildah or podman of Debian unstable, by such a user.
    NewerRootless(Program),
    /// podman, in which buildah's code builds.
    Podman,
    /// buildah or podman of Debian unstable; with or without a layer for each step.
    NewerBuildah(Program, bool),
    /// The host's buildah or podman, with crun, on a host with but cgroup v2; with or without a layer for each step.
    Crun(Program, bool),
    /// The same of Debian unstable.
    NewerCrun(Program, bool),
    /// A BuildKit that stands alone, as root.
    Buildkitd,
}

impl Way {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Way::Docker(Builder::Classic) => "classic",
            Way::Docker(Builder::BuildKit) => "buildkit",
            Way::Newer(Builder::Classic) => "classic-sid",
            Way::Newer(Builder::BuildKit) => "buildkit-sid",
            Way::RootlessDocker(Builder::Classic) => "classic-rootless",
            Way::RootlessDocker(Builder::BuildKit) => "buildkit-rootless",
            Way::NewerRootlessDocker(Builder::Classic) => "classic-sid-rootless",
            Way::NewerRootlessDocker(Builder::BuildKit) => "buildkit-sid-rootless",
            Way::Containerd => "buildkit-sid-containerd",
            Way::Buildah(Isolation::Oci, true) => "buildah-oci-layers",
            Way::Buildah(Isolation::Oci, false) => "buildah-oci",
            Way::Buildah(Isolation::Chroot, true) => "buildah-chroot-layers",
            Way::Buildah(Isolation::Chroot, false) => "buildah-chroot",
            Way::DockerVfs(Builder::Classic) => "classic-vfs",
            Way::DockerVfs(Builder::BuildKit) => "buildkit-vfs",
            Way::NewerVfs(Builder::Classic) => "classic-sid-vfs",
            Way::NewerVfs(Builder::BuildKit) => "buildkit-sid-vfs",
            Way::BuildahVfs(Isolation::Oci, true) => "buildah-oci-layers-vfs",
            Way::BuildahVfs(Isolation::Oci, false) => "buildah-oci-vfs",
            Way::BuildahVfs(Isolation::Chroot, true) => "buildah-chroot-layers-vfs",
            Way::BuildahVfs(Isolation::Chroot, false) => "buildah-chroot-vfs",
            Way::BuildahFuse => "buildah-oci-layers-fuse",
            Way::Rootless(Isolation::Oci) => "buildah-oci-layers-rootless",
            Way::Rootless(Isolation::Chroot) => "buildah-chroot-layers-rootless",
            Way::RootlessPodman => "podman-oci-layers-rootless",
            Way::NewerRootless(Program::Buildah) => "buildah-sid-oci-layers-rootless",
            Way::NewerRootless(Program::Podman) => "podman-sid-oci-layers-rootless",
            Way::Podman => "podman-oci-layers",
            Way::NewerBuildah(Program::Buildah, true) => "buildah-sid-oci-layers",
            Way::NewerBuildah(Program::Buildah, false) => "buildah-sid-oci",
            Way::NewerBuildah(Program::Podman, true) => "podman-sid-oci-layers",
            Way::NewerBuildah(Program::Podman, false) => "podman-sid-oci",
            Way::Crun(Program::Buildah, true) => "buildah-crun-layers",
            Way::Crun(Program::Buildah, false) => "buildah-crun",
            Way::Crun(Program::Podman, true) => "podman-crun-layers",
            Way::Crun(Program::Podman, false) => "podman-crun",
            Way::NewerCrun(Program::Buildah, true) => "buildah-sid-crun-layers",
            Way::NewerCrun(Program::Buildah, false) => "buildah-sid-crun",
            Way::NewerCrun(Program::Podman, true) => "podman-sid-crun-layers",
            Way::NewerCrun(Program::Podman, false) => "podman-sid-crun",
            Way::Buildkitd => "buildkitd",
        }
    }

    /// What it can do beyond what all do (see the fixtures' `needs`).
    #[must_use]
    pub fn features(self) -> BTreeSet<&'static str> {
        let mut features: BTreeSet<&str> = match self {
            Way::Docker(Builder::Classic)
            | Way::Newer(Builder::Classic)
            | Way::DockerVfs(Builder::Classic)
            | Way::NewerVfs(Builder::Classic) => ["mknod"].into(),
            Way::Docker(Builder::BuildKit) | Way::DockerVfs(Builder::BuildKit) => {
                ["mounts", "mknod"].into()
            }
            Way::Newer(Builder::BuildKit)
            | Way::NewerVfs(Builder::BuildKit)
            | Way::Containerd
            | Way::Buildkitd => ["mounts", "heredoc", "copy-flags", "mknod"].into(),
            // A user makes no devices.
            Way::RootlessDocker(Builder::Classic) | Way::NewerRootlessDocker(Builder::Classic) => {
                BTreeSet::new()
            }
            Way::NewerRootlessDocker(Builder::BuildKit) => ["mounts", "heredoc", "copy-flags"].into(),
            Way::RootlessDocker(Builder::BuildKit)
            | Way::Buildah(..)
            | Way::BuildahVfs(..)
            | Way::BuildahFuse
            | Way::Rootless(_)
            | Way::RootlessPodman
            | Way::Podman
            | Way::Crun(..) => ["mounts"].into(),
            Way::NewerBuildah(..) | Way::NewerRootless(_) | Way::NewerCrun(..) => {
                ["mounts", "heredoc"].into()
            }
        };
        // Who copies trees can't copy a socket: the engine fails at the next step.
        if !matches!(self, Way::DockerVfs(Builder::BuildKit) | Way::NewerVfs(Builder::BuildKit)) {
            features.insert("sockets");
        }
        // buildah without mounts puts back what was in a volume after each step, and that looks like a copy.
        if !matches!(self, Way::BuildahVfs(..)) {
            features.insert("volumes");
        }
        features
    }

    /// Whether each step leaves a layer of its own.
    #[must_use]
    pub fn has_layers(self) -> bool {
        !matches!(
            self,
            Way::Buildah(_, false)
                | Way::BuildahVfs(_, false)
                | Way::NewerBuildah(_, false)
                | Way::Crun(_, false)
                | Way::NewerCrun(_, false)
        )
    }

    /// Whether its layers are found by comparing trees: what has its old size and time is taken for unchanged.
    #[must_use]
    pub fn compares(self) -> bool {
        let in_user_namespace = matches!(self, Way::RootlessDocker(_));
        matches!(self, Way::DockerVfs(_) | Way::NewerVfs(_) | Way::BuildahVfs(..) | Way::BuildahFuse)
            || in_user_namespace
    }

    /// Whether a file of a layer below that a rename replaced and that was then removed is in the image all the same:
    /// fuse-overlayfs 1.10 leaves no whiteout of it.
    #[must_use]
    pub fn forgets_removals(self) -> bool {
        matches!(self, Way::BuildahFuse)
    }

    /// Whether a user who is not root builds.
    #[must_use]
    pub fn is_rootless(self) -> bool {
        matches!(
            self,
            Way::Rootless(_)
                | Way::RootlessPodman
                | Way::NewerRootless(_)
                | Way::RootlessDocker(_)
                | Way::NewerRootlessDocker(_)
        )
    }

    /// Whether it is buildah's code, which is client and engine in one.
    #[must_use]
    pub fn is_buildah(self) -> bool {
        match self {
            Way::Buildah(..)
            | Way::BuildahVfs(..)
            | Way::BuildahFuse
            | Way::Rootless(_)
            | Way::RootlessPodman
            | Way::NewerRootless(_)
            | Way::Podman
            | Way::NewerBuildah(..)
            | Way::Crun(..)
            | Way::NewerCrun(..) => true,
            Way::Docker(_)
            | Way::Newer(_)
            | Way::RootlessDocker(_)
            | Way::NewerRootlessDocker(_)
            | Way::Containerd
            | Way::DockerVfs(_)
            | Way::NewerVfs(_)
            | Way::Buildkitd => false,
        }
    }
}

/// An engine that is there, ready to build in one way.
#[derive(Debug)]
pub struct Ready {
    /// Which way.
    pub way: Way,
    /// The control group that its steps' own ones lie in; none where steps have none.
    pub cgroup_parent: Option<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Docker(Engine, Builder),
    Buildah(Buildah, Isolation, bool),
    Buildkitd(Buildkitd),
}

impl Ready {
    /// Starts it. A test asks `require!` for its prerequisites first.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(way: Way) -> Self {
        // A control group of ours says independently of the tools which events are a step's.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/blubr-corpus-{}-{number}", std::process::id());
        let docker = |builder, newer: bool, store: Option<&str>| {
            let mut options = Options { rootless: way.is_rootless(), ..Options::default() };
            if !options.rootless {
                options.dockerd.push(format!("--cgroup-parent={cgroup}").into());
            }
            options.dockerd.extend(store.map(Into::into));
            if newer {
                options.first_on_path = Some(other_engine().expect("the test required it"));
            }
            Kind::Docker(Engine::start_with(&options), builder)
        };
        let kind = match way {
            Way::Docker(builder) | Way::RootlessDocker(builder) => docker(builder, false, None),
            Way::Newer(builder) | Way::NewerRootlessDocker(builder) => docker(builder, true, None),
            Way::DockerVfs(builder) => docker(builder, false, Some("--storage-driver=vfs")),
            Way::NewerVfs(builder) => docker(builder, true, Some("--storage-driver=vfs")),
            Way::Containerd => {
                docker(Builder::BuildKit, true, Some("--feature=containerd-snapshotter=true"))
            }
            Way::Buildah(isolation, layers) => Kind::Buildah(Buildah::new(), isolation, layers),
            Way::BuildahVfs(isolation, layers) => Kind::Buildah(Buildah::vfs(), isolation, layers),
            Way::BuildahFuse => Kind::Buildah(Buildah::fuse(), Isolation::Oci, true),
            Way::Rootless(isolation) => Kind::Buildah(Buildah::new().for_user(), isolation, true),
            Way::RootlessPodman => Kind::Buildah(Buildah::podman().for_user(), Isolation::Oci, true),
            Way::NewerRootless(program) => {
                Kind::Buildah(Buildah::newer(program).for_user(), Isolation::Oci, true)
            }
            Way::Podman => Kind::Buildah(Buildah::podman(), Isolation::Oci, true),
            Way::NewerBuildah(program, layers) => {
                Kind::Buildah(Buildah::newer(program), Isolation::Oci, layers)
            }
            Way::Crun(Program::Buildah, layers) => {
                Kind::Buildah(Buildah::new().by_crun(), Isolation::Oci, layers)
            }
            Way::Crun(Program::Podman, layers) => {
                Kind::Buildah(Buildah::podman().by_crun(), Isolation::Oci, layers)
            }
            Way::NewerCrun(program, layers) => {
                Kind::Buildah(Buildah::newer(program).by_crun(), Isolation::Oci, layers)
            }
            Way::Buildkitd => Kind::Buildkitd(Buildkitd::start(&cgroup)),
        };
        // chroot makes no control group, and a user may make none.
        let none = matches!(kind, Kind::Buildah(_, Isolation::Chroot, _)) || way.is_rootless();
        Self { way, cgroup_parent: (!none).then_some(cgroup), kind }
    }

    /// The command that builds an image for others to begin with. Only Docker's format keeps triggers (ONBUILD), and buildah
    /// makes OCI's unless it is told.
    #[must_use]
    pub fn build_base(&self, context: &Path, tag: &str) -> Command {
        let format = match self.way.is_buildah() {
            true => vec!["--format=docker".to_owned()],
            false => Vec::new(),
        };
        self.build(context, tag, &format, false)
    }

    /// The command of a build; `cached` lets it use the cache.
    #[must_use]
    pub fn build(&self, context: &Path, tag: &str, options: &[String], cached: bool) -> Command {
        let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
        match &self.kind {
            Kind::Docker(engine, builder) if cached => {
                engine.cached_build_command(*builder, context, tag, &options)
            }
            Kind::Docker(engine, builder) => engine.build_command(*builder, context, tag, &options),
            Kind::Buildah(buildah, isolation, layers) => {
                options.push(if *layers { "--layers" } else { "--layers=false" });
                let parent = self.cgroup_parent.iter().map(|parent| format!("--cgroup-parent={parent}"));
                let parent: Vec<String> = parent.collect();
                options.extend(parent.iter().map(String::as_str));
                let mut command = buildah.build_command(*isolation, context, tag, &options);
                if cached {
                    command = without(&command, "--no-cache");
                }
                command
            }
            Kind::Buildkitd(buildkitd) => buildkitd.build_command(context, tag, &options, cached),
        }
    }

    /// Under which address a step reaches what listens on the host's loopback.
    #[must_use]
    pub fn host_address(&self) -> &'static str {
        match self.way {
            // slirp4netns's way out of its network namespace.
            Way::RootlessDocker(_) | Way::NewerRootlessDocker(_) => "10.0.2.2",
            _ => LOOPBACK,
        }
    }

    /// Lets who builds read and write a folder of the test's.
    ///
    /// # Panics
    /// When it cannot be handed over.
    pub fn hand_over(&self, folder: &Path) {
        match &self.kind {
            Kind::Docker(engine, _) => engine.hand_over(folder),
            Kind::Buildah(buildah, ..) => buildah.hand_over(folder),
            Kind::Buildkitd(_) => {}
        }
    }

    /// Writes the image where blubr-attest can read it, and says how it is named.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn image(&self, tag: &str, folder: &Path) -> Named {
        match &self.kind {
            Kind::Docker(engine, _) => {
                Named { reference: format!("docker:{tag}"), host: Some(engine.host.clone()) }
            }
            Kind::Buildah(buildah, ..) => {
                let layout = folder.join("layout");
                buildah.push(tag, &format!("oci:{}:image", layout.display()));
                Named { reference: format!("oci:{}:image", layout.display()), host: None }
            }
            Kind::Buildkitd(buildkitd) => {
                let archive = folder.join("image.tar");
                buildkitd.save(tag, &archive);
                Named { reference: format!("archive:{}", archive.display()), host: None }
            }
        }
    }

    /// Writes the image as `docker save` does, or as an archive of an OCI layout.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn save(&self, tag: &str, file: &Path) {
        match &self.kind {
            Kind::Docker(engine, _) => engine.save(tag, file),
            Kind::Buildah(buildah, ..) => {
                buildah.push(tag, &format!("docker-archive:{}:{tag}", file.display()));
            }
            Kind::Buildkitd(buildkitd) => buildkitd.save(tag, file),
        }
    }

    /// A docker command that talks to the engine, where it is Docker's.
    #[must_use]
    pub fn docker(&self) -> Option<Command> {
        match &self.kind {
            Kind::Docker(engine, _) => Some(engine.docker()),
            Kind::Buildah(..) | Kind::Buildkitd(_) => None,
        }
    }

    /// Where the engine keeps what it has.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        match &self.kind {
            Kind::Docker(engine, _) => engine.state.clone(),
            Kind::Buildah(buildah, ..) => buildah.folder().to_owned(),
            Kind::Buildkitd(buildkitd) => buildkitd.folder().to_owned(),
        }
    }

    /// Removes an image, so that the next build of the name starts from nothing.
    ///
    /// # Panics
    /// When it fails.
    pub fn remove(&self, tag: &str) {
        match &self.kind {
            Kind::Docker(engine, _) => {
                drop(stdout_of(engine.docker().args(["image", "rm", "-f", tag])));
            }
            Kind::Buildah(buildah, ..) => drop(stdout_of(buildah.buildah().args(["rmi", "-f", tag]))),
            Kind::Buildkitd(buildkitd) => buildkitd.remove(tag),
        }
    }
}

/// How blubr-attest finds an image.
#[derive(Clone, Debug)]
pub struct Named {
    /// For `--image`.
    pub reference: String,
    /// For `DOCKER_HOST`.
    pub host: Option<String>,
}

fn without(command: &Command, argument: &str) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args().filter(|one| *one != argument));
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => same.env(key, value),
            None => same.env_remove(key),
        };
    }
    same
}
