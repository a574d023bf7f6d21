//! A build with buildah in the machine: recorded there, filtered and attested on this host.

use std::path::Path;
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::program::{jq, stdout_of};
use blubr_tests::vm::Tree;
use blubr_tests::workload::busybox_path;

const DOCKERFILE: &str = "FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"touch\", \"/m3\"]
RUN [\"/bin/busybox\", \"mkdir\", \"/m4\"]
";

const SCRIPT: &str = "buildah='buildah --root /var/lib/build/root --runroot /run/build'
export TMPDIR=/var/tmp
blubr-record -o build.ndjson -- $buildah bud --no-cache --layers --network=host --isolation oci \
  --runtime /usr/sbin/runc -t blubr-vm /blubr/context
$buildah push -q blubr-vm oci:/blubr/out/image:built
";

/// Puts buildah, runc and what is built into the machine.
pub fn prepare(tree: &Tree) {
    tree.programs(&["buildah", "runc"]);
    tree.text("/etc/containers/policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n");
    tree.text("/etc/containers/registries.conf", "");
    tree.text("/blubr/context/Dockerfile", DOCKERFILE);
    tree.file(&busybox_path(), "/blubr/context/busybox");
    tree.text("/blubr/build", SCRIPT);
}

/// Attests the build: its RUN lines were observed, each made its file, the record is complete and explains the image.
pub fn check(out: &Path) {
    let dockerfile = out.join("Dockerfile");
    std::fs::write(&dockerfile, DOCKERFILE).unwrap();
    let (filtered, statement) = (out.join("filtered.ndjson"), out.join("statement.json"));
    let log = out.join("build.ndjson");
    drop(stdout_of(bins::command("blubr-filter").arg("--build").arg("-o").arg(&filtered).arg(&log)));
    let image = format!("oci:{}:built", out.join("image").display());
    let mut attest = bins::command("blubr-attest");
    attest.arg("--dockerfile").arg(&dockerfile).args(["--require", "complete,explained"]);
    drop(stdout_of(attest.args(["--image", &image, "-o"]).arg(&statement).arg(&filtered)));
    let says = |filter: &str| jq(&format!(".predicate.blubr_build | {filter}"), &statement);
    assert_eq!(
        says(".steps[] | select(.instruction == \"RUN\") | [.lines[0], .status] | @csv"),
        "3,\"observed\"\n4,\"observed\""
    );
    assert_eq!(says(".completeness.recording"), "complete");
    assert_eq!(says(".unexplained | tojson"), "[]");
    for line in [3, 4] {
        let made = says(&format!(".steps[] | select(.lines[0] == {line}) | .writes[].path"));
        assert!(made.lines().any(|path| path == format!("/m{line}")), "{line}: {made}");
    }
    // The digest that the layout has is the statement's subject.
    let index = out.join("image/index.json");
    let digest = blubr_tests::program::text_of(
        Command::new("jq").args(["-r", ".manifests[0].digest"]).arg(index),
    );
    let subjects = jq(".subject[].digest.sha256", &statement);
    assert!(subjects.lines().any(|subject| format!("sha256:{subject}") == digest), "{subjects}");
}
