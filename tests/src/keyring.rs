//! Throw-away keys, made by GnuPG in a home of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{stdout_of, text_of};
use crate::supervise::process_folder;

/// A key in a [`Keyring`]: an Ed25519 primary that signs and a Cv25519 subkey that encrypts, no passphrase.
#[derive(Clone, Debug)]
pub struct Key {
    /// The primary key's fingerprint, in upper case as gpg prints it.
    pub fingerprint: String,
    /// `Name <address>`.
    pub user_id: String,
}

/// A GnuPG home that is gone, agent and all, with this value.
#[derive(Debug)]
pub struct Keyring {
    home: PathBuf,
}

impl Keyring {
    /// An empty home. A test asks `require!(Gpg)` first.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        // The agent's socket lies in it: the path must stay under 108 bytes. tempfile makes it 0700, as gpg wants it.
        let home = tempfile::Builder::new()
            .prefix("gpg.")
            .tempdir_in(process_folder())
            .expect("a folder")
            .keep();
        Self { home }
    }

    /// The home's path, for tools that run gpg themselves (`GNUPGHOME`).
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A gpg command on this home that never asks.
    #[must_use]
    pub fn gpg(&self) -> Command {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", &self.home).args(["--batch", "--no-tty", "--quiet"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase", ""]);
        command
    }

    /// Makes a key for `name` and trusts it.
    ///
    /// # Panics
    /// When gpg fails.
    #[must_use]
    pub fn generate(&self, name: &str) -> Key {
        let user_id = format!("{name} <{name}@blubr.example>");
        drop(stdout_of(self.gpg().args([
            "--quick-generate-key",
            &user_id,
            "ed25519",
            "sign,cert",
            "1y",
        ])));
        let listing = text_of(self.gpg().args(["--with-colons", "--list-keys", &user_id]));
        let line = listing.lines().find(|line| line.starts_with("fpr:")).expect("gpg lists the new key");
        let fingerprint = line.split(':').nth(9).expect("a fingerprint line has ten fields").to_owned();
        drop(stdout_of(self.gpg().args(["--quick-add-key", &fingerprint, "cv25519", "encr", "1y"])));
        Key { fingerprint, user_id }
    }

    /// Writes a key's public half, armored.
    ///
    /// # Panics
    /// When gpg fails.
    pub fn export(&self, key: &Key, file: &Path) {
        drop(stdout_of(self.gpg().arg("--output").arg(file).args([
            "--yes",
            "--armor",
            "--export",
            &key.fingerprint,
        ])));
    }

    /// Writes a key's secret half, armored.
    ///
    /// # Panics
    /// When gpg fails.
    pub fn export_secret(&self, key: &Key, file: &Path) {
        let arguments = ["--yes", "--armor", "--export-secret-keys", &key.fingerprint];
        drop(stdout_of(self.gpg().arg("--output").arg(file).args(arguments)));
    }

    /// Takes in keys from a file.
    ///
    /// # Panics
    /// When gpg fails.
    pub fn import(&self, file: &Path) {
        drop(stdout_of(self.gpg().arg("--import").arg(file)));
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").env("GNUPGHOME", &self.home).args(["--kill", "all"]).output());
        drop(std::fs::remove_dir_all(&self.home));
    }
}
