//! Keys, signatures and messages as GnuPG and sq make and read them, and what must not be accepted of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use blubr_tests::bins;
use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, is_installed, jq, run, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;

/// A recorded build, and the folder of this suite.
struct Stage {
    folder: tempfile::TempDir,
    context: Context,
}

impl Stage {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder =
                tempfile::Builder::new().prefix("interop.").tempdir_in(process_folder()).unwrap();
            let context = Context::of_dockerfile(
                "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/m3\"]\n",
            );
            let buildah = Buildah::new();
            let build = buildah.build_command(Isolation::Oci, context.path(), "blubr-interop", &[]);
            drop(record(&folder.path().join("build.ndjson"), &build));
            Self { folder, context }
        })
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("build.ndjson")
    }

    /// A folder of a test's own.
    fn nest(&self, name: &str) -> PathBuf {
        let nest = self.folder.path().join(name);
        std::fs::create_dir_all(&nest).unwrap();
        nest
    }

    fn attest(&self) -> Command {
        let mut attest = bins::command("blubr-attest");
        attest.arg(self.log()).arg("--dockerfile").arg(self.context.file("Dockerfile"));
        attest
    }

    /// A bare statement.
    fn statement(&self, nest: &Path) -> PathBuf {
        let file = nest.join("statement.json");
        drop(stdout_of(self.attest().arg("-o").arg(&file)));
        file
    }
}

fn verify() -> Command {
    let mut verify = bins::command("blubr-attest");
    verify.arg("verify");
    verify
}

/// A key made by gpg's own commands, exported: NAME.asc and NAME.sec.asc.
fn key(keyring: &Keyring, nest: &Path, name: &str, steps: &[&[&str]], passphrase: &str) -> String {
    let gpg = || {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", keyring.home()).args(["--batch", "--no-tty", "--quiet"]);
        gpg.args(["--pinentry-mode", "loopback", "--passphrase", passphrase]);
        gpg
    };
    let user = format!("{name} <{name}@blubr.example>");
    let mut fingerprint = String::new();
    for (at, step) in steps.iter().enumerate() {
        if at == 0 {
            drop(stdout_of(gpg().args(["--quick-generate-key", &user]).args(*step)));
            fingerprint = fingerprints(keyring, &user)[0].clone();
        } else {
            drop(stdout_of(gpg().args(["--quick-add-key", &fingerprint]).args(*step)));
        }
    }
    let out = |suffix: &str| nest.join(format!("{name}{suffix}"));
    drop(stdout_of(
        gpg().args(["--yes", "--armor", "--output"]).arg(out(".asc")).args(["--export", &fingerprint]),
    ));
    let secret = ["--export-secret-keys", &fingerprint];
    drop(stdout_of(gpg().args(["--yes", "--armor", "--output"]).arg(out(".sec.asc")).args(secret)));
    fingerprint
}

/// The fingerprints of a key and its subkeys, in gpg's order.
fn fingerprints(keyring: &Keyring, user: &str) -> Vec<String> {
    let list = text_of(keyring.gpg().args(["--with-colons", "--list-keys", user]));
    let lines = list.lines().filter(|line| line.starts_with("fpr:"));
    lines.filter_map(|line| line.split(':').nth(9)).map(str::to_owned).collect()
}

const SIGN_AND_ENCRYPT: &[&[&str]] = &[&["ed25519", "sign,cert", "1y"], &["cv25519", "encr", "1y"]];

