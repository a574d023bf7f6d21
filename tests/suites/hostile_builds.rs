//! Builds that try to be taken for something else, and strangers that reach into a build: what the attestation says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, stdout_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::workload::Context;

const BUILDERS: [Builder; 2] = [Builder::Classic, Builder::BuildKit];

/// Attests a recorded build of `context` with its image; gives the statement.
fn attest(context: &Context, image: &str, log: &Path) -> PathBuf {
    let statement = log.with_extension("statement.json");
    let mut attest = bins::command("blubr-attest");
    attest.env("DOCKER_HOST", &Engine::shared().host);
    attest.arg("--dockerfile").arg(context.file("Dockerfile"));
    attest.arg("--image").arg(format!("docker:{image}"));
    attest.arg("-o").arg(&statement).arg(log);
    let answer = run(&mut attest);
    assert!(answer.status.success(), "{}", describe(&attest, &answer));
    statement
}

#[test]
fn what_a_step_does_behind_a_chroot_of_its_own_is_the_steps() {
    require!(Root, Docker);
    let context = Context::of_dockerfile(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"ln\", \"-s\", \"busybox\", \"/bin/sh\"]\n\
         RUN /bin/busybox mkdir -p /nr/bin; /bin/busybox cp /bin/busybox /nr/bin/; \
         /bin/busybox chroot /nr /bin/busybox nc -w 1 127.0.0.1 9; \
         /bin/busybox chroot /nr /bin/busybox touch /backdoor; true\n",
    );
    let folder = tempfile::tempdir().unwrap();
    for builder in BUILDERS {
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        let build = Engine::shared().build_command(builder, context.path(), "blubr-chroot", &[]);
        drop(record(&log, &build));
        let statement = attest(&context, "blubr-chroot", &log);
        let of_step = ".predicate.blubr_build.steps[] | select(.lines[0] == 4)";
        let connected = jq(&format!("{of_step} | .network[] | \"\\(.ip):\\(.port)\""), &statement);
        assert_eq!(connected, "127.0.0.1:9", "{builder:?}");
        let wrote = "file:///nr/backdoor";
        let writes =
            jq(&format!("{of_step} | .writes | tostring | contains(\"/nr/backdoor\")"), &statement);
        assert_eq!(writes, "true", "{builder:?}: {wrote}");
        let engine = "[.predicate.monitorLog.process[] | select(.part == \"engine\") | tostring | select(contains(\"backdoor\"))] | length";
        assert_eq!(jq(engine, &statement), "0", "{builder:?}");
    }
}

#[test]
fn what_a_steps_program_runs_as_a_runtime_would_is_no_step_and_no_strangers() {
    require!(Root, Docker, Compiler);
    let context = Context::of_dockerfile(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         COPY forger /forger\n\
         RUN /forger /bin/sh -c 'touch /evil'\n\
         RUN touch /evil\n\
         COPY forger /copied\n",
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/programs/forger.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-O1", "-o"]).arg(context.file("forger")).arg(source);
    drop(stdout_of(&mut compiler));
    let folder = tempfile::tempdir().unwrap();
    for builder in BUILDERS {
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        let build = Engine::shared().build_command(builder, context.path(), "blubr-forged", &[]);
        drop(record(&log, &build));
        let statement = attest(&context, "blubr-forged", &log);
        let programs = |line: u32| {
            jq(
                &format!(
                    ".predicate.blubr_build.steps[] | select(.lines[0] == {line}) | [.processes[].argv | join(\" \")] | join(\", \")"
                ),
                &statement,
            )
        };
        let forged = "/bin/sh -c touch /evil";
        let of_five = format!("/bin/sh -c /forger /bin/sh -c 'touch /evil', /forger {forged}, {forged}");
        assert_eq!(programs(5), of_five, "{builder:?}");
        assert_eq!(programs(6), forged, "{builder:?}");
        let files = "[.predicate.blubr_build.files[] | select(.path == \"/evil\" or .path == \"/copied\") | \"\\(.path) \\(.step)\"] | join(\", \")";
        let expected = "/copied 0.5, /evil 0.5, /evil 0.6, /copied 0.7";
        assert_eq!(jq(files, &statement), expected, "{builder:?}");
        let checks = "[.predicate.blubr_build.checks[] | select(.id == \"steps-observed\" or .id == \"image-explained\" or .id == \"no-foreign-access\") | .result] | join(\" \")";
        assert_eq!(jq(checks, &statement), "pass pass pass", "{builder:?}");
    }
}

/// Ends its process when it goes.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_that_a_stranger_put_into_a_layer_is_explained_by_nothing() {
    require!(Root, Docker);
    let context = Context::of_dockerfile(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"sleep\", \"3\"]\n",
    );
    let folder = tempfile::tempdir().unwrap();
    for builder in BUILDERS {
        let engine = Engine::shared();
        let script = "while :; do
            grep \"$1\" /proc/self/mounts | sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' | while read -r upper; do
                [ -e \"$upper/planted\" ] || echo x > \"$upper/planted\"
            done
            sleep 0.05
        done";
        let mut intruder = Command::new("sh");
        intruder.arg("-c").arg(script).arg("sh").arg(&engine.state).stderr(Stdio::null());
        let intruder = Beside(intruder.spawn().unwrap());
        let log = folder.path().join(format!("{builder:?}.ndjson"));
        let build = engine.build_command(builder, context.path(), "blubr-planted", &[]);
        drop(record(&log, &build));
        drop(intruder);
        let statement = attest(&context, "blubr-planted", &log);
        let planted = "[.predicate.blubr_build.unexplained[] | select(.path == \"/planted\") | .what] | unique | join(\" \")";
        assert_eq!(jq(planted, &statement), "foreign-write", "{builder:?}");
        let checks = ".predicate.blubr_build.checks[] | select(.id == \"image-explained\" or .id == \"no-foreign-access\") | .result";
        assert_eq!(jq(checks, &statement), "fail\nfail", "{builder:?}");
    }
}
