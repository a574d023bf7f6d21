//! Differences for people.

use std::fmt::Write as _;

use blubr_cli::printable;

use crate::cli::Subject;
use crate::compare::{Difference, Found};
use crate::normalise::Rules;
use crate::severity::Severity;

/// Columns of the subject and of the severity word.
const SUBJECT_COLUMNS: usize = 12;
const SEVERITY_COLUMNS: usize = 7;
/// Characters of a value that stand in one line of the report.
const VALUE_CHARS_MAX: usize = 400;

/// The name of a subject, as `--only` takes it.
pub fn subject(subject: Subject) -> String {
    use clap::ValueEnum as _;
    subject.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// With colours.
    pub color: bool,
    /// With the rules that were applied.
    pub explain: bool,
}

/// Prints a comparison.
pub fn print(found: &Found, rules: &Rules, style: Style) -> String {
    let mut out = String::new();
    for difference in &found.differences {
        print_one(&mut out, difference, style.color);
    }
    for (subject_, what) in &found.same {
        line(&mut out, *subject_, &paint(style.color, "same", "32", SEVERITY_COLUMNS), what);
    }
    for what in &found.notes {
        let _ = writeln!(out, "{:SUBJECT_COLUMNS$} note: {}", "", printable(what));
    }
    for what in &found.not_compared {
        let _ = writeln!(out, "{:SUBJECT_COLUMNS$} not compared: {}", "", printable(what));
    }
    let taken: Vec<_> = rules.applied().collect();
    if style.explain {
        for (rule, count) in &taken {
            let _ = writeln!(
                out,
                "{:SUBJECT_COLUMNS$} rule {} ({count} values): {}",
                "", rule.name, rule.what
            );
        }
        if taken.is_empty() {
            let _ = writeln!(out, "{:SUBJECT_COLUMNS$} no rule took anything away", "");
        }
    } else if !taken.is_empty() {
        let names: Vec<&str> = taken.iter().map(|(rule, _)| rule.name).collect();
        let text = format!(
            "taken away as what differs between any two runs: {} (see --explain)",
            names.join(", ")
        );
        let _ = writeln!(out, "{:SUBJECT_COLUMNS$} {text}", "");
    }
    let _ = writeln!(out, "{}", summary(found));
    out
}

/// The last line.
fn summary(found: &Found) -> String {
    if found.differences.is_empty() {
        return match found.not_compared.len() {
            0 => "same".to_owned(),
            n => format!("same in all that could be compared; not compared: {n}"),
        };
    }
    let mut counts = Vec::new();
    for severity in [Severity::Alert, Severity::Warning, Severity::Change, Severity::Info] {
        let n = found.differences.iter().filter(|d| d.severity == severity).count();
        if n > 0 {
            counts.push(format!("{n} {}", severity.word()));
        }
    }
    format!("different: {}", counts.join(", "))
}

fn print_one(out: &mut String, d: &Difference, color: bool) {
    let code = match d.severity {
        Severity::Info => "36",
        Severity::Change => "34",
        Severity::Warning => "33",
        Severity::Alert => "1;31",
    };
    line(out, d.subject, &paint(color, d.severity.word(), code, SEVERITY_COLUMNS), &d.what);
    let indent = SUBJECT_COLUMNS + SEVERITY_COLUMNS + 2;
    // A detail of both sides says what the values say, better.
    if d.detail.is_empty() {
        for (sign, value) in [("-", &d.old), ("+", &d.new)] {
            if let Some(value) = value {
                let text = cut(&format!("{sign} {value}"));
                let _ = writeln!(out, "{:indent$}{}", "", paint(color, &text, sign_code(&text), 0));
            }
        }
    }
    for detail in &d.detail {
        let text = cut(detail);
        let _ = writeln!(out, "{:indent$}{}", "", paint(color, &text, sign_code(&text), 0));
    }
}

fn line(out: &mut String, subject_: Subject, severity: &str, what: &str) {
    let _ = writeln!(out, "{:SUBJECT_COLUMNS$} {severity} {}", subject(subject_), printable(what));
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if text.chars().nth(VALUE_CHARS_MAX).is_some() {
        shown.push_str(" [cut]");
    }
    printable(&shown).into_owned()
}

fn sign_code(text: &str) -> &'static str {
    match text.chars().next() {
        Some('-') => "31",
        Some('+') => "32",
        _ => "",
    }
}

/// A text in a colour (SGR), padded to columns that the colour doesn't count in.
fn paint(color: bool, text: &str, code: &str, columns: usize) -> String {
    if color && !code.is_empty() {
        format!("\u{1b}[{code}m{text:columns$}\u{1b}[0m")
    } else {
        format!("{text:columns$}")
    }
}
