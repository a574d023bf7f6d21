//! Which events are a build's: real builds of the three engines, alone and beside others. jq and the log's control
//! groups say what must be there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, text_of};
use blubr_tests::record::{record, recorder, wait_until_attached};
use blubr_tests::web::Web;
use blubr_tests::workload::{Context, busybox_path};
use blubr_tests::{bins, require};

/// A build whose steps leave markers; two of its RUN lines are identical.
fn app() -> Context {
    let context = Context::of_dockerfile(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"ln\", \"-s\", \"busybox\", \"/bin/sh\"]\n\
         RUN echo app > /app-m4 && /bin/busybox sleep 0.2\n\
         RUN echo again >> /app-m5\n\
         RUN echo again >> /app-m5\n\
         COPY note /app-note\n\
         WORKDIR /srv/app\n\
         RUN (/bin/busybox sleep 0.3; echo late > /app-m9) & echo early > /app-m9e; wait\n",
    );
    std::fs::write(context.file("note"), "a note of the app\n").unwrap();
    context
}

const RUNS: usize = 5;

/// Another, which has no step in common with it: BuildKit would carry out equal steps of the two once.
fn decoy() -> Context {
    decoy_with("")
}

/// One whose first RUN waits until [`Web::release`] is called with that name.
fn held_decoy(name: &str) -> Context {
    let url = Web::shared().held_url(name);
    decoy_with(&format!(
        "RUN [\"/decoy/busybox\", \"wget\", \"-q\", \"-O\", \"/decoy-feed\", {url:?}]\n"
    ))
}

fn decoy_with(first: &str) -> Context {
    let run = |n: u32| {
        format!(
            "RUN [\"/decoy/busybox\", \"sh\", \"-c\", \"echo {n} > /decoy-m{n}; /decoy/busybox sleep 0.2\"]\n"
        )
    };
    Context::of_dockerfile(&format!(
        "FROM scratch\nCOPY busybox /decoy/busybox\n{first}{}{}{}",
        run(3),
        run(4),
        run(5)
    ))
}

fn filter(args: &[&str], log: &Path) -> Command {
    let mut command = bins::command("blubr-filter");
    command.args(args).arg(log);
    command
}

