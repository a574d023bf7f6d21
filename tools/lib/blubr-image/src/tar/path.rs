//! Names of members as paths from the root.

/// A path longer than this can't be unpacked (the kernel's PATH_MAX counts the NUL), in bytes.
const PATH_BYTES_MAX: usize = 4095;

/// The path from the root without slashes at its ends. `.` and `..` are taken away by name, as engines do
/// (filepath.Clean); a name that leaves the root is refused, as Docker does ("breakout").
pub fn normalise(name: &[u8]) -> Result<Vec<u8>, String> {
    if name.is_empty() {
        return Err("a member without a name".to_owned());
    }
    let rooted = name.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                // "/.." is "/", as in a file system.
                if parts.pop().is_none() && !rooted {
                    return Err(format!("the name '{}' leaves the image's root", shown(name)));
                }
            }
            _ => parts.push(part),
        }
    }
    check(parts.join(&b'/'), "a name")
}

/// A symlink's target, as it is.
pub fn target(target: Vec<u8>) -> Result<Vec<u8>, String> {
    if target.is_empty() {
        return Err("a symlink without a target".to_owned());
    }
    check(target, "a symlink's target")
}

fn check(path: Vec<u8>, what: &str) -> Result<Vec<u8>, String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!(
            "{what} of {} bytes: no file system takes more than {PATH_BYTES_MAX}",
            path.len()
        ));
    }
    if path.contains(&0) {
        return Err(format!("{what} with a NUL in it"));
    }
    Ok(path)
}

/// The beginning of a name, fit for a terminal.
pub(crate) fn shown(name: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    name[..name.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_as_in_go() {
        for (name, path) in [
            (&b"a/b"[..], Some(&b"a/b"[..])),
            (b"./a//b/", Some(b"a/b")),
            (b"/a", Some(b"a")),
            (b"./", Some(b"")),
            (b"a/../b", Some(b"b")),
            (b"/../a", Some(b"a")),
            (b"..a/...", Some(b"..a/...")),
            (b"\xff\x0a", Some(b"\xff\x0a")),
            (b"../a", None),
            (b"a/../../b", None),
            (b"..", None),
            (b"", None),
            (b"a\0b", None),
        ] {
            assert_eq!(normalise(name).ok().as_deref(), path, "{}", name.escape_ascii());
        }
        assert!(normalise(&[b'a'; PATH_BYTES_MAX + 1]).is_err());
        let error = normalise(&b"../\x1b[2J".repeat(1000)).unwrap_err();
        assert!(error.len() < 500 && !error.contains('\x1b'), "{error}");
    }
}
