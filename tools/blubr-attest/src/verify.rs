//! Checking an attestation against certificates, image, Dockerfile, context, log and detail; every mismatch is named.

mod detail;
mod log;

use std::path::Path;

use blubr_attestation::{Lists, Statement};
use blubr_cli::{Exit, Failure, Output, printable};
use blubr_dockerfile::limits::FILE_BYTES_MAX as DOCKERFILE_BYTES_MAX;
use blubr_envelope::{Opened, verify_detached, verify_envelope};
use blubr_envelope::{Signer, verify::SIGNATURE_BYTES_MAX};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;

use crate::cli::Verify;
use crate::context::{self, hex};
use crate::opened::{self, read};
use crate::picture::Picture;
use crate::write::now;

/// The answers so far.
#[derive(Default)]
struct Answers {
    lines: Vec<(bool, &'static str, String)>,
    /// What nobody asked for, with the flag that asks for it.
    unchecked: Vec<(&'static str, &'static str)>,
}

impl Answers {
    fn good(&mut self, what: &'static str, detail: impl Into<String>) {
        self.lines.push((true, what, detail.into()));
    }

    fn bad(&mut self, what: &'static str, detail: impl Into<String>) {
        self.lines.push((false, what, detail.into()));
    }

    fn either(&mut self, good: bool, what: &'static str, detail: impl Into<String>) {
        self.lines.push((good, what, detail.into()));
    }

