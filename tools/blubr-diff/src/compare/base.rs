//! The base images: the names in the Dockerfile, and the layers that were there before.

use blubr_attestation::BlubrBuild;
use blubr_attestation::build::{Origin, Status};

use crate::cli::Subject::Base;
use crate::compare::{Difference, Found};
use crate::severity::Severity::{Change, Warning};

/// Compares them.
pub fn compare(old: &BlubrBuild, new: &BlubrBuild, found: &mut Found) {
    let (Some(a), Some(b)) = (&old.image, &new.image) else {
        if old.image.is_none() && new.image.is_none() {
            found.not_compared.push("the base images: neither record was made with an image".to_owned());
        } else {
            found.not_compared.push("the base images: one record was made without an image".to_owned());
        }
        return;
    };
    if a.base != b.base {
        let what = "the Dockerfile names other base images";
        found.add(Difference::new(Base, Change, what).values(a.base.join(", "), b.base.join(", ")));
    }
    let unknown = |base: &[String], layers: &[String]| {
        layers.is_empty() && base.iter().any(|name| !name.eq_ignore_ascii_case("scratch"))
    };
    let of_base = |build, diff_ids: &'_ [String]| diff_ids[..count(build, diff_ids)].to_vec();
    let (below, below_new) = (of_base(old, &a.diff_ids), of_base(new, &b.diff_ids));
    if unknown(&a.base, &below) && unknown(&b.base, &below_new) {
        // With a base that has layers none was found to be older than the build.
        let what = "the base images' layers: neither record tells them from the build's own";
        found.not_compared.push(what.to_owned());
    }
    if below != below_new && (is_unsure(old) || is_unsure(new)) {
        let what = "the base images' layers: which is that of a step from the cache is not known";
        found.not_compared.push(what.to_owned());
    } else if below != below_new {
        let same_names = a.base == b.base;
        let severity = if same_names { Warning } else { Change };
        let what = if same_names {
            "the same base image has other layers"
        } else {
            "the base image has other layers"
        };
        let lines = below.iter().filter(|l| !below_new.contains(l)).map(|l| format!("- {l}"));
        let lines =
            lines.chain(below_new.iter().filter(|l| !below.contains(l)).map(|l| format!("+ {l}")));
        let mut lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            lines.push("the same layers in another order".to_owned());
        }
        found.add(Difference::new(Base, severity, what).detail(lines));
    }
}

/// How many of an image's layers (diff_ids, lowest first) its base gave: those that were there before the build, and are no
/// step's.
pub fn count<L: AsRef<str>>(build: &BlubrBuild, layers: &[L]) -> usize {
    let mut below = layers;
    // A step's may have been there, too, in the cache. From the top, as the base may hold the like of it.
    for step in build.steps.iter().rev().filter(|step| step.origin != Origin::Inherited) {
        let of_step = |layer: &L| step.diff_id.as_deref() == Some(layer.as_ref());
        if let Some(at) = below.iter().rposition(of_step) {
            below = &below[..at];
        }
    }
    let was_there = |layer: &L| build.inherited.iter().any(|one| one == layer.as_ref());
    below.iter().rposition(was_there).map_or(0, |at| at + 1)
}

/// Whether the layer of a step from the cache isn't known: it may be any of those that were there before.
fn is_unsure(build: &BlubrBuild) -> bool {
    build.steps.iter().any(|step| step.status == Status::Cached && step.diff_id.is_none())
}
