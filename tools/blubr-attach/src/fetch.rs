//! Fetch the attestation that is attached to an image.

use std::io::{IsTerminal as _, Write as _};

use blubr_cli::{Exit, Failure, Output};
use blubr_oci::Descriptor;
use blubr_oci::Target;

use crate::cli::Keys;
use crate::content::{self, ARTIFACT_TYPES};
use crate::plan::Fetch;
use crate::push::spoken_of;

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
    check(plan, target, entry, &fetched.bytes)?;
    if plan.output.is_none() && std::io::stdout().is_terminal() && fetched.bytes.contains(&0) {
        return Err(
            Failure::new("it is binary, and standard output is a terminal").advise("name a file by -o")
        );
    }
    let mut out = Output::create(plan.output.as_deref())?;
    out.write_all(&fetched.bytes).map_err(|error| Failure::io(out.name(), &error))?;
    out.commit()?;
    Ok(Exit::Done)
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
    const NAMED_MAX: usize = 20;
    match found {
        [(target, entry)] => Ok((target, entry)),
        [] => Err(Failure::no("no attestation is attached to it").at(&plan.image.reference)),
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

/// Whoever attached it may have attached anything: a statement that lies open must speak of the image.
fn check(plan: &Fetch, target: &Target, entry: &Descriptor, bytes: &[u8]) -> Result<(), Failure> {
    let name = entry.digest.to_string();
    let content = match content::of(bytes.to_vec(), &Keys::default(), &name) {
        Ok(content) => content,
        // By digest anything may be fetched.
        Err(_) if plan.digest.is_some() => return Ok(()),
        Err(failure) => return Err(failure),
    };
    match &content.said {
        Some(said) => {
            spoken_of(std::slice::from_ref(target), said).map(drop).map_err(|failure| failure.at(name))
        }
        None => Ok(()),
    }
}
