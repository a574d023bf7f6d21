//! Prints what blubr.log(5) says of each type of event, as man(7) source, from the schema in blubr-log.

use std::io::Write as _;

use blubr_log::Body;
use blubr_log::event::{Head, KeyDoc, Tail};

/// A text as man(7) sees it: no line becomes a request, no backslash an escape.
fn roff(text: &str) -> String {
    let text = text.trim().replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn keys(out: &mut Vec<u8>, keys: &[KeyDoc]) -> std::io::Result<()> {
    for key in keys {
        let sometimes = if key.always { "" } else { ", not always there" };
        writeln!(out, ".TP\n.B {}\n({}{sometimes}) {}", roff(key.name), roff(key.shape), roff(key.doc))?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut out = Vec::new();
    writeln!(out, ".SS \"Keys of every event, first\"")?;
    keys(&mut out, Head::KEYS)?;
    writeln!(out, ".SS \"Keys of any event, last\"")?;
    keys(&mut out, Tail::KEYS)?;
    for event in Body::TYPES {
        writeln!(out, ".SS {}\n{}", event.name, roff(event.doc))?;
        keys(&mut out, event.keys)?;
    }
    std::io::stdout().write_all(&out)
}
