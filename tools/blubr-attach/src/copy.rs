//! Copy an image into an OCI layout.

use std::io::{IsTerminal as _, Write as _};

use blubr_cli::{Exit, Failure, Output};
use blubr_oci::Layout;

use crate::plan::Copy;

/// Copies, and prints the digest of the image's manifest.
pub(crate) fn run(plan: &Copy) -> Result<Exit, Failure> {
    let image = &plan.image;
    let mut source = blubr_oci::open(&image.reference, &image.options).map_err(Failure::new)?;
    // Before anything is written: that the image can be read.
    source.image().map_err(Failure::new)?;
    let layout = Layout::open_or_create(&plan.dir).map_err(Failure::new)?;
    let shown = !image.common.quiet && std::io::stderr().is_terminal();
    let progress = |at: usize, count: usize| {
        if shown {
            eprint!("\rlayer {} of {count} ", at + 1);
        }
    };
    let copied = blubr_oci::into_layout(source.as_mut(), &layout, plan.tag.as_deref(), progress);
    if shown {
        eprint!("\r\x1b[K");
    }
    let descriptor = copied.map_err(Failure::new)?;
    let mut out = Output::create(None)?;
    writeln!(out, "{}", descriptor.digest).map_err(|error| Failure::io(out.name(), &error))?;
    out.commit()?;
    Ok(Exit::Done)
}
