//! Paths of the image's tree: what lies above one, and whether something lies below.

use blubr_image::layer::Entry;

/// Whether something lies below a directory, by the first name that is not before the one given.
pub(super) fn is_above<'n, V>(
    dir: &[u8],
    first: impl FnOnce(std::ops::RangeFrom<Vec<u8>>) -> Option<(&'n Vec<u8>, V)>,
) -> bool {
    let below = [dir, b"/"].concat();
    first(below.clone()..).is_some_and(|(name, _)| name.starts_with(&below))
}

/// `path` and the directories above it, without the root.
pub(super) fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let here = rest.filter(|here| here.len() > 1)?;
        let slash = here.iter().rposition(|byte| *byte == b'/')?;
        rest = here.get(..slash);
        Some(here)
    })
}

/// What the steps call an entry of a layer: its path from the root.
pub(super) fn path_of(entry: &Entry) -> Vec<u8> {
    [b"/".as_slice(), &entry.path].concat()
}
