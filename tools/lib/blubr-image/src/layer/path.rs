//! Names of members as paths from the root, and what OCI's whiteouts mean.

/// A path longer than this can't be unpacked (the kernel's PATH_MAX counts the NUL), in bytes.
const PATH_BYTES_MAX: usize = 4095;

/// Whether an entry is one, or says something about lower ones.
pub(super) enum Mark {
    Plain,
    Whiteout,
    Opaque,
    Aufs,
}

/// The path from the root without slashes at its ends. `.` and `..` are taken away by name, as engines do
/// (filepath.Clean); a name that leaves the root is refused, as Docker does ("breakout").
pub(super) fn normalise(name: &[u8]) -> Result<Vec<u8>, String> {
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
                    return Err(format!(
                        "the name '{}' leaves the image's root",
                        shown(name)
                    ));
                }
            }
            _ => parts.push(part),
        }
    }
    check(parts.join(&b'/'), "a name")
}

/// A symlink's target, as it is.
pub(super) fn target(target: Vec<u8>) -> Result<Vec<u8>, String> {
    if target.is_empty() {
        return Err("a symlink without a target".to_owned());
    }
    check(target, "a symlink's target")
}

/// Takes a whiteout's mark off `path`.
pub(super) fn mark(mut path: Vec<u8>) -> Result<(Vec<u8>, Mark), String> {
    let begin = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let Some(name) = path[begin..].strip_prefix(b".wh.") else {
        return Ok((path, Mark::Plain));
    };
    if name == b".wh..opq" {
        path.truncate(begin.saturating_sub(1));
        return Ok((path, Mark::Opaque));
    }
    if name.starts_with(b".wh.") {
        return Ok((path, Mark::Aufs));
    }
    if matches!(name, b"" | b"." | b"..") {
        return Err(format!(
            "the whiteout '{}' names nothing that could be removed",
            shown(&path)
        ));
    }
    let name = name.to_vec();
    path.truncate(begin);
    path.extend_from_slice(&name);
    Ok((path, Mark::Whiteout))
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
fn shown(name: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    name[..name.len().min(SHOWN_BYTES_MAX)]
        .escape_ascii()
        .to_string()
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
            assert_eq!(
                normalise(name).ok().as_deref(),
                path,
                "{}",
                name.escape_ascii()
            );
        }
        assert!(normalise(&[b'a'; PATH_BYTES_MAX + 1]).is_err());
        let error = normalise(&b"../\x1b[2J".repeat(1000)).unwrap_err();
        assert!(error.len() < 500 && !error.contains('\x1b'), "{error}");
    }

    #[test]
    fn whiteouts_say_what_they_remove() {
        let marked = |path: &[u8]| {
            mark(path.to_vec()).map(|(path, mark)| {
                (
                    path,
                    matches!(mark, Mark::Whiteout),
                    matches!(mark, Mark::Opaque),
                )
            })
        };
        assert_eq!(marked(b"a/.wh.b").unwrap(), (b"a/b".to_vec(), true, false));
        assert_eq!(marked(b".wh.b").unwrap(), (b"b".to_vec(), true, false));
        assert_eq!(
            marked(b"a/.wh..wh..opq").unwrap(),
            (b"a".to_vec(), false, true)
        );
        assert_eq!(
            marked(b".wh..wh..opq").unwrap(),
            (b"".to_vec(), false, true)
        );
        assert_eq!(
            marked(b"a.wh.b").unwrap(),
            (b"a.wh.b".to_vec(), false, false)
        );
        assert!(matches!(
            mark(b".wh..wh.plnk".to_vec()),
            Ok((_, Mark::Aufs))
        ));
        for path in [&b".wh."[..], b"a/.wh..", b"a/.wh..."] {
            assert!(mark(path.to_vec()).is_err());
        }
    }
}
