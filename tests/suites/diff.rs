//! blubr-diff on images that real engines built: docker, buildah, jq and gpg say whether it is right.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::keyring::Keyring;
use blubr_tests::program::{describe, jq, run, run_on, stdout_of, text_of};
use blubr_tests::record::recorder;
use blubr_tests::supervise::Supervised;
use blubr_tests::workload::Context;
use blubr_tests::{bins, require};

/// Every instruction, with what makes them hard: quotes, `&&`, `$`, spaces in names, another shell, `# buildkit` in a command.
const EVERYTHING: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
ARG VERSION=1.2
ARG WORDS="two words"
LABEL org.example.a="one two" org.example.b="\$VERSION" org.example.c="q\"uote"
ENV A=1 B="two words" C="sing \$A le" D="back\\slash"
RUN echo "$VERSION && not a command" && echo 'single  two  spaces' > /m9
COPY a.txt dir/x /dst/
ADD a.txt /unpacked/
RUN echo x # buildkit
RUN echo 'a|b' |cat >/m13
RUN mkdir -p /etc /t && echo root:x:0:0::/:/bin/sh > /etc/passwd; chmod 777 /t
WORKDIR /work dir
EXPOSE 53/udp 8000/tcp
VOLUME ["/v 1", "/v2"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=2 CMD test -f /m9 || exit 1
STOPSIGNAL SIGINT
ONBUILD RUN echo "onbuild $A" && true
SHELL ["/bin/ash", "-e", "-c"]
USER 1000
RUN echo shell > /t/m23
ENTRYPOINT ["/bin/ash", "-c", "echo \"ep\" 'x'"]
CMD echo "cmd $A"
MAINTAINER Some One <one@example.org>
"#;

/// A plain build of which two runs can be compared.
const PLAIN: &str = "FROM scratch AS base\n\
    COPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
    FROM base\n\
    ARG WHO=world\n\
    ENV DIR=/data\n\
    WORKDIR /data\n\
    RUN echo \"hello $WHO\" > $DIR/m8 && \\\n    cp m8 m9\n\
    COPY a.txt $DIR/\n\
    CMD [\"sh\"]\n";

fn context(dockerfile: &str) -> Context {
    let context = Context::of_dockerfile(dockerfile);
    std::fs::write(context.file("a.txt"), "hello\n").unwrap();
    std::fs::create_dir(context.file("dir")).unwrap();
    std::fs::write(context.file("dir/x"), "x\n").unwrap();
    context
}

fn diff(args: &[&str]) -> Command {
    let mut command = bins::command("blubr-diff");
    command.env("DOCKER_HOST", &Engine::shared().host).args(args);
    command
}

/// Runs the tool, which must exit with `status`; gives its standard output.
fn ends(status: i32, args: &[&str]) -> String {
    let mut command = diff(args);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(status), "{}", describe(&command, &output));
    String::from_utf8(output.stdout).unwrap()
}

/// The tool must fail with status 2 and one line that holds `said`.
fn fails(args: &[&str], said: &str) {
    let mut command = bins::command("blubr-diff");
    let output = run(command.args(args));
    assert_eq!(output.status.code(), Some(2), "{}", describe(&command, &output));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("blubr-diff: ") && text.contains(said) && text.lines().count() == 1,
        "{text}"
    );
    assert!(output.stdout.is_empty());
}

/// The instructions of a Dockerfile or of a print: no comments.
fn instructions(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.starts_with('#')).collect()
}

