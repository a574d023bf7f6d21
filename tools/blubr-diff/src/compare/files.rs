//! The files that were written: by the image's layers where both records have them, else by the recorded writes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::ops::Range;

use blubr_attestation::BlubrBuild;
use blubr_image::Digest;
use blubr_image::layer::{self, Kind};

use crate::cli::Subject::Files as Subject;
use crate::compare::redacted::{self, REDACTED};
use crate::compare::unseen::{self, Unseen};
use crate::compare::{Difference, Found, SHOWN_MAX, shown};
use crate::normalise::Rules;
use crate::record::{Entry, Files, Record, Sum};
use crate::severity::Severity::{Alert, Change, Warning};

/// Compares them.
pub fn compare(old: &Record, new: &Record, rules: &mut Rules, found: &mut Found) {
    match (&old.files, &new.files) {
        (Some(a), Some(b)) => contents((old.build(), a), (new.build(), b), rules, found),
        _ => {
            let which = match (&old.files, &new.files) {
                (None, None) => "neither record has the image's files",
                (None, _) => "the older record doesn't have the image's files",
                _ => "the newer record doesn't have the image's files",
            };
            found.not_compared.push(format!("the contents of files: {which}"));
            writes(old.build(), new.build(), rules, found);
        }
    }
}

/// Entries sorted by the names by which they are compared. Layers may hide several of one name, and a rule may make two names
/// one.
struct Sorted<'a> {
    files: &'a Files,
    /// Names that aren't the entries' own.
    other: HashMap<usize, String>,
    order: Vec<u32>,
    /// Modes and owners are compared: both records tell them.
    attributes: bool,
}

impl<'a> Sorted<'a> {
    fn new(files: &'a Files, attributes: bool, rules: &mut Rules) -> Self {
        let mut other = HashMap::new();
        for (at, entry) in files.iter().enumerate() {
            let name = match entry.path() {
                Cow::Borrowed(path) => rules.text(path),
                Cow::Owned(path) => Cow::Owned(rules.text(&path).into_owned()),
            };
            if let Cow::Owned(name) = name {
                other.insert(at, name);
            }
        }
        // A statement has fewer entries than a u32 counts.
        let order = (0..u32::try_from(files.len()).unwrap_or(u32::MAX)).collect();
        let mut sorted = Self { files, other, order, attributes };
        let mut order = std::mem::take(&mut sorted.order);
        order.sort_unstable_by(|a, b| {
            let (one, other) = (sorted.name(*a), sorted.name(*b));
            let content = |at: u32| sorted.get(at).map(|entry| content_of(&entry));
            one.cmp(&other).then_with(|| content(*a).cmp(&content(*b)))
        });
        Self { order, ..sorted }
    }

    /// An entry, with what is compared of it.
    fn get(&self, at: u32) -> Option<Entry<'a>> {
        let entry = self.files.get(at as usize)?;
        Some(Entry { attributes: entry.attributes.filter(|_| self.attributes), ..entry })
    }

    /// The name of an entry, and whether a later layer hides it. What was removed can be read in the image all the same, a
    /// secret for one.
    fn name(&self, at: u32) -> (&str, bool) {
        let at = at as usize;
        let entry = self.files.get(at);
        let own = entry.map_or("", |entry| entry.name);
        let name = self.other.get(&at).map_or(own, String::as_str);
        (name, entry.is_some_and(|entry| entry.hidden))
    }

    /// The name that stands at `from` in the order.
    fn name_from(&self, from: usize) -> Option<(&str, bool)> {
        self.order.get(from).map(|at| self.name(*at))
    }

    /// Where the entries of a name end that begin at `from`.
    fn end_of(&self, name: (&str, bool), from: usize) -> usize {
        from + self.order.iter().skip(from).take_while(|at| self.name(**at) == name).count()
    }

    /// The entries of a part of the order.
    fn entries(&self, part: Range<usize>) -> Peekable<impl Iterator<Item = Entry<'a>>> {
        let part = self.order.get(part).unwrap_or_default();
        part.iter().filter_map(|at| self.get(*at)).peekable()
    }
}

