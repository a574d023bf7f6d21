//! `blubr-attest dockerfile` against BuildKit's own parser, whose answers lie beside the files of fixtures/dockerfiles.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, run_on};
use blubr_tests::record::record;
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dockerfiles")
}

fn parse(file: &Path, extra: &[&str]) -> (Command, Output) {
    let mut command = bins::command("blubr-attest");
    command.arg("dockerfile").arg(file).args(extra);
    let output = run(&mut command);
    (command, output)
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8(bytes.to_vec())
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn on_text(text: &[u8], extra: &[&str]) -> Output {
    let mut command = bins::command("blubr-attest");
    run_on(command.args(["dockerfile", "-"]).args(extra), text)
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_is_parsed_is_printed_also_where_evaluating_it_is_refused() {
    let output = on_text(b"FROM a\nENV A=${B:?no}\n", &["--build-arg", "X=1"]);
    assert!(error_of(&output).contains(":2:7: B: no"), "{output:?}");
    let keywords: Vec<Value> =
        lines(&output.stdout).iter().map(|line| line["keyword"].clone()).collect();
    assert_eq!(keywords, ["from", "env"]);
}

#[test]
fn a_shell_s_own_forms_of_a_variable_hide_no_heredoc() {
    let file = b"FROM a\nRUN : ${D:=/etc/app} <<RUN\nFROM scratch AS fake\nUSER nobody\nRUN\nUSER me\n";
    let output = on_text(file, &[]);
    let lines = lines(&output.stdout);
    let keywords: Vec<&Value> = lines.iter().map(|line| &line["keyword"]).collect();
    assert_eq!(keywords, ["from", "run", "user"]);
    assert_eq!(lines[1]["end"], 5);
}

#[test]
fn each_file_is_cut_as_buildkit_cuts_it() {
    let mut compared = 0;
    let mut refused = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|e| e != "Dockerfile") {
            continue;
        }
        let oracle = lines(&std::fs::read(file.with_extension("ndjson")).unwrap());
        let (command, output) = parse(&file, &[]);
        let shown = describe(&command, &output);
        if oracle[0].get("error").is_some() {
            let error = error_of(&output);
            assert!(output.stdout.is_empty() && error.lines().count() == 1, "{shown}");
            let place = error.strip_prefix(&format!("blubr-attest: {}:", file.display())).unwrap();
            let mut parts = place.splitn(3, ':');
            let numbers = [parts.next(), parts.next()].map(|n| n.unwrap().parse::<usize>().unwrap());
            assert!(numbers.iter().all(|n| *n > 0), "{shown}");
            assert!(parts.next().unwrap().contains(": "), "what is wrong, and what to do: {shown}");
            refused += 1;
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{shown}");
        let ours = lines(&output.stdout);
        assert_eq!(ours.len(), oracle.len(), "{shown}");
        for (ours, oracle) in ours.iter().zip(&oracle) {
            for (key, value) in oracle.as_object().unwrap() {
                assert_eq!(&ours[key], value, "{key} of {}: {shown}", file.display());
            }
        }
        compared += 1;
    }
    assert!(compared >= 12 && refused >= 6, "{compared} compared, {refused} refused");
}

#[test]
fn the_keys_stand_in_their_order() {
    let output = on_text(b"FROM a AS b\nENV A=1 B=\"x y\"\nONBUILD ADD c /\n", &["--target", "b"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().nth(1).unwrap(),
        r#"{"keyword":"env","start":2,"end":2,"flags":[],"args":[["A","1"],["B","\"x y\""]],"heredocs":[],"stage":0,"json":false,"expanded":[["A","1"],["B","x y"]],"expanded_flags":[]}"#
    );
    assert!(text.lines().nth(2).unwrap().contains(
        r#""args":["ADD","c","/"],"heredocs":[],"stage":0,"json":false,"trigger":{"keyword":"add","flags":[],"args":["c","/"],"json":false}"#
    ));
}

#[test]
fn build_arguments_target_and_platform_apply() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Dockerfile");
    let text = "ARG V=1\nFROM debian:$V AS one\nARG TARGETARCH\nUSER $TARGETARCH\nFROM debian AS two\nENV P=$PATH\n";
    std::fs::write(&file, text).unwrap();
    let args = ["--build-arg", "V=12", "--target", "ONE", "--platform", "linux/arm64/v8"];
    let (command, output) = parse(&file, &args);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&command, &output));
    let parse = folder.path().join("parse");
    std::fs::write(&parse, &output.stdout).unwrap();
    assert_eq!(jq("select(.keyword == \"from\") | .expanded[0]", &parse).trim(), "debian:12\nnull");
    assert_eq!(jq("select(.keyword == \"user\") | .expanded[0]", &parse).trim(), "arm64");
    // What the base image sets is not guessed.
    let output = on_text(text.as_bytes(), &["--target", "two"]);
    let env = lines(&output.stdout).pop().unwrap();
    assert_eq!(env["assumed"], serde_json::json!(["PATH"]));
    // Without a value it is the environment's, if that has one.
    let mut command = bins::command("blubr-attest");
    command.args(["dockerfile", "-", "--build-arg", "V", "--build-arg", "BLUBR_UNSET"]).env("V", "11");
    let output = run_on(&mut command, text.as_bytes());
    assert_eq!(lines(&output.stdout)[0]["expanded"], serde_json::json!(["V=11"]));
}

