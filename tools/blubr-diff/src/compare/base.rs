//! The base images: the names in the Dockerfile, and the layers that were there before.

use blubr_attestation::BlubrBuild;

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
    let unknown = |base: &[String], inherited: &[String]| {
        inherited.is_empty() && base.iter().any(|name| !name.eq_ignore_ascii_case("scratch"))
    };
    if unknown(&a.base, &old.inherited) && unknown(&b.base, &new.inherited) {
        // With a base that has layers none was found to be older than the build.
        let what = "the base images' layers: neither record tells them from the build's own";
        found.not_compared.push(what.to_owned());
    }
    if old.inherited != new.inherited {
        let same_names = a.base == b.base;
        let severity = if same_names { Warning } else { Change };
        let what = if same_names {
            "the same base image has other layers"
        } else {
            "the base image has other layers"
        };
        let lines =
            old.inherited.iter().filter(|l| !new.inherited.contains(l)).map(|l| format!("- {l}"));
        let lines = lines.chain(
            new.inherited.iter().filter(|l| !old.inherited.contains(l)).map(|l| format!("+ {l}")),
        );
        let mut lines: Vec<String> = lines.collect();
        if lines.is_empty() {
            lines.push("the same layers in another order".to_owned());
        }
        found.add(Difference::new(Base, severity, what).detail(lines));
    }
}