#[test]
fn each_kind_of_key_signs_and_opens_as_gpg_and_sq_do() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("kinds");
    let auditors = Keyring::new();
    let auditor = key(
        &auditors,
        &nest,
        "auditor",
        &[&["rsa3072", "sign,cert", "1y"], &["rsa3072", "encr", "1y"]],
        "",
    );
    let kinds: [(&str, &[&[&str]], usize); 4] = [
        ("ed25519", SIGN_AND_ENCRYPT, 0),
        ("rsa", &[&["rsa2048", "sign,cert", "1y"], &["rsa2048", "encr", "1y"]], 0),
        ("nistp256", &[&["nistp256", "sign,cert", "1y"], &["nistp256", "encr", "1y"]], 0),
        (
            "subkey",
            &[&["ed25519", "cert", "1y"], &["ed25519", "sign", "1y"], &["cv25519", "encr", "1y"]],
            1,
        ),
    ];
    for (name, steps, signing) in kinds {
        let keyring = Keyring::new();
        drop(key(&keyring, &nest, name, steps, ""));
        let file = |suffix: &str| nest.join(format!("{name}{suffix}"));
        let mut attest = stage.attest();
        attest
            .arg("--sign-with")
            .arg(file(".sec.asc"))
            .arg("--encrypt-to")
            .arg(nest.join("auditor.asc"));
        attest.arg("-o").arg(file(".att")).arg("--statement").arg(file(".json"));
        attest.arg("--detached").arg(file(".json.asc")).arg("--dsse").arg(file(".dsse.json"));
        drop(stdout_of(&mut attest));

        let mut check = keyring.gpg();
        check.arg("--verify").arg(file(".json.asc")).arg(file(".json"));
        let answer = run(&mut check);
        assert!(answer.status.success(), "{}", describe(&check, &answer));
        let keyid = jq(".signatures[0].keyid", &file(".dsse.json"));
        assert_eq!(
            keyid.to_uppercase(),
            fingerprints(&keyring, name)[signing],
            "{name}: the signing key's fingerprint"
        );

        let envelope = std::fs::read(file(".dsse.json")).unwrap();
        for opener in [&keyring, &auditors] {
            let opened = stdout_of(opener.gpg().arg("--decrypt").arg(file(".att")));
            assert!(opened == envelope, "{name}");
        }
        sq(name, &nest, &auditor);
        let mut ours = verify();
        ours.arg("--cert").arg(file(".asc")).arg("--key").arg(file(".sec.asc")).arg(file(".att"));
        let answer = run(&mut ours);
        assert!(answer.status.success(), "{}", describe(&ours, &answer));
    }
}

/// sq's opinion, where it is installed: bookworm's knows these flags.
fn sq(name: &str, nest: &Path, auditor: &str) {
    if !is_installed("sq") {
        eprintln!("sq is not installed: {name} is tried with gpg only (auditor {auditor})");
        return;
    }
    let file = |suffix: &str| nest.join(format!("{name}{suffix}"));
    let mut check = Command::new("sq");
    check.args(["verify", "--signer-cert"]).arg(file(".asc"));
    check.arg("--detached").arg(file(".json.asc")).arg(file(".json"));
    let answer = run(&mut check);
    assert!(answer.status.success(), "{}", describe(&check, &answer));
    let mut open = Command::new("sq");
    open.args(["decrypt", "--recipient-key"]).arg(nest.join("auditor.sec.asc")).arg(file(".att"));
    assert!(
        stdout_of(&mut open) == std::fs::read(file(".dsse.json")).unwrap(),
        "{name}: sq opens the envelope"
    );
}

#[test]
fn a_locked_key_wants_its_passphrase_and_never_takes_it_as_an_argument() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("locked");
    let keyring = Keyring::new();
    drop(key(&keyring, &nest, "locked", SIGN_AND_ENCRYPT, "correct horse"));
    let (good, bad, out) = (nest.join("good"), nest.join("bad"), nest.join("out.json"));
    std::fs::write(&good, "correct horse\nsecond line\n").unwrap();
    std::fs::write(&bad, "wrong\n").unwrap();
    let sign = || {
        let mut attest = stage.attest();
        attest.arg("--sign-with").arg(nest.join("locked.sec.asc")).arg("-o").arg(&out);
        attest
    };
    let mut attest = sign();
    let answer = run(attest.arg("--passphrase-file").arg(&bad));
    assert_eq!(answer.status.code(), Some(2), "{}", describe(&attest, &answer));
    assert!(String::from_utf8_lossy(&answer.stderr).contains("passphrase is wrong"));
    assert!(!out.exists());
    drop(stdout_of(sign().arg("--passphrase-file").arg(&good)));
    assert!(out.exists());
    // The descriptor is opened by the shell, as users do.
    let file = std::fs::File::open(&good).unwrap();
    assert!(file.as_raw_fd() >= 0);
    let script = "exec 7<\"$1\"; shift; exec \"$@\" --passphrase-fd 7";
    let mut by_fd = Command::new("sh");
    by_fd.args(["-c", script, "sh"]).arg(&good).arg(sign().get_program()).args(sign().get_args());
    drop(stdout_of(&mut by_fd));
    let mut ours = verify();
    let answer = run(ours.arg("--cert").arg(nest.join("locked.asc")).arg(&out));
    assert!(answer.status.success(), "{}", describe(&ours, &answer));
}

