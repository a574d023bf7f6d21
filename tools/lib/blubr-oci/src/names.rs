//! Which entry of an index.json a tag means: the names that OCI's tools and Docker write there.

use blubr_image::manifest::{Descriptor, Index};
use blubr_image::{Digest, Error};

/// The annotation that holds a manifest's name in a layout (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where `docker save` keeps the whole name; it puts the tag alone into [`REF_NAME`].
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The names under which an entry is known.
pub(crate) fn names(entry: &Descriptor) -> Vec<String> {
    [CONTAINERD_NAME, REF_NAME].iter().filter_map(|key| entry.annotations.get(*key).cloned()).collect()
}

/// The entry that a digest or else a tag names; without both the only image there is. `None` when a digest isn't in
/// the index.
pub(crate) fn find(
    index: &Index,
    tag: Option<&str>,
    digest: Option<&Digest>,
    place: &str,
) -> Result<Option<Descriptor>, Error> {
    let mut found: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|entry| match (tag, digest) {
            (_, Some(digest)) => entry.digest == *digest,
            (Some(tag), None) => names(entry).iter().any(|name| is_meant(name, tag)),
            // Referrers stand in the index beside the image.
            (None, None) => entry.artifact_type.is_none(),
        })
        .collect();
    found.sort_by(|a, b| a.digest.cmp(&b.digest));
    found.dedup_by(|a, b| a.digest == b.digest);
    match (found.as_slice(), digest) {
        ([one], _) => Ok(Some((*one).clone())),
        ([], Some(_)) => Ok(None),
        ([], None) => Err(choice(index, place, "has no image of that name")),
        _ => Err(choice(index, place, "has several images")),
    }
}

/// Whether `tag`, as typed, means the image called `name`: `app` is `app:latest`, which Docker calls
/// `docker.io/library/app:latest`.
pub(crate) fn is_meant(name: &str, tag: &str) -> bool {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    let short = short.strip_prefix("library/").unwrap_or(short);
    [name, short].iter().any(|name| *name == tag || name.strip_suffix(":latest") == Some(tag))
}

fn choice(index: &Index, place: &str, what: &str) -> Error {
    const NAMED_MAX: usize = 20;
    let names: Vec<String> = index
        .manifests
        .iter()
        .filter(|entry| entry.artifact_type.is_none())
        .take(NAMED_MAX)
        .map(|entry| match names(entry).first() {
            Some(name) => format!(":{}", name.escape_default()),
            None => format!("@{}", entry.digest),
        })
        .collect();
    Error::Source(match names.as_slice() {
        [] => format!("{place} {what}: it has none at all"),
        _ => format!("{place} {what}: it has {}", names.join(" ")),
    })
}
