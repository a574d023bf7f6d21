//! What differs between two runs of the same build and means nothing, taken away before comparing: a file a rule.
//!
//! Each rule has a name and says what it does; [`Rules`] counts where it did something, and `--explain` prints that. With
//! `--strict` no rule is applied.

mod addresses;
mod digests;
mod ids;
mod pids;
mod temporary;
mod times;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What it is called in output and manual.
    pub name: &'static str,
    /// What it takes away, in a sentence.
    pub what: &'static str,
}

pub use addresses::ADDRESSES;
pub use digests::DIGESTS;
pub use ids::IDS;
pub use pids::PIDS;
pub use temporary::TEMPORARY;
pub use times::TIMES;

/// All rules, in the order in which they are applied to texts.
pub const ALL: [Rule; 6] = [TIMES, PIDS, IDS, TEMPORARY, ADDRESSES, DIGESTS];

/// A rule on a text: `None` where it changes nothing.
type Take = fn(&str) -> Option<String>;

/// The rules, and what they did.
#[derive(Debug, Default)]
pub struct Rules {
    strict: bool,
    applied: BTreeMap<Rule, u64>,
}

impl Rules {
    /// `strict`: apply none.
    pub fn new(strict: bool) -> Self {
        Self { strict, applied: BTreeMap::new() }
    }

    /// Whether a rule may be applied at all.
    pub fn on(&self) -> bool {
        !self.strict
    }

    /// Notes that a rule did something.
    pub fn note(&mut self, rule: Rule) {
        *self.applied.entry(rule).or_default() += 1;
    }

    /// What each rule did: how many values it changed.
    pub fn applied(&self) -> impl Iterator<Item = (Rule, u64)> + '_ {
        self.applied.iter().map(|(rule, count)| (*rule, *count))
    }

    /// A text (an argument, a path) without what differs between runs.
    pub fn text<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        if self.strict {
            return text;
        }
        let rules: [(Rule, Take); 4] =
            [(TIMES, times::take), (PIDS, pids::take), (IDS, ids::take), (TEMPORARY, temporary::take)];
        for (rule, take) in rules {
            if let Some(taken) = take(&text) {
                self.note(rule);
                text = Cow::Owned(taken);
            }
        }
        text
    }

    /// An argument vector.
    pub fn argv(&mut self, argv: &[String]) -> Vec<String> {
        argv.iter().map(|a| self.text(a).into_owned()).collect()
    }

    /// A connection's other side: its name, where it has one, without the address.
    pub fn host(&mut self, hostname: Option<&str>, ip: &str) -> String {
        match hostname {
            Some(name) if !self.strict => {
                self.note(ADDRESSES);
                name.to_owned()
            }
            Some(name) if ip.is_empty() => name.to_owned(),
            Some(name) => format!("{name} ({ip})"),
            None => ip.to_owned(),
        }
    }
}

/// Splits a text at `is_word` changes, and replaces the words that `change` gives something for.
fn replace_words(
    text: &str,
    is_word: impl Fn(char) -> bool,
    mut change: impl FnMut(&str, &str) -> Option<String>,
) -> Option<String> {
    let mut out = String::new();
    let mut changed = false;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if len == 0 {
            let c = rest.chars().next()?;
            out.push(c);
            at += c.len_utf8();
            continue;
        }
        let (word, _) = rest.split_at(len);
        match change(text.get(..at).unwrap_or(""), word) {
            Some(new) => {
                changed = true;
                out.push_str(&new);
            }
            None => out.push_str(word),
        }
        at += len;
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_what_differs_between_runs() {
        let mut rules = Rules::new(false);
        for (a, b) in [
            ("cp /tmp/tmp.Qw3rTy12zX /x", "cp /tmp/tmp.pL0oKi98mN /x"),
            ("as -o /tmp/ccAb12Cd.o", "as -o /tmp/cczz9Q8w.o"),
            ("as -fx=/tmp/ccngqPEy.res /tmp/ccYBfFWM.s", "as -fx=/tmp/ccVmOPEJ.res /tmp/ccchiHTx.s"),
            ("cp /tmp/tmp.QwErTyuIzX /tmp/tmpaBcDeFgH", "cp /tmp/tmp.pLxoKioamN /tmp/tmp5bcdefgh"),
            ("cat /proc/4242/status", "cat /proc/17/status"),
            ("--stamp=2026-11-24T12:00:00Z", "--stamp=2026-11-25T08:13:59.123Z"),
            (
                "/run/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/x",
                "/run/0000c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/x",
            ),
        ] {
            assert_ne!(a, b);
            assert_eq!(rules.text(a), rules.text(b));
        }
        assert_eq!(rules.applied().count(), 4);
    }

    #[test]
    fn what_means_something_stays() {
        let mut rules = Rules::new(false);
        for text in [
            "/tmp/build",
            "/tmp/config.status",
            "/usr/lib/tmp.Qw3rTy12zX",
            "/proc/self/fd",
            "echo e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  x",
            "v2026.11",
            "gcc-12.2.0",
            "/tmp/linux-amd64",
            "/tmp/ccaching /tmp/ccBackup /tmp/ccBuildTree",
            "/tmp/tmpdatabase /tmp/tmpBackup",
            "/tmp/postgresql16",
            "",
        ] {
            assert_eq!(rules.text(text), text);
        }
        assert_eq!(rules.applied().count(), 0);
    }

    #[test]
    fn strict_takes_nothing_away() {
        let mut rules = Rules::new(true);
        assert_eq!(rules.text("/proc/1/x"), "/proc/1/x");
        assert_eq!(rules.host(Some("a"), "1.2.3.4"), "a (1.2.3.4)");
    }
}
