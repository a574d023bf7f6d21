//! Programs that belong to no step, and argument vectors side by side.

use std::collections::BTreeMap;

use blubr_attestation::BlubrBuild;
use blubr_attestation::trace::Process;

use crate::cli::Subject::Processes;
use crate::compare::{Difference, Found, REDACTED, counted, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Change, Warning};

/// One line for each program that one side ran more often: `- argv`, `+ argv`.
pub fn argv_lines(old: &[Process], new: &[Process], rules: &mut Rules) -> Vec<String> {
    let (a, b) = (keys(old, rules), keys(new, rules));
    let mut lines = Vec::new();
    for (key, count) in &a {
        let other = b.get(key).copied().unwrap_or(0);
        if *count > other {
            lines.push(line('-', key, count - other));
        }
    }
    for (key, count) in &b {
        let other = a.get(key).copied().unwrap_or(0);
        if *count > other {
            lines.push(line('+', key, count - other));
        }
    }
    lines
}

fn keys<'a>(list: &'a [Process], rules: &mut Rules) -> BTreeMap<Key<'a>, u64> {
    counted(list.iter().map(|p| {
        let exe = p.exe.as_deref().or(p.exe_b64.as_deref()).unwrap_or("");
        // Where an argument is not UTF-8 only the base64 tells two of them apart.
        (rules.text(exe).into_owned(), rules.argv(&p.argv), p.argv_truncated, p.argv_b64.as_slice())
    }))
}

/// A program as it is compared: path, arguments, whether these were cut, and their base64 where one is not UTF-8.
type Key<'a> = (String, Vec<String>, bool, &'a [String]);

fn line(sign: char, (exe, argv, truncated, base64): &Key<'_>, times: u64) -> String {
    let words: Vec<String> = argv.iter().map(|w| quote(w)).collect();
    let exact =
        if base64.is_empty() { String::new() } else { format!(" (base64: {})", base64.join(" ")) };
    let cut = if *truncated { " [cut]" } else { "" };
    let program =
        if argv.first().is_some_and(|w| w == exe) { String::new() } else { format!(" ({exe})") };
    let times = if times > 1 { format!(" x{times}") } else { String::new() };
    format!("{sign} {}{cut}{exact}{program}{times}", words.join(" "))
}

/// A word as one would type it into a shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-+=./:,@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Says which parts of two lists of programs the records don't hold, so that equal ones may still differ there.
pub fn unknown_parts(whose: &str, old: &[Process], new: &[Process], found: &mut Found) {
    let count = |of: &dyn Fn(&Process) -> bool| {
        old.iter().filter(|p| of(p)).count().max(new.iter().filter(|p| of(p)).count())
    };
    let cut = count(&|p| p.argv_truncated);
    if cut > 0 {
        let what = "arguments beyond the recorder's limit";
        found.not_compared.push(format!("{whose}: {what}, of programs: {cut}"));
    }
    let redacted = count(&|p| p.argv.iter().any(|word| word.contains(REDACTED)));
    if redacted > 0 {
        let what = "arguments that were taken out as secrets";
        found.not_compared.push(format!("{whose}: {what}, of programs: {redacted}"));
    }
}

/// Compares what belongs to no step that is known (unless the lists are `elsewhere`), and the client's own command.
pub fn compare(
    old: &BlubrBuild,
    new: &BlubrBuild,
    rules: &mut Rules,
    elsewhere: Option<&str>,
    found: &mut Found,
) {
    let all = |build: &BlubrBuild| -> Vec<Process> {
        let candidates = build.candidates.iter().flat_map(|c| c.processes.iter());
        let rest = build.unattributed.processes.iter().chain(candidates);
        rest.filter(|p| p.id != build.build.client).cloned().collect()
    };
    let left_out = |build: &BlubrBuild| {
        build.unattributed.counts.left_out > 0 || build.candidates.iter().any(|c| c.counts.left_out > 0)
    };
    if left_out(old) || left_out(new) {
        let what = "programs of no known step beyond the record's lists, which were cut";
        found.not_compared.push(what.to_owned());
    }
    let command =
        |build: &BlubrBuild| build.build.argv.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
    if old.build.argv != new.build.argv {
        let difference = Difference::new(Processes, Change, "the command that built");
        found.add(difference.values(command(old), command(new)));
    }
    if let Some(place) = elsewhere {
        return found.not_compared.push(format!("programs of no known step: {place}"));
    }
    let (a, b) = (all(old), all(new));
    unknown_parts("programs of no known step", &a, &b, found);
    let detail = argv_lines(&a, &b, rules);
    if !detail.is_empty() {
        let what = "programs that belong to no known step";
        found.add(Difference::new(Processes, Warning, what).detail(shown(detail)));
    }
}
