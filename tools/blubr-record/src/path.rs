//! Paths out of what the probes send: walked names put in order, callers' strings made absolute.

use blubr_probes::wire::{WIRE_CUT, WIRE_FAULT, WIRE_UNREACHABLE};

use crate::record::Field;

/// A path that was put together in a buffer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Whether the buffer holds a path: not where the caller's memory could not be read.
    pub known: bool,
    /// Whether it was cut at a limit.
    pub cut: bool,
    /// Whether it begins elsewhere than at the process's root.
    pub outside: bool,
}

impl Told {
    /// Nothing is known.
    const NOTHING: Told = Told { known: false, cut: false, outside: false };
}

/// Puts a walked field (names that end in NUL, leaf first) into `out` as a path.
pub fn walked(field: Option<Field<'_>>, out: &mut Vec<u8>) -> Told {
    out.clear();
    let Some(field) = field else { return Told::NOTHING };
    if field.has(WIRE_FAULT) {
        return Told::NOTHING;
    }
    for name in field.bytes.split(|b| *b == 0).rev() {
        // A file system's root has the name "/" (d_make_root, fs/dcache.c).
        if !name.is_empty() && name != b"/" {
            out.push(b'/');
            out.extend_from_slice(name);
        }
    }
    if out.is_empty() {
        // A pipe or a socket has no name and lies nowhere.
        if field.has(WIRE_UNREACHABLE) && !field.bytes.contains(&b'/') {
            return Told::NOTHING;
        }
        out.push(b'/');
    }
    Told { known: true, cut: field.has(WIRE_CUT), outside: field.has(WIRE_UNREACHABLE) }
}

/// Puts the caller's string into `out`, absolute by `base` (a walked field) where it is relative, with
/// `.`, `..` and doubled slashes taken out of the text; symlinks are not followed.
pub fn absolute(text: Option<Field<'_>>, base: Option<Field<'_>>, out: &mut Vec<u8>) -> Told {
    let Some(text) = text.filter(|text| !text.has(WIRE_FAULT)) else {
        out.clear();
        return Told::NOTHING;
    };
    let mut told = Told { known: true, cut: text.has(WIRE_CUT), outside: false };
    if text.bytes.first() == Some(&b'/') {
        out.clear();
    } else {
        let from = walked(base, out);
        if !from.known {
            out.clear();
            return Told::NOTHING;
        }
        told.cut |= from.cut;
        told.outside = from.outside;
    }
    append(out, text.bytes);
    told
}

/// Appends `relative` to the absolute path in `out`, lexically.
pub fn append(out: &mut Vec<u8>, relative: &[u8]) {
    if out.as_slice() == b"/" {
        out.clear();
    }
    for name in relative.split(|b| *b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|b| *b == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
}

#[cfg(test)]
mod tests {
    use blubr_probes::wire::WIRE_WALKED;

    use super::*;

    fn join(base: &[u8], text: &[u8]) -> String {
        let mut out = Vec::new();
        let base = Field { flags: WIRE_WALKED, bytes: base };
        let told = absolute(Some(Field { flags: 0, bytes: text }), Some(base), &mut out);
        assert!(told.known && !told.cut);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn walked_names_come_leaf_first() {
        let mut out = Vec::new();
        let field = Field { flags: WIRE_WALKED, bytes: b"c\0b\0a\0" };
        assert_eq!(walked(Some(field), &mut out), Told { known: true, ..Told::NOTHING });
        assert_eq!(out, b"/a/b/c");
        walked(Some(Field { flags: WIRE_WALKED, bytes: b"" }), &mut out);
        assert_eq!(out, b"/");
        let outside = Field { flags: WIRE_WALKED | WIRE_UNREACHABLE, bytes: b"b\0/\0" };
        assert!(walked(Some(outside), &mut out).outside);
        assert_eq!(out, b"/b");
        let pipe = Field { flags: WIRE_WALKED | WIRE_UNREACHABLE, bytes: b"\0" };
        assert!(!walked(Some(pipe), &mut out).known);
        let unread = Field { flags: WIRE_WALKED | WIRE_FAULT, bytes: b"" };
        assert!(!walked(Some(unread), &mut out).known);
    }

    #[test]
    fn strings_become_absolute_by_their_text() {
        assert_eq!(join(b"b\0a\0", b"x"), "/a/b/x");
        assert_eq!(join(b"b\0a\0", b"../x/./y//z/"), "/a/x/y/z");
        assert_eq!(join(b"b\0a\0", b"/etc/../x"), "/x");
        assert_eq!(join(b"", b"x"), "/x");
        assert_eq!(join(b"b\0a\0", b""), "/a/b");
        assert_eq!(join(b"a\0", b"../../.."), "/");
        assert_eq!(join(b"a\0", b"."), "/a");
    }

    #[test]
    fn a_relative_string_without_its_directory_is_unknown() {
        let mut out = Vec::new();
        let text = Field { flags: 0, bytes: b"x" };
        assert!(!absolute(Some(text), None, &mut out).known);
        assert!(!absolute(None, None, &mut out).known);
    }
}
