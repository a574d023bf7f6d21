//! A web server on loopback for steps that fetch something.

use std::fs::File;
use std::net::TcpListener;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::program::run;
use crate::supervise::Supervised;
use crate::workload::busybox_path;

/// The document that it gives.
pub const FEED: &str = "{\"apple\": 3}\n";

/// How long it may take to answer.
const START_SECONDS_MAX: u64 = 10;

/// A busybox httpd for as long as the test process runs.
#[derive(Debug)]
pub struct Web {
    _server: Supervised,
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

    /// Where [`FEED`] is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/feed.json", self.port)
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("blubr-web.").tempdir().expect("a folder").keep();
        std::fs::write(folder.join("feed.json"), FEED).expect("the folder is writable");
        let probe = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = probe.local_addr().expect("a bound socket has an address").port();
        drop(probe);
        let mut httpd = Command::new(busybox_path());
        httpd.args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-h"]).arg(&folder);
        let log = File::create(folder.join("log")).expect("the folder is writable");
        let web = Self { _server: Supervised::start(&httpd, folder.as_os_str(), log), port };
        let mut get = Command::new(busybox_path());
        get.args(["wget", "-q", "-O", "-", &web.url()]);
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while run(&mut get).stdout != FEED.as_bytes() {
            assert!(Instant::now() < deadline, "the web server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        web
    }
}
