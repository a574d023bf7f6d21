//! The build context's digest: in-toto's `dirHash`, which sha256sum(1) can print too.
//!
//! `cd DIR && find . -type f | sed s,^./,, | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum`

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use blubr_cli::Failure;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

/// The most entries of a context; a count.
const ENTRIES_MAX: u64 = 2_000_000;
/// How deep a context's folders may be nested: PATH_MAX allows half its bytes (linux/limits.h).
const DEPTH_MAX: usize = 2_048;

/// A context, hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The digest in hexadecimal.
    pub dir_hash: String,
    /// Files hashed.
    pub files: u64,
    /// Entries that are neither file nor directory.
    pub not_hashed: u64,
}

/// Hashes the regular files below `dir`: Go's `dirhash.Hash1`, as in-toto's digest `dirHash` wants it.
pub fn hash(dir: &Path) -> Result<Hashed, Failure> {
    if !dir.is_dir() {
        return Err(Failure::new("is not a directory")
            .at(dir.display())
            .advise("name the build context"));
    }
    let (mut names, mut not_hashed) = (Vec::new(), 0);
    for entry in WalkDir::new(dir).follow_links(false).max_depth(DEPTH_MAX) {
        let entry = entry.map_err(|error| Failure::new(error).at(dir.display()))?;
        let kind = entry.file_type();
        if kind.is_file() {
            let below = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            names.push(below.as_os_str().as_bytes().to_vec());
        } else if !kind.is_dir() {
            not_hashed += 1;
        }
        if names.len() as u64 + not_hashed > ENTRIES_MAX {
            return Err(
                Failure::new(format_args!("holds more than {ENTRIES_MAX} entries")).at(dir.display())
            );
        }
    }
    names.sort();
    let mut all = Sha256::new();
    for name in &names {
        if name.contains(&b'\n') {
            let shown = String::from_utf8_lossy(name).into_owned();
            let what = "a file name with a line break, which dirHash has no form for";
            return Err(Failure::new(what)
                .at(dir.join(shown).display())
                .advise("leave --context out, or rename it"));
        }
        let path = dir.join(std::ffi::OsStr::from_bytes(name));
        all.update(hex(&file(&path)?));
        all.update(b"  ");
        all.update(name);
        all.update(b"\n");
    }
    Ok(Hashed { dir_hash: hex(&all.finalize()), files: names.len() as u64, not_hashed })
}

fn file(path: &Path) -> Result<[u8; 32], Failure> {
    const CHUNK: usize = 1 << 16;
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn it_is_what_sha256sum_prints() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for (name, text) in
            [("Dockerfile", "FROM scratch\n"), ("b/c/x", "1"), ("b.txt", ""), ("b/é y", "2")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("x", dir.path().join("link")).unwrap();
        let script =
            "find . -type f | sed s,^./,, | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum";
        let out = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().unwrap();
        let wanted = String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap().to_owned();
        let found = hash(dir.path()).unwrap();
        assert_eq!(found, Hashed { dir_hash: wanted, files: 4, not_hashed: 1 });
        assert!(hash(&dir.path().join("b.txt")).is_err());
    }
}
