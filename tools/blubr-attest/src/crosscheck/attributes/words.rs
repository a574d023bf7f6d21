//! What is found wanting of an entry, in words.

use blubr_image::layer::Kind;
use sha2::{Digest as _, Sha256};

use crate::assemble_parts::Made;

/// Bytes of a value that are shown; of a longer one its sum.
const SHOWN_BYTES_MAX: usize = 256;

/// Something that no event gave to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Deviation {
    /// `kind`, `mode`, `owner`, `group`, `size`, `target` or `xattr NAME`.
    pub(in super::super) attribute: String,
    /// What the layer has; `None` for nothing.
    pub(in super::super) image: Option<String>,
    /// What the record gave, in order of size.
    pub(in super::super) recorded: Vec<String>,
}

pub(super) fn deviation(attribute: &str, image: String, mut recorded: Vec<String>) -> Deviation {
    recorded.sort_unstable();
    recorded.dedup();
    Deviation { attribute: attribute.to_owned(), image: Some(image), recorded }
}

pub(super) fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

/// Bytes as text that loses nothing: what is not printable ASCII as `\xNN`.
pub(super) fn text(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_BYTES_MAX {
        return format!("{} bytes, sha256 {}", bytes.len(), hex(&Sha256::digest(bytes)));
    }
    bytes.escape_ascii().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn kind_name(kind: Kind) -> String {
    match kind {
        Kind::CharDevice { major, minor } => format!("device c {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("device b {major}:{minor}"),
        kind => kind.name().to_owned(),
    }
}

pub(super) fn made_name(made: Made) -> String {
    match made {
        Made::File => kind_name(Kind::File),
        Made::Dir => kind_name(Kind::Dir),
        Made::Symlink => kind_name(Kind::Symlink),
        Made::Fifo => kind_name(Kind::Fifo),
        Made::Socket => "socket".to_owned(),
        Made::Device { letter, dev } => {
            format!("device {} {}:{}", char::from(letter), dev.major, dev.minor)
        }
    }
}
