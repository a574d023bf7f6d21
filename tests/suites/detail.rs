//! The long tables in a file of their own (`--detail-to`): nothing gets lost on the way there, and no reader takes a list that
//! lies elsewhere for an empty one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, jq, run, run_on, sha256sum, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};

/// Of both builds: the second takes the name.
const TAG: &str = "blubr-detail";

const SECRET: &str = "hunter2-of-the-detail";

const DOCKERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
    RUN wget -q -T 1 -O- http://user:hunter2-of-the-detail@127.0.0.1:9/ || true\n\
    RUN mkdir -p /d/e && cp /bin/busybox /d/e/copy && echo PASSWORD=hunter2-of-the-detail > /dev/null\n";

/// What is kept beside each build: its log's name, and the attestations made of it.
struct Stage {
    folder: tempfile::TempDir,
    context: Context,
}

impl Stage {
    /// The same Dockerfile, recorded twice.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder =
                tempfile::Builder::new().prefix("detail.").tempdir_in(process_folder()).unwrap();
            let stage = Self { folder, context: Context::of_dockerfile(DOCKERFILE) };
            let keyring = Keyring::new();
            for name in ["signer", "auditor"] {
                let key = keyring.generate(name);
                keyring.export(&key, &stage.file(&format!("{name}.asc")));
                keyring.export_secret(&key, &stage.file(&format!("{name}.sec.asc")));
            }
            for name in ["old", "new"] {
                // With another time: BuildKit's client reads again only what seems to have changed.
                std::fs::write(stage.context.file("Dockerfile"), DOCKERFILE).unwrap();
                let engine = Engine::shared();
                let build = engine.build_command(Builder::BuildKit, stage.context.path(), TAG, &[]);
                drop(record(&stage.file(&format!("{name}.ndjson")), &build));
                drop(stdout_of(stage.attest(name).arg("-o").arg(stage.file(&format!("{name}.json")))));
                let mut parted = stage.attest(name);
                parted.arg("--detail-to").arg(stage.detail(name));
                parted.arg("-o").arg(stage.file(&format!("{name}.parted.json")));
                drop(stdout_of(&mut parted));
            }
            stage
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn detail(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.detail.ndjson.zst"))
    }

    /// Once the second build is recorded, of that one only.
    fn attest(&self, name: &str) -> Command {
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(self.context.file("Dockerfile"));
        attest.arg("--image").arg(format!("docker:{TAG}"));
        attest.arg(self.file(&format!("{name}.ndjson")));
        attest
    }
}

fn show(args: &[&str], file: &Path, detail: Option<&Path>) -> Command {
    let mut show = bins::command("blubr-attest");
    show.arg("show").args(args).arg(file);
    if let Some(detail) = detail {
        show.arg("--detail").arg(detail);
    }
    show
}

fn plain(detail: &Path) -> String {
    text_of(Command::new("zstdcat").arg(detail))
}

/// Runs a command that must end with `status`, and gives what it printed.
fn ends(status: i32, command: &mut Command) -> (String, Output) {
    let output = run(command);
    assert_eq!(output.status.code(), Some(status), "{}", describe(command, &output));
    (String::from_utf8_lossy(&output.stdout).into_owned(), output)
}

/// A statement and a detail that were changed by jq; the statement names the changed file's sum.
fn forged(name: &str, statement: &str, detail: &str) -> (PathBuf, PathBuf) {
    let stage = Stage::shared();
    let (to, packed) = (stage.file(&format!("{name}.json")), stage.detail(name));
    let lines = stdout_of(Command::new("zstdcat").arg(stage.detail("new")));
    let changed = run_on(Command::new("jq").args(["-c", detail]), &lines);
    assert!(changed.status.success());
    let zstd = run_on(Command::new("zstd").arg("-q").arg("-c"), &changed.stdout);
    std::fs::write(&packed, zstd.stdout).unwrap();
    let sum = format!(
        ".predicate.blubr_build.detail.digest.sha256 = \"{}\" | {statement}",
        sha256sum(&packed)
    );
    let mut jq = Command::new("jq");
    std::fs::write(&to, stdout_of(jq.args(["-c", &sum]).arg(stage.file("new.parted.json")))).unwrap();
    (to, packed)
}

