//! Images in a tar: what `docker save` writes, before version 25 and since, and OCI layouts in an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use blubr_image::config::CONFIG_BYTES_MAX;
use blubr_image::layer::Decompressed;
use blubr_image::manifest::{Descriptor, Index, MANIFEST_BYTES_MAX};
use blubr_image::{Digest, Error, Image, Source, tar};

use crate::files::{self, Checked};
use crate::found::{Blobs, Found};
use crate::layout::{MARKER_BYTES_MAX, check_marker};
use crate::spool::spool;
use crate::{Options, names};

/// An archive with more members than this is refused; an image has three a layer.
const MEMBERS_MAX: usize = 100_000;
/// Symlinks from one layer to another (Docker before version 25 writes them) are followed so far.
const LINKS_MAX: usize = 8;

/// Opens the archive in `path`, decompressing it into a temporary file where it is compressed.
pub(crate) fn open(path: &Path, tag: Option<&str>, options: &Options) -> Result<Box<dyn Source>, Error> {
    let name = format!("archive:{}", path.display());
    let open =
        || File::open(path).map_err(|error| Error::Io { what: path.display().to_string(), error });
    let mut file = open()?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err(Error::Source(format!("{name}: this is no regular file")));
    }
    let mut magic = [0; 4];
    let filled = file.read_at(&mut magic, 0).unwrap_or_default();
    if Decompressed::is_compressed(&magic[..filled]) {
        let io = |error| Error::Io { what: name.clone(), error };
        let mut plain = Decompressed::new(Box::new(file)).map_err(io)?;
        file = spool(&mut plain, options.spool_dir.as_deref(), &name)?;
    }
    source(file, name, tag, options)
}

/// The image that `tag` names in the archive `file`, or the only one. `name` is for errors.
pub(crate) fn source(
    file: File,
    name: String,
    tag: Option<&str>,
    options: &Options,
) -> Result<Box<dyn Source>, Error> {
    let archive = Archive::scan(file, name)?;
    if archive.members.contains_key(&b"oci-layout"[..]) {
        check_marker(&archive.small("oci-layout", MARKER_BYTES_MAX)?, &archive.name)?;
        let index = Index::parse(&archive.small("index.json", MANIFEST_BYTES_MAX)?)?;
        let entry = names::find(&index, tag, None, &format!("{}: the archive", archive.name))?;
        let entry = entry.ok_or_else(|| Error::Source(format!("{} has no image", archive.name)))?;
        let tags = names::names(&entry);
        return Ok(Box::new(Found::new(archive, entry, tags, options)?));
    }
    if archive.members.contains_key(&b"manifest.json"[..]) {
        return Ok(Box::new(Saved::open(archive, tag)?));
    }
    Err(Error::Source(format!("{}: neither `docker save` nor an OCI layout made this", archive.name)))
}

/// Where each member's content is in the file.
struct Archive {
    name: String,
    file: File,
    members: BTreeMap<Vec<u8>, Place>,
}

#[derive(Clone)]
enum Place {
    Content { offset: u64, size: u64 },
    Link(Vec<u8>),
}

impl Archive {
    fn scan(file: File, name: String) -> Result<Archive, Error> {
        let place = |error: Error| Error::Source(format!("{name}: {error}"));
        let io = |error| Error::Io { what: name.clone(), error };
        let mut members = BTreeMap::new();
        let mut reader = tar::Reader::new(io::BufReader::new(&file), None);
        while let Some(member) =
            reader.next_member().map_err(|error| match (&error, members.is_empty()) {
                (Error::Layer { offset: 0, .. }, true) => {
                    Error::Source(format!("{name}: this is no tar archive, nor one in gzip or zstd"))
                }
                _ => place(error),
            })?
        {
            let path = tar::normalise(&member.name).map_err(|reason| place(reader.error(reason)))?;
            let found = match member.typeflag {
                b'0' if !member.sparse => {
                    Place::Content { offset: member.content_offset, size: member.size }
                }
                b'2' => Place::Link(member.link),
                _ => continue,
            };
            if members.len() >= MEMBERS_MAX {
                return Err(Error::Source(format!(
                    "{name}: more than {MEMBERS_MAX} members: this is no image"
                )));
            }
            if members.insert(path, found).is_some() {
                return Err(place(reader.error("a member that is in the archive twice")));
            }
        }
        if !reader.finish().map_err(place)?.marked {
            return Err(Error::Source(format!("{name}: the archive has no end: it is cut")));
        }
        (&file).seek(SeekFrom::Start(0)).map_err(io)?;
        Ok(Archive { name, file, members })
    }

