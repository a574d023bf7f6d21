//! What the checks of an attestation answer to logs in which somebody hides something, and to the like without anything to hide.

use std::path::PathBuf;

use blubr_tests::bins;
use blubr_tests::program::{jq, run, stdout_of};
use blubr_tests::supervise::process_folder;

use super::image;
use super::log::{CLIENT, DAEMON, Log, RUNTIME, STEP, STRANGER, Who};

/// A log, and what is asked of it.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn of(write: impl FnOnce(Log)) -> Self {
        let folder = tempfile::Builder::new().prefix("answers.").tempdir_in(process_folder()).unwrap();
        let case = Self { folder };
        write(Log::new(&case.file("log")));
        case
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the log through a filter.
    fn filter(&self, args: &[&str]) {
        let (whole, part) = (self.file("log"), self.file("part"));
        drop(stdout_of(bins::command("blubr-filter").args(args).arg("-o").arg(&part).arg(&whole)));
        std::fs::rename(part, whole).unwrap();
    }

    /// Attests it with an image whose one new layer is `/w/`.
    fn attest(&self, dockerfile: &str) -> Answers {
        image::write(0, &self.file("image.tar"));
        self.attest_with(&[format!("--image=archive:{}", self.file("image.tar").display())], dockerfile)
    }

    /// Attests it with these flags.
    fn attest_with(&self, flags: &[String], dockerfile: &str) -> Answers {
        std::fs::write(self.file("Dockerfile"), dockerfile).unwrap();
        let out = self.file("out.json");
        let mut attest = bins::command("blubr-attest");
        attest.args(flags).arg("--dockerfile").arg(self.file("Dockerfile")).arg("-o").arg(&out);
        drop(stdout_of(attest.arg(self.file("log"))));
        Answers { out }
    }
}

struct Answers {
    out: PathBuf,
}

impl Answers {
    /// The answer to a check, with its reasons.
    fn to(&self, id: &str) -> String {
        let check = format!(".predicate.blubr_build.checks[] | select(.id == \"{id}\")");
        jq(&format!("{check} | \"\\(.result): \\(.evidence | join(\"; \"))\""), &self.out)
    }

    /// All answers in short.
    fn all(&self) -> String {
        jq("[.predicate.blubr_build.checks[] | \"\\(.id) \\(.result)\"] | join(\"\\n\")", &self.out)
    }
}

