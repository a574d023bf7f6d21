//! Cases of comparing: one statement, changed in one place at a time.

use blubr_attestation::Statement;
use blubr_image::{Digest, Image};
use serde_json::{Value, json};

use super::*;
use crate::reverse;

type Change = fn(&mut Value);

fn id(n: u8) -> String {
    format!("sha256:{:064x}", n)
}

fn step(line: u32, text: &str, argv: &[&[&str]]) -> Value {
    let processes: Vec<Value> = argv
        .iter()
        .enumerate()
        .map(|(i, argv)| json!({"id": format!("{i}:{line}"), "exe": argv[0], "argv": argv, "time": "t", "seq": i}))
        .collect();
    let keyword = text.split(' ').next().unwrap();
    let status = if keyword == "RUN" { "observed" } else { "daemon" };
    json!({"id": format!("0.{line}"), "stage": 0, "lines": [line, line], "origin": "Dockerfile", "instruction": keyword,
        "text": text, "status": status, "processes": processes})
}

fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": id(9)[7..]}}],
        "predicateType": "https://in-toto.io/attestation/runtime-trace/v0.1",
        "predicate": {
            "monitor": {"type": "x"},
            "monitoredProcess": {"hostID": "h", "type": "t", "event": "e"},
            "monitorLog": {"process": [], "fileAccess": [], "network": [
                {"ip": "192.0.2.1", "hostname": "mirror.example", "port": 80, "protocol": "tcp", "direction": "out",
                    "invokingProcess": {"id": "1:1"}, "ret": 0, "count": 1, "step": "0.3"}]},
            "metadata": {},
            "blubr_build": {
                "build": {"number": 1, "engine": "buildkit", "client": "1:1", "argv": ["docker", "build"], "exit": 0,
                    "command_exit": 0, "began": null, "ended": null},
                "dockerfile": {"path": "Dockerfile", "sha256": "aa", "lines": 4, "taken": "unchanged-since-open"},
                "context": null,
                "image": {"reference": "docker:app", "manifest_digest": null, "config_digest": id(9), "diff_ids": [id(1), id(2)],
                    "tags": ["app"], "platform": "linux/amd64", "created": "2026-01-01T00:00:00Z", "base": ["base:1"]},
                "log": {"schema": "blubr.log/1", "sha256": "bb", "events": 5, "first": null, "last": null, "complete": true},
                "completeness": {"recording": "complete", "lost": 0, "from_event": 0, "to_event": 5, "hooks_missing": [],
                    "steps": {"observed": 1, "cached": 0, "daemon": 2, "not_observed": 0, "candidates": 0}},
                "steps": [step(1, "FROM base:1", &[]), step(2, "COPY a /a", &[]),
                    step(3, "RUN make x", &[&["/bin/sh", "-c", "make x"], &["/bin/cc", "-o", "/tmp/ccAb12Cd.o"]]),
                    step(4, "CMD [\"x\"]", &[])],
                "candidates": [],
                "unattributed": {"processes": []},
                "files": [
                    {"path": "/a", "kind": "file", "sha256": "a1", "size": 1, "layer": id(2), "step": "0.2"},
                    {"path": "/x", "kind": "file", "sha256": "b1", "size": 2, "layer": id(2), "step": "0.3"}],
                "inherited": [id(1)],
                "unexplained": [],
                "checks": [{"id": "no-outside-network", "result": "fail", "scope": "build", "evidence": ["x"]}]
            }
        }
    })
}

/// Compares the statement with itself after a change; each difference as `subject severity what`.
fn with(strict: bool, change: impl FnOnce(&mut Value)) -> (Vec<String>, Rules) {
    let mut changed = statement();
    change(&mut changed["predicate"]);
    let read = |v: &Value| serde_json::from_value::<Statement>(v.clone()).unwrap();
    let mut rules = Rules::new(strict);
    let found = compare(&read(&statement()), &read(&changed), &mut rules, &[]);
    let text = |d: &Difference| {
        format!("{} {} {}", crate::output::report::subject(d.subject), d.severity.word(), d.what)
    };
    (found.differences.iter().map(text).collect(), rules)
}

#[test]
fn the_same_is_the_same() {
    let (differences, _) = with(true, |_| {});
    assert_eq!(differences, [""; 0]);
}