#[test]
fn errors_say_line_column_and_what_to_do() {
    for (text, args, place) in [
        ("FROM a\nRUNN x\n", &[][..], "2:1: unknown instruction RUNN: "),
        ("FROM a\nENV A=b \\\n  C\n", &[], "3:3: no = in \"C\": "),
        ("FROM a\nCOPY x\n", &[], "2:1: COPY needs a source and a destination: "),
        ("FROM a\nRUN --network=moon x\n", &[], "2:5: no network \"moon\": "),
        (
            "FROM $A\n",
            &["--build-arg", "B=1"],
            "1:6: nothing is left of \"$A\" once variables are replaced: ",
        ),
        ("FROM a\n", &["--target", "no"], "1:1: no stage is called \"no\": "),
        ("FROM a\nCOPY --user=x a /\n", &["--target", ""], "2:6: COPY has no flag --user: "),
    ] {
        let error = error_of(&on_text(text.as_bytes(), args));
        let rest = error.strip_prefix("blubr-attest: standard input:").unwrap();
        let advice = rest.strip_prefix(place).unwrap_or_else(|| panic!("{error}"));
        assert!(advice.len() > 4 && advice.lines().count() == 1, "{error}");
    }
    let bad = on_text(b"FROM a\n", &["--platform", "vax"]);
    assert!(error_of(&bad).contains("no platform: vax: write it as linux/arm64"));
}

#[test]
fn what_is_only_unfinished_is_printed_and_said() {
    let output = on_text(b"COPY --user=x a /\nRUN x \\\n\n  y\n", &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines(&output.stdout).len(), 2);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(notes.lines().count(), 3, "{notes}");
    assert!(notes.contains(":1:6: COPY has no flag --user: "), "{notes}");
    assert!(notes.contains(":1:1: a file without FROM: "), "{notes}");
    assert!(notes.contains(":3:1: an empty line in a continuation"), "{notes}");
    assert!(on_text(b"RUN x\n", &["--quiet"]).stderr.is_empty());
}