    /// Prints them and says the verdict.
    fn print(self) -> Result<Exit, Failure> {
        let mut output = Output::create(None)?;
        let mut text = String::new();
        for (good, what, detail) in &self.lines {
            let mark = if *good { "ok  " } else { "FAIL" };
            text.push_str(&format!("{mark}  {what:<11} {}\n", printable(detail)));
        }
        for (what, flag) in &self.unchecked {
            text.push_str(&format!("--    {what:<11} not checked ({flag})\n"));
        }
        let mut failed: Vec<&str> =
            self.lines.iter().filter(|(good, ..)| !good).map(|(_, what, _)| *what).collect();
        failed.dedup();
        if failed.is_empty() {
            let mut good: Vec<&str> = self.lines.iter().map(|(_, what, _)| *what).collect();
            good.dedup();
            text.push_str(&format!("verified: {}\n", good.join(", ")));
        } else {
            text.push_str(&format!("NOT verified: {}\n", failed.join(", ")));
        }
        output.write_all(text.as_bytes()).map_err(|error| Failure::io(output.name(), &error))?;
        output.commit()?;
        Ok(if failed.is_empty() { Exit::Done } else { Exit::No })
    }
}

/// Carries out `blubr-attest verify`.
pub fn run(args: &Verify) -> Result<Exit, Failure> {
    let unchecked = unchecked(args);
    let left_out = unchecked.iter().filter(|(what, _)| *what != "checkpoints").count();
    if left_out == CHECKS && args.detail.is_none() {
        let what = "--unsigned alone leaves nothing to check";
        return Err(
            Failure::new(what).advise("name --image, --dockerfile, --context, --log or --detail")
        );
    }
    let file = args.attestation.open()?;
    let mut answers = Answers { unchecked, ..Answers::default() };
    let opened = match file.opened {
        Ok(opened) => opened,
        Err(error) if error.is_change() => {
            answers.bad("file", format!("{}: {error}", file.name));
            return answers.print();
        }
        Err(error) => return Err(Failure::new(error).at(file.name)),
    };
    if opened.recipients_intact == Some(false) {
        let what =
            "the parts by which its recipients open the message were changed; what it holds was not";
        answers.bad("file", format!("{}: {what}", file.name));
    }
    signature(args, &opened, &mut answers)?;
    // A detail is held against the steps that it is of.
    let lists = if args.detail.is_some() { Lists::STEPS } else { Lists::NONE };
    let head = blubr_attestation::read_keeping(opened.statement_bytes(), lists);
    let signed = opened.envelope().is_some();
    drop(opened);
    match head {
        Ok(mut statement) => {
            against(args, &statement, &mut answers)?;
            detail::check(args.detail.as_deref(), &file.opener, &mut statement, &mut answers)?;
        }
        // A signed one whose signature doesn't fit was changed; any other never was a statement of ours.
        Err(error) if signed && answers.lines.iter().any(|(good, ..)| !good) => {
            answers.bad("statement", format!("{}: {error}", file.name));
        }
        Err(error) => return Err(Failure::new(error).at(file.name)),
    }
    answers.print()
}

/// How many things can be checked: signature, image, Dockerfile, context, log.
const CHECKS: usize = 5;

/// What the flags leave out.
fn unchecked(args: &Verify) -> Vec<(&'static str, &'static str)> {
    let all = [
        (args.unsigned, "signature", "--cert"),
        (args.image.is_none(), "image", "--image"),
        (args.dockerfile.is_none(), "Dockerfile", "--dockerfile"),
        (args.context.is_none(), "context", "--context"),
        (args.log.is_none(), "log", "--log"),
        (args.checkpoints.is_none(), "checkpoints", "--checkpoints"),
    ];
    all.into_iter().filter(|(left_out, ..)| *left_out).map(|(_, what, flag)| (what, flag)).collect()
}

fn signature(args: &Verify, opened: &Opened, answers: &mut Answers) -> Result<(), Failure> {
    if args.unsigned {
        return Ok(());
    }
    let certs = opened::certs(&args.cert)?;
    if let Some(path) = &args.signature {
        let (sig, _) = read(path, SIGNATURE_BYTES_MAX)?;
        match verify_detached(&sig, opened.statement_bytes(), &certs, now()) {
            Ok(signer) => answers.good("signature", format!("{} (detached)", who(&signer))),
            Err(refusal) => answers.bad("signature", format!("{}: {refusal}", path.display())),
        }
    }
    match opened.envelope() {
        Some(envelope) => match verify_envelope(envelope, &certs, now()) {
            Ok(signers) => signers.iter().for_each(|signer| answers.good("signature", who(signer))),
            Err(refusal) => answers.bad("signature", refusal.to_string()),
        },
        None if args.signature.is_none() => {
            answers.bad(
                "signature",
                "it is not signed (a bare statement; --signature FILE names a detached signature)",
            );
        }
        None => {}
    }
    Ok(())
}

fn who(signer: &Signer) -> String {
    let name = signer.user_ids.first().map_or("no user id", String::as_str);
    let time = blubr_log::Time(signer.signed_at.saturating_mul(1_000_000_000)).to_string();
    let time = time.get(..19).unwrap_or_default().replace('T', " ");
    let key = if signer.key == signer.certificate {
        String::new()
    } else {
        format!(", subkey {}", signer.key)
    };
    let notes: String = signer.notes.iter().map(|note| format!("; {note}")).collect();
    format!("by {name}, {}{key}, on {time} UTC{notes}", signer.certificate)
}

fn against(args: &Verify, statement: &Statement, answers: &mut Answers) -> Result<(), Failure> {
    let build = &statement.predicate.blubr_build;
    if let Some(reference) = &args.image {
        image(statement, &Picture::find(reference)?, answers);
    }
    if let Some(path) = &args.dockerfile {
        let (bytes, name) = read(path, DOCKERFILE_BYTES_MAX)?;
        let found = hex(&Sha256::digest(&bytes));
        match &build.dockerfile {
            None => answers.bad("Dockerfile", "the attestation names no Dockerfile"),
            Some(said) if said.sha256 == found => {
                answers.good("Dockerfile", format!("{name} has sha256 {found}"))
            }
            Some(said) => {
                answers.bad(
                    "Dockerfile",
                    format!("{name} has sha256 {found}, the build's had {}", said.sha256),
                );
            }
        }
    }
    if let Some(dir) = &args.context {
        directory(statement, dir, answers)?;
    }
    if let Some(path) = &args.log {
        log::check(&build.log, path, args.checkpoints.as_deref(), answers)?;
    }
    Ok(())
}

fn image(statement: &Statement, picture: &Picture, answers: &mut Answers) {
    let subjects: Vec<&str> = statement
        .subject
        .iter()
        .filter_map(|one| one.digest.get("sha256"))
        .map(String::as_str)
        .collect();
    let config = &picture.image.config_digest;
    let manifest = picture.image.manifest.as_ref().map(|manifest| &manifest.digest);
    let name = &picture.reference;
    if subjects.is_empty() {
        answers.bad("image", "the attestation names no image");
    } else if let Some(digest) = manifest.filter(|digest| subjects.contains(&digest.hex())) {
        answers.good("image", format!("{name} has the manifest {digest}"));
    } else if subjects.contains(&config.hex()) {
        answers.good("image", format!("{name} has the config {config}"));
    } else {
        let found = manifest.map_or_else(String::new, |digest| format!(" and the manifest {digest}"));
        answers.bad(
            "image",
            format!(
                "{name} has the config {config}{found}, the attested one is {}",
                subjects.join(", ")
            ),
        );
    }
}

fn directory(statement: &Statement, dir: &Path, answers: &mut Answers) -> Result<(), Failure> {
    let found = context::hash(dir)?.dir_hash;
    match statement
        .predicate
        .blubr_build
        .context
        .as_ref()
        .and_then(|context| context.digest.get("dirHash"))
    {
        None => answers.bad("context", "the attestation names no context"),
        Some(said) => {
            let detail =
                if *said == found { String::new() } else { format!(", the build's had {said}") };
            answers.either(
                *said == found,
                "context",
                format!("{} has dirHash {found}{detail}", dir.display()),
            );
        }
    }
    Ok(())
}