#[test]
fn each_subject_sees_its_own_change() {
    let cases: [(&str, Change); 15] = [
        ("dockerfile change the instructions differ", |p| {
            p["blubr_build"]["dockerfile"]["sha256"] = "ab".into();
            p["blubr_build"]["steps"][3]["text"] = "CMD [\"y\"]".into();
        }),
        ("dockerfile alert the same Dockerfile, and other instructions in the record", |p| {
            p["blubr_build"]["steps"][3]["text"] = "CMD [\"y\"]".into();
        }),
        (
            "dockerfile info the file differs, its instructions don't: comments, empty lines or a directive",
            |p| {
                p["blubr_build"]["dockerfile"]["sha256"] = "ab".into();
            },
        ),
        ("base warning the same base image has other layers", |p| {
            p["blubr_build"]["inherited"] = json!([id(7)])
        }),
        ("steps warning 0.3 RUN: the same instruction ran other commands", |p| {
            p["blubr_build"]["steps"][2]["processes"][1]["argv"][1] = "-O2".into();
        }),
        ("steps warning 0.3 RUN: its status", |p| {
            p["blubr_build"]["steps"][2]["status"] = "not-observed".into()
        }),
        ("processes warning programs that belong to no known step", |p| {
            p["blubr_build"]["unattributed"]["processes"] =
                json!([{"id": "5:5", "exe": "/x", "argv": ["x"]}]);
        }),
        ("network warning new connections or look-ups: 1", |p| {
            let mut other = p["monitorLog"]["network"][0].clone();
            other["hostname"] = "evil.example".into();
            p["monitorLog"]["network"].as_array_mut().unwrap().push(other);
        }),
        ("network change connections or look-ups that are gone: 1", |p| {
            p["monitorLog"]["network"] = json!([])
        }),
        ("files warning files with another content although their step is the same: 1", |p| {
            p["blubr_build"]["files"][1]["sha256"] = "b2".into();
        }),
        ("files change files that are new: 1", |p| {
            let mut hidden = p["blubr_build"]["files"][1].clone();
            hidden["hidden"] = true.into();
            p["blubr_build"]["files"].as_array_mut().unwrap().push(hidden);
        }),
        ("files change files that are gone: 1", |p| {
            p["blubr_build"]["files"].as_array_mut().unwrap().truncate(1)
        }),
        ("image change the platform", |p| p["blubr_build"]["image"]["platform"] = "linux/arm64".into()),
        ("completeness warning the recording", |p| {
            p["blubr_build"]["completeness"]["recording"] = "lossy".into()
        }),
        ("completeness warning check no-outside-network of build", |p| {
            p["blubr_build"]["checks"][0]["result"] = "unknown".into()
        }),
    ];
    for (want, change) in cases {
        let (differences, _) = with(false, change);
        assert_eq!(differences, [want]);
    }
}

#[test]
fn what_differs_between_any_two_runs_is_taken_away_and_said() {
    let change = |p: &mut Value| {
        let build = &mut p["blubr_build"];
        build["steps"][2]["processes"][1]["argv"][2] = "/tmp/ccZz99Yx.o".into();
        build["steps"][2]["processes"][1]["id"] = "77:88".into();
        build["image"]["diff_ids"][1] = id(5).into();
        build["image"]["config_digest"] = id(6).into();
        build["files"][0]["layer"] = id(5).into();
        build["files"][1]["layer"] = id(5).into();
        p["monitorLog"]["network"][0]["ip"] = "192.0.2.99".into();
    };
    let (differences, rules) = with(false, change);
    assert_eq!(differences, [""; 0]);
    let names: Vec<_> = rules.applied().map(|(rule, _)| rule.name).collect();
    assert_eq!(names, ["addresses", "layer-times", "temporary-names"]);
    let (differences, _) = with(true, change);
    assert_eq!(differences.len(), 5, "{differences:?}");
}

#[test]
fn a_layer_of_other_files_is_no_matter_of_times() {
    let (differences, _) = with(false, |p| {
        let build = &mut p["blubr_build"];
        build["image"]["diff_ids"][1] = id(5).into();
        build["files"][0]["layer"] = id(5).into();
        build["files"][1]["layer"] = id(5).into();
        build["files"][1]["sha256"] = "b2".into();
    });
    assert!(differences.iter().any(|d| d == "image change 1 of 2 layers differ"), "{differences:?}");
    assert!(
        differences.iter().any(|d| d.starts_with("image alert the same config's digest")),
        "{differences:?}"
    );
}

#[test]
fn what_was_not_looked_at_is_not_the_same() {
    let mut none = statement();
    none["predicate"]["blubr_build"]["image"] = Value::Null;
    none["predicate"]["blubr_build"]["files"] = Value::Null;
    let none: Statement = serde_json::from_value(none).unwrap();
    let found = compare(&none, &none, &mut Rules::new(false), &[]);
    assert!(found.differences.is_empty());
    assert_eq!(found.not_compared.len(), 3, "{:?}", found.not_compared);
    assert!(
        !found.same.iter().any(|(s, _)| matches!(s, Subject::Image | Subject::Base | Subject::Files))
    );
}

fn image(history: &[(&str, bool)], config: Value) -> Image {
    let history: Vec<Value> =
        history.iter().map(|(by, empty)| json!({"created_by": by, "comment": "buildkit.dockerfile.v0", "empty_layer": empty})).collect();
    let text = json!({"history": history, "config": config, "rootfs": {"type": "layers", "diff_ids": [id(1), id(2), id(3)]}}).to_string();
    Image::new(None, text.into_bytes(), Vec::new()).unwrap()
}

