//! Images that buildah has squashed into one layer: all that the steps did lies in it, and the base too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::attribution::{filter, state};
use blubr_tests::buildah::{Buildah, Isolation};
use blubr_tests::builders::Named;
use blubr_tests::program::{jq, stdout_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::workload::Context;

const TAG: &str = "blubr-squashed";
const BASE: &str = "localhost/blubr-squashed-base";

/// What a base holds, or the steps make for themselves.
const BUSYBOX: &str =
    "COPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";
/// What the steps do: one takes away what an earlier one made.
const STEPS: &str =
    "RUN mkdir /d; echo a > /d/a; echo b > /d/b\nENV A=b\nRUN rm /d/a; mv /d /e; echo c > /c\n";

/// A squashed build, recorded.
struct Built {
    folder: tempfile::TempDir,
    context: Context,
}

impl Built {
    fn of(dockerfile: &str, layers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buildah = Buildah::new();
        if dockerfile.contains(BASE) {
            let base = Context::of_dockerfile(&format!("FROM scratch\n{BUSYBOX}"));
            drop(buildah.build(Isolation::Oci, base.path(), BASE, &[]));
        }
        let built = Self { folder, context: Context::of_dockerfile(dockerfile) };
        let log = built.file("build.ndjson");
        let extra = [layers, "--squash"];
        drop(record(&log, &buildah.build_command(Isolation::Oci, built.context.path(), TAG, &extra)));
        filter(&log, &built.file("filtered.ndjson"));
        buildah.push(TAG, &format!("docker-archive:{}:{TAG}", built.file("image.tar").display()));
        built
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The statement about an archive of the image.
    fn attest(&self, archive: &Path) -> PathBuf {
        let statement = self.file("statement.json");
        let image = Named { reference: format!("archive:{}", archive.display()), host: None };
        state(&self.file("filtered.ndjson"), &self.context.file("Dockerfile"), &image, &statement);
        assert_eq!(jq(".predicate.blubr_build.image.diff_ids | length", &statement), "1");
        statement
    }

    /// The image with a file more in its layer, and everything that names that layer.
    fn planted(&self) -> PathBuf {
        let (tree, archive) = (self.file("tree"), self.file("planted.tar"));
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(self.file("planted"), "x\n").unwrap();
        let tar = |words: &[&str], in_folder: &Path, rest: &[&str]| {
            drop(stdout_of(Command::new("tar").args(words).arg("-C").arg(in_folder).args(rest)));
        };
        tar(&["-xf", self.file("image.tar").to_str().unwrap()], &tree, &[]);
        let manifest = tree.join("manifest.json");
        let layer = tree.join(jq(".[0].Layers[0]", &manifest));
        let config = tree.join(jq(".[0].Config", &manifest));
        let before = jq(".rootfs.diff_ids[0]", &config);
        tar(&["--append", "-f", layer.to_str().unwrap()], self.folder.path(), &["planted"]);
        let sum = stdout_of(Command::new("sha256sum").arg(&layer));
        let after = format!("sha256:{}", String::from_utf8_lossy(&sum).split(' ').next().unwrap());
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace(&before, &after)).unwrap();
        tar(&["-cf", archive.to_str().unwrap()], &tree, &["."]);
        archive
    }
}

fn unexplained(statement: &Path) -> String {
    jq("[.predicate.blubr_build.unexplained[] | \"\\(.what) \\(.path)\"] | join(\", \")", statement)
}

/// What the check says of whether all is explained.
fn explained(statement: &Path) -> (String, String) {
    let of = ".predicate.blubr_build.checks[] | select(.id == \"image-explained\")";
    (jq(&format!("{of} | .result"), statement), jq(&format!("{of} | .evidence[0]"), statement))
}

#[test]
fn the_events_of_all_steps_explain_the_one_layer() {
    require!(Root, Buildah);
    let stages = format!("FROM scratch AS one\n{BUSYBOX}RUN echo o > /o\nFROM one\n{STEPS}");
    for (dockerfile, layers) in [
        (format!("FROM scratch\n{BUSYBOX}"), "--layers"),
        (format!("FROM scratch\n{BUSYBOX}{STEPS}"), "--layers"),
        (stages.clone(), "--layers"),
        (stages, "--layers=false"),
    ] {
        let built = Built::of(&dockerfile, layers);
        let statement = built.attest(&built.file("image.tar"));
        assert_eq!(unexplained(&statement), "", "{layers} {dockerfile}");
        let (result, evidence) = explained(&statement);
        assert_eq!(result, "pass", "{layers} {dockerfile}: {evidence}");
        let statement = built.attest(&built.planted());
        assert_eq!(unexplained(&statement), "entry-without-event /planted", "{layers} {dockerfile}");
        assert_eq!(explained(&statement).0, "fail");
    }
}

#[test]
fn what_may_be_of_the_base_in_the_layer_is_counted() {
    require!(Root, Buildah);
    for (steps, layers) in [
        ("RUN echo a > /a\n", "--layers"),
        ("RUN echo a > /a\n", "--layers=false"),
        (STEPS, "--layers"),
        (STEPS, "--layers=false"),
    ] {
        let built = Built::of(&format!("FROM {BASE}\n{steps}"), layers);
        let count = |archive: &Path| {
            let statement = built.attest(archive);
            assert_eq!(unexplained(&statement), "", "{layers} {steps}");
            let (result, evidence) = explained(&statement);
            assert_eq!(result, "unknown", "{layers} {steps}: {evidence}");
            assert!(evidence.contains("may be of the base"), "{layers} {steps}: {evidence}");
            evidence.split(' ').next().unwrap().parse::<u32>().unwrap()
        };
        let honest = count(&built.file("image.tar"));
        assert_eq!(count(&built.planted()), honest + 1, "{layers} {steps}");
    }
}