/// Lines of which the first few are shown, and all are counted.
#[derive(Default)]
struct Lines {
    first: Vec<String>,
    count: usize,
}

impl Lines {
    fn push(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(line());
        }
    }

    fn shown(mut self) -> Vec<String> {
        if let Some(more) = self.count.checked_sub(self.first.len()).filter(|more| *more > 0) {
            self.first.push(format!("... and {more} more"));
        }
        self.first
    }
}

fn contents(
    (old, a): (&BlubrBuild, &Files),
    (new, b): (&BlubrBuild, &Files),
    rules: &mut Rules,
    found: &mut Found,
) {
    let attributes = a.tell_attributes() && b.tell_attributes();
    if !attributes {
        let what = "modes and owners of files: a record doesn't tell them";
        found.not_compared.push(what.to_owned());
    }
    redacted::say_names([a, b].iter().map(|files| redacted::names(files)).max().unwrap_or(0), found);
    let (a, b) = (Sorted::new(a, attributes, rules), Sorted::new(b, attributes, rules));
    let (mut at_a, mut at_b) = (0, 0);
    let (old, new) = (texts(old), texts(new));
    let by = |step: Option<&str>| match text(&new, step) {
        Some(text) => format!(" by {}", text.lines().next().unwrap_or("")),
        None => " by no known step".to_owned(),
    };
    let [mut unexpected, mut other, mut added, mut gone] = [(); 4].map(|()| Lines::default());
    loop {
        let name = match (a.name_from(at_a), b.name_from(at_b)) {
            (Some(x), Some(y)) => x.min(y),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => break,
        };
        let (end_a, end_b) = (a.end_of(name, at_a), b.end_of(name, at_b));
        let path = || format!("{}{}", name.0, if name.1 { " (hidden by a later layer)" } else { "" });
        let before = unmatched(a.entries(at_a..end_a), b.entries(at_b..end_b));
        let now = unmatched(b.entries(at_b..end_b), a.entries(at_a..end_a));
        (at_a, at_b) = (end_a, end_b);
        let (mut before, mut now) = (before, now);
        loop {
            match (before.next(), now.next()) {
                (None, None) => break,
                (None, Some(entry)) => {
                    added.push(|| format!("+ {} {}{}", entry.kind, path(), by(entry.step)));
                }
                (Some(entry), None) => gone.push(|| format!("- {} {}", entry.kind, path())),
                (Some(was), Some(is)) => {
                    let (old_text, new_text) = (text(&old, was.step), text(&new, is.step));
                    let same_step = new_text.is_some() && old_text == new_text;
                    let list = if same_step { &mut unexpected } else { &mut other };
                    list.push(|| {
                        let (was, is_now) = sides(&was, &is);
                        format!("{was} -> {is_now} {}{}", path(), by(is.step))
                    });
                }
            }
        }
    }
    for (list, severity, what) in [
        (unexpected, Warning, "with another content, mode or owner although their step is the same"),
        (other, Change, "with another content, mode or owner"),
        (added, Change, "that are new"),
        (gone, Change, "that are gone"),
    ] {
        if list.count > 0 {
            let what = format!("files {what}: {}", list.count);
            found.add(Difference::new(Subject, severity, what).detail(list.shown()));
        }
    }
}

/// The instructions of steps, by id.
type Texts<'a> = HashMap<&'a str, &'a str>;

fn text<'a>(texts: &Texts<'a>, step: Option<&str>) -> Option<&'a str> {
    step.and_then(|id| texts.get(id)).copied()
}

fn texts(build: &BlubrBuild) -> Texts<'_> {
    build.steps.iter().map(|step| (step.id.as_str(), step.text.as_str())).collect()
}

