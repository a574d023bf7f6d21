//! Registries on loopback: one with the referrers API, one without, each with storage of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::stdout_of;
use crate::require::tool;
use crate::supervise::Supervised;

/// How long a registry may take to answer.
const START_SECONDS_MAX: u64 = 30;

/// A registry that ends with this value.
#[derive(Debug)]
pub struct Registry {
    _server: Supervised,
    /// `127.0.0.1:PORT`, as it stands before the first slash of a reference. It speaks plain HTTP.
    pub address: String,
}

impl Registry {
    /// Debian's docker-registry 2.8: no referrers API, so a client has to use the fallback tag.
    ///
    /// # Panics
    /// When it does not start. A test asks `require!(Registry)` first.
    #[must_use]
    pub fn without_referrers() -> Self {
        Self::start(|address, folder| {
            let config = folder.join("config.yml");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: {address}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
                folder.join("blobs").display()
            );
            std::fs::write(&config, text).expect("the configuration can be written");
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(config);
            command
        })
    }

    /// ferro-oci-server: has the referrers API, keeps everything in memory.
    ///
    /// # Panics
    /// When it does not start. A test asks `require!(Registry)` first.
    #[must_use]
    pub fn with_referrers() -> Self {
        Self::start(|address, _| {
            let mut command = Command::new(tool("ferro-oci-server").expect("the test required it"));
            command.env("FERRO_OCI_LISTEN", address.to_string());
            command
        })
    }

    /// What the registry answers to one GET: the status and the body.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn get(&self, path: &str, accept: &str) -> (u16, Vec<u8>) {
        let (status, body) = get(&self.address, path, accept).expect("the registry answers");
        (status, body)
    }

    fn start(configure: impl FnOnce(SocketAddr, &Path) -> Command) -> Self {
        let folder =
            tempfile::Builder::new().prefix("blubr-registry.").tempdir().expect("a folder").keep();
        // The port was free a moment ago; a registry that finds it taken ends, and the wait below says so.
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = probe.local_addr().expect("a bound socket has an address");
        drop(probe);
        let command = configure(address, &folder);
        let log = folder.join("log");
        let server = Supervised::start(&command, folder.as_os_str(), File::create(&log).expect("a log"));
        let registry = Self { _server: server, address: address.to_string() };
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while !get(&registry.address, "/v2/", "*/*").is_ok_and(|(status, _)| status == 200) {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "{command:?} does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }
}

/// Copies an image by skopeo, as it names them; to or from a registry without TLS.
///
/// # Panics
/// When skopeo fails.
pub fn skopeo_copy(from: &str, to: &str) {
    let flags = ["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"];
    drop(stdout_of(Command::new("skopeo").args(flags).args([from, to])));
}

/// One HTTP/1.0 request: the status and the body.
fn get(address: &str, path: &str, accept: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or(std::io::ErrorKind::InvalidData)?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or(std::io::ErrorKind::InvalidData)?;
    Ok((status, answer.split_off(end + 4)))
}
