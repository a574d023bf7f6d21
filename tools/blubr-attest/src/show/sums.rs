//! Sums and names of an image's files, as sha256sum(1) prints them.

use blubr_attestation::build::File;
use blubr_attestation::detail::{Entry, Table};
use blubr_attestation::{Lists, path};
use blubr_cli::{Failure, misleads};
use blubr_envelope::Opened;

use super::{From, each_file};
use crate::detail::Detail;
use crate::opened;

/// Lines as sha256sum(1) prints them, of the files that the image shows; names relative to its root. For a
/// terminal they are spelled.
pub fn list(name: &str, opened: &Opened, detail: From<'_>, terminal: bool) -> Result<Vec<u8>, Failure> {
    let mut statement = opened::statement(name, opened, Lists::STEPS)?;
    let mut out = Vec::new();
    let mut take = |file: &File| {
        let path = path::bytes(file.path.as_deref(), file.path_b64.as_deref());
        let (false, Some(sha256), Some(path)) = (file.hidden, &file.sha256, path) else { return };
        if sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let path = path.strip_prefix(b"/").unwrap_or(&path);
            line(sha256, path, terminal, &mut out);
        }
    };
    let build = &statement.predicate.blubr_build;
    let moved = build.detail.as_ref().filter(|detail| detail.has(Table::Files));
    let listed = match (moved, detail) {
        (Some(moved), None) => {
            let what = format_args!("its files are in {}", moved.name);
            return Err(Failure::new(what).at(name).advise("name that file by --detail"));
        }
        (None, None) => each_file(name, opened.statement_bytes(), |file| take(&file))?,
        (_, Some((path, opener))) => {
            let listed = moved.is_some();
            Detail::each_of(path, opener, &mut statement, |record, _| {
                if let Entry::File(file) = &record.entry {
                    take(file);
                }
                Ok(())
            })?;
            listed
        }
    };
    if !listed {
        let what = "the attestation lists no files: it was made without --image";
        return Err(Failure::new(what).at(name));
    }
    Ok(out)
}

/// coreutils' form: a name with a backslash or a line break is escaped, and the line begins with a backslash. For a terminal
/// that goes for every character that drives one or misleads, and for bytes that are no UTF-8; there `sha256sum -c` refuses
/// the line instead of looking for another name.
fn line(sha256: &str, path: &[u8], terminal: bool, out: &mut Vec<u8>) {
    let name = if terminal { spelled(path) } else { escaped(path) };
    if name != path {
        out.push(b'\\');
    }
    out.extend(sha256.as_bytes());
    out.extend(b"  ");
    out.extend(name);
    out.push(b'\n');
}

fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            other => out.push(other),
        }
    }
    out
}

fn spelled(path: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' | '\t' => out.extend(c.escape_default()),
                c if misleads(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_sha256sum_reads_them_but_for_a_terminal() {
        for (name, elsewhere, terminal) in [
            (&b"a b\xc3\xa9"[..], &b"ab  a b\xc3\xa9\n"[..], &b"ab  a b\xc3\xa9\n"[..]),
            (b"x\\y\nz\r", b"\\ab  x\\\\y\\nz\\r\n", b"\\ab  x\\\\y\\nz\\r\n"),
            (b"a\x1b[2J\t", b"ab  a\x1b[2J\t\n", b"\\ab  a\\u{1b}[2J\\t\n"),
            (b"a\xff\x9b2J", b"ab  a\xff\x9b2J\n", b"\\ab  a\\xff\\x9b2J\n"),
            (
                "\u{9b}\u{202e}".as_bytes(),
                "ab  \u{9b}\u{202e}\n".as_bytes(),
                b"\\ab  \\u{9b}\\u{202e}\n",
            ),
            // What only looks spelled.
            (b"\\u{1b}", b"\\ab  \\\\u{1b}\n", b"\\ab  \\\\u{1b}\n"),
        ] {
            for (is_terminal, wanted) in [(false, elsewhere), (true, terminal)] {
                let mut out = Vec::new();
                line("ab", name, is_terminal, &mut out);
                assert_eq!(out.escape_ascii().to_string(), wanted.escape_ascii().to_string());
            }
        }
    }
}
