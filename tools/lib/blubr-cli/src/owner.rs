//! Whom a file belongs to: the user who called sudo.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};

/// Gives a new `file` to the user who called sudo (SUDO_UID, SUDO_GID), where root made it and there
/// is such a user.
///
/// # Errors
/// When the kernel refuses.
pub fn give_to_caller(file: &File) -> io::Result<()> {
    let id = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) else { return Ok(()) };
    if file.metadata()?.uid() != 0 {
        return Ok(());
    }
    fchown(file, Some(uid), Some(gid))
}
