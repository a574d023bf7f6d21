//! The log as a whole: chain, numbers, exit statuses, what is left after a kill.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blubr_tests::bins;
use blubr_tests::program::{jq, run, text_of};
use blubr_tests::require;
use serde_json::{Value, json};

use crate::recording::{Monitor, folder, script};

#[test]
fn the_trailer_holds_the_digest_of_what_stands_before_it() {
    require!(Root);
    let r = script("for i in 1 2 3 4 5 6 7 8; do echo $i > f; done");
    let log = r.log.display();
    let digest = text_of(
        Command::new("sh").args(["-c", &format!("head -n -1 {log} | sha256sum | cut -d' ' -f1")]),
    );
    let trailer = r.lines.last().unwrap();
    assert_eq!((&trailer["type"], &trailer["sha256"]), (&json!("trailer"), &json!(digest)));
    assert_eq!((&trailer["exit"], &trailer["lost"]), (&json!(0), &json!(0)));
    for (kind, count) in trailer["events"].as_object().unwrap() {
        assert_eq!(*count, r.of(kind).len(), "{kind}");
    }
    let numbers: Vec<u64> = r.lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
    assert_eq!(std::fs::metadata(&r.log).unwrap().permissions().mode() & 0o777, 0o600);
    let header = &r.lines[0];
    assert_eq!(header["schema"], "blubr.log/1");
    assert_eq!(header["host"]["kernel"], text_of(Command::new("uname").arg("-r")));
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(header["host"]["boot_id"], boot_id.trim());
    assert_eq!(header["command"][0], "sh");
}

#[test]
fn existing_things_come_before_the_command_s_exec() {
    require!(Root);
    let r = script("true");
    let pid = &r.lines[0]["command_pid"];
    let exec =
        r.of("process.exec").into_iter().find(|e| e["pid"] == *pid && e["ret"].is_null()).unwrap();
    let seq = |e: &Value| e["seq"].as_u64().unwrap();
    for kind in ["process.exists", "mount.exists"] {
        assert!(r.of(kind).iter().all(|e| seq(e) < seq(exec)), "{kind}");
        assert!(!r.of(kind).is_empty(), "{kind}");
    }
}

#[test]
fn the_recorder_itself_is_left_out() {
    require!(Root);
    let monitor = Monitor::start();
    let pid = monitor.pid();
    std::fs::write(monitor.path().join("x"), "x").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let r = monitor.stop();
    assert!(!r.all("file.open", "x").is_empty());
    assert_eq!(r.lines.iter().filter(|e| e["pid"] == pid).count(), 0);
}

#[test]
fn the_command_s_end_is_the_recorder_s() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    for (words, status) in [
        (&["sh", "-c", "exit 0"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["blubr-no-such-command"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let output = run(bins::command("blubr-record").arg("-o").arg(&log).arg("--").args(words));
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        assert_eq!(jq("select(.type == \"trailer\") | .exit", &log), status.to_string(), "{words:?}");
    }
    let output = run(bins::command("blubr-record").args(["--", "sh", "-c", "echo told"]));
    assert!(output.stdout.starts_with(b"{\"type\":\"header\""));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "told\n");
}

#[test]
fn a_command_that_is_longer_than_a_line_of_the_log_is_recorded() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    let word = "\u{1}".repeat(100_000);
    let mut recorder = bins::command("blubr-record");
    recorder.arg("-o").arg(&log).args(["--", "sh", "-c", "exit $#", "sh"]);
    // exit takes a byte: 15 of them make 1.5 million bytes, and six times as many once they are escaped.
    let output = run(recorder.args(vec![&word[..]; 15]));
    assert_eq!(output.status.code(), Some(15), "{}", String::from_utf8_lossy(&output.stderr));
    let header: Value = serde_json::from_str(&jq("select(.type == \"header\")", &log)).unwrap();
    assert_eq!(header["truncated"], json!(["command"]));
    let command = header["command"].as_array().unwrap();
    assert_eq!(command[..5], [json!("sh"), json!("-c"), json!("exit $#"), json!("sh"), json!(word)]);
    assert_eq!(command.len(), 6);
    assert!(word.starts_with(command[5].as_str().unwrap()));
    let log = folder.path().join("short");
    assert!(
        run(bins::command("blubr-record").arg("-o").arg(&log).args(["--", "true"])).status.success()
    );
    assert_eq!(jq("select(.type == \"header\") | .truncated", &log), "null");
}

#[test]
fn a_signal_goes_on_to_the_command_and_the_log_has_its_end() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    let mut recorder =
        bins::command("blubr-record").arg("-o").arg(&log).args(["--", "sleep", "60"]).spawn().unwrap();
    let partial = folder.path().join("log.partial");
    wait_until(|| {
        std::fs::read_to_string(&partial).is_ok_and(|text| text.contains("\"sleep\",\"60\"],\"cwd\""))
    });
    assert!(run(Command::new("kill").arg("-TERM").arg(recorder.id().to_string())).status.success());
    assert_eq!(recorder.wait().unwrap().code(), Some(143));
    assert_eq!(jq("select(.type == \"trailer\") | .exit", &log), "143");
    assert!(!partial.exists());
}

