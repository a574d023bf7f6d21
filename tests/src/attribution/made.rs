//! Where the steps of a stage share a tree: each path is made by the step that the fixture says, and by no other.

use serde_json::Value;

use super::line_of;
use crate::corpus::Case;

/// What is said otherwise of the paths that the case has under `made`.
pub(super) fn faults<'a>(case: &Case, steps: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let steps: Vec<&Value> = steps.collect();
    let mut faults = Vec::new();
    for one in case.list("made") {
        let lines: Vec<Value> = steps
            .iter()
            .filter(|step| created(step, &one["path"]))
            .map(|step| line_of(step).into())
            .collect();
        if lines != [one["line"].clone()] {
            faults.push(format!(
                "{} is said to be made by lines {lines:?}, not {}",
                one["path"], one["line"]
            ));
        }
    }
    faults
}

fn created(step: &Value, path: &Value) -> bool {
    let of_path = |write: &&Value| write["path"] == *path;
    let kinds = step["writes"].as_array().into_iter().flatten().filter(of_path);
    kinds.flat_map(|write| write["access"].as_array()).flatten().any(|kind| kind == "create")
}
