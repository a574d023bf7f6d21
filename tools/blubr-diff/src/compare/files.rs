//! The files that were written: by the image's layers where both records have them, else by the recorded writes.

use std::collections::{BTreeMap, BTreeSet};

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::File;
use blubr_image::Digest;
use blubr_image::layer::{Entry, Kind};

use crate::cli::Subject::Files;
use crate::compare::unseen::{self, Unseen};
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

/// The entries of each name, sorted: layers may hide several of one name, and a rule may make two names one.
fn entries<'a>(files: &'a [File], rules: &mut Rules) -> BTreeMap<String, Vec<Content<'a>>> {
    let mut map: BTreeMap<String, Vec<Content<'a>>> = BTreeMap::new();
    // What a later layer hides is in the image all the same: a secret that was removed can be read there.
    for f in files {
        let content = (f.kind.as_str(), f.sha256.as_deref(), f.target.as_deref(), f.step.as_deref());
        let name = rules.text(&path(f));
        let name = if f.hidden { format!("{name} (hidden by a later layer)") } else { name };
        map.entry(name).or_default().push(content);
    }
    map.values_mut().for_each(|contents| contents.sort_unstable());
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
    let mut gone = Vec::new();
    for (path, contents) in &b {
        let before = a.get(path).map(Vec::as_slice).unwrap_or_default();
        let (old_ones, new_ones) = unmatched(before, contents);
        for content in new_ones.iter().skip(old_ones.len()) {
            added.push(format!("+ {} {path}{}", content.0, by(new, content.3)));
        }
        for content in old_ones.iter().skip(new_ones.len()) {
            gone.push(format!("- {} {path}", content.0));
        }
        for (before, content) in old_ones.iter().zip(&new_ones) {
            let line = format!("{} -> {} {path}{}", sum(before), sum(content), by(new, content.3));
            let (old_text, new_text) = (text(old, before.3), text(new, content.3));
            if new_text.is_some() && old_text == new_text {
                unexpected.push(line)
            } else {
                other.push(line)
            }
        }
    }
    for (path, contents) in a.iter().filter(|(path, _)| !b.contains_key(*path)) {
        gone.extend(contents.iter().map(|content| format!("- {} {path}", content.0)));
    }
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

/// What of two lists of entries with one name has no equal in the other; which step wrote it doesn't count.
fn unmatched<'a>(old: &[Content<'a>], new: &[Content<'a>]) -> (Vec<Content<'a>>, Vec<Content<'a>>) {
    let mut old_ones = old.to_vec();
    let mut new_ones = Vec::new();
    for content in new {
        let equal = |c: &Content<'_>| (c.0, c.1, c.2) == (content.0, content.1, content.2);
        match old_ones.iter().position(equal) {
            Some(at) => drop(old_ones.remove(at)),
            None => new_ones.push(*content),
        }
    }
    (old_ones, new_ones)
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
    let unseen = Unseen::of(old, new, unseen::WRITING);
    unseen.say("the names that were written", found);
    let mut cut = false;
    let mut paths = |build: &BlubrBuild, unseen: &BTreeSet<String>| -> BTreeSet<String> {
        let steps = build.steps.iter().filter(|s| !unseen.contains(&s.id));
        let rest = build.candidates.iter().map(|c| (&c.writes, &c.counts));
        let rest = rest.chain([(&build.unattributed.writes, &build.unattributed.counts)]);
        let lists: Vec<_> = steps.map(|s| (&s.writes, &s.counts)).chain(rest).collect();
        cut |= lists.iter().any(|(_, counts)| counts.left_out > 0);
        let name = |t: &blubr_attestation::trace::Touched| {
            t.path
                .clone()
                .unwrap_or_else(|| format!("base64:{}", t.path_b64.clone().unwrap_or_default()))
        };
        lists.iter().flat_map(|(writes, _)| writes.iter()).map(|t| rules.text(&name(t))).collect()
    };
    let (a, b) = (paths(old, &unseen.old), paths(new, &unseen.new));
    if cut {
        let what = "names that were written beyond the record's lists, which were cut";
        found.not_compared.push(what.to_owned());
    }
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
    /// Entries that the record doesn't have, without directories: the first few, and how many.
    extra: Vec<String>,
    extra_count: usize,
}

struct Expected<'a> {
    file: &'a File,
    /// What the image has.
    seen: Option<Seen>,
}

/// What of an entry the record holds too.
struct Seen {
    kind: &'static str,
    sha256: Option<Digest>,
    target: Option<String>,
}

impl Seen {
    fn of(entry: &Entry) -> Self {
        let kind = match entry.kind {
            Kind::File => "file",
            Kind::Dir => "directory",
            Kind::Symlink => "symlink",
            Kind::Hardlink => "hardlink",
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "device",
            Kind::Fifo => "fifo",
            Kind::Whiteout => "whiteout",
            Kind::Opaque => "opaque",
        };
        let target = entry.link.as_ref().map(|link| String::from_utf8_lossy(link).into_owned());
        Self { kind, sha256: entry.sha256.clone(), target }
    }

    fn is(&self, file: &File) -> bool {
        // A hard link may be a file in its own right where layers were put together anew: its content is not recorded.
        self.kind == file.kind
            && self.sha256.as_ref().map(Digest::hex) == file.sha256.as_deref()
            && self.target == file.target
    }

    fn text(&self) -> String {
        text(self.kind, self.sha256.as_ref().map(Digest::hex), self.target.as_deref())
    }
}

fn text(kind: &str, sha256: Option<&str>, target: Option<&str>) -> String {
    match (sha256, target) {
        (Some(sum), _) => sum.to_owned(),
        (None, Some(target)) => format!("{kind} to {target}"),
        (None, None) => kind.to_owned(),
    }
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
            Some(expected) => expected.seen = Some(Seen::of(entry)),
            // Directories come with every path below them.
            None if entry.kind != Kind::Dir => {
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
            match &expected.seen {
                None => wrong.push(format!("- {name}: the record has it, the image doesn't")),
                Some(seen) if seen.is(file) => {}
                Some(seen) => {
                    let recorded = text(&file.kind, file.sha256.as_deref(), file.target.as_deref());
                    wrong.push(format!("{name}: recorded {recorded}, in the image {}", seen.text()));
                }
            }
        }
        let count = wrong.len() + self.extra_count;
        wrong.append(&mut self.extra);
        if count > 0 {
            let what = format!("files of the image that are not what the record says: {count}");
            found.add(Difference::new(Files, Alert, what).detail(shown(wrong)));
        } else if !self.by_layer {
            found.not_compared.push(
                "owners, modes and times of files: the image has other layers, and the record holds them by layer only"
                    .to_owned(),
            );
        }
    }
}
