//! What the attestation says: lines, digests, completeness; and that gpg alone can read and check it.

use std::process::Command;

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, jq, run, sha256sum, stdout_of, text_of};
use blubr_tests::require;
use blubr_tests::workload::fixture;

use crate::stage::{Recorded, Web, folder};

fn both(check: impl Fn(&'static Recorded)) {
    for builder in [Builder::Classic, Builder::BuildKit] {
        check(Recorded::of(builder));
    }
}

fn expected(filter: &str) -> Vec<u32> {
    let answer = jq(filter, &fixture("markers").join("expect.json"));
    answer.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn each_marker_is_at_its_line() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let statement = recorded.file("app.statement.json");
        for line in expected(".markers[]") {
            let filter = format!(
                "[.predicate.blubr_build.steps[] | select(any(.writes[]; .path == \"/m{line}\" and (.access | index(\"create\")))) | .lines[0]] | @csv"
            );
            assert_eq!(jq(&filter, &statement), line.to_string(), "{:?}: /m{line}", recorded.builder);
        }
        let last = jq(".predicate.blubr_build.steps[] | select(.lines[0] == 9) | .lines[1]", &statement);
        assert_eq!(last, "11", "a step of three lines");
    });
}

#[test]
fn each_step_was_seen_and_the_record_is_complete() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let statement = recorded.file("app.statement.json");
        let runs = jq(
            "[.predicate.blubr_build.steps[] | select(.instruction == \"RUN\") | .status] | unique | @csv",
            &statement,
        );
        assert_eq!(runs, "\"observed\"", "{:?}", recorded.builder);
        let completeness =
            jq(".predicate.blubr_build.completeness | [.recording, .lost] | @csv", &statement);
        assert_eq!(completeness, "\"complete\",0");
        let unexplained = jq(".predicate.blubr_build.unexplained | tojson", &statement);
        assert_eq!(unexplained, "[]", "{:?}", recorded.builder);
    });
}

#[test]
fn the_connection_belongs_to_the_step_that_made_it() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let statement = recorded.file("app.statement.json");
        let filter = ".predicate.blubr_build.steps[] | select(.network | length > 0) | [.lines[0], .network[0].ip, .network[0].port] | @csv";
        assert_eq!(
            jq(filter, &statement),
            format!("8,\"127.0.0.1\",{}", Web::shared().port),
            "{:?}",
            recorded.builder
        );
        let file = "[.predicate.monitorLog.fileAccess[] | select(.name == \"/m8\" and .annotations.step) | .uri] | unique | @csv";
        assert_eq!(jq(file, &statement), "\"file:///m8\"");
    });
}

#[test]
fn digests_are_those_that_others_compute() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let statement = recorded.file("app.statement.json");
        let build = |path: &str| jq(&format!(".predicate.blubr_build.{path}"), &statement);
        assert_eq!(build("dockerfile.sha256"), sha256sum(&recorded.context.file("Dockerfile")));
        assert_eq!(build("log.sha256"), sha256sum(&recorded.file("filtered.ndjson")));
        assert_eq!(build("log.sources[0].sha256"), sha256sum(&recorded.file("build.ndjson")));
        assert_eq!(
            build("image.config_digest"),
            recorded.image_id,
            "this engine's id is the config's digest"
        );
        let subjects = jq("[.subject[].digest.sha256] | tojson", &statement);
        assert!(subjects.contains(recorded.image_id.trim_start_matches("sha256:")), "{subjects}");
        let layers = text_of(Engine::shared().docker().args([
            "image",
            "inspect",
            "-f",
            "{{json .RootFS.Layers}}",
            &recorded.tag,
        ]));
        assert_eq!(build("image.diff_ids | tojson"), layers);
    });
}

