//! The image config: what to run, how it was made, which layers (OCI image-spec, config.md; Docker image spec v1.2).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::spelling::{self, keys_of};
use crate::{Digest, Error};

/// A config larger than this is refused, in bytes. Engines write a few kB; containerd reads at most 8 MiB of JSON.
pub const CONFIG_BYTES_MAX: usize = 8 << 20;
/// More history lines or layers than this are refused; overlay2 mounts at most 128 layers.
pub const LIST_LEN_MAX: usize = 4096;

/// An image's config. A key that is missing or null is empty or `None`, as engines take it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// The processor, as GOARCH names it; empty when absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The architecture's variant (`v7`), where there is one.
    #[serde(default)]
    pub variant: Option<String>,
    /// The operating system, as GOOS names it; empty when absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// When it was made, RFC 3339, as written (BuildKit writes the zero time or SOURCE_DATE_EPOCH when asked to).
    #[serde(default)]
    pub created: Option<String>,
    /// Who says to have made it.
    #[serde(default)]
    pub author: Option<String>,
    /// What a container of it runs.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ContainerConfig,
    /// One line for each instruction that made it, oldest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<History>,
    /// The layers.
    #[serde(default, deserialize_with = "null_is_default")]
    rootfs: Rootfs,
}

impl Config {
    /// Reads an image config, at most [`CONFIG_BYTES_MAX`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Config, Error> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(too_large("the image config (bytes)", bytes.len(), CONFIG_BYTES_MAX));
        }
        const WHAT: &str = "the image config";
        let config: Config = object(WHAT, bytes)?;
        let known = [
            keys_of::<Config>(),
            keys_of::<ContainerConfig>(),
            keys_of::<Healthcheck>(),
            keys_of::<History>(),
            keys_of::<Rootfs>(),
        ];
        spelling::check(WHAT, bytes, &known.concat())?;
        if config.history.len() > LIST_LEN_MAX {
            return Err(too_large("the image's history (lines)", config.history.len(), LIST_LEN_MAX));
        }
        if config.rootfs.diff_ids.len() > LIST_LEN_MAX {
            return Err(too_large("the image's layers", config.rootfs.diff_ids.len(), LIST_LEN_MAX));
        }
        Ok(config)
    }

    /// The digests of the uncompressed layers, lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// For each history line the index of the layer that it made; `None` for a line without one.
    ///
    /// Fails when the lines that should have made a layer are not as many as the layers: then nothing says which is
    /// whose. A config without any history gives an empty list.
    pub fn layers_of_history(&self) -> Result<Vec<Option<usize>>, Error> {
        let layers = self.diff_ids().len();
        let mut next = 0;
        let list: Vec<Option<usize>> = self
            .history
            .iter()
            .map(|line| {
                (!line.empty_layer).then(|| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        if !self.history.is_empty() && next != layers {
            return Err(Error::Inconsistent {
                reason: format!("the image's history names {next} layers, the image has {layers}"),
            });
        }
        Ok(list)
    }
}

fn too_large(what: &'static str, size: usize, limit: usize) -> Error {
    Error::TooLarge { what, size: size as u64, limit: limit as u64 }
}

/// What a container of the image runs, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// `NAME=value`, in the order in which they were set.
    #[serde(default, deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// CMD; `None` when it was never set or reset.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// ENTRYPOINT; `None` when it was never set or reset.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// WORKDIR; empty when not set.
    #[serde(default, deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// USER; empty when not set.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: String,
    /// LABELs.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// EXPOSEd ports (`80/tcp`), sorted: the config has them as a set.
    #[serde(default, deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// VOLUMEs, sorted: the config has them as a set.
    #[serde(default, deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// SHELL; `None` when not set.
    #[serde(default)]
    pub shell: Option<Vec<String>>,
    /// HEALTHCHECK; `None` when not set.
    #[serde(default)]
    pub healthcheck: Option<Healthcheck>,
    /// STOPSIGNAL; `None` when not set.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// ONBUILD triggers for images made from this one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
}

/// A HEALTHCHECK; durations in nanoseconds, 0 for the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", line]`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// `--interval`
    #[serde(default, deserialize_with = "null_is_default")]
    pub interval: i64,
    /// `--timeout`
    #[serde(default, deserialize_with = "null_is_default")]
    pub timeout: i64,
    /// `--start-period`
    #[serde(default, deserialize_with = "null_is_default")]
    pub start_period: i64,
    /// `--start-interval`
    #[serde(default, deserialize_with = "null_is_default")]
    pub start_interval: i64,
    /// `--retries`
    #[serde(default, deserialize_with = "null_is_default")]
    pub retries: i64,
}

