//! The stage: an engine, a web server, keys, and for each builder one recorded build with everything made of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, stdout_of};
use blubr_tests::record::{recorder, wait_until_attached};
use blubr_tests::supervise::process_folder;
pub use blubr_tests::web::{FEED, Web};
use blubr_tests::workload::Context;

/// Keys of the suite, and the files that hold them.
pub struct Keys {
    pub folder: PathBuf,
}

impl Keys {
    pub fn new(folder: &Path) -> Self {
        let keyring = Keyring::new();
        for name in ["signer", "auditor", "stranger"] {
            let key = keyring.generate(name);
            keyring.export(&key, &folder.join(format!("{name}.asc")));
            keyring.export_secret(&key, &folder.join(format!("{name}.sec.asc")));
        }
        Self { folder: folder.to_owned() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// One recorded build and what the tools made of it. Its folder is the suite's own and goes with the process's keeper.
pub struct Recorded {
    pub builder: Builder,
    pub tag: String,
    pub context: Context,
    pub folder: PathBuf,
    pub image_id: String,
}

impl Recorded {
    pub fn of(builder: Builder) -> &'static Self {
        static CLASSIC: OnceLock<Recorded> = OnceLock::new();
        static BUILDKIT: OnceLock<Recorded> = OnceLock::new();
        let cell = if builder == Builder::Classic { &CLASSIC } else { &BUILDKIT };
        cell.get_or_init(|| Self::make(builder))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn keys() -> &'static Keys {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(|| Keys::new(&folder("keys")))
    }

    fn make(builder: Builder) -> Self {
        let engine = Engine::shared();
        let name = if builder == Builder::Classic { "classic" } else { "buildkit" };
        let folder = folder(name);
        let context = Context::of_fixture("markers");
        let decoy = Context::of_fixture("decoy");
        let tag = format!("blubr-slice-{name}");
        let decoy_tag = format!("blubr-decoy-{name}");
        let feed = format!("FEED={}", Web::shared().held_url(name));
        let build = engine.build_command(builder, context.path(), &tag, &["--build-arg", &feed]);
        let impostor = Impostor::start(&folder);
        let log = folder.join("build.ndjson");
        let mut recording = recorder(&log, &build);
        recording.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = recording.spawn().unwrap();
        wait_until_attached(&log, &child);
        // Outside the recorded command, and at the same time.
        let mut decoy_build = engine.build_command(builder, decoy.path(), &decoy_tag, &[]);
        let beside =
            decoy_build.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let beside = beside.unwrap().wait_with_output().unwrap();
        // The recorded build goes on when the other is over: with both at their ends in the same moment nobody could
        // tell whose the last steps were.
        Web::shared().release(name);
        let output = child.wait_with_output().unwrap();
        assert!(beside.status.success(), "{}", describe(&decoy_build, &beside));
        assert!(output.status.success(), "{}", describe(&recording, &output));
        drop(impostor);
        let image_id = engine.image_id(&tag);
        let recorded = Self { builder, tag, context, folder, image_id };
        recorded.filter();
        recorded.attest();
        recorded
    }

    fn filter(&self) {
        let mut filter = bins::command("blubr-filter");
        filter.arg("--build").arg("-o").arg(self.file("filtered.ndjson")).arg(self.file("build.ndjson"));
        drop(stdout_of(&mut filter));
    }

    fn attest(&self) {
        let keys = Self::keys();
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(self.context.file("Dockerfile"));
        attest.arg("--context").arg(self.context.path());
        attest.arg("--image").arg(format!("docker:{}", self.tag));
        attest.arg("--sign-with").arg(keys.file("signer.sec.asc"));
        attest.arg("--encrypt-to").arg(keys.file("auditor.asc"));
        attest.arg("-o").arg(self.file("app.att"));
        attest.arg("--statement").arg(self.file("app.statement.json"));
        attest.arg("--detached").arg(self.file("app.statement.json.asc"));
        attest.arg("--dsse").arg(self.file("app.dsse.json"));
        attest.arg(self.file("filtered.ndjson"));
        drop(stdout_of(&mut attest));
    }

    /// `blubr-attest verify` of a file, with the signer's certificate and the auditor's key.
    pub fn verify(&self, attestation: &Path) -> Command {
        let keys = Self::keys();
        let mut verify = bins::command("blubr-attest");
        verify.env("DOCKER_HOST", &Engine::shared().host);
        verify.arg("verify").arg("--cert").arg(keys.file("signer.asc"));
        verify.arg("--key").arg(keys.file("auditor.sec.asc")).arg(attestation);
        verify
    }
}

/// A folder that goes with the suite's process, whatever its end.
pub fn folder(name: &str) -> PathBuf {
    let folder = process_folder().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An unprivileged, busy process that calls itself dockerd.
struct Impostor {
    child: Child,
    /// Where that user can go: removed behind it.
    _nest: tempfile::TempDir,
}

impl Impostor {
    fn start(folder: &Path) -> Self {
        let home = tempfile::Builder::new().prefix("blubr-impostor.").tempdir_in("/tmp").unwrap();
        let nest = home.path();
        std::fs::set_permissions(nest, std::fs::Permissions::from_mode(0o777)).unwrap();
        let program = nest.join("dockerd");
        std::fs::copy("/bin/bash", &program).unwrap();
        let script = "echo $BASHPID > pid; while :; do echo x > impostor; /bin/cat impostor; /bin/sleep 0.02; done";
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--pdeathsig", "KILL"]);
        command.arg(&program).args(["-c", script]).current_dir(nest);
        std::fs::write(folder.join("impostor"), nest.display().to_string()).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = nest.join("pid");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !std::fs::metadata(&pid).is_ok_and(|file| file.len() > 0) {
            assert!(Instant::now() < deadline, "the impostor does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, _nest: home }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
