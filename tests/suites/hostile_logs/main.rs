//! Logs that hold one kind of event again and again: the memory that reading them takes is in proportion to the log at most, and
//! ends at the tools' bounds. What grew with the square of something has killed a tool here.
//!
//! `BLUBR_HOSTILE_EVENTS` says how many events each log has (20,000), `BLUBR_HOSTILE_KIND` which kinds (`a,b`); each run's cost
//! is printed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod beyond;
mod image;
mod kinds;
mod late;
mod log;
mod loss;
mod made;
mod network;
mod untrue;

use std::path::Path;
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::program::{describe, ends, jq, run};
use blubr_tests::supervise::process_folder;
use kinds::{KINDS, Kind};
use log::Log;

/// What a tool may take for an empty log, in kB.
const BASE_KB: u64 = 80_000;
/// What it may take for each byte of a log, in bytes.
const BYTES_PER_BYTE: u64 = 6;
/// What it may take for any log, in kB.
const MOST_KB: u64 = 500_000;
/// The longest log that is written, in bytes.
const LOG_BYTES_MAX: u64 = 1_500_000_000;

/// What a run cost.
struct Cost {
    seconds: String,
    kb: u64,
    status: Option<i32>,
    said: String,
}

/// Writes a log with so many events, and gives its length in bytes.
fn write(kind: &Kind, events: u64, to: &Path) -> u64 {
    let length = || std::fs::metadata(to).unwrap().len();
    let mut log = Log::new(to);
    log.begin();
    let mut n = 0;
    while log.events() < events && (n % 1_000 != 0 || length() < LOG_BYTES_MAX) {
        (kind.write)(&mut log, n);
        n += 1;
    }
    log.end();
    length()
}

/// Runs a tool, which gets no more than twice the memory that it may take.
fn cost(tool: &str, args: &[&str]) -> Cost {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$1\"; shift; exec /usr/bin/time -q -f '%e %M' \"$@\"", "sh"]);
    command.arg((2 * MOST_KB).to_string()).arg(bins::path(tool)).args(args);
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (said, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let cost = last.split_once(' ').and_then(|(seconds, kb)| Some((seconds, kb.parse().ok()?)));
    let (seconds, kb) = cost.unwrap_or_else(|| panic!("{}", describe(&command, &output)));
    Cost { seconds: seconds.to_owned(), kb, status: output.status.code(), said: said.to_owned() }
}

#[test]
fn memory_is_in_proportion_to_the_log_whatever_it_holds() {
    let from = |name: &str| std::env::var(name).ok();
    let events = from("BLUBR_HOSTILE_EVENTS").map_or(20_000, |text| text.parse().unwrap());
    let only = from("BLUBR_HOSTILE_KIND");
    let wanted = |kind: &&Kind| only.iter().all(|only| only.split(',').any(|one| one == kind.name));
    let folder = tempfile::Builder::new().prefix("logs.").tempdir_in(process_folder()).unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (log, dockerfile, out, detail) =
        (file("log"), file("Dockerfile"), file("out"), file("detail.ndjson.zst"));
    std::fs::write(&dockerfile, "FROM base\nRUN make\n").unwrap();
    let attest = ["--build=1", "--dockerfile", &dockerfile, "-o", &out, &log];
    let runs: [(&str, Vec<&str>); 4] = [
        ("blubr-attest", attest.to_vec()),
        ("blubr-attest", [&["--detail-to", &detail][..], &attest].concat()),
        ("blubr-filter", vec!["--build=1", "-o", &out, &log]),
        ("blubr-filter", vec!["--format=csv", "--pid-tree=10", "--cgroup=/g*", "-o", &out, &log]),
    ];
    let mut wrong = Vec::new();
    for kind in KINDS.iter().filter(wanted) {
        let bytes = write(kind, events, Path::new(&log));
        let most_kb = MOST_KB.min(BASE_KB + BYTES_PER_BYTE * bytes / 1_000);
        for (tool, args) in &runs {
            let Cost { seconds, kb, status, said } = cost(tool, args);
            let line = format!(
                "{}: {tool} {}: {} MB of log, {seconds} s, {kb} kB (of {most_kb}), status {status:?} {said}",
                kind.name,
                args[0],
                bytes / 1_000_000
            );
            println!("{line}");
            // A bound that was reached is said, in one line.
            let ended = match status {
                Some(0) => true,
                Some(2) => said.lines().count() == 1 && said.starts_with(&format!("{tool}: ")),
                _ => false,
            };
            if !ended || kb > most_kb {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files of an image that are more than a statement lists, and no more than its detail does.
const FILES: u64 = 120_000;

#[test]
fn an_image_of_many_files_goes_the_whole_way_with_its_tables_in_a_file() {
    let folder = tempfile::Builder::new().prefix("many.").tempdir_in(process_folder()).unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut log = Log::new(&file("log"));
    log.begin();
    log.add(log::STEP, "file.mkdir", r#""path":"/w","mode":"0755","ret":0"#);
    for n in 0..FILES {
        let own = format!(
            r#""path":"/w/{n}","mode":"w","create":true,"dev":"0:45","ino":{n},"size":0,"perm":"0644","ret":3"#
        );
        log.add(log::STEP, "file.open", &own);
        let own = format!(r#""path":"/w/{n}","dev":"0:45","ino":{n},"size":0"#);
        log.add(log::STEP, "file.close", &own);
    }
    log.end();
    image::write(FILES, &file("image.tar"));
    std::fs::write(file("Dockerfile"), "FROM base\nRUN make\n").unwrap();
    let image = format!("archive:{}", file("image.tar").display());
    let attest = || {
        let mut attest = bins::command("blubr-attest");
        attest.args(["--build=1", "--image", &image, "--dockerfile"]).arg(file("Dockerfile"));
        attest.arg("-o").arg(file("out.json")).arg(file("log"));
        attest
    };
    // All of it is too long for a statement: one line says what to do, and nothing is written.
    let (_, said) = ends(2, &mut attest());
    assert!(said.lines().count() == 1 && said.contains("(--detail-to)"), "{said}");
    assert!(!file("out.json").exists());
    let detail = file("detail.ndjson.zst");
    drop(ends(0, attest().arg("--detail-to").arg(&detail)));
    let check = |id: &str| {
        let check = format!(".predicate.blubr_build.checks[] | select(.id == \"{id}\")");
        jq(&format!("{check} | \"\\(.result): \\(.evidence[0])\""), &file("out.json"))
    };
    let explained = format!("pass: all {} entries of the new layers are explained by events", FILES + 1);
    assert_eq!(check("image-explained"), explained);
    assert_eq!(
        check("attributes-explained"),
        "pass: none is other than events left it, where they tell"
    );
    let with = |tool: &str, args: &[&str]| {
        let mut command = bins::command(tool);
        command.args(args).arg("--detail").arg(&detail).arg(file("out.json"));
        ends(0, &mut command).0
    };
    let verified = with("blubr-attest", &["verify", "--unsigned", "--image", &image]);
    assert!(verified.contains("verified: image, detail"), "{verified}");
    let compared = with("blubr-diff", &["--image", &image]);
    assert!(compared.contains("files        same"), "{compared}");
}
