//! A record against an image: is this the image that it speaks of, made by these instructions?

use blubr_attestation::Statement;
use blubr_image::Image;

use crate::cli::Subject;
use crate::compare::{Checker, Difference, Found, History, history};
use crate::reverse::Reversed;
use crate::severity::Severity::{Alert, Info};

/// What the image's side is.
pub struct ImageSide<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its history, reversed.
    pub reversed: &'a Reversed,
    /// What has seen its layers' entries; `None` when they weren't wanted.
    pub files: Option<Checker<'a>>,
}

/// Compares them. `recorded`: the record's instructions, or why they can't be read.
pub fn against_image(
    statement: &Statement,
    side: ImageSide<'_>,
    recorded: Result<&History, &str>,
    only: &[Subject],
) -> Found {
    let mut found = Found::default();
    let wanted = |subject| only.is_empty() || only.contains(&subject);
    let build = &statement.predicate.blubr_build;
    if wanted(Subject::Image) {
        found.subject(Subject::Image, "the image is the one that the record names", |f| {
            digests(statement, side.image, f)
        });
    }
    if wanted(Subject::History) {
        let what =
            "every line of the image's history is an instruction of the record, and the other way round";
        found.subject(Subject::History, what, |f| match recorded {
            Ok(recorded) => history::compare(build, recorded, &side.image.config, side.reversed, f),
            Err(why) => f.not_compared.push(format!("the history: {why}")),
        });
    }
    if let Some(checker) = side.files.filter(|_| wanted(Subject::Files)) {
        let what = "the files of the image's layers are those of the record";
        found.subject(Subject::Files, what, |f| checker.finish(f));
    }
    found
}

fn digests(statement: &Statement, image: &Image, found: &mut Found) {
    let named: Vec<&str> =
        statement.subject.iter().filter_map(|s| s.digest.get("sha256").map(String::as_str)).collect();
    let config = image.config_digest.hex();
    let manifest = image.manifest.as_ref().map(|m| m.digest.hex());
    let index = image.index_digest.as_ref().map(blubr_image::Digest::hex);
    let is_named = named.contains(&config)
        || manifest.is_some_and(|m| named.contains(&m))
        || index.is_some_and(|i| named.contains(&i));
    if named.is_empty() {
        found.add(Difference::new(Subject::Image, Alert, "the record names no image as its subject"));
    } else if !is_named {
        let difference = Difference::new(Subject::Image, Alert, "the record's subject is another image");
        found.add(difference.values(named.join(", "), format!("config {config}")));
    }
    let Some(recorded) = &statement.predicate.blubr_build.image else {
        return found.not_compared.push("the layers: the record was made without an image".to_owned());
    };
    if recorded.config_digest != image.config_digest.as_str() {
        let difference = Difference::new(Subject::Image, Alert, "the config's digest");
        found.add(difference.values(recorded.config_digest.clone(), image.config_digest.to_string()));
    }
    if let (Some(a), Some(b)) = (&recorded.manifest_digest, &image.manifest)
        && a != b.digest.as_str()
    // The same config in another manifest: compressed otherwise, or pushed by another client.
    {
        let difference = Difference::new(Subject::Image, Info, "the manifest's digest");
        found.add(difference.values(a.clone(), b.digest.to_string()));
    }
    let ids: Vec<String> = image.config.diff_ids().iter().map(ToString::to_string).collect();
    if recorded.diff_ids != ids {
        let mut detail = Vec::new();
        for at in 0..ids.len().max(recorded.diff_ids.len()) {
            let (a, b) = (recorded.diff_ids.get(at), ids.get(at));
            if a != b {
                detail.extend(a.map(|a| format!("- layer {} {a}", at + 1)));
                detail.extend(b.map(|b| format!("+ layer {} {b}", at + 1)));
            }
        }
        found.add(
            Difference::new(Subject::Image, Alert, "the layers").detail(crate::compare::shown(detail)),
        );
    }
}
