//! What an earlier attestation shows of the layers of cached steps (`--prior`): said where its signature verifies, and never more
//! than it shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, jq, run, sha256sum, stdout_of};
use blubr_tests::record::record;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};

/// Each build has the steps of the one before, and one more.
const STEPS: [(&str, &str); 3] = [
    ("one", "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/m3\"]\n"),
    ("two", "RUN [\"/bin/busybox\", \"mkdir\", \"/d4\"]\n"),
    ("three", "RUN [\"/bin/busybox\", \"touch\", \"/m5\"]\n"),
];

struct Stage {
    folder: tempfile::TempDir,
    builder: Builder,
}

impl Stage {
    fn of(builder: Builder) -> &'static Self {
        static CLASSIC: OnceLock<Stage> = OnceLock::new();
        static BUILDKIT: OnceLock<Stage> = OnceLock::new();
        let cell = if builder == Builder::Classic { &CLASSIC } else { &BUILDKIT };
        cell.get_or_init(|| Self::make(builder))
    }

    fn make(builder: Builder) -> Self {
        let folder = tempfile::Builder::new().prefix("prior.").tempdir_in(process_folder()).unwrap();
        let stage = Self { folder, builder };
        let keyring = Keyring::new();
        for name in ["signer", "stranger"] {
            let key = keyring.generate(name);
            keyring.export(&key, &stage.file(&format!("{name}.asc")));
            keyring.export_secret(&key, &stage.file(&format!("{name}.sec.asc")));
        }
        let context = Context::of_dockerfile("");
        let mut dockerfile = String::new();
        let engine = Engine::shared();
        for (at, (name, more)) in STEPS.iter().enumerate() {
            dockerfile.push_str(more);
            for file in [context.file("Dockerfile"), stage.file(&format!("{name}.Dockerfile"))] {
                std::fs::write(file, &dockerfile).unwrap();
            }
            let (tag, folder) = (stage.tag(name), context.path());
            let build = if at == 0 {
                engine.build_command(builder, folder, &tag, &[])
            } else {
                engine.cached_build_command(builder, folder, &tag, &[])
            };
            drop(record(&stage.file(&format!("{name}.ndjson")), &build));
        }
        drop(stdout_of(stage.attest("one", "one", &[]).arg("--dsse").arg(stage.file("one.dsse"))));
        drop(stdout_of(&mut stage.attest("two", "two", &["one"])));
        drop(stdout_of(&mut stage.attest("three", "three", &["two"])));
        stage
    }

    fn tag(&self, name: &str) -> String {
        format!("blubr-prior-{:?}-{name}", self.builder).to_lowercase()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Attests a build into OUT.att (signed) and OUT.json, with these priors.
    fn attest(&self, name: &str, out: &str, priors: &[&str]) -> Command {
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(self.file(&format!("{name}.Dockerfile")));
        attest.arg("--image").arg(format!("docker:{}", self.tag(name)));
        attest.arg("--sign-with").arg(self.file("signer.sec.asc"));
        attest.arg("-o").arg(self.file(&format!("{out}.att")));
        attest.arg("--statement").arg(self.file(&format!("{out}.json")));
        for prior in priors {
            attest.arg("--prior").arg(self.file(&format!("{prior}.att")));
        }
        if !priors.is_empty() {
            attest.arg("--cert").arg(self.file("signer.asc"));
        }
        attest.arg(self.file(&format!("{name}.ndjson")));
        attest
    }

    /// Of each step at a line: its status and the kinds of its evidence that cite a prior.
    fn cited(&self, out: &str, line: u32) -> String {
        let filter = format!(
            ".predicate.blubr_build.steps[] | select(.lines[0] == {line}) | [.status, (.evidence[] | select(.prior) | .kind)] | join(\" \")"
        );
        jq(&filter, &self.file(&format!("{out}.json")))
    }

    /// The tool must refuse the prior with status 2, one line that holds `said`, and write nothing.
    fn refuses(&self, prior: &str, said: &str) {
        let mut attest = self.attest("two", "refused", &[prior]);
        let answer = run(&mut attest);
        assert_eq!(answer.status.code(), Some(2), "{}", describe(&attest, &answer));
        let text = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(text.contains(said) && text.lines().count() == 1, "{text}");
        assert!(!self.file("refused.att").exists());
    }
}