#[test]
fn sha256sum_finds_each_file_as_it_is_said_to_be() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let mut show = bins::command("blubr-attest");
        show.args(["show", "--sha256sum"]).arg(recorded.file("app.statement.json"));
        let list = recorded.file("sums");
        std::fs::write(&list, stdout_of(&mut show)).unwrap();
        let tree = unpacked(recorded);
        let mut check = Command::new("sha256sum");
        check.arg("-c").arg(&list).current_dir(&tree);
        let answer = run(&mut check);
        assert!(answer.status.success(), "{}", describe(&check, &answer));
        let text = std::fs::read_to_string(&list).unwrap();
        for name in ["m8", "m9", "kept/copy", "srv/moved", "bin/busybox"] {
            assert!(text.lines().any(|line| line.ends_with(name)), "{name} is not in:\n{text}");
        }
        for name in ["/m5", "/m12"] {
            assert!(
                !text.lines().any(|line| line.ends_with(name)),
                "{name} is no longer in the image:\n{text}"
            );
        }
    });
}

/// The image's tree, as docker itself exports it.
fn unpacked(recorded: &Recorded) -> std::path::PathBuf {
    let tree = recorded.file("tree");
    std::fs::create_dir_all(&tree).unwrap();
    let engine = Engine::shared();
    let container = text_of(engine.docker().args(["create", &recorded.tag, "/bin/true"]));
    let tar = recorded.file("tree.tar");
    drop(stdout_of(engine.docker().args(["export", "-o"]).arg(&tar).arg(&container)));
    drop(stdout_of(engine.docker().args(["rm", &container])));
    drop(stdout_of(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&tree)));
    tree
}

#[test]
fn the_same_input_gives_the_same_statement() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(recorded.context.file("Dockerfile"));
        attest.arg("--context").arg(recorded.context.path());
        attest
            .arg("--image")
            .arg(format!("docker:{}", recorded.tag))
            .arg(recorded.file("filtered.ndjson"));
        let again = stdout_of(&mut attest);
        let before = std::fs::read(recorded.file("app.statement.json")).unwrap();
        assert!(again == before, "{:?}: two runs differ", recorded.builder);
    });
}

/// A keyring that holds the named key files and nothing else.
fn keyring_of(files: &[&str]) -> Keyring {
    let keyring = Keyring::new();
    for file in files {
        keyring.import(&Recorded::keys().file(file));
    }
    keyring
}

#[test]
fn gpg_accepts_the_detached_signature() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let keyring = keyring_of(&["signer.asc"]);
        let mut verify = keyring.gpg();
        verify
            .arg("--verify")
            .arg(recorded.file("app.statement.json.asc"))
            .arg(recorded.file("app.statement.json"));
        let answer = run(&mut verify);
        assert!(answer.status.success(), "{}", describe(&verify, &answer));
    });
}

#[test]
fn gpg_opens_it_for_auditor_and_signer_and_nobody_else() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let envelope = std::fs::read(recorded.file("app.dsse.json")).unwrap();
        for name in ["auditor.sec.asc", "signer.sec.asc"] {
            let keyring = keyring_of(&[name]);
            let opened = stdout_of(keyring.gpg().arg("--decrypt").arg(recorded.file("app.att")));
            assert!(opened == envelope, "{name}: what gpg decrypts is the envelope");
            std::fs::write(recorded.file("opened"), opened).unwrap();
            let script = "jq -r .payload \"$1\" | base64 -d | jq -r '.subject[].digest.sha256'";
            let subject =
                text_of(Command::new("sh").args(["-c", script, "sh"]).arg(recorded.file("opened")));
            assert!(subject.contains(recorded.image_id.trim_start_matches("sha256:")), "{subject}");
        }
        let keyring = keyring_of(&["stranger.sec.asc"]);
        assert!(!run(keyring.gpg().arg("--decrypt").arg(recorded.file("app.att"))).status.success());
    });
}