#[test]
fn gpg_signs_and_opens_with_keys_that_only_it_has() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("agent");
    let keyring = Keyring::new();
    drop(key(&keyring, &nest, "agent", SIGN_AND_ENCRYPT, "in the agent"));
    let passphrase = nest.join("passphrase");
    std::fs::write(&passphrase, "in the agent\n").unwrap();
    let mut attest = stage.attest();
    attest.env("GNUPGHOME", keyring.home()).args(["--gpg-key", "agent@blubr.example"]);
    attest.arg("--passphrase-file").arg(&passphrase).arg("--encrypt-to").arg(nest.join("agent.asc"));
    drop(stdout_of(attest.arg("-o").arg(nest.join("agent.att"))));
    let mut ours = verify();
    ours.env("GNUPGHOME", keyring.home()).arg("--gpg").arg("--passphrase-file").arg(&passphrase);
    let answer = run(ours.arg("--cert").arg(nest.join("agent.asc")).arg(nest.join("agent.att")));
    assert!(answer.status.success(), "{}", describe(&ours, &answer));

    let mut attest = stage.attest();
    let answer =
        run(attest.env("GNUPGHOME", keyring.home()).args(["--gpg-key", "nobody@blubr.example"]));
    assert_eq!(answer.status.code(), Some(2), "{}", describe(&attest, &answer));
}

/// An envelope around a statement, signed by gpg with these options, put together by jq.
fn by_hand(keyring: &Keyring, nest: &Path, statement: &Path, name: &str, options: &[&str]) -> PathBuf {
    let pae = nest.join("pae");
    std::fs::write(&pae, stdout_of(bins::command("blubr-attest").arg("pae").arg(statement))).unwrap();
    let sig = nest.join("sig");
    let mut gpg = keyring.gpg();
    gpg.args(["--yes", "--local-user", name])
        .args(options)
        .arg("--output")
        .arg(&sig)
        .arg("--detach-sign")
        .arg(&pae);
    drop(stdout_of(&mut gpg));
    let mut print = keyring.gpg();
    let packets = text_of(print.arg("--list-packets").arg(&sig));
    let issuer = packets
        .lines()
        .find_map(|line| line.split("issuer fpr v4 ").nth(1))
        .expect("gpg says who signed");
    let keyid: String =
        issuer.chars().take_while(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
    // By --rawfile: an argument may have 128 KiB only.
    let script = "base64 -w0 \"$1\" >\"$4/p\"; base64 -w0 \"$2\" >\"$4/s\"; \
        jq -nc --rawfile p \"$4/p\" --rawfile s \"$4/s\" --arg k \"$3\" \
        '{payload:$p,payloadType:\"application/vnd.in-toto+json\",signatures:[{keyid:$k,sig:$s}]}'";
    let envelope = nest.join("by-hand.dsse.json");
    let made = stdout_of(
        Command::new("sh").args(["-c", script, "sh"]).arg(statement).arg(&sig).arg(&keyid).arg(nest),
    );
    std::fs::write(&envelope, made).unwrap();
    envelope
}

/// What `verify` says of an envelope, and its status.
fn said(cert: &Path, envelope: &Path) -> (Option<i32>, String) {
    let answer = run(verify().arg("--cert").arg(cert).arg(envelope));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&answer.stdout),
        String::from_utf8_lossy(&answer.stderr)
    );
    (answer.status.code(), text)
}

