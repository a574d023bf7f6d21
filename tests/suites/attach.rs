//! blubr-attach against layouts and real registries; skopeo, docker, gpg and jq say whether it is right.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{self, describe, jq, run, run_on, sha256sum, stdout_of, text_of};
use blubr_tests::registry::{Registry, skopeo_copy};
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};

/// Two identical layers (Docker links the second to the first when it saves), a whiteout, an empty layer.
const DOCKERFILE: &str = "FROM scratch\n\
    COPY busybox /bin/busybox\n\
    COPY Dockerfile /one\n\
    RUN [\"/bin/busybox\", \"rm\", \"/one\"]\n\
    WORKDIR /work\n\
    ENV A=1\n\
    CMD [\"/bin/busybox\"]\n";

fn attach(args: &[&str]) -> Command {
    let mut command = bins::command("blubr-attach");
    command.args(args);
    command
}

/// Runs the tool, which must exit with `status`; gives its standard output and error.
fn ends(status: i32, args: &[&str]) -> (String, String) {
    program::ends(status, &mut attach(args))
}

/// A folder, a layout with one image in it, made by buildah, and a statement about that image.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let context = Context::of_dockerfile(DOCKERFILE);
        let buildah = Buildah::new();
        drop(buildah.build(Isolation::Chroot, context.path(), "blubr-attach", &[]));
        let folder = tempfile::tempdir().unwrap();
        buildah.push("blubr-attach", &format!("oci:{}:app", folder.path().join("layout").display()));
        let fixture = Self { folder };
        fixture.statement("app.json", &fixture.config_digest(), "2026-11-24T12:00:00Z");
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

    /// The image's config, as skopeo's copy names it.
    fn config_digest(&self) -> String {
        let manifest = jq(
            ".manifests[] | select(.annotations[\"org.opencontainers.image.ref.name\"] == \"app\") | .digest",
            &self.file("layout/index.json"),
        );
        jq(".config.digest", &self.blob(&manifest))
    }

    fn statement(&self, name: &str, subject: &str, finished: &str) {
        let hex = subject.trim_start_matches("sha256:");
        let text = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"name\":\"app\",\"digest\":{{\"sha256\":\"{hex}\"}}}}],\
             \"predicateType\":\"https://in-toto.io/attestation/runtime-trace/v0.1\",\
             \"predicate\":{{\"metadata\":{{\"buildFinishedOn\":\"{finished}\"}}}}}}\n"
        );
        std::fs::write(self.file(name), text).unwrap();
    }

    /// Puts the image into a registry.
    fn push(&self, registry: &Registry) -> String {
        let image = format!("{}/team/app:1", registry.address);
        skopeo_copy(&self.layout(), &format!("docker://{image}"));
        image
    }
}

/// Everything that is promised of one place, be it a layout or a registry.
fn keeps_its_promises(fixture: &Fixture, image: &str) {
    let other = format!("sha256:{}", "0".repeat(64));
    fixture.statement("other.json", &other, "2026-11-24T12:00:00Z");
    let (_, said) = ends(1, &["discover", image]);
    assert!(said.contains("nothing is attached"), "{said}");
    assert_eq!(ends(1, &["fetch", image]).0, "");

    let (_, said) = ends(1, &[image, &fixture.name("other.json")]);
    assert!(said.contains(&other) && said.lines().count() == 1, "{said}");
    assert_eq!(ends(1, &["discover", image]).0, "");

    let (first, _) = ends(0, &[image, &fixture.name("app.json")]);
    let (second, _) = ends(0, &[image, &fixture.name("app.json")]);
    assert_eq!(first, second);
    let found = fixture.file("found.json");
    std::fs::write(&found, ends(0, &["discover", "--json", image]).0).unwrap();
    assert_eq!(jq("[.images[].referrers[]] | length", &found), "1");
    assert_eq!(jq(".images[0].referrers[0].digest", &found), first.trim());
    assert_eq!(jq(".images[0].referrers[0].artifactType", &found), "application/vnd.in-toto+json");
    assert_eq!(jq(".images[0].config", &found), fixture.config_digest());

    let got = fixture.file("got");
    ends(0, &["fetch", image, "-o", &fixture.name("got")]);
    assert_eq!(sha256sum(&got), sha256sum(&fixture.file("app.json")));
    assert_eq!(ends(0, &["fetch", image]).0.as_bytes(), std::fs::read(&got).unwrap());

    // A second one beside it: then one must be chosen.
    fixture.statement("later.json", &fixture.config_digest(), "2026-11-24T13:00:00Z");
    let (later, _) = ends(0, &[image, &fixture.name("later.json")]);
    let (_, said) = ends(2, &["fetch", image]);
    assert!(said.contains("--digest") && said.contains(later.trim()), "{said}");
    let fetched = ends(0, &["fetch", image, "--digest", later.trim()]).0;
    assert_eq!(fetched.as_bytes(), std::fs::read(fixture.file("later.json")).unwrap());
}

