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
                    {"path": "/x", "kind": "file", "sha256": "b1", "size": 2, "mode": "0755", "layer": id(2), "step": "0.3"}],
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
    let read = |v: &Value| Record::from(serde_json::from_value::<Statement>(v.clone()).unwrap());
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
fn the_layer_of_a_step_from_the_cache_is_no_base_s() {
    let cached = |p: &mut Value, diff_id: Value| {
        p["blubr_build"]["inherited"] = json!([id(1), id(2)]);
        p["blubr_build"]["steps"][1]["status"] = "cached".into();
        p["blubr_build"]["steps"][1]["diff_id"] = diff_id;
    };
    let of_base = |differences: Vec<String>| differences.iter().any(|one| one.starts_with("base "));
    assert!(!of_base(with(false, |p| cached(p, id(2).into())).0));
    assert!(of_base(with(false, |p| cached(p, id(3).into())).0), "another layer is one step's");
    assert!(!of_base(with(false, |p| cached(p, Value::Null)).0), "it may be the step's");
}

#[test]
fn each_subject_sees_its_own_change() {
    let cases: [(&str, Change); 15] = [
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
        (
            "files warning files with another content, mode or owner although their step is the same: 1",
            |p| {
                p["blubr_build"]["files"][1]["sha256"] = "b2".into();
            },
        ),
        (
            "files warning files with another content, mode or owner although their step is the same: 1",
            |p| {
                p["blubr_build"]["files"][1]["mode"] = "4755".into();
            },
        ),
        (
            "files warning files with another content, mode or owner although their step is the same: 1",
            |p| {
                p["blubr_build"]["files"][1]["uid"] = 7.into();
            },
        ),
        ("files change files that are new: 1", |p| {
            let mut hidden = p["blubr_build"]["files"][1].clone();
            // A file of the same name below it doesn't make it the same.
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

/// Compares the statement after one change with itself after another.
fn both(change: impl FnOnce(&mut Value), other: impl FnOnce(&mut Value)) -> Found {
    let (mut a, mut b) = (statement(), statement());
    change(&mut a["predicate"]);
    other(&mut b["predicate"]);
    let read = |v: Value| Record::from(serde_json::from_value::<Statement>(v).unwrap());
    compare(&read(a), &read(b), &mut Rules::new(false), &[])
}

fn says_same(found: &Found, subject: Subject) -> bool {
    found.same.iter().any(|(s, _)| *s == subject)
}

#[test]
fn a_step_of_another_text_is_a_changed_step() {
    for (at, text, instruction) in [(2, "RUN make y", "RUN"), (3, "CMD [\"y\"]", "CMD")] {
        let (differences, _) = with(false, |p| {
            p["blubr_build"]["steps"][at]["text"] = text.into();
            p["blubr_build"]["dockerfile"]["sha256"] = "ab".into();
        });
        let changed = format!("steps change 0.{}: the instruction was changed", at + 1);
        let changed = changed.replacen(':', &format!(" {instruction}:"), 1);
        assert!(differences.contains(&changed), "{differences:?}");
        assert!(differences.contains(&"dockerfile change the instructions differ".to_owned()));
    }
    // The commands may be the same ones all the same: the step isn't.
    let found = both(|_| {}, |p| p["blubr_build"]["steps"][2]["text"] = "RUN make  x".into());
    assert!(!says_same(&found, Subject::Steps));
    let alert = "the same Dockerfile, and other instructions in the record";
    assert!(found.differences.iter().any(|d| d.severity == Severity::Alert && d.what == alert));
}

#[test]
fn a_step_that_one_record_lacks_is_a_difference() {
    let drop_run = |p: &mut Value| drop(p["blubr_build"]["steps"].as_array_mut().unwrap().remove(2));
    let what = |found: &Found| -> Vec<String> {
        let steps = found.differences.iter().filter(|d| d.subject == Subject::Steps);
        steps.map(|d| d.what.clone()).collect()
    };
    assert_eq!(what(&both(|_| {}, drop_run)), ["0.3 RUN: is gone"]);
    assert_eq!(what(&both(drop_run, |_| {})), ["0.3 RUN: is new"]);
    let none = |p: &mut Value| p["blubr_build"]["steps"] = json!([]);
    for found in [both(|_| {}, none), both(none, |_| {}), both(none, none)] {
        assert!(!says_same(&found, Subject::Steps), "{found:?}");
        assert!(found.not_compared.iter().any(|n| n.starts_with("the steps: ")), "{found:?}");
    }
}

#[test]
fn what_a_step_did_that_was_not_seen_is_not_compared() {
    let unseen = |status: &'static str| {
        move |p: &mut Value| {
            p["blubr_build"]["steps"][2]["status"] = status.into();
            p["blubr_build"]["steps"][2]["processes"] = json!([]);
            p["monitorLog"]["network"] = json!([]);
        }
    };
    for status in ["cached", "not-observed", "candidates"] {
        let found = both(unseen(status), unseen(status));
        assert!(found.differences.is_empty(), "{found:?}");
        for subject in [Subject::Steps, Subject::Network] {
            assert!(!says_same(&found, subject), "{status} {subject:?}");
        }
        let wanted = format!("the commands of 0.3 RUN: {status} in both records");
        assert!(found.not_compared.contains(&wanted), "{:?}", found.not_compared);
        // Seen by one: its hosts are neither gone nor new.
        for found in [both(|_| {}, unseen(status)), both(unseen(status), |_| {})] {
            assert!(found.differences.iter().all(|d| d.what.ends_with("its status")), "{found:?}");
            assert!(found.not_compared.iter().any(|n| n.starts_with("the hosts of 0.3 RUN: ")));
            assert!(!says_same(&found, Subject::Steps) && !says_same(&found, Subject::Network));
        }
    }
    // A step that runs nothing has no commands that could be missed.
    let copy = |p: &mut Value| p["blubr_build"]["steps"][1]["status"] = "cached".into();
    assert!(says_same(&both(copy, copy), Subject::Steps));
}

#[test]
fn what_the_records_do_not_hold_is_not_compared() {
    let cases: [(&str, Change, Subject); 8] = [
        (
            "what 0.3 RUN did beyond the record's lists, which were cut",
            |p| p["blubr_build"]["steps"][2]["counts"] = json!({"left_out": 3}),
            Subject::Steps,
        ),
        (
            "0.3 RUN: arguments beyond the recorder's limit, of programs: 1",
            |p| p["blubr_build"]["steps"][2]["processes"][0]["argv_truncated"] = true.into(),
            Subject::Steps,
        ),
        (
            "0.3 RUN: arguments that were taken out as secrets, of programs: 1",
            |p| p["blubr_build"]["steps"][2]["processes"][0]["argv"][2] = "x [redacted:token]".into(),
            Subject::Steps,
        ),
        (
            "programs of no known step beyond the record's lists, which were cut",
            |p| p["blubr_build"]["unattributed"]["counts"] = json!({"left_out": 1}),
            Subject::Processes,
        ),
        (
            "what the older recording lost: 2 events",
            |p| {
                p["blubr_build"]["completeness"]["recording"] = "lossy".into();
                p["blubr_build"]["completeness"]["lost"] = 2.into();
            },
            Subject::Image,
        ),
        (
            "the base images' layers: neither record tells them from the build's own",
            |p| p["blubr_build"]["inherited"] = json!([]),
            Subject::Base,
        ),
        (
            "the Dockerfile's bytes: neither record was made with the file",
            |p| p["blubr_build"]["dockerfile"] = Value::Null,
            Subject::Dockerfile,
        ),
        (
            "the names that were written of 0.2 COPY, 0.3 RUN: not-observed in both records",
            |p| {
                p["blubr_build"]["files"] = Value::Null;
                p["blubr_build"]["steps"][1]["status"] = "not-observed".into();
                p["blubr_build"]["steps"][2]["status"] = "not-observed".into();
            },
            Subject::Files,
        ),
    ];
    for (wanted, change, subject) in cases {
        let found = both(change, change);
        assert!(found.differences.is_empty(), "{found:?}");
        assert!(found.not_compared.contains(&wanted.to_owned()), "{wanted}: {:?}", found.not_compared);
        // What was lost concerns the record's own subjects, the image stays what it is.
        assert_eq!(says_same(&found, subject), subject == Subject::Image, "{subject:?}");
    }
}

#[test]
fn equal_numbers_of_other_things_are_not_the_same() {
    let unexplained = |path: &'static str| {
        move |p: &mut Value| {
            p["blubr_build"]["unexplained"] =
                json!([{"path": path, "what": "entry-without-event", "layer": id(2)}]);
        }
    };
    let found = both(unexplained("/a"), unexplained("/b"));
    assert!(
        found
            .differences
            .iter()
            .any(|d| d.what == "what the record doesn't explain" && d.detail == ["- /a", "+ /b"])
    );
    // Bytes that are not UTF-8 all look the same as text.
    let argv = |base64: &'static str| {
        move |p: &mut Value| {
            let process = &mut p["blubr_build"]["steps"][2]["processes"][1];
            process["argv"][2] = "\u{fffd}".into();
            process["argv_b64"] = json!([base64]);
        }
    };
    let found = both(argv("/w=="), argv("/g=="));
    assert!(found.differences.iter().any(|d| d.what.ends_with("ran other commands")), "{found:?}");
    // Two names that a rule makes one, of which one has another content.
    let temporary = |first: &'static str| {
        move |p: &mut Value| {
            let files = p["blubr_build"]["files"].as_array_mut().unwrap();
            for (name, sum) in [("/tmp/tmp.Qw3rTy12zX", first), ("/tmp/tmp.pL0oKi98mN", "zz")] {
                files.push(
                    json!({"path": name, "kind": "file", "sha256": sum, "layer": id(2), "step": "0.3"}),
                );
            }
        }
    };
    let found = both(temporary("c1"), temporary("c2"));
    assert!(
        found
            .differences
            .iter()
            .any(|d| d.what.starts_with("files with another content, mode or owner"))
    );
}