#[test]
fn put_back_it_is_the_statement_that_would_have_been_written() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let parted = stage.file("new.parted.json");
    let back = stage.file("back.json");
    let mut whole = show(&["--json"], &parted, Some(&stage.detail("new")));
    std::fs::write(&back, stdout_of(&mut whole)).unwrap();
    let rest = "del(.predicate.blubr_build.detail)";
    assert_eq!(jq(&format!("{rest} | tojson"), &back), jq("tojson", &stage.file("new.json")));
    let size = |file: &Path| std::fs::metadata(file).unwrap().len();
    assert!(size(&parted) * 2 < size(&stage.file("new.json")), "the tables are most of it");
}

#[test]
fn the_statement_names_the_file_and_what_is_in_it() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let (parted, detail) = (stage.file("new.parted.json"), stage.detail("new"));
    let said = |filter: &str| jq(&format!(".predicate.blubr_build.detail{filter}"), &parted);
    assert_eq!(said(".digest.sha256"), sha256sum(&detail));
    assert_eq!(said(".name"), "new.detail.ndjson.zst");
    assert_eq!(std::fs::metadata(&detail).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = stage.file("lines.ndjson");
    std::fs::write(&lines, plain(&detail)).unwrap();
    let count = "jq -s -c '[.[] | .table | values] | group_by(.) | map({(.[0]): length}) | add' \"$1\"";
    let counted = stage.file("counted.json");
    std::fs::write(&counted, stdout_of(Command::new("sh").args(["-c", count, "sh"]).arg(&lines)))
        .unwrap();
    let there = ".annotations.tables | with_entries(select(.value > 0)) | tojson";
    assert_eq!(said(there), jq("to_entries | sort_by(.key) | from_entries | tojson", &counted));
    let records = plain(&detail).lines().count() - 1;
    assert_eq!(said(".annotations.records"), records.to_string());
    // A list that is elsewhere has no key: it is neither `null` (not looked at) nor `[]` (nothing found).
    assert_eq!(jq(".predicate.monitorLog | tojson", &parted), "{}");
    assert_eq!(jq(".predicate.blubr_build | has(\"files\")", &parted), "false");
    let lists = "[.predicate.blubr_build.steps[], .predicate.blubr_build.unattributed | has(\"reads\", \"writes\", \"processes\", \"network\")] | any";
    assert_eq!(jq(lists, &parted), "false");
    assert_eq!(jq(lists, &stage.file("new.json")), "true");
}

#[test]
fn the_same_input_gives_the_same_files() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let again = stage.file("again");
    std::fs::create_dir_all(&again).unwrap();
    let mut attest = stage.attest("new");
    attest.arg("--detail-to").arg(again.join("new.detail.ndjson.zst"));
    attest.arg("-o").arg(again.join("a.json"));
    drop(stdout_of(&mut attest));
    let same = |one: &Path, other: &Path| std::fs::read(one).unwrap() == std::fs::read(other).unwrap();
    assert!(same(&again.join("a.json"), &stage.file("new.parted.json")));
    assert!(same(&again.join("new.detail.ndjson.zst"), &stage.detail("new")));
}

#[test]
fn secrets_are_in_neither() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let log = std::fs::read_to_string(stage.file("new.ndjson")).unwrap();
    assert!(log.contains(SECRET), "the log holds it");
    let (parted, lines) =
        (std::fs::read_to_string(stage.file("new.parted.json")).unwrap(), plain(&stage.detail("new")));
    assert!(!parted.contains(SECRET) && !lines.contains(SECRET));
    assert!(lines.contains("[redacted:"), "the URL's in argv, and the file of that name");
    let count = |file: &str| jq(".predicate.blubr_build.redactions | tojson", &stage.file(file));
    assert_eq!(count("new.parted.json"), count("new.json"));
}

