//! Every way to build that the corpus is tried with: engines of this host and newer ones unpacked aside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::buildah::{Buildah, Isolation};
use crate::engine::{Builder, Engine, Options};
use crate::program::stdout_of;
use crate::require::other_engine;

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
}

/// All of them.
pub const WAYS: [Way; 9] = [
    Way::Docker(Builder::Classic),
    Way::Docker(Builder::BuildKit),
    Way::Newer(Builder::Classic),
    Way::Newer(Builder::BuildKit),
    Way::Containerd,
    Way::Buildah(Isolation::Oci, true),
    Way::Buildah(Isolation::Oci, false),
    Way::Buildah(Isolation::Chroot, true),
    Way::Buildah(Isolation::Chroot, false),
];

impl Way {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Way::Docker(Builder::Classic) => "classic",
            Way::Docker(Builder::BuildKit) => "buildkit",
            Way::Newer(Builder::Classic) => "classic-sid",
            Way::Newer(Builder::BuildKit) => "buildkit-sid",
            Way::Containerd => "buildkit-sid-containerd",
            Way::Buildah(Isolation::Oci, true) => "buildah-oci-layers",
            Way::Buildah(Isolation::Oci, false) => "buildah-oci",
            Way::Buildah(Isolation::Chroot, true) => "buildah-chroot-layers",
            Way::Buildah(Isolation::Chroot, false) => "buildah-chroot",
        }
    }

    /// What it can do beyond what all do (see the fixtures' `needs`).
    #[must_use]
    pub fn features(self) -> BTreeSet<&'static str> {
        match self {
            Way::Docker(Builder::Classic) | Way::Newer(Builder::Classic) => ["mknod"].into(),
            Way::Docker(Builder::BuildKit) => ["mounts", "mknod"].into(),
            Way::Newer(Builder::BuildKit) | Way::Containerd => {
                ["mounts", "heredoc", "copy-flags", "mknod"].into()
            }
            Way::Buildah(..) => ["mounts"].into(),
        }
    }

    /// Whether each step leaves a layer of its own.
    #[must_use]
    pub fn has_layers(self) -> bool {
        !matches!(self, Way::Buildah(_, false))
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
}

impl Ready {
    /// Starts it. A test asks `require!` for its prerequisites first.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(way: Way) -> Self {
        // A control group of ours says independently of the tools which events are a step's.
        let cgroup = format!("/blubr-corpus-{}", std::process::id());
        let docker = |builder, newer: bool, containerd: bool| {
            let mut options = Options::default();
            options.dockerd.push(format!("--cgroup-parent={cgroup}").into());
            if containerd {
                options.dockerd.push("--feature=containerd-snapshotter=true".into());
            }
            if newer {
                options.first_on_path = Some(other_engine().expect("the test required it"));
            }
            Kind::Docker(Engine::start_with(&options), builder)
        };
        let kind = match way {
            Way::Docker(builder) => docker(builder, false, false),
            Way::Newer(builder) => docker(builder, true, false),
            Way::Containerd => docker(Builder::BuildKit, true, true),
            Way::Buildah(isolation, layers) => Kind::Buildah(Buildah::new(), isolation, layers),
        };
        let chroot = matches!(way, Way::Buildah(Isolation::Chroot, _));
        Self { way, cgroup_parent: (!chroot).then_some(cgroup), kind }
    }

    /// The command that builds an image for others to begin with. Only Docker's format keeps triggers (ONBUILD), and buildah
    /// makes OCI's unless it is told.
    #[must_use]
    pub fn build_base(&self, context: &Path, tag: &str) -> Command {
        let format = match self.way {
            Way::Buildah(..) => vec!["--format=docker".to_owned()],
            _ => Vec::new(),
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
        }
    }

    /// Writes the image as `docker save` does.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn save(&self, tag: &str, file: &Path) {
        match &self.kind {
            Kind::Docker(engine, _) => engine.save(tag, file),
            Kind::Buildah(buildah, ..) => {
                buildah.push(tag, &format!("docker-archive:{}:{tag}", file.display()));
            }
        }
    }

    /// A docker command that talks to the engine, where it is Docker's.
    #[must_use]
    pub fn docker(&self) -> Option<Command> {
        match &self.kind {
            Kind::Docker(engine, _) => Some(engine.docker()),
            Kind::Buildah(..) => None,
        }
    }

    /// Where the engine keeps what it has.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        match &self.kind {
            Kind::Docker(engine, _) => engine.state.clone(),
            Kind::Buildah(buildah, ..) => buildah.folder().to_owned(),
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
