//! What was redacted in a record: it can't be compared, but what stands around it can.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use blubr_image::layer;

use crate::compare::Found;
use crate::compare::files::Seen;
use crate::record::{Entry, Files};

/// What a secret was replaced by before it got into a record; the kind of secret and `]` follow.
pub const REDACTED: &str = "[redacted:";

/// Names of files that are tried for those whose names were redacted; a count. What is beyond is not compared.
const TRIED_MAX: usize = 10_000_000;

/// Whether `text` is `pattern` with something in place of each `[redacted:KIND]`.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split(REDACTED);
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut between: Vec<&str> =
        pieces.map(|piece| piece.split_once(']').map_or("", |(_, behind)| behind)).collect();
    let Some(last) = between.pop() else { return rest.is_empty() };
    for piece in between {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// How many files have a name of which something was redacted.
pub fn names(files: &Files) -> usize {
    files.iter().filter(|file| !file.is_base64 && file.name.contains(REDACTED)).count()
}

/// Says that so many names can't be compared whole.
pub fn say_names(count: usize, found: &mut Found) {
    if count > 0 {
        let what = format!("the names of {count} files, of which the record has redacted a part");
        found.not_compared.push(what);
    }
}

/// Layer, kind and sum.
type Alike<'a> = (&'a str, &'a str, Option<String>);

/// Entries of the record whose names were redacted: each stands for one of the image in the same layer that has its content, its
/// mode and owner, and a name that fits.
#[derive(Default)]
pub struct Names<'a> {
    all: Vec<(Alike<'a>, Entry<'a>)>,
    /// Those that the image was not yet seen to have.
    missing: HashMap<Alike<'a>, Vec<usize>>,
    /// The others, by the name that may be theirs.
    seen: BTreeMap<Vec<u8>, usize>,
    tried: usize,
}

impl<'a> Names<'a> {
    /// Takes an entry of the record. `layer` is empty where layers don't count.
    pub fn add(&mut self, layer: &'a str, file: Entry<'a>) {
        let alike = (layer, file.kind, file.sha256.map(|sum| sum.to_string()));
        self.missing.entry(alike.clone()).or_default().push(self.all.len());
        self.all.push((alike, file));
    }

    /// All have been added: who says most of its name is looked at first.
    pub fn ready(&mut self) {
        let said = |at: &usize| self.all.get(*at).map_or(0, |(_, file)| file.name.len());
        self.missing.values_mut().for_each(|alike| alike.sort_by_key(|at| Reverse(said(at))));
    }

    /// Whether one of them is of this layer.
    pub fn has(&self, layer: &str) -> bool {
        self.all.iter().any(|((of, ..), _)| *of == layer)
    }

    /// Those that the image doesn't have; says what of all is not compared.
    pub fn finish(&self, found: &mut Found) -> Vec<Entry<'a>> {
        say_names(self.all.len(), found);
        if self.tried >= TRIED_MAX {
            let what = "whether the image has the files whose names the record has redacted: too many are alike";
            found.not_compared.push(what.to_owned());
            return Vec::new();
        }
        let mut missing: Vec<usize> = self.missing.values().flatten().copied().collect();
        missing.sort_unstable();
        missing.iter().filter_map(|at| self.all.get(*at)).map(|(_, file)| *file).collect()
    }

    /// Whether an entry of the image is one of them, or may be: it is that one then.
    pub fn take(&mut self, layer: &str, entry: &layer::Entry) -> bool {
        if self.all.is_empty() {
            return false;
        }
        let seen = Seen::of(entry);
        let name = format!("/{}", String::from_utf8_lossy(&entry.path));
        let alike = (layer, seen.kind, seen.sha256.as_ref().map(|sum| sum.hex().to_owned()));
        let Some(missing) = self.missing.get(&alike) else { return false };
        let mut fitting = None;
        for (place, at) in missing.iter().enumerate() {
            if self.tried >= TRIED_MAX {
                return true;
            }
            self.tried += 1;
            let Some((_, file)) = self.all.get(*at) else { continue };
            let target = match (file.target, seen.target.as_deref()) {
                (Some(pattern), Some(target)) => fits(pattern, target),
                (one, other) => one == other,
            };
            if target && fits(file.name, &name) && seen.has_attributes_of(file) {
                fitting = Some((place, *at));
                break;
            }
        }
        let Some((place, at)) = fitting else { return false };
        if let Some((alike, _)) = self.all.get(at)
            && let Some(missing) = self.missing.get_mut(alike)
        {
            missing.remove(place);
        }
        self.seen.insert(entry.path.clone(), at);
        true
    }

    /// The image has this name no longer.
    pub fn gone(&mut self, name: &[u8]) {
        if let Some(at) = self.seen.remove(name)
            && let Some((alike, _)) = self.all.get(at)
        {
            self.missing.entry(alike.clone()).or_default().push(at);
        }
    }

    /// The image has no longer what begins so.
    pub fn gone_below(&mut self, below: &[u8]) {
        let from = self.seen.range(below.to_vec()..);
        let names: Vec<Vec<u8>> =
            from.map(|(name, _)| name.clone()).take_while(|name| name.starts_with(below)).collect();
        names.iter().for_each(|name| self.gone(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redaction_stands_for_any_text() {
        for (pattern, text, is) in [
            ("/a/[redacted:token]", "/a/ghp_x", true),
            ("/a/[redacted:token]/b", "/a/x/b/b", true),
            ("/a/[redacted:token]/b", "/a/x/c", false),
            ("/[redacted:x]-[redacted:y].txt", "/p-q-r.txt", true),
            ("/[redacted:x]-[redacted:y].txt", "/p.txt", false),
            ("/a", "/a", true),
            ("/a", "/ab", false),
        ] {
            assert_eq!(fits(pattern, text), is, "{pattern} {text}");
        }
    }
}