#[test]
fn an_envelope_signed_by_gpg_itself_verifies_and_weak_ones_do_not() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("policy");
    let statement = stage.statement(&nest);
    let keyring = Keyring::new();
    let refused = |cert: &str, envelope: &Path, word: &str| {
        let (status, text) = said(&nest.join(cert), envelope);
        assert_eq!(status, Some(1), "{cert}: {text}");
        assert!(text.contains(word), "{cert}: {word:?} is not in {text}");
    };
    let good = key(&keyring, &nest, "good", SIGN_AND_ENCRYPT, "");
    let envelope = nest.join("good.dsse.json");
    std::fs::copy(by_hand(&keyring, &nest, &statement, "good", &[]), &envelope).unwrap();
    assert_eq!(said(&nest.join("good.asc"), &envelope).0, Some(0));

    drop(key(&keyring, &nest, "stranger", SIGN_AND_ENCRYPT, ""));
    refused("stranger.asc", &envelope, "whose certificate was not given");

    let sha1 = by_hand(&keyring, &nest, &statement, "good", &["--digest-algo", "SHA1"]);
    refused("good.asc", &sha1, "SHA1");

    // A certificate that is out of date, seen from before: the signature was made after its end.
    let faked = ["--faked-system-time", "20200101T000000"];
    let old = "old <old@blubr.example>";
    drop(stdout_of(keyring.gpg().args(faked).args([
        "--quick-generate-key",
        old,
        "ed25519",
        "sign,cert",
        "1y",
    ])));
    let in_time =
        by_hand(&keyring, &nest, &statement, "old", &["--faked-system-time", "20200601T000000!"]);
    let in_time_copy = nest.join("in-time.dsse.json");
    std::fs::copy(in_time, &in_time_copy).unwrap();
    drop(stdout_of(
        keyring
            .gpg()
            .args(["--yes", "--armor", "--output"])
            .arg(nest.join("old.asc"))
            .args(["--export", "old"]),
    ));
    let (status, text) = said(&nest.join("old.asc"), &in_time_copy);
    assert_eq!(status, Some(0), "made while the key was valid: {text}");
    assert!(text.contains("expired since, on 2020-12-31"), "{text}");
    // Now the key's life ends before the signature was made.
    let fingerprint = fingerprints(&keyring, "old")[0].clone();
    let shorten = ["--quick-set-expire", &fingerprint, "2020-03-01"];
    drop(stdout_of(keyring.gpg().args(["--faked-system-time", "20200115T000000"]).args(shorten)));
    drop(stdout_of(
        keyring
            .gpg()
            .args(["--yes", "--armor", "--output"])
            .arg(nest.join("old.asc"))
            .args(["--export", "old"]),
    ));
    refused("old.asc", &in_time_copy, "expired on 2020-03-01");

    // Revoked, for no reason given: for all times.
    let revocation = keyring.home().join("openpgp-revocs.d").join(format!("{good}.rev"));
    let text = std::fs::read_to_string(&revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(nest.join("good.rev"), text).unwrap();
    drop(stdout_of(keyring.gpg().arg("--import").arg(nest.join("good.rev"))));
    drop(stdout_of(
        keyring
            .gpg()
            .args(["--yes", "--armor", "--output"])
            .arg(nest.join("good.asc"))
            .args(["--export", &good]),
    ));
    refused("good.asc", &envelope, "revoked");
    let mut attest = stage.attest();
    let answer = run(attest.arg("--encrypt-to").arg(nest.join("good.asc")));
    assert_eq!(answer.status.code(), Some(2), "{}", describe(&attest, &answer));
}

#[test]
fn a_short_rsa_key_does_not_count() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("short");
    let statement = stage.statement(&nest);
    let keyring = Keyring::new();
    let made = run(keyring.gpg().args([
        "--quick-generate-key",
        "short <short@blubr.example>",
        "rsa1024",
        "sign,cert",
        "1y",
    ]));
    assert!(made.status.success(), "gpg still makes such keys");
    drop(stdout_of(
        keyring
            .gpg()
            .args(["--yes", "--armor", "--output"])
            .arg(nest.join("short.asc"))
            .args(["--export", "short"]),
    ));
    let envelope = by_hand(&keyring, &nest, &statement, "short", &[]);
    let (status, text) = said(&nest.join("short.asc"), &envelope);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("RSA of 1024 bits"), "{text}");
}

