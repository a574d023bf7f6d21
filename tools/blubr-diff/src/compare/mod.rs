//! Two records side by side, a file a subject; or a record and an image ([`against_image`]).

mod against_image;
mod base;
mod completeness;
mod dockerfile;
mod files;
mod history;
mod image;
mod network;
mod processes;
mod redacted;
mod steps;
mod unseen;

use std::collections::BTreeMap;

use crate::cli::Subject;
use crate::normalise::Rules;
use crate::record::Record;
use crate::severity::Severity;

pub use against_image::{ImageSide, against_image};
pub use files::Checker;
pub use history::History;
pub use history::asked::given;
use redacted::REDACTED;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub subject: Subject,
    /// How much it matters.
    pub severity: Severity,
    /// In one line.
    pub what: String,
    /// The step, as the newer record calls it, where it is about one.
    pub step: Option<String>,
    /// Lines of the Dockerfile, where it is about some.
    pub lines: Option<[u32; 2]>,
    /// The older (recorded) value.
    pub old: Option<String>,
    /// The newer (the image's) value.
    pub new: Option<String>,
    /// More lines: a unified diff, a list; in JSON an array.
    pub detail: Vec<String>,
}

impl Difference {
    /// A difference in words alone.
    pub fn new(subject: Subject, severity: Severity, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            subject,
            severity,
            what,
            step: None,
            lines: None,
            old: None,
            new: None,
            detail: Vec::new(),
        }
    }

    fn values(mut self, old: impl Into<Option<String>>, new: impl Into<Option<String>>) -> Self {
        (self.old, self.new) = (old.into(), new.into());
        self
    }

    fn detail(mut self, detail: Vec<String>) -> Self {
        self.detail = detail;
        self
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Found {
    /// What differs, by subject.
    pub differences: Vec<Difference>,
    /// What neither side lets us compare, and why.
    pub not_compared: Vec<String>,
    /// What was assumed on the way.
    pub notes: Vec<String>,
    /// What was looked at and is the same, by subject, in words.
    pub same: Vec<(Subject, String)>,
}

impl Found {
    fn add(&mut self, difference: Difference) {
        self.differences.push(difference);
    }

    /// Runs one subject, and notes it as the same when nothing came of it.
    fn subject(&mut self, subject: Subject, what: &str, compare: impl FnOnce(&mut Self)) {
        let (differences, skipped) = (self.differences.len(), self.not_compared.len());
        compare(self);
        if (differences, skipped) == (self.differences.len(), self.not_compared.len()) {
            self.same.push((subject, what.to_owned()));
        }
    }
}

/// Entries of a list that are shown; the rest is counted.
const SHOWN_MAX: usize = 50;

/// Cuts a list for people and says how many it leaves out.
fn shown(mut list: Vec<String>) -> Vec<String> {
    let left_out = list.len().saturating_sub(SHOWN_MAX);
    list.truncate(SHOWN_MAX);
    if left_out > 0 {
        list.push(format!("... and {left_out} more"));
    }
    list
}

/// How often each value is there.
fn counted<T: Ord>(values: impl IntoIterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// Where the tables are that a record leaves to a file which was not given.
fn elsewhere(old: &Record, new: &Record) -> Option<String> {
    let (a, b) = (old.elsewhere.as_ref(), new.elsewhere.as_ref());
    match (a, b) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(format!("the records' are in {a} and {b} (--detail)")),
        (Some(a), None) => Some(format!("the older record's are in {a} (--detail)")),
        (None, Some(b)) => Some(format!("the newer record's are in {b} (--detail)")),
    }
}

/// Compares two records. `only`: these subjects; none means all.
pub fn compare(old: &Record, new: &Record, rules: &mut Rules, only: &[Subject]) -> Found {
    let mut found = Found::default();
    let wanted = |subject| only.is_empty() || only.contains(&subject);
    let (a, b) = (old.build(), new.build());
    if wanted(Subject::Dockerfile) {
        found.subject(Subject::Dockerfile, "the Dockerfile is the same", |f| {
            dockerfile::compare(a, b, f)
        });
    }
    if wanted(Subject::Base) {
        found.subject(Subject::Base, "the base images are the same", |f| base::compare(a, b, f));
    }
    let elsewhere = elsewhere(old, new);
    if wanted(Subject::Steps) {
        let what = "the records show the same steps, which ran the same commands";
        found.subject(Subject::Steps, what, |f| steps::compare(a, b, rules, elsewhere.as_deref(), f));
    }
    if wanted(Subject::Processes) {
        let what = "the records show the same programs outside the steps";
        found.subject(Subject::Processes, what, |f| {
            processes::compare(a, b, rules, elsewhere.as_deref(), f)
        });
    }
    if let Some(place) = elsewhere.as_deref().filter(|_| wanted(Subject::Network)) {
        found.not_compared.push(format!("the hosts: {place}"));
    } else if wanted(Subject::Network) {
        let [x, y] = [old, new].map(|record| &record.statement.predicate.monitor_log.network);
        found.subject(Subject::Network, "the records show the same hosts", |f| {
            network::compare((a, x), (b, y), rules, f)
        });
    }
    if let Some(place) = elsewhere.as_deref().filter(|_| wanted(Subject::Files)) {
        found.not_compared.push(format!("the files: {place}"));
    } else if wanted(Subject::Files) {
        let what = "the images have files of the same names, kinds and contents";
        found.subject(Subject::Files, what, |f| files::compare(old, new, rules, f));
    }
    if wanted(Subject::Image) {
        found.subject(Subject::Image, "the image is the same", |f| image::compare(old, new, rules, f));
    }
    if wanted(Subject::Completeness) {
        let what = "the records say the same of how complete they are";
        found.subject(Subject::Completeness, what, |f| completeness::compare(a, b, f));
    }
    let only_writes = old.files.is_none() || new.files.is_none();
    if [Subject::Steps, Subject::Processes, Subject::Network].into_iter().any(wanted)
        || only_writes && wanted(Subject::Files)
    {
        completeness::not_recorded(a, b, &mut found);
    }
    found
}

#[cfg(test)]
mod tests;
