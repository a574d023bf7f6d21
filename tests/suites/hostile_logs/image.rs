//! Writes an image, as `docker save` does, without an engine.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Writes an image of a base layer and a layer with `count` empty files below `/w`, made while the logs of this suite go on.
pub fn write(count: u64, to: &Path) {
    let files = (0..count).map(|n| (format!("w/{n}"), &b""[..]));
    let top = std::iter::once(("w/".to_owned(), &b""[..])).chain(files);
    write_layers([("bin/sh".to_owned(), &b"x"[..])], top, to);
}

/// Writes an image of a base layer and a layer that was made while the logs of this suite go on; what ends in a slash is a
/// directory.
pub fn write_layers<'c>(
    base: impl IntoIterator<Item = (String, &'c [u8])>,
    top: impl IntoIterator<Item = (String, &'c [u8])>,
    to: &Path,
) {
    let (base, top) = (tar(base), tar(top));
    let made = "2026-11-24T12:00:00.000050Z";
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": made, "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sum(&base), sum(&top)]},
        "history": [
            {"created": "2026-01-01T00:00:00Z", "created_by": "ADD base"},
            {"created": made, "created_by": "RUN /bin/sh -c make # buildkit"},
        ],
    });
    let config = config.to_string();
    let name = format!("{}.json", sum(config.as_bytes()).trim_start_matches("sha256:"));
    let manifest =
        serde_json::json!([{"Config": name, "RepoTags": ["x:1"], "Layers": ["1.tar", "2.tar"]}]);
    let manifest = manifest.to_string();
    let all = tar([
        ("1.tar".to_owned(), base.as_slice()),
        ("2.tar".to_owned(), top.as_slice()),
        (name, config.as_bytes()),
        ("manifest.json".to_owned(), manifest.as_bytes()),
    ]);
    std::fs::write(to, all).unwrap();
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// An archive (POSIX.1-1988, "ustar Interchange Format"); what ends in a slash is a directory.
fn tar<'c>(files: impl IntoIterator<Item = (String, &'c [u8])>) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        let is_dir = name.ends_with('/');
        put(0, name.as_bytes());
        put(100, if is_dir { b"0000755\0" } else { b"0000644\0" });
        put(108, b"0000000\x000000000\0");
        put(124, format!("{:011o}\x0000000000000\0        ", content.len()).as_bytes());
        put(156, if is_dir { b"5" } else { b"0" });
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
