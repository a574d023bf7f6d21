//! Images, layers and logs that were changed after the build: each change is named, and nothing else with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use blubr_tests::bins;
use blubr_tests::engine::{Builder, Engine};
use blubr_tests::program::{describe, jq, run, sha256sum, stdout_of, text_of};
use blubr_tests::record::record;
use blubr_tests::require;
use blubr_tests::supervise::process_folder;
use blubr_tests::workload::Context;
use sha2::{Digest as _, Sha256};

const BUILDERS: [Builder; 2] = [Builder::Classic, Builder::BuildKit];

const DOCKERFILE: &str = "FROM scratch\n\
    COPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo aaaa > /m3; echo bbbb > /other3; /bin/busybox ln -s m3 /soft3\"]\n\
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo cccc > /m4\"]\n";

/// A recorded build, its image saved, and the statement of it.
struct Built {
    folder: PathBuf,
    context: Context,
}

impl Built {
    fn of(builder: Builder) -> &'static Self {
        static CLASSIC: OnceLock<Built> = OnceLock::new();
        static BUILDKIT: OnceLock<Built> = OnceLock::new();
        let cell = if builder == Builder::Classic { &CLASSIC } else { &BUILDKIT };
        cell.get_or_init(|| Self::build(builder))
    }

    fn build(builder: Builder) -> Self {
        let engine = Engine::shared();
        let folder = process_folder().join(format!("tamper-{builder:?}"));
        std::fs::create_dir(&folder).unwrap();
        let built = Self { folder, context: Context::of_dockerfile(DOCKERFILE) };
        let tag = built.tag();
        drop(record(
            &built.file("build.ndjson"),
            &engine.build_command(builder, built.context.path(), &tag, &[]),
        ));
        let mut filter = bins::command("blubr-filter");
        filter
            .arg("--build")
            .arg("-o")
            .arg(built.file("filtered.ndjson"))
            .arg(built.file("build.ndjson"));
        drop(stdout_of(&mut filter));
        engine.save(&tag, &built.file("image.tar"));
        built
    }

    fn tag(&self) -> String {
        let name = self.folder.file_name().unwrap().to_str().unwrap();
        format!("blubr-{}", name.to_lowercase())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The statement about an image, by a log.
    fn attest(&self, image: &str, log: &Path) -> PathBuf {
        let out = self.file("statement.json");
        let mut attest = self.attesting(image, log);
        drop(stdout_of(attest.arg("-o").arg(&out)));
        out
    }

    fn attesting(&self, image: &str, log: &Path) -> Command {
        let mut attest = bins::command("blubr-attest");
        attest.env("DOCKER_HOST", &Engine::shared().host);
        attest.arg("--dockerfile").arg(self.context.file("Dockerfile")).args(["--image", image]);
        attest.arg(log);
        attest
    }

    /// The saved image with its layer `index` changed, and everything that names that layer.
    fn changed(&self, name: &str, index: usize, change: impl Fn(&Path)) -> String {
        let tree = self.file(name);
        std::fs::create_dir(&tree).unwrap();
        drop(stdout_of(Command::new("tar").arg("-xf").arg(self.file("image.tar")).arg("-C").arg(&tree)));
        let manifest = tree.join("manifest.json");
        let layer = tree.join(jq(&format!(".[0].Layers[{index}]"), &manifest));
        // Docker saves an equal layer as a link to the first.
        let layer = std::fs::canonicalize(layer).unwrap();
        let before = sha256sum(&layer);
        change(&layer);
        let config = tree.join(jq(".[0].Config", &manifest));
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains(&before), "the config names the layer by its digest");
        std::fs::write(&config, text.replace(&before, &sha256sum(&layer))).unwrap();
        let named = format!("{}.json", sha256sum(&config));
        let text = std::fs::read_to_string(&manifest).unwrap();
        let old = jq(".[0].Config", &manifest);
        std::fs::write(&manifest, text.replace(&old, &named)).unwrap();
        std::fs::rename(&config, tree.join(&named)).unwrap();
        let archive = self.file(&format!("{name}.tar"));
        drop(stdout_of(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&tree).arg(".")));
        format!("archive:{}", archive.display())
    }

    /// What blubr-diff says of an image against the honest statement.
    fn compared(&self, image: &str) -> String {
        let honest = self.attest(&format!("docker:{}", self.tag()), &self.file("filtered.ndjson"));
        let mut diff = bins::command("blubr-diff");
        diff.env("DOCKER_HOST", &Engine::shared().host);
        let answer = run(diff.args(["--image", image]).arg(honest));
        assert_eq!(answer.status.code(), Some(1), "{}", describe(&diff, &answer));
        String::from_utf8(answer.stdout).unwrap()
    }
}

