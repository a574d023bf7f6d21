//! Writes an image, as `docker save` does, without an engine.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// When the layers of this suite's images are made, while its logs go on.
pub const MADE: &str = "2026-11-24T12:00:00.000050Z";
/// Long before.
pub const OLD: &str = "2026-01-01T00:00:00Z";

/// A layer and its line in the history.
pub struct Layer<'c> {
    /// Its files; what ends in a slash is a directory, `NAME -> TARGET` a symlink, `NAME => TARGET` a hard link.
    pub files: Vec<(String, &'c [u8])>,
    /// When it was made.
    pub created: Option<&'c str>,
    /// How.
    pub created_by: &'c str,
}

/// What an image is called, in hexadecimal.
pub struct Digests {
    /// The sum of its configuration.
    pub config: String,
    /// The sums of its layers.
    pub layers: Vec<String>,
}

/// Writes an image of a base layer and a layer with `count` empty files below `/w`, made while the logs of this suite go on.
pub fn write(count: u64, to: &Path) {
    let files = (0..count).map(|n| (format!("w/{n}"), &b""[..]));
    let files = std::iter::once(("w/".to_owned(), &b""[..])).chain(files).collect();
    let base =
        Layer { files: vec![("bin/sh".to_owned(), b"x")], created: Some(OLD), created_by: "ADD base" };
    let top = Layer { files, created: Some(MADE), created_by: "RUN /bin/sh -c make # buildkit" };
    drop(write_layers(&[base, top], to));
}

/// Writes an image of a base layer and a layer that was made while the logs of this suite go on.
pub fn write_upon<'c>(
    base: impl IntoIterator<Item = (String, &'c [u8])>,
    top: impl IntoIterator<Item = (String, &'c [u8])>,
    to: &Path,
) {
    let base = Layer { files: base.into_iter().collect(), created: Some(OLD), created_by: "ADD base" };
    let files = top.into_iter().collect();
    let top = Layer { files, created: Some(MADE), created_by: "RUN /bin/sh -c make # buildkit" };
    drop(write_layers(&[base, top], to));
}

/// Writes an image of these layers, made when the last of them was, or while the logs of this suite go on.
pub fn write_layers(layers: &[Layer<'_>], to: &Path) -> Digests {
    let last = layers.iter().filter_map(|layer| layer.created).fold(MADE, |last, made| last.max(made));
    write_created(layers, last, to)
}

/// Writes an image of these layers that says that it was made at this time.
pub fn write_created(layers: &[Layer<'_>], created: &str, to: &Path) -> Digests {
    let blobs: Vec<Vec<u8>> = layers.iter().map(|layer| tar(layer.files.iter().cloned())).collect();
    let sums: Vec<String> = blobs.iter().map(|blob| sum(blob)).collect();
    let line = |layer: &Layer<'_>| match layer.created {
        Some(created) => serde_json::json!({"created": created, "created_by": layer.created_by}),
        None => serde_json::json!({"created_by": layer.created_by}),
    };
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": created, "config": {},
        "rootfs": {"type": "layers", "diff_ids": sums},
        "history": layers.iter().map(line).collect::<Vec<_>>(),
    });
    let config = config.to_string();
    let bare = |sum: &str| sum.trim_start_matches("sha256:").to_owned();
    let digest = bare(&sum(config.as_bytes()));
    let names: Vec<String> = (1..=blobs.len()).map(|n| format!("{n}.tar")).collect();
    let name = format!("{digest}.json");
    let manifest = serde_json::json!([{"Config": name, "RepoTags": ["x:1"], "Layers": names}]);
    let manifest = manifest.to_string();
    let files = names.into_iter().zip(blobs.iter().map(Vec::as_slice));
    let all =
        tar(files.chain([(name, config.as_bytes()), ("manifest.json".to_owned(), manifest.as_bytes())]));
    std::fs::write(to, all).unwrap();
    Digests { config: digest, layers: sums.iter().map(|sum| bare(sum)).collect() }
}

/// The sum of some bytes.
pub fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What is behind a name: its type in an archive, and what it leads to.
fn kind(name: &str) -> (&str, u8, &str) {
    let links = [(" -> ", b'2'), (" => ", b'1')];
    let link = links.iter().find_map(|(arrow, kind)| Some((name.split_once(arrow)?, *kind)));
    match link {
        Some(((name, target), kind)) => (name, kind, target),
        None if name.ends_with('/') => (name, b'5', ""),
        None => (name, b'0', ""),
    }
}

/// Whether a name is that of a file with content.
pub fn is_file(name: &str) -> bool {
    kind(name).1 == b'0'
}

/// An archive (POSIX.1-1988, "ustar Interchange Format") of files that are named as in `Layer`.
fn tar<'c>(files: impl IntoIterator<Item = (String, &'c [u8])>) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        let (name, kind, target) = kind(&name);
        put(0, name.as_bytes());
        put(157, target.as_bytes());
        put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
        put(108, b"0000000\x000000000\0");
        put(124, format!("{:011o}\x0000000000000\0        ", content.len()).as_bytes());
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}
