//! Earlier attestations: what each shows of a layer that this build took from the cache. An equal diff_id says that the content
//! is equal; it does not say that the layer came from that build, and no more is said of it.

use std::collections::BTreeSet;
use std::path::Path;

use blubr_attestation::build::{
    BlubrBuild, Cited, Evidence, Outcome, Recording, Status, Step, Unexplained, What,
};
use blubr_attestation::{Lists, Statement};
use blubr_cli::{Failure, Input};
use blubr_envelope::{Cert, OpenError, Opened, SecretKey, verify_envelope};
use blubr_log::Time;
use sha2::{Digest as _, Sha256};

use crate::assemble::when;
use crate::context::hex;
use crate::crosscheck::{DEVIATIONS_MAX, UNEXPLAINED_MAX};
use crate::opened;
use crate::plan::Plan;
use crate::write::{Keys, now};

/// The layer of an instruction that changed nothing: a tar archive of two empty blocks. Everybody's is the same.
const EMPTY_LAYER: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
/// Steps of one prior that are cited for one layer; a count.
const CITED_MAX: usize = 8;
/// Citations within citations that are passed on; a count. None of them is followed.
const CHAIN_MAX: usize = 16;
/// Characters of an instruction that stand in a sentence.
const TEXT_CHARS_MAX: usize = 100;

/// An earlier attestation whose signature was verified.
pub struct Prior {
    envelope_sha256: String,
    signed_by: String,
    /// The image that it is of.
    config_digest: String,
    diff_ids: Vec<String>,
    /// Layers of which it says itself that something in them is unexplained; none where it doesn't know of each layer whether
    /// there is.
    unexplained: Option<BTreeSet<String>>,
    /// It shows that the engine stored that image.
    is_of_build: bool,
    recording: Recording,
    /// When its build ended, in ns since 1970.
    ended: Option<u64>,
    steps: Vec<Step>,
}

/// Reads and verifies every prior that the plan names.
pub fn read(plan: &Plan, keys: &Keys) -> Result<Vec<Prior>, Failure> {
    let certs = opened::certs(&plan.priors.certs)?;
    let mut secrets = Vec::new();
    for path in &plan.priors.keys {
        secrets.push(opened::secret_key(path, &plan.passphrase)?);
    }
    let mut priors: Vec<Prior> = Vec::new();
    for path in &plan.priors.files {
        let one = read_one(path, &certs, &secrets, keys.own())?;
        // Given twice, also under two names, or once as it was encrypted: it says nothing more.
        if !priors.iter().any(|known| known.envelope_sha256 == one.envelope_sha256) {
            priors.push(one);
        }
    }
    Ok(priors)
}

fn read_one(
    path: &Path,
    certs: &[Cert],
    secrets: &[SecretKey],
    own: Option<&SecretKey>,
) -> Result<Prior, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(what).at(path.display());
    let opened = match (blubr_envelope::open(Input::open(Some(path))?, secrets), own) {
        (Err(OpenError::NoKey { .. }), Some(own)) => {
            blubr_envelope::open(Input::open(Some(path))?, std::slice::from_ref(own))
        }
        (opened, _) => opened,
    };
    let opened = opened.map_err(|error| failed(&error))?;
    let (envelope_sha256, signed_by) =
        verified(&opened, certs).map_err(|failure| failure.at(path.display()))?;
    let lists = Lists::STEPS.and(Lists::EVIDENCE).and(Lists::UNEXPLAINED);
    let statement = opened::statement(&path.display().to_string(), &opened, lists)?;
    drop(opened);
    let ended = statement.predicate.metadata.build_finished_on.as_deref().and_then(when);
    let Statement { predicate, .. } = statement;
    let build = predicate.blubr_build;
    if let Some(id) = refuted(&build) {
        let what =
            format_args!("this earlier attestation says that its image is another build's ({id} fails)");
        return Err(failed(&what).advise("leave it away: it shows nothing of this one's layers"));
    }
    let Some(image) = build.image else {
        let what = "this earlier attestation was made without an image, and names no layer";
        return Err(failed(&what).advise("leave it away, or attest that build with --image"));
    };
    let is_of_build = build.checks.iter().any(|one| one.id == OF_BUILD && one.result == Outcome::Pass);
    let unexplained = build.unexplained.as_deref().and_then(layers_unexplained);
    let steps = build.steps.into_iter().map(kept).collect();
    Ok(Prior {
        unexplained,
        is_of_build,
        envelope_sha256,
        signed_by,
        config_digest: image.config_digest,
        diff_ids: image.diff_ids,
        recording: build.completeness.recording,
        ended,
        steps,
    })
}

/// The sum of the envelope and the fingerprint of who signed it; only what verifies may be cited.
fn verified(opened: &Opened, certs: &[Cert]) -> Result<(String, String), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(format_args!("this earlier attestation can't be cited: {why}"))
            .advise("give its signer's certificate by --cert, or leave it away")
    };
    let envelope = opened.envelope().ok_or_else(|| refused(&"it is not signed (a bare statement)"))?;
    let signers = verify_envelope(envelope, certs, now()).map_err(|refusal| refused(&refusal))?;
    let signer = signers.first().ok_or_else(|| refused(&"nobody signed it"))?;
    // What was verified is byte for byte as it is written: the file's own sum, of an encrypted one that of what is within.
    let bytes = envelope.write().map_err(|error| refused(&error))?;
    Ok((hex(&Sha256::digest(&bytes)), signer.certificate.clone()))
}