/// One line of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When, RFC 3339, as written.
    #[serde(default)]
    pub created: Option<String>,
    /// The instruction, in the engine's spelling; empty when absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub created_by: String,
    /// A comment; BuildKit writes `buildkit.dockerfile.v0`, the classic builder nothing. Empty when absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub comment: String,
    /// Who.
    #[serde(default)]
    pub author: Option<String>,
    /// Whether the line made no layer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

impl History {
    /// The instruction, in the engine's spelling, without what buildah notes behind it of a build's options
    /// (`|force-mtime=0`).
    #[must_use]
    pub fn instruction(&self) -> &str {
        crate::marks::without_marks(&self.created_by)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Rootfs {
    #[serde(default, deserialize_with = "null_is_default")]
    diff_ids: Vec<Digest>,
}

/// Reads a JSON object. serde takes an array for a struct's fields in order, which no engine does.
pub(crate) fn object<'de, T: Deserialize<'de>>(
    what: &'static str,
    bytes: &'de [u8],
) -> Result<T, Error> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::Json { what, reason: "it is no JSON object".to_owned() });
    }
    serde_json::from_slice(bytes).map_err(|error| Error::Json { what, reason: error.to_string() })
}

/// Go marshals an empty slice or map as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A Go set: `{"80/tcp": {}}`.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, IgnoredAny>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn nulls_and_missing_keys_are_empty() {
        let empty = Config::parse(b"{}").unwrap();
        let nulls = r#"{"architecture":null,"os":null,"created":null,"config":null,"history":null,"rootfs":null}"#;
        assert_eq!(Config::parse(nulls.as_bytes()).unwrap(), empty);
        let nulls = r#"{"config":{"Env":null,"Cmd":null,"Entrypoint":null,"Labels":null,"Volumes":null,
            "ExposedPorts":null,"Healthcheck":null,"OnBuild":null,"WorkingDir":null,"User":null,"Shell":null},
            "rootfs":{"type":"layers","diff_ids":null}}"#;
        assert_eq!(Config::parse(nulls.as_bytes()).unwrap(), empty);
    }

    #[test]
    fn what_engines_write_is_read() {
        let text = format!(
            r#"{{"architecture":"arm","variant":"v7","os":"linux","created":"2026-01-02T03:04:05.6Z",
            "config":{{"Env":["A=1"],"Cmd":["sh"],"ExposedPorts":{{"80/tcp":{{}},"53/udp":{{}}}},"Volumes":{{"/v":{{}}}},
            "Healthcheck":{{"Test":["CMD-SHELL","true"],"Interval":5000000000}},"StopSignal":"SIGINT"}},
            "history":[{{"created_by":"COPY x","empty_layer":false}},{{"created_by":"CMD","empty_layer":true}},
            {{"created_by":"RUN y","comment":"buildkit.dockerfile.v0"}}],
            "rootfs":{{"type":"layers","diff_ids":["{ID}","{ID}"]}},"unknown":[1]}}"#
        );
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.exposed_ports, ["53/udp", "80/tcp"]);
        assert_eq!(config.config.healthcheck.as_ref().unwrap().interval, 5_000_000_000);
        assert_eq!(config.layers_of_history().unwrap(), [Some(0), None, Some(1)]);
    }

    #[test]
    fn a_history_that_counts_other_layers_is_refused() {
        let config = Config::parse(br#"{"history":[{},{}],"rootfs":{"diff_ids":[]}}"#).unwrap();
        assert!(config.layers_of_history().is_err());
        assert!(Config::parse(b"{}").unwrap().layers_of_history().unwrap().is_empty());
    }

    #[test]
    fn hostile_configs_are_errors() {
        let many = format!(r#"{{"history":[{}{{}}]}}"#, "{},".repeat(LIST_LEN_MAX));
        let deep = "[".repeat(100_000);
        let other_digest = r#"{"rootfs":{"diff_ids":["../../etc/passwd"]}}"#;
        let twice = r#"{"config":{"User":"root"},"config":{"User":"nobody"}}"#;
        let cased = r#"{"rootfs":{"diff_ids":[]},"RootFS":{"diff_ids":[]}}"#;
        let env = r#"{"config":{"Env":"A=1"}}"#;
        for text in ["", "null", "[]", &many, &deep, other_digest, twice, cased, env] {
            assert!(Config::parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(60)]);
        }
        assert!(matches!(Config::parse(&vec![b' '; CONFIG_BYTES_MAX + 1]), Err(Error::TooLarge { .. })));
    }
}
