//! The log beside an attestation (`--with-log`), in layouts and registries: skopeo, gpg and sha256sum say whether it is the one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::keyring::Keyring;
use blubr_tests::program::{self, describe, jq, run, sha256sum, stdout_of};
use blubr_tests::registry::{Registry, skopeo_copy};
use blubr_tests::{bins, require};

fn attach(args: &[&str]) -> Command {
    let mut command = bins::command("blubr-attach");
    command.args(args);
    command
}

/// Runs the tool, which must exit with `status`; gives its standard output and error.
fn ends(status: i32, args: &[&str]) -> (String, String) {
    program::ends(status, &mut attach(args))
}

/// A folder with a layout that has an image of nothing, and a statement about that image.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        let blobs = fixture.file("layout/blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(fixture.file("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let blob = |text: &str| {
            let aside = fixture.file("aside");
            std::fs::write(&aside, text).unwrap();
            let sum = sha256sum(&aside);
            std::fs::rename(aside, blobs.join(&sum)).unwrap();
            format!("\"digest\":\"sha256:{sum}\",\"size\":{}", text.len())
        };
        let config = blob(
            r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#,
        );
        let manifest = blob(&format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",{config}}},\"layers\":[]}}"
        ));
        let index = format!(
            "{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",{manifest},\"annotations\":{{\"org.opencontainers.image.ref.name\":\"app\"}}}}]}}"
        );
        std::fs::write(fixture.file("layout/index.json"), index).unwrap();
        let hex = config.split(['"', ':']).find(|word| word.len() == 64).unwrap();
        let text = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"name\":\"app\",\"digest\":{{\"sha256\":\"{hex}\"}}}}],\
             \"predicateType\":\"https://in-toto.io/attestation/runtime-trace/v0.1\",\"predicate\":{{}}}}\n"
        );
        std::fs::write(fixture.file("app.json"), text).unwrap();
        fixture
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn layout(&self) -> String {
        format!("oci:{}:app", self.name("layout"))
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.file("layout/blobs").join(digest.replace(':', "/"))
    }

    /// Puts the image into a registry.
    fn push(&self, registry: &Registry) -> String {
        let image = format!("{}/team/app:1", registry.address);
        skopeo_copy(&self.layout(), &format!("docker://{image}"));
        image
    }
}

/// A log, and a statement that names it (`source`: as the one that its log was filtered out of).
fn with_log(fixture: &Fixture, bytes: &[u8], source: bool) -> (String, String) {
    std::fs::write(fixture.file("build.ndjson"), bytes).unwrap();
    let sum = sha256sum(&fixture.file("build.ndjson"));
    let log = if source {
        format!("{{\"sha256\":\"{}\",\"sources\":[{{\"sha256\":\"{sum}\"}}]}}", "0".repeat(64))
    } else {
        format!("{{\"sha256\":\"{sum}\",\"sources\":[]}}")
    };
    let filter = format!(".predicate.blubr_build = {{log: {log}}}");
    std::fs::write(
        fixture.file("logged.json"),
        jq(&format!("{filter} | tojson"), &fixture.file("app.json")),
    )
    .unwrap();
    (fixture.name("logged.json"), fixture.name("build.ndjson"))
}

/// Everything that is promised of a log beside its attestation.
fn keeps_the_log(fixture: &Fixture, image: &str) {
    let lines: Vec<u8> = (0..20_000).flat_map(|n| format!("{{\"seq\":{n}}}\n").into_bytes()).collect();
    let (statement, log) = with_log(fixture, &lines, false);
    let (_, said) = ends(2, &[image, &statement, "--with-log", &log]);
    assert!(said.contains("--encrypt-to CERT, or say --plaintext-log"), "{said}");
    std::fs::write(fixture.file("other.ndjson"), "{}\n").unwrap();
    let other = fixture.name("other.ndjson");
    let (out, said) = ends(2, &[image, &statement, "--with-log", &other, "--plaintext-log"]);
    assert!(said.contains(&sha256sum(&fixture.file("other.ndjson"))) && out.is_empty(), "{said}");
    assert!(said.contains(&sha256sum(&fixture.file("build.ndjson"))), "{said}");
    // Nothing was attached so far: not the attestation either.
    ends(1, &["discover", image]);

    let (out, _) = ends(0, &[image, &statement, "--with-log", &log, "--plaintext-log"]);
    let [attestation, beside] = out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
    assert_eq!(
        ends(0, &[image, &statement, "--with-log", &log, "--plaintext-log"]).0,
        out,
        "twice is once"
    );
    let (listed, _) = ends(0, &["discover", image, "--artifact-type", "application/vnd.blubr.log.v1"]);
    assert!(listed.contains(beside) && !listed.contains(attestation), "{listed}");
    let (got, got_log) = (fixture.name("got.json"), fixture.name("got.ndjson"));
    ends(0, &["fetch", image, "-o", &got, "--log-to", &got_log]);
    assert_eq!(sha256sum(&fixture.file("got.json")), sha256sum(&fixture.file("logged.json")));
    assert_eq!(sha256sum(&fixture.file("got.ndjson")), sha256sum(&fixture.file("build.ndjson")));
    // Without it the log stays where it is, and the attestation is as small as ever.
    assert_eq!(ends(0, &["fetch", image]).0.as_bytes(), std::fs::read(&statement).unwrap());
}