/// The platform that the config of an image names.
fn platform_of(image: &str) -> String {
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--format", "{{.Os}}/{{.Architecture}}", image]);
    text_of(&mut inspect).trim().to_owned()
}

#[test]
fn a_layout_keeps_its_promises_and_stays_a_layout() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let digest = |name: &str| {
        let text = text_of(Command::new("skopeo").args(["inspect", "--format", "{{.Digest}}", name]));
        text.trim().to_owned()
    };
    let before = digest(&fixture.layout());
    keeps_its_promises(&fixture, &fixture.layout());
    assert_eq!(digest(&fixture.layout()), before);
    // Without a tag there is one image still, whatever is attached to it, also where the index doesn't say so.
    let bare = format!("oci:{}", fixture.name("layout"));
    ends(0, &["discover", &bare]);
    let index = jq("del(.manifests[].artifactType)", &fixture.file("layout/index.json"));
    std::fs::write(fixture.file("layout/index.json"), index).unwrap();
    ends(0, &["discover", &bare]);
    let (_, said) =
        ends(2, &["copy", "--platform", "plan9/mips", &bare, &format!("oci:{}", fixture.name("other"))]);
    assert!(said.contains("not for plan9/mips"), "{said}");
    let (_, said) = ends(2, &["discover", "--platform", "plan9/mips", &bare]);
    assert!(said.contains("not for plan9/mips"), "{said}");
    ends(0, &["discover", "--platform", &platform_of(&fixture.layout()), &bare]);
    let (_, said) = ends(1, &["fetch", "--digest", &format!("sha256:{}", "0".repeat(64)), &bare]);
    assert!(said.contains(&format!("nothing with the digest sha256:{}", "0".repeat(64))), "{said}");
    // Every blob has the name that sha256sum gives it.
    for blob in std::fs::read_dir(fixture.file("layout/blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), sha256sum(&path));
    }
}

#[test]
fn a_registry_with_the_referrers_api_keeps_its_promises() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let registry = Registry::with_referrers();
    let image = fixture.push(&registry);
    keeps_its_promises(&fixture, &image);
    let digest = text_of(Command::new("skopeo").args([
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &format!("docker://{image}"),
    ]));
    let (status, body) = registry.get(&format!("/v2/team/app/referrers/{}", digest.trim()), "*/*");
    let index: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, index["manifests"].as_array().unwrap().len()), (200, 2));
}

#[test]
fn a_registry_without_it_keeps_its_promises_by_a_tag() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let registry = Registry::without_referrers();
    let image = fixture.push(&registry);
    keeps_its_promises(&fixture, &image);
    let digest = text_of(Command::new("skopeo").args([
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &format!("docker://{image}"),
    ]));
    // skopeo reads what stands behind the tag.
    let tag = format!("docker://{}/team/app:{}", registry.address, digest.trim().replace(':', "-"));
    let raw = fixture.file("raw.json");
    std::fs::write(
        &raw,
        stdout_of(Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &tag])),
    )
    .unwrap();
    assert_eq!(jq(".manifests | length", &raw), "2");
}

#[test]
fn attestations_pushed_at_the_same_time_are_all_kept() {
    require!(Root, Buildah, Registry);
    const WRITERS: usize = 6;
    let fixture = Fixture::new();
    let registry = Registry::without_referrers();
    for image in [fixture.push(&registry), fixture.layout()] {
        let mut children = Vec::new();
        for writer in 0..WRITERS {
            let name = format!("at-once-{writer}.json");
            fixture.statement(&name, &fixture.config_digest(), &format!("2026-11-24T12:00:0{writer}Z"));
            children.push(
                attach(&["-q", &image, &fixture.name(&name)])
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap(),
            );
        }
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let found = fixture.file("found.json");
        std::fs::write(&found, ends(0, &["discover", "--json", &image]).0).unwrap();
        assert_eq!(
            jq("[.images[].referrers[].digest] | unique | length", &found),
            WRITERS.to_string(),
            "{image}"
        );
    }
}