#[test]
fn verify_says_whether_the_detail_is_what_was_named() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let verify = |file: &Path, detail: Option<&Path>| {
        let mut verify = bins::command("blubr-attest");
        verify.args(["verify", "--unsigned", "--dockerfile"]).arg(stage.context.file("Dockerfile"));
        verify.arg(file);
        if let Some(detail) = detail {
            verify.arg("--detail").arg(detail);
        }
        verify
    };
    let parted = stage.file("new.parted.json");
    let (text, _) = ends(0, &mut verify(&parted, None));
    assert!(text.contains("--    detail      not checked (--detail)"), "{text}");
    let (text, _) = ends(0, &mut verify(&stage.file("new.json"), None));
    assert!(!text.contains("detail"), "{text}");
    let (text, _) = ends(0, &mut verify(&parted, Some(&stage.detail("new"))));
    assert!(text.contains("ok    detail") && text.contains("verified: Dockerfile, detail"), "{text}");
    let (text, _) = ends(1, &mut verify(&parted, Some(&stage.detail("old"))));
    assert!(text.contains("FAIL  detail") && text.contains(&sha256sum(&stage.detail("new"))), "{text}");
    let (text, _) = ends(1, &mut verify(&stage.file("new.json"), Some(&stage.detail("new"))));
    assert!(text.contains("names no detail file"), "{text}");
    for (name, statement, detail, said) in [
        ("gone", ".", "select(.table != \"files\" or .entry.path != \"/d\")", "of the table files"),
        ("alien", ".", "if .schema then .event = \"urn:x\" else . end", "it is of the build urn:x"),
        ("headless", ".", "select(.schema | not)", "begins with no head"),
        ("stray", ".", "if .at then .at = 77 else . end", "of a step or candidate"),
        ("form", ".", "if .table == \"files\" then .entry.path = 7 else . end", "is no record"),
        ("odd", ".", "if .table == \"files\" then .table = \"more\" else . end", "no table more"),
        // Counted anew, so that only the step knows better.
        (
            "less",
            ".predicate.blubr_build.detail.annotations |= (.tables[\"steps.writes\"] -= 1 | .records -= 1)",
            "select(.table != \"steps.writes\" or .entry.path != \"/d/e/copy\")",
            "for the step 0.5, which counts",
        ),
    ] {
        let (statement, packed) = forged(name, statement, detail);
        let (text, _) = ends(1, &mut verify(&statement, Some(&packed)));
        assert!(text.contains("FAIL  detail") && text.contains(said), "{name}: {text}");
    }
    let cut = stage.file("cut.zst");
    let bytes = std::fs::read(stage.detail("new")).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    ends(1, &mut verify(&parted, Some(&cut)));
}

#[test]
fn show_says_where_a_list_is_that_it_does_not_have() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let (parted, detail) = (stage.file("new.parted.json"), stage.detail("new"));
    let (text, _) = ends(0, &mut show(&[], &parted, None));
    let name = "in new.detail.ndjson.zst";
    assert!(text.matches(name).count() >= 4, "{text}");
    assert!(!text.contains("none recorded") && !text.contains("  0 entries"), "{text}");
    let (with, _) = ends(0, &mut show(&[], &parted, Some(&detail)));
    let (whole, _) = ends(0, &mut show(&[], &stage.file("new.json"), None));
    let rows = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.contains(&sha256sum(&detail))).map(str::to_owned).collect()
    };
    let without: Vec<String> =
        rows(&with).into_iter().filter(|line| !line.starts_with("  detail")).collect();
    assert_eq!(without, rows(&whole));
    let (_, said) = ends(2, &mut show(&["--sha256sum"], &parted, None));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains("its files are in new.detail.ndjson.zst: name that file by --detail"),
        "{said}"
    );
    let (sums, _) = ends(0, &mut show(&["--sha256sum"], &parted, Some(&detail)));
    assert_eq!(sums, ends(0, &mut show(&["--sha256sum"], &stage.file("new.json"), None)).0);
    assert!(sums.contains("  d/e/copy\n"));
    let (_, said) = ends(2, &mut show(&["--json"], &parted, Some(&stage.detail("old"))));
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("is not the detail that the statement names")
    );
    let (_, said) = ends(2, &mut show(&[], &stage.file("new.json"), Some(&detail)));
    assert!(String::from_utf8_lossy(&said.stderr).contains("leave --detail away"));
}