/// What docker says of an image that a Dockerfile sets, keys sorted.
fn inspected(image: &str) -> String {
    let config = stdout_of(Engine::shared().docker().args(["image", "inspect", image]));
    let keys = "{Env,Cmd,Entrypoint,Labels,ExposedPorts,Volumes,User,WorkingDir,Shell,StopSignal,Healthcheck,OnBuild}";
    let mut command = Command::new("jq");
    let output = run_on(command.args(["-S", &format!(".[0].Config | {keys}")]), &config);
    assert!(output.status.success(), "{}", describe(&command, &output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_reversed_of_a_buildkit_image_builds_the_same_image() {
    require!(Root, Docker);
    let (context, engine) = (context(EVERYTHING), Engine::shared());
    drop(engine.build_buildkit(context.path(), "diff-bk", &[]));
    let print = ends(0, &["reverse", "docker:diff-bk"]);
    assert!(!print.contains("#(nop)") && !print.contains("RUN |"), "{print}");
    // The one line that BuildKit's history doesn't have; the config has it, so it comes last.
    let (wanted, mut got) = (instructions(EVERYTHING), instructions(&print));
    let onbuild = got.pop();
    let wanted: Vec<&str> = wanted.into_iter().filter(|l| Some(*l) != onbuild).collect();
    assert_eq!(got, wanted);
    std::fs::write(context.file("Dockerfile"), &print).unwrap();
    drop(engine.build_buildkit(context.path(), "diff-bk2", &[]));
    assert_eq!(inspected("diff-bk"), inspected("diff-bk2"));
    let again = ends(0, &["reverse", "docker:diff-bk2"]);
    assert_eq!(instructions(&again), instructions(&print));
}

#[test]
fn what_is_reversed_of_a_classic_image_builds_the_same_image() {
    require!(Root, Docker);
    let (context, engine) = (context(EVERYTHING), Engine::shared());
    drop(engine.build_classic(context.path(), "diff-classic", &[]));
    let print = ends(0, &["reverse", "docker:diff-classic"]);
    // The sources of COPY and ADD are sums there; all else is the Dockerfile.
    let without = |text: &str| -> Vec<String> {
        let lines = instructions(text).into_iter().map(str::to_owned);
        lines.filter(|l| !l.starts_with("COPY") && !l.starts_with("ADD")).collect()
    };
    assert_eq!(without(&print), without(EVERYTHING));
    assert_eq!(print.matches("COPY file:").count(), 1);
    assert_eq!(print.matches("COPY multi:").count(), 1);
    let mut sources =
        ["COPY busybox /bin/busybox", "COPY a.txt dir/x /dst/", "ADD a.txt /unpacked/"].into_iter();
    let named: Vec<&str> = instructions(&print)
        .into_iter()
        .map(|l| if l.starts_with("COPY") || l.starts_with("ADD") { sources.next().unwrap() } else { l })
        .collect();
    std::fs::write(context.file("Dockerfile"), named.join("\n")).unwrap();
    drop(engine.build_classic(context.path(), "diff-classic2", &[]));
    assert_eq!(inspected("diff-classic"), inspected("diff-classic2"));
}

#[test]
fn build_arguments_become_arg_lines() {
    require!(Root, Docker);
    let context = context(EVERYTHING);
    for (builder, tag) in [(Builder::Classic, "diff-args-c"), (Builder::BuildKit, "diff-args-b")] {
        let args = ["--build-arg", "VERSION=9 && x", "--build-arg", "WORDS=/bin/sh -c y"];
        drop(Engine::shared().build(builder, context.path(), tag, &args));
        let print = ends(0, &["reverse", &format!("docker:{tag}")]);
        assert!(!print.contains("|2"), "{print}");
        assert!(
            print.contains(
                "\nRUN echo \"$VERSION && not a command\" && echo 'single  two  spaces' > /m9\n"
            ),
            "{print}"
        );
        assert!(print.contains("9 && x") && print.contains("/bin/sh -c y"), "{print}");
    }
}

#[test]
fn what_is_reversed_of_a_buildah_image_is_its_dockerfile() {
    require!(Root, Buildah);
    let text = EVERYTHING.replace("USER 1000\n", "");
    let (context, buildah) = (context(&text), Buildah::new());
    let folder = tempfile::tempdir().unwrap();
    for (layers, name) in [("--layers=true", "layers"), ("--layers=false", "squashed")] {
        drop(buildah.build(
            Isolation::Chroot,
            context.path(),
            "diff-bah",
            &[layers, "--format", "docker"],
        ));
        let layout = format!("oci:{}:x", folder.path().join(name).display());
        buildah.push("diff-bah", &layout);
        let print = ends_without_engine(&["reverse", &layout]);
        let plain = |text: &str| -> Vec<String> {
            let lines = instructions(text).into_iter().map(str::to_owned);
            lines.filter(|l| !l.starts_with("COPY") && !l.starts_with("ADD")).collect()
        };
        assert_eq!(plain(&print), plain(&text), "{name}");
        assert!(print.contains("COPY multi:"), "{print}");
    }
}

fn ends_without_engine(args: &[&str]) -> String {
    text_of(bins::command("blubr-diff").args(args)) + "\n"
}

#[test]
fn the_base_image_is_marked() {
    require!(Root, Docker);
    let engine = Engine::shared();
    let base = context("FROM scratch\nCOPY busybox /bin/busybox\nCMD [\"/bin/busybox\"]\n");
    let app = context("FROM diff-base\nENV A=1\nCOPY a.txt /a\n");
    drop(engine.build_classic(base.path(), "diff-base", &[]));
    drop(engine.build_buildkit(app.path(), "diff-app", &[]));
    let print = ends(0, &["reverse", "--base", "docker:diff-base", "docker:diff-app"]);
    let at = |what: &str| print.find(what).unwrap_or_else(|| panic!("no {what} in {print}"));
    assert!(
        at("CMD [\"/bin/busybox\"]") < at("# ---- the base image ends here")
            && at("ends here") < at("ENV A=1")
    );
    // Without being told: another engine made the base.
    assert!(ends(0, &["reverse", "docker:diff-app"]).contains("# ---- the base image likely ends here"));
    drop(engine.build_classic(app.path(), "diff-other", &[]));
    ends(1, &["reverse", "--base", "docker:diff-app", "docker:diff-other"]);
    let files = ends(0, &["reverse", "--files", "docker:diff-app"]);
    assert!(files.contains("\n#   /bin/busybox\n") && files.contains("\n#   /a\n"), "{files}");
}

/// Two runs of one build with BuildKit, one with the classic builder, each recorded and attested.
struct Runs {
    folder: PathBuf,
    _keeper: Supervised,
}

impl Runs {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Runs> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder =
                tempfile::Builder::new().prefix("blubr-diff.").tempdir_in("/var/tmp").unwrap().keep();
            // The folder goes with the suite's process, whatever its end.
            let log = std::fs::File::create(folder.join("keeper.log")).unwrap();
            let mut sleep = Command::new("sleep");
            let keeper = Supervised::start(sleep.arg("infinity"), folder.as_os_str(), log);
            let runs = Self { folder, _keeper: keeper };
            let context = context(PLAIN);
            for (name, builder) in
                [("one", Builder::BuildKit), ("two", Builder::BuildKit), ("classic", Builder::Classic)]
            {
                runs.make(name, builder, &context);
            }
            let changed = crate::context(&PLAIN.replace("hello", "HELLO"));
            runs.make("changed", Builder::BuildKit, &changed);
            runs
        })
    }

    fn make(&self, name: &str, builder: Builder, context: &Context) {
        let log = self.folder.join(format!("{name}.ndjson"));
        let build =
            Engine::shared().build_command(builder, context.path(), &format!("diff-run-{name}"), &[]);
        drop(stdout_of(&mut recorder(&log, &build)));
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest
            .arg("--dockerfile")
            .arg(context.file("Dockerfile"))
            .arg("-o")
            .arg(self.folder.join(format!("{name}.att")));
        drop(stdout_of(attest.args(["--image", &format!("docker:diff-run-{name}")]).arg(&log)));
    }

    fn att(&self, name: &str) -> String {
        self.folder.join(format!("{name}.att")).display().to_string()
    }

    fn json(&self, status: i32, args: &[&str]) -> PathBuf {
        let mut all = vec!["--json"];
        all.extend(args);
        let text = ends(status, &all);
        let file = tempfile::Builder::new().suffix(".json").tempfile_in(&self.folder).unwrap();
        let path = file.into_temp_path().keep().unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn two_runs_of_one_build_differ_in_what_times_make_only() {
    require!(Root, Docker);
    let runs = Runs::shared();
    let same = runs.json(0, &["--only=base,files,network", &runs.att("one"), &runs.att("two")]);
    assert_eq!(jq(".different", &same), "false");
    assert_eq!(jq(".same | map(.subject) | join(\" \")", &same), "base network files");
    // BuildKit may take the context from the run before: then a COPY is less observed, and that is said. The commands are
    // the same ones, whatever their pids and the names of their temporary files.
    let steps = diff(&["--json", "--only=steps", &runs.att("one"), &runs.att("two")]).output().unwrap();
    assert!(!String::from_utf8(steps.stdout).unwrap().contains("ran other commands"));
    // The digests differ, and a rule says why that means nothing; --strict lets it count. (Layers that were made in the same
    // second may be the same.)
    let image = ["--only=image", &runs.att("one"), &runs.att("two")];
    let lenient = runs.json(1, &image);
    assert_eq!(jq(".differences | map(.what) | join(\" \")", &lenient), "the names");
    assert_eq!(jq(".normalised | map(.rule) | join(\" \")", &lenient), "layer-times");
    let strict = runs.json(1, &["--strict", image[0], image[1], image[2]]);
    assert!(jq(".differences | map(.what) | join(\" \")", &strict).contains("the config's digest"));
}

#[test]
fn a_changed_line_is_shown_and_what_it_changed() {
    require!(Root, Docker);
    let runs = Runs::shared();
    let text = ends(1, &["--only=dockerfile,files", &runs.att("one"), &runs.att("changed")]);
    for line in [
        "-RUN echo \"hello $WHO\" > $DIR/m8 && \\",
        "+RUN echo \"HELLO $WHO\" > $DIR/m8 && \\",
        "/data/m8",
        "/data/m9",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(!ends(1, &["--only=files", &runs.att("one"), &runs.att("changed")]).contains("a.txt"));
    let steps = runs.json(1, &["--only=steps", &runs.att("one"), &runs.att("changed")]);
    let changed = jq(".differences[] | select(.what | endswith(\"was changed\")) | .lines", &steps);
    assert_eq!(changed.split_whitespace().collect::<String>(), "[8,9]");
    assert_eq!(jq(".same | length", &steps), "0");
    assert!(ends(1, &["--color=always", &runs.att("one"), &runs.att("changed")]).contains("\u{1b}["));
    let mut no_color = diff(&[&runs.att("one"), &runs.att("changed")]);
    assert!(!run(no_color.env("NO_COLOR", "1")).stdout.contains(&0x1b));
    assert_eq!(ends(1, &["--quiet", &runs.att("one"), &runs.att("changed")]), "");
}

#[test]
fn the_image_of_a_record_is_that_image() {
    require!(Root, Docker);
    let runs = Runs::shared();
    for name in ["one", "classic"] {
        let json = runs.json(0, &["--image", &format!("docker:diff-run-{name}"), &runs.att(name)]);
        assert_eq!(jq(".same | map(.subject) | join(\" \")", &json), "image history files");
        assert_eq!(jq(".not_compared | length", &json), "0");
        // The image saved to a file is the same one.
        let file = runs.folder.join(format!("{name}.tar"));
        Engine::shared().save(&format!("diff-run-{name}"), &file);
        ends(0, &["--image", &format!("archive:{}", file.display()), &runs.att(name)]);
    }
}

#[test]
fn another_image_is_told_from_the_recorded_one() {
    require!(Root, Docker);
    let runs = Runs::shared();
    let changed = runs.json(1, &["--image", "docker:diff-run-changed", &runs.att("one")]);
    let history = ".differences[] | select(.subject == \"history\") | \"\\(.severity) \\(.lines)\"";
    assert_eq!(jq(history, &changed), "alert [8,9]");
    let files =
        ".differences[] | select(.subject == \"files\") | .detail | map(split(\":\")[0]) | join(\" \")";
    assert_eq!(jq(files, &changed), "/data/m8 /data/m9");
    // A layer on top, which makes the same name for the image that the record has.
    let evil = context("FROM diff-run-one\nRUN echo evil > /data/m9\nUSER 0\n");
    drop(Engine::shared().build_buildkit(evil.path(), "diff-evil", &[]));
    let evil = runs.json(1, &["--image", "docker:diff-evil", &runs.att("one")]);
    let what =
        jq(".differences | map(select(.subject == \"history\")) | map(.new) | join(\"|\")", &evil);
    assert_eq!(what, "RUN /bin/sh -c echo evil > /data/m9 # buildkit|USER 0");
    assert_eq!(jq(files, &evil), "/data/m9");
    assert_eq!(jq(".differences | map(.severity) | unique | join(\" \")", &evil), "alert");
}

#[test]
fn a_buildah_image_is_compared_with_its_record() {
    require!(Root, Buildah);
    let (context, buildah) = (context(PLAIN), Buildah::new());
    let folder = tempfile::tempdir().unwrap();
    for (layers, name) in [("--layers=true", "layers"), ("--layers=false", "squashed")] {
        let (log, att) =
            (folder.path().join(format!("{name}.ndjson")), folder.path().join(format!("{name}.att")));
        let build = buildah.build_command(Isolation::Oci, context.path(), "diff-bah-run", &[layers]);
        drop(stdout_of(&mut recorder(&log, &build)));
        let layout = format!("oci:{}:x", folder.path().join(name).display());
        buildah.push("diff-bah-run", &layout);
        let mut attest = bins::command("blubr-attest");
        attest.arg("--dockerfile").arg(context.file("Dockerfile")).arg("-o").arg(&att);
        drop(stdout_of(attest.args(["--image", &layout]).arg(&log)));
        let report = text_of(bins::command("blubr-diff").args(["--image", &layout]).arg(&att));
        assert!(report.ends_with("\nsame") && report.lines().count() == 4, "{report}");
    }
}

#[test]
fn an_encrypted_attestation_is_opened_with_its_key() {
    require!(Root, Docker, Gpg);
    let runs = Runs::shared();
    let keyring = Keyring::new();
    let key = keyring.generate("auditor");
    let (secret, message) = (runs.folder.join("auditor.sec"), runs.folder.join("one.gpg"));
    keyring.export_secret(&key, &secret);
    let mut gpg = keyring.gpg();
    gpg.args(["--trust-model", "always", "--encrypt", "--recipient", &key.fingerprint, "--output"])
        .arg(&message);
    drop(stdout_of(gpg.arg(runs.att("one"))));
    let message = message.display().to_string();
    ends(0, &["--strict", "--key", &secret.display().to_string(), &message, &runs.att("one")]);
    let output = run(&mut diff(&[&message, &runs.att("one")]));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--key"));
}

#[test]
fn a_statement_may_come_from_standard_input() {
    require!(Root, Docker);
    let runs = Runs::shared();
    let bytes = std::fs::read(runs.att("one")).unwrap();
    let mut command = diff(&["--strict", "-", &runs.att("one")]);
    assert_eq!(run_on(&mut command, &bytes).status.code(), Some(0));
    // A reader that goes away ends it quietly.
    let mut child = diff(&["reverse", "--files", "docker:diff-run-one"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait_with_output().unwrap().stderr.is_empty());
}

#[test]
fn two_records_that_hold_nothing_are_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("one").display().to_string();
    let empty = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [],
        "predicateType": "https://in-toto.io/attestation/runtime-trace/v0.1",
        "predicate": {
            "monitor": {"type": "x"}, "monitoredProcess": {"hostID": "h", "type": "t", "event": "e"},
            "monitorLog": {}, "metadata": {},
            "blubr_build": {
                "build": {"number": 1, "engine": "buildkit", "client": "1:1", "exit": 0, "command_exit": 0},
                "dockerfile": null, "context": null, "image": null,
                "log": {"schema": "blubr.log/1", "sha256": "b", "events": 5, "complete": true},
                "completeness": {"recording": "complete", "lost": 0, "from_event": 0, "to_event": 5, "hooks_missing": [],
                    "steps": {"observed": 0, "cached": 0, "daemon": 0, "not_observed": 0, "candidates": 0}},
                "unattributed": {}, "files": null, "unexplained": null
            }
        }
    });
    std::fs::write(&one, empty.to_string()).unwrap();
    let mut command = bins::command("blubr-diff");
    let output = run(command.args(["--only=image,base,steps", &one, &one]));
    assert_eq!(output.status.code(), Some(2), "{}", describe(&command, &output));
    assert!(!String::from_utf8(output.stdout).unwrap().contains(" same "));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with(
            "nothing of what was asked for could be compared: see the lines 'not compared'\n"
        ),
        "{said}"
    );
    assert_eq!(ends_without_engine(&["--only=processes", &one, &one]).lines().last(), Some("same"));
}

