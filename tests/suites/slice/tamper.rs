//! One byte changed anywhere in the log, the attestation or the signature, and verification says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::engine::Builder;
use blubr_tests::program::{describe, run};
use blubr_tests::require;

use crate::stage::{Recorded, folder};

/// Positions all over a file: `count` of them evenly spread, and every one of the first and last `edge` bytes.
fn positions(length: usize, count: usize, edge: usize) -> BTreeSet<usize> {
    let spread = (0..count).map(|n| n * length / count);
    let first = 0..edge.min(length);
    let last = length.saturating_sub(edge)..length;
    spread.chain(first).chain(last).collect()
}

/// Flips the lowest bit of one byte after another and expects the command to refuse each result.
fn each_flip_is_found(file: &Path, at: &BTreeSet<usize>, verify: impl Fn(&Path) -> Command) {
    let whole = std::fs::read(file).unwrap();
    let name = file.file_name().unwrap().to_string_lossy();
    let changed = folder("tamper").join(format!("{}-{name}", std::process::id()));
    let mut accepted = Vec::new();
    for position in at {
        let mut bytes = whole.clone();
        bytes[*position] ^= 1;
        std::fs::write(&changed, &bytes).unwrap();
        let mut command = verify(&changed);
        let answer = run(&mut command);
        if answer.status.success() {
            let context = &whole[position.saturating_sub(20)..(position + 20).min(whole.len())];
            accepted
                .push(format!("byte {position} of {name}, in {:?}", String::from_utf8_lossy(context)));
            continue;
        }
        let said = String::from_utf8_lossy(&answer.stderr).into_owned()
            + &String::from_utf8_lossy(&answer.stdout);
        assert!(
            matches!(answer.status.code(), Some(1 | 2)),
            "byte {position}: {}",
            describe(&command, &answer)
        );
        assert!(!said.trim().is_empty() && !said.contains("panicked"), "byte {position}: {said}");
    }
    std::fs::remove_file(&changed).unwrap();
    assert!(accepted.is_empty(), "a change was accepted:\n{}", accepted.join("\n"));
}

#[test]
fn a_changed_byte_of_the_whole_log() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::BuildKit);
    let log = recorded.file("build.ndjson");
    let length = usize::try_from(std::fs::metadata(&log).unwrap().len()).unwrap();
    each_flip_is_found(&log, &positions(length, 30, 8), |changed| {
        let mut verify = recorded.verify(&recorded.file("app.dsse.json"));
        verify.arg("--log").arg(changed);
        verify
    });
}

#[test]
fn a_changed_byte_of_the_filtered_log() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::Classic);
    let log = recorded.file("filtered.ndjson");
    let length = usize::try_from(std::fs::metadata(&log).unwrap().len()).unwrap();
    each_flip_is_found(&log, &positions(length, 30, 8), |changed| {
        let mut verify = recorded.verify(&recorded.file("app.dsse.json"));
        verify.arg("--log").arg(changed);
        verify
    });
}

#[test]
fn a_changed_byte_is_found_by_the_chain_alone() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::BuildKit);
    let log = recorded.file("build.ndjson");
    // The trailer holds the digest of what stands before it, not its own.
    let whole = std::fs::read(&log).unwrap();
    let length = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    each_flip_is_found(&log, &positions(length, 30, 8), |changed| {
        let mut filter = bins::command("blubr-filter");
        filter.arg("--type").arg("nothing.at.all").arg(changed);
        filter
    });
}

#[test]
fn a_changed_byte_of_the_envelope() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::BuildKit);
    let envelope = recorded.file("app.dsse.json");
    let length = usize::try_from(std::fs::metadata(&envelope).unwrap().len()).unwrap();
    each_flip_is_found(&envelope, &positions(length, 40, 400), |changed| recorded.verify(changed));
}

#[test]
fn a_changed_byte_of_the_encrypted_message() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::BuildKit);
    let message = recorded.file("app.att");
    let length = usize::try_from(std::fs::metadata(&message).unwrap().len()).unwrap();
    each_flip_is_found(&message, &positions(length, 40, 200), |changed| recorded.verify(changed));
}

#[test]
fn a_changed_byte_of_the_statement_or_of_its_detached_signature() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::Classic);
    let (statement, signature) =
        (recorded.file("app.statement.json"), recorded.file("app.statement.json.asc"));
    let verify = |statement: &Path, signature: &Path| {
        let mut verify = recorded.verify(statement);
        verify.arg("--signature").arg(signature);
        verify
    };
    let answer = run(&mut verify(&statement, &signature));
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let length = usize::try_from(std::fs::metadata(&statement).unwrap().len()).unwrap();
    each_flip_is_found(&statement, &positions(length, 30, 30), |changed| verify(changed, &signature));
    let length = usize::try_from(std::fs::metadata(&signature).unwrap().len()).unwrap();
    each_flip_is_found(&signature, &positions(length, length, 0), |changed| verify(&statement, changed));
}

#[test]
fn a_stranger_s_signature_is_no_one_s() {
    require!(Root, Docker, Gpg);
    let recorded = Recorded::of(Builder::BuildKit);
    let mut verify = bins::command("blubr-attest");
    verify.arg("verify").arg("--cert").arg(Recorded::keys().file("stranger.asc"));
    verify.arg(recorded.file("app.dsse.json"));
    let answer = run(&mut verify);
    assert_eq!(answer.status.code(), Some(1), "{}", describe(&verify, &answer));
}
