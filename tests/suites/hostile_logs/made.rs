//! What an attestation says of an image that the build didn't make, or not so: names that look as if the engine had stored it, layers
//! that pass for the base's, and lines of the history that are not the Dockerfile's.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use blubr_tests::bins;
use blubr_tests::program::{jq, run, stdout_of};
use blubr_tests::supervise::process_folder;

use super::image::{Digests, Layer, MADE, OLD, sum, write_created, write_layers};
use super::log::{CLIENT, DAEMON, Log, RUNTIME, STEP, Who};

/// A Dockerfile, an image and a log, and what blubr-attest makes of them.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(dockerfile: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("made.").tempdir_in(process_folder()).unwrap();
        let case = Self { folder };
        std::fs::write(case.file("Dockerfile"), dockerfile).unwrap();
        case
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, layers: &[Layer<'_>]) -> Digests {
        write_layers(layers, &self.file("image.tar"))
    }

    fn attest(&self, write: impl FnOnce(Log)) {
        drop(stdout_of(&mut self.attesting(write)));
    }

    fn attesting(&self, write: impl FnOnce(Log)) -> Command {
        write(Log::new(&self.file("log.ndjson")));
        let mut attest = bins::command("blubr-attest");
        attest.arg("-o").arg(self.file("statement.json"));
        attest.arg("--dockerfile").arg(self.file("Dockerfile"));
        attest.arg("--image").arg(format!("archive:{}", self.file("image.tar").display()));
        attest.arg(self.file("log.ndjson"));
        attest
    }

    fn said(&self, filter: &str) -> String {
        jq(&format!(".predicate.blubr_build | {filter}"), &self.file("statement.json"))
    }

    fn check(&self, id: &str) -> String {
        self.said(&format!(".checks[] | select(.id == \"{id}\") | .result"))
    }
}

fn layer<'c>(file: &str, created: Option<&'c str>, created_by: &'c str) -> Layer<'c> {
    Layer { files: vec![(file.to_owned(), b"")], created, created_by }
}

const RUN: &str = "RUN /bin/sh -c make # buildkit";

