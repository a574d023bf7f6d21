//! Differences as one JSON object, for jq.

use blubr_cli::printable_json;
use serde_json::{Value, json};

use crate::compare::Found;
use crate::normalise::Rules;
use crate::output::report::subject;

/// Prints a comparison; one line.
pub fn print(found: &Found, rules: &Rules, old: &str, new: &str) -> String {
    let differences: Vec<Value> = found
        .differences
        .iter()
        .map(|d| {
            json!({
                "subject": subject(d.subject),
                "severity": d.severity.word(),
                "what": d.what,
                "step": d.step,
                "lines": d.lines,
                "old": d.old,
                "new": d.new,
                "detail": d.detail,
            })
        })
        .collect();
    let same: Vec<Value> =
        found.same.iter().map(|(s, what)| json!({"subject": subject(*s), "what": what})).collect();
    let normalised: Vec<Value> = rules
        .applied()
        .map(|(rule, values)| json!({"rule": rule.name, "what": rule.what, "values": values}))
        .collect();
    let report = json!({
        "old": old,
        "new": new,
        "different": !found.differences.is_empty(),
        "differences": differences,
        "same": same,
        "notes": found.notes,
        "not_compared": found.not_compared,
        "normalised": normalised,
    });
    format!("{}\n", printable_json(&report.to_string()))
}
