//! What the record shows of how the engine stored what it made: engines name images, layers and blobs by their digests, and
//! give the name last, by a rename (Docker, containerd) or with the directory (containers/storage).
//!
//! A digest is no secret: a Dockerfile, a tar archive or a client's flag can have the engine name something after it. Only what
//! stands where a store keeps such things was stored.

use blubr_build::Build;
use blubr_log::{Body, Event, Name};
use sha2::{Digest as _, Sha256};

use crate::context::hex;
use crate::picture::Picture;

/// What a layer is called.
struct LayerNames {
    /// By its own bytes.
    own: Vec<String>,
    /// By its own and those of all layers below, as Docker's engine names it.
    chain: String,
    /// The same as containers/storage has it.
    joined: String,
}

/// Digests to look for, and where they were seen.
#[derive(Default)]
pub struct Stored {
    image: Vec<String>,
    layers: Vec<LayerNames>,
    roots: Vec<Vec<u8>>,
    /// Where the image's own digest was (`seq`).
    pub image_seen: Option<u64>,
    /// Where each layer's was, lowest first.
    pub layers_seen: Vec<Option<u64>>,
    /// Another image that Docker's engine stored: its config's digest in hexadecimal, and where.
    pub other: Option<(String, u64)>,
}

/// How a name was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By a rename to it.
    Rename,
    /// With a new directory.
    Mkdir,
    /// A symlink leads to the directory `../<name>/diff`: how containers/storage begins a layer.
    Symlink,
}

/// A name that an event gave.
pub struct Given<'e> {
    /// How.
    pub by: By,
    /// The new name; of a symlink its own.
    pub path: &'e [u8],
    /// What a symlink leads to.
    target: &'e [u8],
}

