//! Paths as bytes: joined, cut and compared by whole components, never looked up.

/// `root` + `path`, where `path` is absolute within `root`. `None` for `root` is the host's own root.
pub(crate) fn join(root: Option<&[u8]>, path: &[u8]) -> Vec<u8> {
    let Some(root) = root.filter(|root| *root != b"/") else { return path.to_vec() };
    if path == b"/" || path.is_empty() {
        return root.to_vec();
    }
    let mut whole = Vec::with_capacity(root.len() + path.len() + 1);
    whole.extend_from_slice(root);
    if path[0] != b'/' {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    whole
}

/// The last component.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Everything before the last component; `None` for a path without one.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    Some(if slash == 0 { &path[..1] } else { &path[..slash] }).filter(|dir| *dir != path)
}

/// `path` and its parents, longest first, without the root.
pub(crate) fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let here = rest.filter(|here| here.len() > 1)?;
        rest = parent(here);
        Some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_components_only() {
        assert_eq!(base(b"/a/b"), b"b");
        assert_eq!(base(b"x"), b"x");
        assert_eq!(parent(b"/a"), Some(&b"/"[..]));
        assert_eq!(parent(b"/"), None);
        assert_eq!(parent(b"x"), None);
        assert_eq!(upwards(b"/a/b/c").collect::<Vec<_>>(), [&b"/a/b/c"[..], b"/a/b", b"/a"]);
        assert_eq!(upwards(b"").count(), 0);
    }

    #[test]
    fn joined() {
        assert_eq!(join(Some(b"/r"), b"/x"), b"/r/x");
        assert_eq!(join(Some(b"/r"), b"/"), b"/r");
        assert_eq!(join(Some(b"/"), b"/x"), b"/x");
        assert_eq!(join(None, b"/x"), b"/x");
        assert_eq!(join(Some(b"/r"), b"x"), b"/r/x");
    }
}