/// The step does what the image shows.
fn work(log: &mut Log) {
    log.add(STEP, "file.mkdir", r#""path":"/w","mode":"0755","ret":0"#);
}

const DOCKERFILE: &str = "FROM base\nRUN make\n";
const CONNECTS: &str = r#""proto":"tcp","family":"inet","saddr":"10.0.0.2","sport":4000,"daddr":"93.184.216.34","dport":443,"ret":0"#;
const TOUCHES: &str = r#""path":"/s/overlay2/41/diff/w/x","mode":"w","create":false,"truncate":true,"dev":"8:1","ino":9,"size":0,"ret":3"#;

#[test]
fn nothing_passes_of_a_log_that_a_filter_may_have_taken_something_from() {
    let write = |mut log: Log| {
        log.begin();
        work(&mut log);
        log.add(STEP, "net.connect", CONNECTS);
        log.add(STRANGER, "file.open", TOUCHES);
        log.end();
    };
    let case = Case::of(write);
    let whole = case.attest(DOCKERFILE);
    assert!(whole.to("no-outside-network").starts_with("fail: 1 other side"));
    assert!(whole.to("no-foreign-access").starts_with("fail: 1 event "));
    for filter in [
        &["--build", "--type=file.*", "--type=process.*", "--type=mount.*", "--type=unix.*"][..],
        &["--type=process.*", "--type=mount.*", "--type=unix.*", "--type=net.*"],
        &["--cgroup=/g1", "--cgroup=/g41"],
    ] {
        let case = Case::of(write);
        case.filter(filter);
        let answers = case.attest(DOCKERFILE);
        let all = answers.all();
        assert!(!all.contains(" pass"), "{filter:?}: {all}");
        // What is there still counts; what may be missing does not.
        for line in all.lines().filter(|line| line.ends_with(" fail")) {
            assert_eq!(line, "no-outside-network fail", "{filter:?}: {all}");
        }
        let explained = answers.to("image-explained");
        assert!(explained.starts_with("unknown: the log was filtered by more"), "{explained}");
        for what in ["complete", "observed"] {
            let mut attest = bins::command("blubr-attest");
            attest.args(["--require", what, "--dockerfile"]).arg(case.file("Dockerfile"));
            assert_eq!(run(attest.arg(case.file("log"))).status.code(), Some(1), "{filter:?}: {what}");
        }
    }
}

#[test]
fn a_filter_by_build_takes_no_answer_away() {
    let write = |mut log: Log| {
        log.begin();
        work(&mut log);
        log.end();
    };
    let case = Case::of(write);
    let whole = case.attest(DOCKERFILE).all();
    for id in ["recording-complete", "steps-observed", "no-outside-network", "image-explained"] {
        assert!(whole.contains(&format!("{id} pass")), "{whole}");
    }
    case.filter(&["--build"]);
    assert_eq!(case.attest(DOCKERFILE).all(), whole);
}

#[test]
fn what_goes_out_by_a_socket_that_the_step_did_not_make_may_have_been_passed_on() {
    const ID: &str = "no-outside-network";
    for connects in [
        r#""path":"@proxy","ret":0"#,
        r#""path":"/run/proxy.sock","ret":0"#,
        r#""path":"proxy.sock","ret":0"#,
        r#""path":"/run/proxy.sock","ret":-4"#,
    ] {
        let case = Case::of(|mut log| {
            log.begin();
            work(&mut log);
            log.add(STEP, "unix.connect", connects);
            // Somebody makes one of that name later, and elsewhere.
            log.add(STRANGER, "file.mknod", &socket("/run/proxy.sock"));
            log.add(STEP, "file.mknod", &socket("/run/proxy.sock"));
            log.end();
        });
        let answer = case.attest(DOCKERFILE).to(ID);
        assert!(answer.starts_with("unknown: 1 connection was to a socket"), "{connects}: {answer}");
    }
    // What a step talks to itself by, and what reached nobody.
    let case = Case::of(|mut log| {
        log.begin();
        work(&mut log);
        log.add(STEP, "file.mknod", &socket("/tmp/own"));
        log.add(STEP, "unix.connect", r#""path":"/tmp/own","ret":0"#);
        log.add(STEP, "file.rename", r#""path":"/tmp/own","to":"/tmp/moved","ret":0"#);
        log.add(STEP, "unix.connect", r#""path":"/tmp/moved","ret":0"#);
        log.add(STEP, "unix.connect", r#""path":"/var/run/nscd/socket","ret":-2"#);
        log.add(STEP, "unix.connect", r#""path":"@nobody","ret":-111"#);
        log.end();
    });
    let answer = case.attest(DOCKERFILE).to(ID);
    assert!(answer.starts_with("pass: "), "{answer}");
}

fn socket(path: &str) -> String {
    format!(r#""path":"{path}","kind":"socket","mode":"0755","ret":0"#)
}

/// A log of a RUN upon what the engine itself wrote.
fn copies_and_makes(mut log: Log) {
    log.begin_client();
    log.overlay(40, &[39]);
    let own = r#""path":"/s/overlay2/40/merged/x","mode":"w","create":true,"dev":"0:44","ino":7,"size":0,"perm":"0644","ret":3"#;
    log.add(DAEMON, "file.open", own);
    log.add(DAEMON, "mount.umount", r#""target":"/s/overlay2/40/merged","flags":[],"ret":0"#);
    log.step(41, RUNTIME, STEP, &[40, 39]);
    work(&mut log);
    log.end();
}

#[test]
fn what_the_engine_may_have_fetched_is_open() {
    let case = Case::of(copies_and_makes);
    let answer = |line: &str| {
        case.attest_with(&[], &format!("FROM base\n{line}\nRUN make\n")).to("no-outside-network")
    };
    for line in [
        "ADD https://a/b /x",
        "ARG URL=https://a/b\nADD $URL /x",
        "ADD git@github.com:moby/buildkit.git#v0.14.1 /x",
    ] {
        let answer = answer(line);
        assert!(answer.starts_with("unknown: 1 ADD fetches, or may fetch, by the engine"), "{answer}");
    }
    let from_image = answer("COPY --from=docker.io/library/alpine:3 /x /x");
    assert!(from_image.starts_with("unknown: 1 step takes files from an image"), "{from_image}");
    for line in ["COPY x /x", "ADD x.tar /", "ARG V=1\nADD x-$V.tar /"] {
        let answer = answer(line);
        assert!(answer.starts_with("pass: "), "{line}: {answer}");
    }
}

#[test]
fn a_container_of_no_instruction_leaves_open_whether_all_steps_are_known() {
    let case = Case::of(|mut log| {
        log.begin();
        work(&mut log);
        log.step_ends(41, STEP);
        let (runtime, step) = (Who(420, 10, 0, 1, 1), Who(421, 420, 0, 42, 42));
        log.step(42, runtime, step, &[41, 40]);
        log.step_ends(42, step);
        log.exit(CLIENT);
        log.finish();
    });
    let answer = case.attest(DOCKERFILE).to("steps-observed");
    assert!(answer.starts_with("unknown: 1 container of the build is of no instruction"), "{answer}");
    let answer = case.attest("FROM base\nRUN make\nRUN make\n").to("steps-observed");
    assert!(answer.starts_with("pass: 2 observed"), "{answer}");
}
