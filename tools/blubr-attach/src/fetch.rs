//! Fetch the attestation that is attached to an image.

use std::io::{IsTerminal as _, Write as _};

use blubr_cli::{Exit, Failure, Output};
use blubr_envelope::Kind;
use blubr_oci::{Descriptor, Digest, Referrers, Target};

use crate::cli::Keys;
use crate::content::{self, ARTIFACT_TYPES};
use crate::log;
use crate::plan::Fetch;
use crate::push::spoken_of;

/// Digests that a message names.
const NAMED_MAX: usize = 20;

/// Writes the one attestation that is attached; 1 when there is none, or when it speaks of another image.
pub(crate) fn run(plan: &Fetch) -> Result<Exit, Failure> {
    let image = &plan.image;
    let mut place = blubr_oci::referrers(&image.reference, &image.options).map_err(Failure::new)?;
    let mut found = Vec::new();
    for target in place.targets().map_err(Failure::new)? {
        for entry in place.referrers(&target.descriptor.digest).map_err(Failure::new)? {
            if is_wanted(plan, &entry) {
                found.push((target.clone(), entry));
            }
        }
    }
    let (target, entry) = only(plan, &found)?;
    let fetched = place.fetch(&target.descriptor.digest, entry).map_err(Failure::new)?;
    let bytes = check(plan, target, entry, fetched.bytes)?;
    if plan.output.is_none() && std::io::stdout().is_terminal() && bytes.contains(&0) {
        return Err(
            Failure::new("it is binary, and standard output is a terminal").advise("name a file by -o")
        );
    }
    let log = match &plan.log_to {
        Some(path) => Some(log(plan, place.as_mut(), &target.descriptor.digest, &entry.digest, path)?),
        None => None,
    };
    let mut out = Output::create(plan.output.as_deref())?;
    out.write_all(&bytes).map_err(|error| Failure::io(out.name(), &error))?;
    log.map_or(Ok(()), Output::commit)?;
    out.commit()?;
    Ok(Exit::Done)
}

/// The one log that is attached beside the attestation, as it was attached; piece by piece into a file that has no name yet.
fn log(
    plan: &Fetch,
    place: &mut dyn Referrers,
    subject: &Digest,
    attestation: &Digest,
    path: &std::path::Path,
) -> Result<Output, Failure> {
    let mut beside = Vec::new();
    for entry in place.referrers(subject).map_err(Failure::new)? {
        if entry.artifact_type.as_deref() != Some(log::ARTIFACT_TYPE) {
            continue;
        }
        // Lists need not repeat a manifest's annotations.
        let manifest = place.manifest(subject, &entry).map_err(Failure::new)?;
        if manifest.annotations.get(log::BESIDE).map(String::as_str) == Some(attestation.as_str()) {
            beside.push((entry.digest, manifest));
        }
    }
    let manifest = match beside.as_slice() {
        [] => {
            return Err(Failure::no(format_args!("no log is attached beside {attestation}"))
                .at(&plan.image.reference));
        }
        [(_, manifest)] => manifest,
        several => {
            let named: Vec<&str> =
                several.iter().take(NAMED_MAX).map(|(digest, _)| digest.as_str()).collect();
            return Err(Failure::new(format_args!(
                "{} logs are attached beside {attestation}: {}",
                several.len(),
                named.join(" ")
            ))
            .at(&plan.image.reference)
            .advise("fetch one by another tool, or attach only one"));
        }
    };
    let mut out = Output::create(Some(path))?;
    place.fetch_long(manifest, &mut out).map_err(Failure::new)?;
    Ok(out)
}

fn is_wanted(plan: &Fetch, entry: &Descriptor) -> bool {
    match &plan.digest {
        Some(digest) => entry.digest == *digest,
        None => entry.artifact_type.as_deref().is_some_and(|kind| ARTIFACT_TYPES.contains(&kind)),
    }
}

fn only<'a>(
    plan: &Fetch,
    found: &'a [(Target, Descriptor)],
) -> Result<(&'a Target, &'a Descriptor), Failure> {
    match found {
        [(target, entry)] => Ok((target, entry)),
        [] => {
            let what = match &plan.digest {
                Some(digest) => format!("nothing with the digest {digest} is attached to it"),
                None => "no attestation is attached to it".to_owned(),
            };
            Err(Failure::no(what).at(&plan.image.reference))
        }
        several => {
            let named: Vec<&str> =
                several.iter().take(NAMED_MAX).map(|(_, entry)| entry.digest.as_str()).collect();
            Err(Failure::new(format_args!(
                "{} attestations are attached: {}",
                several.len(),
                named.join(" ")
            ))
            .at(&plan.image.reference)
            .advise("choose one by --digest"))
        }
    }
}

/// Whoever attached it may have attached anything: a statement that lies open must speak of the image. Gives `bytes` back.
fn check(plan: &Fetch, target: &Target, entry: &Descriptor, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let name = entry.digest.to_string();
    // By digest anything may be fetched.
    if plan.digest.is_some() && Kind::detect(&bytes).is_err() {
        return Ok(bytes);
    }
    let content = content::of(bytes, &Keys::default(), &name)?;
    if let Some(said) = &content.said {
        spoken_of(std::slice::from_ref(target), said).map_err(|failure| failure.at(name))?;
    }
    Ok(content.bytes)
}
