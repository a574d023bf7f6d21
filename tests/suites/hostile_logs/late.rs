//! What an attestation says of a build that had begun when the recording did.

use blubr_tests::bins;
use blubr_tests::program::{jq, run, stdout_of};
use blubr_tests::supervise::process_folder;

use super::log::{CLIENT, Log, RUNTIME, STEP, Who};

/// buildah, which is client and engine in one.
const BUILDAH: Who = Who(10, 5, 0, 1, 1);

const CLIENT_WAS: &str = r#""exe":"/usr/bin/docker","argv":["docker","build","."],"cwd":"/""#;

/// `recording` and `late`, the status of the first RUN with why, and whether it is enough for `--require complete`.
fn attested(write: impl FnOnce(&mut Log)) -> (String, String, bool) {
    let folder = tempfile::Builder::new().prefix("late.").tempdir_in(process_folder()).unwrap();
    let [path, statement, dockerfile] =
        ["log.ndjson", "statement.json", "Dockerfile"].map(|name| folder.path().join(name));
    let mut log = Log::new(&path);
    write(&mut log);
    log.end();
    std::fs::write(&dockerfile, "FROM base\nRUN before\nRUN make\n").unwrap();
    let mut attest = bins::command("blubr-attest");
    attest.arg("--dockerfile").arg(&dockerfile).arg("-o").arg(&statement).arg(&path);
    drop(stdout_of(&mut attest));
    let is_complete = run(attest.args(["--require", "complete"])).status.success();
    let of = |filter: &str| jq(&format!(".predicate.blubr_build | {filter}"), &statement);
    let recording = of(".completeness | [.recording, .late] | tojson");
    (recording, of(".steps[1] | .status + \": \" + .evidence[0].detail"), is_complete)
}

#[test]
fn a_client_that_was_there_before_makes_the_record_of_its_build_cut() {
    let (recording, step, is_complete) = attested(|log| {
        log.add(CLIENT, "process.exists", CLIENT_WAS);
        log.add(CLIENT, "unix.connect", r#""path":"/run/docker.sock","ret":0"#);
        log.step(41, RUNTIME, STEP, &[40]);
    });
    assert_eq!(recording, "[\"cut\",true]");
    assert!(step.starts_with("not-observed: ") && step.contains("had begun"), "{step}");
    assert!(!is_complete);
}

#[test]
fn buildah_that_was_there_before_does_too() {
    let (recording, step, is_complete) = attested(|log| {
        let buildah = r#""exe":"/usr/bin/buildah","argv":["buildah","build","."],"cwd":"/""#;
        log.add(BUILDAH, "process.exists", buildah);
        let mount = r#""source":"overlay","target":"/s/overlay/2/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/1/diff"],"upper":"/s/overlay/2/diff","work":"/s/overlay/2/work","ret":0"#;
        log.add(BUILDAH, "mount.mount", mount);
        log.fork(BUILDAH, STEP);
        log.add(STEP, "mount.pivot_root", r#""path":"/s/overlay/2/merged","put_old":".","ret":0"#);
        log.exec(STEP, r#""/bin/sh","-c","make""#);
        log.exit(STEP);
        log.exit(BUILDAH);
    });
    assert_eq!(recording, "[\"cut\",true]");
    assert!(step.starts_with("not-observed: ") && step.contains("had begun"), "{step}");
    assert!(!is_complete);
}

#[test]
fn a_process_that_was_there_and_runs_the_client_later_does_not() {
    let (recording, step, is_complete) = attested(|log| {
        log.add(CLIENT, "process.exists", r#""exe":"/bin/sh","argv":["sh"],"cwd":"/""#);
        log.begin();
    });
    assert_eq!(recording, "[\"complete\",null]");
    assert!(step.starts_with("not-observed: ") && !step.contains("had begun"), "{step}");
    assert!(is_complete);
}
