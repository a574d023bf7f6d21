//! The hash chain: SHA-256 over every byte of a log so far.

use sha2::{Digest as _, Sha256};

/// Hashes bytes as they pass; the digest so far can be asked for at any time.
#[derive(Clone, Default)]
pub struct Chain(Sha256);

impl Chain {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// SHA-256 of every byte so far, in lower-case hexadecimal, as sha256sum prints it.
    pub fn hex(&self) -> String {
        let digest = self.0.clone().finalize();
        let mut hex = String::with_capacity(64);
        for byte in digest {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        hex
    }
}