/// What a path in a store says that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept<'p> {
    /// An image's config, in Docker's store.
    DockerImage(&'p [u8]),
    /// A layer and all below it, in Docker's store.
    DockerLayer(&'p [u8]),
    /// A blob of containerd or BuildKit: a manifest, a config or a layer.
    Blob(&'p [u8]),
    /// An image of containers/storage.
    Image(&'p [u8]),
    /// A layer of containers/storage, and all below it.
    Layer(&'p [u8]),
}

/// The name that an event gave to something, where it is one that a digest may be part of.
pub fn given<'e>(event: &'e Event<'_>) -> Option<Given<'e>> {
    if event.failed() {
        return None;
    }
    let (by, path, target) = match &event.body {
        Body::FileRename(rename) => (By::Rename, rename.to.get(), None),
        Body::FileMkdir(mkdir) => (By::Mkdir, mkdir.path.get(), None),
        Body::FileSymlink(link) => (By::Symlink, link.path.get(), link.target.get()),
        _ => return None,
    };
    let target = target.map(Name::bytes).unwrap_or_default();
    Some(Given { by, path: path.map(Name::bytes)?, target })
}

impl Stored {
    /// The digests of an image, in every form in which an engine makes a name of them.
    pub fn new(picture: Option<&Picture>, build: &Build) -> Self {
        let Some(picture) = picture else { return Self::default() };
        let image = &picture.image;
        let mut names = vec![image.config_digest.hex().to_owned()];
        names.extend(image.manifest.iter().map(|manifest| manifest.digest.hex().to_owned()));
        names.extend(image.index_digest.iter().map(|digest| digest.hex().to_owned()));
        let mut layers = Vec::new();
        let (mut chain, mut joined) = (String::new(), String::new());
        for layer in &image.layers {
            let diff = layer.diff_id.hex();
            // OCI image-spec, config.md, "Layer ChainID"; containers/storage joins the bare digests by a plus sign.
            chain = if chain.is_empty() {
                diff.to_owned()
            } else {
                hex(&Sha256::digest(format!("sha256:{chain} sha256:{diff}")))
            };
            joined = if joined.is_empty() {
                diff.to_owned()
            } else {
                hex(&Sha256::digest(format!("{joined}+{diff}")))
            };
            let blob = layer.blob.iter().map(|blob| blob.digest.hex().to_owned());
            let own = blob.chain([diff.to_owned()]).collect();
            layers.push(LayerNames { own, chain: chain.clone(), joined: joined.clone() });
        }
        let layers_seen = vec![None; layers.len()];
        Self { image: names, layers, layers_seen, roots: roots(build), ..Self::default() }
    }

    /// Looks at a name that the engine gave; `host` is it as the host has it, and lies in no step's tree. `seq` is the event's.
    pub fn look(&mut self, given: &Given<'_>, host: &[u8], seq: u64) {
        if self.image.is_empty() {
            return;
        }
        let Some(kept) = self.kept(given, host) else { return };
        let is = |name: &[u8], digest: &String| digest.as_bytes() == name;
        match kept {
            Kept::DockerImage(name) | Kept::Image(name) | Kept::Blob(name)
                if self.image.iter().any(|digest| is(name, digest)) =>
            {
                self.image_seen.get_or_insert(seq);
            }
            Kept::DockerImage(name) => {
                self.other.get_or_insert_with(|| (String::from_utf8_lossy(name).into_owned(), seq));
            }
            _ => {}
        }
        for (at, layer) in self.layers.iter().enumerate() {
            // A name made of all layers up to this one speaks for each of them.
            let from = match kept {
                Kept::DockerLayer(name) if is(name, &layer.chain) => 0,
                Kept::Layer(name) if is(name, &layer.joined) => 0,
                Kept::Blob(name) if layer.own.iter().any(|digest| is(name, digest)) => at,
                _ => continue,
            };
            let all = self.layers_seen.get_mut(from..=at).unwrap_or_default();
            all.iter_mut().for_each(|seen| _ = seen.get_or_insert(seq));
        }
    }

    fn kept<'p>(&self, given: &Given<'p>, host: &'p [u8]) -> Option<Kept<'p>> {
        let within =
            |root: &Vec<u8>| kept(given, host.strip_prefix(root.as_slice())?.strip_prefix(b"/")?);
        if !self.roots.is_empty() {
            return self.roots.iter().find_map(within);
        }
        // No directory of the build is known: all came from the cache. The kernel's own file systems hold no store.
        if [b"/sys/".as_slice(), b"/proc/", b"/dev/"].iter().any(|own| host.starts_with(own)) {
            return None;
        }
        let slashes = (0..host.len()).filter(|at| host.get(*at) == Some(&b'/'));
        slashes.filter_map(|at| kept(given, host.get(at + 1..)?)).next()
    }
}

/// What stands at a path below a store's root, where it is one of the places that hold such things alone.
fn kept<'p>(given: &Given<'p>, below: &'p [u8]) -> Option<Kept<'p>> {
    let parts: Vec<&[u8]> = below.splitn(PARTS_MAX + 1, |byte| *byte == b'/').collect();
    let kept = match (given.by, parts.as_slice()) {
        (By::Rename, [b"image", _, b"imagedb", b"content", b"sha256", name]) => Kept::DockerImage(name),
        (By::Rename, [b"image", _, b"layerdb", b"sha256", name]) => Kept::DockerLayer(name),
        (
            By::Rename,
            [b"io.containerd.content.v1.content", b"blobs", b"sha256", name]
            | [b"content", b"blobs", b"sha256", name]
            | [b"buildkit", b"content", b"blobs", b"sha256", name],
        ) => Kept::Blob(name),
        // The image's own directory; its files come by renames.
        (By::Rename, [b"overlay-images" | b"vfs-images", name, _]) => Kept::Image(name),
        (By::Rename | By::Mkdir, [b"overlay", name] | [b"vfs", b"dir", name]) => Kept::Layer(name),
        (By::Symlink, [b"overlay", b"l", _]) => {
            Kept::Layer(given.target.strip_prefix(b"../")?.strip_suffix(b"/diff")?)
        }
        _ => return None,
    };
    let (Kept::DockerImage(name)
    | Kept::DockerLayer(name)
    | Kept::Blob(name)
    | Kept::Image(name)
    | Kept::Layer(name)) = kept;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (name.len() == 64 && name.iter().all(is_hex)).then_some(kept)
}

/// Parts of the longest path that is looked for.
const PARTS_MAX: usize = 6;

/// The folders in which the engine keeps its stores, by where the directories of the build's steps lie in them.
fn roots(build: &Build) -> Vec<Vec<u8>> {
    let runs = build.runs.iter().flat_map(|run| run.lowers.iter().chain([&run.upper]));
    let layers = build.layers.iter().map(|layer| &layer.dir);
    let contexts = build.contexts.iter().map(|context| &context.dir);
    let mut roots: Vec<Vec<u8>> = Vec::new();
    for dir in runs.chain(layers).chain(contexts) {
        if let Some(root) = root(dir)
            && !roots.iter().any(|known| known == root)
            && roots.len() < ROOTS_MAX
        {
            roots.push(root.to_vec());
        }
    }
    roots
}

/// An engine has one store, or two while it changes from one to another; a count.
const ROOTS_MAX: usize = 8;

/// The folder in which the store lies that has a layer in `dir`: `<root>/overlay2/<id>/diff`, `<root>/vfs/dir/<id>`,
/// `<root>/io.containerd.snapshotter.v1.overlayfs/snapshots/<id>/fs`, or `<root>/snapshots/snapshots/<id>/fs`.
fn root(dir: &[u8]) -> Option<&[u8]> {
    let up = |dir: &[u8]| dir.iter().rposition(|byte| *byte == b'/');
    let (mut at, mut parts) = (dir, Vec::new());
    for _ in 0..4 {
        let Some(slash) = up(at) else { break };
        parts.push((at.get(slash + 1..)?, at.get(..slash)?));
        at = at.get(..slash)?;
    }
    match parts.as_slice() {
        [(b"fs", _), _, (b"snapshots", _), (_, root)] | [(b"diff", _), _, (_, root), ..] => Some(root),
        [_, (b"dir", _), (b"vfs", root), ..] => Some(root),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    fn stored(roots: &[&str]) -> Stored {
        Stored {
            image: vec![H.to_owned()],
            layers: vec![LayerNames { own: vec![], chain: C.to_owned(), joined: C.to_owned() }],
            layers_seen: vec![None],
            roots: roots.iter().map(|root| root.as_bytes().to_vec()).collect(),
            ..Stored::default()
        }
    }

    /// Whether the image, and whether its layer, is taken for stored.
    fn seen(roots: &[&str], by: By, path: &str, target: &str) -> (bool, bool) {
        let path = path.replace("H", H).replace("C", C);
        let target = target.replace("C", C);
        let mut stored = stored(roots);
        let given = Given { by, path: path.as_bytes(), target: target.as_bytes() };
        stored.look(&given, path.as_bytes(), 7);
        assert_eq!(stored.other, None, "{path}");
        (stored.image_seen.is_some(), stored.layers_seen == [Some(7)])
    }

    #[test]
    fn what_stands_where_a_store_keeps_it_was_stored() {
        use By::{Mkdir, Rename, Symlink};
        for (by, path, target, wanted) in [
            (Rename, "/d/image/overlay2/imagedb/content/sha256/H", "", (true, false)),
            (Rename, "/d/image/vfs/layerdb/sha256/C", "", (false, true)),
            (Rename, "/d/buildkit/content/blobs/sha256/H", "", (true, false)),
            (Rename, "/d/io.containerd.content.v1.content/blobs/sha256/H", "", (true, false)),
            (Rename, "/d/content/blobs/sha256/H", "", (true, false)),
            (Rename, "/d/overlay-images/H/manifest", "", (true, false)),
            (Rename, "/d/vfs-images/H/manifest", "", (true, false)),
            (Mkdir, "/d/overlay/C", "", (false, true)),
            (Mkdir, "/d/vfs/dir/C", "", (false, true)),
            (Symlink, "/d/overlay/l/ABCD", "../C/diff", (false, true)),
        ] {
            assert_eq!(seen(&["/d"], by, path, target), wanted, "{path}");
            assert_eq!(seen(&[], by, path, target), wanted, "{path}");
            assert_eq!(seen(&["/e", "/d/image"], by, path, target), (false, false), "{path}");
        }
    }

    #[test]
    fn what_has_the_digest_for_a_name_elsewhere_was_not() {
        use By::{Mkdir, Rename, Symlink};
        for (by, path, target) in [
            // --cgroup-parent
            (Mkdir, "/sys/fs/cgroup/memory/H/C", ""),
            (Mkdir, "/sys/fs/cgroup/H", ""),
            (Mkdir, "/sys/fs/cgroup/overlay/C", ""),
            (Mkdir, "/sys/fs/cgroup/d/overlay/C/x", ""),
            // A WORKDIR.
            (Mkdir, "/d/overlay2/1/merged/H/C", ""),
            (Mkdir, "/d/overlay2/1/merged/H", ""),
            (Rename, "/d/overlay2/1/diff/image/overlay2/imagedb/metadata/sha256/H", ""),
            // Not how the store gives such a name.
            (Mkdir, "/d/image/overlay2/imagedb/content/sha256/H", ""),
            (Mkdir, "/d/image/overlay2/layerdb/sha256/C", ""),
            (Mkdir, "/d/image/overlay2/layerdb/mounts/C", ""),
            (Mkdir, "/d/overlay-images/H", ""),
            (Mkdir, "/d/content/blobs/sha256/H", ""),
            (Rename, "/d/image/overlay2/imagedb/metadata/sha256/H/parent", ""),
            (Rename, "/d/containers/H/hostconfig.json", ""),
            (Symlink, "/d/H", "../C/diff"),
            (Symlink, "/d/overlay/l/ABCD", "../../C/diff"),
            (Symlink, "/d/overlay/l/ABCD", "/C/diff"),
        ] {
            assert_eq!(seen(&["/d"], by, path, target), (false, false), "{path}");
            assert_eq!(seen(&[], by, path, target), (false, false), "{path}");
        }
        // Inside a step's tree, which the store's own folder is not.
        let inside = "/d/overlay2/1/diff/image/overlay2/imagedb/content/sha256/H";
        assert_eq!(seen(&["/d"], Rename, inside, ""), (false, false));
    }

    #[test]
    fn another_image_is_one_in_the_engine_s_own_store() {
        let other = "/image/overlay2/imagedb/content/sha256/C".replace('C', C);
        for (under, by, wanted) in [
            ("/d", By::Rename, true),
            ("/d", By::Mkdir, false),
            ("/d/overlay2/1/diff", By::Rename, false),
            ("/sys/fs/cgroup", By::Rename, false),
        ] {
            let path = format!("{under}{other}");
            let mut stored = stored(&["/d"]);
            stored.look(&Given { by, path: path.as_bytes(), target: b"" }, path.as_bytes(), 7);
            assert_eq!(stored.other.is_some(), wanted, "{path}");
        }
    }

    #[test]
    fn a_store_is_where_its_layers_are() {
        for (dir, wanted) in [
            ("/d/overlay2/1/diff", Some("/d")),
            ("/d/overlay/1/diff", Some("/d")),
            ("/d/fuse-overlayfs/1/diff", Some("/d")),
            ("/d/vfs/dir/1", Some("/d")),
            ("/c/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs", Some("/c")),
            ("/b/runc-overlayfs/snapshots/snapshots/1/fs", Some("/b/runc-overlayfs")),
            ("/somewhere/else", None),
            ("diff", None),
            ("", None),
        ] {
            assert_eq!(root(dir.as_bytes()), wanted.map(str::as_bytes), "{dir}");
        }
    }
}