fn both(check: impl Fn(&'static Stage)) {
    for builder in [Builder::BuildKit, Builder::Classic] {
        check(Stage::of(builder));
    }
}

#[test]
fn a_cached_step_stays_cached_and_cites_who_saw_its_layer() {
    require!(Root, Docker, Gpg);
    both(|stage| {
        for line in [2, 3] {
            assert_eq!(stage.cited("two", line), "cached prior", "{:?}: {line}", stage.builder);
        }
        assert_eq!(stage.cited("two", 4), "observed", "{:?}", stage.builder);
        let step = "(.predicate.blubr_build.steps[] | select(.lines[0] == 3))";
        let cited = |what: &str| {
            jq(&format!("{step}.evidence[] | select(.prior) | {what}"), &stage.file("two.json"))
        };
        assert_eq!(cited(".prior.envelope_sha256"), sha256sum(&stage.file("one.dsse")));
        assert_eq!(
            cited(".prior | [.step, .stage, .lines[], .status] | @csv"),
            "\"0.3\",0,3,3,\"observed\""
        );
        let envelope = jq(".signatures[0].keyid", &stage.file("one.dsse"));
        assert_eq!(cited(".prior.signed_by"), envelope, "one key signs and certifies");
        let detail = cited(".detail");
        assert!(
            detail.contains(
                "that of the step 0.3, stage 0, line 3, which was observed, by the attestation"
            ),
            "{detail}"
        );
        let layer = format!("{step}.diff_id");
        assert_eq!(jq(&layer, &stage.file("two.json")), jq(&layer, &stage.file("one.json")));
        // What the network check says of cached steps is as before: nothing was recorded here.
        let check = ".predicate.blubr_build.checks[] | select(.id == \"no-outside-network\") | .result";
        assert_eq!(jq(check, &stage.file("two.json")), "unknown");
        let mut show = bins::command("blubr-attest");
        let text = stdout_of(show.arg("show").arg(stage.file("two.att")));
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("layer of equal content seen in step 0.3 of envelope"), "{text}");
    });
}

#[test]
fn a_citation_of_a_citation_is_no_observation() {
    require!(Root, Docker, Gpg);
    both(|stage| {
        assert_eq!(stage.cited("three", 3), "cached prior-cites", "{:?}", stage.builder);
        assert_eq!(stage.cited("three", 4), "cached prior", "{:?}", stage.builder);
        let filter = ".predicate.blubr_build.steps[] | select(.lines[0] == 3) | .evidence[] | select(.prior) | [.prior.status, .prior.cites.status, .prior.cites.envelope_sha256] | join(\" \")";
        let wanted = format!("cached observed {}", sha256sum(&stage.file("one.dsse")));
        assert_eq!(jq(filter, &stage.file("three.json")), wanted);
        // With the first attestation too it is seen; the same again gives the same bytes.
        drop(stdout_of(&mut stage.attest("three", "seen", &["two", "one"])));
        assert_eq!(stage.cited("seen", 3), "cached prior");
        drop(stdout_of(&mut stage.attest("three", "again", &["two", "one"])));
        let bytes = |name: &str| std::fs::read(stage.file(name)).unwrap();
        assert!(bytes("seen.json") == bytes("again.json"));
    });
}