fn unexplained(statement: &Path) -> String {
    jq(
        "[.predicate.blubr_build.unexplained[] | \"\\(.what) \\(.path)\"] | unique | join(\", \")",
        statement,
    )
}

fn check(id: &str, statement: &Path) -> (String, String) {
    let of = format!(".predicate.blubr_build.checks[] | select(.id == \"{id}\")");
    (jq(&format!("{of} | .result"), statement), jq(&format!("{of} | .evidence[0]"), statement))
}

/// The diff_id of a layer in a statement.
fn layer(index: usize, statement: &Path) -> String {
    jq(&format!(".predicate.blubr_build.image.diff_ids[{index}]"), statement)
}

/// Of the layers that a check names: only this one.
fn names_only_layer(index: usize, statement: &Path) {
    let (result, evidence) = check("layers-recorded", statement);
    assert_eq!(result, "fail", "{evidence}");
    for other in 0..3 {
        assert_eq!(evidence.contains(&layer(other, statement)), other == index, "{evidence}");
    }
    assert_eq!(check("image-of-this-build", statement).0, "fail");
}

#[test]
fn what_was_not_changed_is_not_named() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        let image = format!("archive:{}", built.file("image.tar").display());
        let statement = built.attest(&image, &built.file("filtered.ndjson"));
        assert_eq!(unexplained(&statement), "", "{builder:?}");
        for id in ["image-explained", "image-of-this-build"] {
            let (result, evidence) = check(id, &statement);
            assert_eq!(result, "pass", "{builder:?}: {id}: {evidence}");
        }
        // The first layer is the same whenever it is built, and is stored once.
        assert_ne!(check("layers-recorded", &statement).0, "fail", "{builder:?}");
    }
}

#[test]
fn the_same_log_dockerfile_and_image_give_the_same_bytes() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        let image = format!("docker:{}", built.tag());
        let twice =
            [0, 1].map(|_| std::fs::read(built.attest(&image, &built.file("filtered.ndjson"))).unwrap());
        assert!(twice[0] == twice[1], "{builder:?}");
    }
}

#[test]
fn an_entry_that_was_appended_to_a_layer() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        let planted = built.file("planted");
        std::fs::write(&planted, "x\n").unwrap();
        let image = built.changed("appended", 1, |layer| {
            let mut tar = Command::new("tar");
            tar.arg("--append").arg("-f").arg(layer).arg("-C").arg(&built.folder).arg("planted");
            drop(stdout_of(&mut tar));
        });
        let statement = built.attest(&image, &built.file("filtered.ndjson"));
        assert_eq!(unexplained(&statement), "entry-without-event /planted", "{builder:?}");
        names_only_layer(1, &statement);
        let said = built.compared(&image);
        assert!(said.contains("/planted") && !said.contains("/m3") && !said.contains("/m4"), "{said}");
    }
}

#[test]
fn bytes_that_were_replaced_at_the_same_size_and_time() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        let image = built.changed("replaced", 1, |layer| {
            let mut bytes = std::fs::read(layer).unwrap();
            let at = bytes.windows(5).position(|bytes| bytes == b"aaaa\n").unwrap();
            bytes[at..at + 4].copy_from_slice(b"evil");
            std::fs::write(layer, bytes).unwrap();
        });
        let statement = built.attest(&image, &built.file("filtered.ndjson"));
        names_only_layer(1, &statement);
        let said = built.compared(&image);
        assert!(said.contains("/m3") && !said.contains("/other3") && !said.contains("/m4"), "{said}");
    }
}

#[test]
fn a_layer_that_was_replaced() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        std::fs::create_dir(built.file("instead")).unwrap();
        std::fs::write(built.file("instead").join("elsewhere"), "x\n").unwrap();
        let image = built.changed("exchanged", 2, |layer| {
            let mut tar = Command::new("tar");
            tar.arg("-cf").arg(layer).arg("-C").arg(built.file("instead")).arg("elsewhere");
            drop(stdout_of(&mut tar));
        });
        let statement = built.attest(&image, &built.file("filtered.ndjson"));
        let odd = unexplained(&statement);
        assert_eq!(odd, "entry-without-event /elsewhere, write-not-in-image /m4", "{builder:?}");
        names_only_layer(2, &statement);
    }
}