#[test]
fn gpg_accepts_the_envelope_s_signature_over_its_pae() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        let envelope = recorded.file("app.dsse.json");
        let signature = recorded.file("sig");
        let script = "jq -r '.signatures[0].sig' \"$1\" | base64 -d";
        std::fs::write(
            &signature,
            stdout_of(Command::new("sh").args(["-c", script, "sh"]).arg(&envelope)),
        )
        .unwrap();
        let pae = recorded.file("pae");
        std::fs::write(&pae, stdout_of(bins::command("blubr-attest").arg("pae").arg(&envelope)))
            .unwrap();
        assert!(std::fs::read(&pae).unwrap().starts_with(b"DSSEv1 28 application/vnd.in-toto+json "));
        let keyring = keyring_of(&["signer.asc"]);
        let mut verify = keyring.gpg();
        verify.arg("--verify").arg(&signature).arg(&pae);
        let answer = run(&mut verify);
        assert!(answer.status.success(), "{}", describe(&verify, &answer));
        let keyid = jq(".signatures[0].keyid", &envelope);
        let list = text_of(keyring.gpg().args(["--with-colons", "--list-keys"]));
        assert!(list.contains(&keyid.to_uppercase()), "{keyid} is not a fingerprint of\n{list}");
    });
}

#[test]
fn it_verifies_against_image_dockerfile_context_and_log() {
    require!(Root, Docker, Gpg);
    both(|recorded| {
        for name in ["app.att", "app.dsse.json"] {
            let mut verify = recorded.verify(&recorded.file(name));
            verify.arg("--image").arg(format!("docker:{}", recorded.tag));
            verify.arg("--dockerfile").arg(recorded.context.file("Dockerfile"));
            verify
                .arg("--context")
                .arg(recorded.context.path())
                .arg("--log")
                .arg(recorded.file("build.ndjson"));
            let answer = run(&mut verify);
            assert!(answer.status.success(), "{}", describe(&verify, &answer));
        }
        let decoy = recorded.tag.replace("slice", "decoy");
        let mut verify = recorded.verify(&recorded.file("app.att"));
        let answer = run(verify.arg("--image").arg(format!("docker:{decoy}")));
        assert_eq!(answer.status.code(), Some(1), "{}", describe(&verify, &answer));
    });
}

#[test]
fn a_reference_in_a_layout_carries_it_and_skopeo_agrees_on_the_digest() {
    require!(Root, Docker, Gpg, Registry);
    let recorded = Recorded::of(Builder::BuildKit);
    let layout = folder("layout");
    let reference = format!("oci:{}:app", layout.display());
    let mut copy = bins::command("blubr-attach");
    copy.env("DOCKER_HOST", &Engine::shared().host).arg("copy").arg(format!("docker:{}", recorded.tag));
    drop(stdout_of(copy.arg(&reference)));
    let raw = stdout_of(Command::new("skopeo").args(["inspect", "--raw", &reference]));
    std::fs::write(recorded.file("manifest"), raw).unwrap();
    let digest = sha256sum(&recorded.file("manifest"));
    let mut attach = bins::command("blubr-attach");
    attach
        .arg("--key")
        .arg(Recorded::keys().file("auditor.sec.asc"))
        .arg(&reference)
        .arg(recorded.file("app.att"));
    drop(stdout_of(&mut attach));
    let found = text_of(bins::command("blubr-attach").arg("discover").arg(&reference));
    assert!(!found.is_empty(), "discover prints the referrer");
    let fetched = recorded.file("fetched.att");
    drop(stdout_of(bins::command("blubr-attach").arg("fetch").arg(&reference).arg("-o").arg(&fetched)));
    assert_eq!(sha256sum(&fetched), sha256sum(&recorded.file("app.att")));
    let script = "for blob in \"$1\"/blobs/sha256/*; do jq -r '.subject.digest // empty' \"$blob\" 2>/dev/null || :; done";
    let subject = text_of(Command::new("bash").args(["-c", script, "bash"]).arg(&layout));
    assert_eq!(subject, format!("sha256:{digest}"));
}
