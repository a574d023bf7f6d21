//! Garbage, cut and foreign inputs to every tool: one clear line, exit status 2, no panic, little memory.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::program::{describe, run, run_on, stdout_of, text_of};

use crate::stage::folder;

/// Memory of one run, in KiB, as `time -f %M` counts it.
const MEMORY_KIB_MAX: u64 = 100 * 1024;

/// A line of 1 GiB: longer than any log's.
const LONG_LINE_BYTES: u64 = 1 << 30;

/// Each input: what is wrong with it, and where it lies.
fn inputs() -> Vec<(&'static str, PathBuf)> {
    let folder = folder("hostile");
    let header =
        r#"{"type":"header","schema":"blubr.log/2","tool":{"name":"blubr-record","version":"9"}}"#;
    let files: [(&str, Vec<u8>); 13] = [
        ("empty", Vec::new()),
        ("newlines", b"\n\n\n\n".to_vec()),
        ("words", b"this is no log, and no attestation either\n".to_vec()),
        ("bytes", noise(1 << 16)),
        ("braces", vec![b'{'; 1 << 20]),
        ("brackets", vec![b'['; 1 << 20]),
        ("version", format!("{header}\n").into_bytes()),
        ("array", b"[1, 2, 3]\n".to_vec()),
        ("nothing", b"[]".to_vec()),
        ("brace", b"{".to_vec()),
        ("object", b"{\"a\":1}".to_vec()),
        ("armor", [&b"-----BEGIN PGP MESSAGE-----\n\n"[..], &noise(1 << 16)].concat()),
        ("packet", [&[0xc1][..], &noise(1 << 16)].concat()),
    ];
    let mut inputs: Vec<_> = files
        .into_iter()
        .map(|(name, bytes)| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            (name, path)
        })
        .collect();
    // Sparse: a GiB to read, nothing on the disk.
    let path = folder.join("long");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"{\"type\":\"header\",\"schema\":\"").unwrap();
    file.set_len(LONG_LINE_BYTES).unwrap();
    inputs.push(("long", path));
    inputs
}

/// Bytes that look like nothing, the same each time (xorshift64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Runs a tool under time(1), and expects it to refuse.
fn refuses(tool: &str, case: &str, arguments: &[&std::ffi::OsStr]) {
    let measure = folder("hostile").join(format!("memory-{tool}-{case}"));
    let mut command = Command::new("time");
    command.args(["-q", "-f", "%M", "-o"]).arg(&measure).arg(bins::path(tool)).args(arguments);
    let answer = run(&mut command);
    let said = String::from_utf8_lossy(&answer.stderr);
    let what = describe(&command, &answer);
    assert_eq!(answer.status.code(), Some(2), "{case}: {what}");
    assert!(said.starts_with(&format!("{tool}: ")), "{case}: {what}");
    assert_eq!(said.lines().count(), 1, "{case}: one line: {what}");
    assert!(answer.stdout.is_empty(), "{case}: {what}");
    let kib: u64 = std::fs::read_to_string(&measure).unwrap().trim().parse().unwrap();
    assert!(kib <= MEMORY_KIB_MAX, "{case}: {kib} KiB: {command:?}");
}

fn each_input(tool: &str, arguments: impl Fn(&Path) -> Vec<std::ffi::OsString>) {
    for (case, path) in inputs() {
        let arguments = arguments(&path);
        let arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::as_os_str).collect();
        refuses(tool, case, &arguments);
    }
}

fn words(words: &[&str], path: &Path) -> Vec<std::ffi::OsString> {
    words.iter().map(|word| if *word == "@" { path.into() } else { (*word).into() }).collect()
}

#[test]
fn filter_refuses_them() {
    for arguments in [
        &["--build", "@"][..],
        &["--type", "file.*", "@"],
        &["--build", "list", "@"],
        &["--cgroup", "*", "@"],
    ] {
        each_input("blubr-filter", |path| words(arguments, path));
    }
}

#[test]
fn filter_verify_refuses_them() {
    each_input("blubr-filter", |path| words(&["verify", "--source", "@", "@"], path));
}

#[test]
fn attest_refuses_them_as_logs() {
    let dockerfile = folder("hostile").join("Dockerfile");
    std::fs::write(&dockerfile, "FROM scratch\n").unwrap();
    let dockerfile = dockerfile.display().to_string();
    each_input("blubr-attest", |path| words(&["--dockerfile", &dockerfile, "@"], path));
}

#[test]
fn attest_refuses_them_as_attestations() {
    for arguments in [&["show", "@"][..], &["show", "--json", "@"], &["pae", "@"]] {
        each_input("blubr-attest", |path| words(arguments, path));
    }
}

#[test]
fn attest_verify_refuses_them() {
    let dockerfile = folder("hostile").join("Dockerfile.verify");
    std::fs::write(&dockerfile, "FROM scratch\n").unwrap();
    let dockerfile = dockerfile.display().to_string();
    let verify = ["verify", "--unsigned", "--dockerfile", &dockerfile, "@"];
    each_input("blubr-attest", |path| words(&verify, path));
}