/// The lines of `--build list` behind the heading, each cut at its tabs.
fn list(log: &Path) -> Vec<Vec<String>> {
    let text = text_of(&mut filter(&["--build", "list"], log));
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The number of the build whose command line holds the word.
fn number_of(word: &str, log: &Path) -> String {
    let found = list(log);
    let found: Vec<_> =
        found.iter().filter(|build| build[6].split(' ').any(|part| part == word)).collect();
    assert_eq!(
        found.len(),
        1,
        "builds with `{word}` in {}",
        text_of(&mut filter(&["--build", "list"], log))
    );
    found[0][0].clone()
}

/// Filters one build into a file, and has the filter replayed.
fn one_build(number: Option<&str>, log: &Path) -> PathBuf {
    let filtered = log.with_extension("build.ndjson");
    let mut command = bins::command("blubr-filter");
    command.arg("--build").args(number).arg("-o").arg(&filtered).arg(log);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", describe(&command, &output));
    let mut verify = bins::command("blubr-filter");
    verify.arg("verify").arg("--source").arg(log).arg(&filtered);
    let output = run(&mut verify);
    assert!(output.status.success(), "{}", describe(&verify, &output));
    filtered
}

/// Paths (with the marker in them) that containers made or opened for writing, with how often.
fn markers(word: &str, log: &Path) -> String {
    let filter = format!(
        "select(.type == \"file.open\" and .create and (.path // \"\" | test(\"/{word}-m[0-9]\"))) | .path | sub(\".*/{word}\"; \"{word}\")"
    );
    let mut paths: Vec<String> = jq(&filter, log).lines().map(str::to_owned).collect();
    paths.sort();
    paths.join(" ")
}

/// Numbers of the events in control groups of containers that a marker was written from.
fn container_events(word: &str, log: &Path) -> Vec<u64> {
    let groups = jq(
        &format!(
            "select(.type == \"process.exec\" and (.argv // [] | join(\" \") | test(\"{word}-m\"))) | .cgroup_id"
        ),
        log,
    );
    let groups: Vec<&str> = groups.lines().collect();
    assert!(!groups.is_empty(), "no container that wrote a marker of {word}");
    let filter = format!("select(.cgroup_id as $g | [{}] | index($g)) | .seq", groups.join(","));
    jq(&filter, log).lines().map(|line| line.parse().unwrap()).collect()
}

/// What the one asked for must hold, whatever else was in the log: all of its containers, nothing of the decoy's.
fn holds_the_app_alone(filtered: &Path, log: &Path) {
    let kept: std::collections::HashSet<u64> =
        jq(".seq // empty", filtered).lines().map(|line| line.parse().unwrap()).collect();
    let missing: Vec<u64> =
        container_events("app", log).into_iter().filter(|seq| !kept.contains(seq)).collect();
    assert!(missing.is_empty(), "events of the build's containers that were left out: {missing:?}");
    // `app-m4` as a word of a shell's argv is no open: only the files that the containers opened count.
    assert_eq!(markers("app", filtered), markers("app", log));
    assert!(!says_shared(filtered), "steps that both builds may have had");
    assert_eq!(markers("decoy", filtered), "");
    let decoys = jq("select(.argv // [] | join(\" \") | test(\"decoy-m\")) | .seq", filtered);
    assert_eq!(decoys, "", "programs of the decoy's containers");
    // The same build is found in what was filtered.
    let again = list(filtered);
    assert_eq!(again.len(), 1, "{again:?}");
}

/// Whether a filtered log says in its header that some of its steps may be another build's too.
fn says_shared(filtered: &Path) -> bool {
    let args = "select(.type == \"header\") | .filters[-1].args | tostring | test(\"--shared\")";
    jq(args, filtered) == "true"
}

fn kinds(log: &Path) -> Vec<(String, String)> {
    list(log).into_iter().map(|build| (build[1].clone(), build[4].clone())).collect()
}

#[test]
fn a_build_alone_on_each_engine() {
    require!(Root, Docker, Buildah);
    let folder = tempfile::tempdir().unwrap();
    let context = app();
    let engine = Engine::shared();
    let buildah = Buildah::new();
    // Buildah without layers has one tree for all steps, and no step of its own for WORKDIR.
    let builds = [
        ("classic", engine.build_command(Builder::Classic, context.path(), "app-alone", &[]), 8),
        ("buildkit", engine.build_command(Builder::BuildKit, context.path(), "app-alone", &[]), 8),
        (
            "buildah",
            buildah.build_command(Isolation::Oci, context.path(), "app-layers", &["--layers"]),
            8,
        ),
        (
            "buildah",
            buildah.build_command(Isolation::Oci, context.path(), "app-flat", &["--layers=false"]),
            7,
        ),
    ];
    for (nth, (kind, command, steps)) in builds.into_iter().enumerate() {
        let log = folder.path().join(format!("{nth}.ndjson"));
        drop(record(&log, &command));
        let filtered = one_build(None, &log);
        holds_the_app_alone(&filtered, &log);
        assert_eq!(kinds(&filtered), [(kind.to_owned(), format!("{steps} ({RUNS} run)"))], "{nth}");
        assert_eq!(jq("select(.type == \"trailer\") | .sources[0].complete", &filtered), "true");
    }
}

/// A build whose first RUN line does not say whose it is, and whose second does.
fn sharing(owner: &str) -> Context {
    Context::of_dockerfile(&format!(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo both > /common-m3; /bin/busybox sleep 2\"]\n\
         RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo {owner} > /{owner}-m4; /bin/busybox sleep 0.{}\"]\n",
        if owner == "app" { 7 } else { 1 },
    ))
}

#[test]
fn an_equal_first_step_of_two_buildkit_builds_is_in_both_and_the_rest_is_not() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let (app, decoy) = (sharing("app"), sharing("decoy"));
    let engine = Engine::shared();
    let log = folder.path().join("log.ndjson");
    let both = at_once(&[
        engine.build_command(Builder::BuildKit, decoy.path(), "equal-decoy", &[]),
        engine.build_command(Builder::BuildKit, app.path(), "equal-app", &[]),
    ]);
    drop(record(&log, &both));
    assert_eq!(markers("common", &log), "common-m3", "BuildKit carries it out once");
    for (own, other) in [("app", "decoy"), ("decoy", "app")] {
        let filtered = one_build(Some(&number_of(&format!("equal-{own}"), &log)), &log);
        assert_eq!(markers("common", &filtered), "common-m3", "{own}");
        assert_eq!(markers(own, &filtered), format!("{own}-m4"));
        assert_eq!(markers(other, &filtered), "", "{own} has a step of {other}");
        assert!(says_shared(&filtered), "{own}: the common steps are said to be");
        // The same steps are shared when only the filtered log is left: two of the three.
        assert_eq!(
            kinds(&filtered),
            [("buildkit".to_owned(), "3 (2 run, 2 shared)".to_owned())],
            "{own}"
        );
    }
}