/// The history's differences, for steps of the same instructions as [`GOOD`].
fn history_of(steps: &[&str], history: &[(&str, bool)]) -> Vec<(String, Option<[u32; 2]>)> {
    let mut record = statement();
    let steps: Vec<Value> = steps.iter().zip(1..).map(|(text, line)| step(line, text, &[])).collect();
    record["predicate"]["blubr_build"]["steps"] = steps.into();
    let record: Statement = serde_json::from_value(record).unwrap();
    let image = image(history, json!({}));
    let reversed = reverse::reverse(&image.config, None);
    let recorded = History::new(&record.predicate.blubr_build, None).unwrap();
    let side = ImageSide { image: &image, reversed: &reversed, files: None };
    let found = against_image(&record, side, Ok(&recorded), &[Subject::History]);
    assert_eq!(found.not_compared, [""; 0]);
    found
        .differences
        .into_iter()
        .map(|d| (format!("{} {}", d.severity.word(), d.what), d.lines))
        .collect()
}

const STEPS: [&str; 6] = [
    "FROM base:1",
    "ARG V=1",
    "ENV D=/d B=\"a b\"",
    "COPY a.txt $D/",
    "RUN make \\\n    $V && x",
    "CMD run $D",
];
const GOOD: [(&str, bool); 8] = [
    ("ADD base.tar / # buildkit", false),
    ("CMD [\"sh\"]", true),
    ("ARG V=2", true),
    ("ENV D=/d B=a b", true),
    ("COPY a.txt /d/ # buildkit", false),
    ("RUN |1 V=2 /bin/sh -c make     $V && x # buildkit", false),
    ("CMD [\"/bin/sh\" \"-c\" \"run $D\"]", true),
    ("", true),
];

#[test]
fn a_history_that_fits_has_no_difference() {
    assert_eq!(history_of(&STEPS, &GOOD[..7]), []);
}

#[test]
fn changed_missing_and_extra_lines_are_named() {
    let mut evil = GOOD[..7].to_vec();
    evil[5].0 = "RUN |1 V=2 /bin/sh -c make     $V && x; curl evil # buildkit";
    assert_eq!(
        history_of(&STEPS, &evil),
        [(
            "alert lines 5-5: RUN".replace("lines 5-5", "line 5")
                + " is not what the image's history says (line 6)",
            Some([5, 5])
        )]
    );
    let mut extra = GOOD[..7].to_vec();
    extra.push(("USER root", true));
    assert_eq!(
        history_of(&STEPS, &extra),
        [("alert history line 8 has no instruction in the record".to_owned(), None)]
    );
    let missing: Vec<_> = GOOD[..6].to_vec();
    assert_eq!(
        history_of(&STEPS, &missing),
        [("alert line 6: CMD has no line in the image's history".to_owned(), Some([6, 6]))]
    );
    let mut unreadable = GOOD[..7].to_vec();
    unreadable.push(("", true));
    assert_eq!(
        history_of(&STEPS, &unreadable),
        [("alert history line 8 is no instruction".to_owned(), None)]
    );
}

#[test]
fn the_stages_that_an_image_is_made_of() {
    let steps = [
        "FROM x AS one",
        "RUN unused",
        "FROM base:1 AS two",
        "ENV D=/d B=\"a b\"",
        "FROM two",
        "COPY --from=one /a $D/",
        "RUN make",
        "CMD run $D",
    ];
    let history = [
        GOOD[0],
        GOOD[1],
        ("ENV D=/d B=a b", true),
        ("COPY /a /d/ # buildkit", false),
        ("RUN /bin/sh -c make # buildkit", false),
        ("CMD [\"/bin/sh\" \"-c\" \"run $D\"]", true),
    ];
    assert_eq!(history_of(&steps, &history), []);
    // Built with --target two.
    let found = history_of(&steps, &history[..3]);
    assert_eq!(found, [("warning the image is of stage two, not of the last one".to_owned(), None)]);
}

#[test]
fn another_image_is_an_alert() {
    let record: Statement = serde_json::from_value(statement()).unwrap();
    let mut other = image(&GOOD[..7], json!({}));
    other.config_digest = Digest::parse(&id(8)).unwrap();
    let reversed = reverse::reverse(&other.config, None);
    let side = ImageSide { image: &other, reversed: &reversed, files: None };
    let found = against_image(&record, side, Err("not read"), &[Subject::Image]);
    let what: Vec<_> = found.differences.iter().map(|d| (d.severity, d.what.as_str())).collect();
    assert_eq!(
        what,
        [
            (Severity::Alert, "the record's subject is another image"),
            (Severity::Alert, "the config's digest"),
            (Severity::Alert, "the layers")
        ]
    );
}
