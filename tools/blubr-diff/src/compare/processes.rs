//! Programs that belong to no step, and argument vectors side by side.

use blubr_attestation::BlubrBuild;
use blubr_attestation::trace::Process;

use crate::cli::Subject::Processes;
use crate::compare::{Difference, Found, counted, shown};
use crate::normalise::Rules;
use crate::severity::Severity::{Change, Warning};

/// One line for each program that one side ran more often: `- argv`, `+ argv`.
pub fn argv_lines(old: &[Process], new: &[Process], rules: &mut Rules) -> Vec<String> {
    let mut keys = |list: &[Process]| {
        counted(list.iter().map(|p| {
            let exe = p.exe.as_deref().or(p.exe_b64.as_deref()).unwrap_or("");
            (rules.text(exe), rules.argv(&p.argv), p.argv_truncated)
        }))
    };
    let (a, b) = (keys(old), keys(new));
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

fn line(sign: char, (exe, argv, truncated): &(String, Vec<String>, bool), times: u64) -> String {
    let words: Vec<String> = argv.iter().map(|w| quote(w)).collect();
    let cut = if *truncated { " [cut]" } else { "" };
    let program =
        if argv.first().is_some_and(|w| w == exe) { String::new() } else { format!(" ({exe})") };
    let times = if times > 1 { format!(" x{times}") } else { String::new() };
    format!("{sign} {}{cut}{program}{times}", words.join(" "))
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

/// Compares what belongs to no step that is known, and the client's own command.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, rules: &mut Rules, found: &mut Found) {
    let all = |build: &BlubrBuild| -> Vec<Process> {
        let candidates = build.candidates.iter().flat_map(|c| c.processes.iter());
        let rest = build.unattributed.processes.iter().chain(candidates);
        rest.filter(|p| p.id != build.build.client).cloned().collect()
    };
    let command =
        |build: &BlubrBuild| build.build.argv.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
    if old.build.argv != new.build.argv {
        let difference = Difference::new(Processes, Change, "the command that built");
        found.add(difference.values(command(old), command(new)));
    }
    let detail = argv_lines(&all(old), &all(new), rules);
    if !detail.is_empty() {
        let what = "programs that belong to no known step";
        found.add(Difference::new(Processes, Warning, what).detail(shown(detail)));
    }
}