#[test]
fn one_step_can_be_looked_at_by_its_line() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let context = app();
    let engine = Engine::shared();
    for builder in [Builder::Classic, Builder::BuildKit] {
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        drop(record(&log, &engine.build_command(builder, context.path(), "looked-at", &[])));
        let step = |line: &str| {
            let out = folder.path().join(format!("{builder:?}-{line}.ndjson"));
            let mut command = bins::command("blubr-filter");
            command.arg("--dockerfile").arg(context.file("Dockerfile")).args(["--step", line, "-o"]);
            let output = run(command.arg(&out).arg(&log));
            (out, output)
        };
        // The two lines with the same text write the same file, and each is a step of its own.
        for (line, wrote) in [("4", "app-m4"), ("5", "app-m5"), ("6", "app-m5"), ("9", "app-m9 app-m9e")]
        {
            let (out, output) = step(line);
            assert!(output.status.success(), "{builder:?} {line}: {output:?}");
            // The classic builder writes what a container wrote once more, into the layer.
            let all = markers("app", &out);
            let mut wrote_here: Vec<&str> = all.split(' ').collect();
            wrote_here.dedup();
            assert_eq!(wrote_here.join(" "), wrote, "{builder:?} {line}");
            let mut verify = bins::command("blubr-filter");
            verify.arg("verify").arg("--source").arg(&log).arg(&out);
            let output = run(&mut verify);
            assert!(output.status.success(), "{}", describe(&verify, &output));
        }
        let numbers = |out: &Path| jq(".seq // empty", out);
        assert_ne!(numbers(&step("5").0), numbers(&step("6").0));
        let (_, output) = step("1");
        assert_eq!(output.status.code(), Some(1), "FROM scratch makes no step");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Dockerfile:1: no step"));
        // Another Dockerfile than the filter was given is no ground to verify upon.
        let other = folder.path().join("Dockerfile");
        std::fs::write(&other, "FROM scratch\n").unwrap();
        let mut verify = bins::command("blubr-filter");
        verify.arg("verify").arg("--source").arg(&log).arg("--dockerfile").arg(&other);
        let output = run(verify.arg(step("4").0));
        assert_eq!(output.status.code(), Some(2), "{}", describe(&verify, &output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("another SHA-256"));
    }
}

/// Containers in which steps of a build ran, as the classic builder tells its client.
fn told_containers(output: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(output).unwrap();
    let ids = text.lines().filter_map(|line| line.trim().strip_prefix("---> Running in "));
    ids.map(str::to_owned).collect()
}

#[test]
fn of_two_equal_classic_builds_none_claims_a_step_of_the_other() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let context = sharing("app");
    let engine = Engine::shared();
    for cancelled in [false, true] {
        let file = |name: &str| folder.path().join(format!("{cancelled}-{name}"));
        let log = file("log.ndjson");
        let before = |name: &str| if cancelled && name == "other" { "timeout -s INT 1.5" } else { "" };
        let build = |name: &str| {
            let tag = format!("same-{name}");
            let command = engine.build_command(Builder::Classic, context.path(), &tag, &[]);
            format!("{} >'{}' & ", script_of(&command, before(name)), file(name).display())
        };
        let both = format!("{}{}wait", build("one"), build("other"));
        drop(record(&log, Command::new("sh").arg("-c").arg(both)));
        for name in ["one", "other"] {
            let told = told_containers(&file(name));
            assert!(!told.is_empty(), "{name} says in which containers its steps run");
            let statement = file(&format!("{name}.json"));
            let number = number_of(&format!("same-{name}"), &log);
            let mut attest = bins::command("blubr-attest");
            attest.args(["--allow-failed", "--build", &number, "--dockerfile"]);
            attest.arg(context.file("Dockerfile")).arg("-o").arg(&statement).arg(&log);
            let output = run(&mut attest);
            assert!(output.status.success(), "{}", describe(&attest, &output));
            let ran = jq(".predicate.blubr_build.steps[] | .processes[] | .seq", &statement);
            let ran: Vec<&str> = ran.lines().collect();
            let groups = format!("select(.seq as $s | [{}] | index($s)) | .cgroup", ran.join(","));
            for group in jq(&groups, &log).lines() {
                let mine = told.iter().any(|id| group.contains(id.as_str()));
                assert!(
                    mine,
                    "{name} (cancelled: {cancelled}) claims what ran in {group}, not in {told:?}"
                );
            }
        }
    }
}