/// Puts an index under a tag, as another client would: the status.
fn put(address: &str, path: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "PUT {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\
         Content-Type: application/vnd.oci.image.index.v1+json\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn entries_of_others_behind_the_tag_are_kept_with_keys_that_we_don_t_know() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let registry = Registry::without_referrers();
    let image = fixture.push(&registry);
    ends(0, &[&image, &fixture.name("app.json")]);
    let digest = text_of(Command::new("skopeo").args([
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &format!("docker://{image}"),
    ]));
    let tag = digest.trim().replace(':', "-");
    let path = format!("/v2/team/app/manifests/{tag}");
    let (_, body) = registry.get(&path, "application/vnd.oci.image.index.v1+json");
    let mut index: serde_json::Value = serde_json::from_slice(&body).unwrap();
    index["x-theirs"] = "kept".into();
    index["manifests"][0]["x-theirs"] = "kept".into();
    assert_eq!(put(&registry.address, &path, &serde_json::to_vec(&index).unwrap()), 201);
    fixture.statement("later.json", &fixture.config_digest(), "2026-11-24T13:00:00Z");
    ends(0, &[&image, &fixture.name("later.json")]);
    let (_, body) = registry.get(&path, "application/vnd.oci.image.index.v1+json");
    let after: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(after["x-theirs"], "kept");
    assert_eq!(after["manifests"][0]["x-theirs"], "kept");
    assert_eq!(after["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn an_encrypted_attestation_is_attached_and_checked_with_a_key() {
    require!(Root, Buildah, Registry, Gpg);
    let fixture = Fixture::new();
    let keyring = Keyring::new();
    let key = keyring.generate("auditor");
    keyring.export_secret(&key, &fixture.file("auditor.asc"));
    fixture.statement("other.json", &format!("sha256:{}", "0".repeat(64)), "2026-11-24T12:00:00Z");
    for name in ["app", "other"] {
        let out = fixture.name(&format!("{name}.att"));
        let args = ["--trust-model", "always", "-r", &key.fingerprint, "-o", &out, "-e"];
        drop(stdout_of(keyring.gpg().args(args).arg(fixture.file(&format!("{name}.json")))));
    }
    let image = fixture.layout();
    let secret = fixture.name("auditor.asc");
    let (_, said) = ends(1, &["--key", &secret, &image, &fixture.name("other.att")]);
    assert!(said.contains("nothing was attached"), "{said}");
    let mut by_gpg = attach(&["--gpg", &image, &fixture.name("other.att")]);
    assert_eq!(run(by_gpg.env("GNUPGHOME", keyring.home())).status.code(), Some(1));
    ends(1, &["discover", &image]);
    let (_, said) = ends(0, &[&image, &fixture.name("app.att")]);
    assert!(said.contains("not checked"), "{said}");
    let (_, said) = ends(0, &["--key", &secret, &image, &fixture.name("app.att")]);
    assert!(!said.contains("not checked"), "{said}");
    ends(0, &["fetch", &image, "-o", &fixture.name("got.att")]);
    let opened = stdout_of(keyring.gpg().arg("-d").arg(fixture.file("got.att")));
    assert_eq!(opened, std::fs::read(fixture.file("app.json")).unwrap());
    // Nothing of what is inside is told beside it.
    let (text, _) = ends(0, &["discover", "--json", &image]);
    assert!(text.contains("application/pgp-encrypted") && !text.contains("runtime-trace"), "{text}");
}

#[test]
fn a_copy_keeps_the_engine_s_id_and_skopeo_agrees() {
    require!(Root, Docker, Registry);
    let context = Context::of_dockerfile(DOCKERFILE);
    let engine = Engine::shared();
    for (builder, tag) in [(Builder::Classic, "attach-classic"), (Builder::BuildKit, "attach-buildkit")]
    {
        let id = engine.build(builder, context.path(), tag, &[]);
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved.tar");
        engine.save(tag, &saved);
        let mut digests = Vec::new();
        for from in [format!("docker:{tag}"), format!("archive:{}", saved.display())] {
            let layout = folder.path().join(format!("layout-{}", digests.len()));
            let to = format!("oci:{}:app", layout.display());
            let mut copy = attach(&["copy", &from, &to]);
            // The engine that the harness started, not the host's.
            let docker = engine.docker();
            let host = docker.get_envs().find(|(key, _)| *key == "DOCKER_HOST").unwrap().1.unwrap();
            copy.env("DOCKER_HOST", host);
            digests.push(text_of(&mut copy).trim().to_owned());
            let inspect =
                text_of(Command::new("skopeo").args(["inspect", "--format", "{{.Digest}}", &to]));
            assert_eq!(inspect.trim(), digests[0]);
            let manifest = layout.join("blobs").join(digests[0].replace(':', "/"));
            assert_eq!(jq(".config.digest", &manifest), id.trim());
            // The layers are the ones that the engine saved, uncompressed, each under its diff_id.
            let config = layout.join("blobs").join(id.trim().replace(':', "/"));
            assert_eq!(
                jq("[.layers[].digest] | tojson", &manifest),
                jq(".rootfs.diff_ids | tojson", &config)
            );
            drop(stdout_of(Command::new("skopeo").args([
                "copy",
                "-q",
                &to,
                &format!("dir:{}", folder.path().join("dir").display()),
            ])));
        }
        assert_eq!(digests[0], digests[1]);
    }
}

#[test]
fn a_copy_of_a_copy_is_the_same_through_a_registry_and_an_archive() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let registry = Registry::with_referrers();
    let image = fixture.push(&registry);
    let archive = format!("{}:app", fixture.name("app.tar"));
    skopeo_copy(&fixture.layout(), &format!("oci-archive:{archive}"));
    for from in [fixture.layout(), image, format!("archive:{archive}")] {
        let layout = fixture.name("copy");
        let (digest, _) = ends(0, &["copy", &from, &format!("oci:{layout}:new")]);
        let expected = match from.strip_prefix("archive:") {
            Some(archive) => text_of(Command::new("skopeo").args([
                "inspect",
                "--format",
                "{{.Digest}}",
                &format!("oci-archive:{archive}"),
            ])),
            None if from.starts_with("oci:") => {
                text_of(Command::new("skopeo").args(["inspect", "--format", "{{.Digest}}", &from]))
            }
            None => text_of(Command::new("skopeo").args([
                "inspect",
                "--tls-verify=false",
                "--format",
                "{{.Digest}}",
                &format!("docker://{from}"),
            ])),
        };
        assert_eq!(digest.trim(), expected.trim(), "{from}");
    }
}

/// Changes one byte in the middle of a file.
fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn one_byte_changed_anywhere_is_found() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    ends(0, &[&fixture.layout(), &fixture.name("app.json")]);
    for blob in std::fs::read_dir(fixture.file("layout/blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        if std::fs::metadata(&path).unwrap().len() == 2 {
            continue; // The empty config, which nobody reads.
        }
        let whole = std::fs::read(&path).unwrap();
        spoil(&path);
        let copy = format!("oci:{}:x", fixture.name("copy"));
        let copied = run(&mut attach(&["copy", &fixture.layout(), &copy]));
        let fetched = run(&mut attach(&["fetch", &fixture.layout()]));
        let failed: Vec<_> =
            [copied, fetched].into_iter().filter(|output| output.status.code() == Some(2)).collect();
        assert!(!failed.is_empty(), "{}", path.display());
        for output in failed {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.lines().count() == 1 && !output.stdout.starts_with(b"{\"_type"), "{said}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    ends(0, &["fetch", &fixture.layout()]);
}

#[test]
fn a_layout_made_to_mislead_is_refused() {
    require!(Root, Buildah, Registry);
    let fixture = Fixture::new();
    let image = fixture.layout();
    let elsewhere = fixture.file("elsewhere");
    std::fs::rename(fixture.file("layout/blobs/sha256"), &elsewhere).unwrap();
    let before = std::fs::read_dir(&elsewhere).unwrap().count();
    std::os::unix::fs::symlink(&elsewhere, fixture.file("layout/blobs/sha256")).unwrap();
    let (_, said) = ends(2, &[&image, &fixture.name("app.json")]);
    assert!(said.contains("symlink"), "{said}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), before);
    // A pipe would be read for ever.
    for file in ["index.json", "oci-layout"] {
        let path = fixture.file("layout").join(file);
        std::fs::rename(&path, fixture.file("aside")).unwrap();
        drop(stdout_of(Command::new("mkfifo").arg(&path)));
        let (_, said) = ends(2, &["discover", &image]);
        assert!(said.contains("no regular file"), "{said}");
        std::fs::rename(fixture.file("aside"), &path).unwrap();
    }
    ends(1, &["discover", &image]);
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let garbage = file("garbage", &[0xff; 4096]);
    let empty = file("empty", b"");
    let json = file("other.json", b"{\"a\":1}");
    let log = file("log", b"{\"type\":\"header\"}\n{\"seq\":1}\n");
    let layout = format!("oci:{}", folder.path().display());
    let closed = "127.0.0.1:1/app:1";
    for args in [
        &[layout.as_str(), &garbage][..],
        &[&layout, &empty],
        &[&layout, &json],
        &[&layout, &log],
        &[&layout, &json, &json],
        &[&layout, "/nonexistent"],
        &["discover", &layout],
        &["discover", closed],
        &["discover", "docker:app"],
        &["discover", "app"],
        &["discover", "--platform", "linux", &layout],
        &["fetch", "--digest", "sha256:1", &layout],
        &["copy", &format!("archive:{garbage}"), &layout],
        &["copy", &format!("archive:{empty}"), &layout],
        &["copy", &layout, "docker:app"],
        &[],
        &["--nonsense"],
    ] {
        let (out, said) = ends(2, args);
        assert!(out.is_empty() && said.lines().count() == 1, "{args:?}: {said}");
        assert!(said.starts_with("blubr-attach: "), "{args:?}: {said}");
    }
    // Standard input is taken, too, and says what it is called.
    let mut command = attach(&[&layout, "-"]);
    let output = run_on(&mut command, b"hello");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("standard input: "),
        "{}",
        describe(&command, &output)
    );
}
