//! Garbage, cut and foreign inputs to every tool: one clear line, exit status 2, no panic, little memory.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use blubr_tests::bins;
use blubr_tests::program::{describe, run};

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
    let files: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("newlines", b"\n\n\n\n".to_vec()),
        ("words", b"this is no log, and no attestation either\n".to_vec()),
        ("bytes", noise(1 << 16)),
        ("braces", vec![b'{'; 1 << 20]),
        ("brackets", vec![b'['; 1 << 20]),
        ("version", format!("{header}\n").into_bytes()),
        ("array", b"[1, 2, 3]\n".to_vec()),
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
fn attest_does_not_verify_them() {
    for (case, path) in inputs() {
        let mut verify = bins::command("blubr-attest");
        let answer = run(verify.args(["verify", "--unsigned"]).arg(&path));
        // What begins like an attestation does not verify (1); what doesn't is no attestation (2).
        assert!(matches!(answer.status.code(), Some(1 | 2)), "{case}: {}", describe(&verify, &answer));
        let said = [answer.stdout, answer.stderr].concat();
        assert!(!said.is_empty() && said.len() < 2_000, "{case}: {}", String::from_utf8_lossy(&said));
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
