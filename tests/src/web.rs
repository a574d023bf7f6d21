//! A web server on loopback for steps that fetch something.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::program::run;
use crate::supervise::Supervised;
use crate::workload::busybox_path;

/// Where the host itself reaches it.
pub const LOOPBACK: &str = "127.0.0.1";

/// The document that it gives.
pub const FEED: &str = "{\"apple\": 3}\n";

/// Gives the document when it was released, or after a minute.
const HELD: &str = "#!/bin/sh
touch \"../asked-$QUERY_STRING\"
n=0
while [ ! -e \"../released-$QUERY_STRING\" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done
printf 'Content-Type: application/json\\r\\n\\r\\n'
cat ../feed.json
";

/// How long it may take to answer.
const START_SECONDS_MAX: u64 = 10;
/// How long a build may take until it asks.
const ASK_SECONDS_MAX: u64 = 60;

/// A busybox httpd for as long as the test process runs.
#[derive(Debug)]
pub struct Web {
    _server: Supervised,
    folder: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Web {
    /// The one that the tests of a process share.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Web> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Where [`FEED`] is, for who reaches the host's loopback under this address.
    #[must_use]
    pub fn url_at(&self, address: &str) -> String {
        format!("http://{address}:{}/feed.json", self.port)
    }

    /// Where [`FEED`] is once [`Web::release`] was called with the same name: who asks waits for it.
    #[must_use]
    pub fn held_url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/cgi-bin/held?{name}", self.port)
    }

    /// Waits until somebody waits at [`Web::held_url`].
    ///
    /// # Panics
    /// When nobody comes.
    pub fn wait_for(&self, name: &str) {
        let asked = self.folder.join(format!("asked-{name}"));
        let deadline = Instant::now() + Duration::from_secs(ASK_SECONDS_MAX);
        while !asked.exists() {
            assert!(Instant::now() < deadline, "nobody asked for {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets those go that wait at [`Web::held_url`].
    ///
    /// # Panics
    /// When its folder is gone.
    pub fn release(&self, name: &str) {
        drop(
            File::create(self.folder.join(format!("released-{name}"))).expect("the folder is writable"),
        );
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("blubr-web.").tempdir().expect("a folder").keep();
        std::fs::write(folder.join("feed.json"), FEED).expect("the folder is writable");
        let cgi = folder.join("cgi-bin");
        std::fs::create_dir(&cgi).expect("the folder is writable");
        std::fs::write(cgi.join("held"), HELD).expect("the folder is writable");
        std::fs::set_permissions(cgi.join("held"), std::fs::Permissions::from_mode(0o755))
            .expect("the file is ours");
        let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = probe.local_addr().expect("a bound socket has an address").port();
        drop(probe);
        let mut httpd = Command::new(busybox_path());
        httpd.args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"]).arg(&folder);
        let log = File::create(folder.join("log")).expect("the folder is writable");
        let server = Supervised::start(&httpd, folder.as_os_str(), log);
        let web = Self { _server: server, folder, port };
        let mut get = Command::new(busybox_path());
        get.args(["wget", "-q", "-O", "-", &web.url_at(LOOPBACK)]);
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while run(&mut get).stdout != FEED.as_bytes() {
            assert!(Instant::now() < deadline, "the web server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        web
    }
}
