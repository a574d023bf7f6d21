//! The Dockerfile that the user gives, and what a header says of it.

use std::path::{Path, PathBuf};

use blubr_build::Dockerfile;
use blubr_cli::{Failure, Input};
use blubr_log::chain::Chain;

/// Bytes of a Dockerfile; a file of more is none.
const BYTES_MAX: u64 = 1 << 20;

/// A Dockerfile that was read.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// As it was typed.
    pub(crate) path: PathBuf,
    /// SHA-256 of its bytes.
    pub(crate) sha256: String,
    pub(crate) dockerfile: Dockerfile,
}

impl Told {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let bytes = Input::open(Some(path))?.read_to_end(BYTES_MAX)?;
        let dockerfile = Dockerfile::parse(&bytes).map_err(|e| Failure::new(e).at(&name))?;
        let mut sha256 = Chain::new();
        sha256.update(&bytes);
        Ok(Told { path: path.to_owned(), sha256: sha256.hex(), dockerfile })
    }

    /// The one that a header names: from its place, or from where the user now says it is.
    pub(crate) fn recorded(path: &Path, sha256: &str, instead: Option<&Path>) -> Result<Self, Failure> {
        let from = instead.unwrap_or(path);
        let advice = "give it with verify --dockerfile FILE";
        let read = Told::read(from).map_err(|e| e.advise(advice))?;
        if read.sha256 != sha256 {
            let what = "is not the Dockerfile that the filter was given: it has another SHA-256";
            return Err(Failure::new(what).at(from.display()).advise(advice));
        }
        Ok(Told { path: path.to_owned(), ..read })
    }

    /// How a header spells it.
    pub(crate) fn args(&self) -> [String; 2] {
        [format!("--dockerfile={}", self.path.display()), format!("--dockerfile-sha256={}", self.sha256)]
    }
}
