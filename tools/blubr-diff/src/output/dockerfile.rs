//! A reversed Dockerfile, printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blubr_cli::printable;
use blubr_image::{Config, Digest};

use crate::reverse::{Entry, Reversed};

/// The files of each layer, by diff_id, where they were asked for.
pub type Files = BTreeMap<Digest, Vec<String>>;

/// Prints it. `name` is the image as the user called it.
pub fn print(reversed: &Reversed, config: &Config, name: &str, files: Option<&Files>) -> String {
    let mut out = String::new();
    let add = |out: &mut String, text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    add(
        &mut out,
        &format!(
            "# Made from the history of {} by blubr-diff {}",
            printable(name),
            env!("CARGO_PKG_VERSION")
        ),
    );
    let platform =
        [config.os.as_str(), config.architecture.as_str(), config.variant.as_deref().unwrap_or("")];
    let platform = platform.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/");
    let created = config.created.as_deref().unwrap_or("at an unknown time");
    add(
        &mut out,
        &format!(
            "# for {}, made {}; {} layers",
            printable(&platform),
            printable(created),
            config.diff_ids().len()
        ),
    );
    for remark in &reversed.remarks {
        add(&mut out, &format!("# unknown: {remark}"));
    }
    if reversed.base.is_none() && !reversed.entries.is_empty() {
        add(
            &mut out,
            "# unknown: where the base image ends, if there is one; nothing in the history says so",
        );
    }
    add(&mut out, "FROM scratch");
    for entry in &reversed.entries {
        if let Some(base) =
            reversed.base.as_ref().filter(|b| b.lines > 0 && Some(b.lines) == entry.history)
        {
            let likely = if base.certain { "" } else { "likely " };
            add(&mut out, &format!("# ---- the base image {likely}ends here: {} ----", base.reason));
        }
        print_entry(&mut out, entry, files);
    }
    if let Some(base) = reversed.base.as_ref().filter(|b| b.lines == config.history.len() && b.lines > 0)
    {
        add(&mut out, &format!("# ---- the base image ends here: {} ----", base.reason));
    }
    for entry in &reversed.tail {
        print_entry(&mut out, entry, files);
    }
    out
}

fn print_entry(out: &mut String, entry: &Entry, files: Option<&Files>) {
    for unknown in &entry.unknown {
        // Writing to a String can't fail.
        let _ = writeln!(out, "# unknown: {unknown}");
    }
    for note in &entry.notes {
        let _ = writeln!(out, "# {note}");
    }
    if let (Some(layer), Some(files)) = (&entry.layer, files) {
        let _ = writeln!(out, "# layer {layer}");
        for file in files.get(layer).map(Vec::as_slice).unwrap_or_default() {
            let _ = writeln!(out, "#   {}", printable(file));
        }
    }
    if let Some(source) = &entry.source {
        let _ = writeln!(out, "{source}");
    }
}