    /// The content of a member, through links to others.
    fn place(&self, path: &str) -> Result<(u64, u64), Error> {
        let missing =
            || Error::Source(format!("{}: '{}' is missing in it", self.name, path.escape_default()));
        let mut key = tar::normalise(path.as_bytes()).map_err(|_| missing())?;
        for _ in 0..LINKS_MAX {
            match self.members.get(&key).ok_or_else(missing)? {
                Place::Content { offset, size } => return Ok((*offset, *size)),
                Place::Link(target) => {
                    let folder = key.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                    let joined = [&key[..folder], target].concat();
                    key = tar::normalise(&joined).map_err(|_| missing())?;
                }
            }
        }
        Err(missing())
    }

    fn reader(&self, path: &str) -> Result<Section<'_>, Error> {
        let (offset, left) = self.place(path)?;
        Ok(Section { file: &self.file, offset, left })
    }

    fn small(&self, path: &str, limit: usize) -> Result<Vec<u8>, Error> {
        files::read_bounded(self.reader(path)?, limit).map_err(|error| Error::Io {
            what: format!("{}: {}", self.name, path.escape_default()),
            error,
        })
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

impl Blobs for Archive {
    fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Error> {
        files::checked(self.small(&blob_name(digest), MANIFEST_BYTES_MAX)?, digest, "a manifest")
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let reader = self.reader(&blob_name(&descriptor.digest))?;
        Ok(Box::new(Checked::new(reader, &descriptor.digest, descriptor.size)))
    }
}

/// A part of a file, read without moving the file's own position.
struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..want], self.offset)?;
        if read == 0 && want > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive has become shorter"));
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// One image of the form that Docker saved before version 25: a config and uncompressed layers, no manifest.
struct Saved {
    archive: Archive,
    entry: SavedEntry,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Saved {
    fn open(archive: Archive, tag: Option<&str>) -> Result<Saved, Error> {
        let bytes = archive.small("manifest.json", MANIFEST_BYTES_MAX)?;
        let entries: Vec<SavedEntry> = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Json { what: "manifest.json", reason: error.to_string() })?;
        let all: Vec<String> =
            entries.iter().flat_map(|entry| entry.repo_tags.iter().flatten().cloned()).collect();
        let mut fitting = entries.into_iter().filter(|entry| match tag {
            Some(tag) => entry.repo_tags.iter().flatten().any(|name| names::is_meant(name, tag)),
            None => true,
        });
        match (fitting.next(), fitting.next()) {
            (Some(entry), None) => Ok(Saved { archive, entry }),
            (found, _) => {
                let what =
                    if found.is_none() { "has no image of that name" } else { "has several images" };
                let all = all.join(" ").escape_default().to_string();
                Err(Error::Source(format!("{}: the archive {what}; its names are: {all}", archive.name)))
            }
        }
    }
}

impl Source for Saved {
    fn image(&mut self) -> Result<Image, Error> {
        let config = self.archive.small(&self.entry.config, CONFIG_BYTES_MAX)?;
        let mut image = Image::new(None, config, Vec::new())?;
        let layers = self.entry.layers.as_ref().map_or(0, Vec::len);
        if layers != image.layers.len() {
            let reason =
                format!("manifest.json names {layers} layers, the config {}", image.layers.len());
            return Err(Error::Inconsistent { reason });
        }
        image.tags = self.entry.repo_tags.clone().unwrap_or_default();
        Ok(image)
    }

    fn layer(&mut self, index: usize) -> Result<Box<dyn Read + '_>, Error> {
        let path = self.entry.layers.as_ref().and_then(|layers| layers.get(index));
        let path = path.ok_or_else(|| Error::Source(format!("the image has no layer {index}")))?;
        Ok(Box::new(self.archive.reader(path)?))
    }
}