/// A command for a shell, with words before the program.
fn script_of(command: &Command, before: &str) -> String {
    let word = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
    let mut script = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            script.push_str(&format!("{}={} ", key.to_str().unwrap(), word(value)));
        }
    }
    script.push_str(before);
    for part in std::iter::once(command.get_program()).chain(command.get_args()) {
        script.push(' ');
        script.push_str(&word(part));
    }
    script
}

/// A shell that runs all of them at once and waits for them.
fn at_once(commands: &[Command]) -> Command {
    let scripts: Vec<String> = commands.iter().map(|command| script_of(command, "")).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{} & wait", scripts.join(" & ")));
    shell
}

/// A process that ends with the test.
struct Beside(Child);

impl Beside {
    fn start(command: &mut Command) -> Self {
        Beside(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_builds_at_one_engine_and_a_busy_host() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let (app, decoy) = (app(), decoy());
    let engine = Engine::shared();
    let busy = Beside::start(
        Command::new("sh").arg("-c").arg("while :; do ls -lR /usr/share/doc; sleep 0.5; done"),
    );
    for builder in [Builder::Classic, Builder::BuildKit] {
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        let both = at_once(&[
            engine.build_command(builder, decoy.path(), "two-decoy", &[]),
            engine.build_command(builder, app.path(), "two-app", &[]),
        ]);
        drop(record(&log, &both));
        let ours = list(&log).into_iter().filter(|build| build[6].contains(" two-"));
        assert_eq!(ours.count(), 2, "{builder:?}");
        let number = number_of("two-app", &log);
        holds_the_app_alone(&one_build(Some(&number), &log), &log);
        assert_ne!(number_of("two-decoy", &log), number);
        // Both are the command's: none is meant without a number.
        let output = run(&mut filter(&["--build"], &log));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--build list"));
        assert!(output.stdout.is_empty());
    }
    drop(busy);
}

#[test]
fn a_build_beside_those_that_began_before_the_recording() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let app = app();
    let engine = Engine::shared();
    for builder in [Builder::Classic, Builder::BuildKit] {
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        let held = format!("before-{builder:?}");
        let decoy = held_decoy(&held);
        let beside =
            Beside::start(&mut engine.build_command(builder, decoy.path(), "before-decoy", &[]));
        Web::shared().wait_for(&held);
        let mut recording =
            recorder(&log, &engine.build_command(builder, app.path(), "before-app", &[]));
        recording.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = recording.spawn().unwrap();
        wait_until_attached(&log, &child);
        Web::shared().release(&held);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", describe(&recording, &output));
        drop(beside);
        assert_ne!(markers("decoy", &log), "", "the other build did its later steps in the recording");
        holds_the_app_alone(&one_build(None, &log), &log);
    }
}

#[test]
fn three_engines_at_once() {
    require!(Root, Docker, Buildah);
    let folder = tempfile::tempdir().unwrap();
    let (app, decoy) = (app(), decoy());
    let (engine, other) = (Engine::shared(), Engine::start());
    let buildah = Buildah::new();
    let log = folder.path().join("log.ndjson");
    drop(record(
        &log,
        &at_once(&[
            engine.build_command(Builder::Classic, decoy.path(), "three-classic", &[]),
            other.build_command(Builder::BuildKit, app.path(), "three-app", &[]),
            buildah.build_command(Isolation::Oci, decoy.path(), "three-buildah", &["--layers"]),
        ]),
    ));
    let mut engines: Vec<String> = kinds(&log).into_iter().map(|(kind, _)| kind).collect();
    engines.sort();
    assert_eq!(engines, ["buildah", "buildkit", "classic"]);
    let number = number_of("three-app", &log);
    holds_the_app_alone(&one_build(Some(&number), &log), &log);
}

#[test]
fn who_only_calls_itself_an_engine_or_a_client_is_none() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let app = app();
    let engine = Engine::shared();
    let log = folder.path().join("log.ndjson");
    // An unprivileged `dockerd` with a `runc`, and clients that reach no engine; one has a socket to speak to.
    let script = "cd \"$1\" && for name in dockerd runc docker; do cp \"$2\" $name; done && chmod 755 . dockerd runc docker
        exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
            for n in 1 2 3 4 5 6; do
                ./dockerd sh -c \"./runc sleep 0.1; ./docker sleep 0.1\"
            done'";
    let fake = Beside::start(
        Command::new("sh").arg("-c").arg(script).arg("sh").arg(folder.path()).arg(busybox_path()),
    );
    let nothing = Command::new("bash")
        .arg("-c")
        .arg("exec -a docker sh -c 'sleep 0.5; : docker build .'")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    drop(record(&log, &engine.build_command(Builder::BuildKit, app.path(), "real-app", &[])));
    drop(Beside(nothing));
    drop(fake);
    let found = list(&log);
    assert_eq!(found.len(), 1, "{found:?}");
    let filtered = one_build(None, &log);
    holds_the_app_alone(&filtered, &log);
    assert_eq!(jq("select(.uid == 65534) | .seq", &filtered), "", "events of the impostor");
}

