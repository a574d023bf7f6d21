//! What the suites build: the contexts in `fixtures/builds/`, each in a fresh folder and with a static busybox.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::require::tool;
use crate::supervise::process_folder;

/// A build context in a folder of its own, gone with this value.
#[derive(Debug)]
pub struct Context {
    folder: tempfile::TempDir,
}

impl Context {
    /// A copy of `fixtures/builds/<name>/` (all but `expect.json`), and `busybox` in it.
    ///
    /// # Panics
    /// When there is no such fixture.
    #[must_use]
    pub fn of_fixture(name: &str) -> Self {
        let context = Self::empty();
        copy(&fixture(name), context.path());
        context
    }

    /// A context of one Dockerfile, and `busybox` in it.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn of_dockerfile(text: &str) -> Self {
        let context = Self::empty();
        std::fs::write(context.path().join("Dockerfile"), text).expect("the folder is writable");
        context
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn empty() -> Self {
        let folder =
            tempfile::Builder::new().prefix("context.").tempdir_in(process_folder()).expect("a folder");
        let busybox = folder.path().join("busybox");
        std::fs::copy(busybox_path(), &busybox).expect("busybox can be copied");
        std::fs::set_permissions(&busybox, std::fs::Permissions::from_mode(0o755))
            .expect("the copy is ours");
        Self { folder }
    }
}

/// The folder of a fixture.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/builds").join(name)
}

/// A statically linked busybox: base images cannot be pulled, so it is all that an image of ours has.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn busybox_path() -> PathBuf {
    tool("busybox-static").or_else(|| tool("busybox")).expect("no busybox: run `make setup`")
}

fn copy(from: &Path, to: &Path) {
    let entries = std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries {
        let entry = entry.expect("the fixture can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the fixture can be read").is_dir() {
            std::fs::create_dir(&target).expect("the context is writable");
            copy(&entry.path(), &target);
        } else if entry.file_name() != "expect.json" {
            std::fs::copy(entry.path(), &target).expect("the context is writable");
        }
    }
}
