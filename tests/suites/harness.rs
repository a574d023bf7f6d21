//! The harness itself: what it starts answers, and nothing of it is left behind.

use std::path::PathBuf;
use std::process::Command;

use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{stdout_of, text_of};
use blubr_tests::registry::Registry;
use blubr_tests::require;
use blubr_tests::workload::Context;

const DOCKERFILE: &str =
    "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/m3\"]\n";

/// Processes whose command line names the folder, and mounts below it.
fn traces_of(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(folder) {
            found.push(line);
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    found.extend(mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned));
    found
}

#[test]
fn engine_builds_with_both_builders_and_leaves_nothing() {
    require!(Root, Docker);
    let context = Context::of_dockerfile(DOCKERFILE);
    let engine = Engine::start();
    let state: PathBuf = engine.state.clone();
    for builder in [Builder::Classic, Builder::BuildKit] {
        assert!(engine.build(builder, context.path(), "blubr-harness", &[]).starts_with("sha256:"));
    }
    drop(engine);
    assert!(!state.exists());
    assert_eq!(traces_of(&state.display().to_string()), Vec::<String>::new());
}

#[test]
fn engine_ends_with_a_test_that_panics() {
    require!(Root, Docker);
    let folder = std::thread::spawn(|| {
        let engine = Engine::start();
        let folder = engine.state.display().to_string();
        std::panic::panic_any(folder);
    });
    let folder = *folder.join().expect_err("it panics").downcast::<String>().expect("the folder's name");
    assert_eq!(traces_of(&folder), Vec::<String>::new());
    assert!(!PathBuf::from(folder).exists());
}

#[test]
fn buildah_builds_in_both_isolations() {
    require!(Root, Buildah);
    let context = Context::of_dockerfile(DOCKERFILE);
    for isolation in [Isolation::Oci, Isolation::Chroot] {
        let buildah = Buildah::new();
        assert_eq!(buildah.build(isolation, context.path(), "blubr-harness", &[]).len(), 64);
    }
}

#[test]
fn registries_take_an_image_and_differ_in_the_referrers_api() {
    require!(Registry, Buildah, Root);
    let context = Context::of_dockerfile(DOCKERFILE);
    let buildah = Buildah::new();
    drop(buildah.build(Isolation::Chroot, context.path(), "blubr-harness", &[]));
    let layout = context.path().join("layout");
    buildah.push("blubr-harness", &format!("oci:{}:app", layout.display()));
    for (registry, status) in [(Registry::with_referrers(), 200), (Registry::without_referrers(), 404)] {
        let target = format!("docker://{}/app:1", registry.address);
        let source = format!("oci:{}:app", layout.display());
        drop(stdout_of(Command::new("skopeo").args([
            "copy",
            "-q",
            "--dest-tls-verify=false",
            &source,
            &target,
        ])));
        let raw =
            text_of(Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &target]));
        assert!(raw.contains("layers"), "{raw}");
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(registry.get(&format!("/v2/app/referrers/{digest}"), "*/*").0, status);
    }
}

#[test]
fn keyring_signs_and_encrypts_and_is_gone() {
    require!(Gpg);
    let keyring = Keyring::new();
    let key = keyring.generate("signer");
    let home = keyring.home().to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text");
    std::fs::write(&file, "text").expect("writable");
    drop(stdout_of(keyring.gpg().args(["-u", &key.fingerprint, "--detach-sign"]).arg(&file)));
    drop(stdout_of(keyring.gpg().arg("--verify").arg(folder.path().join("text.sig")).arg(&file)));
    drop(stdout_of(
        keyring.gpg().args(["--trust-model", "always", "-r", &key.fingerprint, "-e"]).arg(&file),
    ));
    assert_eq!(stdout_of(keyring.gpg().arg("-d").arg(folder.path().join("text.gpg"))), b"text");
    drop(keyring);
    assert!(!home.exists());
    assert_eq!(traces_of(&home.display().to_string()), Vec::<String>::new());
}
