//! What blubr-attest does with the logs, names and demands that users give it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, run_on, sha256sum, stdout_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;

const DOCKERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"touch\", \"/m3\"]\nENV A=1\n\
    RUN [\"/bin/busybox\", \"mkdir\", \"/d5\"]\n";

/// Two recorded builds with BuildKit: one from scratch, and the same again from the cache.
struct Stage {
    folder: tempfile::TempDir,
    context: Context,
}

impl Stage {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder =
                tempfile::Builder::new().prefix("attest.").tempdir_in(process_folder()).unwrap();
            let context = Context::of_dockerfile(DOCKERFILE);
            let older = Context::of_dockerfile("FROM scratch\nCOPY busybox /bin/older\n");
            let engine = Engine::shared();
            drop(engine.build(Builder::BuildKit, older.path(), "blubr-older", &[]));
            let iidfile = folder.path().join("iid").display().to_string();
            let extra = ["--iidfile", &iidfile];
            let build = engine.build_command(Builder::BuildKit, context.path(), "blubr-new", &extra);
            drop(record(&folder.path().join("build.ndjson"), &build));
            let again = engine.cached_build_command(Builder::BuildKit, context.path(), "blubr-new", &[]);
            drop(record(&folder.path().join("cached.ndjson"), &again));
            Self { folder, context }
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn attest(&self) -> Command {
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(self.context.file("Dockerfile"));
        attest
    }
}

#[test]
fn an_older_image_is_not_attested_and_nothing_is_written() {
    require!(Root, Docker);
    let stage = Stage::shared();
    let out = stage.file("older.att");
    let mut attest = stage.attest();
    attest.args(["--image", "docker:blubr-older", "-o"]).arg(&out).arg(stage.file("build.ndjson"));
    let answer = run(&mut attest);
    assert_eq!(answer.status.code(), Some(1), "{}", describe(&attest, &answer));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("not the image that this build made"));
    assert!(!out.exists());
}

#[test]
fn a_pipe_an_id_file_and_a_name_give_the_same() {
    require!(Root, Docker);
    let stage = Stage::shared();
    let log = stage.file("build.ndjson");
    let by_name = stdout_of(stage.attest().args(["--image", "docker:blubr-new"]).arg(&log));
    let mut piped = stage.attest();
    let piped = run_on(piped.args(["--image", "docker:blubr-new"]), &std::fs::read(&log).unwrap());
    assert!(piped.status.success() && piped.stdout == by_name);
    let by_file = stage.file("by-file.json");
    let mut attest = stage.attest();
    drop(stdout_of(attest.arg("--iidfile").arg(stage.file("iid")).arg("-o").arg(&by_file).arg(&log)));
    let id = std::fs::read_to_string(stage.file("iid")).unwrap();
    assert_eq!(jq(".predicate.blubr_build.image.config_digest", &by_file), id.trim());
}

#[test]
fn what_is_required_decides_the_status_and_the_file_is_there_all_the_same() {
    require!(Root, Docker);
    let stage = Stage::shared();
    let out = stage.file("required.json");
    let mut attest = stage.attest();
    attest.args(["--image", "docker:blubr-new", "--require", "complete,explained,observed", "-o"]);
    drop(stdout_of(attest.arg(&out).arg(stage.file("build.ndjson"))));
    assert_eq!(
        jq("[.predicate.blubr_build.steps[].status] | @csv", &out),
        "\"daemon\",\"daemon\",\"observed\",\"daemon\",\"observed\""
    );

    // Without the line that made /d5, that run fits no step, and the image holds more than the Dockerfile.
    let other = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"true\"]\n",
    );
    let mut attest = bins::command("blubr-attest");
    attest.env("DOCKER_HOST", &Engine::shared().host).arg("--dockerfile").arg(other.file("Dockerfile"));
    attest.args(["--image", "docker:blubr-new", "--require", "observed", "-o"]).arg(&out);
    let answer = run(attest.arg(stage.file("build.ndjson")));
    assert_eq!(answer.status.code(), Some(1), "{}", describe(&attest, &answer));
    assert_eq!(
        jq("[.predicate.blubr_build.steps[] | select(.instruction == \"RUN\") | .status] | @csv", &out),
        "\"not-observed\""
    );
    assert_eq!(jq(".predicate.blubr_build.dockerfile.taken", &out), "not-seen");
}

#[test]
fn steps_from_the_cache_are_said_to_be_with_evidence_only() {
    require!(Root, Docker);
    let stage = Stage::shared();
    let log = stage.file("cached.ndjson");
    let mut attest = stage.attest();
    let answer = run(attest.args(["--image", "docker:blubr-new"]).arg(&log));
    if answer.status.code() == Some(1) {
        // A build of which nothing ran shows no engine's work: then there is no build in the log to attest.
        assert!(
            String::from_utf8_lossy(&answer.stderr).contains("no build in it"),
            "{}",
            describe(&attest, &answer)
        );
        return;
    }
    assert!(answer.status.success(), "{}", describe(&attest, &answer));
    let file = stage.file("cached.json");
    std::fs::write(&file, &answer.stdout).unwrap();
    let runs =
        "[.predicate.blubr_build.steps[] | select(.instruction == \"RUN\") | .status] | unique | @csv";
    assert_eq!(jq(runs, &file), "\"cached\"");
    let network = ".predicate.blubr_build.checks[] | select(.id == \"no-outside-network\") | .result";
    assert_eq!(jq(network, &file), "unknown", "what the cached steps did was not recorded");
}

#[test]
fn each_file_has_the_digest_that_sha256sum_gives_it() {
    require!(Root, Docker);
    let stage = Stage::shared();
    let out = stage.file("digests.json");
    let mut attest = stage.attest();
    attest.args(["--image", "docker:blubr-new", "-o"]).arg(&out).arg(stage.file("build.ndjson"));
    drop(stdout_of(&mut attest));
    let busybox =
        ".predicate.blubr_build.files[] | select(.path == \"/bin/busybox\") | [.sha256, .step] | @csv";
    assert_eq!(jq(busybox, &out), format!("\"{}\",\"0.2\"", sha256sum(&stage.context.file("busybox"))));
    let made = ".predicate.blubr_build.files[] | select(.path == \"/d5\") | [.kind, .step] | @csv";
    assert_eq!(jq(made, &out), "\"directory\",\"0.5\"");
}
