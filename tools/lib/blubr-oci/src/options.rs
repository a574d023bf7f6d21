//! How to reach images: platform, transport, credentials' file, engine, place for temporary files.

use std::path::PathBuf;

use blubr_image::manifest::Platform;

/// What isn't in a reference.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which image of an index; without it an index of several is an error.
    pub platform: Option<Platform>,
    /// Talk to registries without TLS. Loopback addresses are talked to so in any case.
    pub plain_http: bool,
    /// More certificates (PEM) to trust in registries.
    pub ca_file: Option<PathBuf>,
    /// The file with registries' credentials, as `docker login` writes it.
    pub auth_file: Option<PathBuf>,
    /// The engine, as DOCKER_HOST names it; `None` for `unix:///var/run/docker.sock`.
    pub docker_host: Option<String>,
    /// Where an engine's image is kept while it is read; `None` for the system's place for large temporary files.
    pub spool_dir: Option<PathBuf>,
}

impl Options {
    /// What the environment says: DOCKER_HOST, REGISTRY_AUTH_FILE, else DOCKER_CONFIG, else `~/.docker`, and TMPDIR.
    pub fn from_env() -> Options {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let auth_file = var("REGISTRY_AUTH_FILE").map(PathBuf::from).or_else(|| {
            let folder = var("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| var("HOME").map(|home| PathBuf::from(home).join(".docker")))?;
            Some(folder.join("config.json"))
        });
        Options {
            docker_host: var("DOCKER_HOST").map(|host| host.to_string_lossy().into_owned()),
            spool_dir: var("TMPDIR").map(PathBuf::from),
            auth_file,
            ..Options::default()
        }
    }
}