#[test]
fn a_history_that_docker_commit_rewrote() {
    require!(Root, Docker);
    let engine = Engine::shared();
    for builder in BUILDERS {
        let built = Built::of(builder);
        let tag = built.tag();
        let text = "/bin/busybox sh -c echo cccc > /m4 # buildkit";
        let container = text_of(engine.docker().args(["create", &tag, text]));
        let planted = built.file("committed");
        std::fs::write(&planted, "x\n").unwrap();
        let to = format!("{container}:/committed");
        drop(stdout_of(engine.docker().arg("cp").arg(&planted).arg(&to)));
        let other = format!("{tag}-committed");
        drop(stdout_of(engine.docker().args(["commit", &container, &other])));
        drop(stdout_of(engine.docker().args(["rm", &container])));
        let log = built.file("filtered.ndjson");
        let mut attest = built.attesting(&format!("docker:{other}"), &log);
        let answer = run(&mut attest);
        assert_eq!(answer.status.code(), Some(1), "{}", describe(&attest, &answer));
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(said.contains("is not the image that this build made"), "{said}");
        let said = built.compared(&format!("docker:{other}"));
        assert!(said.contains("/committed") && !said.contains("/m3"), "{said}");
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

/// How often a build is recorded whose record lost events on a busy host.
const TRIES: usize = 3;

/// A recorded build beside whom someone plants a file in the upper directory of its RUN, attested.
fn planted(builder: Builder, context: &Context, folder: &Path) -> PathBuf {
    let engine = Engine::shared();
    let script = "while :; do
            grep \"$1\" /proc/self/mounts | sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' | while read -r upper; do
                [ ! -e \"$upper/m3\" ] || [ -e \"$upper/planted\" ] || echo x > \"$upper/planted\"
            done
            sleep 0.05
        done";
    let mut intruder = Command::new("sh");
    intruder.arg("-c").arg(script).arg("sh").arg(&engine.state).stderr(Stdio::null());
    let intruder = Beside(intruder.spawn().unwrap());
    let log = folder.join("build.ndjson");
    let tag = "blubr-tamper-foreign";
    drop(record(&log, &engine.build_command(builder, context.path(), tag, &[])));
    drop(intruder);
    let filtered = folder.join("filtered.ndjson");
    drop(stdout_of(bins::command("blubr-filter").arg("--build").arg("-o").arg(&filtered).arg(&log)));
    let statement = folder.join("statement.json");
    let mut attest = bins::command("blubr-attest");
    attest.env("DOCKER_HOST", &engine.host).arg("--dockerfile").arg(context.file("Dockerfile"));
    attest.arg("--image").arg(format!("docker:{tag}")).arg("-o").arg(&statement).arg(&filtered);
    drop(stdout_of(&mut attest));
    statement
}

#[test]
fn a_write_into_a_step_s_directory_from_outside() {
    require!(Root, Docker);
    let context = Context::of_dockerfile(
        "FROM scratch\nCOPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo x > /m3; /bin/busybox sleep 3\"]\n",
    );
    for builder in BUILDERS {
        let folder = tempfile::tempdir().unwrap();
        let mut statement = planted(builder, &context, folder.path());
        for _ in 1..TRIES {
            if check("recording-complete", &statement).0 == "pass" {
                break;
            }
            statement = planted(builder, &context, folder.path());
        }
        assert_eq!(unexplained(&statement), "foreign-write /planted", "{builder:?}");
        assert_eq!(check("no-foreign-access", &statement).0, "fail", "{builder:?}");
    }
}

#[test]
fn an_event_that_was_cut_from_the_log() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        let whole = std::fs::read_to_string(built.file("filtered.ndjson")).unwrap();
        let cut = built.file("cut.ndjson");
        std::fs::write(&cut, without(&whole, "\"path\":\"/m4\"")).unwrap();
        // The chain of what was forged holds, and the file has lost its explanation.
        let statement = built.attest(&format!("docker:{}", built.tag()), &cut);
        assert_eq!(unexplained(&statement), "entry-without-event /m4", "{builder:?}");
        // Without its chain set right it is no log any more.
        let lines: Vec<&str> = whole.lines().filter(|line| !line.contains("\"path\":\"/m4\"")).collect();
        std::fs::write(&cut, lines.join("\n") + "\n").unwrap();
        let mut attest = built.attesting(&format!("docker:{}", built.tag()), &cut);
        let answer = run(&mut attest);
        assert_eq!(answer.status.code(), Some(2), "{}", describe(&attest, &answer));
    }
}

/// A log without the events that hold the text, its counts and chain set right as a forger would.
fn without(log: &str, text: &str) -> String {
    let mut kept = String::new();
    let mut gone: Vec<String> = Vec::new();
    for line in log.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        if line.contains(text) {
            gone.push(value["type"].as_str().unwrap().to_owned());
            continue;
        }
        let mut line = line.to_owned();
        let kind = value["type"].as_str().unwrap_or_default();
        if kind == "checkpoint" {
            let count = value["events"].as_u64().unwrap();
            let now = count - u64::try_from(gone.len()).unwrap();
            line = line.replace(&format!("\"events\":{count}"), &format!("\"events\":{now}"));
        }
        if kind == "trailer" {
            for kind in &gone {
                let key = format!("\"{kind}\":");
                let rest = line.split(&key).nth(1).unwrap();
                let count: u64 = rest.split([',', '}']).next().unwrap().parse().unwrap();
                line = line.replace(&format!("{key}{count}"), &format!("{key}{}", count - 1));
            }
            let passed = value["sources"][0]["passed"].as_u64().unwrap();
            let now = passed - u64::try_from(gone.len()).unwrap();
            line = line.replace(&format!("\"passed\":{passed}"), &format!("\"passed\":{now}"));
        }
        if matches!(kind, "checkpoint" | "trailer") {
            let sum: String =
                Sha256::digest(kept.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            let old = value["sha256"].as_str().unwrap();
            line = line.replace(&format!("\"sha256\":\"{old}\""), &format!("\"sha256\":\"{sum}\""));
        }
        kept.push_str(&line);
        kept.push('\n');
    }
    assert!(!gone.is_empty(), "nothing to cut");
    kept
}

/// A layer's tar with one member changed by Python's tarfile, as the given expression says.
fn with_member(layer: &Path, name: &str, change: &str) {
    let script = "import sys,tarfile,io
src,name,change=sys.argv[1:4]
old=tarfile.open(src); new=tarfile.open(src+'.new','w',format=tarfile.PAX_FORMAT)
found=False
for m in old.getmembers():
    data=old.extractfile(m).read() if m.isreg() else None
    if m.name.lstrip('./')==name:
        found=True
        scope={'m':m,'data':data}
        exec(change,scope)
        data=scope['data']
    if data is not None: m.size=len(data)
    new.addfile(m,io.BytesIO(data) if data is not None else None)
new.close()
assert found, name
import os; os.rename(src+'.new',src)";
    let mut python = Command::new("python3");
    drop(stdout_of(python.arg("-c").arg(script).arg(layer).args([name, change])));
}

/// Each is the attribute that is named, the name in the layer, and how it was changed there.
const ATTRIBUTES: [(&str, &str, &str, &str); 6] = [
    ("mode", "m3", "m.mode=0o4755", "mode 4755 for 0644"),
    ("owner", "m3", "m.uid=1000", "owner 1000 for 0"),
    ("size", "m3", "data=b'aaaa\\nmore\\n'", "size 10 for 5"),
    (
        "kind",
        "m3",
        "m.type=tarfile.SYMTYPE; m.linkname='/etc/shadow'; m.size=0; data=None",
        "kind symlink for file",
    ),
    (
        "xattr",
        "other3",
        "m.pax_headers={'SCHILY.xattr.security.capability':'x'}",
        "xattr security.capability x for ",
    ),
    ("target", "soft3", "m.linkname='/elsewhere'", "target /elsewhere for m3"),
];

#[test]
fn an_attribute_that_no_event_gave_is_named() {
    require!(Root, Docker);
    for builder in BUILDERS {
        let built = Built::of(builder);
        for (what, member, change, wanted) in ATTRIBUTES {
            let image = built.changed(&format!("attribute-{what}"), 1, |layer| {
                with_member(layer, member, &format!("import tarfile; {change}"));
            });
            let statement = built.attest(&image, &built.file("filtered.ndjson"));
            let check =
                ".predicate.blubr_build.checks[] | select(.id == \"attributes-explained\") | .result";
            assert_eq!(jq(check, &statement), "fail", "{builder:?} {what}");
            let named = jq(
                ".predicate.blubr_build.unexplained[] | \"\\(.what) \\(.path) \\(.attribute) \\(.image) for \\((.recorded // []) | join(\",\"))\"",
                &statement,
            );
            assert_eq!(
                named,
                format!("attribute-without-event /{member} {wanted}"),
                "{builder:?} {what}"
            );
        }
    }
}
