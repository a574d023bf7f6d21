//! The Dockerfile and the context as files of this host.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use blubr_attestation::build::Context;
use blubr_cli::Failure;
use blubr_dockerfile::limits::FILE_BYTES_MAX;
use blubr_dockerfile::{Dockerfile as Parsed, Origin};
use sha2::{Digest as _, Sha256};

use super::history::Triggers;
use super::shown;
use crate::context::{self, hex};

/// The Dockerfile.
pub struct Dockerfile {
    /// Its path as given.
    pub path: String,
    /// Its path without symlinks, for comparison with the log's.
    pub real: Option<Vec<u8>>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, in ns since 1970.
    pub mtime_ns: u64,
    /// Its sha256 in hexadecimal.
    pub sha256: String,
    /// How many lines it has.
    pub lines: u32,
    /// Its instructions, and what is known of triggers.
    pub parsed: Parsed,
    /// For each of its stages the one that it begins from.
    pub bases: Vec<Option<usize>>,
    /// Its instructions alone.
    bare: Parsed,
}

impl Dockerfile {
    /// Reads and parses it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io(path.display(), &error);
        let mut file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(Failure::new("is a directory")
                .at(path.display())
                .advise("name the Dockerfile itself"));
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
        file.by_ref().take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > FILE_BYTES_MAX {
            let what = format_args!("is longer than {FILE_BYTES_MAX} bytes, which no engine takes");
            return Err(Failure::new(what).at(path.display()));
        }
        // Of the ONBUILDs of a base image only the built image's history tells; those of a stage are in the file.
        let bare = Parsed::parse_any(&bytes);
        let both = bare.and_then(|bare| Ok((bare.with_triggers(&|_| Vec::new())?, bare)));
        let (parsed, bare) = both.map_err(|error| {
            Failure::new(&error.what)
                .at(format_args!("{}:{}:{}", path.display(), error.line, error.column))
                .advise(error.advice)
        })?;
        let seconds = u64::try_from(meta.mtime()).unwrap_or(0);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count()
            + usize::from(bytes.last().is_some_and(|byte| *byte != b'\n'));
        Ok(Self {
            path: shown(path),
            real: path.canonicalize().ok().map(|real| real.as_os_str().as_bytes().to_vec()),
            size: bytes.len() as u64,
            mtime_ns: seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(u64::try_from(meta.mtime_nsec()).unwrap_or(0)),
            sha256: hex(&Sha256::digest(&bytes)),
            lines: u32::try_from(lines).unwrap_or(u32::MAX),
            bases: parsed.bases(),
            parsed,
            bare,
        })
    }

    /// Lays in what triggers of a base image did; nothing of it where they can't all be.
    pub fn lay(&mut self, triggers: &Triggers) {
        let of_image = |stage| match stage == triggers.stage {
            true => triggers.texts.clone(),
            false => Vec::new(),
        };
        let Ok(laid) = self.bare.with_triggers(&of_image) else { return };
        let count = laid.instructions.iter().filter(|one| one.origin == Origin::Base).count();
        if count == triggers.texts.len() {
            self.parsed = laid;
        }
    }
}

/// The context, hashed.
pub fn context(dir: &Path) -> Result<Context, Failure> {
    let hashed = context::hash(dir)?;
    Ok(Context {
        path: shown(dir),
        digest: [("dirHash".to_owned(), hashed.dir_hash)].into(),
        files: hashed.files,
        not_hashed: hashed.not_hashed,
    })
}
