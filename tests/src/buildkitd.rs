//! A BuildKit that stands alone (buildkitd, asked by buildctl), with a store of the test's own, gone with the test.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::corpus::BASE;
use crate::program::{run, stdout_of, text_of};
use crate::require::buildkitd;
use crate::supervise::Supervised;

/// How long it may take to answer: a loaded machine takes seconds.
const START_SECONDS_MAX: u64 = 60;

/// A running buildkitd that executes steps by runc in overlay mounts. It keeps no images: its client writes each as an
/// archive of an OCI layout.
#[derive(Debug)]
pub struct Buildkitd {
    programs: PathBuf,
    folder: PathBuf,
    cgroup_parent: String,
    _server: Supervised,
}

impl Buildkitd {
    /// Starts it; the steps' control groups lie in `cgroup_parent`. A test asks `require!(Root, Buildkitd)` first.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(cgroup_parent: &str) -> Self {
        let programs = buildkitd().expect("the test required it");
        // Not TMPDIR: overlay mounts want a real file system, and the socket's name a short one.
        let folder = tempfile::Builder::new()
            .prefix("blubr-buildkitd.")
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let folder = folder.keep();
        std::fs::create_dir(folder.join("images")).expect("the folder is ours");
        // Whatever the host has for its own BuildKit does not count.
        std::fs::write(folder.join("buildkitd.toml"), "").expect("the folder is ours");
        let mut command = Command::new(programs.join("buildkitd"));
        command.arg("--config").arg(folder.join("buildkitd.toml"));
        command.arg("--root").arg(folder.join("root")).arg("--addr").arg(address(&folder));
        command.args(["--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host"]);
        command.arg("--oci-worker-snapshotter=overlayfs");
        let log = folder.join("log");
        let server = Supervised::start(&command, folder.as_os_str(), File::create(&log).expect("a log"));
        let own = Self { programs, folder, cgroup_parent: cgroup_parent.to_owned(), _server: server };
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while !run(own.buildctl().args(["debug", "workers"])).status.success() {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "buildkitd does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        own
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command of a build. `options` are spelt as docker's, and handed on as buildctl wants them.
    ///
    /// # Panics
    /// When there is an option that nobody has said how to spell, or the base can't be put where buildctl takes it from.
    #[must_use]
    pub fn build_command(&self, context: &Path, tag: &str, options: &[&str], cached: bool) -> Command {
        let mut command = self.buildctl();
        command.args(["build", "--progress=plain", "--frontend=dockerfile.v0"]);
        for name in ["context", "dockerfile"] {
            command.arg("--local").arg(named(name, context));
        }
        command.arg("--opt").arg(format!("cgroup-parent={}", self.cgroup_parent));
        for pair in options.chunks(2) {
            let [option, value] = pair else { panic!("{pair:?}: an option without a value") };
            match *option {
                "--build-arg" => command.arg("--opt").arg(format!("build-arg:{value}")),
                "--target" => command.arg("--opt").arg(format!("target={value}")),
                "--secret" => command.args(pair),
                other => panic!("{other}: not known how buildctl spells it"),
            };
        }
        if tag != BASE && self.archive(BASE).is_file() {
            let (layout, digest) = self.base();
            command.arg("--oci-layout").arg(named("base", &layout));
            command.arg("--opt").arg(format!("context:{BASE}=oci-layout://base@{digest}"));
        }
        let mut output = named("type=oci,dest", &self.archive(tag));
        output.push(format!(",name={tag}"));
        command.arg("--output").arg(output);
        command.args((!cached).then_some("--no-cache"));
        command
    }

    /// Copies an image out, as its client wrote it.
    ///
    /// # Panics
    /// When there is none.
    pub fn save(&self, tag: &str, file: &Path) {
        std::fs::copy(self.archive(tag), file).expect("it was built");
    }

    /// Removes an image.
    ///
    /// # Panics
    /// When there is none.
    pub fn remove(&self, tag: &str) {
        std::fs::remove_file(self.archive(tag)).expect("it was built");
    }

    fn buildctl(&self) -> Command {
        let mut command = Command::new(self.programs.join("buildctl"));
        command.arg("--addr").arg(address(&self.folder)).env_remove("BUILDKIT_HOST");
        command
    }

    fn archive(&self, tag: &str) -> PathBuf {
        self.folder.join("images").join(format!("{tag}.tar"))
    }

    /// The base as a layout, and its digest: a name of an image would be asked for at a registry.
    fn base(&self) -> (PathBuf, String) {
        let layout = self.folder.join("base");
        drop(std::fs::remove_dir_all(&layout));
        std::fs::create_dir(&layout).expect("the folder is ours");
        drop(stdout_of(Command::new("tar").arg("-xf").arg(self.archive(BASE)).arg("-C").arg(&layout)));
        let digest = text_of(
            Command::new("jq").args(["-r", ".manifests[0].digest"]).arg(layout.join("index.json")),
        );
        (layout, digest)
    }
}

fn address(folder: &Path) -> OsString {
    let mut address = OsString::from("unix://");
    address.push(folder.join("buildkitd.sock"));
    address
}

/// `NAME=PATH`.
fn named(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(name);
    word.push("=");
    word.push(path);
    word
}
