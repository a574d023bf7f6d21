//! blubr-filter on logs made by hand: what it passes on, what it writes of itself, what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use blubr_tests::bins;
use blubr_tests::program::{describe, jq, run, run_on, sha256sum, text_of};
use sha2::{Digest as _, Sha256};

const HEADER: &str = r#"{"type":"header","schema":"blubr.log/1","tool":{"name":"hand","version":"0"},"started":"2026-11-24T12:00:00.000000000Z","host":{"kernel":"6","arch":"x86_64","boot_id":"b","machine_id_hash":null,"cgroup":"v2","resolvers":[]},"backend":"none","hooks":[],"not_covered":[],"scope":"host"}"#;

fn event(seq: u64, kind: &str, pid: u32, cgroup: &str, own: &str) -> String {
    format!(
        r#"{{"seq":{seq},"time":"2026-11-24T12:00:0{}.000000000Z","type":"{kind}","pid":{pid},"tid":{pid},"start":{pid}00,"ppid":1,"comm":"x","uid":0,"cgroup":"{cgroup}","cgroup_id":7,"mntns":1{own}}}"#,
        seq % 10
    )
}

/// Ten events of three kinds, a loss, a trailer.
fn log() -> String {
    let mut lines = vec![HEADER.to_owned()];
    for seq in 1..=10 {
        lines.push(match seq % 3 {
            0 => event(
                seq,
                "process.fork",
                10,
                "/a/b",
                &format!(r#","child_pid":{},"child_start":{}00"#, 20 + seq, 20 + seq),
            ),
            1 => event(seq, "file.unlink", 20 + seq as u32, "/a/b/c", r#","path":"/x","ret":0"#),
            _ => event(seq, "unknown.kind", 10, "/z", r#","what":[1,{"a":"b"}]"#),
        });
    }
    lines.insert(5, r#"{"type":"lost","after":"2026-11-24T12:00:00.000000000Z","before":"2026-11-24T12:00:01.000000000Z","lost":3,"by_type":{"file.open":3}}"#.to_owned());
    let mut text = String::new();
    for line in &lines {
        writeln!(text, "{line}").unwrap();
    }
    let sum: String = Sha256::digest(&text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    writeln!(
        text,
        r#"{{"type":"trailer","events":{{"file.unlink":4,"process.fork":3,"unknown.kind":3}},"lost":3,"ended":"2026-11-24T12:01:00.000000000Z","exit":7,"sha256":"{sum}"}}"#
    )
    .unwrap();
    text
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn filter(args: &[&str]) -> Command {
    let mut command = bins::command("blubr-filter");
    command.args(args);
    command
}

/// One line on standard error, this status, nothing on standard output.
fn refused(status: i32, command: &mut Command) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(status), "{}", describe(command, &output));
    assert!(output.stdout.is_empty(), "{}", describe(command, &output));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("blubr-filter: "), "{told}");
    told
}

/// The cells of CSV as RFC 4180 has them, written down again from its grammar: rows end with CR LF, a quoted cell may hold
/// anything, two quotes in it are one.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(!quoted && row.is_empty() && cell.is_empty(), "it ends within a row");
    rows
}

#[test]
fn a_table_has_a_row_for_each_event_and_is_no_log() {
    let folder = Folder::new();
    let mut lines = vec![HEADER.to_owned()];
    let own = [
        r#","path":"/a,b \"c\"\n","mode":"w","create":true,"dev":"0:4","ino":7,"size":0,"mtime":null,"ret":3"#,
        r#","path":null,"path_b64":"L/8=","mode":"r","dev":"0:4","ino":8,"size":0,"mtime":null,"ret":-13,"later":{"x":[1]}"#,
        r#","path":"=1+1","mode":"r","dev":"0:4","ino":9,"size":0,"mtime":null,"ret":4"#,
    ];
    for (seq, own) in (1..).zip(own) {
        lines.push(event(seq, "file.open", 10, "/a", own));
    }
    lines.push(event(
        4,
        "process.exec",
        10,
        "/a",
        r#","exe":"/x","argv":["a b","c,\"d\""],"cwd":"/","gid":0"#,
    ));
    lines.push(r#"{"type":"lost","after":"2026-11-24T12:00:01.000000000Z","before":"2026-11-24T12:00:02.000000000Z","lost":3,"by_type":{"file.open":3}}"#.to_owned());
    let log = folder.file("log", lines.join("\n") + "\n");
    let out = folder.0.path().join("out.csv");
    let mut command = filter(&["--format", "csv", "--cgroup", "/a", "-o"]);
    let output = run(command.arg(&out).arg(&log));
    assert!(output.status.success(), "{}", describe(&command, &output));
    let rows = cells(&std::fs::read_to_string(&out).unwrap());
    assert!(rows.iter().all(|row| row.len() == rows[0].len()) && rows.len() == 6, "{rows:?}");
    let column = |name: &str| rows[0].iter().position(|one| one == name).unwrap();
    let of = |name: &str| rows[1..].iter().map(|row| row[column(name)].as_str()).collect::<Vec<_>>();
    assert_eq!(rows[0][..3], ["seq", "time", "type"]);
    assert_eq!(of("seq"), ["1", "2", "3", "4", ""]);
    assert_eq!(of("type"), ["file.open", "file.open", "file.open", "process.exec", "lost"]);
    assert_eq!(of("path"), ["/a,b \"c\"\n", "", "=1+1", "", ""]);
    assert_eq!(of("path_b64"), ["", "L/8=", "", "", ""]);
    assert_eq!(of("argv")[3], r#"["a b","c,\"d\""]"#);
    assert_eq!(of("create"), ["true", "", "", "", ""]);
    assert_eq!(of("ret"), ["3", "-13", "4", "", ""]);
    assert_eq!(of("other")[1], r#"{"later":{"x":[1]}}"#);
    assert!(of("other")[4].contains("\"lost\":3") && of("other")[0].is_empty());
    // Nothing takes it for a log, and a list of builds is none either.
    refused(2, filter(&["--type", "*"]).arg(&out));
    assert!(refused(2, filter(&["--build", "list", "--format", "csv"]).arg(&log)).contains("--format"));
    // The same selection written as a log says nothing of tables.
    let text = text_of(filter(&["--format", "ndjson", "--cgroup", "/a"]).arg(&log));
    assert_eq!(text, text_of(filter(&["--cgroup", "/a"]).arg(&log)));
    let mut closed = Command::new("bash");
    let script =
        "set -o pipefail; \"$1\" --format csv --cgroup /a \"$2\" | true; exit \"${PIPESTATUS[0]}\"";
    let output = run(closed.args(["-c", script, "bash"]).arg(bins::path("blubr-filter")).arg(&log));
    // Of this log, which has no trailer, it may have come to say so before its reader was gone.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.lines().all(|line| line.contains("was cut off")), "{}", describe(&closed, &output));
}

fn seqs(log: &Path) -> String {
    jq(".seq // empty", log).replace('\n', " ")
}

#[test]
fn selectors_are_ored_within_and_anded_across() {
    let folder = Folder::new();
    let log = folder.file("log", log());
    for (args, passed) in [
        (&["--type", "file.*"][..], "1 4 7 10"),
        (&["--type", "file.*", "--type", "unknown.kind"], "1 2 4 5 7 8 10"),
        (&["--cgroup", "/a/*"], "1 3 4 6 7 9 10"),
        (&["--cgroup", "/a/b"], "3 6 9"),
        (&["--cgroup", "/a/*", "--type", "process.fork"], "3 6 9"),
        // 23, 26 and 29 are its children; 24, 27 and 30 are not, though their pids follow.
        (&["--pid-tree", "10"], "2 3 5 6 8 9"),
        (&["--pid-tree", "10:1000"], "2 3 5 6 8 9"),
        (&["--pid-tree", "10:7"], ""),
        (&["--type", "none"], ""),
    ] {
        let output = run(filter(args).arg(&log));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = folder.file("out", &output.stdout);
        assert_eq!(seqs(&out), passed, "{args:?}");
        // The lines are the source's own, byte for byte.
        let source = std::fs::read_to_string(&log).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines().filter(|line| line.starts_with("{\"seq\"")) {
            assert!(source.lines().any(|known| known == line), "{line}");
        }
        assert_eq!(jq("select(.type == \"lost\") | .lost", &out), "3");
        let trailer = jq(
            "select(.type == \"trailer\") | [.lost, .exit, .ended, .sources[0].passed, .sources[0].events, .sources[0].lost, .sources[0].complete] | @csv",
            &out,
        );
        let count = passed.split_whitespace().count();
        assert_eq!(trailer, format!("3,7,\"2026-11-24T12:01:00.000000000Z\",{count},10,3,true"));
        assert_eq!(jq("select(.type == \"trailer\") | .sources[0].sha256", &out), sha256sum(&log));
        // The chain is new: sha256sum over all but the last line.
        let all_but_last: String = text
            .lines()
            .take(text.lines().count() - 1)
            .fold(String::new(), |all, line| all + line + "\n");
        let chain = folder.file("chain", &all_but_last);
        assert_eq!(jq("select(.type == \"trailer\") | .sha256", &out), sha256sum(&chain));
        let verify = run(filter(&["verify", "--source"]).arg(&log).arg(&out));
        assert!(verify.status.success(), "{args:?}: {}", String::from_utf8_lossy(&verify.stderr));
    }
}

#[test]
fn a_pipe_a_file_and_zstd_give_the_same() {
    let folder = Folder::new();
    let log = folder.file("log", log());
    let by_name = run(filter(&["--type", "file.*"]).arg(&log)).stdout;
    assert!(!by_name.is_empty());
    assert_eq!(
        run_on(&mut filter(&["--type", "file.*"]), &std::fs::read(&log).unwrap()).stdout,
        by_name
    );
    let out = folder.0.path().join("out");
    assert!(run(filter(&["--type", "file.*", "-o"]).arg(&out).arg(&log)).status.success());
    assert_eq!(std::fs::read(&out).unwrap(), by_name);
    if let Some(zstd) = blubr_tests::program::find("zstd") {
        assert!(run(Command::new(zstd).arg("-q").arg(&log)).status.success());
        assert_eq!(run(filter(&["--type", "file.*"]).arg(log.with_extension("zst"))).stdout, by_name);
    }
}

#[test]
fn filters_are_chained_and_replayed_in_order() {
    let folder = Folder::new();
    let log = folder.file("log", log());
    let first = folder.file("first", run(filter(&["--cgroup", "/a/*"]).arg(&log)).stdout);
    let second = folder.file("second", run(filter(&["--type", "file.*"]).arg(&first)).stdout);
    assert_eq!(seqs(&second), "1 4 7 10");
    assert_eq!(
        jq("select(.type == \"header\") | [.filters[].args[]] | @csv", &second),
        "\"--cgroup=/a/*\",\"--type=file.*\""
    );
    assert_eq!(
        jq("select(.type == \"trailer\") | .sources[0].sources[0].sha256", &second),
        sha256sum(&log)
    );
    for source in [&log, &first] {
        let mut verify = filter(&["verify", "--source"]);
        verify.arg(source).arg(&second);
        let output = run(&mut verify);
        assert!(output.status.success(), "{}", describe(&verify, &output));
    }
    let told = refused(1, filter(&["verify", "--source"]).arg(&second).arg(&first));
    assert!(told.contains("other filters"), "{told}");
    let told = refused(2, filter(&["verify", "--source"]).arg(&log).arg(&log));
    assert!(told.contains("never filtered"), "{told}");
}

#[test]
fn whatever_was_changed_is_found() {
    let folder = Folder::new();
    let log = folder.file("log", log());
    let filtered = run(filter(&["--type", "file.*"]).arg(&log)).stdout;
    let text = String::from_utf8(filtered.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // An event left out, with the sums made good: only replaying finds it.
    let mut forged: String = lines
        .iter()
        .filter(|line| !line.starts_with("{\"seq\":4,"))
        .take(lines.len() - 2)
        .fold(String::new(), |all, line| all + line + "\n");
    let sum = sha256sum(&folder.file("part", &forged));
    let trailer = lines[lines.len() - 1]
        .replace("\"file.unlink\":4", "\"file.unlink\":3")
        .replace("\"passed\":4", "\"passed\":3");
    let old = trailer.rsplit('"').nth(1).unwrap().to_owned();
    forged.push_str(&trailer.replace(&old, &sum));
    forged.push('\n');
    let forged = folder.file("forged", forged);
    assert!(run(filter(&["--type", "*"]).arg(&forged)).status.success(), "the forged chain holds");
    let told = refused(1, filter(&["verify", "--source"]).arg(&log).arg(&forged));
    assert!(told.contains("differs from byte"), "{told}");
    // Any byte of the source.
    for at in [HEADER.len() + 40, log_len(&log) / 2, log_len(&log) - 5] {
        let mut bytes = std::fs::read(&log).unwrap();
        bytes[at] ^= 1;
        let changed = folder.file("changed", &bytes);
        let out = folder.file("filtered", &filtered);
        let output = run(filter(&["verify", "--source"]).arg(&changed).arg(&out));
        assert!(matches!(output.status.code(), Some(1 | 2)), "byte {at}: {output:?}");
    }
}

fn log_len(log: &Path) -> usize {
    usize::try_from(std::fs::metadata(log).unwrap().len()).unwrap()
}

#[test]
fn a_log_that_was_cut_off_is_filtered_and_said_to_be() {
    let folder = Folder::new();
    let whole = log();
    let cut = folder.file("cut", &whole[..whole.len() / 2]);
    let output: Output = run(filter(&["--type", "*"]).arg(&cut));
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut off"));
    let out = folder.file("out", &output.stdout);
    assert_eq!(
        jq(
            "select(.type == \"trailer\") | [.sources[0].complete, .sources[0].cut_at, .exit] | @csv",
            &out
        ),
        "false,0,"
    );
    assert!(run(filter(&["verify", "--source"]).arg(&cut).arg(&out)).status.success());
}

#[test]
fn a_list_of_builds_says_that_the_log_was_cut_off() {
    let folder = Folder::new();
    // A client of buildah: it makes the overlay and starts the runtime itself.
    let buildah = |seq: u64, kind: &str, own: &str| event(seq, kind, 30, "/b", own);
    let mount = r#","source":"overlay","target":"/s/overlay/1/merged","fstype":"overlay","flags":[],"lower":["/s/overlay/0/diff"],"upper":"/s/overlay/1/diff","work":"/s/overlay/1/work","ret":0"#;
    let init = |seq: u64, kind: &str, own: &str| event(seq, kind, 31, "/c", own);
    let lines = [
        HEADER.to_owned(),
        buildah(1, "process.exec", r#","exe":"/b","argv":["buildah","bud","."],"cwd":"/","gid":0"#),
        buildah(2, "mount.mount", mount),
        buildah(3, "process.fork", r#","child_pid":31,"child_start":3100"#),
        init(4, "mount.pivot_root", r#","path":"/s/overlay/1/merged","put_old":".","ret":0"#),
        init(5, "process.exec", r#","exe":"/sh","argv":["/bin/sh"],"cwd":"/","gid":0"#),
    ];
    let cut = folder.file("cut", lines.join("\n") + "\n{\"seq\":6,");
    let mut command = filter(&["--build", "list"]);
    let output = run(command.arg(&cut));
    assert!(output.status.success(), "{}", describe(&command, &output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("was cut off") && told.lines().count() == 1, "{told}");
}

#[test]
fn what_is_no_log_is_refused_in_one_line() {
    let folder = Folder::new();
    let whole = log();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("empty", Vec::new(), "empty"),
        ("garbage", vec![0xff; 100_000], "not a blubr log"),
        ("other", HEADER.replace("blubr.log/1", "blubr.log/9").into_bytes(), "header"),
        ("schema", (HEADER.replace("blubr.log/1", "blubr.log/9") + "\n").into_bytes(), "blubr.log/9"),
        ("line", format!("{HEADER}\nnot json\n").into_bytes(), "line"),
        ("order", whole.replacen("\"seq\":4", "\"seq\":3", 1).into_bytes(), "event 3 follows event 3"),
        ("behind", (whole.clone() + "x\n").into_bytes(), "after the trailer"),
        ("long", [HEADER.as_bytes(), b"\n", &vec![b'a'; 3 << 20]].concat(), "1 MiB"),
    ];
    for (name, bytes, word) in cases {
        let file = folder.file(name, bytes);
        for args in [&["--type", "*"][..], &["--build"], &["--build", "list"]] {
            let mut command = filter(args);
            let output = run(command.arg(&file));
            assert_eq!(output.status.code(), Some(2), "{name} {args:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(told.lines().count(), 1, "{name}: {told}");
            assert!(told.contains(word), "{name}: {told}");
        }
    }
    assert!(refused(2, filter(&["--type", "*"]).arg("/nonexistent")).contains("/nonexistent"));
    assert!(refused(2, &mut filter(&["x"])).contains("nothing to select by"));
}

#[test]
fn a_type_that_nobody_knows_is_said_to_be_one() {
    let folder = Folder::new();
    let file = folder.file("log", log());
    for (glob, says) in [("file.opn", true), ("net.", true), ("Net.*", true), ("net.*", false)] {
        for flags in [&[][..], &["--quiet"]] {
            let mut command = filter(&["--type", "file.*", "--type", glob]);
            let output = run(command.args(flags).arg(&file));
            assert!(output.status.success(), "{}", describe(&command, &output));
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let said = format!(
                "blubr-filter: --type `{glob}`: no type of event in blubr.log(5) is called so\n"
            );
            assert_eq!(told, if says && flags.is_empty() { said } else { String::new() });
        }
    }
}

#[test]
fn words_too_many_or_too_few_are_named() {
    let folder = Folder::new();
    let file = folder.file("log", log());
    let told = refused(2, filter(&["verify"]).arg(&file));
    assert!(told.contains("--source <SOURCE>|--checkpoints <FILE>"), "{told}");
    let told = refused(2, filter(&["--type", "*"]).arg(&file).arg("other"));
    assert!(told.contains("'other' is one argument too many"), "{told}");
}

#[test]
fn a_line_of_a_gigabyte_takes_no_memory() {
    let mut command = Command::new("sh");
    // An address space of 600 MB: the program's own mappings and one line, not a gigabyte.
    let script = "ulimit -v 600000; (printf '%s\\n' \"$2\"; head -c 1000000000 /dev/zero | tr '\\0' a) | \"$1\" --type '*'";
    let output =
        run(command.arg("-c").arg(script).arg("sh").arg(bins::path("blubr-filter")).arg(HEADER));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 MiB"), "{output:?}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let folder = Folder::new();
    let mut long = String::from(HEADER);
    long.push('\n');
    for seq in 1..=50_000 {
        writeln!(long, "{}", event(seq, "file.unlink", 10, "/", r#","path":"/x","ret":0"#)).unwrap();
    }
    let log = folder.file("long", long);
    let mut command = filter(&["--type", "*"]);
    let mut child = command.arg(&log).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut one = [0];
    child.stdout.take().unwrap().read_exact(&mut one).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_half_written_is_not_there() {
    let folder = Folder::new();
    let bad = folder.file("bad", log().replacen("\"seq\":9", "\"seq\":5", 1));
    let out = folder.0.path().join("out");
    let output = run(filter(&["--type", "*", "-o"]).arg(&out).arg(&bad));
    assert_eq!(output.status.code(), Some(2));
    assert!(!out.exists());
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
    std::io::stderr().flush().unwrap();
    assert!(text_of(Command::new("ls").arg(folder.0.path())) == "bad");
}