#[test]
fn an_encrypted_attestation_has_an_encrypted_detail() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let (att, detail) = (stage.file("sealed.att"), stage.file("sealed.ndjson.zst"));
    let mut attest = stage.attest("new");
    attest.arg("--sign-with").arg(stage.file("signer.sec.asc"));
    attest.arg("--encrypt-to").arg(stage.file("auditor.asc"));
    attest.arg("--detail-to").arg(&detail).arg("-o").arg(&att);
    drop(stdout_of(&mut attest));
    let keyring = Keyring::new();
    keyring.import(&stage.file("auditor.sec.asc"));
    let inside = stage.file("inside.zst");
    std::fs::write(&inside, stdout_of(keyring.gpg().arg("--decrypt").arg(&detail))).unwrap();
    let key = stage.file("auditor.sec.asc").display().to_string();
    let head = stage.file("sealed.json");
    std::fs::write(&head, stdout_of(&mut show(&["--json", "--key", &key], &att, None))).unwrap();
    assert_eq!(jq(".predicate.blubr_build.detail.digest.sha256", &head), sha256sum(&inside));
    for (opener, home) in [(vec!["--key", &key], None), (vec!["--gpg"], Some(keyring.home()))] {
        for file in [&detail, &inside] {
            let mut verify = bins::command("blubr-attest");
            verify.arg("verify").arg("--cert").arg(stage.file("signer.asc")).args(&opener).arg(&att);
            verify.arg("--detail").arg(file);
            if let Some(home) = home {
                verify.env("GNUPGHOME", home);
            }
            let (text, _) = ends(0, &mut verify);
            assert!(text.contains("verified: signature, detail"), "{text}");
        }
    }
    let bytes = std::fs::read(&detail).unwrap();
    for at in [bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let file = stage.file("changed.zst");
        std::fs::write(&file, &changed).unwrap();
        let (_, said) = ends(2, &mut show(&["--key", &key], &att, Some(&file)));
        assert!(String::from_utf8_lossy(&said.stderr).contains("changed or cut"));
    }
}

#[test]
fn diff_compares_the_tables_that_it_is_given_and_says_which_it_is_not() {
    require!(Root, Docker, Gpg);
    let stage = Stage::shared();
    let diff = |files: [&str; 2], details: &[&str]| {
        let mut diff = bins::command("blubr-diff");
        diff.args(files.map(|name| stage.file(name)));
        for name in details {
            diff.arg("--detail").arg(stage.detail(name));
        }
        diff
    };
    let whole = ends(0, &mut diff(["old.json", "new.json"], &[])).0;
    let parted = ["old.parted.json", "new.parted.json"];
    let with = ends(0, &mut diff(parted, &["new", "old"])).0;
    assert_eq!(with, whole);
    assert_eq!(ends(0, &mut diff(["old.json", "new.parted.json"], &["new"])).0, whole);
    let (without, _) = ends(0, &mut diff(parted, &[]));
    for what in ["the commands", "the hosts", "the files", "programs of no known step"] {
        let said = format!("not compared: {what}: the records' are in old.detail.ndjson.zst and new.");
        assert!(without.contains(&said), "{without}");
    }
    assert!(
        !without.contains("same files") && !without.contains("same    the records show the same hosts")
    );
    assert!(without.contains("same in all that could be compared"), "{without}");
    let (one, _) = ends(0, &mut diff(parted, &["old"]));
    assert!(one.contains("the newer record's are in new.detail.ndjson.zst (--detail)"), "{one}");
    let (_, said) = ends(2, &mut diff(["old.json", "new.json"], &["new"]));
    assert!(String::from_utf8_lossy(&said.stderr).contains("no attestation names a detail"));
    // A file more, a program with another argument: found with the details, and not without.
    let (forged, _) = forged(
        "other",
        ".",
        "(if .table == \"files\" and .entry.path == \"/d/e/copy\" then .entry.path = \"/d/e/other\" else . end)\
         | (if .table == \"steps.processes\" then .entry.argv += [\"--more\"] else . end)",
    );
    let forged = forged.file_name().unwrap().to_str().unwrap().to_owned();
    let (text, _) = ends(1, &mut diff(["old.parted.json", &forged], &["old", "other"]));
    assert!(text.contains("/d/e/other") && text.contains("--more"), "{text}");
    ends(0, &mut diff(["old.parted.json", &forged], &[]));
    let mut image = bins::command("blubr-diff");
    image.env("DOCKER_HOST", &Engine::shared().host);
    image.args(["--image", &format!("docker:{TAG}")]).arg(stage.file("new.parted.json"));
    let (text, _) = ends(0, &mut image);
    assert!(text.contains("not compared: the files: they are in new.detail.ndjson.zst"), "{text}");
    let (text, _) = ends(0, image.arg("--detail").arg(stage.detail("new")));
    assert!(text.contains("the files of the image's layers are those of the record"), "{text}");
}