/// A file is made.
fn creat(log: &mut Log, who: Who, path: &str) {
    let same = format!(r#""path":"{path}","dev":"0:45","ino":{},"size":0"#, log.events());
    let own = format!(
        r#""path":"{path}","mode":"w","create":true,"truncate":true,"dev":"0:45","ino":{},"size":0,"ret":3"#,
        log.events()
    );
    log.add(who, "file.open", &own);
    log.add(who, "file.close", &format!("{same},\"ret\":0"));
}

/// A directory is made.
fn mkdir(log: &mut Log, who: Who, path: &str) {
    log.add(who, "file.mkdir", &format!(r#""path":"{path}","mode":"0755","ret":0"#));
}

/// What gives the engine's name to something in the middle of a build.
#[derive(Clone, Copy)]
enum By {
    /// The runtime, which makes control groups.
    Runtime,
    /// The engine, in a tree that it mounted for WORKDIR.
    Workdir,
    /// The engine, where it finds room.
    Mkdir,
    /// The engine, at last.
    Rename,
}

#[test]
fn an_image_is_stored_where_a_store_keeps_it_and_not_where_its_digest_is_a_name() {
    use By::{Mkdir, Rename, Runtime, Workdir};
    let image = "/s/image/overlay2/imagedb/content/sha256/H";
    let layers = "/s/image/overlay2/layerdb/sha256/C";
    for (by, paths, wanted) in [
        (Rename, [image, layers], "pass"),
        // docker build --cgroup-parent H/C
        (Runtime, ["/sys/fs/cgroup/H", "/sys/fs/cgroup/H/C"], "unknown"),
        // WORKDIR /H/C
        (Workdir, ["/s/overlay2/42/merged/H", "/s/overlay2/42/merged/H/C"], "unknown"),
        (Mkdir, [image, layers], "unknown"),
        (Runtime, [image, layers], "unknown"),
        (Rename, ["/s/containers/H/x", "/s/containers/C/x"], "unknown"),
        (
            Rename,
            [
                "/elsewhere/image/overlay2/imagedb/content/sha256/H",
                "/elsewhere/image/overlay2/layerdb/sha256/C",
            ],
            "unknown",
        ),
    ] {
        let case = Case::new("FROM base AS other\nWORKDIR /x\nFROM base\nRUN make\n");
        let of = case.image(&[layer("bin/sh", Some(OLD), "ADD base"), layer("w", Some(MADE), RUN)]);
        let chain = sum(format!("sha256:{} sha256:{}", of.layers[0], of.layers[1]).as_bytes());
        let chain = chain.trim_start_matches("sha256:");
        let paths = paths.map(|path| path.replace('H', &of.config).replace('C', chain));
        case.attest(|mut log| {
            log.begin_client();
            log.overlay(42, &[40]);
            if let Workdir = by {
                paths.iter().for_each(|path| mkdir(&mut log, DAEMON, path));
            }
            log.umount(42);
            log.step(41, RUNTIME, STEP, &[40]);
            creat(&mut log, STEP, "/w");
            for path in &paths {
                match by {
                    Runtime => mkdir(&mut log, RUNTIME, path),
                    Mkdir => mkdir(&mut log, DAEMON, path),
                    Rename => {
                        let own = format!(r#""path":"/s/tmp/1","to":"{path}","ret":0"#);
                        log.add(DAEMON, "file.rename", &own);
                    }
                    Workdir => {}
                }
            }
            log.end();
        });
        assert_eq!(case.check("image-of-this-build"), wanted, "{paths:?}");
        assert_eq!(case.check("layers-recorded"), wanted, "{paths:?}");
    }
}

#[test]
fn only_layers_below_those_of_the_instructions_are_the_base_s() {
    let base = || layer("bin/sh", Some(OLD), "ADD base");
    let made = || layer("w", Some(MADE), RUN);
    let odd = |created| layer("odd", created, "LABEL a=b");
    for (dockerfile, layers, inherited, explained) in [
        ("FROM base\nRUN make\n", vec![base(), made()], "1", "pass"),
        // Laid on top, with a line that looks as if the client had asked for a label.
        ("FROM base\nRUN make\n", vec![base(), made(), odd(None)], "1", "fail"),
        ("FROM base\nRUN make\n", vec![base(), made(), odd(Some(OLD))], "1", "fail"),
        // The Dockerfile's own label has no layer.
        ("FROM base\nRUN make\nLABEL a=b\n", vec![base(), made(), odd(Some(OLD))], "1", "fail"),
        // The step stands on one directory.
        ("FROM base\nRUN make\n", vec![base(), odd(Some(OLD)), made()], "1", "fail"),
        // Nothing is below nothing.
        ("FROM scratch\nRUN make\n", vec![base(), made()], "0", "fail"),
    ] {
        let case = Case::new(dockerfile);
        drop(case.image(&layers));
        case.attest(|mut log| {
            log.begin();
            creat(&mut log, STEP, "/w");
            log.end();
        });
        let lines: Vec<&str> = layers.iter().map(|layer| layer.created_by).collect();
        assert_eq!(case.said(".inherited | length"), inherited, "{dockerfile:?} {lines:?}");
        assert_eq!(case.check("image-explained"), explained, "{dockerfile:?} {lines:?}");
    }
}

/// Statuses of the steps behind FROM, number of layers that were there before, and the answer, of an image whose step of `RUN make`
/// stands on these directories.
fn judged(dockerfile: &str, layers: &[Layer<'_>], lowers: &[u64]) -> (String, String, String) {
    judged_after(0, dockerfile, layers, lowers)
}

/// The same of a build that begins so long (in ns) after the recording.
fn judged_after(
    wait_ns: u64,
    dockerfile: &str,
    layers: &[Layer<'_>],
    lowers: &[u64],
) -> (String, String, String) {
    let case = Case::new(dockerfile);
    drop(case.image(layers));
    case.attest(|mut log| {
        log.wait(wait_ns);
        log.begin_client();
        log.step(41, RUNTIME, STEP, lowers);
        creat(&mut log, STEP, "/w");
        log.end();
    });
    let statuses = case.said("[.steps[1:][].status] | join(\" \")");
    (statuses, case.said(".inherited | length"), case.check("image-explained"))
}

#[test]
fn nothing_comes_from_a_cache_upon_what_this_build_made() {
    let base = || layer("bin/sh", Some(OLD), "ADD base");
    let made = || layer("w", Some(MADE), RUN);
    let odd = |line| layer("odd", Some(OLD), line);
    let copy = "COPY a /a # buildkit";
    for (dockerfile, layers, lowers, wanted) in [
        // Upon the step's layer.
        (
            "FROM base\nRUN make\nWORKDIR /opt\n",
            vec![base(), made(), odd("WORKDIR /opt")],
            &[40][..],
            ("observed not-observed", "1", "fail"),
        ),
        (
            "FROM base\nRUN make\nCOPY a /a\n",
            vec![base(), made(), odd(copy)],
            &[40],
            ("observed not-observed", "1", "fail"),
        ),
        // The step stands on one directory.
        (
            "FROM base\nWORKDIR /opt\nRUN make\n",
            vec![base(), odd("WORKDIR /opt"), made()],
            &[40],
            ("not-observed observed", "1", "fail"),
        ),
        (
            "FROM base\nCOPY a /a\nRUN make\n",
            vec![base(), odd(copy), made()],
            &[42, 40],
            ("cached observed", "2", "pass"),
        ),
        // BuildKit lays such a layer upon whatever there is.
        (
            "FROM base\nRUN make\nCOPY --link a /a\n",
            vec![base(), made(), odd(copy)],
            &[40],
            ("observed cached", "2", "pass"),
        ),
    ] {
        let (statuses, inherited, explained) = judged(dockerfile, &layers, lowers);
        assert_eq!((&*statuses, &*inherited, &*explained), wanted, "{dockerfile:?} {lowers:?}");
    }
}

#[test]
fn what_was_made_in_this_recording_before_the_build_began_is_from_the_cache_too() {
    let copy = "COPY a /a # buildkit";
    let (below, above) = ("FROM base\nCOPY a /a\nRUN make\n", "FROM base\nRUN make\nCOPY a /a\n");
    for (dockerfile, copied, wanted) in [
        (below, "2026-11-24T12:00:02.5Z", ("cached observed", "2", "pass")),
        (below, "2026-11-24T12:00:03Z", ("cached observed", "2", "pass")),
        // A second's worth of time may be lost to rounding; else clocks are off by little.
        (below, "2026-11-24T12:00:05Z", ("not-observed observed", "1", "fail")),
        (below, "2026-11-24T12:00:04.995Z", ("not-observed observed", "1", "fail")),
        // While the build went on, and upon what it made.
        (below, "2026-11-24T12:00:05.000020Z", ("not-observed observed", "1", "fail")),
        (above, "2026-11-24T12:00:02.5Z", ("observed not-observed", "1", "fail")),
    ] {
        let base = layer("bin/sh", Some(OLD), "ADD base");
        let copied = layer("odd", Some(copied), copy);
        let made = layer("w", Some("2026-11-24T12:00:05.000050Z"), RUN);
        let layers = if dockerfile == below { [base, copied, made] } else { [base, made, copied] };
        let lowers: &[u64] = if dockerfile == below { &[42, 40] } else { &[40] };
        let (statuses, inherited, explained) = judged_after(5_000_000_000, dockerfile, &layers, lowers);
        assert_eq!((&*statuses, &*inherited, &*explained), wanted, "{:?}", layers[1].created);
    }
}

#[test]
fn a_layer_of_no_instruction_that_is_known_is_not_explained_by_any_step() {
    let case = Case::new("FROM base\nRUN make\n");
    drop(case.image(&[
        layer("bin/sh", Some(OLD), "ADD base"),
        layer("w", Some(MADE), RUN),
        Layer { files: vec![("w".to_owned(), b"other")], created: Some(MADE), created_by: "RUN other" },
    ]));
    case.attest(|mut log| {
        log.begin();
        creat(&mut log, STEP, "/w");
        log.end();
    });
    assert_eq!(case.said(".unexplained | tojson"), "[]");
    assert_eq!(case.check("image-explained"), "unknown");
}

#[test]
fn a_dockerfile_whose_lines_are_not_the_history_s_is_not_unchanged() {
    for (dockerfile, unchanged, statuses) in [
        ("FROM base\nCOPY a /a\nCOPY b /b\n", "pass", r#"["daemon","daemon"]"#),
        ("FROM base\nCOPY b /b\nCOPY a /a\n", "unknown", r#"["candidates","candidates"]"#),
    ] {
        let case = Case::new(dockerfile);
        let path = case.file("Dockerfile");
        let at = UNIX_EPOCH + Duration::from_secs(1_795_521_600);
        File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        drop(case.image(&[
            layer("bin/sh", Some(OLD), "ADD base"),
            layer("a", Some(MADE), "COPY a /a # buildkit"),
            layer("b", Some(MADE), "COPY b /b # buildkit"),
        ]));
        case.attest(|mut log| {
            log.begin_client();
            let read = format!(
                r#""path":"{}","mode":"r","create":false,"truncate":false,"dev":"8:1","ino":5,"size":{},"mtime":"2026-11-24T12:00:00.000000000Z","ret":3"#,
                path.display(),
                dockerfile.len()
            );
            log.add(CLIENT, "file.open", &read);
            for (n, lowers, name) in [(41, &[40][..], "a"), (42, &[41, 40], "b")] {
                log.overlay(n, lowers);
                creat(&mut log, DAEMON, &format!("/s/overlay2/{n}/merged/{name}"));
                log.umount(n);
            }
            log.exit(CLIENT);
            log.finish();
        });
        assert_eq!(case.check("dockerfile-unchanged"), unchanged, "{dockerfile:?}");
        assert_eq!(case.said("[.steps[1:][].status] | tojson"), statuses, "{dockerfile:?}");
    }
}

#[test]
fn a_line_of_the_history_is_a_run_s_only_as_a_whole() {
    for (line, statuses) in [
        (RUN, "observed"),
        ("RUN |1 A=b /bin/sh -c make # buildkit", "observed"),
        ("/bin/sh -c make", "observed"),
        ("RUN /bin/sh -c evil; make # buildkit", "none"),
        ("RUN evil /bin/sh -c make # buildkit", "none"),
        ("/bin/sh -c evil; make", "none"),
    ] {
        let case = Case::new("FROM base\nRUN make\n");
        drop(case.image(&[layer("bin/sh", Some(OLD), "ADD base"), layer("w", Some(MADE), line)]));
        case.attest(|mut log| {
            log.begin();
            creat(&mut log, STEP, "/w");
            log.end();
        });
        // Whose changes the layer holds is known by its line.
        let of_line = case.said(".steps[1] | if .diff_id then .status else \"none\" end");
        assert_eq!(of_line, statuses, "{line}");
        let explained = if statuses == "none" { "unknown" } else { "pass" };
        assert_eq!(case.check("image-explained"), explained, "{line}");
    }
}

#[test]
fn a_dockerfile_that_tells_nothing_of_what_ran_is_asked_about() {
    for (line, asks) in [("RUN make", false), ("RUN other", true)] {
        let case = Case::new(&format!("FROM base\n{line}\n"));
        let mut log = Log::new(&case.file("log.ndjson"));
        log.begin_client();
        log.step(41, RUNTIME, STEP, &[40]);
        log.end();
        for flags in [&[][..], &["--quiet"]] {
            let mut attest = bins::command("blubr-attest");
            attest.args(flags).arg("--dockerfile").arg(case.file("Dockerfile"));
            let output = run(attest.arg(case.file("log.ndjson")));
            assert_eq!(output.status.code(), Some(0), "{line}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let asked = told.contains("what ran in 1 of the build's containers: is it the file");
            assert_eq!(asked, asks && flags.is_empty(), "{line}: {told}");
            assert!(told.lines().count() <= 1, "{told}");
        }
    }
}

#[test]
fn an_older_image_is_refused_where_a_step_of_its_own_stages_ran() {
    let layers = || {
        let run = |what| layer(what, Some(OLD), RUN_OTHER);
        [layer("bin/sh", Some(OLD), "ADD base"), run("o")]
    };
    for (dockerfile, refused) in [
        // What ran is of a stage of which the target takes files: the target may be from the cache.
        ("FROM base AS tool\nRUN make\nFROM base\nRUN other\nCOPY --from=tool /w /w\n", false),
        ("FROM base AS tool\nRUN make\nFROM base\nRUN other\n", false),
        // It is the target's own, or of the stage that the target begins from.
        ("FROM base\nRUN make\n", true),
        ("FROM base AS tool\nRUN make\nFROM tool\nRUN other\n", true),
        ("FROM base\nRUN make\nRUN other\n", true),
    ] {
        let case = Case::new(dockerfile);
        drop(write_created(&layers(), OLD, &case.file("image.tar")));
        let mut attest = case.attesting(|mut log| {
            log.begin();
            // Docker's classic builder keeps an image of every stage's steps.
            let to = "/s/image/overlay2/imagedb/content/sha256";
            let own = format!(r#""path":"/s/tmp/1","to":"{to}/{}","ret":0"#, "0".repeat(64));
            log.add(DAEMON, "file.rename", &own);
            log.end();
        });
        let answer = run(&mut attest);
        let said = String::from_utf8_lossy(&answer.stderr);
        assert_eq!(answer.status.code(), Some(i32::from(refused)), "{dockerfile:?}: {said}");
        assert_eq!(said.contains("is not the image that this build made"), refused, "{said}");
        if refused {
            continue;
        }
        for id in ["image-of-this-build", "layers-recorded"] {
            assert_ne!(case.check(id), "fail", "{dockerfile:?}: {id}");
        }
        assert_eq!(case.check("image-of-this-build"), "unknown", "{dockerfile:?}");
        let why = case.said(".checks[] | select(.id == \"image-of-this-build\") | .evidence[0]");
        assert!(why.starts_with(&format!("it was made at {OLD}, and the build began at")), "{why}");
    }
}

const RUN_OTHER: &str = "RUN /bin/sh -c other # buildkit";