/// The checks by which an attestation says that its image is not what its build stored.
const OF_BUILD: &str = "image-of-this-build";
const RECORDED: &str = "layers-recorded";

/// The check that failed, where the image is another build's.
fn refuted(build: &BlubrBuild) -> Option<&'static str> {
    let fails = |id: &str| build.checks.iter().any(|one| one.id == id && one.result == Outcome::Fail);
    [OF_BUILD, RECORDED].into_iter().find(|id| fails(id))
}

/// The layers of which something is in the list, where that holds all there was.
fn layers_unexplained(list: &[Unexplained]) -> Option<BTreeSet<String>> {
    let attributes = list.iter().filter(|one| one.what == What::AttributeWithoutEvent).count();
    let entries = list.len() - attributes;
    let is_whole = attributes < DEVIATIONS_MAX && entries < UNEXPLAINED_MAX;
    is_whole.then(|| list.iter().filter_map(|one| one.layer.clone()).collect())
}

/// A step without its lists.
fn kept(step: Step) -> Step {
    Step { network: Vec::new(), writes: Vec::new(), ..step }
}

impl Prior {
    /// Whether its build had ended before another one began: only then can that one have taken anything from it.
    pub fn ended_before(&self, began: Time) -> bool {
        self.ended.is_some_and(|ended| ended <= began.0)
    }

    fn cited(&self, step: Option<&Step>) -> Cited {
        Cited {
            envelope_sha256: self.envelope_sha256.clone(),
            signed_by: self.signed_by.clone(),
            step: step.map(|step| step.id.clone()),
            stage: step.and_then(|step| step.stage),
            lines: step.and_then(|step| step.lines),
            status: step.map(|step| step.status),
            cites: None,
        }
    }

    /// Who says it, for a sentence.
    fn name(&self) -> String {
        let record = match self.recording {
            Recording::Complete => "",
            Recording::Lossy => ", whose recording is lossy",
            Recording::Cut => ", whose recording is cut",
        };
        let image =
            if self.is_of_build { "" } else { ", which does not show that its image is that build's" };
        format!(
            "the attestation with envelope sha256 {}{record}{image} (its signature by {} verified)",
            self.envelope_sha256, self.signed_by
        )
    }

    /// The layers below the Dockerfile's own are, in order, those of the image that it is of, from the lowest.
    pub fn cite_base(&self, base: &[&str]) -> Option<Evidence> {
        let count = self.diff_ids.len();
        if count == 0 || base.get(..count)? != self.diff_ids {
            return None;
        }
        let detail = format!(
            "the lowest {count} of {} layers of the base have, in order, equal content to the layers of the image {} that {} is of",
            base.len(),
            self.config_digest,
            self.name()
        );
        Some(Evidence {
            kind: "prior".into(),
            detail,
            seq: vec![],
            prior: Some(Box::new(self.cited(None))),
        })
    }
}

/// What priors show of the layer of a cached step whose instruction is `text`. What was seen comes before what is itself
/// only cited.
pub fn cite<'p>(priors: impl Iterator<Item = &'p Prior>, layer: &str, text: &str) -> Vec<Evidence> {
    if layer == EMPTY_LAYER {
        return Vec::new();
    }
    let (mut seen, mut passed_on) = (Vec::new(), Vec::new());
    // Where it doesn't know how something came into a layer it doesn't show how the layer was made.
    let explains = |prior: &&Prior| prior.unexplained.as_ref().is_some_and(|odd| !odd.contains(layer));
    for prior in priors.filter(explains) {
        let has = |step: &&Step| step.diff_id.as_deref() == Some(layer);
        for step in prior.steps.iter().filter(has).take(CITED_MAX) {
            match step.status {
                Status::Observed => seen.push(observed(prior, step, text)),
                // Not of an instruction that only writes the config, or found all done: nobody was seen at work.
                Status::Daemon if step.began.is_some() => seen.push(observed(prior, step, text)),
                Status::Daemon => {}
                Status::Cached => passed_on.extend(chained(prior, step, text)),
                Status::NotObserved | Status::Candidates => {}
            }
        }
    }
    if seen.is_empty() { passed_on } else { seen }
}

/// The step, where it stands, and whether its instruction is the same, for a sentence.
fn place(step: &Step, text: &str) -> String {
    let lines = match step.lines {
        Some([first, last]) if first == last => format!(", line {first}"),
        Some([first, last]) => format!(", lines {first}-{last}"),
        None => String::new(),
    };
    let stage = step.stage.map_or(String::new(), |stage| format!(", stage {stage}"));
    let other = if step.text == text {
        String::new()
    } else {
        format!(
            ", whose instruction is another: {}",
            step.text.chars().take(TEXT_CHARS_MAX).collect::<String>()
        )
    };
    format!("the step {}{stage}{lines}{other}", step.id)
}