#[test]
fn a_killed_recorder_leaves_what_it_had() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    let partial = folder.path().join("log.partial");
    let mut recorder = bins::command("blubr-record")
        .arg("-o")
        .arg(&log)
        .args(["--", "sh", "-c", "while [ ! -e stop ]; do cat /etc/hostname > /dev/null; done"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoints = |text: &str| text.matches("{\"type\":\"checkpoint\"").count();
    wait_until(|| std::fs::read_to_string(&partial).is_ok_and(|text| checkpoints(&text) >= 3));
    recorder.kill().unwrap();
    assert_eq!(recorder.wait().unwrap().signal(), Some(9));
    std::fs::write(folder.path().join("stop"), "").unwrap();
    assert!(!log.exists());
    let text = std::fs::read_to_string(&partial).unwrap();
    assert!(!text.contains("{\"type\":\"trailer\""));
    let at = text.rfind("{\"type\":\"checkpoint\"").unwrap();
    let line: Value = serde_json::from_str(text[at..].lines().next().unwrap()).unwrap();
    std::fs::write(folder.path().join("before"), &text[..at]).unwrap();
    assert_eq!(line["sha256"], blubr_tests::program::sha256sum(&folder.path().join("before")));
    let output = run(bins::command("blubr-record").arg("-o").arg(&log).args(["--", "true"]));
    assert_eq!(output.status.code(), Some(125), "what it left is not overwritten");
    assert_eq!(std::fs::read_to_string(&partial).unwrap(), text);
}

#[test]
fn without_rights_the_missing_capabilities_are_named() {
    require!(Root);
    let mut recorder = Command::new("setpriv");
    recorder.args(["--bounding-set", "-bpf,-sys_admin", "--inh-caps=-all"]);
    let output = run(recorder.arg(bins::path("blubr-record")).args(["--", "true"]));
    assert_eq!(output.status.code(), Some(125));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("CAP_BPF") && !told.contains("CAP_PERFMON") && told.lines().count() == 1,
        "{told}"
    );
}

/// The permitted capabilities of each thread of a process.
fn permitted(pid: u32) -> Vec<u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_one = |thread: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    threads.map(of_one).collect()
}

#[test]
fn once_attached_it_keeps_few_capabilities() {
    require!(Root);
    let monitor = Monitor::start();
    // The log's first lines are out a moment before the capabilities are gone.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // CAP_SYS_ADMIN, CAP_PERFMON, CAP_SYS_MODULE, CAP_NET_ADMIN.
    while permitted(monitor.pid()).iter().any(|held| held & (1 << 21 | 1 << 38 | 1 << 16 | 1 << 12) != 0)
    {
        let held = permitted(monitor.pid());
        assert!(std::time::Instant::now() < deadline, "{held:x?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    monitor.stop();
}

#[test]
fn check_says_what_can_be_recorded() {
    require!(Root);
    let output = run(bins::command("blubr-record").arg("--check"));
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    for part in [
        // Of one kind of tracepoint or the other.
        "/sys_exit: yes",
        "CAP_BPF",
        "io_uring",
        "file_setattr",
        "fs-verity",
        "btrfs",
        "fsmount",
        "IP_HDRINCL",
        "SECCOMP_IOCTL_NOTIF_ADDFD",
        "message queues",
        "core dumps",
        "this host can be recorded",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_partial_that_is_a_symlink_is_not_followed() {
    require!(Root);
    let folder = folder();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "kept").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("log.partial")).unwrap();
    let log = folder.path().join("log");
    let output = run(bins::command("blubr-record").arg("-o").arg(&log).args(["--", "true"]));
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "kept");
}

#[test]
fn the_log_belongs_to_who_called_sudo() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    let mut recorder = bins::command("blubr-record");
    recorder.env("SUDO_UID", "1234").env("SUDO_GID", "1235").arg("-o").arg(&log).args(["--", "true"]);
    assert!(run(&mut recorder).status.success());
    assert_eq!(text_of(Command::new("stat").args(["-c", "%u:%g %a"]).arg(&log)), "1234:1235 600");
}

#[test]
fn lost_events_are_counted_and_can_fail_the_recording() {
    require!(Root);
    let folder = folder();
    let log = folder.path().join("log");
    // The smallest ring, and a reader of the log who takes nothing until all is done, however slow the machine: the queue
    // fills, and then the ring: there is no spill.
    let script = format!(
        "{} --ring-size 512K --spill-max 0 --fail-on-loss -- sh -c 'i=0; while [ $i -lt 400000 ]; do : < /dev/null; i=$((i+1)); done; touch made' \
         2>err | (until [ -e made ] || [ -s err ]; do sleep 0.1; done; cat > {}); echo ${{PIPESTATUS[0]}}",
        bins::path("blubr-record").display(),
        log.display()
    );
    let status = text_of(Command::new("bash").args(["-c", &script]).current_dir(folder.path()));
    assert_eq!(status, "125", "{}", std::fs::read_to_string(folder.path().join("err")).unwrap());
    let lost: u64 = jq("select(.type == \"trailer\") | .lost", &log).parse().unwrap();
    assert!(lost > 0);
    let by_type = jq("select(.type == \"lost\") | .by_type[\"file.open\"] // 0", &log);
    let opens: u64 = by_type.lines().map(|line| line.parse::<u64>().unwrap()).sum();
    let kept: u64 = jq("select(.type == \"trailer\") | .events[\"file.open\"]", &log).parse().unwrap();
    assert!(opens + kept >= 400_000, "{opens} lost and {kept} kept");
    let numbers = jq("select(.seq != null) | .seq", &log);
    assert!(numbers.lines().map(|n| n.parse::<u64>().unwrap()).eq(1..=numbers.lines().count() as u64));
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it took too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