#[test]
fn a_secret_that_was_taken_out_may_be_what_differs() {
    let secret = |sum: &'static str| {
        move |p: &mut Value| {
            p["blubr_build"]["steps"][2]["text"] = "RUN make [redacted:token]".into();
            p["blubr_build"]["dockerfile"]["sha256"] = sum.into();
        }
    };
    let found = both(secret("aa"), secret("bb"));
    let said: Vec<_> = found.differences.iter().map(|d| (d.severity, d.what.as_str())).collect();
    assert!(matches!(said[..], [(Severity::Change, what)] if what.contains("taken out")), "{said:?}");
}

#[test]
fn what_was_not_looked_at_is_not_the_same() {
    let mut none = statement();
    none["predicate"]["blubr_build"]["image"] = Value::Null;
    none["predicate"]["blubr_build"]["files"] = Value::Null;
    let none = Record::from(serde_json::from_value::<Statement>(none).unwrap());
    let found = compare(&none, &none, &mut Rules::new(false), &[]);
    assert!(found.differences.is_empty());
    assert_eq!(found.not_compared.len(), 3, "{:?}", found.not_compared);
    assert!(
        !found.same.iter().any(|(s, _)| matches!(s, Subject::Image | Subject::Base | Subject::Files))
    );
}

fn image(history: &[(&str, bool)], config: Value) -> Image {
    let comment = |by: &str| if by.starts_with(['/', '|']) { "" } else { "buildkit.dockerfile.v0" };
    let line = |(by, empty): &(&str, bool)| json!({"created_by": by, "comment": comment(by), "empty_layer": empty});
    let history: Vec<Value> = history.iter().map(line).collect();
    let text = json!({"history": history, "config": config, "rootfs": {"type": "layers", "diff_ids": [id(1), id(2), id(3)]}}).to_string();
    Image::new(None, text.into_bytes(), Vec::new()).unwrap()
}