/// What of the entries of one name has no equal among the other ones, of which each stands for one; which step wrote it
/// doesn't count. Both are sorted by their content.
fn unmatched<'a>(
    mine: impl Iterator<Item = Entry<'a>>,
    mut others: Peekable<impl Iterator<Item = Entry<'a>>>,
) -> impl Iterator<Item = Entry<'a>> {
    mine.filter(move |entry| {
        while others.next_if(|other| content_of(other) < content_of(entry)).is_some() {}
        others.next_if(|other| content_of(other) == content_of(entry)).is_none()
    })
}

/// What of two entries is compared.
fn content_of<'a>(entry: &Entry<'a>) -> (&'a str, Option<Sum<'a>>, Option<&'a str>, Option<&'a str>) {
    (entry.kind, entry.sha256, entry.target, entry.attributes)
}

/// Two entries that differ: by what they do.
fn sides(was: &Entry<'_>, is: &Entry<'_>) -> (String, String) {
    let same = (was.kind, was.sha256, was.target) == (is.kind, is.sha256, is.target);
    let side = |entry: &Entry<'_>| match entry.attributes {
        Some(attributes) if same => attributes.to_owned(),
        _ => sum(entry),
    };
    (side(was), side(is))
}

/// The start of a sum, or the kind and the target.
fn sum(entry: &Entry<'_>) -> String {
    /// Digits of a sum that people compare.
    const SUM_CHARS: usize = 12;
    match (entry.sha256, entry.target) {
        (Some(sum), _) => sum.to_string().chars().take(SUM_CHARS).collect(),
        (None, Some(target)) => format!("{} to {target}", entry.kind),
        (None, None) => entry.kind.to_owned(),
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
        let all = lists.iter().flat_map(|(writes, _)| writes.iter());
        all.map(|t| rules.text(&name(t)).into_owned()).collect()
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
        found.add(Difference::new(Subject, Change, "other names were written").detail(shown(lines)));
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
    /// Those whose names were redacted.
    unnamed: redacted::Names<'a>,
    /// Entries that the record doesn't have, without directories: the first few, and how many.
    extra: Vec<String>,
    extra_count: usize,
}

struct Expected<'a> {
    file: Entry<'a>,
    /// What the image has.
    seen: Option<Seen>,
}

/// What of an entry the record holds too.
pub(super) struct Seen {
    pub(super) kind: &'static str,
    pub(super) sha256: Option<Digest>,
    pub(super) target: Option<String>,
    attributes: String,
}

impl Seen {
    pub(super) fn of(entry: &layer::Entry) -> Self {
        let target = entry.link.as_ref().map(|link| String::from_utf8_lossy(link).into_owned());
        let attributes = format!("{:04o} {}:{}", entry.mode, entry.uid, entry.gid);
        Self { kind: entry.kind.name(), sha256: entry.sha256.clone(), target, attributes }
    }

    /// Whether mode and owner are as recorded, where they are.
    pub(super) fn has_attributes_of(&self, file: &Entry<'_>) -> bool {
        file.attributes.is_none_or(|attributes| attributes == self.attributes)
    }

    fn is(&self, file: &Entry<'_>) -> bool {
        let recorded = file.sha256.map(|sum| sum.to_string());
        self.kind == file.kind
            && self.sha256.as_ref().map(Digest::hex) == recorded.as_deref()
            && match (file.target, self.target.as_deref()) {
                (Some(recorded), Some(target)) => redacted::fits(recorded, target),
                (recorded, target) => recorded == target,
            }
    }

    fn text(&self) -> String {
        content(self.kind, self.sha256.as_ref().map(Digest::hex), self.target.as_deref())
    }
}

fn content(kind: &str, sha256: Option<&str>, target: Option<&str>) -> String {
    match (sha256, target) {
        (Some(sum), _) => sum.to_owned(),
        (None, Some(target)) => format!("{kind} to {target}"),
        (None, None) => kind.to_owned(),
    }
}

