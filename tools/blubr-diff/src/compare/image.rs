//! The image: platform, names, layers, digests.

use blubr_attestation::BlubrBuild;
use blubr_dockerfile::asked;

use crate::cli::Subject::Image;
use crate::compare::{Difference, Found};
use crate::normalise::{DIGESTS, Rules};
use crate::record::{Entry, Files, Record};
use crate::severity::Severity::{Alert, Change, Info, Warning};

/// Compares them.
pub fn compare(old: &Record, new: &Record, rules: &mut Rules, found: &mut Found) {
    let (a, b) = match (&old.build().image, &new.build().image) {
        (Some(a), Some(b)) => (a, b),
        (None, None) => {
            return found.not_compared.push("the image: neither record was made with one".to_owned());
        }
        (a, _) => {
            let which = if a.is_none() { "older" } else { "newer" };
            return found.add(Difference::new(
                Image,
                Warning,
                format!("the {which} record was made without the image"),
            ));
        }
    };
    if a.platform != b.platform {
        found.add(
            Difference::new(Image, Change, "the platform")
                .values(a.platform.clone(), b.platform.clone()),
        );
    }
    if a.tags != b.tags {
        found
            .add(Difference::new(Image, Info, "the names").values(a.tags.join(", "), b.tags.join(", ")));
    }
    let layers_same = a.diff_ids == b.diff_ids;
    let only_times = !layers_same && a.diff_ids.len() == b.diff_ids.len() && rules.on() && {
        let pairs = || a.diff_ids.iter().zip(&b.diff_ids).filter(|(x, y)| x != y);
        pairs().all(|(x, y)| same_entries(old, x, new, y))
    };
    // With the lists elsewhere nothing says whether the layers differ in more than that.
    let is_open = !layers_same
        && a.diff_ids.len() == b.diff_ids.len()
        && rules.on()
        && (old.elsewhere.is_some() || new.elsewhere.is_some());
    if is_open {
        let what = "whether the layers differ in more than times: the files of one record at least are in its detail (--detail)";
        found.not_compared.push(what.to_owned());
    } else if only_times {
        rules.note(DIGESTS);
        let differing = a.diff_ids.iter().zip(&b.diff_ids).filter(|(x, y)| x != y).count();
        let untold = if tell_attributes(old, new) { "" } else { "owners, modes, " };
        found.not_compared.push(format!(
            "{untold}extended attributes and times in {differing} layers: their digests differ, and the records don't hold these"
        ));
    } else if !layers_same {
        layers(a.diff_ids.as_slice(), b.diff_ids.as_slice(), found);
    }
    if a.config_digest != b.config_digest {
        if only_times
            || is_open
            || (layers_same
                && rules.on()
                && a.created != b.created
                && same_but_for_config(old.build(), new.build()))
        {
            found.not_compared.push(
                "the image's config: its digest differs, as its times do, and the records hold no more of it"
                    .to_owned(),
            );
            rules.note(DIGESTS);
        } else {
            let what = "the config's digest";
            let difference = Difference::new(Image, if layers_same { Change } else { Info }, what);
            found.add(difference.values(a.config_digest.clone(), b.config_digest.clone()));
        }
    } else if !layers_same {
        found.add(Difference::new(
            Image,
            Alert,
            "the same config's digest, and other layers: one record is wrong",
        ));
    }
    if a.manifest_digest != b.manifest_digest && a.config_digest == b.config_digest {
        let severity =
            if a.manifest_digest.is_some() && b.manifest_digest.is_some() { Change } else { Info };
        let difference = Difference::new(Image, severity, "the manifest's digest");
        found.add(difference.values(a.manifest_digest.clone(), b.manifest_digest.clone()));
    }
}

/// The layers are the same and so is the Dockerfile: what is left of a config is its time and its history's times, and what
/// a base image's config brings.
fn same_but_for_config(old: &BlubrBuild, new: &BlubrBuild) -> bool {
    let sum = |build: &BlubrBuild| build.dockerfile.as_ref().map(|d| d.sha256.clone());
    let [a, b] = [old, new].map(|of| of.build.argv.iter().map(String::as_str).collect::<Vec<_>>());
    let is_cut = old.build.argv_truncated || new.build.argv_truncated;
    sum(old).is_some() && sum(old) == sum(new) && !is_cut && asked::asks_for_the_same(&a, &b)
}

/// Whether two layers have the same entries; not if either list isn't known.
fn same_entries(old: &Record, a: &str, new: &Record, b: &str) -> bool {
    // An inherited layer has no list: its digest is all that is known of it.
    let made_here = |record: &Record, layer: &str| !record.build().inherited.iter().any(|l| l == layer);
    made_here(old, a)
        && made_here(new, b)
        && entries(old, a, tell_attributes(old, new)).is_some()
        && entries(old, a, tell_attributes(old, new)) == entries(new, b, tell_attributes(old, new))
}

/// Whether both records tell modes and owners.
fn tell_attributes(old: &Record, new: &Record) -> bool {
    [old, new].iter().all(|record| record.files.as_ref().is_some_and(Files::tell_attributes))
}

/// A layer's entries, sorted, without who wrote them.
fn entries<'a>(record: &'a Record, layer: &str, attributes: bool) -> Option<Vec<Entry<'a>>> {
    let files = record.files.as_ref()?.iter().filter(|f| f.layer == layer);
    let alone = |file: Entry<'a>| Entry {
        layer: "",
        step: None,
        hidden: false,
        attributes: file.attributes.filter(|_| attributes),
        ..file
    };
    let mut list: Vec<Entry<'a>> = files.map(alone).collect();
    list.sort_unstable();
    Some(list)
}

fn layers(a: &[String], b: &[String], found: &mut Found) {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let what = if a.len() == b.len() {
        format!("{} of {} layers differ", a.iter().zip(b).filter(|(x, y)| x != y).count(), a.len())
    } else {
        format!("{} layers instead of {}, the first {same} the same", b.len(), a.len())
    };
    let mut lines = Vec::new();
    for at in same..a.len().max(b.len()) {
        let (x, y) = (a.get(at), b.get(at));
        if x != y {
            lines.extend(x.map(|x| format!("- layer {} {x}", at + 1)));
            lines.extend(y.map(|y| format!("+ layer {} {y}", at + 1)));
        }
    }
    found.add(Difference::new(Image, Change, what).detail(crate::compare::shown(lines)));
}
