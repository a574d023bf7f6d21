//! The files that were written: by the image's layers where both records have them, else by the recorded writes.

use std::collections::{BTreeMap, BTreeSet};

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::File;
use blubr_image::Digest;
use blubr_image::layer::{Entry, Kind};

use crate::cli::Subject::Files;
use crate::compare::{Difference, Found, SHOWN_MAX, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Alert, Change, Warning};

fn path(file: &File) -> String {
    match (&file.path, &file.path_b64) {
        (Some(path), _) => path.clone(),
        (None, Some(b64)) => format!("base64:{b64}"),
        (None, None) => String::new(),
    }
}

/// Compares them.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, rules: &mut Rules, found: &mut Found) {
    match (&old.files, &new.files) {
        (Some(a), Some(b)) => contents(old, a, new, b, rules, found),
        _ => {
            let which = match (&old.files, &new.files) {
                (None, None) => "neither record has the image's files",
                (None, _) => "the older record doesn't have the image's files",
                _ => "the newer record doesn't have the image's files",
            };
            found.not_compared.push(format!("the contents of files: {which}"));
            writes(old, new, rules, found);
        }
    }
}

/// What an entry is: kind, sum, link target, and the step that wrote it.
type Content<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn entries<'a>(files: &'a [File], rules: &mut Rules) -> BTreeMap<String, Content<'a>> {
    let mut map = BTreeMap::new();
    // What a later layer hides is in the image all the same: a secret that was removed can be read there.
    for f in files.iter().filter(|f| !f.hidden || f.sha256.is_some()) {
        let content = (f.kind.as_str(), f.sha256.as_deref(), f.target.as_deref(), f.step.as_deref());
        let name = rules.text(&path(f));
        map.insert(if f.hidden { format!("{name} (hidden by a later layer)") } else { name }, content);
    }
    map
}

fn contents(
    old: &BlubrBuild,
    a: &[File],
    new: &BlubrBuild,
    b: &[File],
    rules: &mut Rules,
    found: &mut Found,
) {
    let (a, b) = (entries(a, rules), entries(b, rules));
    let text = |build: &BlubrBuild, step: Option<&str>| {
        step.and_then(|id| build.steps.iter().find(|s| s.id == id)).map(|s| s.text.clone())
    };
    let by = |build: &BlubrBuild, step: Option<&str>| match text(build, step) {
        Some(text) => format!(" by {}", text.lines().next().unwrap_or("")),
        None => " by no known step".to_owned(),
    };
    let mut added = Vec::new();
    let mut other = Vec::new();
    let mut unexpected = Vec::new();
    for (path, content) in &b {
        let Some(before) = a.get(path) else {
            added.push(format!("+ {} {path}{}", content.0, by(new, content.3)));
            continue;
        };
        if (before.0, before.1, before.2) == (content.0, content.1, content.2) {
            continue;
        }
        let line = format!("{} -> {} {path}{}", sum(before), sum(content), by(new, content.3));
        let (old_text, new_text) = (text(old, before.3), text(new, content.3));
        if new_text.is_some() && old_text == new_text { unexpected.push(line) } else { other.push(line) }
    }
    let gone: Vec<String> = a
        .iter()
        .filter(|(p, _)| !b.contains_key(*p))
        .map(|(p, content)| format!("- {} {p}", content.0))
        .collect();
    for (list, severity, what) in [
        (unexpected, Warning, "with another content although their step is the same"),
        (other, Change, "with another content"),
        (added, Change, "that are new"),
        (gone, Change, "that are gone"),
    ] {
        if !list.is_empty() {
            let what = format!("files {what}: {}", list.len());
            found.add(Difference::new(Files, severity, what).detail(shown(list)));
        }
    }
}

/// The start of a sum, or the kind and the target.
fn sum(content: &Content<'_>) -> String {
    /// Digits of a sum that people compare.
    const SUM_CHARS: usize = 12;
    match (content.1, content.2) {
        (Some(sum), _) => sum.get(..SUM_CHARS).unwrap_or(sum).to_owned(),
        (None, Some(target)) => format!("{} to {target}", content.0),
        (None, None) => content.0.to_owned(),
    }
}

/// Only names: what steps wrote, as the events say.
fn writes(old: &BlubrBuild, new: &BlubrBuild, rules: &mut Rules, found: &mut Found) {
    let mut paths = |build: &BlubrBuild| -> BTreeSet<String> {
        let steps = build.steps.iter().flat_map(|s| s.writes.iter());
        let rest = build
            .unattributed
            .writes
            .iter()
            .chain(build.candidates.iter().flat_map(|c| c.writes.iter()));
        let name = |t: &blubr_attestation::trace::Touched| {
            t.path
                .clone()
                .unwrap_or_else(|| format!("base64:{}", t.path_b64.clone().unwrap_or_default()))
        };
        steps.chain(rest).map(|t| rules.text(&name(t))).collect()
    };
    let (a, b) = (paths(old), paths(new));
    let lines: Vec<String> = a
        .difference(&b)
        .map(|p| format!("- {p}"))
        .chain(b.difference(&a).map(|p| format!("+ {p}")))
        .collect();
    if !lines.is_empty() {
        found.add(Difference::new(Files, Change, "other names were written").detail(shown(lines)));
    }
}