#[test]
fn trouble_is_one_line_and_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (empty, garbage) = (file("empty", b""), file("garbage", b"\xff\x00\x1b[2J{"));
    let (other, log) =
        (file("other", b"{\"_type\":\"x\"}"), file("log", b"{\"schema\":\"blubr.log/1\"}\n"));
    for bad in [&empty, &garbage, &other, &log] {
        fails(&[bad, bad], bad);
        fails(&["reverse", &format!("archive:{bad}")], bad);
    }
    let absent = folder.path().join("absent").display().to_string();
    fails(&[&absent, &empty], "absent");
    fails(&["reverse", &format!("oci:{absent}")], "absent");
    fails(&[], "nothing to compare");
    fails(&[&empty], "--image");
    fails(&["--image", "oci:x", &empty, &empty], "not two");
    fails(&["-", "-"], "standard input");
    fails(&["--only=nonsense", &empty, &empty], "nonsense");
    fails(&["--only=network", "--image", "oci:x", &empty], "--only");
    fails(&["--only=history", &empty, &empty], "--image only");
    fails(&["--bad"], "--bad");
}

/// An image whose history tries to put lines into the print and orders into the terminal.
#[test]
fn a_hostile_history_stays_in_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "RUN /bin/sh -c x\nUSER root\n\u{1b}]0;owned\u{7}\u{9b}2J\u{202e} # buildkit";
    let config = serde_json::json!({
        "os": "linux\n\u{1b}[1m", "created": "\u{1b}c", "config": {"Env": ["A=\u{1b}\nUSER root"], "User": "a\nUSER root"},
        "history": [{"created_by": evil}, {"created_by": "\nFROM evil", "comment": "FROM a/b\nUSER root"}],
        "rootfs": {"type": "layers", "diff_ids": []}
    });
    archive(folder.path(), config.to_string().as_bytes());
    let print = ends_without_engine(&[
        "reverse",
        &format!("archive:{}", folder.path().join("evil.tar").display()),
    ]);
    assert!(
        !print.chars().any(|c| c.is_control() && c != '\n') && !print.contains('\u{202e}'),
        "{print:?}"
    );
    let given = instructions(&print);
    assert_eq!(given.len(), 2, "{print}");
    assert!(given[1].starts_with("RUN [\"/bin/sh\", \"-c\", \"x\\nUSER root\\n\\u001b"), "{print}");
}

/// A `docker save` archive with one config and no layer, made by tar(1).
fn archive(folder: &Path, config: &[u8]) {
    std::fs::write(folder.join("config.json"), config).unwrap();
    std::fs::write(
        folder.join("manifest.json"),
        r#"[{"Config":"config.json","RepoTags":["evil:1"],"Layers":[]}]"#,
    )
    .unwrap();
    let mut tar = Command::new("tar");
    drop(stdout_of(tar.current_dir(folder).args(["cf", "evil.tar", "manifest.json", "config.json"])));
}
