//! List what is attached to an image.

use std::io::Write as _;

use blubr_cli::{Exit, Failure, Output, printable, printable_json};
use blubr_oci::Descriptor;
use blubr_oci::Target;
use serde_json::json;

use crate::TOOL;
use crate::plan::Discover;

/// Prints what is attached; 1 when nothing is.
pub(crate) fn run(plan: &Discover) -> Result<Exit, Failure> {
    let image = &plan.image;
    let mut place = blubr_oci::referrers(&image.reference, &image.options).map_err(Failure::new)?;
    let mut found = Vec::new();
    for target in place.targets().map_err(Failure::new)? {
        let mut list = place.referrers(&target.descriptor.digest).map_err(Failure::new)?;
        if let Some(wanted) = &plan.artifact_type {
            list.retain(|entry| entry.artifact_type.as_ref() == Some(wanted));
        }
        found.push((target, list));
    }
    let text = if plan.json { as_json(plan, &found)? } else { as_text(&found) };
    let mut out = Output::create(None)?;
    out.write_all(text.as_bytes()).map_err(|error| Failure::io(out.name(), &error))?;
    out.commit()?;
    if found.iter().all(|(_, list)| list.is_empty()) {
        image.common.note(TOOL, format_args!("nothing is attached to {}", image.reference));
        return Ok(Exit::No);
    }
    Ok(Exit::Done)
}

/// A line for each image, and indented below it what is attached: digest, type, size of the manifest, when it was made.
fn as_text(found: &[(Target, Vec<Descriptor>)]) -> String {
    let mut text = String::new();
    for (target, list) in found.iter().filter(|(_, list)| !list.is_empty()) {
        let what = match (&target.platform, target.descriptor.is_index()) {
            (Some(platform), _) => platform.to_string(),
            (None, true) => "index".to_owned(),
            (None, false) => "image".to_owned(),
        };
        text.push_str(&format!("{} {}\n", target.descriptor.digest, printable(&what)));
        for entry in list {
            let kind = entry.artifact_type.as_deref().unwrap_or("-");
            let about = |key: &str| entry.annotations.get(key).map_or("-", String::as_str);
            text.push_str(&format!(
                "  {} {} {} {}\n",
                entry.digest,
                printable(kind),
                printable(about("org.opencontainers.image.created")),
                printable(about("in-toto.io/predicate-type")),
            ));
        }
    }
    text
}

fn as_json(plan: &Discover, found: &[(Target, Vec<Descriptor>)]) -> Result<String, Failure> {
    let images: Vec<serde_json::Value> = found
        .iter()
        .map(|(target, list)| {
            json!({
                "digest": target.descriptor.digest,
                "mediaType": target.descriptor.media_type,
                "config": target.config_digest,
                "platform": target.platform,
                "referrers": list,
            })
        })
        .collect();
    let value = json!({"reference": plan.image.reference.to_string(), "images": images});
    let text = serde_json::to_string(&value).map_err(Failure::new)?;
    Ok(format!("{}\n", printable_json(&text)))
}