/// The record's files against the layers themselves: takes the layers' entries one by one, so that memory grows with the
/// record only.
///
/// Where the image has the recorded layers, each is compared with its own list. Where it hasn't, it is another image, and what
/// it shows in the end is compared.
pub struct Checker<'a> {
    expected: BTreeMap<(&'a str, Vec<u8>), Expected<'a>>,
    by_layer: bool,
    inherited: &'a [String],
    /// Regular files that the record doesn't have: the first few, and how many.
    extra: Vec<String>,
    extra_count: usize,
}

struct Expected<'a> {
    file: &'a File,
    /// What the image has: `Some(None)` for an entry that is no regular file.
    seen: Option<Option<Digest>>,
}

impl<'a> Checker<'a> {
    /// `None` where the record has no files. `layers`: the image's, by diff_id.
    pub fn new(build: &'a BlubrBuild, layers: &[Digest]) -> Option<Self> {
        let files = build.files.as_ref()?;
        let recorded = build.image.as_ref().map(|i| i.diff_ids.iter().map(String::as_str));
        let by_layer = recorded.is_some_and(|ids| ids.eq(layers.iter().map(Digest::as_str)));
        let mut expected = BTreeMap::new();
        for file in files
            .iter()
            .filter(|f| by_layer || !(f.hidden || matches!(f.kind.as_str(), "whiteout" | "opaque")))
        {
            let Some(bytes) =
                blubr_attestation::path::bytes(file.path.as_deref(), file.path_b64.as_deref())
            else {
                continue;
            };
            let name = bytes.strip_prefix(b"/").unwrap_or(&bytes).to_vec();
            let layer = if by_layer { file.layer.as_str() } else { "" };
            expected.insert((layer, name), Expected { file, seen: None });
        }
        Some(Self { expected, by_layer, inherited: &build.inherited, extra: Vec::new(), extra_count: 0 })
    }

    /// Whether the entries of this layer are wanted.
    pub fn wants(&self, layer: &str) -> bool {
        if self.by_layer {
            self.expected.keys().any(|(l, _)| *l == layer)
        } else {
            !self.inherited.iter().any(|l| l == layer)
        }
    }

    /// Takes one entry. Of two with the same name the later one counts, as engines unpack them.
    pub fn entry(&mut self, layer: &'a str, entry: &Entry) {
        let key = (if self.by_layer { layer } else { "" }, entry.path.clone());
        if !self.by_layer && matches!(entry.kind, Kind::Whiteout | Kind::Opaque) {
            return self.gone(&key.1, entry.kind == Kind::Whiteout);
        }
        match self.expected.get_mut(&key) {
            Some(expected) => expected.seen = Some(entry.sha256.clone()),
            None if entry.sha256.is_some() => {
                self.extra_count += 1;
                if self.extra.len() < SHOWN_MAX {
                    let name = String::from_utf8_lossy(&entry.path);
                    self.extra.push(format!("+ /{name}: in the image, not in the record"));
                }
            }
            None => {}
        }
    }

    /// A whiteout takes the name and what is below it; an opaque directory only what is below.
    fn gone(&mut self, path: &[u8], itself: bool) {
        if itself && let Some(expected) = self.expected.get_mut(&("", path.to_vec())) {
            expected.seen = None;
        }
        let mut below = path.to_vec();
        below.push(b'/');
        for ((_, name), expected) in self.expected.range_mut(("", below.clone())..) {
            if !name.starts_with(&below) {
                break;
            }
            expected.seen = None;
        }
    }

    /// Says what doesn't fit.
    pub fn finish(mut self, found: &mut Found) {
        let mut wrong = Vec::new();
        for expected in self.expected.values() {
            let (file, name) = (expected.file, path(expected.file));
            let recorded = file.sha256.as_deref();
            match &expected.seen {
                None => wrong.push(format!("- {name}: the record has it, the image doesn't")),
                Some(sum) => {
                    let sum = sum.as_ref().map(Digest::hex);
                    if sum != recorded {
                        let word = |sum: Option<&str>| sum.unwrap_or("no regular file").to_owned();
                        wrong.push(format!(
                            "{name}: recorded {}, in the image {}",
                            word(recorded),
                            word(sum)
                        ));
                    }
                }
            }
        }
        let count = wrong.len() + self.extra_count;
        wrong.append(&mut self.extra);
        if count > 0 {
            let what = format!("files of the image that are not what the record says: {count}");
            found.add(Difference::new(Files, Alert, what).detail(shown(wrong)));
        } else if !self.by_layer {
            found.notes.push("the image has other layers; its files are the same".to_owned());
        }
    }
}