/// Tools that read an attestation, with the word that stands for it.
fn readers() -> Vec<(&'static str, Vec<String>)> {
    let folder = folder("hostile");
    let dockerfile = folder.join("Dockerfile.readers");
    std::fs::write(&dockerfile, "FROM scratch\n").unwrap();
    let dockerfile = dockerfile.display().to_string();
    let all: [(&str, &[&str]); 5] = [
        ("blubr-attest", &["verify", "--unsigned", "--dockerfile", &dockerfile, "@"]),
        ("blubr-attest", &["show", "@"]),
        ("blubr-attest", &["pae", "@"]),
        ("blubr-diff", &["@", "@"]),
        ("blubr-attach", &["oci:/nonexistent", "@"]),
    ];
    all.map(|(tool, args)| (tool, args.iter().map(|arg| (*arg).to_owned()).collect())).to_vec()
}

#[test]
fn a_statement_of_another_kind_is_refused_by_what_it_says() {
    let path = folder("hostile").join("foreign");
    let foreign = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[]}"#;
    std::fs::write(&path, foreign).unwrap();
    for (tool, arguments) in readers() {
        // Neither the bytes that are signed nor attaching ask for the predicate.
        if tool == "blubr-attach" || arguments.iter().any(|argument| argument == "pae") {
            continue;
        }
        let mut command = bins::command(tool);
        let answer =
            run(command.args(words(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &path)));
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.status.code(), Some(2), "{}", describe(&command, &answer));
        assert!(said.contains("slsa.dev") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn an_envelope_that_is_cut_anywhere_is_refused_by_each_tool() {
    // Of the form that blubr-attest writes; the statement in it says nothing.
    let payload = "eyJfdHlwZSI6IngifQ==";
    let sig = "AAAA".repeat(700);
    let whole = format!(
        "{{\"payload\":\"{payload}\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":[{{\"keyid\":\"ab\",\"sig\":\"{sig}\"}}]}}\n"
    );
    let cut = folder("hostile").join("cut");
    for at in (1..whole.len() - 2).step_by(100) {
        std::fs::write(&cut, &whole[..at]).unwrap();
        for (tool, arguments) in readers() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let arguments = words(&arguments, &cut);
            let arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::as_os_str).collect();
            refuses(tool, &format!("cut-{at}"), &arguments);
        }
    }
}

/// A statement with `more` in its place, as far as tools look at it before they read its lists.
fn statement(more: &str) -> String {
    let build = r#""build":{"number":1,"engine":"buildkit","client":"1:1","exit":0,"command_exit":0},"dockerfile":null,"context":null,"image":null,"log":{"schema":"blubr.log/1","sha256":"b","events":5,"complete":true},"completeness":{"recording":"complete","lost":0,"from_event":0,"to_event":5,"hooks_missing":[],"steps":{"observed":1,"cached":0,"daemon":0,"not_observed":0,"candidates":0}},"unattributed":{},"unexplained":null"#;
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://in-toto.io/attestation/runtime-trace/v0.1","predicate":{{"monitor":{{"type":"x"}},"monitoredProcess":{{"hostID":"h","type":"t","event":"e"}},"monitorLog":{{}},"metadata":{{}},"blubr_build":{{{build},{more}}}}}}}"#
    ) + "\n"
}

#[test]
fn what_drives_a_terminal_is_spelled_in_json_for_one() {
    let path = folder("hostile").join("drives");
    // C1's CSI, a bidirectional override, a line separator: JSON leaves them raw.
    let raw = statement("\"files\":null,\"note\":\"\u{9b}2J\u{202e}\u{2028}\"");
    std::fs::write(&path, &raw).unwrap();
    let show = format!("'{}' show --json '{}'", bins::path("blubr-attest").display(), path.display());
    let piped = stdout_of(Command::new("sh").arg("-c").arg(&show));
    assert_eq!(String::from_utf8(piped).unwrap(), raw, "elsewhere the bytes are as they were");
    let shown = text_of(Command::new("script").args(["-qec", &show, "/dev/null"]));
    assert!(shown.contains("\\u009b2J\\u202e\\u2028"), "{shown}");
    assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{2028}']), "{shown}");
}

/// The envelope around a statement, not signed by anyone.
fn envelope(statement: &str) -> Vec<u8> {
    let mut base64 = Command::new("base64");
    let payload = run_on(base64.arg("-w0"), statement.as_bytes()).stdout;
    let (head, tail) =
        ("{\"payload\":\"", "\",\"payloadType\":\"x\",\"signatures\":[{\"sig\":\"AAAA\"}]}\n");
    [head.as_bytes(), &payload, tail.as_bytes()].concat()
}

/// Runs a tool under time(1); gives its status and its memory in KiB.
fn measured(tool: &str, case: &str, arguments: &[&std::ffi::OsStr]) -> (Option<i32>, u64) {
    let measure = folder("hostile").join(format!("measure-{tool}-{case}"));
    let mut command = Command::new("time");
    command.args(["-q", "-f", "%M", "-o"]).arg(&measure).arg(bins::path(tool)).args(arguments);
    let answer = run(&mut command);
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(said.lines().count() <= 1 && said.len() < 1000, "{case}: {}", describe(&command, &answer));
    let kib = std::fs::read_to_string(&measure).unwrap();
    (answer.status.code(), kib.trim().parse().unwrap())
}

#[test]
fn long_attestations_that_ask_for_much_memory_get_little() {
    let list = |entry: &str, bytes: usize| vec![entry; bytes / (entry.len() + 1)].join(",");
    let bytes = 10_000_000;
    let file = r#"{"path":"/usr/share/a/file","kind":"file","layer":"sha256:1","step":"0.3"}"#;
    let (open, close) = ("[".repeat(90), "]".repeat(90));
    let cases: [(&str, Vec<u8>); 7] = [
        ("payload", envelope(&"A".repeat(32_000_000))),
        (
            "texts",
            envelope(&statement(&format!(r#""files":null,"inherited":[{}]"#, list("\"\"", bytes)))),
        ),
        ("files", envelope(&statement(&format!(r#""files":[{}]"#, list(file, bytes))))),
        ("deep", envelope(&statement(&format!(r#""files":null,"x":{open}{close}"#)))),
        (
            "string",
            envelope(&statement(&format!(r#""files":null,"x":"{}""#, "\u{80}".repeat(bytes / 2)))),
        ),
        (
            "signatures",
            format!(
                r#"{{"payload":"","payloadType":"x","signatures":[{}]}}"#,
                list("{\"sig\":\"\"}", 20_000_000)
            )
            .into_bytes(),
        ),
        ("escapes", format!(r#"{{"payload":"{}"}}"#, "\\n".repeat(10_000_000)).into_bytes()),
    ];
    for (case, bytes) in cases {
        let path = folder("hostile").join(format!("long-{case}"));
        std::fs::write(&path, bytes).unwrap();
        for (tool, arguments) in readers() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let arguments = words(&arguments, &path);
            let arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::as_os_str).collect();
            let (status, kib) = measured(tool, case, &arguments);
            assert!(matches!(status, Some(0..=2)), "{case}: {tool}: {status:?}");
            assert!(kib <= MEMORY_KIB_MAX, "{case}: {kib} KiB: {tool} {arguments:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn attest_refuses_them_as_keys() {
    each_input("blubr-attest", |path| words(&["verify", "--cert", "@", "/dev/null"], path));
}

#[test]
fn diff_refuses_them() {
    for arguments in [&["@", "@"][..], &["reverse", "archive:@"], &["reverse", "oci:@"]] {
        each_input("blubr-diff", |path| {
            let name = path.display().to_string();
            arguments.iter().map(|word| word.replace('@', &name).into()).collect()
        });
    }
}

#[test]
fn attach_refuses_them() {
    for arguments in [&["oci:@", "@"][..], &["discover", "oci:@"]] {
        each_input("blubr-attach", |path| {
            let name = path.display().to_string();
            arguments.iter().map(|word| word.replace('@', &name).into()).collect()
        });
    }
}

#[test]
fn a_layout_of_garbage_is_refused() {
    for (case, path) in inputs() {
        let layout = folder("hostile").join(format!("layout-{case}"));
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        std::fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        std::os::unix::fs::symlink(&path, layout.join("index.json")).unwrap();
        let name = format!("oci:{}", layout.display());
        refuses("blubr-diff", case, &["reverse".as_ref(), name.as_ref()]);
        refuses("blubr-attach", case, &["discover".as_ref(), name.as_ref()]);
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    for tool in ["blubr-filter", "blubr-attest", "blubr-diff"] {
        for input in ["/nonexistent/log.ndjson", "/"] {
            let arguments: &[&str] = match tool {
                "blubr-filter" => &["--build", "list", input],
                "blubr-attest" => &["show", input],
                _ => &[input, input],
            };
            let mut command = bins::command(tool);
            let answer = run(command.args(arguments));
            let said = String::from_utf8_lossy(&answer.stderr);
            assert_eq!(answer.status.code(), Some(2), "{}", describe(&command, &answer));
            assert!(
                said.contains(input) && said.lines().count() == 1,
                "{}",
                describe(&command, &answer)
            );
        }
    }
}

#[test]
fn a_closed_pipe_ends_a_tool_quietly() {
    for tool in ["blubr-record", "blubr-filter", "blubr-attest", "blubr-diff", "blubr-attach"] {
        let script = "set -o pipefail; \"$1\" --generate man | true; echo ${PIPESTATUS[0]}";
        let mut bash = Command::new("bash");
        let answer = run(bash.args(["-c", script, "bash"]).arg(bins::path(tool)));
        let said = String::from_utf8_lossy(&answer.stderr);
        assert!(said.is_empty(), "{tool}: {said}");
    }
}