/// Whatever a file holds, there is an answer, and memory and time have an end.
#[test]
fn hostile_files_end() {
    let nested = |n: usize| format!("FROM a\nUSER {}x{}\n", "${a:-".repeat(n), "}".repeat(n));
    let heredocs = |n: usize| {
        let opened = "<<E \\\n".repeat(n - 1);
        format!("FROM a\nRUN \\\n{opened}<<E\n{}", "E\n".repeat(n))
    };
    let many = |before: &str, behind: &str, n: usize| {
        (0..n).map(|i| format!("{before}{i}{behind}")).collect::<String>()
    };
    let needing = |n: usize| {
        let stage = |i: usize| format!("FROM a AS s{i}\nCOPY --from=s{} a /\n", i - 1);
        format!("FROM a AS s0\n{}", (1..n).map(stage).collect::<String>())
    };
    let mut doubled = "FROM a\nENV A=xxxxxxxxxxxxxxxx\n".to_owned();
    doubled.push_str(&"ENV A=$A$A\n".repeat(100));
    let stars = format!("FROM a\nARG V={}\nUSER ${{V##{}}}\n", "a".repeat(60_000), "*a".repeat(30_000));
    for (name, text, code) in [
        ("a line of 1 MB", format!("FROM a\nRUN {}\n", "x".repeat(1 << 20)), 2),
        ("100,000 heredocs", heredocs(100_000), 0),
        ("more", heredocs(100_001), 2),
        ("deep words", nested(200), 0),
        ("deeper words", nested(10_000), 2),
        ("deep arrays", format!("FROM a\nCMD {}{}\n", "[".repeat(30_000), "]".repeat(30_000)), 0),
        ("ONBUILD in ONBUILD", format!("FROM a\n{}RUN x\n", "ONBUILD ".repeat(8_000)), 2),
        ("values that double", doubled, 2),
        ("patterns of stars", stars, 2),
        ("many stages", "FROM a AS b\nFROM b\n".repeat(20_000), 0),
        ("stages that need one another", needing(20_000), 0),
        (
            "variables handed on",
            format!("FROM a AS b\n{}{}", many("ENV V", "=1\n", 20_000), "FROM b AS b\n".repeat(20_000)),
            2,
        ),
        ("triggers handed on", format!("FROM a AS b\n{}FROM b\n", "ONBUILD USER a\n".repeat(20_000)), 2),
        (
            "a megabyte of one word",
            format!("FROM a\n{}", "USER \\\n".to_owned() + &"x\\\n".repeat(400_000)),
            0,
        ),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "ulimit -v 2000000; exec \"$0\" dockerfile \"$1\" --target '' --build-arg z=1",
        ]);
        command.arg(bins::path("blubr-attest")).arg(file.path());
        let output = run(&mut command);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {error}");
        assert!(!error.contains("panicked"), "{name}: {error}");
    }
}

/// ONBUILD of a stage in the same file: its RUN is a step of the stage that begins from it, and said to be one.
#[test]
fn onbuild_of_a_stage_is_tied() {
    require!(Root, Docker, Buildah);
    let context = Context::of_dockerfile(
        "FROM scratch AS base\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"ln\", \"-s\", \"busybox\", \"/bin/sh\"]\n\
         ONBUILD RUN echo triggered \\\n    > /m4 && /bin/busybox sleep 0.1\n\
         FROM base\n\
         RUN echo own > /m6\n",
    );
    let docker = Engine::shared();
    let buildah = Buildah::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, command) in [
        ("classic", docker.build_command(Builder::Classic, context.path(), "onbuild-classic", &[])),
        ("buildkit", docker.build_command(Builder::BuildKit, context.path(), "onbuild-buildkit", &[])),
        (
            "buildah",
            buildah.build_command(Isolation::Oci, context.path(), "onbuild-buildah", &["--layers"]),
        ),
    ] {
        let log = folder.path().join(name);
        record(&log, &command);
        let statement = folder.path().join(format!("{name}.json"));
        let mut attest = bins::command("blubr-attest");
        attest.arg("--dockerfile").arg(context.file("Dockerfile")).arg("-o").arg(&statement).arg(&log);
        let output = run(&mut attest);
        assert!(output.status.success(), "{name}: {}", describe(&attest, &output));
        let steps =
            "[.predicate.blubr_build, .predicate.metadata.blubr_build | .. | .steps? | arrays] | first";
        let of = |filter: &str| jq(&format!("{steps} | .[] | {filter}"), &statement);
        let triggered = of("select(.origin == \"ONBUILD\") | [.id, .lines, .text, .status] | tojson");
        // An OCI image can't hold an ONBUILD, and buildah, which makes one, runs none; the other steps are tied all the same.
        let status = if name == "buildah" { "not-observed" } else { "observed" };
        let text = "RUN echo triggered     > /m4 && /bin/busybox sleep 0.1";
        assert_eq!(triggered, format!("[\"1.4\",[4,5],\"{text}\",\"{status}\"]"), "{name}");
        let runs =
            "select(.instruction == \"RUN\" and .origin == \"Dockerfile\") | [.id, .status] | tojson";
        assert_eq!(of(runs), "[\"0.3\",\"observed\"]\n[\"1.7\",\"observed\"]", "{name}");
    }
}
