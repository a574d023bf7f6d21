//! A Docker engine of the test's own: private data, socket and containerd, gone with the test.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use crate::program::{stdout_of, text_of};
use crate::require::host_script;
use crate::unprivileged;

/// Which of an engine's two builders builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// `DOCKER_BUILDKIT=0`.
    Classic,
    /// `DOCKER_BUILDKIT=1`, the engine's own BuildKit.
    BuildKit,
}

/// How to start an engine other than the default one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A folder to search before `PATH`, for a newer engine that was unpacked aside.
    pub first_on_path: Option<PathBuf>,
    /// An ordinary user runs it, with subordinate ids: in a user namespace. It builds then, too.
    pub rootless: bool,
    /// More options of dockerd.
    pub dockerd: Vec<OsString>,
}

/// A running engine. It has no network: builds share the host's.
#[derive(Debug)]
pub struct Engine {
    script: Child,
    hold: Option<ChildStdin>,
    /// The client that goes with it, able to build with BuildKit.
    pub client: PathBuf,
    /// Its address, as in `DOCKER_HOST`.
    pub host: String,
    /// Its folder: data under `data/`, log in `log`.
    pub state: PathBuf,
    rootless: bool,
}

impl Engine {
    /// Starts an engine (2 to 5 s). A test asks `require!(Root, Docker)` first.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts an engine with options.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(options: &Options) -> Self {
        let script = host_script("private-engine");
        let mut command = match options.rootless {
            true => unprivileged::command(&script, Path::new("/var/tmp")),
            false => Command::new(&script),
        };
        command.args(options.rootless.then_some("--rootless"));
        if let Some(folder) = &options.first_on_path {
            command.arg("--first-on-path").arg(folder);
        }
        command.arg("--").args(&options.dockerd);
        let mut script =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash can be started");
        let hold = script.stdin.take();
        let output = BufReader::new(script.stdout.take().expect("stdout is piped"));
        let (mut state, mut host, mut client) = (None, None, None);
        for line in output.lines().map_while(Result::ok) {
            match line.split_once('=') {
                Some(("STATE", value)) => state = Some(value.into()),
                Some(("DOCKER_HOST", value)) => host = Some(value.to_owned()),
                Some(("DOCKER", value)) => client = Some(value.into()),
                _ => panic!("private-engine said {line:?}"),
            }
            if client.is_some() {
                break;
            }
        }
        let (Some(state), Some(host), Some(client)) = (state, host, client) else {
            panic!("the engine did not start: {:?}", script.wait());
        };
        Self { script, hold, client, host, state, rootless: options.rootless }
    }

    /// The engine that the tests of one suite share; started at first use, gone when the suite's process ends.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(Self::start)
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

    /// A docker command that talks to this engine.
    #[must_use]
    pub fn docker(&self) -> Command {
        let mut command = match self.rootless {
            true => unprivileged::command(&self.client, &self.state),
            false => Command::new(&self.client),
        };
        // No configuration of whoever runs the tests: its contexts and proxies are not ours.
        command.env("DOCKER_HOST", &self.host).env("DOCKER_CONFIG", self.state.join("client"));
        command
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_BUILDKIT")
            .env_remove("BUILDKIT_PROGRESS");
        command
    }

    /// The command of a build that uses no cache; `extra` stands before the context.
    #[must_use]
    pub fn build_command(&self, builder: Builder, context: &Path, tag: &str, extra: &[&str]) -> Command {
        let mut command = self.cached_build_command(builder, context, tag, extra);
        command.arg("--no-cache");
        command
    }

    /// The command of a build that may use the cache; `extra` stands before the context.
    #[must_use]
    pub fn cached_build_command(
        &self,
        builder: Builder,
        context: &Path,
        tag: &str,
        extra: &[&str],
    ) -> Command {
        let mut command = self.docker();
        command.env("DOCKER_BUILDKIT", if builder == Builder::BuildKit { "1" } else { "0" });
        command.args(["build", "--network=host", "-t", tag]).args(extra).arg(context);
        if builder == Builder::BuildKit {
            command.arg("--progress=plain");
        }
        command
    }

    /// Builds, and gives the image's id.
    ///
    /// # Panics
    /// When the build fails.
    #[must_use]
    pub fn build(&self, builder: Builder, context: &Path, tag: &str, extra: &[&str]) -> String {
        drop(stdout_of(&mut self.build_command(builder, context, tag, extra)));
        self.image_id(tag)
    }

    /// Builds with the classic builder, and gives the image's id.
    ///
    /// # Panics
    /// When the build fails.
    #[must_use]
    pub fn build_classic(&self, context: &Path, tag: &str, extra: &[&str]) -> String {
        self.build(Builder::Classic, context, tag, extra)
    }

    /// Builds with BuildKit, and gives the image's id.
    ///
    /// # Panics
    /// When the build fails.
    #[must_use]
    pub fn build_buildkit(&self, context: &Path, tag: &str, extra: &[&str]) -> String {
        self.build(Builder::BuildKit, context, tag, extra)
    }

    /// What `docker image inspect` gives as an image's id: `sha256:...`.
    ///
    /// # Panics
    /// When there is no such image.
    #[must_use]
    pub fn image_id(&self, image: &str) -> String {
        text_of(self.docker().args(["image", "inspect", "--format", "{{.Id}}", image]))
    }

    /// Writes an image to a file, as `docker save` does.
    ///
    /// # Panics
    /// When it fails.
    pub fn save(&self, image: &str, file: &Path) {
        drop(stdout_of(self.docker().arg("save").arg("-o").arg(file).arg(image)));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.hold.take());
        // It cleans up on its own; waited for, so that the next test finds the host as it was.
        drop(self.script.wait());
    }
}