#[test]
fn no_changed_byte_of_an_envelope_a_signature_or_a_message_passes() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("bytes");
    let keyring = Keyring::new();
    drop(key(&keyring, &nest, "bytes", SIGN_AND_ENCRYPT, ""));
    let cert = nest.join("bytes.asc");
    let file = |name: &str| nest.join(name);
    let mut attest = stage.attest();
    attest.arg("--sign-with").arg(file("bytes.sec.asc")).arg("--statement").arg(file("s.json"));
    attest.arg("--detached").arg(file("s.json.asc")).arg("--dsse").arg(file("s.dsse.json"));
    // The signer's own part stands behind the other's.
    drop(key(&keyring, &nest, "other", SIGN_AND_ENCRYPT, ""));
    attest.arg("-o").arg(file("s.att")).arg("--encrypt-to").arg(file("other.asc"));
    drop(stdout_of(&mut attest));

    let fails = |name: &str,
                 every: usize,
                 from_start: usize,
                 from_end: usize,
                 check: &dyn Fn(&Path) -> Command| {
        let bytes = std::fs::read(file(name)).unwrap();
        let changed = file("changed");
        let answer = run(&mut check(&file(name)));
        assert!(answer.status.success(), "{}", describe(&check(&file(name)), &answer));
        let tail = bytes.len().saturating_sub(from_end);
        for at in (0..bytes.len()).filter(|at| at % every == 0 || *at < from_start || *at >= tail) {
            let mut other = bytes.clone();
            other[at] ^= 1;
            std::fs::write(&changed, &other).unwrap();
            let mut command = check(&changed);
            let answer = run(&mut command);
            assert!(
                matches!(answer.status.code(), Some(1 | 2)),
                "{name}: byte {at}: {}",
                describe(&command, &answer)
            );
        }
    };
    let long = std::fs::metadata(file("s.dsse.json")).unwrap().len();
    let step = usize::try_from(long / 150).unwrap().max(1);
    // The signature and what is around it stand at the end.
    fails("s.dsse.json", step, 0, 300, &|path| {
        let mut command = verify();
        command.arg("--cert").arg(&cert).arg(path);
        command
    });
    fails("s.json.asc", 1, 0, 0, &|path| {
        let mut command = verify();
        command.arg("--cert").arg(&cert).arg("--signature").arg(path).arg(file("s.json"));
        command
    });
    fails("s.json", step, 0, 0, &|path| {
        let mut command = verify();
        command.arg("--cert").arg(&cert).arg("--signature").arg(file("s.json.asc")).arg(path);
        command
    });
    fails("s.att", step, 230, 40, &|path| {
        let mut command = verify();
        command.arg("--cert").arg(&cert).arg("--key").arg(file("other.sec.asc")).arg(path);
        command
    });
}

#[test]
fn nothing_stands_behind_a_message() {
    require!(Root, Buildah, Gpg);
    let stage = Stage::shared();
    let nest = stage.nest("behind");
    let keyring = Keyring::new();
    drop(key(&keyring, &nest, "behind", SIGN_AND_ENCRYPT, ""));
    let file = |name: &str| nest.join(name);
    let mut attest = stage.attest();
    attest.arg("--sign-with").arg(file("behind.sec.asc")).arg("--dsse").arg(file("s.dsse.json"));
    drop(stdout_of(attest.arg("-o").arg(file("ours.att")).arg("--encrypt-to").arg(file("behind.asc"))));
    let by_gpg = |name: &str, options: &[&str]| {
        let mut gpg = keyring.gpg();
        gpg.args(["--yes", "--trust-model", "always", "--recipient", "behind"]).args(options);
        drop(stdout_of(gpg.arg("--output").arg(file(name)).arg("--encrypt").arg(file("s.dsse.json"))));
    };
    by_gpg("gpg.att", &[]);
    by_gpg("gpg.att.asc", &["--armor", "--comment", "of gpg"]);
    let changed = file("changed");
    let check = |message: &[&[u8]], by_gpg: bool| {
        std::fs::write(&changed, message.concat()).unwrap();
        let mut command = verify();
        command.env("GNUPGHOME", keyring.home()).arg("--cert").arg(file("behind.asc"));
        if by_gpg {
            command.arg("--gpg");
        } else {
            command.arg("--key").arg(file("behind.sec.asc"));
        }
        let answer = run(command.arg(&changed));
        (answer.status.code(), describe(&command, &answer))
    };
    let marker = [0xca, 3, b'P', b'G', b'P'];
    for name in ["ours.att", "gpg.att", "gpg.att.asc"] {
        let bytes = std::fs::read(file(name)).unwrap();
        let is_armored = name.ends_with(".asc");
        let cases: [(&[u8], i32); 5] = [
            (b"", 0),
            (b" \n\t\n", if is_armored { 0 } else { 1 }),
            (b"and more\n", 1),
            (&marker, 1),
            (&bytes, 1),
        ];
        for (behind, wanted) in cases {
            for by_gpg in [false, true] {
                let (code, said) = check(&[&bytes, behind], by_gpg);
                assert_eq!(code, Some(wanted), "{name}, {} behind: {said}", behind.len());
                assert!(wanted == 0 || said.contains("something stands behind"), "{said}");
            }
        }
    }
}