/// What another client makes of the log's manifest: the log itself.
fn skopeo_reads_the_log(fixture: &Fixture, from: &str) {
    let to = fixture.file("by-skopeo");
    skopeo_copy(from, &format!("dir:{}", to.display()));
    let sum = sha256sum(&fixture.file("build.ndjson"));
    assert_eq!(
        jq(".layers[0] | [.mediaType, .digest] | @csv", &to.join("manifest.json")),
        format!("\"application/x-ndjson\",\"sha256:{sum}\"")
    );
    assert_eq!(
        jq(".layers[0].annotations[\"org.opencontainers.image.title\"]", &to.join("manifest.json")),
        "build.ndjson"
    );
    assert_eq!(sha256sum(&to.join(&sum)), sum);
    std::fs::remove_dir_all(to).unwrap();
}

#[test]
fn a_log_lies_beside_its_attestation_in_a_layout() {
    require!(Registry);
    let fixture = Fixture::new();
    keeps_the_log(&fixture, &fixture.layout());
}

#[test]
fn a_log_lies_beside_its_attestation_in_registries_of_both_kinds() {
    require!(Registry);
    for registry in [Registry::with_referrers(), Registry::without_referrers()] {
        let fixture = Fixture::new();
        let image = fixture.push(&registry);
        keeps_the_log(&fixture, &image);
        let (listed, _) =
            ends(0, &["discover", &image, "--artifact-type", "application/vnd.blubr.log.v1"]);
        let digest = listed.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
        let name = image.trim_end_matches(":1");
        skopeo_reads_the_log(&fixture, &format!("docker://{name}@{digest}"));
    }
}

#[test]
fn a_log_is_encrypted_and_compressed_as_it_is_and_told_by_its_lines() {
    require!(Gpg, Registry);
    let fixture = Fixture::new();
    let keyring = Keyring::new();
    let key = keyring.generate("auditor");
    keyring.export(&key, &fixture.file("auditor.asc"));
    let lines: Vec<u8> = (0..5_000).flat_map(|n| format!("{{\"seq\":{n}}}\n").into_bytes()).collect();
    let (statement, log) = with_log(&fixture, &lines, true);
    let packed = fixture.name("build.ndjson.zst");
    drop(stdout_of(Command::new("zstd").args(["-q", "-f", &log, "-o", &packed])));
    let (image, cert) = (fixture.layout(), fixture.name("auditor.asc"));
    let args = [&image, &statement, "--with-log", &packed, "--encrypt-to", &cert];
    let (out, _) = ends(0, &args);
    let beside = out.lines().nth(1).unwrap();
    let layer = jq(".layers[0] | [.mediaType, .annotations[]] | @csv", &fixture.blob(beside));
    assert_eq!(layer, "\"application/pgp-encrypted\",\"build.ndjson.zst.gpg\"");
    let got = fixture.name("got.gpg");
    drop(ends(0, &["fetch", &image, "--log-to", &got]));
    let inside = stdout_of(keyring.gpg().args(["--decrypt", &got]));
    assert!(inside == std::fs::read(&packed).unwrap(), "what gpg finds is the compressed log");
    // Each encryption is another: two logs beside one attestation, of which none is chosen.
    drop(ends(0, &args));
    assert!(ends(2, &["fetch", &image, "--log-to", &got]).1.contains("2 logs are attached"));

    // An encrypted attestation must be opened, or nothing tells which log is its own.
    let sealed = fixture.name("sealed.att");
    drop(stdout_of(keyring.gpg().args([
        "--trust-model",
        "always",
        "-r",
        &key.fingerprint,
        "-o",
        &sealed,
        "-e",
        &statement,
    ])));
    let (_, said) = ends(2, &[&image, &sealed, "--with-log", &packed, "--encrypt-to", &cert]);
    assert!(said.contains("open it by --key or --gpg"), "{said}");
    let mut opened = attach(&[&image, &sealed, "--gpg", "--with-log", &packed, "--encrypt-to", &cert]);
    let answer = run(opened.env("GNUPGHOME", keyring.home()));
    assert!(answer.status.success(), "{}", describe(&opened, &answer));
    let fixture = Fixture::new();
    ends(0, &[&fixture.layout(), &fixture.name("app.json")]);
    assert!(ends(1, &["fetch", &fixture.layout(), "--log-to", &got]).1.contains("no log is attached"));
}

#[test]
fn a_long_log_is_never_whole_in_memory() {
    require!(Gpg, Registry);
    /// Of the log; the tool gets a third of that as address space.
    const LOG_BYTES: u64 = 600 << 20;
    let fixture = Fixture::new();
    let keyring = Keyring::new();
    keyring.export(&keyring.generate("auditor"), &fixture.file("auditor.asc"));
    let (statement, log) = with_log(&fixture, b"", false);
    std::fs::File::create(&log).unwrap().set_len(LOG_BYTES).unwrap();
    let sum = sha256sum(&fixture.file("build.ndjson"));
    let filter = format!(".predicate.blubr_build.log.sha256 = \"{sum}\" | tojson");
    std::fs::write(fixture.file("long.json"), jq(&filter, Path::new(&statement))).unwrap();
    let registry = Registry::without_referrers();
    let (image, cert) = (fixture.push(&registry), fixture.name("auditor.asc"));
    let limited = |args: &[&str]| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -v {}; exec \"$@\"", LOG_BYTES / 3 / 1024);
        let tool = bins::command("blubr-attach");
        command.args(["-c", &script, "sh"]).arg(tool.get_program()).args(args);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", describe(&command, &output));
    };
    let statement = fixture.name("long.json");
    limited(&[&image, &statement, "--with-log", &log, "--plaintext-log"]);
    let got = fixture.name("got.ndjson");
    limited(&["fetch", &image, "-o", &fixture.name("got.json"), "--log-to", &got]);
    assert_eq!(sha256sum(&fixture.file("got.ndjson")), sum);
    limited(&[&fixture.layout(), &statement, "--with-log", &log, "--encrypt-to", &cert]);
}
