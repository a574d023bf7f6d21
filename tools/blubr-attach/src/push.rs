//! Attach an attestation to the image of which it speaks.

use std::io::Write as _;

use blubr_cli::{Exit, Failure, Output};
use blubr_oci::{Artifact, Attached, How, Target};

use crate::TOOL;
use crate::content::{self, Content, Said};
use crate::log::Log;
use crate::plan::Push;

/// Attaches, prints the digest of the new manifest; and in a second line that of its log's.
pub(crate) fn run(plan: &Push) -> Result<Exit, Failure> {
    let content = content::read(&plan.file, &plan.keys)?;
    let said = content.said.as_ref();
    let mut log = plan.log.as_ref().map(|log| Log::open(log, said)).transpose()?;
    let image = &plan.image;
    let mut place = blubr_oci::referrers(&image.reference, &image.options).map_err(Failure::new)?;
    let targets = place.targets().map_err(Failure::new)?;
    let target = match &content.said {
        Some(said) => spoken_of(&targets, said).map_err(|failure| failure.at(plan.file.display()))?,
        None => {
            let target = only_image(&targets)?;
            image.common.note(TOOL, format_args!(
                "{}: it is encrypted: whether it speaks of this image was not checked: --key or --gpg would",
                plan.file.display()
            ));
            target
        }
    };
    let artifact = artifact(&content);
    let attached = place.attach(&target.descriptor, &artifact).map_err(Failure::new)?;
    let digest = &target.descriptor.digest;
    image.common.note(TOOL, format_args!("attached to {digest} {}", found_by(&attached)));
    let mut lines = format!("{}\n", attached.digest);
    if let Some(log) = &mut log {
        let artifact = log.artifact(&attached.digest)?;
        let beside = place.attach_long(&target.descriptor, &artifact).map_err(Failure::new)?;
        image.common.note(TOOL, format_args!("its log attached to {digest} {}", found_by(&beside)));
        lines.push_str(&format!("{}\n", beside.digest));
    }
    let mut out = Output::create(None)?;
    out.write_all(lines.as_bytes()).map_err(|error| Failure::io(out.name(), &error))?;
    out.commit()?;
    Ok(Exit::Done)
}

/// By what it is found now, in words.
fn found_by(attached: &Attached) -> String {
    match &attached.how {
        None => "already".to_owned(),
        Some(How::Layout) => "and listed in the layout's index".to_owned(),
        Some(How::Api) => "and listed by the referrers API".to_owned(),
        Some(How::FallbackTag(tag)) => {
            format!("and listed by the tag {tag}: this registry has no referrers API")
        }
    }
}

fn artifact(content: &Content) -> Artifact<'_> {
    Artifact {
        artifact_type: content::artifact_type(content.kind),
        title: content::title(content.kind),
        bytes: &content.bytes,
        annotations: content::annotations(content),
    }
}

/// The one target whose digest a statement names as its subject; else the one whose config it names.
pub(crate) fn spoken_of<'a>(targets: &'a [Target], said: &Said) -> Result<&'a Target, Failure> {
    let by_manifest = targets.iter().filter(|target| said.subjects.contains(&target.descriptor.digest));
    let by_config = targets.iter().filter(|target| {
        target.config_digest.as_ref().is_some_and(|digest| said.subjects.contains(digest))
    });
    let mut fitting: Vec<&Target> = by_manifest.collect();
    if fitting.is_empty() {
        fitting = by_config.collect();
    }
    match fitting.as_slice() {
        [one] => Ok(one),
        // An image stands for itself rather than through the index that holds it.
        [index, one] if index.descriptor.is_index() => Ok(one),
        [] => {
            let subjects: Vec<&str> = said.subjects.iter().map(|digest| digest.as_str()).collect();
            let here: Vec<String> = targets.iter().map(described).collect();
            Err(Failure::no(format_args!(
                "it speaks of {}, the image is {}: nothing was attached",
                if subjects.is_empty() { "no image".to_owned() } else { subjects.join(", ") },
                here.join("; ")
            )))
        }
        _ => {
            Err(Failure::new("it speaks of several images of this index")
                .advise("choose one by --platform"))
        }
    }
}

fn described(target: &Target) -> String {
    match &target.config_digest {
        Some(config) => format!("{} with config {config}", target.descriptor.digest),
        None => target.descriptor.digest.to_string(),
    }
}

/// Where nothing tells which is meant, there must be one image only.
fn only_image(targets: &[Target]) -> Result<&Target, Failure> {
    let images: Vec<&Target> = targets.iter().filter(|target| !target.descriptor.is_index()).collect();
    match images.as_slice() {
        [one] => Ok(one),
        _ => Err(Failure::new(format_args!(
            "the index has {} images, and the attestation is encrypted",
            images.len()
        ))
        .advise("choose one by --platform, or give --key")),
    }
}