#[test]
fn a_container_of_docker_run_is_no_step() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let (app, decoy) = (app(), decoy());
    let engine = Engine::shared();
    drop(engine.build_classic(decoy.path(), "run-decoy", &[]));
    let log = folder.path().join("log.ndjson");
    let mut beside = engine.docker();
    beside.args([
        "run",
        "--rm",
        "--network=host",
        "run-decoy",
        "/bin/sh",
        "-c",
        "/bin/busybox sleep 1; echo x > /decoy-m9",
    ]);
    drop(record(
        &log,
        &at_once(&[beside, engine.build_command(Builder::Classic, app.path(), "run-app", &[])]),
    ));
    assert_eq!(list(&log).len(), 1);
    holds_the_app_alone(&one_build(None, &log), &log);
}

/// `docker commit` leaves what the classic builder's steps leave, and a word of a command line (`cargo build`) makes
/// nobody the one who asked for it.
#[test]
fn a_container_that_docker_commits_beside_a_build_is_no_step() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let (app, decoy) = (app(), decoy());
    let engine = Engine::shared();
    drop(engine.build_classic(decoy.path(), "commit-decoy", &[]));
    // Transferred before: the build below sends nothing by which it would be known.
    drop(engine.build_buildkit(app.path(), "commit-app", &[]));
    let _word = Beside::start(Command::new("sh").args(["-c", "sleep 60; :", "sh", "build"]));
    let script = format!(
        "'{0}' run -d --name beside --network=host commit-decoy /bin/sh -c \
         'echo x > /decoy-m9; /bin/busybox sleep 5; echo x > /decoy-m8' && \
         '{0}' exec beside /bin/sh -c 'echo x > /decoy-m7' && \
         '{0}' commit beside committed && '{0}' wait beside && '{0}' rm beside",
        engine.client.display()
    );
    let mut beside = engine.docker();
    let environment: Vec<_> =
        beside.get_envs().map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned))).collect();
    beside = Command::new("sh");
    beside.arg("-c").arg(script);
    for (key, value) in environment {
        if let Some(value) = value {
            beside.env(key, value);
        }
    }
    let log = folder.path().join("log.ndjson");
    let build = engine.build_command(Builder::BuildKit, app.path(), "commit-app", &[]);
    drop(record(&log, &at_once(&[beside, build])));
    assert_eq!(list(&log).len(), 1);
    let filtered = one_build(None, &log);
    holds_the_app_alone(&filtered, &log);
    assert!(!says_shared(&filtered));
}

#[test]
fn an_intruder_in_the_builds_directories_is_kept() {
    require!(Root, Docker);
    let folder = tempfile::tempdir().unwrap();
    let context = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sleep\", \"3\"]\n",
    );
    let engine = Engine::shared();
    let log = folder.path().join("log.ndjson");
    // Writes into the upper directory of whatever overlay of this engine is mounted with one.
    let script = "while :; do
        grep \"$1\" /proc/self/mounts | sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' | while read -r upper; do
            [ -e \"$upper/app-m1\" ] || echo intruder > \"$upper/app-m1\"
        done
        sleep 0.05
    done";
    let intruder = Beside::start(Command::new("sh").arg("-c").arg(script).arg("sh").arg(&engine.state));
    drop(record(&log, &engine.build_command(Builder::BuildKit, context.path(), "intruded", &[])));
    drop(intruder);
    let filtered = one_build(None, &log);
    let by =
        "select(.type == \"file.open\" and .create and (.path // \"\" | endswith(\"/app-m1\"))) | .comm";
    assert_eq!(jq(by, &filtered), "sh");
}

#[test]
fn without_a_build_there_is_a_hint() {
    require!(Root);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.ndjson");
    let output = run(&mut recorder(&log, &Command::new("true")));
    assert!(output.status.success());
    for args in [&["--build", "list"][..], &["--build"]] {
        let output = run(&mut filter(args, &log));
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("no build in it") && told.lines().count() == 1, "{told}");
        assert!(output.stdout.is_empty());
    }
}
