//! A password that a build prints stays out of the attestation, as a word and as a hash.

use std::process::Command;

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{jq, run_on, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::workload::Context;

use crate::stage::{Web, folder};

const WORD: &str = "hunter2";

/// The word as others would write it: plain, encoded, hashed.
fn disguises() -> Vec<String> {
    let mut found = vec![WORD.to_owned()];
    for program in ["base64", "sha256sum", "sha1sum", "md5sum"] {
        for input in [WORD.to_owned(), format!("user:{WORD}"), format!("{WORD}\n")] {
            let output = run_on(&mut Command::new(program), input.as_bytes()).stdout;
            let text = String::from_utf8(output).unwrap();
            let word = text.split_whitespace().next().unwrap().trim_end_matches('=');
            // The last character of a base64 of another length differs; what stands before it does not.
            found.push(word[..word.len() - 1].to_owned());
        }
    }
    found.push("68756e74657232".to_owned());
    found
}

#[test]
fn the_attestation_holds_neither_the_word_nor_its_hash() {
    require!(Root, Docker);
    let folder = folder("secrets");
    let port = Web::shared().port;
    let context = Context::of_dockerfile(&format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         RUN wget -q -O- http://user:{WORD}@127.0.0.1:{port}/feed.json\n\
         RUN wget -q -O- http://user:{WORD}@127.0.0.1:{port}/feed.json > /feed\n\
         ARG PASSWORD\nRUN echo \"$PASSWORD\" | sha256sum && echo --password={WORD}\n"
    ));
    let engine = Engine::shared();
    for builder in [Builder::Classic, Builder::BuildKit] {
        let log = folder.join(format!("{builder:?}.ndjson"));
        let argument = format!("PASSWORD={WORD}");
        drop(record(
            &log,
            &engine.build_command(builder, context.path(), "blubr-secret", &["--build-arg", &argument]),
        ));
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains(WORD), "the log itself is not redacted: it is what happened");
        assert_eq!(text_of(Command::new("stat").args(["-c", "%a"]).arg(&log)), "600");
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &engine.host).arg("--dockerfile").arg(context.file("Dockerfile"));
        attest.args(["--image", "docker:blubr-secret"]).arg(&log);
        let statement = folder.join(format!("{builder:?}.json"));
        std::fs::write(&statement, stdout_of(&mut attest)).unwrap();
        let said = std::fs::read_to_string(&statement).unwrap();
        for disguise in disguises() {
            assert!(!said.contains(&disguise), "{builder:?}: the attestation holds {disguise}");
        }
        let show = text_of(bins::command("blubr-attest").arg("show").arg(&statement));
        assert!(!show.contains(WORD), "{builder:?}: show prints it");
        let count: u64 = jq(".predicate.blubr_build.redactions.count", &statement).parse().unwrap();
        assert!(count >= 2, "{builder:?}: {count} redactions");
        assert!(said.contains("[redacted:"), "{builder:?}");
    }
}
