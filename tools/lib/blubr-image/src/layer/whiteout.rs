//! What OCI's whiteouts mean (image-spec, layer.md, "Whiteouts").

use crate::tar::shown;

/// Whether an entry is one, or says something about lower ones.
pub(super) enum Mark {
    Plain,
    Whiteout,
    Opaque,
    Aufs,
}

/// Takes a whiteout's mark off `path`.
pub(super) fn mark(mut path: Vec<u8>) -> Result<(Vec<u8>, Mark), String> {
    let begin = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
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
        return Err(format!("the whiteout '{}' names nothing that could be removed", shown(&path)));
    }
    let name = name.to_vec();
    path.truncate(begin);
    path.extend_from_slice(&name);
    Ok((path, Mark::Whiteout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_say_what_they_remove() {
        let marked = |path: &[u8]| {
            mark(path.to_vec())
                .map(|(path, mark)| (path, matches!(mark, Mark::Whiteout), matches!(mark, Mark::Opaque)))
        };
        assert_eq!(marked(b"a/.wh.b").unwrap(), (b"a/b".to_vec(), true, false));
        assert_eq!(marked(b".wh.b").unwrap(), (b"b".to_vec(), true, false));
        assert_eq!(marked(b"a/.wh..wh..opq").unwrap(), (b"a".to_vec(), false, true));
        assert_eq!(marked(b".wh..wh..opq").unwrap(), (b"".to_vec(), false, true));
        assert_eq!(marked(b"a.wh.b").unwrap(), (b"a.wh.b".to_vec(), false, false));
        assert!(matches!(mark(b".wh..wh.plnk".to_vec()), Ok((_, Mark::Aufs))));
        for path in [&b".wh."[..], b"a/.wh..", b"a/.wh..."] {
            assert!(mark(path.to_vec()).is_err());
        }
    }
}