#[test]
fn what_came_later_or_is_of_another_image_is_not_cited() {
    require!(Root, Docker, Gpg);
    both(|stage| {
        drop(stdout_of(&mut stage.attest("two", "later", &["three"])));
        for line in [2, 3] {
            assert_eq!(stage.cited("later", line), "cached", "{:?}", stage.builder);
        }
        let other = if stage.builder == Builder::Classic { Builder::BuildKit } else { Builder::Classic };
        std::fs::copy(Stage::of(other).file("one.att"), stage.file("other.att")).unwrap();
        let mut attest = stage.attest("two", "other-image", &["other"]);
        attest.arg("--cert").arg(Stage::of(other).file("signer.asc"));
        drop(stdout_of(&mut attest));
        // The layer with the touched file has its time in it; the copied one may be equal to the other builder's.
        assert_eq!(stage.cited("other-image", 3), "cached", "{:?}", stage.builder);
    });
}

#[test]
fn a_prior_that_does_not_verify_is_refused() {
    require!(Root, Docker, Gpg);
    let stage = Stage::of(Builder::BuildKit);
    let text = std::fs::read_to_string(stage.file("one.att")).unwrap();
    let at = text.find("\"payload\":\"").unwrap() + 2000;
    let mut changed = text.into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(stage.file("changed.att"), &changed).unwrap();
    stage.refuses("changed", "can't be cited");
    std::fs::copy(stage.file("one.json"), stage.file("bare.att")).unwrap();
    stage.refuses("bare", "it is not signed");
    let mut strange = stage.attest("one", "strange", &[]);
    strange.arg("--dsse").arg(stage.file("strange.dsse"));
    drop(stdout_of(&mut strange));
    let mut wrong = stage.attest("two", "wrong", &[]);
    wrong.arg("--prior").arg(stage.file("one.att")).arg("--cert").arg(stage.file("stranger.asc"));
    let answer = run(&mut wrong);
    assert_eq!(answer.status.code(), Some(2), "{}", describe(&wrong, &answer));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("whose certificate was not given"));
    let mut imageless = bins::command("blubr-attest");
    imageless.arg("--dockerfile").arg(stage.file("one.Dockerfile"));
    imageless.arg("--sign-with").arg(stage.file("signer.sec.asc"));
    imageless.arg("-o").arg(stage.file("imageless.att")).arg(stage.file("one.ndjson"));
    drop(stdout_of(&mut imageless));
    stage.refuses("imageless", "made without an image, and names no layer");
    // Without a certificate there is nothing to verify with: the flags say so.
    let mut flags = bins::command("blubr-attest");
    let answer = run(flags.arg("--prior").arg(stage.file("one.att")).arg(stage.file("two.ndjson")));
    assert_eq!(answer.status.code(), Some(2), "{}", describe(&flags, &answer));
}

#[test]
fn a_prior_that_is_given_twice_is_cited_once() {
    require!(Root, Docker, Gpg);
    let stage = Stage::of(Builder::BuildKit);
    std::fs::copy(stage.file("one.att"), stage.file("copy.att")).unwrap();
    drop(stdout_of(&mut stage.attest("two", "twice", &["one", "copy", "one"])));
    assert_eq!(stage.cited("twice", 3), "cached prior");
}

#[test]
fn an_encrypted_prior_is_opened_by_the_signer_s_key_or_a_given_one() {
    require!(Root, Docker, Gpg);
    let stage = Stage::of(Builder::BuildKit);
    for (to, key) in [("signer", None), ("stranger", Some("stranger.sec.asc"))] {
        let mut seal = stage.attest("one", "sealed", &[]);
        seal.arg("--encrypt-to").arg(stage.file(&format!("{to}.asc"))).arg("--no-encrypt-to-self");
        drop(stdout_of(&mut seal));
        if let Some(key) = key {
            stage.refuses("sealed", "give one of their secret keys by --key");
            let mut attest = stage.attest("two", "opened", &["sealed"]);
            drop(stdout_of(attest.arg("--key").arg(stage.file(key))));
        } else {
            drop(stdout_of(&mut stage.attest("two", "opened", &["sealed"])));
        }
        assert_eq!(stage.cited("opened", 3), "cached prior");
    }
}