impl<'a> Checker<'a> {
    /// `None` where the record has no files. `layers`: the image's, by diff_id.
    pub fn new(record: &'a Record, layers: &[Digest]) -> Option<Self> {
        let (build, files) = (record.build(), record.files.as_ref()?);
        let recorded = build.image.as_ref().map(|i| i.diff_ids.iter().map(String::as_str));
        let by_layer = recorded.is_some_and(|ids| ids.eq(layers.iter().map(Digest::as_str)));
        let (mut expected, mut unnamed) = (BTreeMap::new(), redacted::Names::default());
        for file in
            files.iter().filter(|f| by_layer || !(f.hidden || matches!(f.kind, "whiteout" | "opaque")))
        {
            let (text, base64) =
                if file.is_base64 { (None, Some(file.name)) } else { (Some(file.name), None) };
            let Some(bytes) = blubr_attestation::path::bytes(text, base64) else { continue };
            let name = bytes.strip_prefix(b"/").unwrap_or(&bytes).to_vec();
            let layer = if by_layer { file.layer } else { "" };
            if text.is_some_and(|name| name.contains(REDACTED)) {
                unnamed.add(layer, file);
            } else {
                expected.insert((layer, name), Expected { file, seen: None });
            }
        }
        unnamed.ready();
        let inherited = &build.inherited;
        Some(Self { expected, by_layer, inherited, unnamed, extra: Vec::new(), extra_count: 0 })
    }

    /// Whether the entries of this layer are wanted.
    pub fn wants(&self, layer: &str) -> bool {
        if self.by_layer {
            self.expected.keys().any(|(l, _)| *l == layer) || self.unnamed.has(layer)
        } else {
            !self.inherited.iter().any(|l| l == layer)
        }
    }

    /// Takes one entry. Of two with the same name the later one counts, as engines unpack them.
    pub fn entry(&mut self, layer: &'a str, entry: &layer::Entry) {
        let key = (if self.by_layer { layer } else { "" }, entry.path.clone());
        if !self.by_layer && matches!(entry.kind, Kind::Whiteout | Kind::Opaque) {
            return self.gone(&key.1, entry.kind == Kind::Whiteout);
        }
        if !self.by_layer {
            self.unnamed.gone(&entry.path);
        }
        match self.expected.get_mut(&key) {
            Some(expected) => expected.seen = Some(Seen::of(entry)),
            None if self.unnamed.take(key.0, entry) => {}
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
        if itself {
            self.unnamed.gone(path);
        }
        self.unnamed.gone_below(&below);
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
            let (file, name) = (&expected.file, expected.file.path());
            match &expected.seen {
                None => wrong.push(format!("- {name}: the record has it, the image doesn't")),
                Some(seen) if seen.is(file) && seen.has_attributes_of(file) => {}
                Some(seen) if seen.is(file) => {
                    let recorded = file.attributes.unwrap_or_default();
                    wrong.push(format!("{name}: recorded {recorded}, in the image {}", seen.attributes));
                }
                Some(seen) => {
                    let recorded = content(
                        file.kind,
                        file.sha256.map(|sum| sum.to_string()).as_deref(),
                        file.target,
                    );
                    wrong.push(format!("{name}: recorded {recorded}, in the image {}", seen.text()));
                }
            }
        }
        for file in self.unnamed.finish(found) {
            let name = file.path();
            wrong.push(format!("- {name}: the record has it, and nothing in the image may be it"));
        }
        let count = wrong.len() + self.extra_count;
        wrong.append(&mut self.extra);
        if count > 0 {
            let what = format!("files of the image that are not what the record says: {count}");
            found.add(Difference::new(Subject, Alert, what).detail(shown(wrong)));
        } else if !self.by_layer {
            found.not_compared.push(
                "times and extended attributes of files: the image has other layers, and the record holds them by layer only"
                    .to_owned(),
            );
        }
    }
}