/// The history's differences, for steps of the same instructions as [`GOOD`].
fn history_of(steps: &[&str], history: &[(&str, bool)]) -> Vec<(String, Option<[u32; 2]>)> {
    history_of_command("docker build", steps, history)
}

/// The same of what a command built.
fn history_of_command(
    command: &str,
    steps: &[&str],
    history: &[(&str, bool)],
) -> Vec<(String, Option<[u32; 2]>)> {
    let steps: Vec<Value> = steps.iter().zip(1..).map(|(text, line)| step(line, text, &[])).collect();
    history_of_steps(command, steps, &[1], history)
}

/// The same of steps, where these layers were there before.
fn history_of_steps(
    command: &str,
    steps: Vec<Value>,
    inherited: &[u8],
    history: &[(&str, bool)],
) -> Vec<(String, Option<[u32; 2]>)> {
    let argv = json!({"argv": command.split(' ').collect::<Vec<_>>()});
    let found = found_in_history(argv, steps, inherited, history);
    assert_eq!(found.not_compared, [""; 0]);
    found
        .differences
        .into_iter()
        .map(|d| (format!("{} {}", d.severity.word(), d.what), d.lines))
        .collect()
}

/// What is found in a history; `asked`: keys of the record's `build`.
fn found_in_history(
    asked: Value,
    steps: Vec<Value>,
    inherited: &[u8],
    history: &[(&str, bool)],
) -> Found {
    let mut record = statement();
    let build = &mut record["predicate"]["blubr_build"];
    for (key, value) in asked.as_object().unwrap() {
        build["build"][key] = value.clone();
    }
    build["steps"] = steps.into();
    build["inherited"] = inherited.iter().map(|n| id(*n)).collect();
    let record: Statement = serde_json::from_value(record).unwrap();
    let image = image(history, json!({}));
    let reversed = reverse::reverse(&image.config, None, &[]);
    let recorded = History::new(&record.predicate.blubr_build, None).unwrap();
    let side = ImageSide { image: &image, reversed: &reversed, files: None };
    against_image(&record, side, Ok(&recorded), &[Subject::History])
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

/// An argument behind the cut may give V, or ask for another stage.
#[test]
fn of_a_command_line_that_was_cut_it_is_not_known_what_it_asked_for() {
    let steps: Vec<Value> = STEPS.iter().zip(1..).map(|(text, line)| step(line, text, &[])).collect();
    let mut other = GOOD;
    other[5].0 = "RUN |1 V=2 /bin/sh -c make     $V && y # buildkit";
    let found = |is_cut: bool| {
        let asked = json!({"argv": ["docker", "build"], "argv_truncated": is_cut});
        let found = found_in_history(asked, steps.clone(), &[1], &other[..7]);
        let severity: Vec<_> = found.differences.iter().map(|d| d.severity).collect();
        (severity, found.not_compared.len())
    };
    assert_eq!(found(false), (vec![Severity::Alert], 0));
    assert_eq!(found(true), (vec![Severity::Warning], 1));
}

#[test]
fn a_path_is_made_longer() {
    let steps = ["FROM base:1", "ENV PATH=/venv/bin:$PATH", "ENV PATH=$PATH:/last"];
    let default = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let said = |path: &str| {
        let lines = [format!("ENV PATH=/venv/bin:{path}"), format!("ENV PATH=/venv/bin:{path}:/last")];
        let mut history = vec![("ADD base.tar / # buildkit", false)];
        history.extend(lines.iter().map(|line| (line.as_str(), true)));
        history_of(&steps, &history).len()
    };
    assert_eq!(said(default), 0);
    assert_eq!(said("/evil"), 2);
    let own = [
        ("ADD base.tar / # buildkit", false),
        ("ENV PATH=/own", true),
        ("ENV PATH=/venv/bin:/own", true),
        ("ENV PATH=/venv/bin:/own:/last", true),
    ];
    assert_eq!(history_of(&steps, &own), []);
}

#[test]
fn a_build_argument_of_the_command_is_known_where_no_line_tells_it() {
    let steps = ["FROM base:1", "ARG V=1", "ENV V=$V"];
    // As the classic builder writes it, which leaves V out of RUN's arguments too.
    let history = [
        ("ADD base.tar / # buildkit", false),
        ("/bin/sh -c #(nop)  ARG V=1", true),
        ("/bin/sh -c #(nop)  ENV V=2", true),
    ];
    let of = |command| history_of_command(command, &steps, &history);
    assert_eq!(of("docker build --build-arg V=2 ."), []);
    assert_eq!(of("docker build --build-arg V=3 .").len(), 1);
    assert_eq!(of("docker build --build-arg V .").len(), 1);
}

#[test]
fn what_came_from_the_cache_is_no_base() {
    let history = [
        ("ADD base.tar / # buildkit", false),
        ("RUN /bin/sh -c a # buildkit", false),
        ("RUN /bin/sh -c b # buildkit", false),
    ];
    let of = |texts: &[&str], made: &[(usize, u8)], inherited: &[u8]| {
        let mut steps: Vec<Value> =
            texts.iter().zip(1..).map(|(text, line)| step(line, text, &[])).collect();
        made.iter().for_each(|(at, layer)| steps[*at]["diff_id"] = id(*layer).into());
        history_of_steps("docker build", steps, inherited, &history)
    };
    let (whole, last) = (["FROM base:1", "RUN a", "RUN b"], ["FROM base:1", "RUN b"]);
    assert_eq!(of(&whole, &[(1, 2), (2, 3)], &[1, 2]), []);
    assert_eq!(of(&whole, &[(1, 2), (2, 3)], &[1, 2, 3]), []);
    assert_eq!(of(&last, &[(1, 3)], &[1, 2, 3]), []);
    // The cache's is held against the file, too.
    assert_eq!(of(&["FROM base:1", "RUN evil", "RUN b"], &[(1, 2), (2, 3)], &[1, 2]).len(), 1);
}

#[test]
fn a_shell_that_is_written_out_is_one_in_the_history() {
    let steps = [
        "FROM base:1",
        "RUN [\"/bin/sh\", \"-c\", \"echo a > /m\"]",
        "CMD [\"/bin/sh\", \"-c\", \"b\"]",
    ];
    let history = |run, cmd| {
        history_of(&steps, &[("ADD base.tar / # buildkit", false), (run, false), (cmd, true)]).len()
    };
    let (run, cmd) = ("RUN /bin/sh -c echo a > /m # buildkit", "CMD [\"/bin/sh\" \"-c\" \"b\"]");
    assert_eq!(history(run, cmd), 0);
    assert_eq!(history("RUN /bin/sh -c echo evil > /m # buildkit", cmd), 1);
    assert_eq!(history("RUN /bin/bash -c echo a > /m # buildkit", cmd), 1);
    assert_eq!(history(run, "CMD [\"/bin/sh\" \"-c\" \"b\" \"c\"]"), 1);
}

#[test]
fn buildah_drops_the_ends_of_heredocs() {
    let steps = [
        "FROM base:1",
        "RUN --network=none <<EOF\nmake\n  all\nEOF",
        "RUN cat <<A >x; cat <<B >y\na\nA\nb\nB",
    ];
    let history = |one: &str, two: &str| {
        let lines = [one, two].map(|line| format!("/bin/sh -c {line}"));
        let lines = [("/bin/sh -c #(nop) ADD base in /", false), (&lines[0], false), (&lines[1], true)];
        history_of(&steps, &lines).len()
    };
    let (one, two) = ("--network=none <<EOF\nmake\n  all", "cat <<A >x; cat <<B >y\na\nb");
    assert_eq!(history(one, two), 0);
    assert_eq!(history("--network=none <<EOF\nmake\n  evil", two), 1);
    assert_eq!(history(one, "cat <<A >x; cat <<B >y\na\nevil"), 1);
}

#[test]
fn buildah_writes_a_digest_behind_a_run_with_bind_mounts_only() {
    let steps = ["FROM base:1", "RUN --mount=type=bind,source=a,target=/a cat /a", "RUN make"];
    let digest = format!(":sha256:{:064x}", 7);
    let history = |bound: &str, other: &str| {
        let lines = [bound, other].map(|line| format!("/bin/sh -c {line}"));
        let lines = [("/bin/sh -c #(nop) ADD base in /", false), (&lines[0], false), (&lines[1], true)];
        history_of(&steps, &lines).len()
    };
    assert_eq!(history(&format!("cat /a{digest}"), "make"), 0);
    assert_eq!(history(&format!("cat /b{digest}"), "make"), 1);
    assert_eq!(history("cat /a", &format!("make{digest}")), 1, "it binds nothing");
}

#[test]
fn buildah_alone_writes_a_list_behind_a_shell() {
    let steps = ["FROM base:1", "RUN [\"/bin/x\", \"a b\"]", "RUN make"];
    let history = |list| [("/bin/sh -c base", false), (list, false), ("/bin/sh -c make", false)];
    assert_eq!(history_of(&steps, &history("/bin/sh -c [\"/bin/x\", \"a b\"]")), []);
    assert_eq!(history_of(&steps, &history("/bin/sh -c [\"/bin/evil\", \"a b\"]")).len(), 1);
}

#[test]
fn an_arg_that_the_history_does_not_name_is_one_that_it_names_nowhere() {
    let steps = ["FROM base:1", "ENV A=1", "ARG TAG", "ARG V=1", "ARG V", "RUN make"];
    let history = [
        ("/bin/sh -c #(nop) ADD file:x in /", false),
        ("/bin/sh -c #(nop) ENV A=1", true),
        ("/bin/sh -c #(nop) ARG ", true),
        ("/bin/sh -c #(nop) ARG V", true),
        ("/bin/sh -c #(nop) ARG V", true),
        ("|1 V=1 /bin/sh -c make", false),
    ];
    assert_eq!(history_of(&steps, &history), []);
    // One more, and one less.
    let fewer = ["FROM base:1", "ENV A=1", "ARG TAG", "ARG V=1", "RUN make"];
    let what = "warning the history has 1 more ARG than the record, which it does not name";
    assert_eq!(history_of(&fewer, &history), [(what.to_owned(), None)]);
    let more = ["FROM base:1", "ENV A=1", "ARG TAG", "ARG OTHER", "ARG V=1", "ARG V", "RUN make"];
    assert_eq!(history_of(&more, &history).len(), 1);
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
fn more_stages_than_can_be_laid_against_the_history_are_said_and_not_the_same() {
    let stages: Vec<String> = (0..9_000).map(|n| format!("FROM s{n} AS s{}\nRUN x{n}", n + 1)).collect();
    let steps: Vec<&str> = stages.iter().flat_map(|stage| stage.split('\n')).collect();
    let why = "its lines and the Dockerfile's stages are too many to be laid against each other";
    let said = format!("warning the image's history can't be compared with the instructions: {why}");
    assert_eq!(history_of(&steps, &GOOD[..7]), [(said, None)]);
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
    let reversed = reverse::reverse(&other.config, None, &[]);
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

#[test]
fn a_record_that_does_not_tell_modes_differs_in_none() {
    let (found, _) = with(false, |p| {
        p["blubr_build"]["files"][1].as_object_mut().unwrap().remove("mode");
    });
    assert_eq!(found, Vec::<String>::new());
}

/// A layer with these files (POSIX.1-1988, "ustar Interchange Format").
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, b"0000644\x000000000\x000000000\0");
        put(124, format!("{:011o}\x0000000000000\0        0", content.len()).as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(*content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// What a checker says of an image's entries (`path content`), against a record with these names: differences, and what is not
/// compared.
fn checked(recorded: &[&str], image: &[(&str, &[u8])]) -> (Vec<String>, Vec<String>) {
    use sha2::{Digest as _, Sha256};
    let hex =
        |content: &[u8]| Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut value = statement();
    let file = |path: &&str| json!({"path": path, "kind": "file", "sha256": hex(b"x"), "size": 1, "mode": "0644", "uid": 0, "gid": 0, "layer": id(2)});
    value["predicate"]["blubr_build"]["files"] = recorded.iter().map(file).collect();
    let record = Record::from(serde_json::from_value::<Statement>(value).unwrap());
    let layers: Vec<Digest> = [id(1), id(2)].iter().map(|id| Digest::parse(id).unwrap()).collect();
    let mut checker = Checker::new(&record, &layers).unwrap();
    assert!(checker.wants(layers[1].as_str()));
    for entry in blubr_image::layer::Entries::new(&tar(image)[..], None).unwrap() {
        checker.entry(layers[1].as_str(), &entry.unwrap());
    }
    let mut found = Found::default();
    checker.finish(&mut found);
    let details = found.differences.into_iter().flat_map(|one| one.detail).collect();
    (details, found.not_compared)
}

#[test]
fn a_redacted_name_is_not_compared_and_is_no_alert() {
    let names = "the names of 1 files, of which the record has redacted a part".to_owned();
    let redacted = "/k/[redacted:token]/f";
    let (wrong, open) = checked(&[redacted, "/a"], &[("k/s3cret/f", b"x"), ("a", b"x")]);
    assert_eq!((wrong, open), (vec![], vec![names.clone()]));
    let missing = format!("- {redacted}: the record has it, and nothing in the image may be it");
    // Another content, another place, or none.
    for (image, extra) in
        [(("k/s3cret/f", &b"y"[..]), "/k/s3cret/f"), (("j/s3cret/f", b"x"), "/j/s3cret/f")]
    {
        let (wrong, open) = checked(&[redacted], &[image]);
        let extra = format!("+ {extra}: in the image, not in the record");
        assert_eq!((wrong, open), (vec![missing.clone(), extra], vec![names.clone()]));
    }
    // One file of the image stands for one of the record.
    let (wrong, _) = checked(&[redacted], &[("k/one/f", b"x"), ("k/two/f", b"x")]);
    assert_eq!(wrong, ["+ /k/two/f: in the image, not in the record"]);
    // Who says more of its name comes first.
    let two = ["/k/[redacted:token]", "/k/[redacted:token]/f"];
    let (wrong, _) = checked(&two, &[("k/one/f", b"x"), ("k/one", b"x")]);
    assert!(wrong.is_empty(), "{wrong:?}");
}