fn observed(prior: &Prior, step: &Step, text: &str) -> Evidence {
    let how = if step.status == Status::Observed { "was observed" } else { "the engine was seen to do" };
    let detail = format!(
        "a layer of equal content (diff_id) is in the attested image that of {}, which {how}, by {}",
        place(step, text),
        prior.name()
    );
    Evidence {
        kind: "prior".into(),
        detail,
        seq: vec![],
        prior: Some(Box::new(prior.cited(Some(step)))),
    }
}

/// A step that was cached there too: what it cites is passed on as cited, not as seen.
fn chained(prior: &Prior, step: &Step, text: &str) -> Option<Evidence> {
    let cites = step.evidence.iter().find_map(|one| one.prior.as_ref())?;
    let mut cited = prior.cited(Some(step));
    let mut depth = 1;
    let mut next = Some(cites);
    while let Some(one) = next {
        depth += 1;
        next = one.cites.as_ref();
    }
    if depth > CHAIN_MAX {
        return None;
    }
    let detail = format!(
        "a layer of equal content (diff_id) was cached in {}, of {}, which cites the attestation with envelope sha256 {} for it; that one was not looked at here",
        place(step, text),
        prior.name(),
        cites.envelope_sha256
    );
    cited.cites = Some(cites.clone());
    Some(Evidence { kind: "prior-cites".into(), detail, seq: vec![], prior: Some(Box::new(cited)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prior(status: Status, began: Option<&str>) -> Prior {
        let step = Step {
            id: "0.3".into(),
            text: "RUN x".into(),
            status,
            began: began.map(str::to_owned),
            diff_id: Some("sha256:aa".into()),
            ..Step::default()
        };
        Prior {
            envelope_sha256: "e".into(),
            signed_by: "f".into(),
            config_digest: "c".into(),
            diff_ids: vec!["sha256:aa".into()],
            unexplained: Some(BTreeSet::new()),
            is_of_build: true,
            recording: Recording::Complete,
            ended: Some(1),
            steps: vec![step],
        }
    }

    fn cited(prior: &Prior) -> Vec<String> {
        cite([prior].into_iter(), "sha256:aa", "RUN x").into_iter().map(|one| one.detail).collect()
    }

    #[test]
    fn only_what_was_seen_is_cited() {
        let began = Some("2026-01-01T00:00:00Z");
        assert!(cited(&prior(Status::Observed, began))[0].contains("which was observed"));
        assert!(cited(&prior(Status::Daemon, began))[0].contains("the engine was seen to do"));
        assert!(cited(&prior(Status::Daemon, None)).is_empty(), "nobody was seen at work");
        assert!(cited(&prior(Status::Candidates, began)).is_empty());
        let not_shown = Prior { is_of_build: false, ..prior(Status::Observed, began) };
        assert!(cited(&not_shown)[0].contains("does not show that its image is that build's"));
    }

    #[test]
    fn a_layer_that_the_prior_does_not_explain_is_not_cited() {
        let mut odd = prior(Status::Observed, None);
        odd.unexplained = Some(["sha256:aa".to_owned()].into());
        assert!(cited(&odd).is_empty());
    }

    #[test]
    fn a_prior_that_did_not_check_its_layers_is_not_cited_for_them() {
        let began = Some("2026-01-01T00:00:00Z");
        let unchecked = Prior { unexplained: None, ..prior(Status::Observed, began) };
        assert!(cited(&unchecked).is_empty());
        assert!(!cited(&prior(Status::Observed, began)).is_empty());
    }

    #[test]
    fn a_list_as_long_as_lists_get_may_have_been_cut() {
        let list = |what, count| {
            let layer = Some("sha256:aa".to_owned());
            vec![Unexplained { what, layer, ..Unexplained::default() }; count]
        };
        for (what, most) in
            [(What::EntryWithoutEvent, UNEXPLAINED_MAX), (What::AttributeWithoutEvent, DEVIATIONS_MAX)]
        {
            assert_eq!(layers_unexplained(&list(what, most)), None);
            let whole = layers_unexplained(&list(what, most - 1));
            assert_eq!(whole, Some(["sha256:aa".to_owned()].into()));
        }
        assert_eq!(layers_unexplained(&[]), Some(BTreeSet::new()));
    }

    #[test]
    fn an_image_of_another_build_is_refused() {
        let check = |id: &str, result| blubr_attestation::build::Check {
            id: id.into(),
            result,
            ..Default::default()
        };
        let with = |checks| BlubrBuild { checks, ..BlubrBuild::default() };
        assert_eq!(refuted(&with(vec![check(OF_BUILD, Outcome::Fail)])), Some(OF_BUILD));
        assert_eq!(refuted(&with(vec![check(RECORDED, Outcome::Fail)])), Some(RECORDED));
        assert_eq!(refuted(&with(vec![check(OF_BUILD, Outcome::Unknown)])), None);
    }
}
